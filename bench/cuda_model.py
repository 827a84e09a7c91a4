#!/usr/bin/env python3
"""A performance model on paper of the CUDA backend: instructions by pipe from the compiled kernels,
bytes from the layout of the work, and the time that a GPU must take for a job if no pipe is used
above 85 %. docs/cuda_model.md says how to read what it prints.

Exit status: 0 printed; 1 a tool is missing or failed; 2 wrong command line.
"""

import argparse
import collections
import contextlib
import dataclasses
import io
import json
import math
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import cuda_sass
import cuda_work
from cuda_aggregate import Aggregation, Dense
from cuda_work import occupancy, resource_seconds

UTILISATION = 0.85  # of any pipe
BIG_TARGET_SECONDS = 0.300
TARGET = ("big", "h100")
MARK = "<!-- output -->"
SLOW_DOUBLE = "rtx4090"  # shown beside
# Clocks that one thread's shared 64-bit atomic costs on an address that all want: a loop of
# compare-and-swap, each round a trip to shared memory and back. A 32-bit one is one instruction, a
# clock per lane. Assumed; published measurements of the former are about this.
SPIN_CLOCKS, NATIVE_CLOCKS = 60, 1
# A block of threads that finds nothing to do: launch, two loads, exit. Assumed.
EMPTY_BLOCK_CLOCKS = 1500

Stage = collections.namedtuple("Stage", "name seconds instructions")
# seconds: {resource: at 100 %}; instructions: of warps, on all SMs.


def bound(stage):
    """(seconds with no pipe above UTILISATION, what bounds). Latency is no pipe."""
    scaled = {r: s if r == "latency" else s / UTILISATION for r, s in stage.seconds.items()}
    resource = max(scaled, key=scaled.get)
    return scaled[resource], resource


def scaled(counter, factor):
    return collections.Counter({k: v * factor for k, v in counter.items()})


class Model:
    """One GPU, one job, kernels compiled for the GPU's architecture."""

    def __init__(self, kernels, gpu, job, lane_paths=None):
        self.kernels, self.gpu, self.job = kernels, gpu, job
        shapes = [cuda_work.shape_of(job, gpu, n) for n in (1, 2, 4)]
        self.variants = [self._aggregation(s) for s in shapes]
        self.through_l2 = [self._aggregation(cuda_work.through_l2(job, n)) for n in (1, 2, 4)]
        chosen = min(self.variants, key=lambda a: cuda_work.shape_cost(job, a.shape, gpu))
        if lane_paths:
            chosen = next(a for a in self.variants if a.shape.lane_paths == lane_paths)
        self.chosen = chosen
        self.tiles = cuda_work.tiles(job, gpu.sms * 2 * 32 * chosen.shape.lane_paths)

    def _aggregation(self, shape):
        name = f"aggregate<{shape.lane_paths},{'true' if shape.is_shared else 'false'}>"
        return Aggregation(self.kernels[name], shape)

    def _off_chip(self, bytes_per_path):
        """Whether a tile's array leaves the L2 between being written and read. Two tiles are in
        flight, so half of it is a tile's."""
        return bytes_per_path * max(n for n, _ in self.tiles) > self.gpu.l2_mb * 1e6 / 2

    def _traffic(self, arrays):
        """{l2, dram} bytes of [(bytes per path that an array takes, times it is passed over)]."""
        l2 = sum(size * times for size, times in arrays) * self.job.paths
        dram = sum(size * times for size, times in arrays if self._off_chip(size)) * self.job.paths
        return {"l2": l2, "dram": dram}

    def _threads(self, name, per_path, arrays):
        """A kernel without loops, `per_path` threads for each path."""
        code = self.kernels[name]
        path = code.longest_path()
        warps = per_path * self.job.paths / 32
        wavefronts = sum(cuda_sass.access_bytes(i) / 4 for i in path if cuda_sass.space(i))
        issued = scaled(cuda_sass.counts(path), warps)
        return Stage(name, resource_seconds(self.gpu, issued, wavefronts * warps,
                                            **self._traffic(arrays)), warps * len(path))

    def product(self):
        """cuBLAS's double product, in pedantic mode without tensor cores: F^2 multiply-adds."""
        factors = self.job.factors
        fma = factors**2 * self.job.paths / 32
        return Stage("product (cuBLAS)", resource_seconds(
            self.gpu, {"fp64": fma}, **self._traffic([(8 * factors, 2)])), fma)

    def aggregation(self, aggregation=None):
        a = aggregation or self.chosen
        _, sparse = cuda_work.dense_and_sparse(self.job)
        return Stage(a.code.name, *a.work(self, sparse))

    def dense(self):
        bundles, _ = cuda_work.dense_and_sparse(self.job)
        dense = Dense(self.kernels["aggregate_dense"])
        return Stage("aggregate_dense", *dense.work(self, bundles))

    def tails(self):
        """Compactions after each pilot, selection at the end, and a look at every group after each
        tile. Eight passes over the keys held, the first with most of them in one digit."""
        job, gpu = self.job, self.gpu
        held, scanned, done, share_before = 0.0, 0.0, 0, 1.0
        for paths, share in self.tiles:
            if share < share_before:  # a pilot set a threshold after the tile before
                scanned += held
                held = min(held, share * done)
            held += share * paths
            done, share_before = done + paths, share
        scanned += held
        keys = scanned * job.groups
        code = self.kernels["select"]
        passes = [h for h in code.innermost()
                  if any(cuda_sass.space(i) == "shared" and "ATOM" in i.opcode.upper()
                         for i in code.instructions(code.loops[h]))]
        per_key = cuda_sass.counts(code.instructions(code.loops[passes[0]]))
        atomics = [i.opcode for i in code.instructions(code.loops[passes[0]])]
        clocks = SPIN_CLOCKS if any("SPIN" in o or o.endswith("u64") and o.startswith("atom")
                                    for o in atomics) else NATIVE_CLOCKS
        blocks = occupancy(code, gpu, 256)
        seconds = resource_seconds(gpu, scaled(per_key, 8 * keys / 32), l2=8 * 8 * keys,
                                   dram=8 * 2 * keys)
        seconds["latency"] = (keys * clocks + job.groups * len(self.tiles) * EMPTY_BLOCK_CLOCKS) / (
            gpu.sms * blocks * gpu.clock_ghz * 1e9)
        return Stage("compact, select", seconds, 8 * keys / 32 * sum(per_key.values()))

    def stages(self):
        job = self.job
        factors, states, values = 8 * job.factors, 4 * job.state_rows, 4 * job.instruments
        stages = [
            self._threads("draw_normals", math.ceil(job.factors / 4), [(factors, 1)]),
            self._threads("draw_mixing", 1, [(8, 1)]),
            self.product(),
            self._threads("mix_factors", job.factors, [(factors, 2)]),
            self._threads("market_states", job.state_rows, [(factors, 1), (states, 1)]),
            # Linear cells are counted as strikes: an upper bound.
            self._threads("revalue", job.cells / 4, [(states, 1), (values, 1)]),
            self.aggregation(),
        ]
        if cuda_work.dense_and_sparse(job)[0]:
            stages.append(self.dense())
        return stages + [self.tails()]

    def download_seconds(self):
        return 8 * self.job.keep * self.job.groups / (self.gpu.pcie_gb_s * 1e9)


# --- Tables -------------------------------------------------------------------------------------

RESOURCES = ("issue", "fma", "alu", "imad", "fp64", "xu", "memory pipe", "L2", "DRAM", "latency")


def table(header, rows):
    lines = [header, *[[f"{c:.2f}" if isinstance(c, float) else str(c) for c in r] for r in rows]]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    lines.insert(1, ["-" * w for w in widths])
    return "\n".join("| " + " | ".join(c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in
                                       enumerate(zip(line, widths))) + " |" for line in lines)


def milliseconds(stage):
    return [1e3 * stage.seconds[r] if stage.seconds.get(r) else "" for r in RESOURCES]


def kernel_rows(kernels, gpu):
    """Per element: of the hot loop a holding and 32 paths, of others a thread's part of a warp."""
    elements = {"draw_normals": ("4 normals", 256), "draw_mixing": ("path", 256),
                "mix_factors": ("factor move", 256), "market_states": ("state", 256),
                "revalue": ("strike x 4 paths", 256)}
    rows = []
    for name, code in sorted(kernels.items()):
        if name.startswith("aggregate<"):
            lanes = int(name[10])
            a = Aggregation(code, cuda_work.Shape(lanes, (), name.endswith("true>")))
            counted, element, threads = scaled(a.per_holding, 1 / lanes), "holding x path", 1024
            wavefronts = 1 + 0.5 / lanes
        elif name == "aggregate_dense":
            d = Dense(code)
            counted, element, threads = scaled(d.per_instrument, 1 / 16), "holding x path", 256
            wavefronts = d.wavefronts / 16
        elif name in elements:
            element, threads = elements[name]
            path = code.longest_path()
            counted = cuda_sass.counts(path)
            wavefronts = sum(cuda_sass.access_bytes(i) / 4 for i in path if cuda_sass.space(i))
        else:
            counted, element, threads, wavefronts = {}, "", 256, 0.0
        warps = occupancy(code, gpu, threads) * threads // 32
        if threads == 1024:
            warps = cuda_work.WARPS  # a slab fills an SM's shared memory
        r = code.resources
        rows.append([name, element, r.registers, r.spill_bytes, warps]
                    + ([float(sum(counted.values())), *[float(counted.get(p, 0)) for p in
                        ("fma", "alu", "imad", "fp64", "xu")], float(wavefronts)]
                       if counted else [""] * 7))
    return rows


def print_kernels(kernels, gpu, read):
    print(f"## Kernels, {read} for {gpu.architecture}\n\nWarp instructions per element and warp, on "
          "the slowest path where there is no loop, and wavefronts of the memory pipe; registers, "
          "spilled bytes, warps per SM. A holding and path is one of 32 of a warp.\n")
    print(table(["kernel", "element", "reg", "spill", "warps", "issue", "fma", "alu", "imad",
                 "fp64", "xu", "wavefronts"], kernel_rows(kernels, gpu)))


def print_report(model):
    gpu, job = model.gpu, model.job
    print(f"\n## {job.name} on {gpu.name}\n")
    print(f"{job.paths:,} paths, {job.instruments:,} instruments, {job.factors} factors, "
          f"{job.groups:,} margin groups, {job.positions:,} positions. {gpu.sms} SMs at "
          f"{gpu.clock_ghz} GHz, {gpu.dram_gb_s / 1000:.2f} TB/s.")
    print("\nAggregation: ms that each resource needs at 100 %, by paths per lane (L). The program "
          f"chooses L = {model.chosen.shape.lane_paths}.\n")
    rows = []
    for a in [*model.variants, *model.through_l2]:
        stage = model.aggregation(a)
        seconds, what = bound(stage)
        carried = sum(s.carried for s in a.shape.slabs)
        rows.append([f"L = {a.shape.lane_paths}" + ("" if a.shape.is_shared else ", from L2"),
                     len(a.shape.slabs), carried, *milliseconds(stage), 1e3 * seconds, what])
    print(table(["shape", "slabs", "carried", *RESOURCES, "at 85 %", "bound"], rows))
    print("\nStages: ms at 100 %, and with no pipe above 85 %.\n")
    rows, total = [], 0.0
    for stage in model.stages():
        seconds, what = bound(stage)
        total += seconds
        rows.append([stage.name, *milliseconds(stage), 1e3 * seconds, what])
    print(table(["stage", *RESOURCES, "at 85 %", "bound"], rows))
    worst = max(model.stages(), key=lambda s: bound(s)[0])
    print(f"\nTotal {1e3 * total:.1f} ms, one stage after the other; {worst.name} takes "
          f"{100 * bound(worst)[0] / total:.0f} %, bound by {bound(worst)[1]}. Not in it: "
          f"{1e3 * model.download_seconds():.1f} ms to copy {8e-6 * job.keep * job.groups:.0f} MB "
          "of tails to the host, and launches.")
    if (job, gpu) == (cuda_work.JOBS[TARGET[0]], cuda_work.GPUS[TARGET[1]]):
        verdict = "reached" if total <= BIG_TARGET_SECONDS else "MISSED"
        print(f"Target {1e3 * BIG_TARGET_SECONDS:.0f} ms on paper: {verdict}.")


def print_products(models):
    """The double product of the job at two numbers of factors."""
    rows = []
    for model in models:
        for factors in (64, 512):
            job = dataclasses.replace(model.job, factors=factors)
            other = Model(model.kernels, model.gpu, job)
            seconds = bound(other.product())[0]
            gpu, total = model.gpu, sum(bound(s)[0] for s in other.stages())
            rows.append([gpu.name, f"1:{gpu.fp32_lanes // gpu.fp64_lanes}", factors,
                         2e-9 * factors**2 * job.paths, 1e3 * seconds, 1e3 * total,
                         f"{100 * seconds / total:.1f} %"])
    print(f"\n## The double product, {models[0].job.paths:,} paths\n\nAt 85 % of the double pipe, "
          "without tensor cores; a triangular product would be half of it.\n")
    print(table(["GPU", "double rate", "factors", "GFLOP", "ms", "job, ms", "share"], rows))


def print_check(models, path):
    """Predicted warp instructions beside those that the PTX emulator counted (PTXEMU_STATS)."""
    executed = {}
    for name, count in re.findall(r"^KERNEL (\S+) .*? warp_instr (\d+)",
                                  Path(path).read_text(encoding="utf-8"), re.M):
        executed[cuda_sass.kernel_name(name)] = int(count)
    rows = [[s.name, f"{s.instructions:,.0f}", f"{executed[s.name]:,}",
             s.instructions / executed[s.name]]
            for m in models for s in m.stages() if s.name in executed]
    print("\n## Instructions predicted and executed\n")
    print(table(["kernel", "predicted", "executed", "ratio"], rows))


def as_json(model, read):
    def entry(stage):
        seconds, what = bound(stage)
        return {"seconds_at_100_percent": stage.seconds, "seconds": seconds, "bound": what,
                "warp_instructions": stage.instructions}
    return {"job": model.job.name, "gpu": model.gpu.name, "read": read,
            "lane_paths": model.chosen.shape.lane_paths,
            "stages": {s.name: entry(s) for s in model.stages()},
            "aggregation": {f"{a.shape.lane_paths},{a.shape.is_shared}": entry(model.aggregation(a))
                            for a in [*model.variants, *model.through_l2]},
            "seconds": sum(bound(s)[0] for s in model.stages()),
            "download_seconds": model.download_seconds()}


# --- Measured beside predicted ------------------------------------------------------------------


def run_program(program, config, backend, folder):
    """run.json of a run, or a reason why there is none."""
    output = Path(folder) / backend
    try:
        process = subprocess.run([program, "run", config, "--backend", backend, "--out", output],
                                 capture_output=True, text=True, check=False)
    except OSError as error:
        return None, f"{program}: {error.strerror}"
    if process.returncode != 0:
        return None, process.stderr.strip() or f"exit status {process.returncode}"
    return json.loads((output / "run.json").read_text(encoding="utf-8")), None


def measure(program, config, kernels, gpu, folder):
    """Prints what this machine's device takes beside what the model says, and the CPU's time.
    Without a device says why, which is no failure."""
    on_cpu, reason = run_program(program, config, "cpu", folder)
    if not on_cpu:
        raise cuda_sass.ToolError(reason)
    job_path = Path(folder) / "cpu" / "run.json"
    model = Model(kernels, gpu, cuda_work.job_of(str(job_path)))
    predicted = sum(bound(s)[0] for s in model.stages())
    print(f"\n## {config}\n")
    cpu_seconds = on_cpu["seconds"]["simulate"]
    rows = [["CPU", on_cpu["backend"]["device"], cpu_seconds, ""],
            ["model", gpu.name, predicted, cpu_seconds / predicted]]
    on_device, reason = run_program(program, config, "cuda", folder)
    if on_device:
        seconds = on_device["seconds"]["simulate"]
        rows.append(["measured", on_device["backend"]["device"], seconds, cpu_seconds / seconds])
    print(table(["", "device", "seconds", "CPU's time over it"],
                [[a, b, f"{c:.4f}", f"{d:.1f}" if d else ""] for a, b, c, d in rows]))
    print("\nSeconds are those of `simulate`; the model's without copies to the host.")
    if not on_device:
        print(f"Not measured on a device: {reason}")


def arguments(words):
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0],
                                     epilog="A GPU's file has all fields of Gpu in "
                                     "bench/cuda_work.py, or some and \"like\": \"h100\"; a job's "
                                     "those of Job.")
    parser.add_argument("--gpu", default="h100", metavar="NAME_OR_JSON",
                        help=f"{', '.join(cuda_work.GPUS)}, or a JSON file")
    parser.add_argument("--set", nargs="+", default=[], metavar="FIELD=VALUE",
                        help="change the GPU, as in --set sms=114 clock_ghz=1.6")
    parser.add_argument("--job", action="append", metavar="NAME_OR_JSON",
                        help=f"{', '.join(cuda_work.JOBS)}, a JSON file, or a run.json")
    parser.add_argument("--lane-paths", type=int, choices=(1, 2, 4),
                        help="paths per lane, instead of what the program would choose")
    parser.add_argument("--ptx", action="store_true", help="read PTX even where cuobjdump is found")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--check", metavar="STATS",
                        help="compare with what the PTX emulator executed, as PTXEMU_STATS writes")
    parser.add_argument("--write", metavar="FILE",
                        help="replace what follows the last comment <!-- output --> of FILE")
    parser.add_argument("--measure", nargs=2, metavar=("PROGRAM", "CONFIG"),
                        help="run CONFIG on the CPU and on this machine's device as well")
    return parser.parse_args(words)


def print_all(options, gpu, jobs, folder):
    kernels, read = cuda_sass.compile_kernels(gpu.architecture, folder, options.ptx)
    models = [Model(kernels, gpu, job, options.lane_paths) for job in jobs]
    if options.json:
        print(json.dumps([as_json(m, read) for m in models], indent=1))
        return
    if read == "PTX" and not options.ptx:
        print("No cuobjdump (pip install nvidia-cuda-cuobjdump nvidia-cuda-nvdisasm): PTX is "
              "counted, of which there is up to half more.\n")
    print_kernels(kernels, gpu, read)
    for model in models:
        print_report(model)
    if options.check:
        print_check(models, options.check)
    elif models and not options.job:
        slow = cuda_work.GPUS[SLOW_DOUBLE]
        others, _ = cuda_sass.compile_kernels(slow.architecture, folder, options.ptx)
        print_products([models[-1], Model(others, slow, models[-1].job)])
    if options.measure:
        measure(*options.measure, kernels, gpu, folder)


def main(words):
    options = arguments(words)
    try:
        gpu = cuda_work.gpu_of(options.gpu, options.set)
        names = options.job or ([] if options.measure else list(cuda_work.JOBS))
        jobs = [cuda_work.job_of(name) for name in names]
        with tempfile.TemporaryDirectory() as folder:
            if not options.write:
                print_all(options, gpu, jobs, folder)
                return 0
            head, mark, _ = Path(options.write).read_text(encoding="utf-8").rpartition(MARK)
            if not mark:
                raise cuda_work.WorkError(f"{options.write}: no {MARK}")
            with contextlib.redirect_stdout(io.StringIO()) as output:
                print_all(options, gpu, jobs, folder)
            Path(options.write).write_text(f"{head}{mark}\n\n{output.getvalue()}",
                                           encoding="utf-8")
    except cuda_work.WorkError as error:
        print(f"cuda_model.py: {error}", file=sys.stderr)
        return 2
    except (cuda_sass.ToolError, OSError) as error:
        print(f"cuda_model.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
