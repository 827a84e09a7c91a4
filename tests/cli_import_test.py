"""import from outside, as its users meet it.

usage: cli_import_test.py PROGRAM [CLASS...]   as cli_test.py
"""

import json
import sys

import cli_test
from cli_test import ProgramTest, tree

TIME_MS = 1768469400250  # 2026-01-15T09:30:00.250Z


class Import(ProgramTest):
    def summary(self, name, **members):
        return {"instrument_name": name, "creation_timestamp": TIME_MS, "base_currency": "BTC",
                "estimated_delivery_price": 96000, **members}

    def save(self, *entries, name="summary.json"):
        path = self.work / name
        path.write_text(json.dumps({"jsonrpc": "2.0", "result": list(entries)}))
        return path

    def call(self, **members):
        return self.summary("BTC-27MAR26-95000-C", **{
            "mark_price": 0.08, "mark_iv": 40.48, "underlying_price": 97000,
            "underlying_index": "BTC-27MAR26", **members})

    def test_writes_what_check_reads(self):
        file = self.save(self.call(), self.summary("BTC-PERPETUAL", mark_price=96100))
        done = self.shortfall("import", "deribit", file, "--out", self.out)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual(sorted(tree(self.out)), ["instruments.csv", "run.toml", "underlyings.csv"])
        for part in ("positions.csv", "covariance.csv", "Black-76", "as of 2026-01-15T09:30:00Z"):
            self.assertIn(part, done.stdout)
        self.assertLessEqual(max(map(len, done.stdout.splitlines())), 100)
        (self.out / "positions.csv").write_text("account,instrument,quantity\na,BTC-PERPETUAL,1\n")
        (self.out / "covariance.csv").write_text("factor,BTC.spot\nBTC.spot,4e-4\n")
        done = self.shortfall("check", self.out / "run.toml")
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_quiet(self):
        done = self.shortfall("import", "deribit", self.save(self.call()), "--out", self.out,
                              "--quiet")
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""))

    def test_same_bytes_whatever_the_order(self):
        a = self.save(self.call(), name="a.json")
        b = self.save(self.summary("BTC-PERPETUAL", mark_price=96100), name="b.json")
        self.shortfall("import", "deribit", a, b, "--out", self.out)
        self.shortfall("import", "deribit", b, a, "--out", self.work / "other")
        self.assertEqual(len(tree(self.out)), 3)
        self.assertEqual(tree(self.out), tree(self.work / "other"))

    def test_an_edited_file_is_not_lost(self):
        command = ("import", "deribit", self.save(self.call()), "--out", self.out)
        self.shortfall(*command)
        written = tree(self.out)
        self.assertEqual(self.shortfall(*command).returncode, 0)
        with open(self.out / "run.toml", "a") as config:
            config.write("[risk]\nseed = 7\n")
        edited = tree(self.out)
        self.assert_refused(self.shortfall(*command), 2, "run.toml", "--overwrite")
        self.assertEqual(tree(self.out), edited)
        self.assertEqual(self.shortfall(*command, "--overwrite").returncode, 0)
        self.assertEqual(tree(self.out), written)

    def test_refused(self):
        good, bad = self.save(self.call()), self.save(self.call(mark_price=-1), name="bad.json")
        out = ("--out", self.out)
        rows = [
            (("deribit", bad, *out), "bad.json: /result/0/mark_price"),
            (("deribit", self.work / "none.json", *out), "none.json"),
            (("deribit", self.work, *out), str(self.work)),
            (("deribit", good), "--out"),
            (("deribit", *out), "FILE"),
            (("nowhere", good, *out), "nowhere"),
            ((), "VENUE"),
            *((("deribit", good, *out, *arguments), arguments[-1]) for arguments in (
                ("--spot", "BTC"), ("--spot", "BTC=0"), ("--spot", "btc=1"), ("--spot", "BTC=nan"),
                ("--as-of", "yesterday"), ("--as-of", "1970-01-01T00:00:00Z"),
                ("--underlying", "ETH"))),
            (("deribit", good, *out, "--max-age", "-1"), "max-age"),
            (("deribit", good, *out, "--spot", "BTC=1", "--spot", "BTC=2"), "twice"),
            (("deribit", good, *out, "--map", self.work / "none.toml"), "none.toml"),
        ]
        for arguments, fragment in rows:
            with self.subTest(arguments=arguments):
                self.assert_refused(self.shortfall("import", *arguments), 2, fragment)
                self.assertFalse(self.out.exists())

    def test_unwritable(self):
        self.out.write_text("a file")
        done = self.shortfall("import", "deribit", self.save(self.call()), "--out", self.out)
        self.assert_refused(done, 1, str(self.out))


if __name__ == "__main__":
    sys.exit(cli_test.main(sys.modules[__name__]))
