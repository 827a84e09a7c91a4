"""What the model of the CUDA backend computes from: GPUs, jobs, and how cuda/simulation.cpp and
cuda/lists.cpp cut a job into slabs, tiles and lists."""

import collections
import dataclasses
import json
import math

BLOCK, SUPERBLOCK = 32, 1024  # instruments; core/plan_arrays.hpp
STRIDE_UNIT = 128  # cuda/kernels.hpp
DENSE_GROUPS = 8  # cuda/lists.hpp
WARPS = 32  # of the aggregation's blocks of 1,024 threads


class WorkError(Exception):
    """A GPU or a job that makes no sense."""


@dataclasses.dataclass(frozen=True)
class Gpu:
    """Lanes and bytes are per clock and streaming multiprocessor (SM)."""
    name: str
    architecture: str
    sms: int
    clock_ghz: float  # taken as sustained
    fp32_lanes: int
    int_lanes: int
    fp64_lanes: int
    dram_gb_s: float
    l2_gb_s: float
    l2_mb: float
    shared_optin_bytes: int
    threads_per_sm: int
    sfu_lanes: int = 16
    lsu_lanes: int = 32
    issue: int = 4  # warp instructions
    shared_bytes: int = 128  # one wavefront
    registers_per_sm: int = 65536
    pcie_gb_s: float = 50.0


# Lanes: CUDA programming guide, "Throughput of native arithmetic instructions", by compute
# capability. Opt-in shared memory, threads: ibid., "Technical specifications per compute
# capability". SMs, clocks, memory: NVIDIA's data sheets and architecture white papers. L2 bandwidth
# is published by NVIDIA for none of them: H100 5.5 TB/s and A100 about 4.5 TB/s are what published
# microbenchmarks read; for the others 2 KB per clock is assumed.
GPUS = {
    # 132 SMs, 50 MB L2, HBM3. 1.755 GHz is below the SXM's boost clock of 1.98 GHz: what a loaded
    # card is taken to hold.
    "h100": Gpu("H100 SXM", "sm_90", 132, 1.755, 128, 64, 64, 3350, 5500, 50, 232448, 2048),
    "a100": Gpu("A100 SXM 80 GB", "sm_80", 108, 1.410, 64, 64, 32, 2039, 4500, 40, 166912, 2048,
                pcie_gb_s=25),
    # L4's 72 W do not hold its boost clock of 2.04 GHz under load; 1.5 is assumed.
    "l4": Gpu("L4", "sm_89", 58, 1.500, 128, 64, 2, 300, 3000, 48, 101376, 1536, pcie_gb_s=25),
    "rtx4090": Gpu("RTX 4090", "sm_89", 128, 2.520, 128, 64, 2, 1008, 5160, 72, 101376, 1536,
                   pcie_gb_s=25),
    "rtx5090": Gpu("RTX 5090", "sm_120", 170, 2.407, 128, 128, 2, 1792, 4930, 96, 101376, 1536),
}


@dataclasses.dataclass(frozen=True)
class Job:
    name: str
    paths: int
    instruments: int  # priced
    factors: int
    holdings: tuple  # ((margin groups, holdings of each), ...), drawn at random
    underlyings: int = 4
    expiries: int = 8  # of each underlying, each with a future
    confidence: float = 0.99

    @property
    def groups(self):
        return sum(count for count, _ in self.holdings)

    @property
    def positions(self):
        return sum(count * each for count, each in self.holdings)

    @property
    def keep(self):
        """Keys of a group's tail."""
        return min(self.paths, math.floor((1 - self.confidence) * self.paths + 1e-9) + 1)

    @property
    def state_rows(self):
        """Per expiry the shock, the volatility and a growth; per underlying spot, perpetual and
        skew; one that is zero (host/plan/plan_cells.cpp)."""
        return min(self.underlyings * (3 * self.expiries + 3) + 1, 3 * self.instruments)

    @property
    def linear_cells(self):
        return min(self.underlyings * (self.expiries + 1), self.instruments)

    @property
    def cells(self):
        """Calls and puts of one strike are a cell."""
        return self.linear_cells + math.ceil((self.instruments - self.linear_cells) / 2)


JOBS = {
    "canonical": Job("canonical", 102_400, 1000, 64, ((10, 1000), (90, 200), (900, 30))),
    "big": Job("big", 1_000_000, 2000, 64, ((10_000, 100),), underlyings=8),
}


def gpu_of(text, changes):
    """A known name or a JSON file with Gpu's fields; a file may start from one with "like"."""
    if text in GPUS:
        fields = dataclasses.asdict(GPUS[text])
    else:
        given = _json(text, "GPU", GPUS)
        fields = dataclasses.asdict(GPUS[given.pop("like", "h100")]) | given
    for change in changes:
        name, _, value = change.partition("=")
        try:
            fields[name] = type(fields[name])(value)
        except (KeyError, ValueError) as error:
            raise WorkError(f"{change}: not one of {', '.join(fields)}") from error
    return _made(Gpu, fields)


def job_of(text):
    """A known name, a JSON file with Job's fields, or a run.json, of whose accounts all are taken
    to hold the mean number of positions."""
    if text in JOBS:
        return JOBS[text]
    fields = _json(text, "job", JOBS)
    if "counts" in fields:
        counts, groups = fields["counts"], max(1, fields["counts"]["margin_groups"])
        fields = {"paths": fields["paths"], "instruments": counts["instruments"],
                  "factors": counts["factors"],
                  "holdings": [[groups, max(1, round(counts["positions"] / groups))]]}
    fields["holdings"] = tuple(tuple(h) for h in fields["holdings"])
    return _made(Job, {"name": text} | fields)


def _json(path, what, known):
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    except (OSError, ValueError) as error:
        raise WorkError(f"{what} {path}: neither one of {', '.join(known)} nor a JSON file "
                        f"({error})") from error


def _made(kind, fields):
    try:
        return kind(**fields)
    except TypeError as error:
        raise WorkError(f"{kind.__name__}: {error}") from error


# --- How the host cuts the work ---------------------------------------------------------------

Slab = collections.namedtuple("Slab", "rows parts carried ends_superblock")
# parts: instruments of each, cut where a superblock ends; carried: rows that come in from the slab
# before, each of a float per path.
Shape = collections.namedtuple("Shape", "lane_paths slabs is_shared")


def cut_slabs(instruments, row_capacity):
    """As cut_slabs of cuda/lists.cpp, for a listing of which every instrument is priced."""
    slabs, first = [], 0
    while first < instruments:
        end = min(instruments, (first + row_capacity) // BLOCK * BLOCK)
        if end <= first:
            raise WorkError("a slab holds no block")
        bounds = [first, *range((first // SUPERBLOCK + 1) * SUPERBLOCK, end, SUPERBLOCK), end]
        parts = tuple(b - a for a, b in zip(bounds, bounds[1:]))
        carried = min(3, 1 + first // SUPERBLOCK) if first else 0
        slabs.append(Slab(end - first, parts, carried,
                          end % SUPERBLOCK == 0 or end == instruments))
        first = end
    return tuple(slabs)


def shape_of(job, gpu, lane_paths):
    capacity = gpu.shared_optin_bytes // (128 * lane_paths)
    return Shape(lane_paths, cut_slabs(job.instruments, capacity), True)


def through_l2(job, lane_paths):
    return Shape(lane_paths, cut_slabs(job.instruments, job.instruments + BLOCK), False)


def dense_and_sparse(job):
    """(bundles, [(groups, holdings)] of the rest), as make_dense_lists of cuda/lists.cpp."""
    is_dense = [each * 2 >= job.instruments and each > 16 for _, each in job.holdings]
    dense = sum(count for (count, _), d in zip(job.holdings, is_dense) if d)
    bundles, left = divmod(dense, DENSE_GROUPS)
    if left >= DENSE_GROUPS // 2:
        bundles, left = bundles + 1, 0
    sparse = [h for h, d in zip(job.holdings, is_dense) if not d]
    for count, each in reversed([h for h, d in zip(job.holdings, is_dense) if d]):
        sparse += [(min(count, left), each)] if left else []
        left -= min(count, left)
    return bundles, sparse


def tiles(job, tile_paths):
    """Paths of each tile, and the share of its losses that pass the threshold: run_tiles of
    cuda/simulation.cpp, next_pilot and threshold_rank of core/tail.hpp."""
    pilots = sorted(size // 64 * 64 for size in
                    (job.paths // 2 // 4**n for n in range(32)) if size >= 128)
    result, done, share = [], 0, 1.0
    while done < job.paths:
        end = min([p for p in pilots if p > done] + [job.paths, done + tile_paths])
        result.append((end - done, share))
        done = end
        if done in pilots:
            expected = job.keep * done / job.paths
            rank = math.floor(expected + 5 * math.sqrt(expected) + 5)
            share = min(share, rank / done)
    return result


def held_in(instruments, holdings, rows):
    """[probability of holding 0, 1, ... of `rows` instruments]: hypergeometric."""
    def choose(n, k):
        return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)

    total = choose(instruments, holdings)
    return [math.exp(choose(rows, h) + choose(instruments - rows, holdings - h) - total)
            if holdings - h <= instruments - rows else 0.0
            for h in range(min(rows, holdings) + 1)]


Lists = collections.namedtuple("Lists", "pairs batches rest")


def expected_lists(job, holdings, rows, batch_pairs):
    """Mean pairs in a list, whole batches of them, and pairs left over."""
    chances = held_in(job.instruments, holdings, rows)
    pairs = [(h + 1) // 2 for h in range(len(chances))]
    return Lists(sum(p * n for p, n in zip(chances, pairs)),
                 sum(p * (n // batch_pairs) for p, n in zip(chances, pairs)),
                 sum(p * (n % batch_pairs) for p, n in zip(chances, pairs)))


def shape_cost(job, shape, gpu):
    """As Simulation::shape_cost: what the program chooses the shape by."""
    paths, carried = shape.lane_paths, sum(s.carried for s in shape.slabs)
    parts = sum(len(s.parts) for s in shape.slabs)
    issued = (job.positions * (3 * paths + 5)
              + job.groups * (80 * parts + 60 * len(shape.slabs) + 40 * paths))
    bytes_per_instruction = gpu.dram_gb_s / (gpu.issue * gpu.clock_ghz * gpu.sms)
    return max(issued / paths, job.groups * carried * 256 / bytes_per_instruction)


# --- What a GPU needs for it ------------------------------------------------------------------


def resource_seconds(gpu, issued, wavefronts=0.0, l2=0.0, dram=0.0):
    """Seconds of each resource at full rate, of warp instructions by pipe, wavefronts and bytes,
    spread evenly over the SMs."""
    clock = gpu.sms * gpu.clock_ghz * 1e9
    lanes = {"fma": gpu.fp32_lanes, "imad": gpu.int_lanes, "alu": gpu.int_lanes,
             "fp64": gpu.fp64_lanes, "xu": gpu.sfu_lanes}
    seconds = {"issue": sum(issued.values()) / (gpu.issue * clock)}
    seconds |= {pipe: issued.get(pipe, 0) * 32 / (n * clock) for pipe, n in lanes.items()}
    seconds["memory pipe"] = max(wavefronts * 128 / gpu.shared_bytes,
                                 issued.get("lsu", 0) * 32 / gpu.lsu_lanes) / clock
    return seconds | {"L2": l2 / (gpu.l2_gb_s * 1e9), "DRAM": dram / (gpu.dram_gb_s * 1e9)}


def occupancy(code, gpu, threads, dynamic_bytes=0):
    """Blocks of an SM; registers are given to warps in units of 256."""
    registers = -(-code.resources.registers * 32 // 256) * 256 * (threads // 32)
    limits = [gpu.threads_per_sm // threads, gpu.registers_per_sm // registers]
    if shared := code.resources.shared_bytes + dynamic_bytes:
        limits.append((gpu.shared_optin_bytes + 1024) // (shared + 1024))
    return min(limits)
