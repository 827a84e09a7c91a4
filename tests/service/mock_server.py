"""A test double of `shortfall serve`: the page and the routes of openapi.json over made-up figures.

usage: mock_server.py [--port N] [--accounts N] [--instruments N] [--token ROLE=TEXT]...

Each answer is checked against the document; one that does not match is reported on standard error
and kept in Server.mismatches. Loopback only.
"""

import argparse
import http.server
import json
import sys
import threading
import urllib.parse
from pathlib import Path

import mock_venue
from mock_venue import Refused, refuse_if
from openapi_contract import ERROR, Contract, Mismatch

PAGE = Path(__file__).resolve().parents[2] / "host" / "service" / "page"
CHART = Path("/usr/share/javascript/chart.js/chart.min.js")
POLICY = "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
TYPES = {".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8",
         ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
ROLES = ("none", "read", "trade", "admin")
BODY_LIMIT_BYTES = 8 << 20


def unique_members(pairs):
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member is there twice")
    return members


def no_constant(name):
    raise ValueError(f"{name} is no JSON")


def matches(name, search):
    return all(word in name.lower() for word in search.lower().split())


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 20

    def log_message(self, *_):
        pass

    def __getattr__(self, name):
        if name.startswith("do_"):
            return self._serve
        raise AttributeError(name)

    def _serve(self):
        try:
            operation = self._operation()
            self._authorise(operation)
            problems = self.server.contract.query_problems(operation, self._query_pairs())
            if problems:
                raise Refused(400, "malformed", "the query is malformed", problems)
            body = self._body(operation) if "requestBody" in operation else None
            getattr(self, operation["operationId"])(body)
        except Refused as refused:
            if self.command in ("PUT", "POST"):  # its body may not have been read
                self.close_connection = True
            self._answer(refused.status, ERROR, json.dumps(refused.body), refused.headers)

    def _operation(self):
        operation, found = self.server.contract.operation(self.command, self.path)
        if operation is None and found:
            raise Refused(405, "method_not_allowed", f"this route takes {', '.join(found)}",
                          headers={"Allow": ", ".join(found)})
        if operation is None:
            raise Refused(404, "no_such_route", "there is no such route; see /openapi.json")
        self.parameters = found
        return operation

    def _authorise(self, operation):
        needed = operation["x-role"]
        if not self.server.tokens or needed == "none":
            return
        role = self.server.tokens.get(self.headers.get("Authorization", ""))
        if role is None:
            raise Refused(401, "unauthorised", "send a token: Authorization: Bearer TOKEN",
                          headers={"WWW-Authenticate": "Bearer"})
        if ROLES.index(role) < ROLES.index(needed):
            raise Refused(403, "forbidden", f"this needs the role {needed}; the token has {role}")

    def _query_pairs(self):
        text = urllib.parse.urlsplit(self.path).query
        return urllib.parse.parse_qsl(text, keep_blank_values=True)

    def _query(self, operation_id):
        operation, _ = self.server.contract.operation(self.command, self.path)
        assert operation["operationId"] == operation_id
        values = {parameter["name"]: parameter["schema"].get("default")
                  for parameter in operation.get("parameters", [])}
        for name, text in self._query_pairs():
            values[name] = int(text) if isinstance(values[name], int) else text
        return values

    def _body(self, operation):
        if self.headers.get("Content-Type", "").split(";")[0].strip() != "application/json":
            raise Refused(415, "media_type", "a body is application/json")
        length = self.headers.get("Content-Length")
        if length is None:
            raise Refused(411, "length_required", "send Content-Length")
        if not length.isdigit():
            raise Refused(400, "malformed", "Content-Length is no number")
        if int(length) > BODY_LIMIT_BYTES:
            raise Refused(413, "too_large", f"a body has at most {BODY_LIMIT_BYTES} bytes")
        try:
            body = json.loads(self.rfile.read(int(length)).decode(),
                              object_pairs_hook=unique_members, parse_constant=no_constant)
        except (ValueError, RecursionError) as problem:
            raise Refused(400, "malformed", f"the body is no JSON: {problem}") from None
        refuse_if(self.server.contract.request_problems(operation, body))
        return body

    def _answer(self, status, content_type, text, headers=None):
        content = text if isinstance(text, bytes) else text.encode()
        headers = {"Content-Type": content_type, "Cache-Control": "no-store",
                   "X-Content-Type-Options": "nosniff", "Content-Security-Policy": POLICY,
                   **(headers or {})}
        try:
            self.server.contract.check_answer(self.command, self.path, status, headers, content)
        except Mismatch as mismatch:
            self.server.report(mismatch)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _json(self, value, status=200, headers=None):
        self._answer(status, "application/json", json.dumps(value), headers)

    # The operations of the document, by operationId.

    def putMarket(self, body):
        self._json(self.server.venue.put_market(body))

    def postPositions(self, body):
        self._json(self.server.venue.post_positions(body))

    def postWhatIf(self, body):
        self._json(self.server.venue.whatif(body))

    def getAccounts(self, _):
        query, venue = self._query("getAccounts"), self.server.venue
        sort = query["sort"]
        is_descending = (query["order"] or
                         ("ascending" if sort == "account" else "descending")) == "descending"
        with venue.lock:
            rows = [venue.summary(account) for account in venue.book.positions]
        statuses = {name: sum((row["status"] or "none") == name for row in rows)
                    for name in ("ok", "call", "liquidate", "none")}
        found = [row for row in rows if matches(row["account"], query["search"] or "")
                 and query["status"] in (None, row["status"] or "none")]

        def value(row):
            if sort == "staleness":
                return row["staleness"]["seconds"]
            if sort == "margin_ratio" and row[sort] is None and row["equity"] is not None:
                return float("inf")
            return row[sort]

        found.sort(key=lambda row: row["account"])
        known = [row for row in found if value(row) is not None]
        known.sort(key=value, reverse=is_descending)
        found = known + [row for row in found if value(row) is None]
        part = found[query["offset"]:query["offset"] + query["limit"]]
        self._json({"total": len(rows), "matched": len(found), "offset": query["offset"],
                    "limit": query["limit"], "statuses": statuses, "accounts": part})

    def getAccount(self, _):
        with self.server.venue.lock:
            answer = self.server.venue.account(self.parameters["account"])
        self._json(answer)

    def getInstruments(self, _):
        query, listed = self._query("getInstruments"), self.server.venue.book.instruments
        found = [listed[name] for name in sorted(listed) if matches(name, query["search"] or "")]
        self._json({"total": len(listed), "matched": len(found),
                    "instruments": found[:query["limit"]]})

    def getRuns(self, _):
        venue, limit = self.server.venue, self._query("getRuns")["limit"]
        with venue.lock:
            runs = [mock_venue.public(run) for run in venue.runs[:limit]]
        self._json({"runs": runs})

    def postRuns(self, body):
        is_partial = body["kind"] == "partial"
        if is_partial != ("accounts" in body):
            refuse_if([("/accounts", "goes with kind partial, and only there")])
        refuse_if([(f"/accounts/{place}", f'there is no account "{name}"')
                   for place, name in enumerate(body.get("accounts", []))
                   if name not in self.server.venue.book.positions])
        run = self.server.venue.ask_for_run(body["kind"], body.get("accounts"))
        self._json({"id": run["id"], "status": "queued"}, 202,
                   {"Location": f"/v1/runs/{run['id']}"})

    def getRun(self, _):
        venue = self.server.venue
        with venue.lock:
            run = next((mock_venue.public(run) for run in venue.runs
                        if run["id"] == self.parameters["id"]), None)
        if run is None:
            raise Refused(404, "no_such_run", f"there is no run \"{self.parameters['id']}\"")
        self._json(run)

    def getEngine(self, _):
        with self.server.venue.lock:
            engine = self.server.venue.engine()
        self._json(engine)

    def getEvents(self, _):
        venue = self.server.venue
        with venue.lock:
            if venue.streams >= mock_venue.STREAM_LIMIT:
                raise Refused(503, "too_many_streams", "too many event streams are open",
                              headers={"Retry-After": "5"})
            venue.streams += 1
            last, is_reset = venue.event_count, False
            if header := self.headers.get("Last-Event-ID"):
                kept = venue.events[0][0] - 1 if venue.events else venue.event_count
                if header.isdigit() and kept <= int(header) <= venue.event_count:
                    last = int(header)
                else:
                    is_reset = True
        try:
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Cache-Control", "no-store")
            self.send_header("Connection", "close")
            self.close_connection = True
            self.end_headers()
            self.wfile.write(b": \n\n" + is_reset * b"event: reset\ndata: {}\n\n")
            while not venue.is_stopping:
                events = venue.next_events(last, 1)
                for number, name, text in events:
                    self._check_event(name, text)
                    self.wfile.write(f"id: {number}\nevent: {name}\ndata: {text}\n\n".encode())
                    last = number
                if not events:
                    self.wfile.write(b": \n\n")
        except OSError:
            pass  # the client went away
        finally:
            with venue.lock:
                venue.streams -= 1

    def _check_event(self, name, text):
        try:
            self.server.contract.check_event(name, text)
        except Mismatch as mismatch:
            self.server.report(mismatch)

    def getHealth(self, _):
        self._json({"status": "ok"})

    def getReadiness(self, _):
        self._json({"status": "ready"})

    def getMetrics(self, _):
        runs = self.server.venue.run_sequence
        self._answer(200, "text/plain; version=0.0.4",
                     "# HELP shortfall_runs_total Runs that ended.\n"
                     f"# TYPE shortfall_runs_total counter\nshortfall_runs_total {runs}\n")

    def getOpenApi(self, _):
        self._json(self.server.contract.document)

    def getPage(self, _):
        self._file(PAGE / "index.html")

    def getPageFile(self, _):
        name = self.parameters["file"]
        if not all(part.replace("_", "").isalpha() for part in name.split(".")):
            raise Refused(404, "no_such_file", "there is no such file")
        self._file(CHART if name == "chart.js" else PAGE / name)

    def _file(self, path):
        if not path.is_file():
            raise Refused(404, "no_such_file", "there is no such file")
        self._answer(200, TYPES[path.suffix], path.read_bytes())


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, port=0, tokens=(), **sizes):
        """tokens: [(role, text)]. Serves from now on, in threads of its own."""
        super().__init__(("127.0.0.1", port), Handler)
        self.contract = Contract()
        self.mismatches = []
        self.tokens = {f"Bearer {text}": role for role, text in tokens}
        self.venue = mock_venue.Venue(**sizes)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def report(self, mismatch):
        self.mismatches.append(str(mismatch))
        print(f"mismatch: {mismatch}", file=sys.stderr, flush=True)

    def stop(self):
        self.venue.stop()
        self.shutdown()
        self.server_close()

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], OSError):
            self.report(f"{sys.exc_info()[1]!r}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=8090)
    parser.add_argument("--accounts", type=int, default=1000)
    parser.add_argument("--instruments", type=int, default=1400)
    parser.add_argument("--token", action="append", default=[], metavar="ROLE=TEXT")
    options = parser.parse_args()
    server = Server(options.port, [token.split("=", 1) for token in options.token],
                    account_count=options.accounts, instrument_count=options.instruments)
    print(f"listening on {server.url}", flush=True)
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        server.stop()


if __name__ == "__main__":
    main()
