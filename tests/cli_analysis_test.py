"""explain, whatif, importance, compare, calibrate and backtest from outside, as their users meet them.

usage: cli_analysis_test.py PROGRAM [CLASS...]   as cli_test.py
"""

import csv
import datetime
import hashlib
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time

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


def write_prices(folder):
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
    file = folder / "prices.csv"
    file.write_text("\n".join(rows) + "\n")
    return file


class Calibrate(ProgramTest):
    def test_covariance_and_report(self):
        out = self.out / "covariance.csv"
        for method in ("sample", "ewma", "ledoit_wolf", "garch"):
            done = self.shortfall("calibrate", "--prices", write_prices(self.work), "--method",
                                  method, "--out", out)
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
        prices, out = write_prices(self.work), self.out / "covariance.csv"
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


class Backtest(ProgramTest):
    """On 400 days of two coins and a volatility."""

    def setUp(self):
        super().setUp()
        self.prices = write_prices(self.work)
        rows = self.prices.read_text().splitlines()
        moved = math.sin  # any smooth history will do for a volatility
        self.vols = self.work / "vols.csv"
        self.vols.write_text("day,dvol\n" + "".join(
            f"{row.split(',')[0]},{50 + 5 * moved(i * i)!r}\n" for i, row in enumerate(rows[1:])))
        self.config = self.work / "backtest.toml"

    def write(self, **settings):
        merged = {"from": "2024-12-01", "to": "2025-01-31", "window": 200, "min_observations": 150,
                  "paths": 2000, "histories": 99, "out": "out", **settings}
        self.config.write_text("[backtest]\n" + "".join(
            f"{key} = {json.dumps(value)}\n" for key, value in merged.items()) + f"""
[prices]
file = "{self.prices.name}"
[histories.dvol]
file = "{self.vols.name}"
time = "day"
columns = {{dvol = "BTC.vol.30d"}}
unit = "percent"
strike = "at_the_money"
slope = 0.0
[books]
"BTC, long" = {{BTC = 1000}}
straddle = {{"BTC straddle 30d" = -1000}}
""")
        return self.config

    def test_csv_and_report(self):
        methods = ["sample", "ewma", "ledoit_wolf", "garch"]
        done = self.shortfall("backtest", self.write(methods=methods, window=0,
                                                     min_observations=230))
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual(sorted(tree(self.out)),
                         sorted([f"{method}.csv" for method in methods] + ["report.html"]))
        self.assertLessEqual(max(len(line) for line in done.stdout.splitlines()
                                 if not line.startswith("warning: ")), 100)
        for method in methods:
            self.assertRegex(done.stdout, f"{method} at 0.99: no test rejects [0-2] of 2 books")
            with open(self.out / f"{method}.csv", newline="") as file:
                rows = list(csv.DictReader(file))
            self.assertEqual(len(rows), 62 * 2 * 2)
            self.assertEqual({row["book"] for row in rows}, {"BTC, long", "straddle"})
            closes = {row["date"]: float(row["BTC"]) for row in csv.DictReader(
                self.prices.read_text().splitlines())}
            for row in rows:
                var, shortfall, loss = (float(row[name]) for name in (
                    "value_at_risk_usd", "expected_shortfall_usd", "loss_usd"))
                self.assertGreater(shortfall, var)
                self.assertEqual(row["is_exceedance"] == "1", loss > var)
                before = str(datetime.date.fromisoformat(row["date"]) - datetime.timedelta(1))
                self.assertEqual(row["calibrated_to"], before)
                if row["book"] == "BTC, long":
                    self.assertAlmostEqual(
                        loss, 1000 * (1 - closes[row["date"]] / closes[before]), places=8)
        html = (self.out / "report.html").read_text()
        self.assertNotIn("://", html)
        self.assertEqual(html.count("<polyline"), 2 * 2 * len(methods))
        self.assertIn(hashlib.sha256(self.vols.read_bytes()).hexdigest(), html)

    def test_same_bytes_for_any_threads(self):
        results = []
        for threads in (1, 2, 5):
            self.assertEqual(self.shortfall("backtest", self.write(threads=threads)).returncode, 0)
            results.append((self.out / "sample.csv").read_bytes())
        self.assertEqual(results[0], results[1])
        self.assertEqual(results[0], results[2])

    def test_bad_input(self):
        config = self.write()
        text = config.read_text()
        for old, new, parts in (
                ('window = 200', 'window = 350', ("prices.csv", "334 changes", "350")),
                ('out = ', 'calibrated_to = "2024-12-15"\nout = ',
                 ("2024-12-15 is inside the test window",)),
                ('"2025-01-31"', '"2026-01-31"', ("prices.csv", "2025-02-03")),
                ('{BTC = 1000}', '{SOL = 1000}', ("no prices of SOL", "BTC, ETH")),
                ('straddle 30d', 'straddle 7d', ("no BTC.vol.7d", "BTC call 7d")),
                ('straddle 30d', 'swap 30d', ("backtest.toml:21", "no position")),
                ('BTC = 1000', 'BTC = nan', ("backtest.toml:20", "BTC")),
                ('unit = "percent"', 'unit = "decimal"', ("vols.csv:2", "0.01")),
                ('unit = "percent"', '', ("unit is missing",)),
                ('out = "out"', 'out = "."\nmethods = ["sampel"]', ("sampel",)),
                ('to = "2025-01-31"', 'to = "2024-01-31"', ("to is before from",)),
                ('window = 200', 'distribution = "gaussian"\ndegrees_of_freedom = 5',
                 ("backtest.toml", "degrees_of_freedom is for student_t")),
                ('{BTC = 1000}', '{"A\\u001b" = 1}', ("backtest.toml:20", "no position")),
                ('file = "prices.csv"', 'file = "none.csv"', ("none.csv",))):
            self.assertIn(old, text)
            config.write_text(text.replace(old, new, 1))
            self.assert_refused(self.shortfall("backtest", config), 2, *parts)
        self.assertFalse(self.out.exists())

    def test_interrupted_leaves_the_old_result(self):
        self.shortfall("backtest", self.write())
        before = tree(self.out)
        for number in (signal.SIGINT, signal.SIGTERM):
            process = subprocess.Popen(
                [cli_test.PROGRAM, "backtest", self.write(seed=2, paths=2_000_000, threads=1)],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                text=True)
            time.sleep(0.5)
            self.assertIsNone(process.poll(), "the walk ended before the signal")
            process.send_signal(number)
            error = process.communicate(timeout=30)[1]
            self.assertEqual(process.returncode, 1)
            self.assertIn("interrupted: nothing was written", error)
            self.assertEqual(tree(self.out), before)

    def test_a_result_that_cannot_be_written(self):
        self.out.write_text("a file where the folder is to be")
        self.assert_refused(self.shortfall("backtest", self.write()), 2, "out", "no folder")
        self.assertEqual(self.out.read_text(), "a file where the folder is to be")


if __name__ == "__main__":
    sys.exit(cli_test.main(sys.modules[__name__]))
