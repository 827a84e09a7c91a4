"""What the performance model of the CUDA backend reads from compiled code and computes from it."""

import dataclasses
import math
import shutil
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "bench"))

import cuda_model  # noqa: E402
import cuda_sass  # noqa: E402
import cuda_work  # noqa: E402
from cuda_aggregate import Aggregation  # noqa: E402

SASS = """
\t\tFunction : _ZN9shortfall4cuda12_GLOBAL__N_13sumILi2ELb1EEEvNS0_4SlabE
        /*0000*/                   S2R R0, SR_TID.X ;                 /* 0x01 */
                                                                      /* 0x02 */
        /*0010*/              @P0 EXIT ;                              /* 0x01 */
        /*0020*/                   LDS.64 R2, [R0+UR4] ;              /* 0x01 */
        /*0030*/                   FFMA R4, R5.reuse, R2, R4 ;        /* 0x01 */
        /*0040*/             @!P1 BRA 0x70 ;                          /* 0x01 */
        /*0050*/                   MOV R20, 0x60 ;                    /* 0x01 */
        /*0060*/                   CALL.REL.NOINC 0xb0 ;              /* 0x01 */
        /*0070*/                   ISETP.NE.AND P0, PT, R0, R1, PT ;  /* 0x01 */
        /*0080*/              @P0 BRA 0x20 ;                          /* 0x01 */
        /*0090*/                   STG.E.128 desc[UR4][R2.64], R4 ;   /* 0x01 */
        /*00a0*/                   EXIT ;                             /* 0x01 */
        /*00b0*/                   RET.REL.NODEC R20 0x0 ;            /* 0x01 */
"""

PTX = """
.visible .entry _ZN9shortfall4cuda3sumEv(
\t.param .u64 p
)
{
\t.reg .pred %p<2>;
\tld.param.u64 %rd1, [p];
$L__BB0_1:
\tld.shared.v4.f32 {%f1, %f2, %f3, %f4}, [%r1];
\tfma.rn.f32 %f5, %f1, %f2, %f5;
\tsetp.ne.s32 %p1, %r1, 0;
\t@%p1 bra $L__BB0_1;
\tret;
}
"""

REPORT = """ptxas info    : Compiling entry function 'k' for 'sm_90'
ptxas info    : Function properties for k
    16 bytes stack frame, 4 bytes spill stores, 8 bytes spill loads
ptxas info    : Used 37 registers, used 1 barriers, 384 bytes smem
"""


class Parsing(unittest.TestCase):
    def code(self):
        (mangled, instructions), = cuda_sass.parse_sass(SASS).items()
        return cuda_sass.Code(cuda_sass.kernel_name(mangled), instructions, None)

    def test_sass_has_loops_and_pipes(self):
        code = self.code()
        self.assertEqual(code.name, "sum<2,true>")
        (body,), = [code.loops.values()]
        counted = cuda_sass.counts(code.instructions(body))
        self.assertEqual({"lsu": 1, "fma": 1, "control": 3, "alu": 2}, counted)
        # The slow path is neither on the longest path nor what it calls reached at all.
        self.assertEqual([i.opcode for i in code.longest_path()],
                         ["S2R", "EXIT", "LDS.64", "FFMA", "BRA", "ISETP.NE.AND", "BRA",
                          "STG.E.128", "EXIT"])
        self.assertNotIn("RET.REL.NODEC", [i.opcode for i in code.instructions()])

    def test_accesses(self):
        accesses = {i.opcode: (cuda_sass.space(i), cuda_sass.access_bytes(i))
                    for i in self.code().instructions() if cuda_sass.space(i)}
        self.assertEqual(accesses, {"LDS.64": ("shared", 8), "STG.E.128": ("global", 16)})

    def test_ptx(self):
        instructions = cuda_sass.parse_ptx(PTX)["_ZN9shortfall4cuda3sumEv"]
        code = cuda_sass.Code("sum", instructions, None)
        (body,) = code.loops.values()
        inside = code.instructions(body)
        self.assertEqual({"lsu": 1, "fma": 1, "alu": 1, "control": 1}, cuda_sass.counts(inside))
        self.assertEqual(cuda_sass.access_bytes(inside[0]), 16)

    def test_resources(self):
        self.assertEqual(cuda_sass.parse_resources(REPORT)["k"],
                         cuda_sass.Resources(37, 12, 16, 384))

    def test_foreign_kernels_have_no_name(self):
        self.assertIsNone(cuda_sass.kernel_name("_ZN3cub17CUB_300001_SM_9006detail11EmptyKernelEv"))


class Work(unittest.TestCase):
    def test_slabs_are_whole_blocks_and_parts_end_with_superblocks(self):
        slabs = cuda_work.cut_slabs(2000, 454)
        self.assertEqual([s.parts for s in slabs], [(448,), (448,), (128, 320), (448,), (208,)])
        self.assertEqual([s.carried for s in slabs], [0, 1, 1, 2, 2])
        self.assertEqual([s.ends_superblock for s in slabs], [False] * 4 + [True])

    def test_tiles_end_at_pilots(self):
        tiles = cuda_work.tiles(cuda_work.JOBS["canonical"], 16896)
        self.assertEqual(sum(paths for paths, _ in tiles), 102_400)
        ends = [sum(paths for paths, _ in tiles[:i + 1]) for i in range(len(tiles))]
        self.assertTrue({192, 768, 3200, 12800, 51200} <= set(ends))
        shares = [share for _, share in tiles]
        self.assertEqual(shares, sorted(shares, reverse=True))
        self.assertEqual(shares[0], 1.0)
        self.assertTrue(0.01 < shares[-1] < 0.013)

    def test_dense_groups_are_bundled(self):
        self.assertEqual(cuda_work.dense_and_sparse(cuda_work.JOBS["canonical"]),
                         (1, [(90, 200), (900, 30), (2, 1000)]))

    def test_expected_lists(self):
        chances = cuda_work.held_in(2000, 100, 448)
        self.assertAlmostEqual(sum(chances), 1.0)
        self.assertAlmostEqual(sum(h * p for h, p in enumerate(chances)), 100 * 448 / 2000)
        lists = cuda_work.expected_lists(cuda_work.JOBS["big"], 100, 448, 4)
        self.assertAlmostEqual(lists.pairs, 4 * lists.batches + lists.rest)
        self.assertEqual(cuda_work.expected_lists(cuda_work.JOBS["canonical"], 1000, 32, 4),
                         cuda_work.Lists(16.0, 4.0, 0.0))

    def test_rates(self):
        gpu = cuda_work.GPUS["h100"]
        second = gpu.sms * gpu.clock_ghz * 1e9
        seconds = cuda_work.resource_seconds(gpu, {"fma": 2 * second, "fp64": 2 * second},
                                             dram=6.7e12)
        self.assertAlmostEqual(seconds["issue"], 1.0)
        self.assertAlmostEqual(seconds["fma"], 0.5)
        self.assertAlmostEqual(seconds["fp64"], 1.0)
        self.assertAlmostEqual(seconds["DRAM"], 2.0)

    def test_gpu_changes(self):
        self.assertEqual(cuda_work.gpu_of("h100", ["sms=114"]).sms, 114)
        for wrong in (["colour=1"], ["sms=many"]):
            with self.assertRaises(cuda_work.WorkError):
                cuda_work.gpu_of("h100", wrong)


@unittest.skipUnless(cuda_sass.find_tool("nvcc"), "no nvcc")
class Kernels(unittest.TestCase):
    """The kernels as they are: a change of their shape that the model cannot read fails here."""

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp()
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        cls.kernels, cls.read = cuda_sass.compile_kernels("sm_90", cls.folder)

    def test_a_holding_is_a_multiply_add_and_the_end_of_a_block_an_addition(self):
        for lanes in (1, 2, 4):
            for is_shared in ("true", "false"):
                code = self.kernels[f"aggregate<{lanes},{is_shared}>"]
                shape = cuda_work.Shape(lanes, (), is_shared == "true")
                per_holding = Aggregation(code, shape).per_holding
                with self.subTest(code.name):
                    self.assertGreaterEqual(per_holding["fma"], 2 * lanes)
                    self.assertLess(per_holding["fma"], 2 * lanes + 0.5)
                    self.assertGreater(sum(per_holding.values()), 3 * lanes + 3)

    def test_time_follows_the_work(self):
        job = cuda_work.JOBS["big"]
        model = cuda_model.Model(self.kernels, cuda_work.GPUS["h100"], job)
        half = dataclasses.replace(job, holdings=((5_000, 100),))
        other = cuda_model.Model(self.kernels, cuda_work.GPUS["h100"], half)
        one, two = model.aggregation(), other.aggregation(
            Aggregation(model.chosen.code, model.chosen.shape))
        self.assertTrue(math.isclose(one.instructions, 2 * two.instructions, rel_tol=1e-9))
        for stage in model.stages():
            with self.subTest(stage.name):
                seconds, _ = cuda_model.bound(stage)
                self.assertGreater(seconds, 0)
                self.assertGreaterEqual(seconds * cuda_model.UTILISATION,
                                        stage.seconds["issue"] * 0.999)


if __name__ == "__main__":
    unittest.main()
