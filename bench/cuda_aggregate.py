"""The aggregation kernels: which compiled instructions run how often."""

import collections

import cuda_sass
import cuda_work
from cuda_sass import ToolError, counts

# Clocks until a result can be used, of Hopper; published microbenchmarks agree within a fifth.
SHARED_CLOCKS, L1_CLOCKS, L2_CLOCKS, DRAM_CLOCKS, ATOMIC_CLOCKS = 30, 35, 260, 600, 700
ADD_CLOCKS = 4  # of a dependent float operation
PAIRS_PER_LINE = 8  # of 16 bytes in 128
SUPERBLOCK_ADDS = 7  # per path: TwoSum and what it lost


def _sum(*counters):
    total = collections.Counter()
    for factor, counter in counters:
        for pipe, count in counter.items():
            total[pipe] += factor * count
    return total


def _fmas(code, blocks):
    return sum(cuda_sass.is_fma(i) for i in code.instructions(blocks))


def _float_sums(code, block):
    return sum(i.pipe == "fma" for i in code.blocks[block])


class Filter:
    """The part of a kernel that compares losses with the threshold: what always runs, what runs
    where a warp has a path of interest, what runs where a ballot finds a candidate."""

    def __init__(self, code, blocks):
        votes = [b for b in sorted(blocks) if any(
            cuda_sass.is_vote(i) and not i.opcode.startswith("VOTEU") for i in code.blocks[b])]
        self.votes, slow, offers = votes, set(), set()
        if len(votes) > 1:
            after = [code.dominated(s) for s in self._following(code, votes[0])]
            slow = next((d for d in after if all(v in d for v in votes[1:])), set())
        for vote in votes[1 if slow else 0:]:
            for s in self._following(code, vote):
                region = code.dominated(s)
                if len(code.predecessors(s)) == 1 and not region & set(votes):
                    offers |= region
        # The lowest path with a loss that is not finite: does not happen.
        bad = {b for b in blocks if any(
            ".MIN" in i.opcode.upper() and i.opcode.upper().startswith(("RED", "ATOM"))
            for i in code.blocks[b])}
        self.offers = (offers & blocks) - bad
        self.slow = (slow & blocks) - offers - bad
        self.bad = bad

    @staticmethod
    def _following(code, vote):
        while len(code.successors[vote]) == 1:
            vote = code.successors[vote][0]
        return code.successors[vote]


class Aggregation:
    """aggregate<lane paths, is shared>, in a shape."""

    def __init__(self, code, shape):
        self.code, self.shape, lanes = code, shape, shape.lane_paths
        fma_blocks = {b for b in code.reached if _fmas(code, [b])}
        nest = sorted((body for body in code.loops.values() if fma_blocks < body), key=len)
        if len(nest) < 3:
            raise ToolError(f"{code.name}: no loop of holdings in loops of groups, slabs and "
                            f"columns ({len(nest)} loops)")
        group = nest[-3]
        # Loops of parts: one, or one for each value of a condition that does not change in them.
        parts = [body for body in code.loops.values() if body < group and body & fma_blocks]
        parts = [body for body in parts if not any(body < other for other in parts)]
        part = set().union(*parts)
        main = max((h for h in code.innermost() if _fmas(code, code.loops[h])),
                   key=lambda h: _fmas(code, code.loops[h]))
        body = code.loops[main]
        self.batch_pairs = _fmas(code, body) // lanes / 2
        self.per_batch = counts(code.instructions(body))
        self.per_holding = _sum((0.5 / self.batch_pairs, self.per_batch))
        rest = fma_blocks - body
        rest_pairs = _fmas(code, rest) / lanes / 2
        self.per_rest_pair = (_sum((1 / rest_pairs, counts(code.instructions(rest))))
                              if rest else _sum((2, self.per_holding)))
        others = part - fma_blocks
        ends = {b for b in others if _float_sums(code, b) >= SUPERBLOCK_ADDS * lanes}
        self.per_superblock = _sum((1 / len(parts), counts(code.instructions(ends))))
        self.per_part = _sum((1 / len(parts), counts(code.instructions(others - ends))))
        self._read_group(group, group - part, lanes)

    def _read_group(self, group, blocks, lanes):
        code = self.code
        header = next(h for h, body in code.loops.items() if body == group)
        self.filter = Filter(code, blocks)
        fast = blocks - self.filter.slow - self.filter.offers - self.filter.bad
        before = self._reaching(self.filter.votes[:1], blocks, header)
        stores = [b for b in fast - before if any(
            cuda_sass.space(i) == "global" and not cuda_sass.is_load(i) for i in code.blocks[b])]
        carry = self._reaching(stores, blocks, header)
        self.filter_blocks = (before - carry) & fast
        self.per_filter = counts(code.instructions(self.filter_blocks))
        self.per_slab = counts(code.instructions(fast - self.filter_blocks))
        self.per_interest = counts(code.instructions(self.filter.slow))
        self.per_offer = _sum((1 / lanes, counts(code.instructions(self.filter.offers))))

    def _reaching(self, targets, blocks, header):
        """Blocks of `blocks` from which a target is reached in the same round of the loop."""
        return set().union(*(self.code.reach(t, lambda b: [
            p for p in self.code.predecessors(b) if p in blocks and b != header])
                             for t in targets))

    def _per_group(self, job, holdings, share):
        """(instructions, wavefronts, bytes of lists, latency, holdings) of one group and column;
        `share` of its losses pass the threshold."""
        lanes, slabs = self.shape.lane_paths, self.shape.slabs
        issued, pairs, latency = collections.Counter(), 0.0, 0.0
        for slab in slabs:
            issued += _sum((1, self.per_slab))
            for rows in slab.parts:
                lists = cuda_work.expected_lists(job, holdings, rows, self.batch_pairs)
                issued += _sum((1, self.per_part), (lists.batches, self.per_batch),
                               (lists.rest, self.per_rest_pair))
                pairs += lists.pairs
                # begin, then the first pair; then a line of the list and shared memory per batch,
                # whose holdings form a chain of two operations each.
                latency += 2 * L2_CLOCKS + (lists.batches + lists.rest) * (
                    SHARED_CLOCKS if self.shape.is_shared else L2_CLOCKS)
                latency += lists.pairs * (2 * 2 * ADD_CLOCKS + L2_CLOCKS / PAIRS_PER_LINE)
                latency += (lists.batches + lists.rest) * L1_CLOCKS
            latency += DRAM_CLOCKS - 2 * L2_CLOCKS if slab.carried else 0
        ends = sum(len(s.parts) - 1 + s.ends_superblock for s in slabs)
        any_of_warp = 1 - (1 - share) ** (32 * lanes)
        any_of_ballot = 1 - (1 - share) ** 32
        issued += _sum((ends, self.per_superblock), (1, self.per_filter),
                       (any_of_warp, self.per_interest), (any_of_ballot * lanes, self.per_offer))
        latency += 2 * L2_CLOCKS + any_of_ballot * lanes * ATOMIC_CLOCKS
        carried = sum(s.carried for s in slabs)
        # A pair is read as one wavefront by all lanes, values and what is carried (all that is read
        # and written per slab) as one per 128 bytes; elsewhere a load or store counts as one.
        wavefronts = pairs * (1 + 2 * lanes) + 2 * carried * lanes + sum(
            factor * counter.get("lsu", 0) for factor, counter in
            ((sum(len(s.parts) for s in slabs), self.per_part), (1, self.per_filter),
             (any_of_warp, self.per_interest), (any_of_ballot * lanes, self.per_offer)))
        return issued, wavefronts, 16 * pairs + 64 * len(slabs), latency, 2 * pairs

    def work(self, model, sparse):
        """({resource: seconds}, warp instructions) of all tiles of the job."""
        job, gpu, lanes, slabs = model.job, model.gpu, self.shape.lane_paths, self.shape.slabs
        width = 32 * lanes
        groups = sum(count for count, _ in sparse)
        carried = sum(s.carried for s in slabs)
        carry_bytes = 12 * width * groups * gpu.sms
        issued, wavefronts, l2, dram, latency = collections.Counter(), 0.0, 0.0, 0.0, 0.0
        columns_run = instructions = 0.0
        for paths, share in model.tiles:
            columns = -(-paths // cuda_work.STRIDE_UNIT) * cuda_work.STRIDE_UNIT / width
            blocks = min(columns, gpu.sms)
            # The rounds that the busiest SM makes, as columns of a device that is always full.
            rounds = -(-columns // blocks) / (gpu.sms // blocks) * gpu.sms
            columns_run += columns
            for count, holdings in sparse:
                one = self._per_group(job, holdings, share)
                issued += _sum((count * rounds, one[0]))
                instructions += count * columns * sum(one[0].values())
                wavefronts += count * rounds * one[1]
                l2 += count * columns * one[2]
                latency += count * rounds * one[3]
                if not self.shape.is_shared:
                    l2 += count * columns * one[4] * 4 * width * (1 - self._l1_hits(job, gpu))
        values = 4.0 * job.instruments * width * columns_run
        rows = job.instruments * width * 4 / 128 * columns_run
        if self.shape.is_shared:
            wavefronts += 2 * rows  # to shared memory
            l2 += values
        dram += values if model._off_chip(4 * job.instruments) else 0
        moved = 2 * carried * 4 * width * groups * columns_run
        l2 += moved
        dram += moved if carry_bytes > gpu.l2_mb * 1e6 / 2 else 0
        result = cuda_work.resource_seconds(gpu, issued, wavefronts, l2, dram)
        result["latency"] = latency / (gpu.sms * cuda_work.WARPS * gpu.clock_ghz * 1e9)
        return result, instructions

    def _l1_hits(self, job, gpu):
        """Of random rows of a column, with as much cache as there is shared memory."""
        return min(1.0, gpu.shared_optin_bytes / (128 * self.shape.lane_paths * job.instruments))


class Dense:
    """aggregate_dense: bundles of eight groups, 64 paths of a warp."""

    GROUPS, LANES, THREADS = cuda_work.DENSE_GROUPS, 2, 256

    def __init__(self, code):
        self.code = code
        sums = self.GROUPS * self.LANES
        body = max(code.loops.values(), key=lambda blocks: _fmas(code, blocks))
        hot = {b for b in body if _fmas(code, [b])}
        self.unrolled = max(1, _fmas(code, hot) // sums)
        superblock = {b for b in body - hot if _float_sums(code, b) >= SUPERBLOCK_ADDS * sums}
        block = {b for b in body - hot - superblock if _float_sums(code, b) >= sums}
        each = body - superblock - block
        self.per_instrument = _sum(
            (1 / self.unrolled, counts(code.instructions(each))),
            (1 / cuda_work.BLOCK, counts(code.instructions(block))),
            (1 / cuda_work.SUPERBLOCK, counts(code.instructions(superblock))))
        loads = [i for i in code.instructions(each) if cuda_sass.is_load(i)]
        # Weights and tags are the same for all lanes: a wavefront each.
        self.wavefronts = sum(2 if cuda_sass.access_bytes(i) == 8 else 1 for i in loads)
        self.wavefronts /= self.unrolled
        self.outside = counts(code.instructions(code.reached - body))

    def work(self, model, bundles):
        """As Aggregation.work."""
        job, gpu = model.job, model.gpu
        warps = bundles * job.paths / (32 * self.LANES)
        issued = _sum((warps * job.instruments, self.per_instrument), (warps, self.outside))
        # Values are read once by the warps of a block, which share a column; weights by every warp.
        sharing = min(bundles, self.THREADS // 32)
        l2 = warps * job.instruments * (4 * 32 * self.LANES / sharing + 4 * self.GROUPS + 4)
        dram = 4.0 * job.instruments * job.paths if model._off_chip(4 * job.instruments) else 0.0
        result = cuda_work.resource_seconds(
            gpu, issued, warps * job.instruments * self.wavefronts, l2, dram)
        # Warps without a bundle leave at once, but their place stays taken.
        in_flight = cuda_work.occupancy(self.code, gpu, self.THREADS) * sharing
        result["latency"] = (warps * job.instruments / self.unrolled * L2_CLOCKS
                             / (gpu.sms * in_flight * gpu.clock_ghz * 1e9))
        return result, sum(issued.values())
