"""The page in headless Chromium, as its users meet it: list, account, what-if, engine, token.

usage: page_test.py SHORTFALL SCREENSHOTS [CLASS...]

Writes screenshots into the folder SCREENSHOTS. Exit status 0: passed; 1: failed; 77: skipped, and a
line "skipped: reason" says why.
"""

import json
import sys
import urllib.parse
import uuid

import browser
import page_case
from browser import Keys
from page_case import READ, PageTest, hash_of, number
from page_views import Appearance, Size  # noqa: F401, tests too


class List(PageTest):
    def test_order_and_paging(self):
        self.open_list()
        listed = self.service.read("/v1/accounts?limit=100")
        self.assertEqual(self.rows(), [row["account"] for row in listed["accounts"]])
        self.shows(".shown", f"of {listed['matched']:,}")
        if listed["matched"] > 100:
            following = self.service.read("/v1/accounts?limit=100&offset=100")["accounts"]
            self.window.one(".pager button:last-child").click()
            self.window.until(lambda: self.rows() == [row["account"] for row in following],
                              "not the second page")
            self.assertIn("offset=100", self.window.driver.current_url)
        self.assert_no_complaints()

    def test_filter_by_text_and_status(self):
        self.open_list()
        name = self.rows()[0]
        self.window.press("/")
        self.assertEqual(self.focused(), "filter")
        self.window.press(name.upper())
        self.window.until(lambda: self.rows() == [name], "not filtered")
        self.open_list("?status=ok")
        self.assertEqual(set(self.window.texts(".accounts tbody td:nth-child(2)")), {"ok"})
        self.open("#/accounts?search=no-such-account")
        self.shows(".shown", "none of them matches")

    def test_sort(self):
        self.open_list()
        buttons = {button.text: button for button in self.window.all(".accounts thead button")}
        for title, key, order in (("Margin", "margin", "descending"),
                                  ("Margin", "margin", "ascending"),
                                  ("Account", "account", "ascending")):
            with self.subTest(title=title, order=order):
                buttons[title].send_keys(Keys.ENTER)
                expected = self.service.read(
                    f"/v1/accounts?limit=100&sort={key}&order={order}")["accounts"]
                self.window.until(lambda: self.rows() == [row["account"] for row in expected],
                                  "not in order")
                self.assertEqual(self.window.texts("thead th[aria-sort]"), [title])
                self.assertEqual(
                    self.window.one("thead th[aria-sort]").get_attribute("aria-sort"), order)

    def test_by_keyboard(self):
        self.open_list()
        names = self.rows()
        self.window.press(Keys.TAB)
        self.assertEqual(self.focused(), "Skip to the content")
        self.window.press(Keys.ENTER)
        self.assertEqual(self.window.run("return document.activeElement.id"), "main")
        self.window.press("/", Keys.ARROW_DOWN)
        self.assertEqual(self.focused(), names[0])
        self.assertNotEqual(
            self.window.run("return getComputedStyle(document.activeElement).outlineStyle"),
            "none")
        self.window.press(Keys.ARROW_DOWN, Keys.ARROW_DOWN)
        self.assertEqual(self.focused(), names[2])
        self.window.press(Keys.END)
        self.assertEqual(self.focused(), names[-1])
        self.window.press(Keys.ENTER)
        self.window.one("h1.account")
        self.assertTrue(self.focused().startswith(names[-1]))
        self.window.driver.back()
        self.rows()

    def test_to_the_engine_by_keyboard(self):
        self.open_list()
        self.window.press(Keys.TAB, Keys.TAB, Keys.TAB, Keys.TAB)
        self.assertEqual(self.focused(), "Engine")
        self.window.press(Keys.ENTER)
        self.shows("h1", "Engine")
        self.assertEqual(self.focused(), "Engine")  # the title: what is read next is the view


class Live(PageTest):
    def change_position(self, account):
        self.service.change(str(uuid.uuid4()), account, "BTC-PERPETUAL", "5000")

    def assert_follows(self, state, changes, seconds):
        account = f"test-{uuid.uuid4().hex[:12]}"
        self.change_position(account)
        self.open(f"#/accounts?search={account}")
        self.shows("#connection", state)
        self.window.until(lambda: account in self.window.texts(".accounts tbody th"),
                          "not listed")

        def margin():
            return self.window.texts(".accounts tbody td:nth-child(4)")[0]

        self.window.until(lambda: margin() != "–", "no margin", 20)
        for _ in range(changes):
            before = margin()
            self.change_position(account)
            self.window.until(lambda: margin() != before, "the margin did not change", seconds)

    def test_events(self):
        # Without events the list is read when the stream begins and after 5 and 15 s: the third
        # change would be missed.
        self.assert_follows("live", 3, 4.5)
        self.assert_no_complaints()

    def test_polling_where_there_is_no_stream(self):
        self.window.block("*/v1/events")
        self.assert_follows("polling", 1, 20)

    def test_only_what_is_seen_holds_a_stream(self):
        # More pages than the connections that a browser opens to one place.
        for _ in range(8):
            self.open_list()
        self.shows("#connection", "live")
        self.await_streams(1)
        self.window.driver.switch_to.new_window("tab")
        try:
            self.await_streams(0)
        finally:
            self.window.driver.close()
            self.window.driver.switch_to.window(self.window.driver.window_handles[0])
        self.await_streams(1)

    def await_streams(self, wanted):
        self.window.until(lambda: self.service.read("/v1/engine")["event_streams"] == wanted,
                     lambda: f"{self.service.read('/v1/engine')['event_streams']} streams")

    def test_service_that_does_not_answer(self):
        self.open_list()
        names = self.rows()
        self.window.block("*/v1/*")
        self.window.one("#filter").send_keys("x")
        self.shows(".problem", "The service does not answer.")
        self.shows("#connection", "no connection", 25)
        self.window.block()
        self.window.one("#filter").send_keys(Keys.BACKSPACE)
        self.window.until(lambda: not self.window.all(".problem"), "the problem stays")
        self.assertEqual(self.rows(), names)

    def test_new_call_is_announced(self):
        # Positions in an account without collateral: its equity does not cover the margin.
        account = f"call-{uuid.uuid4().hex[:12]}"
        self.open_list()
        self.shows("#connection", "live")
        self.service.change(account, account, "BTC-PERPETUAL", "1000")
        self.window.until(lambda: account in self.window.texts(".accounts tbody th"),
                          "the list is not live")
        self.shows(".alerts", account)
        self.shows("#announcer", account)


class OneAccount(PageTest):
    def test_figures(self):
        account = self.open_account()
        value = self.service.read(hash_of(account).replace("#", "/v1"))
        margin = value["margin"]
        shown = self.window.texts("[aria-labelledby=margin-title] tbody td:nth-child(2)")
        self.assertEqual([number(text) for text in shown],
                         [round(row["amount"], 2) for row in margin["components"]])
        self.assertEqual(number(self.window.texts("dd.strong")[0]), round(margin["margin"], 2))
        self.assertEqual(self.window.texts(".contributions tbody th"),
                         [row["instrument"] for row in value["contributions"]])
        self.assertEqual(self.window.texts("[aria-labelledby=positions-title] tbody th"),
                         [row["instrument"] for row in value["positions"]])
        self.shows(".origin", f"market #{value['source']['market_sequence']:,}")
        bins = self.window.texts("details tbody td:nth-child(3)")
        self.assertEqual(sum(map(number, bins)), value["loss_distribution"]["paths"])
        self.window.until(lambda: self.window.run(browser.IS_DRAWN) == [True, True],
                          "charts are empty")
        labels = self.window.run("return [...document.querySelectorAll('canvas')]"
                                 ".map((canvas) => canvas.ariaLabel)")
        self.assertIn("Base", labels[0])
        self.assertIn("VaR", labels[1])
        self.assert_no_complaints()

    def test_without_charts(self):
        self.window.block("*/static/chart.js")
        self.open_account()
        self.assertEqual(self.window.all("canvas"), [])
        self.shows(".note", "libjs-chart.js")
        self.assertTrue(self.window.one("details").get_attribute("open"))

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
                self.service.change(str(uuid.uuid4()), name, "BTC-PERPETUAL", "1")
                self.open("#/accounts?" + urllib.parse.urlencode({"search": name}))
                self.window.until(lambda: name in self.window.texts(".accounts tbody th"),
                                  "not listed")
                self.window.one(".accounts tbody a").click()
                self.shows("h1", name)
                self.window.one(".contributions tbody tr")
                self.assertIsNone(self.window.run("return window.hacked ?? null"))
                self.assertEqual(self.window.all("main script, main img"), [])
                self.assert_no_complaints()


class WhatIf(PageTest):
    def test_by_keyboard(self):
        account = self.open_account()
        listed = self.service.read("/v1/instruments?limit=12&search=perp")["instruments"]
        first, second = (row["instrument"] for row in listed[:2])
        self.window.one(".combobox input").send_keys("perp")
        self.await_completion("perp")
        self.window.press(Keys.ARROW_DOWN, Keys.ENTER)
        self.assertEqual(self.window.one(".combobox input").get_property("value"), first)
        self.window.press(Keys.TAB, "-2.5", Keys.TAB, Keys.TAB, Keys.ENTER)
        self.window.until(lambda: len(self.window.all(".leg")) == 2, "no second leg")
        self.window.press(second, Keys.ESCAPE, Keys.TAB, "3", Keys.ENTER)
        self.window.one(".answer table")
        trades = [{"instrument": first, "quantity": "-2.5"},
                  {"instrument": second, "quantity": "3"}]
        answer = self.service.send("POST", "/v1/whatif", {"account": account, "trades": trades})
        rows = {cells[0]: cells[1:] for cells in self.window.run(
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
        self.window.one(".combobox input").send_keys("NO-SUCH")
        self.window.press(Keys.TAB, "1", Keys.ENTER)
        _, _, content = self.service.ask("POST", "/v1/whatif", {
            "account": account, "trades": [{"instrument": "NO-SUCH", "quantity": "1"}]})
        problem = json.loads(content)["problems"][0]
        self.shows(".answer .problem", f"{problem['where']}: {problem['message']}")

    def test_form_stays_when_the_account_changes(self):
        account = self.open_account()
        self.window.one(".combobox input").send_keys("half typ")
        held = self.service.read(hash_of(account).replace("#", "/v1"))["positions"][0]
        self.service.change(str(uuid.uuid4()), account, held["instrument"], "7")
        before = self.window.texts(".origin")
        self.window.until(lambda: self.window.texts(".origin") != before and
                          "fresh" in self.window.texts(".origin")[0], "not live")
        self.assertEqual(self.window.one(".combobox input").get_property("value"), "half typ")


class Engine(PageTest):
    def test_state_and_a_run(self):
        self.open("#/engine")
        engine = self.service.read("/v1/engine")
        self.window.one("#backends-title")
        for backend in engine["backends"]:
            self.shows("section", backend["device"])
        self.shows("h2", "Last full run")
        self.shows("#connection", "live")
        asked = self.service.send("POST", "/v1/runs", {"kind": "full"})

        def ended():
            run = self.service.read(f"/v1/runs/{asked['id']}")
            return run["status"] == "done" and run

        run = self.window.until(ended, "the run does not end", 60)
        self.window.until(
            lambda: f"{run['sequence']}" in self.window.texts("section:last-child tbody th"),
            "the run is not listed")
        self.shows("h2", f"Last full run: {run['sequence']}")
        self.assert_no_complaints()


class Token(PageTest):
    def open_guarded(self):
        self.window.open(self.guarded.url + "/static/page.css")  # its origin, with its storage
        self.window.run("sessionStorage.clear()")
        self.open(url=self.guarded.url)

    def test_asked_for_and_kept(self):
        self.open_guarded()
        self.shows("#token-message", "asks for a token")
        self.assertEqual(self.focused(), "token-field")
        self.window.press("wrong", Keys.ENTER)
        self.shows("#token-message", "send a token")
        self.window.press(READ, Keys.ENTER)
        self.assertEqual(len(self.rows()), 100)
        self.shows("#connection", "live")
        self.assertEqual(self.window.run("return {...sessionStorage}"),
                         {"shortfall-token": READ})
        self.assertEqual(self.window.run("return localStorage.length"), 0)
        self.assertNotIn(READ, self.window.driver.current_url)
        self.window.driver.refresh()
        self.assertEqual(len(self.rows()), 100)

    def test_declined(self):
        self.open_guarded()
        self.shows("#token-message", "asks for a token")
        self.window.press(Keys.ESCAPE)
        self.shows(".problem", "401: send a token")
        self.window.one("#token-button").click()
        self.window.press(READ, Keys.ENTER)
        self.assertEqual(len(self.rows()), 100)


if __name__ == "__main__":
    sys.exit(page_case.main(sys.modules[__name__]))
