#!/usr/bin/env python3
"""Scaling curves of shortfall: time against paths, instruments, accounts, factors and threads, and
peak memory against paths x margin groups. Writes scaling.csv and scaling.svg.

Exit status: 0 written; 1 a run failed or took more memory than shortfall promises; 2 wrong command
line.
"""

import argparse
import collections
import csv
import json
import math
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
CONFIDENCE = 0.99  # of every generated book
FIXED_BYTES = 150e6  # the promise: peak memory <= this + TAIL_BYTES * k * margin groups
TAIL_BYTES = 12
COLUMNS = ("curve x paths positions margin_groups runs seconds_best seconds_median "
           "simulate_seconds_best processor_seconds_best peak_bytes model_bytes git_revision "
           "cpu").split()

Curve = collections.namedtuple("Curve", "name book option values note")
# book: arguments of `shortfall generate`; option: what x is, of `generate` or of `run`.
Scale = collections.namedtuple("Scale", "curves paths thread_paths run_count patience_seconds")


class RunError(Exception):
    """shortfall could not be run, or failed."""


def curves(paths, instruments, accounts, factors, threads):
    venue = {"--instruments": 1000, "--accounts": 100, "--factors": 64}
    return [
        Curve("paths", {"--preset": "demo"}, "--paths", paths, "the book of configs/demo"),
        Curve("instruments", venue, "--instruments", instruments,
              "one account of the 100 is a market maker, with 9/10 of the instruments"),
        Curve("accounts", venue, "--accounts", accounts,
              "one account in 100, of at most 100, is a market maker, with 9/10 of the "
              "instruments; one in ten is margined by instrument and so is several groups"),
        Curve("factors", venue, "--factors", factors, ""),
        Curve("threads", {"--preset": "canonical"}, "--threads", threads,
              "not pinned: on all cores, with one thread too"),
    ]


def full_scale(cores):
    threads = [t for t in (1, 2, 4, 8, 16, 32, 64, 128, 256) if t < cores] + [cores]
    return Scale(curves([10**n for n in range(4, 9)], [100, 300, 1000, 3000, 10_000],
                        [100, 1000, 10_000, 100_000], [2**n for n in range(3, 11)], threads),
                 paths=100_000, thread_paths=409_600, run_count=3, patience_seconds=100)


def quick_scale(cores):
    return Scale(curves([1000, 10_000], [100, 300], [30, 100], [8, 64], [1, min(2, cores)]),
                 paths=2000, thread_paths=2000, run_count=1, patience_seconds=1)


def execute(command, cores):
    """Runs a command on the given cores; returns its resource usage."""
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                   stderr=errors,
                                   preexec_fn=lambda: os.sched_setaffinity(0, cores))
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            errors.seek(0)
            raise RunError(f"{' '.join(map(str, command))}\nexit status {process.returncode}\n"
                           + errors.read())
    return usage


def arguments_of(options):
    return [str(word) for option in options.items() for word in option]


class Bench:
    """Measures points of the curves in a working folder."""

    def __init__(self, program, scale, work):
        self.program, self.scale, self.work = program, scale, work
        self.cores = os.sched_getaffinity(0)
        self.revision = git_revision()
        self.books = {}  # arguments of `generate` -> run configuration

    def book(self, options):
        key = tuple(arguments_of(options))
        if key not in self.books:
            folder = self.work / f"book-{len(self.books)}"
            execute([self.program, "generate", *key, "--out", folder], self.cores)
            self.books[key] = folder / "run.toml"
        return self.books[key]

    def options(self, curve, x):
        """Of `generate`, and of `run`."""
        book, run = dict(curve.book), {"--threads": 1, "--paths": self.scale.paths}
        if curve.name == "threads":
            run["--paths"] = self.scale.thread_paths
        (run if curve.option in ("--paths", "--threads") else book)[curve.option] = x
        return book, run

    def row(self, curve, x):
        book, run = self.options(curve, x)
        cores = self.cores if curve.name == "threads" else {max(self.cores)}
        out = self.work / "results"
        command = [self.program, "run", self.book(book), "--backend", "cpu", "--quiet",
                   *arguments_of(run), "--out", out]
        seconds, simulate, processor, peak = [], [], [], []
        while len(seconds) < self.scale.run_count and sum(seconds) < self.scale.patience_seconds:
            usage = execute(command, cores)
            record = json.loads((out / "run.json").read_text())
            seconds.append(sum(record["seconds"].values()))
            simulate.append(record["seconds"]["simulate"])
            processor.append(usage.ru_utime + usage.ru_stime)
            peak.append(usage.ru_maxrss * 1024)
        groups = record["counts"]["margin_groups"]
        tail = (1 - CONFIDENCE) * record["paths"]
        return dict(zip(COLUMNS, (
            curve.name, x, record["paths"], record["counts"]["positions"], groups, len(seconds),
            f"{min(seconds):.4g}", f"{statistics.median(seconds):.4g}", f"{min(simulate):.4g}",
            f"{min(processor):.4g}", max(peak), round(TAIL_BYTES * tail * groups), self.revision,
            record["backend"]["device"] + " " + record["backend"]["instruction_set"])))

    def measure(self):
        rows = []
        for curve in self.scale.curves:
            print(f"{curve.name:>12}  seconds  median  us per {curve.name[:-1]:10}  peak MB")
            for x in curve.values:
                row = self.row(curve, x)
                rows.append(row)
                best = float(row["seconds_best"])
                print(f"{x:12,} {best:8.3f} {float(row['seconds_median']):7.3f} "
                      f"{1e6 * best / x:15,.3f} {row['peak_bytes'] / 1e6:12,.0f}", flush=True)
        return rows


def git_revision():
    answer = subprocess.run(["git", "-C", REPOSITORY, "describe", "--always", "--dirty"],
                            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                            check=False) if shutil.which("git") else None
    return answer.stdout.strip() if answer and answer.returncode == 0 else "unknown"


def comments(bench, load):
    """The header of the CSV: how each curve was made."""
    scale = bench.scale
    yield "Scaling curves of shortfall; made by bench/scaling.py."
    yield (f"Best and median of {scale.run_count}, or of as many as fit in "
           f"{scale.patience_seconds} s: see runs. Load average of the "
           f"{os.cpu_count()} cores {load[0]:.1f} before, {os.getloadavg()[0]:.1f} after.")
    yield ("seconds: load, plan, simulate and margin of run.json, wall time. processor_seconds: "
           "user and system time of the process, which other work on the machine disturbs less.")
    yield ("peak_bytes: largest resident set, not below that of the Python which starts the run, "
           f"about 13 MB. model_bytes: {TAIL_BYTES} bytes x k x margin_groups, k = 0.01 x paths; "
           f"the promise is peak <= {FIXED_BYTES:.0f} + model_bytes.")
    for curve in scale.curves:
        book, run = bench.options(curve, "X")
        yield (f"{curve.name}: shortfall generate {' '.join(arguments_of(book))}; shortfall run "
               f"{' '.join(arguments_of(run))}{'; ' * bool(curve.note)}{curve.note}")


def print_cost_per_path(rows):
    costs = [float(row["simulate_seconds_best"]) / row["paths"] * 1e9
             for row in rows if row["curve"] == "paths"]
    print(f"cost per path, simulation: {min(costs):.0f} to {max(costs):.0f} ns; memory: "
          f"{max(row['peak_bytes'] / (FIXED_BYTES + row['model_bytes']) for row in rows):.2f} of "
          "what is promised, at most")


def write_csv(path, rows, header):
    with open(path, "w", newline="", encoding="utf-8") as file:
        file.writelines(f"# {line}\n" for line in header)
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


# The picture: log-log panels, three rows of two.
WALL, PROCESSOR, GUIDE, INK = "#1f5fa8", "#c8660a", "#777777", "#222222"
GRID = {True: "#cccccc", False: "#eeeeee"}  # of a decade, within one
PANEL_WIDTH, PANEL_HEIGHT, LEFT, TOP = 350, 200, 72, 84
COLUMN_STEP, ROW_STEP, WIDTH, HEIGHT = 446, 282, 900, 930


def text(x, y, words, size=12, anchor="start", colour=INK, extra=""):
    return (f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" '
            f'fill="{colour}"{extra}>{words}</text>')


def line(x1, y1, x2, y2, colour, width=1.0, dash=""):
    dash = f' stroke-dasharray="{dash}"' if dash else ""
    return (f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" '
            f'stroke-width="{width}"{dash}/>')


def number(value):
    exponent = round(math.log10(value))
    if exponent >= 5 and value == 10**exponent:
        return f'10<tspan dy="-5" font-size="9">{exponent}</tspan>'
    return f"{value:,.0f}" if value >= 1 else f"{value:.{max(1, -math.floor(math.log10(value)))}f}"


class Axis:
    """Values of [low, high] on [begin, end] pixels, by logarithm."""

    def __init__(self, values, begin, end, decades=0.0):
        low, high = math.log10(min(values)), math.log10(max(values))
        pad = max(0.06 * (high - low), 0.06, (decades - (high - low)) / 2)
        self.low, self.high, self.begin, self.end = low - pad, high + pad, begin, end

    def __call__(self, value):
        share = (math.log10(value) - self.low) / (self.high - self.low)
        return self.begin + share * (self.end - self.begin)

    def ticks(self):
        """(value, whether it is a decade, whether it gets a label)."""
        within = [(n, m) for n in range(math.floor(self.low), math.ceil(self.high) + 1)
                  for m in range(1, 10) if self.low <= n + math.log10(m) <= self.high]
        labelled = (1,) if sum(m == 1 for _, m in within) > 1 else (1, 2, 5)
        return [(m * 10.0**n, m == 1, m in labelled) for n, m in within]


class Panel:
    """One pair of axes with its title; what is drawn into it is clipped to it."""

    def __init__(self, index, title, x_label, y_label, xs, ys):
        self.left, self.top = LEFT + index % 2 * COLUMN_STEP, TOP + index // 2 * ROW_STEP
        self.right, self.bottom = self.left + PANEL_WIDTH, self.top + PANEL_HEIGHT
        self.x, self.y = Axis(xs, self.left, self.right), Axis(ys, self.bottom, self.top, 1.2)
        self.parts = [text(self.left, self.top - 8, title, 14, extra=' font-weight="600"')]
        self.grid()
        self.parts += [
            text((self.left + self.right) / 2, self.bottom + 36, x_label, anchor="middle"),
            text(0, 0, y_label, anchor="middle", extra=' transform="translate('
                 f'{self.left - 48:.1f},{(self.top + self.bottom) / 2:.1f}) rotate(-90)"')]

    def grid(self):
        for value, is_decade, is_labelled in self.x.ticks():
            at = self.x(value)
            self.parts.append(line(at, self.top, at, self.bottom, GRID[is_decade]))
            if is_labelled:
                self.parts.append(text(at, self.bottom + 17, number(value), 11, "middle"))
        for value, is_decade, is_labelled in self.y.ticks():
            at = self.y(value)
            self.parts.append(line(self.left, at, self.right, at, GRID[is_decade]))
            if is_labelled:
                self.parts.append(text(self.left - 7, at + 4, number(value), 11, "end"))
        self.parts.append(f'<rect x="{self.left}" y="{self.top}" width="{PANEL_WIDTH}" '
                          f'height="{PANEL_HEIGHT}" fill="none" stroke="{GUIDE}"/>')

    def points(self, xs, ys, colour, is_hollow=False):
        at = [(self.x(x), self.y(y)) for x, y in zip(xs, ys)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in at)
        dash = ' stroke-dasharray="2 3"' if is_hollow else ""
        self.parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" '
                          f'stroke-width="1.6"{dash}/>')
        self.parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{4.6 if is_hollow else 3}" '
                       f'fill="{"none" if is_hollow else colour}" stroke="{colour}" '
                       'stroke-width="1.4"/>' for x, y in at]

    def function(self, of_x, label, share, above=False, dash="6 4"):
        """A curve where it is inside the panel, with its label beside it."""
        steps = [self.left + i * PANEL_WIDTH / 100 for i in range(101)]
        span = self.x.high - self.x.low
        at = [(s, self.y(of_x(10 ** (self.x.low + (s - self.left) / PANEL_WIDTH * span))))
              for s in steps]
        inside = [(x, y) for x, y in at if self.top <= y <= self.bottom]
        if not inside:
            return
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in inside)
        self.parts.append(f'<polyline points="{path}" fill="none" stroke="{GUIDE}" '
                          f'stroke-width="1.3" stroke-dasharray="{dash}"/>')
        x, y = inside[round(share * (len(inside) - 1))]
        falls = inside[-1][1] > inside[0][1]
        x, y, anchor = ((x - 6, y - 5, "end") if above else (x - 6, y + 16, "end") if falls
                        else (x + 6, y + 14, "start"))
        self.parts.append(text(x, y, label, 11, anchor, "#555555", ' stroke="white" '
                               'stroke-width="3" paint-order="stroke"'))


def time_panel(index, title, x_label, rows, slope, guide):
    xs = [row["x"] for row in rows]
    wall = [float(row["seconds_best"]) for row in rows]
    processor = [float(row["processor_seconds_best"]) for row in rows]
    panel = Panel(index, title, x_label, "seconds", xs, wall + processor)
    fixed = 0 if slope < 0 else -1
    panel.function(lambda x: wall[fixed] * (x / xs[fixed]) ** slope, guide, 0.45)
    panel.points(xs, processor, PROCESSOR, is_hollow=True)
    panel.points(xs, wall, WALL)
    return panel.parts


def memory_panel(index, paths, accounts):
    def size(row):
        return row["paths"] * row["margin_groups"]

    rows = paths + accounts
    peaks = [row["peak_bytes"] / 1e6 for row in rows]
    panel = Panel(index, "Peak memory: flat but for the tails kept", "paths × margin groups", "MB",
                  [size(row) for row in rows], peaks + [min(peaks) / 2, max(peaks) * 4])
    per_loss = TAIL_BYTES * (1 - CONFIDENCE)
    panel.function(lambda x: x * 4e-6, "every loss stored", 0.8, above=True, dash="2 3")
    panel.function(lambda x: x * per_loss * 1e-6, "12 B × k × groups", 0.2)
    panel.function(lambda x: (FIXED_BYTES + x * per_loss) * 1e-6, "150 MB more: the limit", 0.4,
                   above=True)
    for curve, colour in ((paths, WALL), (accounts, "#2a7f3f")):
        panel.points([size(row) for row in curve], [row["peak_bytes"] / 1e6 for row in curve],
                     colour)
    return panel.parts + [
        text(panel.left + 10, panel.top + 16, "● over paths", 11, colour=WALL),
        text(panel.left + 10, panel.top + 30, "● over accounts", 11, colour="#2a7f3f")]


def picture(rows):
    of = {name: [row for row in rows if row["curve"] == name]
          for name in ("paths", "instruments", "accounts", "factors", "threads")}
    parts = [
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        text(LEFT, 28, "How shortfall scales", 17, extra=' font-weight="600"'),
        text(LEFT, 50, '● wall time', colour=WALL),
        text(LEFT + 90, 50, "○ processor time", colour=PROCESSOR),
        text(LEFT + 214, 50, "- - - proportional, through the last point (threads: the first)",
             colour="#555555"),
        *time_panel(0, "Paths", "paths (demonstration book, one core)", of["paths"], 1, "∝ paths"),
        *time_panel(1, "Instruments", "instruments (100 accounts, one core)", of["instruments"], 1,
                    "∝ instruments"),
        *time_panel(2, "Accounts", "accounts (1,000 instruments, one core)", of["accounts"], 1,
                    "∝ accounts"),
        *time_panel(3, "Factors", "risk factors (1,000 instruments, one core)", of["factors"], 2,
                    "∝ factors²"),
        *time_panel(4, "Threads", "threads (canonical job)", of["threads"], -1, "∝ 1 / threads"),
        *memory_panel(5, of["paths"], of["accounts"]),
        text(LEFT, HEIGHT - 16, f'{rows[0]["cpu"]}, revision {rows[0]["git_revision"]}. '
             "Books, options and runs of each point: scaling.csv.", 11, colour="#555555"),
    ]
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" '
            f'viewBox="0 0 {WIDTH} {HEIGHT}" font-family="Helvetica, Arial, sans-serif">\n'
            '<title>Scaling curves of shortfall</title>\n' + "\n".join(parts) + "\n</svg>\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", type=Path, metavar="PROGRAM", help="such as build/shortfall")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, one run each")
    parser.add_argument("--out", type=Path, metavar="DIR",
                        help="folder to write into (default: docs; with --quick nothing is kept)")
    options = parser.parse_args()
    if not os.access(options.program, os.X_OK) or options.program.is_dir():
        parser.error(f"{options.program} is no program: build it with ./dev build")
    load = os.getloadavg()
    cores = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory(prefix="shortfall-scaling-") as work:
        scale = quick_scale(cores) if options.quick else full_scale(cores)
        bench = Bench(options.program.resolve(), scale, Path(work))
        try:
            rows = bench.measure()
        except RunError as error:
            print(error, file=sys.stderr)
            return 1
        out = options.out or (Path(work) if options.quick else REPOSITORY / "docs")
        out.mkdir(parents=True, exist_ok=True)
        write_csv(out / "scaling.csv", rows, comments(bench, load))
        (out / "scaling.svg").write_text(picture(rows), encoding="utf-8")
    print_cost_per_path(rows)
    above = [row for row in rows if row["peak_bytes"] > FIXED_BYTES + row["model_bytes"]]
    for row in above:
        print(f"{row['curve']} {row['x']}: peak memory {row['peak_bytes'] / 1e6:,.0f} MB, promised "
              f"{(FIXED_BYTES + row['model_bytes']) / 1e6:,.0f} MB", file=sys.stderr)
    return 1 if above else 0


if __name__ == "__main__":
    sys.exit(main())
