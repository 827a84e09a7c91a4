"""Every route of the service, and every way of being refused, against openapi.json.

usage: contract_test.py [--base-url URL [--token TEXT]] [CLASS...]

Without --base-url: mock_server.py. Exit status 0: passed; 1: failed; 77: passed, but something was
skipped, and a line "skipped: reason" says what.
"""

import http.client
import json
import re
import sys
import unittest
import uuid

try:
    import mock_server
    import served
    from openapi_contract import Mismatch
except ImportError:  # before any test can say so
    print("skipped: not installed: python3-jsonschema")
    sys.exit(77)

PLACE = {"service": None, "mock": None}


def tearDownModule():
    if PLACE["mock"]:
        PLACE["mock"].stop()


class ContractTest(unittest.TestCase):
    def setUp(self):
        self.service = PLACE["service"]

    def tearDown(self):
        if PLACE["mock"]:
            self.assertEqual(PLACE["mock"].mismatches, [])

    def assert_refused(self, status, method, path, body=None, headers=None, error=None, where=None):
        answer = self.service.ask(method, path, body, headers)
        problem = json.loads(answer[2])
        self.assertEqual(answer[0], status, problem)
        self.assertTrue(problem["message"])
        if error:
            self.assertEqual(problem["error"], error)
        if where is not None:
            self.assertEqual([row["where"] for row in problem["problems"]], where)
        return problem

    def batch(self, **changes):
        instrument = self.service.read("/v1/instruments?limit=1")["instruments"][0]["instrument"]
        return {"client_id": str(uuid.uuid4()), "changes": [
            {"account": "contract-test", "instrument": instrument, "quantity": "1.5", **changes}]}


class OpenApi(ContractTest):
    def test_is_open_api(self):
        try:
            from openapi_spec_validator import validate
        except ImportError:
            self.skipTest("not installed: openapi-spec-validator (PyPI)")
        validate(served.CONTRACT.document)


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
        self.assertEqual(self.service.read("/openapi.json"), served.CONTRACT.document)

    def test_checker_finds_fault(self):
        for status, body in ((200, {"status": "ok", "more": 1}), (200, {}), (418, {}),
                             (200, {"status": 1})):
            with self.assertRaises(Mismatch):
                served.CONTRACT.check_answer("GET", "/healthz", status,
                                             {"Content-Type": "application/json"},
                                             json.dumps(body).encode())


class Reading(ContractTest):
    def test_every_get_route(self):
        account = self.service.read("/v1/accounts?limit=1")["accounts"][0]["account"]
        run = self.service.read("/v1/runs?limit=1")["runs"][0]["id"]
        values = {"account": served.quoted(account), "id": run, "file": "page.js"}
        for template, item in served.CONTRACT.document["paths"].items():
            if "get" in item and template != "/v1/events":
                with self.subTest(template):
                    self.assertEqual(self.service.ask("GET", template.format(**values))[0], 200)

    def test_page_and_its_policy(self):
        for path in ("/", "/static/page.css", "/static/page.js", "/static/icon.svg"):
            _, headers, _ = self.service.ask("GET", path)
            self.assertIn("default-src 'self'", headers["Content-Security-Policy"])
            self.assertNotIn("unsafe", headers["Content-Security-Policy"])
            self.assertEqual(headers["X-Content-Type-Options"], "nosniff")

    def test_list(self):
        whole = self.service.read("/v1/accounts?limit=1000&sort=account")
        names = [row["account"] for row in whole["accounts"]]
        self.assertEqual(names, sorted(names, key=str.encode))
        self.assertEqual(sum(whole["statuses"].values()), whole["total"])
        part = self.service.read("/v1/accounts?limit=3&offset=2&sort=account")["accounts"]
        self.assertEqual([row["account"] for row in part], names[2:5])
        for status in ("ok", "call", "liquidate"):
            found = self.service.read(f"/v1/accounts?status={status}&limit=1000")
            self.assertEqual(found["matched"], whole["statuses"][status])
            self.assertEqual({row["status"] for row in found["accounts"]} - {status}, set())
        descending = self.service.read("/v1/accounts?sort=margin&limit=1000")["accounts"]
        margins = [row["margin"] for row in descending if row["margin"] is not None]
        self.assertEqual(margins, sorted(margins, reverse=True))

    def test_account_adds_up(self):
        name = self.service.read("/v1/accounts?limit=1&sort=positions")["accounts"][0]["account"]
        account = self.service.read(f"/v1/accounts/{served.quoted(name)}")
        margin, losses = account["margin"], account["loss_distribution"]
        self.assertAlmostEqual(sum(row["amount"] for row in margin["components"]),
                               margin["margin"], delta=1e-9 * margin["margin"])
        contributions = sum(row["component_es"] for row in account["contributions"])
        self.assertAlmostEqual(contributions + account["contributions_rest"],
                               margin["expected_shortfall"],
                               delta=1e-6 * margin["gross_notional"])
        self.assertEqual(len(losses["bin_edges"]), len(losses["counts"]) + 1)
        self.assertEqual(losses["bin_edges"], sorted(losses["bin_edges"]))
        self.assertEqual(sum(losses["counts"]), losses["paths"])


class Changing(ContractTest):
    def test_batch_again_changes_nothing(self):
        batch = self.batch()
        first = self.service.send("POST", "/v1/positions", batch)
        again = self.service.send("POST", "/v1/positions", batch)
        self.assertEqual((first["is_repeat"], again["is_repeat"]), (False, True))
        self.assertEqual(first["position_sequence"], again["position_sequence"])
        batch["changes"][0]["quantity"] = "2"
        self.assert_refused(409, "POST", "/v1/positions", batch, error="client_id_reused")

    def test_time_does_not_go_back(self):
        as_of = self.service.read("/v1/engine")["as_of"]
        answer = self.service.send("PUT", "/v1/market", {"as_of": as_of})
        self.assertEqual(answer["as_of"], as_of)
        before = f"{int(as_of[:4]) - 1}{as_of[4:]}"
        self.assert_refused(409, "PUT", "/v1/market", {"as_of": before}, error="as_of_goes_back")

    def test_time_may_not_expire_what_is_held(self):
        listed = self.service.read("/v1/instruments?limit=1000")["instruments"]
        option = next(row for row in listed if row["expiry"])
        self.service.send("POST", "/v1/positions", self.batch(instrument=option["instrument"]))
        problem = self.assert_refused(422, "PUT", "/v1/market", {"as_of": option["expiry"]})
        self.assertTrue(any(option["instrument"] in row["message"] for row in problem["problems"]))

    def test_run(self):
        answer = self.service.ask("POST", "/v1/runs", {"kind": "full"})
        self.assertEqual(answer[0], 202)
        self.assertEqual(answer[1]["Location"], f"/v1/runs/{json.loads(answer[2])['id']}")

    def test_whatif_changes_nothing(self):
        account = self.service.read("/v1/accounts?limit=1")["accounts"][0]["account"]
        before = self.service.read("/v1/engine")
        trade = self.batch()["changes"][0]
        answer = self.service.send("POST", "/v1/whatif", {"account": account, "trades": [
            {"instrument": trade["instrument"], "quantity": "3"}]})
        difference = answer["difference"]
        self.assertAlmostEqual(difference["margin"],
                               answer["after"]["margin"] - answer["before"]["margin"])
        after = self.service.read("/v1/engine")
        for key in ("market_sequence", "position_sequence"):
            self.assertEqual(before[key], after[key])

    def test_events(self):
        connection = http.client.HTTPConnection(*self.service.address, timeout=20)
        self.addCleanup(connection.close)
        headers = {"Authorization": f"Bearer {self.service.token}"} if self.service.token else {}
        connection.request("GET", "/v1/events", headers=headers)
        response = connection.getresponse()
        self.assertEqual(response.headers["Content-Type"].split(";")[0], "text/event-stream")
        self.service.send("POST", "/v1/positions", self.batch())
        names, ids, name = [], [], None
        while "margin" not in names:
            field, _, text = response.readline().decode().rstrip("\n").partition(": ")
            if field == "id":
                ids.append(text)
            elif field == "event":
                name = text
            elif field == "data":
                served.CONTRACT.check_event(name, text)
                names.append(name)
        self.assertIn("run", names)
        self.assertEqual(len(ids), len(set(ids)))
        # From an earlier event on, the later ones again.
        again = http.client.HTTPConnection(*self.service.address, timeout=20)
        self.addCleanup(again.close)
        again.request("GET", "/v1/events", headers={**headers, "Last-Event-ID": ids[0]})
        response = again.getresponse()
        while True:
            line = response.readline().decode().rstrip("\n")
            if line.startswith("id: "):
                self.assertEqual(line, f"id: {ids[1]}")
                break


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
            self.service.send("POST", "/v1/positions", self.batch(quantity=quantity))

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

    def test_bodies(self):
        self.assert_refused(415, "POST", "/v1/runs", b"{}", {"Content-Type": "text/plain"})
        self.assert_refused(413, "POST", "/v1/runs", headers={
            "Content-Type": "application/json", "Content-Length": str(1 << 40)})
        self.assert_refused(422, "POST", "/v1/runs", {"kind": "partial"})
        self.assert_refused(422, "POST", "/v1/runs", {"kind": "partial", "accounts": ["nobody"]})


class Tokens(ContractTest):
    def setUp(self):
        super().setUp()
        if PLACE["mock"] is None:
            self.skipTest("needs a mock of its own")
        self.guarded = mock_server.Server(
            tokens=[("read", "r"), ("trade", "t"), ("admin", "a")], account_count=5)
        self.addCleanup(self.guarded.stop)

    def test_roles(self):
        bodies = {"/v1/market": {"as_of": "2026-01-15T08:00:00Z"}, "/v1/positions": self.batch(),
                  "/v1/runs": {"kind": "full"}, "/v1/whatif": {
                      "account": "market-maker-0001",
                      "trades": [{"instrument": "BTC-SPOT", "quantity": "1"}]}}
        for path, item in served.CONTRACT.document["paths"].items():
            if "{" in path or path == "/v1/events":
                continue
            for method, operation in item.items():
                needed = ("none", "read", "trade", "admin").index(operation["x-role"])
                for role, token in enumerate(("", "r", "t", "a")):
                    with self.subTest(path=path, method=method, token=token):
                        self.service = served.Service(self.guarded.url, token)
                        body = bodies[path] if method != "get" else None
                        status = self.service.ask(method.upper(), path, body)[0]
                        expected = {True: (200, 202)}.get(role >= needed, (403 if role else 401,))
                        self.assertIn(status, expected)
        self.assertEqual(self.guarded.mismatches, [])


def main():
    options = served.arguments(__doc__).parse_args()
    PLACE["service"], PLACE["mock"] = served.start(options)
    return served.run(sys.modules[__name__], options)


if __name__ == "__main__":
    sys.exit(main())
