"""explain, whatif, importance, compare and calibrate from outside, as their users meet them.

usage: cli_analysis_test.py PROGRAM [CLASS...]   as cli_test.py
"""

import datetime
import hashlib
import json
import math
import os
import shutil
import subprocess
import sys

import cli_test
from cli_test import CONFIG, DEMO, ProgramTest, tree


class Explain(ProgramTest):
    def test_account(self):
        done = self.shortfall("explain", CONFIG, "--account", "basis-trade-02", "--paths", 5000)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        margin = self.margins(paths=5000).decode().split("basis-trade-02,")[1].split(",")[6]
        self.assertIn(f"{float(margin.splitlines()[0]):,.0f}", done.stdout)
        self.assertIn("worst paths", done.stdout)
        self.assertLessEqual(max(map(len, done.stdout.splitlines())), 100)

    def test_bad_input(self):
        done = self.shortfall("explain", CONFIG, "--account", "market-maker-3", "--paths", 2000)
        self.assert_refused(done, 2, "positions.csv", '"market-maker-3"', "market-maker-03")
        self.assert_refused(self.shortfall("explain", CONFIG), 2, "--account")

    def test_attribution(self):
        self.margins("--attribution")
        lines = (self.out / "attribution.csv").read_text().splitlines()
        self.assertEqual(lines[0], "account,underlying,instrument,quantity,component_es,"
                                   "underlying_component_es")
        record = json.loads((self.out / "run.json").read_text())
        digest = hashlib.sha256((self.out / "attribution.csv").read_bytes()).hexdigest()
        self.assertEqual(record["sha256"]["attribution.csv"], digest)
        self.margins()
        self.assertFalse((self.out / "attribution.csv").exists())


class WhatIf(ProgramTest):
    base = ("whatif", CONFIG, "--paths", 2000, "--account")

    def test_after_is_a_run_with_the_trade(self):
        book = self.work / "book"
        shutil.copytree(DEMO, book)
        with open(book / "positions.csv", "a") as positions:
            positions.write("market-maker-03,SOL-PERPETUAL,2000\n")
        self.shortfall("run", book / "run.toml", "--paths", 2000, "--out", self.out)
        rows = (self.out / "margin.csv").read_text().splitlines()
        want = next(row for row in rows if row.startswith("market-maker-03,")).split(",")[7]
        done = self.shortfall(*self.base, "market-maker-03", "--trade", "SOL-PERPETUAL:2000")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertIn(f"{float(want):,.0f}", done.stdout)

    def test_interactive(self):
        lines = "BTC-PERPETUAL:10\n\nBTC-NONE:1\naccount covered-call-01\nBTC-SPOT:-1\nquit\n"
        done = self.shortfall(*self.base, "market-maker-03", "--interactive",
                              input=lines, stdin=None)
        self.assertEqual(done.returncode, 2)
        self.assertIn("BTC-NONE", done.stderr)
        self.assertIn("1 refused", done.stderr)
        self.assertIn("ms", done.stdout)

    def test_interactive_ends_with_its_reader(self):
        endless = subprocess.Popen(["yes", "BTC-PERPETUAL:1"], stdout=subprocess.PIPE)
        self.addCleanup(endless.kill)
        reader, writer = os.pipe()
        os.close(reader)
        done = self.shortfall(*self.base, "market-maker-03", "--interactive", "--base-only",
                              stdin=endless.stdout, stdout=writer)
        os.close(writer)
        self.assert_refused(done, 1, "standard output")

    def test_bad_input(self):
        for arguments, fragments in (
            (("nobody", "--trade", "BTC-PERPETUAL:1"), ('"nobody"', "--open")),
            (("market-maker-03", "--trade", "BTC-PERPETUA:1"), ("BTC-PERPETUAL",)),
            (("market-maker-03", "--trade", "BTC-PERPETUAL"), ("INSTRUMENT:QUANTITY",)),
            (("market-maker-03", "--trade", "BTC-PERPETUAL:ten"), ("ten",)),
            (("market-maker-03",), ("--trade",)),
            (("market-maker-03", "--interactive", "--trade", "BTC-PERPETUAL:1"), ("--trade",)),
        ):
            with self.subTest(arguments):
                self.assert_refused(self.shortfall(*self.base, *arguments), 2, *fragments)
        opened = self.shortfall(*self.base, "nobody", "--open", "--trade", "BTC-PERPETUAL:1")
        self.assertEqual((opened.returncode, opened.stderr), (0, ""))


class Importance(ProgramTest):
    def run_account(self, account, *more):
        return self.shortfall("run", CONFIG, "--importance", account, "--out", self.out, *more)

    def test_account(self):
        plain = self.margins()
        done = self.run_account("market-maker-03", "--paths", 20000)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertIn("as precise as", done.stdout)
        names, values = (line.split(",") for line in
                         (self.out / "importance.csv").read_text().splitlines())
        row = dict(zip(names, values))
        self.assertEqual((row["account"], row["paths"]), ("market-maker-03", "20000"))
        self.assertGreater(float(row["variance_ratio"]), 20)
        self.assertEqual((self.out / "margin.csv").read_bytes(), plain)
        quiet = self.run_account("market-maker-03", "--paths", 20000, "--quiet")
        self.assertEqual((quiet.returncode, quiet.stdout, quiet.stderr), (0, "", ""))

    def test_bad_input(self):
        self.assert_refused(self.run_account("market-maker-3"), 2, '"market-maker-3"',
                            "market-maker-03")
        self.assert_refused(self.run_account("market-maker-03", "--paths", 500), 2, "10000 paths")
        self.assert_refused(self.run_account("market-maker-03", "--attribution"), 2,
                            "--importance")
        self.assert_refused(self.run_account(""), 2, 'no account ""')


class Compare(ProgramTest):
    def test_gallery_is_the_one_of_the_readme(self):
        root = DEMO.parent.parent
        done = self.shortfall("compare", root / "configs" / "strategies" / "run.toml",
                              "--out", self.out)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertIn(done.stdout, (root / "README.md").read_text())
        self.assertEqual(len((self.out / "compare.csv").read_text().splitlines()), 15)

    def test_parameters(self):
        span = self.work / "span.toml"
        span.write_text("[span]\nprice_range = 0.32\n")
        base = ("compare", CONFIG, "--paths", 2000, "--out", self.out)
        totals = []
        for arguments in ((), ("--span", span)):
            done = self.shortfall(*base, *arguments)
            self.assertEqual(done.returncode, 0, done.stderr)
            rows = (self.out / "compare.csv").read_text().splitlines()
            place = rows[0].split(",").index("span")
            totals.append(sum(float(row.split(",")[place]) for row in rows[1:]))
        self.assertGreater(totals[1], 1.2 * totals[0])
        before = tree(self.out)
        span.write_text("[span]\nprize_range = 0.32\n")
        self.assert_refused(self.shortfall(*base, "--span", span), 2, "span.toml:2", "prize_range")
        self.assertEqual(tree(self.out), before)


class Calibrate(ProgramTest):
    def prices(self):
        """400 days of two coins, the second listed late."""
        rows, btc, eth, state = ["date,BTC,ETH"], 20000.0, 1000.0, 1
        for day in range(400):
            date = datetime.date(2024, 1, 1) + datetime.timedelta(day)
            rows.append(f"{date},{btc!r},{eth!r}" if day >= 100 else f"{date},{btc!r},")
            moves = []
            for _ in range(2):  # Lehmer's generator; sums of twelve are nearly normal
                total = 0
                for _ in range(12):
                    state = state * 48271 % 2147483647
                    total += state / 2147483647
                moves.append(0.02 * (total - 6))
            btc *= math.exp(moves[0])
            eth *= math.exp(moves[0] + moves[1])
        file = self.work / "prices.csv"
        file.write_text("\n".join(rows) + "\n")
        return file

    def test_covariance_and_report(self):
        out = self.out / "covariance.csv"
        for method in ("sample", "ewma", "ledoit_wolf", "garch"):
            done = self.shortfall("calibrate", "--prices", self.prices(), "--method", method,
                                  "--out", out)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertIn("degrees of freedom", done.stdout)
            rows = out.read_text().splitlines()
            self.assertEqual(rows[0], "factor,BTC.spot,ETH.spot")
            variance = float(rows[1].split(",")[1])
            self.assertLess(abs(math.log(variance / 4e-4)), 0.7)  # the last weeks differ
            report = json.loads((self.out / "covariance.report.json").read_text())
            self.assertEqual(report["settings"]["method"], method)
            self.assertEqual(report["sha256"]["covariance.csv"],
                             hashlib.sha256(out.read_bytes()).hexdigest())
            self.assertEqual(report["series"][1]["first"], "2024-04-10")

    def test_bad_input(self):
        prices, out = self.prices(), self.out / "covariance.csv"
        base = ("calibrate", "--prices", prices)
        for arguments, parts in (
                ((), ("--out FILE",)),
                (("--out", out, "--method", "arma"), ("--method", "arma")),
                (("--out", out, "--method", ""), ("--method",)),
                (("--out", out, "--half-life", "1e999"), ("--half-life",)),
                (("--out", out, "--to", "2031-01-01"), ("prices.csv", "2025-02-03")),
                (("--out", prices), ("over an input",)),
                (("--out", out, "--from", "2025-01-01"), ("prices.csv", "33 changes"))):
            self.assert_refused(self.shortfall(*base, *arguments), 2, *parts)
        text = prices.read_text().splitlines()
        prices.write_text("\n".join(text[:200] + ["2024-07-19,1,1"] + text[201:]) + "\n")
        self.assert_refused(self.shortfall(*base, "--out", out), 2, "prices.csv:201",
                            "a thousand times")
        self.assertFalse(self.out.exists())


if __name__ == "__main__":
    sys.exit(cli_test.main(sys.modules[__name__]))
