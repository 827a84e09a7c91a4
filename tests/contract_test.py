"""margin.csv and the plan hash on processors and builds other than this one, as far as one machine
can stand in for them.

usage: contract_test.py PROGRAM PLAN_HASH_PROGRAM CASE

Exit status 0: equal; 1: not, or something failed; 77: skipped, and a line "skipped: reason" says
why.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

DEMO = Path(__file__).resolve().parent.parent / "configs" / "demo"
PATHS = 3000  # what an emulated processor does in seconds
MASKED = {"GLIBC_TUNABLES": "glibc.cpu.hwcaps=-FMA,-AVX2"}
OLD_PROCESSOR = ["qemu-x86_64", "-cpu", "Nehalem"]  # SSE4.2, no AVX
PROGRAM = PLAN_HASH_PROGRAM = ""  # set from the command line


class Skipped(Exception):
    """The machine lacks what a case needs."""


def equal(got, want, what):
    if got != want:
        sys.exit(f"{what}: {got!r} is not {want!r}")


def config(folder, **compute):
    """The demonstration's configuration with absolute inputs and a [compute] table."""
    text = (DEMO / "run.toml").read_text()
    for name in ["underlyings", "instruments", "positions", "covariance", "accounts"]:
        text = text.replace(f'"{name}.csv"', json.dumps(str(DEMO / f"{name}.csv")))
    lines = [f"{key} = {json.dumps(value)}" for key, value in compute.items()]
    file = Path(folder) / "run.toml"
    file.write_text("\n".join([text, "[compute]", *lines, ""]))
    return file


def execute(arguments, prefix=(), environment=None, check=True):
    done = subprocess.run([*prefix, *map(str, arguments)], env={**os.environ, **(environment or {})},
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
                          timeout=250)
    if check and done.returncode != 0:
        sys.exit(f"{done.args} failed with {done.returncode}:\n{done.stderr}")
    return done


def run(name, prefix=(), environment=None, **compute):
    """Runs the demonstration book, prints a row of the table, returns (margin.csv, run.json)."""
    with tempfile.TemporaryDirectory(prefix="shortfall-contract-") as folder:
        file = config(folder, **compute)
        execute([PROGRAM, "run", file, "--out", Path(folder) / "out", "--paths", PATHS, "--quiet"],
                prefix, environment)
        margins = (Path(folder) / "out" / "margin.csv").read_bytes()
        record = json.loads((Path(folder) / "out" / "run.json").read_text())
    print(f"{name:<24} {record['backend']['instruction_set']:<8} plan {record['plan_hash'][:12]}  "
          f"margin.csv {hashlib.sha256(margins).hexdigest()[:16]}")
    return margins, record


def compare(got, want):
    equal(got[1]["plan_hash"], want[1]["plan_hash"], "plan hash")
    if got[0] != want[0]:
        sys.exit("margin.csv differs")


def require_old_processor():
    if not shutil.which(OLD_PROCESSOR[0]):
        raise Skipped(f"{OLD_PROCESSOR[0]} is not installed")


def masked_fma():
    """glibc picks its exp and log by processor: without FMA they give other bits."""
    exponentials = [sys.executable, "-c",
                    "import math; print(hash(tuple(math.exp(i * 1e-3 - 100) for i in "
                    "range(200000))))"]
    plain, masked = (execute(exponentials, environment=e).stdout for e in ({}, MASKED))
    if plain == masked:
        raise Skipped("masking FMA changes nothing in this libm: no variant to compare with")
    compare(run("FMA and AVX2 masked", environment=MASKED), run("native"))


def optimisation():
    """The canonical sources at -O1."""
    want = run("-O3")[1]["plan_hash"]
    with tempfile.TemporaryDirectory(prefix="shortfall-contract-") as folder:
        file = config(folder)
        file.write_text(file.read_text().replace("paths = 100000", f"paths = {PATHS}"))
        got = execute([PLAN_HASH_PROGRAM, file]).stdout.strip()
    print(f"{'-O1':<24} {'':<8} plan {got[:12]}")
    equal(got, want, "plan hash at -O1")


def old_processor():
    require_old_processor()
    old = run("qemu Nehalem", prefix=OLD_PROCESSOR)
    equal(old[1]["backend"]["instruction_set"], "generic", "instruction set under qemu")
    compare(old, run("native"))


def instruction_sets():
    """Chosen in the configuration, for those that `shortfall info` lists."""
    listed = next(line for line in execute([PROGRAM, "info"]).stdout.splitlines()
                  if line.startswith("instruction sets")).split()[2:]
    if len(listed) < 2:
        raise Skipped("this processor has only the generic instruction set")
    want = run("generic", instruction_set="generic", threads=1)
    for name in listed:
        got = run(name, instruction_set=name, threads=2, tile_paths=192)
        equal(got[1]["backend"]["instruction_set"], name, "instruction set")
        compare(got, want)


def missing_instruction_set():
    """One that the machine lacks is an error."""
    require_old_processor()
    for name in ["avx2", "avx512"]:
        with tempfile.TemporaryDirectory(prefix="shortfall-contract-") as folder:
            out = Path(folder) / "out"
            done = execute([PROGRAM, "run", config(folder, instruction_set=name), "--out", out],
                           OLD_PROCESSOR, check=False)
            equal(done.returncode, 2, f"exit status with {name}\n{done.stderr}")
            equal(name in done.stderr, True, f"the message names {name}\n{done.stderr}")
            equal(out.exists(), False, "results written")


CASES = [masked_fma, optimisation, old_processor, instruction_sets, missing_instruction_set]


def main():
    global PROGRAM, PLAN_HASH_PROGRAM
    cases = {case.__name__: case for case in CASES}
    if len(sys.argv) != 4 or sys.argv[3] not in cases:
        print(__doc__, *cases, file=sys.stderr)
        sys.exit(2)
    PROGRAM, PLAN_HASH_PROGRAM = sys.argv[1:3]
    try:
        cases[sys.argv[3]]()
    except Skipped as reason:
        print(f"skipped: {reason}")
        sys.exit(77)


if __name__ == "__main__":
    main()
