"""The job of the benchmarks as a user of numpy and scipy writes it: every distinct instrument once
per path, vectorised over instruments and blocks of paths, accounts by matrix product, tails by
partition. Reads the same files as the engine and shares no code with it.

usage: numpy_baseline.py RUN_TOML FACTORS float64|float32 [BLOCK AGGREGATION]

FACTORS holds the factors' moves over the horizon: float64, a row of paths per factor. Without BLOCK
and AGGREGATION the fastest on this machine are found first. Prints JSON: `seconds` of processor
time from factors to expected shortfalls, the least of three times, and those, in USD, in the order
of positions.csv.
"""

import csv
import json
import math
import sys
import time
import tomllib
from datetime import datetime
from pathlib import Path

import numpy as np
import scipy
from scipy.special import ndtr

YEAR_SECONDS = 365 * 86400.0
BLOCKS = (64, 128, 256, 512, 1024)
AGGREGATIONS = ("dense", "sparse", "split")


def rows(path):
    with open(path, newline="", encoding="utf-8-sig") as file:
        return list(csv.DictReader(file))


class Book:
    """The arrays of a book: instruments that are held, and who holds them."""

    def __init__(self, config_path, dtype):
        config = tomllib.loads(config_path.read_text())
        inputs = {k: config_path.parent / v for k, v in config["inputs"].items()}
        self.confidence = config.get("risk", {}).get("confidence", 0.99)
        self.dtype = dtype
        self.spots = {r["underlying"]: float(r["spot"]) for r in rows(inputs["underlyings"])}
        names = list(rows(inputs["covariance"])[0])[1:]
        self.factor = {name: i for i, name in enumerate(names)}
        listed = {r["instrument"]: r for r in rows(inputs["instruments"])}

        positions, accounts, held = {}, {}, {}
        for r in rows(inputs["positions"]):
            key = (
                accounts.setdefault(r["account"], len(accounts)),
                held.setdefault(r["instrument"], len(held)),
            )
            positions[key] = positions.get(key, 0.0) + float(r["quantity"])
        # Options first, so that they are slices of every array.
        kinds = [listed[name]["type"] for name in held]
        order = sorted(range(len(kinds)), key=lambda i: kinds[i] not in ("call", "put"))
        place = {old: new for new, old in enumerate(order)}
        instruments = [listed[list(held)[i]] for i in order]
        self.prepare(instruments, config)

        multiplier = [float(i["multiplier"]) for i in instruments]
        weights = np.zeros((len(accounts), len(instruments)))
        for (account, instrument), quantity in positions.items():
            weights[account, place[instrument]] = quantity * multiplier[place[instrument]]
        self.weights = weights.astype(dtype)

    def prepare(self, instruments, config):
        as_of = config["market"]["as_of"].timestamp()
        risk = config.get("risk", {})
        ageing = 0.0
        if risk.get("revalue_at", "horizon") == "horizon":
            ageing = risk.get("horizon_days", 1.0) * 86400
        terms, spot, years, left, term = {}, [], [], [], []
        for i in instruments:
            seconds = datetime.fromisoformat(i["expiry"]).timestamp() - as_of if i["expiry"] else 0
            years.append(seconds / YEAR_SECONDS)
            left.append(max(seconds - ageing, 0.0) / YEAR_SECONDS)
            if i["type"] not in ("perpetual", "spot") and left[-1] < 0.5 / YEAR_SECONDS:
                sys.exit("numpy_baseline: an expiry inside the horizon")
            key = (i["underlying"], years[-1], i["type"] == "perpetual")
            term.append(terms.setdefault(key, len(terms)))
            spot.append(self.spots[i["underlying"]])
        self.term_exponents(list(terms))
        self.term = np.array(term)

        def column(name):
            return np.array([float(i[name] or 0) for i in instruments])

        def options(values):
            return values[: self.option_count, None].astype(self.dtype)

        kind = np.array([i["type"] for i in instruments])
        self.option_count = int(np.isin(kind, ("call", "put")).sum())
        spot, years, left = np.array(spot), np.array(years), np.array(left)
        mark, strike, volatility = column("mark_price"), column("strike"), column("mark_iv")
        mark = np.where(mark == 0, spot, mark)
        moneyness = np.log(np.where(strike > 0, strike, 1) / mark)
        self.inverse = np.array([[i["settlement"] == "inverse"] for i in instruments])
        self.sign = options(np.where(kind == "call", 1.0, -1.0))
        self.forward = mark[:, None].astype(self.dtype)
        self.strike, self.volatility = options(strike), options(volatility)
        self.log_moneyness = options(-moneyness)
        self.skewness = options(moneyness / np.sqrt(np.maximum(years, 7 / 365)))
        self.sqrt_years_left = options(np.sqrt(left))
        # Values before, in double: V(F0, sigma0, T).
        deviation = volatility * np.sqrt(years)
        with np.errstate(divide="ignore", invalid="ignore"):
            d1 = -moneyness / deviation + deviation / 2
            w = np.where(kind == "call", 1.0, -1.0)
            value = w * (mark * ndtr(w * d1) - strike * ndtr(w * (d1 - deviation)))
        self.before = options(np.where(self.inverse[:, 0], value / mark * spot, value))
        if "spot" in kind:
            sys.exit("numpy_baseline: a spot instrument")

    def term_exponents(self, terms):
        """Matrices from factors to log-growth of index, forward and volatility, and to the skew."""
        shape = (len(terms), len(self.factor))
        index, forward, volatility, skew = (np.zeros(shape) for _ in range(4))
        for row, (name, years, is_perpetual) in enumerate(terms):
            index[row, self.factor[f"{name}.spot"]] = 1
            forward[row, self.factor[f"{name}.spot"]] = 1
            if is_perpetual and f"{name}.perp" in self.factor:
                forward[row, self.factor[f"{name}.perp"]] = 1
            if not is_perpetual and f"{name}.basis" in self.factor:
                forward[row, self.factor[f"{name}.basis"]] = years
            if f"{name}.skew" in self.factor:
                skew[row, self.factor[f"{name}.skew"]] = 1
            if not is_perpetual:
                self.tenor_weights(volatility[row], name, years * 365)
        self.index, self.growth, self.vol_growth, self.skew = (
            m.astype(self.dtype) for m in (index, forward, volatility, skew)
        )
        self.term_spot = np.array([[self.spots[t[0]]] for t in terms], dtype=self.dtype)

    def tenor_weights(self, row, name, days):
        """Linear in the logarithm of the tenor, flat outside."""
        prefix = f"{name}.vol."
        tenors = sorted((int(f[len(prefix) : -1]), i) for f, i in self.factor.items()
                        if f.startswith(prefix))
        if not tenors:
            return
        logs = [math.log(tenor) for tenor, _ in tenors]
        for k, (_, factor) in enumerate(tenors):
            row[factor] = np.interp(math.log(days), logs, np.eye(len(tenors))[k])


def changes(book, moves, out):
    """Change of USD value per unit of multiplier: instruments x paths."""
    n, term = book.option_count, book.term
    index = book.term_spot * np.exp(book.index @ moves)
    shock = book.growth @ moves
    forward = book.forward * np.exp(shock)[term]
    index = index[term]

    sigma = book.volatility * np.exp(book.vol_growth @ moves)[term[:n]]
    sigma += book.skewness * (book.skew @ moves)[term[:n]]
    np.clip(sigma, 0.01, 10, out=sigma)
    sigma *= book.sqrt_years_left
    d1 = (book.log_moneyness + shock[term[:n]]) / sigma
    d1 += 0.5 * sigma
    d2 = d1 - sigma
    d1 *= book.sign
    d2 *= book.sign
    value = forward[:n] * ndtr(d1, out=d1)
    value -= book.strike * ndtr(d2, out=d2)
    value *= book.sign
    inverse = book.inverse[:n, 0]
    if inverse.all():
        value *= index[:n] / forward[:n]
    elif inverse.any():
        value[inverse] *= index[:n][inverse] / forward[:n][inverse]
    np.subtract(value, book.before, out=out[:n])

    before, after = book.forward[n:], forward[n:]
    out[n:] = np.where(book.inverse[n:], (1 / before - 1 / after) * index[n:], after - before)


class Accounts:
    """Losses of accounts from changes of value, by one kind of matrix product."""

    def __init__(self, weights, aggregation):
        share_held = (weights != 0).mean(axis=1)
        is_dense = {"dense": share_held >= 0, "sparse": share_held > 1, "split": share_held >= 0.5}
        self.dense = np.flatnonzero(is_dense[aggregation])
        self.sparse = np.flatnonzero(~is_dense[aggregation])
        self.dense_weights = -weights[self.dense]
        self.sparse_weights = scipy.sparse.csr_matrix(-weights[self.sparse])

    def losses(self, values, out):
        if len(self.dense):
            out[self.dense] = self.dense_weights @ values
        if len(self.sparse):
            out[self.sparse] = self.sparse_weights @ values


def all_losses(book, moves, block, accounts, out):
    count = moves.shape[1]
    values = np.empty((len(book.term), block), book.dtype)
    for first in range(0, count, block):
        part = np.ascontiguousarray(moves[:, first : first + block])
        width = part.shape[1]
        changes(book, part, values[:, :width])
        accounts.losses(values[:, :width], out[:, first : first + width])


def expected_shortfalls(losses, confidence):
    """Acerbi and Tasche 2002; k within 1e-9 of an integer is that integer."""
    count = losses.shape[1]
    k = (1 - confidence) * count
    if abs(k - round(k)) <= 1e-9 * max(1.0, k):
        k = round(k)
    whole = int(k)
    losses.partition(count - 1 - whole, axis=1)
    tail = losses[:, count - 1 - whole :].astype(np.float64)
    return (tail[:, 1:].sum(axis=1) + (k - whole) * tail[:, 0]) / k


def fastest(book, moves):
    """The block size and the kind of product that take least time for a few paths."""
    sample = moves[:, :1024]
    losses = np.zeros((len(book.weights), sample.shape[1]), book.dtype)
    best = (math.inf,)
    for block in BLOCKS:
        for aggregation in AGGREGATIONS:
            accounts = Accounts(book.weights, aggregation)
            start = time.process_time()
            all_losses(book, sample, block, accounts, losses)
            best = min(best, (time.process_time() - start, block, aggregation))
    return best[1:]


def main():
    config_path, factors_path, dtype = sys.argv[1:4]
    book = Book(Path(config_path), np.dtype(dtype))
    moves = np.fromfile(factors_path).reshape(len(book.factor), -1).astype(book.dtype)
    block, aggregation = sys.argv[4:6] if len(sys.argv) > 4 else fastest(book, moves)
    block, accounts = int(block), Accounts(book.weights, aggregation)
    losses = np.zeros((len(book.weights), moves.shape[1]), book.dtype)
    seconds = []
    for _ in range(3):
        start = time.process_time()
        all_losses(book, moves, block, accounts, losses)
        shortfalls = expected_shortfalls(losses, book.confidence)
        seconds.append(time.process_time() - start)
    json.dump(
        {
            "seconds": min(seconds),
            "block": block,
            "aggregation": aggregation,
            "versions": f"numpy {np.__version__}, scipy {scipy.__version__}",
            "expected_shortfalls": shortfalls.tolist(),
        },
        sys.stdout,
    )


if __name__ == "__main__":
    main()
