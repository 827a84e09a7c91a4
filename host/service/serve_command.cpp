#include "serve_command.hpp"

#include <fmt/format.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <ctime>
#include <memory>
#include <string>

#include "http_server.hpp"
#include "program/commands.hpp"

namespace shortfall {
namespace {

struct ServeArguments {
  ConfigArguments config;
  std::string state, listen = "127.0.0.1:8090", token_file;
  service::VenueOptions venue;
  bool is_verbose = false;
};

/// Signals that end the service. Blocked in every thread that is started while it exists; they wait
/// for `came`.
class EndSignals {
 public:
  EndSignals() {
    ::sigemptyset(&signals_);
    ::sigaddset(&signals_, SIGTERM);
    ::sigaddset(&signals_, SIGINT);
    ::pthread_sigmask(SIG_BLOCK, &signals_, &before_);
  }
  EndSignals(const EndSignals&) = delete;
  EndSignals& operator=(const EndSignals&) = delete;
  ~EndSignals() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

  /// Waits at most half a second.
  bool came() const {
    constexpr timespec wait{0, 500'000'000};
    return ::sigtimedwait(&signals_, nullptr, &wait) > 0;
  }

 private:
  sigset_t signals_, before_;
};

/// Everything acknowledged is on disk: what a simulation still holds up is not waited for.
void exit_in_time() {
  constexpr unsigned seconds = 4;
  ::signal(SIGALRM, [](int) { ::_exit(0); });
  ::alarm(seconds);
}

void write_log(const std::string& line) { std::fputs((line + "\n").c_str(), stderr); }

void serve_command(ServeArguments& arguments) {
  service::HttpOptions options;
  options.listen = service::parse_listen_address(arguments.listen);
  service::AccessTokens tokens;
  if (!arguments.token_file.empty()) tokens = service::AccessTokens::load(arguments.token_file);
  service::require_access(options.listen, tokens);
  if (arguments.is_verbose) options.log = write_log;
  const RunConfig config = arguments.config.load();
  const EndSignals signals;
  service::Venue venue(config, arguments.state, arguments.venue);
  service::HttpServer server(venue, std::move(tokens), options);
  print(fmt::format("listening on {}\n", service::url_of(server.address())));
  while (!signals.came())
    if (!server.is_listening()) throw OperatingError("the system took the listening socket away");
  exit_in_time();
  server.stop();
}

}  // namespace

void add_serve(CLI::App& app) {
  CLI::App* const command = app.add_subcommand(
      "serve",
      "Keeps every margin fresh while marks and positions change, over HTTP with JSON, and a page\n"
      "at /. The interface is at /openapi.json. Ends with SIGTERM or an interrupt.");
  const auto arguments = std::make_shared<ServeArguments>();
  add_config(*command, arguments->config);
  command
      ->add_option("--state", arguments->state,
                   "Directory of everything that was accepted and computed; created if missing")
      ->required()
      ->type_name("DIR");
  command
      ->add_option(
          "--listen", arguments->listen,
          "Address and port; port 0 takes any. Elsewhere than on loopback --token-file is\n"
          "needed")
      ->type_name("ADDRESS:PORT")
      ->capture_default_str();
  command
      ->add_option("--token-file", arguments->token_file,
                   "Lines `read TOKEN`, `trade TOKEN`, `admin TOKEN`; readable by its owner only")
      ->type_name("FILE");
  command->add_flag("--adopt", arguments->venue.adopts_new_inputs,
                    "Goes on with input files that differ from those the state was made with");
  command
      ->add_option("--full-run-seconds", arguments->venue.full_run_seconds,
                   "Time between full runs")
      ->type_name("S")
      ->check(CLI::Range(0.1, 86400.0))
      ->capture_default_str();
  command->add_flag("--verbose", arguments->is_verbose,
                    "A line per request on standard error, without queries and bodies");
  command->callback([arguments] { serve_command(*arguments); });
}

}  // namespace shortfall
