"""The real service under load, and killed under load: nothing lost, nothing doubled.

usage: load_test.py PROGRAM CONFIG (load | kill | million | speed) [--share S] [--paths N] [--core C]

load: 200 position changes and 20 what-ifs per second for 60 s (times S) on loopback, while full
runs go on; prints latencies. kill: the process is killed at random moments under such changes, 50
times (times S, at least 3), started again on the same state, and asked what it has. million: a
million position changes (times S), 500 to a request; the memory of the process stays flat. speed:
how soon it is ready, how soon every margin knows new marks of every instrument, and what-ifs of one
leg, every time of another account, during full runs.
With --core the service runs on that core alone, and this program on the others.
"""

import argparse
import atexit
import http.client
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time


class Service:
    def __init__(self, arguments, state, full_run_seconds=1):
        pinned = [] if arguments.core is None else ["taskset", "-c", str(arguments.core)]
        self.process = subprocess.Popen(
            [*pinned, arguments.program, "serve", arguments.config, "--state", state,
             "--listen", "127.0.0.1:0", "--full-run-seconds", str(full_run_seconds),
             "--paths", str(arguments.paths)],
            stdout=subprocess.PIPE, text=True)
        atexit.register(self.process.kill)  # where a check fails
        line = self.process.stdout.readline()
        if "http://" not in line:
            sys.exit(f"the service did not start: {line!r}")
        self.port = int(line.strip().rstrip("/").rsplit(":", 1)[1])

    def client(self):
        return Client(self.port)

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def resident_bytes(self):
        pages = pathlib.Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def stop(self):
        """Seconds that it took."""
        start = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(timeout=10)
        if status != 0:
            sys.exit(f"the service ended with status {status}")
        return time.monotonic() - start


class Client:
    def __init__(self, port):
        self.port = port
        self.connection = None

    def ask(self, method, path, body=None):
        for attempt in (1, 2):
            if self.connection is None:
                self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
            try:
                self.connection.request(method, path, json.dumps(body) if body else None,
                                        {"Content-Type": "application/json"})
                answer = self.connection.getresponse()
                content = answer.read()
                return answer.status, json.loads(content) if content else None
            except (http.client.RemoteDisconnected, ConnectionError):
                # The server ends a connection that was kept long enough: once is no failure.
                self.connection.close()
                self.connection = None
                if attempt == 2:
                    raise

    def must(self, method, path, body=None):
        status, content = self.ask(method, path, body)
        if status not in (200, 202):
            raise RuntimeError(f"{method} {path}: {status} {content}")
        return content


def wait_until_ready(client):
    for _ in range(400):
        try:
            if client.ask("GET", "/readyz")[0] == 200:
                return
        except ConnectionError:
            pass
        time.sleep(0.025)
    sys.exit("the service was not ready in 10 s")


class Book:
    """What was acknowledged: contracts in thousandths, by account and instrument."""

    def __init__(self, client):
        self.instruments = [i["instrument"]
                            for i in client.must("GET", "/v1/instruments?limit=1000")["instruments"]
                            if i["type"] in ("perpetual", "call", "put")]
        self.accounts = [f"load-{n}" for n in range(20)]
        self.held = {}

    def change(self, rng):
        return {"account": rng.choice(self.accounts), "instrument": rng.choice(self.instruments),
                "quantity": f"{rng.choice('-+').strip('+')}{rng.randint(1, 3000) / 1000:.3f}"}

    def add(self, change):
        key = (change["account"], change["instrument"])
        self.held[key] = self.held.get(key, 0) + round(float(change["quantity"]) * 1000)

    def check(self, client):
        """Every position that the service has is what was acknowledged, and nothing more."""
        got = {}
        for account in self.accounts:
            status, detail = client.ask("GET", f"/v1/accounts/{account}")
            for position in detail["positions"] if status == 200 else []:
                got[account, position["instrument"]] = round(float(position["quantity"]) * 1000)
        want = {key: units for key, units in self.held.items() if units}
        if got != want:
            wrong = [key for key in got.keys() | want.keys() if got.get(key) != want.get(key)]
            sys.exit(f"{len(wrong)} positions are wrong, as {wrong[0]}: {got.get(wrong[0])} in place "
                     f"of {want.get(wrong[0])} thousandths")


def quantile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def paced(rate, seconds, work, latencies, failures):
    """Calls work `rate` times a second, latencies from when a call was due."""
    start = time.monotonic()
    for n in range(int(rate * seconds)):
        due = start + n / rate
        time.sleep(max(0, due - time.monotonic()))
        try:
            work(n)
        except Exception as error:  # counted and told, with the first of them
            failures.append(error)
            return
        latencies.append(time.monotonic() - due)


def load(arguments, state):
    seconds = 60 * arguments.share
    start = time.monotonic()
    service = Service(arguments, state)
    client = service.client()
    wait_until_ready(client)
    ready = time.monotonic() - start
    book = Book(client)
    rng = random.Random(1)
    changes = [book.change(rng) for _ in range(int(200 * seconds))]
    for account in book.accounts:
        change = {"account": account, "instrument": book.instruments[0], "quantity": "1"}
        client.must("POST", "/v1/positions", {"client_id": f"open-{account}", "changes": [change]})
        book.add(change)
    writers, askers = service.client(), service.client()
    latencies, answers, failures = [], [], []

    def change_positions(n):
        writers.must("POST", "/v1/positions",
                     {"client_id": f"load-{n}", "changes": [changes[n]]})
        book.add(changes[n])

    def ask_what_if(n):
        askers.must("POST", "/v1/whatif",
                    {"account": book.accounts[n % 20],
                     "trades": [{"instrument": book.instruments[n % len(book.instruments)],
                                 "quantity": "1"}]})

    threads = [threading.Thread(target=paced, args=(200, seconds, change_positions, latencies,
                                                    failures)),
               threading.Thread(target=paced, args=(20, seconds, ask_what_if, answers, failures))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        sys.exit(f"{len(failures)} requests failed, the first: {failures[0]}")
    book.check(client)
    engine = client.must("GET", "/v1/engine")
    print(f"ready after {ready:.2f} s; {seconds:.0f} s: {engine['run_sequence']} runs in the ledger")
    for name, values in (("position changes", latencies), ("what-ifs", answers)):
        print(f"{len(values)} {name}: p50 {quantile(values, 0.5) * 1e3:.1f} ms, "
              f"p99 {quantile(values, 0.99) * 1e3:.1f} ms, max {max(values) * 1e3:.1f} ms")
    print(f"ended {service.stop():.2f} s after SIGTERM")


def kill(arguments, state):
    rng = random.Random(2)
    count = max(3, round(50 * arguments.share))
    service = Service(arguments, state)
    client = service.client()
    wait_until_ready(client)
    book = Book(client)
    acknowledged = unknown = 0
    for round_number in range(count):
        deadline = time.monotonic() + rng.uniform(0.05, 0.6)
        killer = threading.Timer(deadline - time.monotonic(), service.kill)
        killer.start()
        pending = None
        for n in range(100000):
            change = book.change(rng)
            batch = {"client_id": f"kill-{round_number}-{n}", "changes": [change]}
            try:
                client.must("POST", "/v1/positions", batch)
            except (OSError, http.client.HTTPException):
                pending = (batch, change)
                break
            book.add(change)
            acknowledged += 1
        killer.join()
        service = Service(arguments, state)
        client = service.client()
        # What was not acknowledged is sent again: it counts once, whether it was stored or not.
        unknown += client.must("POST", "/v1/positions", pending[0])["is_repeat"]
        book.add(pending[1])
        book.check(client)
        wait_until_ready(client)
    runs = client.must("GET", "/v1/engine")["run_sequence"]
    service.stop()
    replayed = rng.sample(range(1, runs + 1), min(5, runs))
    for run in replayed:
        subprocess.run([arguments.program, "replay", "--state", state, str(run)], check=True,
                       stdout=subprocess.DEVNULL)
    print(f"{count} kills: {acknowledged} acknowledged changes, all there once; {unknown} stored "
          f"but not acknowledged, none doubled; {runs} runs in the ledger, replayed {replayed}")


def million(arguments, state):
    batch_count, batch_size = round(2000 * arguments.share), 500
    service = Service(arguments, state)
    client = service.client()
    wait_until_ready(client)
    book = Book(client)
    rng = random.Random(3)
    latencies, resident, start = [], [], time.monotonic()
    for n in range(batch_count):
        changes = [book.change(rng) for _ in range(batch_size)]
        sent = time.monotonic()
        client.must("POST", "/v1/positions", {"client_id": f"million-{n}", "changes": changes})
        latencies.append(time.monotonic() - sent)
        for change in changes:
            book.add(change)
        if n % 10 == 9:
            resident.append(service.resident_bytes() * 1e-6)
    seconds = time.monotonic() - start
    book.check(client)
    runs = client.must("GET", "/v1/engine")["run_sequence"]
    service.stop()
    tenth = max(1, len(resident) // 10)
    early, late = max(resident[:2 * tenth]), max(resident[-tenth:])
    print(f"{batch_count * batch_size} position changes in {seconds:.1f} s, all there once; {runs} "
          f"runs in the ledger; a request of {batch_size}: p50 {quantile(latencies, 0.5) * 1e3:.1f} "
          f"ms, p99 {quantile(latencies, 0.99) * 1e3:.1f} ms; resident {early:.1f} MB in the first "
          f"fifth, {late:.1f} MB in the last tenth")
    if late > 1.1 * early + 8:
        sys.exit("the memory of the service grows")


def speed(arguments, state):
    others = os.sched_getaffinity(0) - {arguments.core}
    os.sched_setaffinity(0, others)
    ready = []
    for n in range(5):  # the first on a new state directory
        start = time.monotonic()
        service = Service(arguments, state, 3600)
        client = service.client()
        while client.ask("GET", "/readyz")[0] != 200:
            time.sleep(0.002)
        ready.append(time.monotonic() - start)
        if n < 4:
            service.stop()
    print(f"ready: {', '.join(f'{seconds:.2f}' for seconds in ready)} s after start, the first time "
          f"on a new state directory")
    market = Marks(client)
    fresh = [market.seconds_until_fresh(client) for _ in range(10)]
    print(f"all marks changed: every margin knows after {min(fresh):.3f} to {max(fresh):.3f} s, "
          f"median {quantile(fresh, 0.5):.3f} s")
    time.sleep(1)  # for the accounts to be held, which new marks undo
    for what, seconds_between_marks in (("", None), (", new marks every 2 s", 2)):
        latencies, runs = what_ifs_during_runs(service, client, market, arguments.share,
                                               seconds_between_marks)
        quantiles = ", ".join(f"p{share * 100:.0f} {quantile(latencies, share) * 1e3:.1f}"
                              for share in (0.5, 0.9, 0.99))
        print(f"{len(latencies)} what-ifs during {runs} full runs{what}: {quantiles}, "
              f"max {max(latencies) * 1e3:.1f} ms")
    service.stop()


class Marks:
    """Marks of every instrument, moved together by a little more every time."""

    def __init__(self, client):
        self.as_of = client.must("GET", "/v1/engine")["as_of"]
        self.instruments = client.must("GET", "/v1/instruments?limit=10000")["instruments"]
        self.updates = 0

    def put(self, client):
        self.updates += 1
        move = 1 + 1e-4 * self.updates
        marks = [{"instrument": one["instrument"], "mark_price": one["mark_price"] * move}
                 for one in self.instruments if one.get("mark_price")]
        client.must("PUT", "/v1/market", {"as_of": self.as_of, "instruments": marks})

    def seconds_until_fresh(self, client):
        start = time.monotonic()
        self.put(client)
        while True:
            engine = client.must("GET", "/v1/engine")
            if engine["staleness"]["accounts"] == 0 and not engine["running"]:
                return time.monotonic() - start
            time.sleep(0.004)


def what_ifs_during_runs(service, client, market, share, seconds_between_marks):
    accounts, page = [], client.must("GET", "/v1/accounts?limit=1000")["accounts"]
    accounts = [one["account"] for one in page if one["positions"] > 0]
    random.Random(4).shuffle(accounts)
    is_over, runs, failures, latencies = threading.Event(), [], [], []

    def run_again_and_again():
        runner = service.client()
        while not is_over.is_set():
            run = runner.must("POST", "/v1/runs", {"kind": "full"})
            while runner.must("GET", f"/v1/runs/{run['id']}")["status"] in ("queued", "running"):
                time.sleep(0.01)
            runs.append(run)

    def move_marks():
        mover = service.client()
        while not is_over.wait(seconds_between_marks):
            market.put(mover)

    def ask(n):
        client.must("POST", "/v1/whatif",
                    {"account": accounts[n % len(accounts)],
                     "trades": [{"instrument": market.instruments[37 * n % len(market.instruments)]
                                 ["instrument"], "quantity": "1"}]})

    threads = [threading.Thread(target=run_again_and_again)]
    if seconds_between_marks:
        threads.append(threading.Thread(target=move_marks))
    for thread in threads:
        thread.start()
    paced(20, 60 * share, ask, latencies, failures)
    is_over.set()
    for thread in threads:
        thread.join()
    if failures:
        sys.exit(f"a what-if failed: {failures[0]}")
    return latencies, len(runs)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program")
    parser.add_argument("config")
    parser.add_argument("what", choices=("load", "kill", "million", "speed"))
    parser.add_argument("--share", type=float,
                        default=float(os.environ.get("SHORTFALL_LONG_SHARE", "1")))
    parser.add_argument("--paths", type=int, default=10000)
    parser.add_argument("--core", type=int)
    arguments = parser.parse_args()
    arguments.program = str(pathlib.Path(arguments.program).resolve())
    with tempfile.TemporaryDirectory(prefix="shortfall-load-") as folder:
        work = {"load": load, "kill": kill, "million": million, "speed": speed}[arguments.what]
        work(arguments, f"{folder}/state")


if __name__ == "__main__":
    main()
