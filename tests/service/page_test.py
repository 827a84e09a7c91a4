"""The page in headless Chromium, as its users meet it: list, account, what-if, engine, token.

usage: page_test.py [--base-url URL [--token TEXT]] [--screenshots DIR] [CLASS...]

Without --base-url it is served by mock_server.py. Exit status 0: passed; 1: failed; 77: passed, but
something was skipped, and a line "skipped: reason" says what.
"""

import sys
import unittest
import urllib.parse
import uuid
from pathlib import Path

import browser

try:
    import mock_server
    import served
except ImportError:  # before any test can say so
    print("skipped: not installed: python3-jsonschema")
    sys.exit(77)

if browser.webdriver:
    from browser import Keys

PLACE = {"service": None, "mock": None, "browser": None, "screenshots": None}


def setUpModule():
    if lack := browser.missing():
        raise unittest.SkipTest(f"not installed: {lack}")
    PLACE["browser"] = browser.Browser()


def tearDownModule():
    if PLACE["browser"]:
        PLACE["browser"].quit()
    if PLACE["mock"]:
        PLACE["mock"].stop()


def number(text):
    """A figure of the page."""
    return float(text.replace(",", "").replace("−", "-").replace("+", ""))


def hash_of(account):
    return f"#/accounts/{served.quoted(account)}"


class PageTest(unittest.TestCase):
    def setUp(self):
        self.service, self.browser = PLACE["service"], PLACE["browser"]
        self.browser.look(browser.WIDE, is_dark=False)
        self.browser.block()

    def tearDown(self):
        if PLACE["mock"]:
            self.assertEqual(PLACE["mock"].mismatches, [])

    def open(self, hash_="", service=None):
        service = service or self.service
        self.browser.open(service.url + "/static/page.css")  # an origin, to set its storage
        self.browser.run("sessionStorage.clear();"
                         "if (arguments[0]) "
                         "sessionStorage.setItem('shortfall-token', arguments[0])",
                         service.token)
        self.browser.open(f"{service.url}/{hash_}")

    def open_list(self, query=""):
        self.open(f"#/accounts{query}")
        self.rows()

    def open_account(self, account=None):
        account = account or self.some_account()
        self.open(hash_of(account))
        self.browser.one(".contributions tbody tr")
        return account

    def some_account(self):
        """One with several positions and components, and a margin ratio."""
        rows = self.service.read("/v1/accounts?limit=200&sort=positions")["accounts"]
        return next(row["account"] for row in rows if row["margin"] and row["positions"] < 200)

    def rows(self):
        return self.browser.until(lambda: self.browser.texts(".accounts tbody th"), "no accounts")

    def shows(self, selector, text, seconds=15):
        self.browser.until(lambda: any(text in shown for shown in self.browser.texts(selector)),
                           lambda: f"{text!r} not in {self.browser.texts(selector)[:20]}", seconds)

    def await_completion(self, typed):
        """Until what is offered is for all that was typed."""
        listed = self.service.read(f"/v1/instruments?limit=12&search={typed}")["instruments"]
        names = [row["instrument"] for row in listed]
        self.browser.until(lambda: self.browser.texts(".combobox [role=option]") == names,
                           "no completion")

    def focused(self):
        return self.browser.run("return document.activeElement.textContent || "
                                "document.activeElement.id")

    def assert_no_complaints(self, *expected):
        found = [text for text in self.browser.complaints()
                 if not any(word in text for word in expected)]
        self.assertEqual(found, [])


class Accounts(PageTest):
    def test_order_and_paging(self):
        self.open_list()
        listed = self.service.read("/v1/accounts?limit=100")
        self.assertEqual(self.rows(), [row["account"] for row in listed["accounts"]])
        self.shows(".shown", f"of {listed['matched']:,}")
        if listed["matched"] > 100:
            following = self.service.read("/v1/accounts?limit=100&offset=100")["accounts"]
            self.browser.one(".pager button:last-child").click()
            self.browser.until(lambda: self.rows() == [row["account"] for row in following],
                               "not the second page")
            self.assertIn("offset=100", self.browser.driver.current_url)
        self.assert_no_complaints()

    def test_filter_by_text_and_status(self):
        self.open_list()
        name = self.rows()[0]
        self.browser.press("/")
        self.assertEqual(self.focused(), "filter")
        self.browser.press(name.upper())
        self.browser.until(lambda: self.rows() == [name], "not filtered")
        self.open_list("?status=ok")
        self.assertEqual(set(self.browser.texts(".accounts tbody td:nth-child(2)")), {"ok"})
        self.open("#/accounts?search=no-such-account")
        self.shows(".shown", "none of them matches")

    def test_sort(self):
        self.open_list()
        buttons = {button.text: button for button in self.browser.all(".accounts thead button")}
        for title, key, order in (("Margin", "margin", "descending"),
                                  ("Margin", "margin", "ascending"),
                                  ("Account", "account", "ascending")):
            with self.subTest(title=title, order=order):
                buttons[title].send_keys(Keys.ENTER)
                expected = self.service.read(
                    f"/v1/accounts?limit=100&sort={key}&order={order}")["accounts"]
                self.browser.until(lambda: self.rows() == [row["account"] for row in expected],
                                   "not in order")
                self.assertEqual(self.browser.texts("thead th[aria-sort]"), [title])
                self.assertEqual(
                    self.browser.one("thead th[aria-sort]").get_attribute("aria-sort"), order)

    def test_by_keyboard(self):
        self.open_list()
        names = self.rows()
        self.browser.press(Keys.TAB)
        self.assertEqual(self.focused(), "Skip to the content")
        self.browser.press(Keys.ENTER)
        self.assertEqual(self.browser.run("return document.activeElement.id"), "main")
        self.browser.press("/", Keys.ARROW_DOWN)
        self.assertEqual(self.focused(), names[0])
        self.assertNotEqual(
            self.browser.run("return getComputedStyle(document.activeElement).outlineStyle"),
            "none")
        self.browser.press(Keys.ARROW_DOWN, Keys.ARROW_DOWN)
        self.assertEqual(self.focused(), names[2])
        self.browser.press(Keys.END)
        self.assertEqual(self.focused(), names[-1])
        self.browser.press(Keys.ENTER)
        self.browser.one("h1.account")
        self.assertTrue(self.focused().startswith(names[-1]))
        self.browser.driver.back()
        self.rows()


class Live(PageTest):
    def change_position(self, account):
        instrument = self.service.read("/v1/instruments?limit=1&search=perpetual")
        instrument = instrument["instruments"][0]["instrument"]
        return self.service.send("POST", "/v1/positions", {
            "client_id": str(uuid.uuid4()),
            "changes": [{"account": account, "instrument": instrument, "quantity": "0.125"}]})

    def assert_follows(self, state, seconds):
        account = f"test-{uuid.uuid4().hex[:12]}"
        self.change_position(account)
        self.open(f"#/accounts?search={account}")
        self.shows("#connection", state)
        self.browser.until(lambda: account in self.browser.texts(".accounts tbody th"),
                           "not listed")

        def margin():
            return self.browser.texts(".accounts tbody td:nth-child(4)")[0]

        self.browser.until(lambda: margin() != "–", "no margin", 20)
        for _ in range(3):
            before = margin()
            self.change_position(account)
            self.browser.until(lambda: margin() != before, "the margin did not change", seconds)

    def test_events(self):
        # Without events the list is read when the stream begins and after 5 and 15 s: the third
        # change would be missed.
        self.assert_follows("live", 4.5)
        self.assert_no_complaints()

    def test_polling_where_there_is_no_stream(self):
        self.browser.block("*/v1/events")
        self.assert_follows("polling", 20)

    def test_service_that_does_not_answer(self):
        self.open_list()
        names = self.rows()
        self.browser.block("*/v1/*")
        self.browser.one("#filter").send_keys("x")
        self.shows(".problem", "The service does not answer.")
        self.shows("#connection", "no connection", 25)
        self.browser.block()
        self.browser.one("#filter").send_keys(Keys.BACKSPACE)
        self.browser.until(lambda: not self.browser.all(".problem"), "the problem stays")
        self.assertEqual(self.rows(), names)

    def test_new_call_is_announced(self):
        # Positions in an account without collateral: its equity does not cover the margin.
        account = f"call-{uuid.uuid4().hex[:12]}"
        instrument = self.service.read("/v1/instruments?limit=1&search=btc%20perp")
        self.open_list()
        self.shows("#connection", "live")
        self.service.send("POST", "/v1/positions", {
            "client_id": account, "changes": [
                {"account": account, "instrument": instrument["instruments"][0]["instrument"],
                 "quantity": "1000"}]})
        self.browser.until(lambda: account in self.browser.texts(".accounts tbody th"),
                           "the list is not live")
        if self.service.read(hash_of(account).replace("#", "/v1"))["margin"].get("status") == "ok":
            self.skipTest("the book has no collateral that runs short")
        self.shows(".alerts", account)
        self.shows("#announcer", account)


class Account(PageTest):
    def test_figures(self):
        account = self.open_account()
        value = self.service.read(hash_of(account).replace("#", "/v1"))
        margin = value["margin"]
        shown = self.browser.texts("[aria-labelledby=margin-title] tbody td:nth-child(2)")
        self.assertEqual([number(text) for text in shown],
                         [round(row["amount"], 2) for row in margin["components"]])
        self.assertEqual(number(self.browser.texts("dd.strong")[0]), round(margin["margin"], 2))
        self.assertEqual(self.browser.texts(".contributions tbody th"),
                         [row["instrument"] for row in value["contributions"]])
        self.assertEqual(self.browser.texts("section[aria-label=Positions] tbody th"),
                         [row["instrument"] for row in value["positions"]])
        self.shows(".origin", f"market #{value['source']['market_sequence']:,}")
        bins = self.browser.texts("details tbody td:nth-child(3)")
        self.assertEqual(sum(map(number, bins)), value["loss_distribution"]["paths"])
        self.browser.until(lambda: self.browser.run(browser.IS_DRAWN) == [True, True],
                           "charts are empty")
        labels = self.browser.run("return [...document.querySelectorAll('canvas')]"
                                  ".map((canvas) => canvas.ariaLabel)")
        self.assertIn("Base", labels[0])
        self.assertIn("VaR", labels[1])
        self.assert_no_complaints()

    def test_without_charts(self):
        self.browser.block("*/static/chart.js")
        self.open_account()
        self.assertEqual(self.browser.all("canvas"), [])
        self.shows(".note", "libjs-chart.js")
        self.assertTrue(self.browser.one("details").get_attribute("open"))

    def test_unknown(self):
        self.open("#/accounts/nobody")
        self.shows(".problem", "404: ")
        self.open("#/nothing")
        self.shows("h1", "No such view")
        self.open("#/accounts/%zz")
        self.shows("h1", "No such view")

    def test_names_are_text(self):
        for name in ("<script>window.hacked = 1</script>",
                     "\"><img src=x onerror='window.hacked = 1'>", "a/b?c#d%2F é & 'e'"):
            with self.subTest(name):
                instrument = self.service.read("/v1/instruments?limit=1")["instruments"][0]
                self.service.send("POST", "/v1/positions", {
                    "client_id": str(uuid.uuid4()), "changes": [
                        {"account": name, "instrument": instrument["instrument"],
                         "quantity": "1"}]})
                self.open("#/accounts?" + urllib.parse.urlencode({"search": name}))
                self.browser.until(lambda: name in self.browser.texts(".accounts tbody th"),
                                   "not listed")
                self.browser.one(".accounts tbody a").click()
                self.shows("h1", name)
                self.browser.one(".contributions tbody tr")
                self.assertIsNone(self.browser.run("return window.hacked ?? null"))
                self.assertEqual(self.browser.all("main script, main img"), [])
                self.assert_no_complaints()


class WhatIf(PageTest):
    def test_by_keyboard(self):
        account = self.open_account()
        listed = self.service.read("/v1/instruments?limit=12&search=perp")["instruments"]
        first, second = (row["instrument"] for row in listed[:2])
        self.browser.one(".combobox input").send_keys("perp")
        self.await_completion("perp")
        self.browser.press(Keys.ARROW_DOWN, Keys.ENTER)
        self.assertEqual(self.browser.one(".combobox input").get_property("value"), first)
        self.browser.press(Keys.TAB, "-2.5", Keys.TAB, Keys.TAB, Keys.ENTER)
        self.browser.until(lambda: len(self.browser.all(".leg")) == 2, "no second leg")
        self.browser.press(second, Keys.ESCAPE, Keys.TAB, "3", Keys.ENTER)
        self.browser.one(".answer table")
        trades = [{"instrument": first, "quantity": "-2.5"},
                  {"instrument": second, "quantity": "3"}]
        answer = self.service.send("POST", "/v1/whatif", {"account": account, "trades": trades})
        rows = {cells[0]: cells[1:] for cells in self.browser.run(
            "return [...document.querySelectorAll('.answer tr')]"
            ".map((row) => [...row.children].map((cell) => cell.textContent))")}
        figures = [number(text) for text in rows["Margin"]]
        self.assertEqual(figures, [round(answer["before"]["margin"], 2),
                                   round(answer["after"]["margin"], 2),
                                   round(answer["difference"]["margin"], 2)])
        self.shows(".answer dt", "Standard error of the difference")
        self.shows("#announcer", "before")
        self.assert_no_complaints()

    def test_refusal_is_shown_as_it_is(self):
        account = self.open_account()
        self.browser.one(".combobox input").send_keys("NO-SUCH")
        self.browser.press(Keys.TAB, "1", Keys.ENTER)
        _, _, content = self.service.ask("POST", "/v1/whatif", {
            "account": account, "trades": [{"instrument": "NO-SUCH", "quantity": "1"}]})
        problem = served.json.loads(content)["problems"][0]
        self.shows(".answer .problem", f"{problem['where']}: {problem['message']}")

    def test_form_stays_when_the_account_changes(self):
        account = self.open_account()
        self.browser.one(".combobox input").send_keys("half typ")
        held = self.service.read(hash_of(account).replace("#", "/v1"))["positions"][0]
        self.service.send("POST", "/v1/positions", {
            "client_id": str(uuid.uuid4()), "changes": [
                {"account": account, "instrument": held["instrument"], "quantity": "7"}]})
        before = self.browser.texts(".origin")
        self.browser.until(lambda: self.browser.texts(".origin") != before and
                           "fresh" in self.browser.texts(".origin")[0], "not live")
        self.assertEqual(self.browser.one(".combobox input").get_property("value"), "half typ")


class Engine(PageTest):
    def test_state_and_a_run(self):
        self.open("#/engine")
        engine = self.service.read("/v1/engine")
        self.browser.one("#backends-title")
        for backend in engine["backends"]:
            self.shows("section", backend["device"])
        self.shows("h2", "Last full run")
        self.shows("#connection", "live")
        asked = self.service.send("POST", "/v1/runs", {"kind": "full"})

        def ended():
            run = self.service.read(f"/v1/runs/{asked['id']}")
            return run["status"] == "done" and run

        run = self.browser.until(ended, "the run does not end", 60)
        self.browser.until(
            lambda: f"{run['sequence']}" in self.browser.texts("section:last-child tbody th"),
            "the run is not listed")
        self.shows("h2", f"Last full run: {run['sequence']}")
        self.assert_no_complaints()


class Token(PageTest):
    def setUp(self):
        super().setUp()
        if PLACE["mock"] is None:
            self.skipTest("needs a mock of its own")
        self.guarded = mock_server.Server(tokens=[("read", "for-reading")], account_count=20)
        self.addCleanup(self.guarded.stop)

    def test_asked_for_and_kept(self):
        self.open(service=served.Service(self.guarded.url))
        self.shows("#token-message", "asks for a token")
        self.assertEqual(self.focused(), "token-field")
        self.browser.press("wrong", Keys.ENTER)
        self.shows("#token-message", "send a token")
        self.browser.press("for-reading", Keys.ENTER)
        self.assertEqual(len(self.rows()), 20)
        self.shows("#connection", "live")
        self.assertEqual(self.browser.run("return {...sessionStorage}"),
                         {"shortfall-token": "for-reading"})
        self.assertEqual(self.browser.run("return localStorage.length"), 0)
        self.assertNotIn("for-reading", self.browser.driver.current_url)
        self.browser.driver.refresh()
        self.assertEqual(len(self.rows()), 20)
        self.assertEqual(self.guarded.mismatches, [])

    def test_declined(self):
        self.open(service=served.Service(self.guarded.url))
        self.shows("#token-message", "asks for a token")
        self.browser.press(Keys.ESCAPE)
        self.shows(".problem", "401: send a token")
        self.browser.one("#token-button").click()
        self.browser.press("for-reading", Keys.ENTER)
        self.assertEqual(len(self.rows()), 20)


class Looks(PageTest):
    """Each view in each size and scheme; screenshots where a folder is given."""

    def views(self):
        yield "accounts", self.open_list
        yield "account", self.open_account
        yield "whatif", self.open_answer
        yield "engine", self.open_engine

    def open_engine(self):
        self.open("#/engine")
        self.browser.one("section:last-child tbody tr")
        self.browser.one("#backends-title")

    def open_answer(self):
        self.open_account()
        self.browser.one(".combobox input").send_keys("BTC")
        self.await_completion("BTC")
        self.browser.press(Keys.ARROW_DOWN, Keys.ENTER, Keys.TAB, "-1.5", Keys.ENTER)
        self.browser.one(".answer table")
        self.browser.run("document.querySelector('.whatif').scrollIntoView()")

    def test_views(self):
        service = self.service
        # A name as long as names get, which has to fit too.
        instrument = service.read("/v1/instruments?limit=1")["instruments"][0]["instrument"]
        service.send("POST", "/v1/positions", {"client_id": str(uuid.uuid4()), "changes": [
            {"account": "long-" + "x" * 251, "quantity": "1000000", "instrument": instrument}]})
        for size in (browser.WIDE, browser.PHONE):
            for is_dark in (False, True):
                for name, open_view in self.views():
                    scheme = "dark" if is_dark else "light"
                    with self.subTest(view=name, size=size, scheme=scheme):
                        self.browser.look(size, is_dark)
                        open_view()
                        self.browser.until(lambda: all(self.browser.run(browser.IS_DRAWN)),
                                           "not drawn")
                        self.shows("#connection", "live")
                        if PLACE["screenshots"]:
                            self.browser.screenshot(
                                PLACE["screenshots"] / f"{name}-{size[0]}x{size[1]}-{scheme}.png")
                        self.assertEqual(self.browser.run(browser.CONTRAST), [])
                        self.assertEqual(self.browser.run(browser.SEMANTICS), [])
                        self.assertLessEqual(
                            self.browser.run("return document.scrollingElement.scrollWidth"),
                            size[0], "the page scrolls sideways")
                        self.assert_no_complaints()

    def test_nothing_comes_from_elsewhere(self):
        self.open_account()
        for name in self.browser.run("return performance.getEntries().map(({ name }) => name)"
                                     ".filter((name) => name.includes('://'))"):
            self.assertTrue(name.startswith(self.service.url), name)


def main():
    parser = served.arguments(__doc__)
    parser.add_argument("--screenshots", type=Path, help="folder for screenshots")
    options = parser.parse_args()
    if options.screenshots:
        options.screenshots.mkdir(parents=True, exist_ok=True)
    PLACE["screenshots"] = options.screenshots
    PLACE["service"], PLACE["mock"] = served.start(options)
    return served.run(sys.modules[__name__], options)


if __name__ == "__main__":
    sys.exit(main())
