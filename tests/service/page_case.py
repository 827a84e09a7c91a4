"""What the tests of the page share: a service with a large book, one with tokens, and a browser."""

import os
import sys
import unittest
from pathlib import Path

import browser

try:
    import book
    import served
except ImportError as missing:
    print(f"skipped: not installed: python3-{missing.name}")
    sys.exit(77)

READ = "for-reading-only"


def number(text):
    """A figure of the page."""
    return float(text.replace(",", "").replace("−", "-").replace("+", ""))


def hash_of(account):
    return f"#/accounts/{served.quoted(account)}"


class PageTest(unittest.TestCase):
    # The book of 1,400 instruments and 1,000 accounts, who serves it, who serves another to those
    # with a token, and who looks. main() sets them.
    book = service = guarded = window = None

    def setUp(self):
        self.window.look(browser.WIDE, is_dark=False)
        self.window.block()

    def open(self, hash_="", url=None):
        self.window.open(f"{url or self.service.url}/{hash_}")

    def open_list(self, query=""):
        self.open(f"#/accounts{query}")
        self.rows()

    def open_account(self, account=None):
        account = account or self.some_account()
        self.open(hash_of(account))
        self.window.one(".contributions tbody tr")
        return account

    def some_account(self):
        """The one with most positions of those that are called and no market maker."""
        rows = self.service.read("/v1/accounts?limit=200&sort=positions&status=call")["accounts"]
        return next(row["account"] for row in rows
                    if row["positions"] < 200 and row["mode"] == "portfolio")

    def rows(self):
        return self.window.until(lambda: self.window.texts(".accounts tbody th"), "no accounts")

    def shows(self, selector, text, seconds=15):
        self.window.until(lambda: any(text in shown for shown in self.window.texts(selector)),
                          lambda: f"{text!r} not in {self.window.texts(selector)[:20]}", seconds)

    def await_completion(self, typed):
        """Until what is offered is for all that was typed."""
        listed = self.service.read(f"/v1/instruments?limit=12&search={typed}")["instruments"]
        names = [row["instrument"] for row in listed]
        self.window.until(lambda: self.window.texts(".combobox [role=option]") == names,
                          "no completion")

    def focused(self):
        return self.window.run("return document.activeElement.textContent || "
                               "document.activeElement.id")

    def assert_no_complaints(self, *expected):
        found = [text for text in self.window.complaints()
                 if not any(word in text for word in expected)]
        self.assertEqual(found, [])


def main(module):
    """usage: SHORTFALL SCREENSHOTS [CLASS...]; the exit status."""
    if lack := browser.missing():
        print(f"skipped: not installed: {lack}")
        return 77
    program, screenshots, *classes = sys.argv[1:]
    PageTest.screenshots = Path(screenshots)
    PageTest.screenshots.mkdir(parents=True, exist_ok=True)
    place = served.Place(os.path.abspath(program))
    try:
        config = place.book(accounts=1000, instruments=1400, underlyings=7, paths=10000)
        PageTest.book = config.parent
        PageTest.service = place.serve(config)
        PageTest.guarded = place.serve(book.DEMO, "--paths", "2000", *place.tokens(read=READ))
        PageTest.window = browser.Browser()
        try:
            return served.run(module, classes)
        finally:
            PageTest.window.quit()
    finally:
        place.clear()
