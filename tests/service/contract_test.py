"""Every route of the service, and every way of being refused, against openapi.json.

usage: contract_test.py SHORTFALL [CLASS...]

Exit status 0: passed; 1: failed; 77: skipped, and a line "skipped: reason" says why.
"""

import http.client
import json
import math
import os
import re
import sys
import time
import unittest
import uuid

try:
    import book
    import served
    from openapi_contract import Mismatch
except ImportError as missing:
    print(f"skipped: not installed: python3-{missing.name}")
    sys.exit(77)

PROGRAM = ""
# A token per role, and none.
TOKENS = {"none": "", **{role: role * 8 for role in ("read", "trade", "admin")}}
PLACE = service = guarded = None


def setUpModule():
    global PLACE, service, guarded
    PLACE = served.Place(PROGRAM)
    unittest.addModuleCleanup(PLACE.clear)
    service = PLACE.serve(PLACE.book(accounts=30, instruments=120, underlyings=2, paths=5000))
    # Without components of a margin beyond base, and with tokens.
    guarded = PLACE.serve(book.DEMO, "--paths", "5000", *PLACE.tokens(
        **{role: token for role, token in TOKENS.items() if token}))
    guarded.token = TOKENS["admin"]


class ContractTest(unittest.TestCase):
    def assert_refused(self, status, method, path, body=None, headers=None, error=None, where=None):
        answer = service.ask(method, path, body, headers)
        problem = json.loads(answer[2])
        self.assertEqual(answer[0], status, problem)
        self.assertTrue(problem["message"])
        if error:
            self.assertEqual(problem["error"], error)
        if where is not None:
            self.assertEqual([row["where"] for row in problem["problems"]], where)
        return problem

    def some_instrument(self, client=None):
        listed = (client or service).read("/v1/instruments?limit=1&search=perp")
        return listed["instruments"][0]["instrument"]

    def some_account(self, client=None):
        """The one with most positions."""
        listed = (client or service).read("/v1/accounts?limit=1&sort=positions")
        return listed["accounts"][0]["account"]

    def batch(self, **changes):
        return {"client_id": str(uuid.uuid4()), "changes": [
            {"account": "contract-test", "instrument": self.some_instrument(), "quantity": "1.5",
             **changes}]}


class Document(ContractTest):
    def test_references_are_there(self):
        document = served.CONTRACT.document
        text = json.dumps(document)
        for group, name in re.findall(r'"#/components/(\w+)/(\w+)"', text):
            self.assertIn(name, document["components"][group])
        for kind, members in document["components"].items():
            for name in members:
                if kind != "securitySchemes":
                    self.assertIn(f'"#/components/{kind}/{name}"', text, "is used nowhere")

    def test_every_operation_has_a_role(self):
        for path, item in served.CONTRACT.document["paths"].items():
            for operation in item.values():
                self.assertIn(operation["x-role"], ("none", "read", "trade", "admin"), path)
                self.assertEqual(operation["security"] == [], operation["x-role"] == "none", path)

    def test_is_published(self):
        self.assertEqual(service.read("/openapi.json"), served.CONTRACT.document)

    def test_checker_finds_fault(self):
        for status, body in ((200, {"status": "ok", "more": 1}), (200, {}), (418, {}),
                             (200, {"status": 1})):
            with self.assertRaises(Mismatch):
                served.CONTRACT.check_answer("GET", "/healthz", status,
                                             {"Content-Type": "application/json"},
                                             json.dumps(body).encode())


class Reading(ContractTest):
    def test_every_get_route(self):
        account = self.some_account()
        run = service.read("/v1/runs?limit=1")["runs"][0]["id"]
        values = {"account": served.quoted(account), "id": run, "file": "page.js"}
        for template, item in served.CONTRACT.document["paths"].items():
            if "get" in item and template != "/v1/events":
                with self.subTest(template):
                    self.assertEqual(service.ask("GET", template.format(**values))[0], 200)

    def test_page_and_its_policy(self):
        for path in ("/", "/static/page.css", "/static/page.js", "/static/icon.svg"):
            _, headers, _ = service.ask("GET", path)
            self.assertIn("default-src 'self'", headers["Content-Security-Policy"])
            self.assertNotIn("unsafe", headers["Content-Security-Policy"])
            self.assertEqual(headers["X-Content-Type-Options"], "nosniff")

    def test_list(self):
        whole = service.read("/v1/accounts?limit=1000&sort=account")
        names = [row["account"] for row in whole["accounts"]]
        self.assertEqual(names, sorted(names, key=str.encode))
        self.assertEqual(sum(whole["statuses"].values()), whole["total"])
        part = service.read("/v1/accounts?limit=3&offset=2&sort=account")["accounts"]
        self.assertEqual([row["account"] for row in part], names[2:5])
        for status in ("ok", "call", "liquidate"):
            found = service.read(f"/v1/accounts?status={status}&limit=1000")
            self.assertEqual(found["matched"], whole["statuses"][status])
            self.assertEqual({row["status"] for row in found["accounts"]}, {status})
            self.assertGreater(found["matched"], 0)
        for key in ("margin_ratio", "margin", "equity", "margin_excess", "expected_shortfall",
                    "gross_notional", "positions"):
            rows = service.read(f"/v1/accounts?sort={key}&limit=1000")["accounts"]
            # Before a first run there are no figures; a ratio without equity is infinite.
            values = [math.inf if row[key] is None else row[key]
                      for row in rows if row["margin"] is not None]
            self.assertEqual(values, sorted(values, reverse=True), key)
            self.assertEqual([row["margin"] for row in rows[len(values):]],
                             [None] * (len(rows) - len(values)))

    def test_account_adds_up(self):
        account = service.read(f"/v1/accounts/{served.quoted(self.some_account())}")
        margin, losses = account["margin"], account["loss_distribution"]
        self.assertAlmostEqual(sum(row["amount"] for row in margin["components"]),
                               margin["margin"], delta=1e-9 * margin["margin"])
        contributions = sum(row["component_es"] for row in account["contributions"])
        self.assertAlmostEqual(contributions + account["contributions_rest"],
                               margin["expected_shortfall"],
                               delta=1e-6 * margin["gross_notional"])
        amounts = [abs(row["component_es"]) for row in account["contributions"]]
        self.assertEqual(amounts, sorted(amounts, reverse=True))
        held = {row["instrument"] for row in account["positions"]}
        self.assertEqual(len(held), margin["positions"])
        self.assertEqual(len(losses["bin_edges"]), len(losses["counts"]) + 1)
        self.assertEqual(losses["bin_edges"], sorted(losses["bin_edges"]))
        self.assertEqual(sum(losses["counts"]), losses["paths"])


class Changing(ContractTest):
    def test_batch_again_changes_nothing(self):
        batch = self.batch()
        first = service.send("POST", "/v1/positions", batch)
        again = service.send("POST", "/v1/positions", batch)
        self.assertEqual((first["is_repeat"], again["is_repeat"]), (False, True))
        self.assertEqual(first["position_sequence"], again["position_sequence"])
        batch["changes"][0]["quantity"] = "2"
        self.assert_refused(409, "POST", "/v1/positions", batch, error="client_id_reused")

    def test_time_does_not_go_back(self):
        as_of = service.read("/v1/engine")["as_of"]
        answer = service.send("PUT", "/v1/market", {"as_of": as_of})
        self.assertEqual(answer["as_of"], as_of)
        before = f"{int(as_of[:4]) - 1}{as_of[4:]}"
        self.assert_refused(409, "PUT", "/v1/market", {"as_of": before}, error="as_of_goes_back")

    def test_time_may_not_expire_what_is_held(self):
        listed = service.read("/v1/instruments?limit=1000")["instruments"]
        option = next(row for row in listed if row["expiry"])
        service.send("POST", "/v1/positions", self.batch(instrument=option["instrument"]))
        problem = self.assert_refused(422, "PUT", "/v1/market", {"as_of": option["expiry"]})
        self.assertTrue(any(option["instrument"] in row["message"] for row in problem["problems"]))

    def test_run(self):
        answer = service.ask("POST", "/v1/runs", {"kind": "full"})
        self.assertEqual(answer[0], 202)
        self.assertEqual(answer[1]["Location"], f"/v1/runs/{json.loads(answer[2])['id']}")

    def test_whatif_is_what_the_trade_does(self):
        for client, is_exact in ((service, True), (guarded, False)):
            with self.subTest(is_exact=is_exact):
                account = self.some_account(client)
                trade = {"instrument": self.some_instrument(client), "quantity": "1000.5"}
                before = client.read("/v1/engine")
                answer = client.send("POST", "/v1/whatif", {"account": account, "trades": [trade]})
                self.assertEqual(answer["is_exact"], is_exact)
                self.assertGreater(abs(answer["difference"]["margin"]), 1)
                self.assertAlmostEqual(answer["difference"]["margin"],
                                       answer["after"]["margin"] - answer["before"]["margin"])
                after = client.read("/v1/engine")
                for key in ("market_sequence", "position_sequence"):
                    self.assertEqual(before[key], after[key])
                client.change(str(uuid.uuid4()), account, trade["instrument"], trade["quantity"])
                margin = self.await_margin(client, account, after["position_sequence"] + 1)
                self.assertEqual(list(margin), list(answer["after"]))
                # Everything, to the bit; or what openapi.json says of is_exact.
                if is_exact:
                    self.assertEqual(margin, answer["after"])
                self.assertAlmostEqual(margin["margin"], answer["after"]["margin"],
                                       delta=1e-8 * margin["gross_notional"])

    def await_margin(self, client, account, position_sequence):
        end = time.monotonic() + 20
        while time.monotonic() < end:
            value = client.read(f"/v1/accounts/{served.quoted(account)}")
            if value["source"]["position_sequence"] >= position_sequence:
                return value["margin"]
            time.sleep(0.02)
        self.fail("the change is in no run after 20 s")

    def test_events(self):
        account = f"events-{uuid.uuid4()}"
        stream = self.stream()
        first = self.batch(account=account, quantity="50")
        service.send("POST", "/v1/positions", first)
        events = []
        while not any(name == "run" and value["status"] == "done" and told
                      for _, name, value, told in events):
            number, name, value = next(stream)
            told = name == "margin" and account in [row["account"] for row in value["accounts"]]
            events.append((number, name, value, told or any(event[3] for event in events)))
        numbers = [event[0] for event in events]
        self.assertEqual(len(numbers), len(set(numbers)))
        margin = next(value for _, name, value, told in events if name == "margin" and told)
        # Its run is told of when it begins and when it ends, around the margin.
        self.assertEqual([(name, value.get("status")) for _, name, value, _ in events
                          if name == "margin" or value.get("id") == margin["source"]["run"]][-3:],
                         [("run", "running"), ("margin", None), ("run", "done")])
        # An account that opens without equity is called at once.
        calls = [value for _, name, value, _ in events if name == "call"]
        self.assertIn((account, None, "liquidate"),
                      [(row["account"], row["previous"], row["status"]) for row in calls])
        # From an earlier event on, the later ones again.
        again = self.stream(numbers[0])
        self.assertEqual([next(again)[0] for _ in numbers[1:]], numbers[1:])
        # From one that is not known: everything is to be read again.
        self.assertEqual(next(self.stream("none-1"))[1:], ("reset", {}))

    def stream(self, last=None):
        """Events (id, name, value), checked against the document. Listens when it returns."""
        connection = http.client.HTTPConnection(*service.address, timeout=20)
        self.addCleanup(connection.close)
        connection.request("GET", "/v1/events", headers={"Last-Event-ID": last} if last else {})
        response = connection.getresponse()
        self.addCleanup(response.close)
        self.assertEqual(response.headers["Content-Type"].split(";")[0], "text/event-stream")

        def events():
            fields = {}
            for line in response:
                name, _, text = line.decode().rstrip("\n").partition(": ")
                if name:
                    fields[name] = text
                elif "event" in fields:
                    served.CONTRACT.check_event(fields["event"], fields["data"])
                    yield fields.get("id"), fields["event"], json.loads(fields["data"])
                    fields = {}

        return events()


class Refusals(ContractTest):
    def test_malformed(self):
        for body in (b"", b"{", b"[1,]", b'{"a":NaN}', b"\xff", b'{"kind":"full","kind":"full"}',
                     b"[" * 100000):
            with self.subTest(body[:30]):
                self.assert_refused(400, "POST", "/v1/runs", body)
        for query in ("limit=0", "limit=x", "limit=1001", "sort=age", "colour=red", "limit=%FF"):
            with self.subTest(query):
                self.assert_refused(400, "GET", f"/v1/accounts?{query}")

    def test_every_problem_is_listed(self):
        batch = self.batch(quantity="two")
        batch["changes"].append({"account": "", "instrument": "X", "quantity": "1", "more": 1})
        problem = self.assert_refused(422, "POST", "/v1/positions", batch)
        places = {row["where"] for row in problem["problems"]}
        self.assertLessEqual({"/changes/0/quantity", "/changes/1/account"}, places)
        self.assert_refused(422, "POST", "/v1/positions", self.batch(instrument="NO-SUCH"),
                            where=["/changes/0/instrument"])

    def test_quantities_are_exact_decimals(self):
        for quantity in ("1e3", "", "+1", ".5", "1.", "0.0000000000001", "1" * 19, "NaN", " 1", 1):
            with self.subTest(quantity):
                self.assert_refused(422, "POST", "/v1/positions", self.batch(quantity=quantity))
        for quantity in ("0.000000000001", "-0.000000000001"):
            service.send("POST", "/v1/positions", self.batch(quantity=quantity))

    def test_what_is_not_there(self):
        self.assert_refused(404, "GET", "/v1/nothing")
        self.assert_refused(404, "GET", "/v1/accounts/nobody")
        self.assert_refused(404, "GET", "/v1/runs/none")
        self.assert_refused(404, "GET", "/static/../../../etc/passwd")
        self.assert_refused(404, "GET", "/static/%2e%2e%2fopenapi.json")
        trades = [{"instrument": "X", "quantity": "1"}]
        self.assert_refused(404, "POST", "/v1/whatif", {"account": "nobody", "trades": trades})

    def test_methods(self):
        self.assert_refused(405, "DELETE", "/v1/runs")
        self.assert_refused(405, "POST", "/v1/market", {})

    def test_connections(self):
        self.assert_refused(421, "GET", "/v1/engine", headers={"Host": "elsewhere.example"})
        self.assert_refused(414, "GET", f"/v1/accounts?search={'x' * 20000}")
        self.assert_refused(431, "GET", "/v1/engine", headers={"X-Long": "x" * 20000})
        self.assert_refused(417, "POST", "/v1/runs", {"kind": "full"}, {"Expect": "a miracle"})

    def test_bodies(self):
        self.assert_refused(411, "POST", "/v1/runs", headers={
            "Content-Type": "application/json", "Transfer-Encoding": "chunked"})
        self.assert_refused(415, "POST", "/v1/runs", {"kind": "full"},
                            {"Content-Encoding": "gzip"})
        self.assert_refused(415, "POST", "/v1/runs", b"{}", {"Content-Type": "text/plain"})
        self.assert_refused(413, "POST", "/v1/runs", headers={
            "Content-Type": "application/json", "Content-Length": str(1 << 40)})
        self.assert_refused(422, "POST", "/v1/runs", {"kind": "partial"})
        self.assert_refused(422, "POST", "/v1/runs", {"kind": "partial", "accounts": ["nobody"]})


class Tokens(ContractTest):
    def test_roles(self):
        bodies = {"/v1/market": {"as_of": guarded.read("/v1/engine")["as_of"]},
                  "/v1/positions": self.batch(instrument=self.some_instrument(guarded)),
                  "/v1/runs": {"kind": "full"},
                  "/v1/whatif": {"account": self.some_account(guarded), "trades": [
                      {"instrument": self.some_instrument(guarded), "quantity": "1"}]}}
        for path, item in served.CONTRACT.document["paths"].items():
            if "{" in path or path == "/v1/events":
                continue
            for method, operation in item.items():
                needed = list(TOKENS).index(operation["x-role"])
                for role, token in enumerate(TOKENS.values()):
                    with self.subTest(path=path, method=method, role=role):
                        client = served.Client(guarded.url, token)
                        body = bodies[path] if method != "get" else None
                        status = client.ask(method.upper(), path, body)[0]
                        expected = ((200, 202) if role >= needed else (403,) if role else (401,))
                        self.assertIn(status, expected)


if __name__ == "__main__":
    PROGRAM = os.path.abspath(sys.argv[1])
    sys.exit(served.run(sys.modules[__name__], sys.argv[2:]))
