"""A made-up venue for mock_server.py: no risk is computed here, only figures of a likely size that
hang together: components add up to the margin, contributions to the expected shortfall, status
follows from equity."""

import datetime
import decimal
import random

AS_OF = "2026-01-15T08:00:00Z"
SPOTS = {"BTC": 92913.1, "ETH": 3290.34, "SOL": 141.2, "XRP": 2.07, "DOGE": 0.1383, "AVAX": 13.71,
         "LINK": 13.17}
KINDS = ("market-maker", "covered-call", "basis-trade", "short-strangle", "calendar", "directional",
         "collar", "dispersion")
MODES = ("portfolio", "portfolio", "portfolio", "cross", "isolated")
SHARES = {  # of each component, relative to expected shortfall
    "base": 1.1, "dependence": 0.09, "concentration": 0.0, "liquidity": 0.07, "stress": 0.16,
    "procyclicality": 0.05, "funding": 0.012, "short_option_minimum": 0.02, "floor": 0.0}
PATHS = 100000
MULTIPLIER = {"BTC": 1, "ETH": 1, "SOL": 10, "XRP": 1000, "DOGE": 10000, "AVAX": 100, "LINK": 100}


def parse_time(text):
    return datetime.datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ")


def listing(count):
    """count instruments: {name: row as in the contract's Instrument}."""
    start = parse_time(AS_OF)
    expiries = [start + datetime.timedelta(days=days)
                for days in (1, 2, 8, 15, 43, 71, 162, 253, 344, 435)]
    rows = []

    def add(name, type_, underlying, settlement, expiry=None, strike=None, mark=None, iv=None):
        rows.append({
            "instrument": name, "type": type_, "underlying": underlying, "settlement": settlement,
            "expiry": expiry and expiry.strftime("%Y-%m-%dT%H:%M:%SZ"), "strike": strike,
            "multiplier": MULTIPLIER[underlying], "mark_price": mark, "mark_iv": iv})

    for underlying, spot in SPOTS.items():
        add(f"{underlying}-SPOT", "spot", underlying, "linear")
        add(f"{underlying}-PERPETUAL", "perpetual", underlying, "linear", mark=spot)
        for expiry in expiries[4:8]:
            add(f"{underlying}-{expiry:%-d%b%y}".upper(), "future", underlying, "linear", expiry,
                mark=spot)
    for step in sorted(range(-20, 21), key=abs):  # from the money outwards
        for underlying, spot in SPOTS.items():
            strike = float(f"{spot * (1 + 0.05 * step):.2g}")
            for expiry in expiries:
                for type_ in ("call", "put"):
                    name = f"{underlying}-{expiry:%-d%b%y}-{strike:g}-{type_[0]}".upper()
                    if strike > 0 and len(rows) < count and name not in {
                            row["instrument"] for row in rows[-2000:]}:
                        add(name, type_, underlying, "inverse", expiry, strike, spot,
                            0.5 + 0.01 * abs(step))
    return {row["instrument"]: row for row in rows}


def text_of(quantity):
    text = f"{quantity.normalize():f}"
    return "0" if text in ("-0", "") else text


class Book:
    def __init__(self, account_count=1000, instrument_count=1400, seed=8):
        self.random = random.Random(seed)
        self.instruments = listing(instrument_count)
        self.spots = dict(SPOTS)
        self.as_of = AS_OF
        self.positions = {}  # account -> {instrument: Decimal}
        self.modes = {}
        self.cash = {}
        names = list(self.instruments)
        # Few of the instruments are held by most, as on a venue.
        liquid = names[:42] + self.random.sample(names[42:], 200)
        for number in range(account_count):
            account = f"{KINDS[number % len(KINDS)]}-{number + 1:04}"
            count = 120 if number % 100 == 0 else self.random.randint(1, 14)
            self.open(account)
            for name in self.random.sample(liquid, count):
                size = self.random.uniform(-1, 1) * 10 ** self.random.uniform(0, 2)
                self.change(account, name, decimal.Decimal(f"{size:.3f}"))
            # Margin ratios from 0.08 to above 1, most of them low.
            margin = self.margin(account)["margin"]
            self.cash[account] = margin / (0.1 + 1.2 * self.random.random() ** 4)

    def open(self, account):
        number = sum(account.encode())
        self.positions.setdefault(account, {})
        self.modes.setdefault(account, MODES[number % len(MODES)])
        self.cash.setdefault(account, 50000.0)

    def change(self, account, instrument, quantity):
        self.open(account)
        held = self.positions[account]
        held[instrument] = held.get(instrument, decimal.Decimal(0)) + quantity
        if not held[instrument]:
            del held[instrument]

    def notional(self, instrument, quantity):
        row = self.instruments[instrument]
        return float(quantity) * row["multiplier"] * self.spots[row["underlying"]]

    def contributions(self, account, held=None):
        """[(instrument, quantity, component of the expected shortfall)], the largest first."""
        held = self.positions[account] if held is None else held
        rows = []
        for name, quantity in held.items():
            row = self.instruments[name]
            weight = {"spot": 0.09, "perpetual": 0.09, "future": 0.085}.get(row["type"], 0.05)
            hedges = (sum(name.encode()) % 4 == 0) and len(held) > 1
            amount = abs(self.notional(name, quantity)) * weight * (-0.3 if hedges else 1)
            rows.append((name, quantity, amount))
        return sorted(rows, key=lambda row: (-abs(row[2]), row[0]))

    def margin(self, account, held=None):
        held = self.positions[account] if held is None else held
        shortfall = sum(row[2] for row in self.contributions(account, held))
        components = [{"component": name, "amount": max(0.0, share * shortfall)}
                      for name, share in SHARES.items()]
        if held and shortfall <= 0:
            components[-1]["amount"] = 25.0
        margin = sum(row["amount"] for row in components)
        # What the moves of the spots since the start have made or cost.
        gained = sum(0.1 * self.notional(name, quantity) * (1 - SPOTS[row["underlying"]]
                                                      / self.spots[row["underlying"]])
                     for name, quantity in held.items() for row in (self.instruments[name],))
        equity = self.cash.get(account, 0.0) + gained
        maintenance = 0.8 * margin
        error = abs(shortfall) * 0.0083
        return {
            "positions": len(held),
            "gross_notional": sum(abs(self.notional(*item)) for item in held.items()),
            "value_at_risk": shortfall * 0.79, "expected_shortfall": shortfall,
            "standard_error": error, "confidence_low": shortfall - 1.96 * error,
            "confidence_high": shortfall + 1.96 * error, "margin": margin, "components": components,
            "worst_scenario": "BTC -16.00 %; ETH -16.00 %" if components[4]["amount"] else "",
            "uncharged": 0.02 * max(0.0, shortfall), "maintenance_margin": maintenance,
            "equity": equity, "margin_excess": equity - margin,
            "margin_ratio": maintenance / equity if equity > 0 else (None if margin else 0.0),
            "status": ("liquidate" if equity < maintenance else "call" if equity < margin
                       else "ok")}

    def loss_distribution(self, account):
        shortfall = self.margin(account)["expected_shortfall"]
        scale = max(1.0, abs(shortfall)) / 2.9
        edges = [scale * (-4.2 + 0.2 * step) for step in range(45)]
        weights = [(1 + ((low / scale + 0.1) / 1.15) ** 2 / 5) ** -3 * (0.8 if low < 0 else 1)
                   for low in edges[:-1]]
        counts = [int(PATHS * weight / sum(weights)) for weight in weights]
        counts[len(counts) // 2] += PATHS - sum(counts)
        return {"bin_edges": edges, "counts": counts, "paths": PATHS, "confidence": 0.99,
                "value_at_risk": shortfall * 0.79, "expected_shortfall": shortfall}
