// usage: plan_hash CONFIG
// Prints the plan hash of a run configuration. The canonical sources are compiled into this program
// once more without optimisation for speed; contract_test.py compares the hash with the library's.
#include <cstdio>
#include <exception>

#include "shortfall/plan.hpp"

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  try {
    const shortfall::RunConfig config = shortfall::load_config(argv[1]);
    std::puts(shortfall::build_plan(config, shortfall::load_inputs(config)).hash.c_str());
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
