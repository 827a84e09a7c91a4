"""The program from outside, as its users meet it.

usage: cli_test.py PROGRAM [CLASS...]

Runs the test classes named, or all. Exit status 0: passed; 1: failed; 77: passed, but something was
skipped, and a line "skipped: reason" says what.
"""

import hashlib
import json
import os
import pty
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

DEMO = Path(__file__).resolve().parent.parent / "configs" / "demo"
CONFIG = DEMO / "run.toml"
PROGRAM = ""  # set from the command line
HEADER = (
    "account,mode,positions,gross_notional,value_at_risk,expected_shortfall,standard_error,margin,"
    "confidence_low,confidence_high"
)
# Long enough for half a minute in one thread, so that a signal arrives in mid-run; its tails are
# 200,001 entries of 8 bytes for each of about 100 accounts, 160 MB.
LONG_PATHS = "20000000"


def tree(folder):
    """Every file below a folder, with its bytes."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(Path(folder).rglob("*"))
        if path.is_file()
    }


class ProgramTest(unittest.TestCase):
    """Each test has an empty working directory."""

    def setUp(self):
        self.work = Path(tempfile.mkdtemp(prefix="shortfall-cli-"))
        self.addCleanup(shutil.rmtree, self.work)
        self.out = self.work / "out"

    def shortfall(self, *arguments, **options):
        command = [PROGRAM, *map(str, arguments)]
        settings = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE,
                    "stderr": subprocess.PIPE, "text": True, "cwd": self.work, "timeout": 300}
        return subprocess.run(command, check=False, **{**settings, **options})

    def run_demo(self, *arguments, out=None, paths=2000, **options):
        return self.shortfall("run", CONFIG, "--out", out or self.out, "--paths", paths,
                              *arguments, **options)

    def margins(self, *arguments, **options):
        """margin.csv of a run that must succeed."""
        done = self.run_demo(*arguments, **options)
        self.assertEqual(done.returncode, 0, done.stderr)
        return ((options.get("out") or self.out) / "margin.csv").read_bytes()

    def assert_refused(self, done, status, *fragments):
        self.assertEqual(done.returncode, status, f"{done.args}\n{done.stdout}{done.stderr}")
        self.assertTrue(done.stderr.strip(), f"{done.args}: refused without a word")
        for fragment in fragments:
            self.assertIn(fragment, done.stderr, done.args)


class Help(ProgramTest):
    pages = {
        "run": ["--out", "--paths", "--seed", "--threads", "--backend", "--attribution", "--quiet"],
        "check": [],
        "explain": ["--account", "--paths", "--seed", "--threads", "--backend"],
        "whatif": ["--account", "--trade", "--open", "--interactive", "--base-only", "--paths"],
        "calibrate": ["--prices", "--method", "--horizon-days", "--half-life", "--from", "--to",
                      "--stressed", "--out"],
        "compare": ["--out", "--span", "--portfolio-margin", "--paths"],
        "generate": ["--preset", "--instruments", "--accounts", "--underlyings", "--factors",
                     "--seed", "--out"],
        "import": ["--out", "--map", "--reimply", "--underlying", "--spot", "--as-of", "--max-age",
                   "--overwrite"],
        "selftest": ["--backend", "--device"],
        "info": [],
    }

    def test_program(self):
        done = self.shortfall("--help")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        for command in self.pages:
            self.assertIn(command, done.stdout)

    def test_commands(self):
        for command, flags in self.pages.items():
            with self.subTest(command):
                done = self.shortfall(command, "--help")
                self.assertEqual((done.returncode, done.stderr), (0, ""))
                self.assertGreater(len(done.stdout.splitlines()), 3)
                for flag in flags:
                    self.assertIn(flag, done.stdout)

    def test_info(self):
        done = self.shortfall("info")
        self.assertEqual(done.returncode, 0, done.stderr)
        for word in ["0.", "generic", "cuda"]:
            self.assertIn(word, done.stdout.lower())


class CommandLine(ProgramTest):
    valid = ["run", CONFIG, "--out", "out"]

    def test_refused(self):
        rows = [
            ([], ""),
            (["frobnicate"], "frobnicate"),
            (["run", CONFIG], "--out"),
            (["run", "--out", "out"], ""),
            ([*self.valid, "--bogus"], "--bogus"),
            ([*self.valid, "--paths"], "--paths"),
            *(([*self.valid, "--paths", value], "paths") for value in
              ["0", "-1", "1.5", "many", "", str(2**32 + 1), "9" * 30]),
            ([*self.valid, "--paths", "99"], "paths"),  # a tail of less than one path at 99 %
            *(([*self.valid, "--seed", value], "seed") for value in ["-1", "x", str(2**63)]),
            *(([*self.valid, "--threads", value], "threads") for value in ["-1", "x", "9" * 20]),
            ([*self.valid, "--backend", "foo"], "foo"),
            (["run", "missing.toml", "--out", "out"], "missing.toml"),
            (["run", DEMO, "--out", "out"], str(DEMO)),  # a folder in place of a file
            (["check"], ""),
            (["check", "missing.toml"], "missing.toml"),
            (["check", CONFIG, "--bogus"], "--bogus"),
            (["generate"], "--out"),
            (["generate", "--preset", "nothing", "--out", "out"], "nothing"),
            (["generate", "--instruments", "-1", "--out", "out"], "instruments"),
            (["selftest", "--backend", "foo"], "foo"),
            *((["selftest", "--device", value], "--device") for value in ["-1", "x", "1024", ""]),
            (["info", "extra"], "extra"),
        ]
        for arguments, fragment in rows:
            with self.subTest(arguments=arguments):
                self.assert_refused(self.shortfall(*arguments), 2, fragment)
                self.assertEqual(list(self.work.iterdir()), [], "something was written")


class Devices(ProgramTest):
    """What the program does about CUDA on a machine that has no device, or not that one."""

    hidden = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}

    def config(self, **compute):
        """The demonstration's configuration with a [compute] table."""
        shutil.copytree(DEMO, self.work / "book", dirs_exist_ok=True)
        file = self.work / "book" / "run.toml"
        lines = [f"{key} = {json.dumps(value)}" for key, value in compute.items()]
        file.write_text("\n".join([CONFIG.read_text(), "[compute]", *lines, ""]))
        return file

    def run_config(self, file, *arguments):
        return self.shortfall("run", file, "--out", self.out, "--paths", 2000, *arguments,
                              env=self.hidden)

    def test_cuda_without_a_device(self):
        """Never a silent fallback, not even where `fallback` allows the CPU to take over."""
        rows = [
            self.run_demo("--backend", "cuda", env=self.hidden),
            self.run_config(self.config(backend="cuda")),
            self.run_config(self.config(backend="cuda", devices=[1023])),
            self.run_config(self.config(backend="cuda", fallback="cpu")),
            self.shortfall("check", self.config(backend="cuda"), env=self.hidden),
            self.shortfall("selftest", "--backend", "cuda", env=self.hidden),
            self.shortfall("selftest", "--device", 1023, env=self.hidden),
        ]
        for done in rows:
            self.assert_refused(done, 1, "backend cuda: ", "; use --backend cpu or auto")
            # The reason is between the two: no device, no driver, or no such build.
            self.assertRegex(done.stderr, "CUDA (device|driver|backend)|NVIDIA")
        self.assertFalse(self.out.exists())

    def test_device_that_does_not_exist(self):
        """1023 is on no machine; which words say so depends on whether any device is."""
        done = self.shortfall("selftest", "--device", 1023)
        self.assert_refused(done, 1, "backend cuda: ")

    def test_auto_without_a_device_is_the_cpu(self):
        for file in [self.config(), self.config(devices=[3]), self.config(backend="auto")]:
            done = self.run_config(file)
            self.assertEqual(done.returncode, 0, done.stderr)
            backend = json.loads((self.out / "run.json").read_text())["backend"]
            self.assertEqual(backend["name"], "cpu")
            self.assertEqual([share["paths"] for share in backend["shares"]], [2000])
            self.assertNotIn("contract", backend)
            self.assertIn("ran on cpu, ", done.stdout)
            self.assertNotIn("CUDA", done.stdout)

    def test_info_says_what_there_is(self):
        done = self.shortfall("info", env=self.hidden)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stdout, r"(?m)^CUDA build +\S")
        self.assertRegex(done.stdout, r"(?m)^CUDA devices +none: \S")

    def test_selftest(self):
        for backend in ["cpu", "auto"]:
            done = self.shortfall("selftest", "--backend", backend, env=self.hidden)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertIn("\ncpu, ", done.stdout)
            stages = [line.split() for line in done.stdout.splitlines() if line.startswith("  ")]
            self.assertEqual([stage[0] for stage in stages],
                             ["plan", "normals", "mixing", "factors", "states", "values", "losses",
                              "tails", "margin.csv"])
            for _, digits, verdict in stages:
                self.assertRegex(digits, "^[0-9a-f]{16}$")
                self.assertEqual(verdict, "ok")


class BadInput(ProgramTest):
    def test_problems_of_a_file(self):
        """20 problems with file and line, then how many more; the earlier result stays."""
        self.margins()
        before = tree(self.out)
        book = self.work / "book"
        shutil.copytree(DEMO, book)
        positions = book / "positions.csv"
        line = len(positions.read_text().splitlines()) + 1
        with positions.open("a") as file:
            file.writelines(f"nobody,NO-SUCH-{row},1\n" for row in range(25))
        config = book / "run.toml"
        for command in [["run", config, "--out", self.out], ["check", config]]:
            done = self.shortfall(*command)
            self.assert_refused(done, 2, f"positions.csv:{line}: ", "NO-SUCH-0", "NO-SUCH-19")
            self.assertNotIn("NO-SUCH-20", done.stderr)
            self.assertEqual(len(done.stderr.splitlines()), 21, done.stderr)
            self.assertIn("5", done.stderr.splitlines()[-1])
            self.assertEqual(tree(self.out), before)


class Output(ProgramTest):
    def test_files(self):
        done = self.run_demo()
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(sorted(tree(self.out)), ["margin.csv", "run.json"])
        text = (self.out / "margin.csv").read_text()
        rows = text.splitlines()
        self.assertEqual(rows[0], HEADER)
        self.assertTrue(text.endswith("\n") and "\r" not in text)
        held = [row.split(",")[0] for row in (DEMO / "positions.csv").read_text().splitlines()[1:]]
        self.assertEqual([row.split(",")[0] for row in rows[1:]], list(dict.fromkeys(held)))
        record = (self.out / "run.json").read_text()
        json.loads(record)
        for file in [self.out / "margin.csv", *DEMO.glob("*.csv")]:
            self.assertIn(hashlib.sha256(file.read_bytes()).hexdigest(), record, file.name)

    def test_table(self):
        done = self.run_demo()
        rows = (self.out / "margin.csv").read_text().splitlines()[1:]
        largest = max(rows, key=lambda row: float(row.split(",")[7])).split(",")[0]
        self.assertIn(largest, done.stdout)
        self.assertIn("out", done.stdout)
        self.assertNotIn("\r", done.stdout + done.stderr)  # a progress bar is for terminals

    def test_quiet(self):
        done = self.run_demo("--quiet")
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""))
        self.assertEqual(sorted(tree(self.out)), ["margin.csv", "run.json"])

    def test_progress_on_a_terminal(self):
        terminal, program_side = pty.openpty()
        command = [PROGRAM, "run", CONFIG, "--out", self.out, "--paths", "1000000"]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=program_side,
                                   stderr=program_side)
        os.close(program_side)
        shown = b""
        try:
            while chunk := os.read(terminal, 65536):
                shown += chunk
        except OSError:  # how Linux reports that the other side was closed
            pass
        os.close(terminal)
        self.assertEqual(process.wait(), 0, shown)
        self.assertIn(b"%", shown)
        self.assertIn(b"\r", shown.replace(b"\r\n", b"\n"))

    def test_full_standard_output(self):
        with open("/dev/full", "w", encoding="ascii") as full:
            done = self.run_demo(stdout=full)
        self.assertGreaterEqual(done.returncode, 0, "killed by a signal")
        self.assertEqual(sorted(tree(self.out)), ["margin.csv", "run.json"])


class Determinism(ProgramTest):
    paths = 20_000

    def test_threads_and_reruns(self):
        reference = self.margins("--threads", 1, paths=self.paths)
        for threads in range(1, 9):
            with self.subTest(threads=threads):
                again = self.margins("--threads", threads, paths=self.paths)
                self.assertEqual(again, reference)

    def test_seed(self):
        first, same, other = (self.margins("--seed", seed, paths=self.paths) for seed in (7, 7, 8))
        self.assertEqual(first, same)
        self.assertNotEqual(first, other)


class Unwritable(ProgramTest):
    def test_refused(self):
        self.margins()
        (self.work / "file").write_text("not a folder\n")
        (self.work / "taken" / "margin.csv").mkdir(parents=True)
        rows = [self.work / "file", self.work / "file" / "out", Path("/proc/no-such-folder"),
                self.work / "taken"]
        if os.geteuid() != 0:  # root may write everywhere
            rows.append(self.work / "locked")
            rows[-1].mkdir(mode=0o555)
        before = tree(self.work)
        for out in rows:
            with self.subTest(out=out):
                self.assert_refused(self.run_demo(out=out), 1, str(out))
                self.assertEqual(tree(self.work), before)


class FullDisk(ProgramTest):
    def test_file_too_large(self):
        """A write that fails half-way through margin.csv."""
        self.margins("--seed", 1)
        before = tree(self.out)
        limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        # Python ignores SIGXFSZ, and here so does the program: write fails instead.
        done = self.run_demo("--seed", 2, preexec_fn=limit, restore_signals=False)
        self.assert_refused(done, 1, str(self.out))
        self.assertEqual(tree(self.out), before)

    def test_no_space(self):
        """A file system of 256 KiB that is filled after the first run, in its own namespace."""
        script = """
            mount -t tmpfs -o size=256k none "$2" 2>/dev/null || exit 77
            "$1" run "$3" --out "$2/out" --paths 2000 --seed 1 --quiet || exit 3
            (cd "$2/out" && sha256sum -- *) >"$2/../before"
            cat /dev/zero >"$2/fill" 2>/dev/null
            "$1" run "$3" --out "$2/out" --paths 2000 --seed 2 --quiet
            status=$?
            (cd "$2/out" && sha256sum -- *) >"$2/../after"
            exit $status
        """
        disk = self.work / "disk"
        disk.mkdir()
        unshare = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "-r", "--mount"]
        done = subprocess.run([*unshare, "sh", "-c", script, "sh", PROGRAM, disk, CONFIG],
                              capture_output=True, text=True, check=False, timeout=300)
        if done.returncode == 77 or "unshare" in done.stderr:
            self.skipTest("this machine lets nobody mount a small file system here")
        self.assert_refused(done, 1, str(disk / "out"))
        self.assertEqual((self.work / "before").read_text(), (self.work / "after").read_text())


class Interrupted(ProgramTest):
    def start(self, *arguments):
        command = [PROGRAM, "run", CONFIG, "--out", self.out, "--quiet", *map(str, arguments)]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def test_in_mid_run(self):
        for had_result in (False, True):
            before = tree(self.out)
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
                with self.subTest(signal=number.name, had_result=had_result):
                    process = self.start("--paths", LONG_PATHS, "--threads", 1)
                    time.sleep(0.4)
                    self.assertIsNone(process.poll(), "the run ended before the signal")
                    process.send_signal(number)
                    self.assertNotEqual(process.wait(timeout=10), 0)
                    self.assertEqual(tree(self.out), before)
            self.margins()

    def test_at_any_moment(self):
        """Killed anywhere, also between the two renames: each file is the old one or the new."""
        begin = time.monotonic()
        new = self.margins("--seed", 2)
        duration = time.monotonic() - begin
        old = self.margins("--seed", 1)
        moment = random.Random(1)
        for _ in range(40):
            process = self.start("--paths", 2000, "--seed", 2)
            time.sleep(moment.uniform(0, 1.1 * duration))
            process.kill()
            process.wait()
            self.assertIn((self.out / "margin.csv").read_bytes(), (old, new))
            json.loads((self.out / "run.json").read_text())
        self.assertEqual(self.margins("--seed", 2), new)


class Check(ProgramTest):
    def test_says_what_a_run_would_do(self):
        before = tree(DEMO)
        done = self.shortfall("check", CONFIG)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        for word in ["instruments", "accounts", "factors", "backend", "memory", "time"]:
            self.assertIn(word, done.stdout.lower())
        accounts = {row.split(",")[0] for row in (DEMO / "positions.csv").read_text().split()[1:]}
        self.assertIn(str(len(accounts)), done.stdout)
        self.assertEqual(list(self.work.iterdir()), [])
        self.assertEqual(tree(DEMO), before)


class Generate(ProgramTest):
    def test_then_run(self):
        sizes = ["--instruments", 60, "--accounts", 12, "--underlyings", 2, "--factors", 10]
        for folder, seed in (("a", 5), ("b", 5), ("c", 6)):
            done = self.shortfall("generate", *sizes, "--seed", seed, "--out", folder)
            self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(tree(self.work / "a"), tree(self.work / "b"))
        self.assertNotEqual(tree(self.work / "a"), tree(self.work / "c"))
        done = self.shortfall("run", "a/run.toml", "--out", "out", "--paths", 2000)
        self.assertEqual(done.returncode, 0, done.stderr)
        lines = (self.out / "margin.csv").read_text().splitlines()
        self.assertEqual(len(lines), 1 + 12)

    def test_demo_is_the_bundled_book(self):
        done = self.shortfall("generate", "--preset", "demo", "--out", "demo")
        self.assertEqual(done.returncode, 0, done.stderr)
        made, bundled = tree(self.work / "demo"), tree(DEMO)
        self.assertLessEqual({"run.toml", "positions.csv", "instruments.csv"}, set(made))
        for name, content in made.items():
            self.assertEqual(content, bundled.get(name), name)


def main(module=sys.modules[__name__]):
    """Runs test classes of a module, which cli_analysis_test.py is too."""
    global PROGRAM
    if len(sys.argv) < 2:
        print(__doc__, file=sys.stderr)
        return 2
    PROGRAM = str(Path(sys.argv[1]).resolve())
    loader = unittest.defaultTestLoader
    if names := sys.argv[2:]:
        suite = loader.loadTestsFromNames(names, module)
    else:
        suite = loader.loadTestsFromModule(module)
    result = unittest.TextTestRunner(stream=sys.stdout, verbosity=2).run(suite)
    for test, reason in result.skipped:
        print(f"skipped: {test.id()}: {reason}")
    if not result.wasSuccessful():
        return 1
    return 77 if result.skipped else 0


if __name__ == "__main__":
    sys.exit(main())
