"""Books for the tests of the service: generated, with every component of a margin, and with cash so
that most accounts are ok, some called and a few to be liquidated."""

import csv
import pathlib
import random
import subprocess

DEMO = pathlib.Path(__file__).resolve().parents[2] / "configs" / "demo" / "run.toml"
MAINTENANCE = 0.8  # of the margin: an account is called at this margin ratio, liquidated at 1
TABLES = f"""
[margin]
maintenance = {MAINTENANCE}
[margin.dependence]
[margin.liquidity]
file = "liquidity.csv"
[margin.stress]
[margin.procyclicality]
covariance = "stressed.csv"
[margin.funding]
file = "funding.csv"
[margin.short_option_minimum]
rate = 0.005
[margin.collateral]
"""


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def write(path, header, lines):
    with path.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *lines])


def make(program, folder, accounts, instruments, underlyings, paths):
    """The run.toml of a new book in folder."""
    subprocess.run([program, "generate", "--accounts", str(accounts), "--instruments",
                    str(instruments), "--underlyings", str(underlyings), "--out", str(folder)],
                   check=True, stdout=subprocess.DEVNULL)
    names = [row["underlying"] for row in rows(folder / "underlyings.csv")]
    write(folder / "liquidity.csv",
          ["underlying", "daily_volume_usd", "half_spread_bps", "impact", "vol_spread"],
          [[name, 5e9, 2, 0.5, 0.01] for name in names])
    write(folder / "funding.csv", ["underlying", "long_pays", "short_pays"],
          [[name, 0.004, 0.002] for name in names])
    # A period with twice the variances of all factors.
    factors = rows(folder / "covariance.csv")
    write(folder / "stressed.csv", factors[0],
          [[row["factor"], *(2 * float(row[other["factor"]]) for other in factors)]
           for row in factors])
    write(folder / "collateral.csv", ["account", "asset", "amount"], [])
    config = folder / "run.toml"
    text = config.read_text().replace("paths = 100000", f"paths = {paths}")
    config.write_text(text.replace("[inputs]", '[inputs]\ncollateral = "collateral.csv"') + TABLES)
    # What the positions alone are worth and need says how much cash makes which margin ratio.
    subprocess.run([program, "run", str(config), "--out", str(folder / "uncovered")], check=True,
                   stdout=subprocess.DEVNULL)
    draw = random.Random(8)
    ratios = (0.05 + 1.1 * draw.random() ** 4 for _ in range(accounts))
    write(folder / "collateral.csv", ["account", "asset", "amount"],
          [[row["account"], "USD",
            MAINTENANCE * float(row["margin"]) / ratio - float(row["equity"])]
           for row, ratio in zip(rows(folder / "uncovered" / "margin.csv"), ratios)])
    return config
