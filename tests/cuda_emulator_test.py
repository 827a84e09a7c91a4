"""What only a CUDA device that can be told how to behave shows: lost devices, little memory, and
which kernels did the work. The PTX emulator is one; its PTXEMU_ variables tell it.

usage: cuda_emulator_test.py PROGRAM TESTS CASE
PROGRAM is shortfall, TESTS is shortfall_cuda_tests.

Exit status 0: as it should be; 1: not, or something failed; 77: skipped, and a line
"skipped: reason" says why.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

DEMO = Path(__file__).resolve().parent.parent / "configs" / "demo"
PATHS = 1000
PROGRAM = TESTS = ""  # set from the command line


def require(condition, what):
    if not condition:
        sys.exit(what)


def execute(arguments, **environment):
    return subprocess.run(list(map(str, arguments)), env={**os.environ, **environment},
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
                          timeout=250)


def require_emulator():
    if "emulator" not in execute([PROGRAM, "info"]).stdout:
        print("skipped: no emulated CUDA device")
        sys.exit(77)


class Run:
    """The demonstration book on a device that behaves as `environment` says."""

    def __init__(self, backend="cuda", compute="", **environment):
        with tempfile.TemporaryDirectory(prefix="shortfall-cuda-") as folder:
            text = (DEMO / "run.toml").read_text()
            for name in ["underlyings", "instruments", "positions", "covariance", "accounts"]:
                text = text.replace(f'"{name}.csv"', json.dumps(str(DEMO / f"{name}.csv")))
            file = Path(folder) / "run.toml"
            file.write_text(f"{text}\n[compute]\n{compute}\n")
            out = Path(folder) / "out"
            done = execute([PROGRAM, "run", file, "--out", out, "--paths", PATHS, "--backend",
                            backend], **environment)
            self.what = f"{environment} {compute}: exit status {done.returncode}\n{done.stderr}"
            self.status, self.message = done.returncode, done.stderr
            self.margins = (out / "margin.csv").read_bytes() if out.exists() else None
            self.record = json.loads((out / "run.json").read_text()) if out.exists() else None

    def expect_equal(self, want):
        require(self.status == 0, self.what)
        require(self.margins == want.margins, f"margin.csv differs: {self.what}")

    def expect_error(self, *parts):
        require(self.status == 1, self.what)
        require(self.margins is None, f"results were written: {self.what}")
        for part in parts:
            require(part in self.message, f"{part!r} is not in the message: {self.what}")

    def names(self):
        return [share["name"] for share in self.record["backend"]["shares"]]


# Some of the first calls of each kind, and what the message calls them.
ACCIDENTS = {"malloc:1": "cudaMalloc (memory of the simulation): out of memory",
             "memcpy:1": "cudaMemcpyAsync (upload of the plan)",
             "memcpy:9": "cudaMemcpyAsync (upload",
             "launch:1": "kernel launch (draw_normals)",
             "launch:4": "kernel launch (market_states)",
             "launch:6": "kernel launch (aggregate)",
             "launch:13": "kernel launch ("}


def lost_device():
    """Its paths are not done: an error, unless the configuration lets the CPU do them."""
    want = Run(backend="cpu")
    for accident, call in ACCIDENTS.items():
        Run(PTXEMU_FAIL=accident).expect_error("CUDA device 0", call, f"paths 0 to {PATHS - 1}")
        redone = Run(compute='fallback = "cpu"', PTXEMU_FAIL=accident)
        redone.expect_equal(want)
        require(redone.names() == ["cpu"], redone.what)
        require(any(call in warning for warning in redone.record["warnings"]), redone.what)
    Run(PTXEMU_FAIL="launch:100000").expect_equal(want)


def little_memory():
    """Tiles shrink until they fit; what cannot fit is refused before anything is allocated."""
    want = Run(backend="cpu")
    fitting, refused = 0, 0
    for megabytes in [1, 4, 8, 10, 12, 14, 16, 24, 64]:
        run = Run(PTXEMU_MEM=str(megabytes << 20))
        if run.status == 0:
            run.expect_equal(want)
            fitting += 1
        else:
            run.expect_error(f"{PATHS} paths of 291 instruments with 108 margin groups need",
                             "are free", "use fewer paths")
            refused += 1
            require(fitting == 0, f"fits in less: {run.what}")
    require(fitting > 0 and refused > 0, f"{fitting} fit, {refused} are refused")


def statistics():
    """Every kernel executed at least one instruction of a thread per element of its stage."""
    with tempfile.TemporaryDirectory(prefix="shortfall-cuda-") as folder:
        counted, expected = Path(folder) / "counted", Path(folder) / "expected.json"
        done = execute([TESTS, "--gtest_filter=CudaWork.OfARun", f"--gtest_output=json:{expected}"],
                       PTXEMU_STATS=str(counted))
        require(done.returncode == 0, done.stdout + done.stderr)
        suite = json.loads(expected.read_text())["testsuites"][0]["testsuite"][0]
        kernels = re.findall(r"^KERNEL (\S+) launches (\d+) .* lane_instr (\d+) ",
                             counted.read_text(), re.MULTILINE)
    prefix = "elements_of_"
    elements = {name.removeprefix(prefix): int(value) for name, value in suite.items()
                if name.startswith(prefix)}
    require(len(elements) == 10, f"10 kernels are expected, not {sorted(elements)}")
    for name, element_count in elements.items():
        # As mangled: its length before it, arguments of a template or the end of a name after it.
        own = [k for k in kernels if re.search(f"{len(name)}{name}[EI]", k[0])]
        launches, instructions = (sum(int(k[i]) for k in own) for i in (1, 2))
        print(f"{name:<16} {launches:>4} launches {instructions:>12} instructions of threads, "
              f"{element_count:>9} elements")
        require(instructions >= max(element_count, 1), f"{name} did not do its work")


CASES = [lost_device, little_memory, statistics]


def main():
    global PROGRAM, TESTS
    cases = {case.__name__: case for case in CASES}
    if len(sys.argv) != 4 or sys.argv[3] not in cases:
        print(__doc__, *cases, file=sys.stderr)
        sys.exit(2)
    PROGRAM, TESTS = sys.argv[1:3]
    require_emulator()
    cases[sys.argv[3]]()


if __name__ == "__main__":
    main()
