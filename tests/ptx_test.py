"""The kernels as nvcc compiled them, for each architecture of a release.

usage: ptx_test.py PTXAS CASE FILE.ptx...

arithmetic  every floating-point operation names rounding to nearest; nothing is approximate,
            flushes denormals, is summed in an order that the scheduler chooses, or lies in local
            memory
budget      registers and shared memory are within BUDGETS, and nothing is spilled to memory
table       prints what `budget` looks at, with the occupancy, as Markdown

Exit status 0: so; 1: not so, or a kernel is missing or has no budget.
"""

import collections
import concurrent.futures
import itertools
import os
import re
import subprocess
import sys
from pathlib import Path

# Static shared memory only. The aggregation from shared memory takes all that a block may have.
Budget = collections.namedtuple("Budget", "threads registers shared_bytes takes_all",
                                defaults=[0, False])
BUDGETS = {
    "draw_normals": Budget(256, 32),
    "draw_mixing": Budget(256, 32),
    "draw_points": Budget(256, 64),
    "redraw_normals": Budget(256, 32),
    "redraw_mixing": Budget(256, 32),
    "mix_factors": Budget(256, 32),
    "take_history": Budget(256, 32),
    "market_states": Budget(256, 32),
    "revalue": Budget(256, 64),
    "aggregate<1, true>": Budget(1024, 64, 16, True),
    "aggregate<2, true>": Budget(1024, 64, 16, True),
    "aggregate<4, true>": Budget(1024, 64, 16, True),
    "aggregate<1, false>": Budget(1024, 64, 16),
    "aggregate<2, false>": Budget(1024, 64, 16),
    "aggregate<4, false>": Budget(1024, 64, 16),
    "aggregate_dense": Budget(256, 128),
    "compact": Budget(256, 64, 8192),
    "select": Budget(256, 64, 8192),
    "restart": Budget(256, 32),
}
OPERATIONS = ["add.rn.f32", "sub.rn.f32", "mul.rn.f32", "fma.rn.f32", "div.rn.f32", "sqrt.rn.f32",
              "add.rn.f64", "mul.rn.f64"]  # so that a test which reads nothing cannot pass

# Of a multiprocessor (CUDA C++ Programming Guide, "Technical Specifications per Compute
# Capability"). Registers are given to warps by 256, shared memory to blocks by 128 bytes.
Processor = collections.namedtuple("Processor", "warps blocks shared_bytes block_shared_bytes")
PROCESSORS = {80: Processor(64, 32, 164 << 10, 163 << 10),
              90: Processor(64, 32, 228 << 10, 227 << 10),
              100: Processor(64, 32, 228 << 10, 227 << 10),
              120: Processor(48, 24, 100 << 10, 99 << 10)}
REGISTERS = 65536
RESERVED_BYTES = 1024  # of each block's shared memory, by the system

INSTRUCTION = re.compile(r"\s*(?:@!?%\w+\s+)?([a-z]\w*(?:\.\w+(?:::\w+)*)*)[\s;]")
FORBIDDEN = [
    (r".*\.(approx|full)\b", "is approximate"),
    (r".*\.ftz\b", "flushes denormals"),
    (r".*\.(f16|bf16|tf32)(x2)?\b", "is of low precision"),
    (r"(add|sub|mul|mad|fma|div|sqrt|rcp)\.(?!rn\.).*\bf(32|64)(x2)?$",
     "does not name rounding to nearest"),
    (r"(atom|red)\..*\bf(32|64)$", "is summed in no fixed order"),
    (r"(ld|st)\.local\b", "is in local memory"),
]
REJECTED = ["div.approx.f32", "div.full.f32", "add.f32", "add.f32x2", "mul.rz.f64", "mad.f32",
            "fma.rn.ftz.f32", "atom.global.add.f32", "red.shared::cta.add.f64", "ld.local.v2.f32",
            "ex2.approx.ftz.f32", "cvt.rn.f16.f32"]
ACCEPTED = ["add.rn.f32", "add.s32", "cvt.f64.f32", "atom.global.add.u64", "fma.rn.f32x2",
            "mad.lo.s32", "max.f32", "ld.global.nc.v4.f32"]

failures = []


def architecture_of(file):
    return int(re.search(r"^\.target sm_(\d+)", file.read_text(), re.MULTILINE)[1])


def demangled(names):
    """As they are written in the source, without scope and parameters."""
    done = subprocess.run(["c++filt"], input="\n".join(names), capture_output=True, text=True,
                          check=True)
    own = re.compile(r"(?:void )?shortfall::cuda::\(anonymous namespace\)::(\w+(?:<[^(]*>)?)\(")
    return {mangled: match[1] if (match := own.match(plain)) else plain.split("(")[0]
            for mangled, plain in zip(names, done.stdout.splitlines())}


def bodies(text):
    """The lines of each kernel and function, by mangled name."""
    begin = re.compile(r"(?:\.(?:visible|weak|extern) )*\.(?:entry|func)\s+(?:\(.*?\)\s*)?([\w$]+)")
    name = None
    for line in text.splitlines():
        if match := begin.match(line):
            name = match[1]
        elif name:
            yield name, line


def fault(instruction):
    return next((what for pattern, what in FORBIDDEN if re.match(pattern, instruction)), None)


def arithmetic(_, files):
    for instruction in REJECTED + ACCEPTED:
        if bool(fault(instruction)) != (instruction in REJECTED):
            failures.append(f"the rules of this test are wrong about {instruction}")
    for architecture, group in itertools.groupby(files, architecture_of):
        counts, names = collections.Counter(), set()
        for name, line in itertools.chain(*(bodies(file.read_text()) for file in group)):
            names.add(name)
            if match := INSTRUCTION.match(line):
                counts[match[1]] += 1
                if what := fault(match[1]):
                    failures.append(f"sm_{architecture}: {name}: {match[1]} {what}")
        missing = set(BUDGETS) - set(demangled(sorted(names)).values())
        missing |= {operation for operation in OPERATIONS if not counts[operation]}
        if missing:
            failures.append(f"sm_{architecture}: no {', '.join(sorted(missing))}")
        print(f"sm_{architecture}: {len(names)} functions, {counts.total()} instructions")


Use = collections.namedtuple("Use", "architecture kernel registers shared_bytes stack spilled")


def uses_of(ptxas, file):
    """What ptxas reports of each kernel of a file."""
    architecture = architecture_of(file)
    done = subprocess.run([ptxas, "-v", f"-arch=sm_{architecture}", "-o", os.devnull, file],
                          capture_output=True, text=True, check=True)
    number = re.compile(r"(\d+) (bytes stack frame|bytes spill stores|bytes spill loads"
                        r"|registers|bytes smem)")
    blocks = re.split(r"Compiling entry function '([^']+)'", done.stderr)[1:]
    names = demangled(blocks[0::2])
    for name, text in zip(blocks[0::2], blocks[1::2]):
        values = {what: int(value) for value, what in number.findall(text)}
        yield Use(architecture, names[name], values["registers"], values.get("bytes smem", 0),
                  values["bytes stack frame"],
                  values["bytes spill stores"] + values["bytes spill loads"])


def all_uses(ptxas, files):
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        return [use for uses in pool.map(lambda file: list(uses_of(ptxas, file)), files)
                for use in uses]


def warps_per_processor(use, budget):
    """Resident warps, and of how many."""
    processor = PROCESSORS[use.architecture]
    warps = budget.threads // 32
    shared = processor.block_shared_bytes if budget.takes_all else use.shared_bytes
    shared_bytes = -(-(shared + RESERVED_BYTES) // 128) * 128
    warp_registers = -(-use.registers * 32 // 256) * 256
    blocks = min(processor.blocks, processor.warps // warps,
                 REGISTERS // warp_registers // warps, processor.shared_bytes // shared_bytes)
    return blocks * warps, processor.warps


def budget(ptxas, files):
    uses = all_uses(ptxas, files)
    for use in uses:
        where = f"sm_{use.architecture}: {use.kernel}"
        if use.spilled or use.stack:
            failures.append(f"{where}: {use.spilled} bytes spilled, {use.stack} bytes of stack")
        allowed = BUDGETS.get(use.kernel)
        if not allowed:
            if not use.kernel.removeprefix("void ").startswith(("cub::", "thrust::")):
                failures.append(f"{where}: no budget")
        elif use.registers > allowed.registers or use.shared_bytes > allowed.shared_bytes:
            failures.append(f"{where}: {use.registers} registers, {use.shared_bytes} shared bytes; "
                            f"budget {allowed.registers}, {allowed.shared_bytes}")
        elif not warps_per_processor(use, allowed)[0]:
            failures.append(f"{where}: not even one block fits a multiprocessor")
    for architecture in {use.architecture for use in uses}:
        for kernel in set(BUDGETS) - {u.kernel for u in uses if u.architecture == architecture}:
            failures.append(f"sm_{architecture}: no kernel {kernel}")
    print_table(uses)


def print_table(uses):
    architectures = sorted({use.architecture for use in uses})
    print("| kernel | threads | shared bytes |", *(f"sm_{a} |" for a in architectures))
    print("| --- | ---: | ---: |" + " --- |" * len(architectures))
    for kernel, allowed in BUDGETS.items():
        cells = []
        for use in sorted(use for use in uses if use.kernel == kernel):
            warps, most = warps_per_processor(use, allowed)
            cells.append(f"{use.registers} registers, {warps} of {most} warps |")
            shared = "all" if allowed.takes_all else use.shared_bytes
        print(f"| `{kernel}` | {allowed.threads} | {shared if cells else ''} |", *cells)


def table(ptxas, files):
    print_table(all_uses(ptxas, files))


CASES = {case.__name__: case for case in [arithmetic, budget, table]}


def main():
    if len(sys.argv) < 4 or sys.argv[2] not in CASES:
        print(__doc__, file=sys.stderr)
        sys.exit(2)
    files = sorted(map(Path, sys.argv[3:]), key=lambda file: (architecture_of(file), file))
    CASES[sys.argv[2]](sys.argv[1], files)
    print(*failures, sep="\n", file=sys.stderr)
    sys.exit(bool(failures))


if __name__ == "__main__":
    main()
