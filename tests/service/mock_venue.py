"""What mock_server.py holds: the made-up book, its runs, and the events of both."""

import collections
import copy
import decimal
import hashlib
import json
import queue
import threading
import time

import mock_book

VERSION = "mock"
STREAM_LIMIT = 16
RUN_SECONDS = {"full": 0.6, "partial": 0.2}


def now():
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


class Refused(Exception):
    """A request that is answered with an error."""

    def __init__(self, status, error, message, problems=(), headers=None):
        super().__init__(message)
        self.status = status
        self.headers = headers or {}
        self.body = {"error": error, "message": message,
                     "problems": [{"where": where, "message": text} for where, text in problems]}


def refuse_if(problems):
    if problems:
        count = len(problems)
        raise Refused(422, "refused", f"{count} problem{'s' if count > 1 else ''}", problems)


class Venue:
    def __init__(self, **sizes):
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)  # an event was added
        self.book = mock_book.Book(**sizes)
        self.started = time.monotonic()
        self.market_sequence = self.position_sequence = self.run_sequence = 0
        self.batches = {}  # client id -> (digest, answer)
        self.margins = {}  # account -> (margin, source, loss distribution, contributions)
        self.stale = {}  # account -> [first change (monotonic), market updates, position batches]
        self.runs = []  # newest first
        self.jobs = queue.Queue()
        self.events = collections.deque(maxlen=500)  # (number, name, text)
        self.event_count = self.streams = 0
        self.is_stopping = False
        self._cover(self._new_run("full", None))
        self.worker = threading.Thread(target=self._work, daemon=True)
        self.worker.start()

    def stop(self):
        with self.changed:
            self.is_stopping = True
            self.changed.notify_all()
        self.jobs.put(None)
        self.worker.join()

    # Events.

    def publish(self, name, value):
        with self.changed:
            self.event_count += 1
            self.events.append((self.event_count, name, json.dumps(value)))
            self.changed.notify_all()

    def next_events(self, last, wait_seconds):
        """Events after number last; waits for one."""
        with self.changed:
            if not self.is_stopping and self.event_count == last:
                self.changed.wait(wait_seconds)
            return [event for event in self.events if event[0] > last]

    # Runs.

    def _source(self, run):
        return {"run": run["id"], "run_sequence": run["sequence"],
                "market_sequence": run["market_sequence"],
                "position_sequence": run["position_sequence"], "as_of": run["as_of"]}

    def _new_run(self, kind, accounts):
        with self.lock:
            number = len(self.runs) + 1
            run = {
                "id": f"{number}", "sequence": None, "kind": kind, "status": "queued",
                "error": None, "accounts": len(accounts or self.book.positions), "paths_done": 0,
                "paths": mock_book.PATHS, "seconds": 0, "seed": 42, "sampler": "philox",
                "plan_hash": None, "program_version": VERSION, "inputs_generation": 1,
                "input_hashes": {name: hashlib.sha256(name.encode()).hexdigest() for name in
                                 ("run.toml", "instruments.csv", "positions.csv")},
                "market_sequence": self.market_sequence, "as_of": self.book.as_of,
                "position_sequence": self.position_sequence, "requested_at": now(),
                "began_at": None, "ended_at": None}
            run["_accounts"] = accounts
            self.runs.insert(0, run)
            return run

    def ask_for_run(self, kind, accounts=None):
        run = self._new_run(kind, accounts)
        self.publish("run", public(run))
        self.jobs.put(run)
        return run

    def _work(self):
        while run := self.jobs.get():
            began = time.monotonic()
            steps = 4
            for step in range(steps):
                with self.lock:
                    run.update(status="running", began_at=run["began_at"] or now(),
                               market_sequence=self.market_sequence, as_of=self.book.as_of,
                               position_sequence=self.position_sequence,
                               plan_hash=hashlib.sha256(run["id"].encode()).hexdigest(),
                               paths_done=run["paths"] * step // steps,
                               seconds=time.monotonic() - began)
                self.publish("run", public(run))
                time.sleep(RUN_SECONDS[run["kind"]] / steps)
            with self.lock:
                run["seconds"] = time.monotonic() - began
                changed, statuses = self._cover(run)
            self.publish("run", public(run))
            source = self._source(run)
            for first in range(0, len(changed), 100):
                rows = [self.summary(account) for account in changed[first:first + 100]]
                self.publish("margin", {"source": source, "accounts": rows})
            for account, before, margin in statuses:
                order = ("ok", "call", "liquidate")
                worse = order.index(margin["status"]) > order.index(before or "ok")
                self.publish("call" if worse else "recovery", {
                    "account": account, "status": margin["status"], "previous": before,
                    "margin": margin["margin"], "maintenance_margin": margin["maintenance_margin"],
                    "equity": margin["equity"], "source": source})

    def _cover(self, run):
        """Ends a run: (accounts whose margin changed, [(account, status before, margin)])."""
        self.run_sequence += 1
        run.update(sequence=self.run_sequence, status="done", paths_done=run["paths"],
                   began_at=run["began_at"] or now(), ended_at=now(),
                   plan_hash=hashlib.sha256(run["id"].encode()).hexdigest(),
                   as_of=self.book.as_of, market_sequence=self.market_sequence,
                   position_sequence=self.position_sequence)
        changed, statuses = [], []
        for account in list(run["_accounts"] or self.book.positions):
            margin = self.book.margin(account)
            before = self.margins.get(account, (None,))[0]
            self.margins[account] = (
                margin, self._source(run), self.book.loss_distribution(account),
                self.book.contributions(account))
            self.stale.pop(account, None)
            if margin != before:
                changed.append(account)
            if margin["status"] != (before["status"] if before else "ok"):
                statuses.append((account, before and before["status"], margin))
        return changed, statuses

    def _is_stale(self, accounts, place):
        for account in accounts:
            entry = self.stale.setdefault(account, [time.monotonic(), 0, 0])
            entry[place] += 1

    # Changes.

    def put_market(self, body):
        with self.lock:
            as_of = body["as_of"]
            if as_of < self.book.as_of:
                raise Refused(409, "as_of_goes_back",
                              f"as_of {as_of} is before {self.book.as_of}; send that or later",
                              [("/as_of", f"before {self.book.as_of}")])
            problems = []
            spots = body.get("underlyings", [])
            marks = body.get("instruments", [])
            for place, mark in enumerate(spots):
                if mark["underlying"] not in self.book.spots:
                    problems.append((f"/underlyings/{place}/underlying",
                                     f'"{mark["underlying"]}" is not listed'))
            for place, mark in enumerate(marks):
                if mark["instrument"] not in self.book.instruments:
                    problems.append((f"/instruments/{place}/instrument",
                                     f'"{mark["instrument"]}" is not listed'))
            held = {name for positions in self.book.positions.values() for name in positions}
            problems += [("/as_of", f"{name} is held and expires at {row['expiry']}; close it")
                         for name, row in self.book.instruments.items()
                         if name in held and row["expiry"] and row["expiry"] <= as_of]
            refuse_if(problems)
            self.market_sequence += 1
            self.book.as_of = as_of
            self.book.spots.update((mark["underlying"], mark["spot_usd"]) for mark in spots)
            moved = {mark["underlying"] for mark in spots}
            for mark in marks:
                self.book.instruments[mark["instrument"]].update(
                    {key: mark[key] for key in ("mark_price", "mark_iv") if key in mark})
                moved.add(self.book.instruments[mark["instrument"]]["underlying"])
            touched = [account for account, positions in self.book.positions.items()
                       if any(self.book.instruments[name]["underlying"] in moved
                              for name in positions)]
            self._is_stale(touched, 1)
            answer = {"market_sequence": self.market_sequence, "as_of": as_of,
                      "underlyings": len(spots), "instruments": len(marks)}
        self.publish("market", answer)
        self.ask_for_run("full")
        return answer

    def post_positions(self, body):
        digest = hashlib.sha256(json.dumps(body["changes"]).encode()).digest()
        with self.lock:
            if known := self.batches.get(body["client_id"]):
                if known[0] != digest:
                    raise Refused(409, "client_id_reused",
                                  "this client id was used for other changes; choose another",
                                  [("/client_id", "used before")])
                return {**known[1], "is_repeat": True}
            self._refuse_unlisted(body["changes"], "/changes")
            for change in body["changes"]:
                self.book.change(change["account"], change["instrument"],
                                 decimal.Decimal(change["quantity"]))
            self.position_sequence += 1
            accounts = {change["account"] for change in body["changes"]}
            self._is_stale(accounts, 2)
            answer = {"client_id": body["client_id"], "position_sequence": self.position_sequence,
                      "is_repeat": False, "changes": len(body["changes"])}
            self.batches[body["client_id"]] = (digest, answer)
        self.ask_for_run("partial", sorted(accounts))
        return answer

    def _refuse_unlisted(self, rows, where):
        refuse_if([(f"{where}/{place}/instrument", f'"{row["instrument"]}" is not listed')
                   for place, row in enumerate(rows)
                   if row["instrument"] not in self.book.instruments])

    def whatif(self, body):
        began = time.monotonic()
        with self.lock:
            account = body["account"]
            if account not in self.book.positions and not body.get("open"):
                raise Refused(404, "no_such_account", f'there is no account "{account}"')
            self._refuse_unlisted(body["trades"], "/trades")
            before = self.book.margin(account, self.book.positions.get(account, {}))
            held = copy.deepcopy(self.book.positions.get(account, {}))
            for trade in body["trades"]:
                name, quantity = trade["instrument"], decimal.Decimal(trade["quantity"])
                held[name] = held.get(name, decimal.Decimal(0)) + quantity
                if not held[name]:
                    del held[name]
            after = self.book.margin(account, held)
            return {
                "account": account, "trades": body["trades"], "before": before, "after": after,
                "difference": {
                    "margin": after["margin"] - before["margin"],
                    "components": [{"component": new["component"],
                                    "amount": new["amount"] - old["amount"]}
                                   for old, new in zip(before["components"], after["components"])],
                    "standard_error": abs(after["standard_error"] - before["standard_error"])},
                "market_sequence": self.market_sequence,
                "position_sequence": self.position_sequence, "as_of": self.book.as_of,
                "paths": mock_book.PATHS, "seed": 42, "seconds": time.monotonic() - began}

    # What is read.

    def _staleness(self, account):
        since, markets, positions = self.stale.get(account, (None, 0, 0))
        return {"seconds": time.monotonic() - since if since is not None else 0,
                "market_updates": markets, "position_changes": positions}

    def summary(self, account):
        margin, source = self.margins.get(account, (None, None))[:2]
        row = {"account": account, "mode": self.book.modes[account],
               "positions": len(self.book.positions[account])}
        for key in ("gross_notional", "expected_shortfall", "margin", "maintenance_margin",
                    "equity", "margin_excess", "margin_ratio", "status"):
            row[key] = margin[key] if margin else None
        return {**row, "source": source, "staleness": self._staleness(account)}

    def account(self, account):
        if account not in self.book.positions:
            raise Refused(404, "no_such_account", f'there is no account "{account}"')
        margin, source, losses, contributions = self.margins.get(account, (None,) * 4)
        contributions = contributions or []
        text_of = mock_book.text_of
        return {
            "account": account, "mode": self.book.modes[account], "margin": margin,
            "source": source, "staleness": self._staleness(account), "loss_distribution": losses,
            "contributions": [
                {"instrument": name, "quantity": text_of(quantity), "component_es": amount}
                for name, quantity, amount in contributions[:20]],
            "contributions_rest": sum(row[2] for row in contributions[20:]),
            "positions": [
                {"instrument": name, "underlying": self.book.instruments[name]["underlying"],
                 "type": self.book.instruments[name]["type"], "quantity": text_of(quantity),
                 "gross_notional": abs(self.book.notional(name, quantity))}
                for name, quantity in sorted(self.book.positions[account].items())]}

    def engine(self):
        stale = [self._staleness(account) for account in self.stale]
        full = next((run for run in self.runs if run["status"] == "done"
                     and run["kind"] == "full"), None)
        running = [public(run) for run in self.runs if run["status"] == "running"]
        waiting = collections.Counter(run["kind"] for run in self.runs
                                      if run["status"] in ("queued", "running"))
        return {
            "program_version": VERSION, "uptime_seconds": time.monotonic() - self.started,
            "accounts": len(self.book.positions), "instruments": len(self.book.instruments),
            "paths": mock_book.PATHS, "as_of": self.book.as_of, "inputs_generation": 1,
            "market_sequence": self.market_sequence, "position_sequence": self.position_sequence,
            "run_sequence": self.run_sequence,
            "backends": [
                {"name": "cpu", "device": "AMD EPYC", "instruction_set": "avx512", "threads": 2,
                 "state": "ready", "error": None, "paths_per_second": 311000.0},
                {"name": "cuda", "device": "NVIDIA H100 80GB HBM3", "instruction_set": None,
                 "threads": None, "state": "failed", "paths_per_second": 0,
                 "error": "CUDA error 719 (unspecified launch failure) in paths 4096 to 8191; "
                          "the CPU redid them"}],
            "queue": [
                {"class": name, "jobs": jobs}
                for name, jobs in (("whatif", 0), ("near_call", waiting["partial"]),
                                   ("periodic", waiting["full"]))],
            "paths_per_second": 311000.0, "running": running,
            "last_full_run": full and public(full),
            "staleness": {
                "seconds": max((row["seconds"] for row in stale), default=0),
                "accounts": len(stale),
                "market_updates": self.market_sequence - (full or {}).get("market_sequence", 0),
                "position_changes":
                    self.position_sequence - (full or {}).get("position_sequence", 0)},
            "event_streams": self.streams, "event_streams_limit": STREAM_LIMIT}


def public(run):
    return {key: value for key, value in run.items() if not key.startswith("_")}
