"""The real service under load, and killed under load: nothing lost, nothing doubled.

usage: load_test.py PROGRAM CONFIG (load | kill) [--share S] [--paths N]

load: 200 position changes and 20 what-ifs per second for 60 s (times S) on loopback, while full
runs go on; prints latencies. kill: the process is killed at random moments under such changes, 50
times (times S, at least 3), started again on the same state, and asked what it has.
"""

import argparse
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
    def __init__(self, program, config, state, paths):
        self.process = subprocess.Popen(
            [program, "serve", config, "--state", state, "--listen", "127.0.0.1:0",
             "--full-run-seconds", "1", "--paths", str(paths)],
            stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        if "http://" not in line:
            sys.exit(f"the service did not start: {line!r}")
        self.port = int(line.strip().rstrip("/").rsplit(":", 1)[1])

    def client(self):
        return Client(self.port)

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

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
    service = Service(arguments.program, arguments.config, state, arguments.paths)
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
    service = Service(arguments.program, arguments.config, state, arguments.paths)
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
        service = Service(arguments.program, arguments.config, state, arguments.paths)
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


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program")
    parser.add_argument("config")
    parser.add_argument("what", choices=("load", "kill"))
    parser.add_argument("--share", type=float,
                        default=float(os.environ.get("SHORTFALL_LONG_SHARE", "1")))
    parser.add_argument("--paths", type=int, default=10000)
    arguments = parser.parse_args()
    arguments.program = str(pathlib.Path(arguments.program).resolve())
    with tempfile.TemporaryDirectory(prefix="shortfall-load-") as folder:
        (load if arguments.what == "load" else kill)(arguments, f"{folder}/state")


if __name__ == "__main__":
    main()
