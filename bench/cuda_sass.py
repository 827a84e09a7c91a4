"""Reads what nvcc made of cuda/*.cu: instructions of each kernel by pipe, its basic blocks and
loops, registers and spills. Machine code (SASS) where cuobjdump is found, else PTX."""

import collections
import importlib.util
import os
import re
import shutil
import subprocess
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent

# Pipes of a streaming multiprocessor, after the "Instruction throughput" tables of NVIDIA's CUDA
# programming guide and the metric names of Nsight Compute (sm__inst_executed_pipe_*): fma has the
# float adds, products and fma; imad the integer products, which use half of it; alu comparisons,
# selections, logic, integer sums and moves; xu roots, reciprocals, conversions between float and
# integer, population counts; lsu all memory but constants, and shuffles.
PIPES = ("fma", "imad", "alu", "fp64", "xu", "lsu", "uniform", "control")
_SASS_PIPES = (
    ("fma", "FFMA FADD FMUL HFMA2 FFMA32I FADD32I FMUL32I FFMA2 FADD2 FMUL2"),
    ("imad", "IMAD"),
    ("fp64", "DFMA DADD DMUL DSETP DMNMX"),
    ("xu", "MUFU F2F F2I I2F I2FP FRND POPC FLO BREV"),
    ("lsu", "LDS STS LDG STG LD ST LDL STL ATOMS ATOMG ATOM RED REDG SHFL MATCH LDGSTS"),
    ("control", "BRA BRX JMP BSSY BSYNC EXIT RET CALL WARPSYNC BAR NOP YIELD BREAK BPT DEPBAR "
                "MEMBAR ERRBAR CCTL ENDCOLLECTIVE"),
)
_SASS_PIPE = {opcode: pipe for pipe, opcodes in _SASS_PIPES for opcode in opcodes.split()}
# PTX that becomes several instructions: counts of the fast path, as in SASS for sm_90.
_PTX_EXPANSION = {"div.rn.f32": 9, "sqrt.rn.f32": 8, "div.rn.f64": 14, "sqrt.rn.f64": 14}

Instruction = collections.namedtuple("Instruction", "address opcode text pipe is_predicated weight")
# weight: instructions that it stands for, 1 in SASS.
Resources = collections.namedtuple("Resources", "registers spill_bytes stack_bytes shared_bytes")


class ToolError(Exception):
    """A tool is missing, or failed."""


def find_tool(name):
    """Path of a tool of the CUDA toolkit: from PATH, CUDA_HOME or CUDA_PATH, /usr/local/cuda, or
    a Python package (pip install nvidia-cuda-cuobjdump nvidia-cuda-nvdisasm); else None."""
    folders = [Path(os.environ[v]) / "bin" for v in ("CUDA_HOME", "CUDA_PATH") if v in os.environ]
    folders.append(Path("/usr/local/cuda/bin"))
    try:
        package = importlib.util.find_spec("nvidia")
    except (ImportError, ValueError):
        package = None
    for folder in package.submodule_search_locations or [] if package else []:
        folders += [Path(folder) / "bin", *sorted(Path(folder).glob("*/bin"))]
    path = shutil.which(name)
    for folder in folders:
        path = path or shutil.which(name, path=str(folder))
    return path


def run(command, environment=None):
    try:
        process = subprocess.run(command, capture_output=True, text=True, check=False,
                                 env=environment)
    except OSError as error:
        raise ToolError(f"{command[0]}: {error.strerror}") from error
    if process.returncode != 0:
        raise ToolError(f"{' '.join(map(str, command))}\n{process.stderr.strip()}")
    return process.stdout, process.stderr


def contract_flags(repository=REPOSITORY):
    """nvcc's options under the determinism contract, from CMakeLists.txt."""
    text = (repository / "CMakeLists.txt").read_text(encoding="utf-8")
    flags = [flag for options in re.findall(r"COMPILE_LANGUAGE:CUDA>:(--[^>]+)>", text)
             for flag in options.split(";")]
    if "--fmad=false" not in flags:
        raise ToolError("CMakeLists.txt: the options of shortfall_contract for CUDA are not there")
    return flags


def compile_kernels(architecture, folder, is_ptx=False, repository=REPOSITORY):
    """Compiles cuda/*.cu. Returns ({kernel: Code}, what was read: 'SASS' or 'PTX')."""
    nvcc = find_tool("nvcc")
    if not nvcc:
        raise ToolError("no nvcc in PATH, CUDA_HOME, CUDA_PATH or /usr/local/cuda/bin")
    cuobjdump = None if is_ptx else find_tool("cuobjdump")
    base = [nvcc, "-std=c++20", "-O3", *contract_flags(repository), "-diag-suppress=1675",
            f"-arch={architecture}", f"-I{repository}/include", f"-I{repository}/cuda"]
    kernels = {}
    for source in sorted((repository / "cuda").glob("*.cu")):
        binary = Path(folder) / f"{source.stem}.cubin"
        _, report = run([*base, "-cubin", "-Xptxas", "-v", source, "-o", binary])
        if cuobjdump:
            # cuobjdump looks for nvdisasm in PATH; in Python packages they lie side by side.
            paths = os.pathsep.join([str(Path(cuobjdump).parent), os.environ.get("PATH", "")])
            text, _ = run([cuobjdump, "-sass", binary], dict(os.environ, PATH=paths))
            parsed = parse_sass(text)
        else:
            assembly = Path(folder) / f"{source.stem}.ptx"
            run([*base, "-ptx", source, "-o", assembly])
            parsed = parse_ptx(assembly.read_text(encoding="utf-8"))
        resources = parse_resources(report)
        for mangled, instructions in parsed.items():
            name = kernel_name(mangled)
            if name:
                kernels[name] = Code(name, instructions, resources[mangled])
    return kernels, "SASS" if cuobjdump else "PTX"


def kernel_name(mangled):
    """aggregate<2,true> of a mangled name in namespace shortfall; else None."""
    if not mangled.startswith("_ZN9shortfall"):
        return None
    rest, name = mangled[3:], ""
    while match := re.match(r"\d+", rest):
        end = match.end() + int(match.group())
        name, rest = rest[match.end():end], rest[end:]
    arguments = re.match(r"I((?:L[a-z]\d+E)+)E", rest)
    if arguments:
        values = [{"b0": "false", "b1": "true"}.get(kind + value, value)
                  for kind, value in re.findall(r"L([a-z])(\d+)E", arguments.group(1))]
        name += "<" + ",".join(values) + ">"
    return name


def parse_resources(report):
    """{mangled name: Resources} of what ptxas -v says."""
    resources, name, frame = {}, None, (0, 0)
    for line in report.splitlines():
        if match := re.search(r"Compiling entry function '(\S+)'", line):
            name, frame = match.group(1), (0, 0)
        elif match := re.search(r"(\d+) bytes stack frame, (\d+) bytes spill stores, "
                                r"(\d+) bytes spill loads", line):
            stack, stores, loads = map(int, match.groups())
            frame = (stack, stores + loads)
        elif (match := re.search(r"Used (\d+) registers", line)) and name:
            shared = re.search(r"(\d+) bytes smem", line)
            resources[name] = Resources(int(match.group(1)), frame[1], frame[0],
                                        int(shared.group(1)) if shared else 0)
            name = None
    return resources


def parse_sass(text):
    """{mangled name: [Instruction]} of cuobjdump -sass."""
    kernels, instructions = {}, None
    for line in text.splitlines():
        if match := re.search(r"Function : (\S+)", line):
            instructions = kernels.setdefault(match.group(1), [])
        elif instructions is not None and (
                match := re.match(r"\s+/\*([0-9a-f]{4,})\*/\s+(.*?)\s*;?\s*/\*", line)):
            words = match.group(2).split()
            is_predicated = words[0].startswith("@")
            opcode = words[1 if is_predicated else 0].rstrip(";")
            root = opcode.split(".")[0]
            pipe = _SASS_PIPE.get(root, "alu")
            if pipe == "alu" and (root.startswith("U") or root in ("S2UR", "R2UR", "LDC", "S2R")):
                pipe = "uniform"
            instructions.append(Instruction(int(match.group(1), 16), opcode, match.group(2), pipe,
                                            is_predicated, 1))
    return kernels


def _ptx_pipe(opcode):
    parts = opcode.split(".")
    root, kind = parts[0], parts[-1]
    if root in ("ld", "st", "atom", "red", "shfl", "match"):
        return "uniform" if len(parts) > 1 and parts[1] in ("param", "const") else "lsu"
    if root in ("bra", "ret", "exit", "bar", "barrier", "call", "membar", "fence", "bfi.b32"):
        return "control"
    if kind == "f64" and root in ("fma", "add", "sub", "mul", "div", "setp", "min", "max", "sqrt"):
        return "fp64"
    if root in ("rcp", "sqrt", "ex2", "lg2", "rsqrt", "popc", "clz", "brev") or (
            root == "cvt" and any(k.startswith("f") for k in parts) and
            any(k[0] in "su" and k[1:].isdigit() for k in parts)):
        return "xu"
    if root in ("fma", "add", "sub", "mul", "div", "neg") and kind == "f32":
        return "fma"
    return "imad" if root in ("mul", "mad", "mul24", "mad24") else "alu"


def parse_ptx(text):
    """{mangled name: [Instruction]}; the address of a label's use is that of what follows it."""
    kernels = {}
    for match in re.finditer(r"\.entry\s+(\w+)(.*?)^}", text, re.S | re.M):
        body, labels, lines = match.group(2), {}, []
        for line in body[body.find("{") + 1:].splitlines():
            line = line.strip()
            if label := re.match(r"(\$\w+):", line):
                labels[label.group(1)] = len(lines)
                line = line[label.end():].strip()
            if re.match(r"(@!?%?\w+\s+)?[a-z][\w.:]*\b.*;$", line):
                lines.append(line.rstrip(";"))
        instructions = []
        for address, line in enumerate(lines):
            words = line.split()
            is_predicated = words[0].startswith("@")
            opcode = words[1 if is_predicated else 0]
            line = re.sub(r"\$\w+", lambda m: hex(labels.get(m.group(), 0)), line)
            instructions.append(Instruction(address, opcode, line, _ptx_pipe(opcode), is_predicated,
                                            _PTX_EXPANSION.get(opcode, 1)))
        kernels[match.group(1)] = instructions
    return kernels


def counts(instructions):
    """Instructions by pipe."""
    sums = collections.Counter()
    for instruction in instructions:
        sums[instruction.pipe] += instruction.weight
    return sums


def access_bytes(instruction):
    """Bytes per lane of a load or store."""
    opcode = instruction.opcode
    if match := re.search(r"\.v(\d)\.[a-z](\d+)", opcode):
        return int(match.group(1)) * int(match.group(2)) // 8
    if match := re.search(r"\.(128|64)\b", opcode) or re.search(r"\.[a-z](16|32|64)$", opcode):
        return int(match.group(1)) // 8
    return 4


def space(instruction):
    """'shared', 'global' or None, of loads, stores and atomics."""
    root = instruction.opcode.split(".")[0]
    if root in ("LDS", "STS", "ATOMS") or ".shared" in instruction.opcode:
        return "shared"
    if root in ("LDG", "STG", "LD", "ST", "ATOMG", "ATOM", "REDG", "RED") or (
            root in ("ld", "st", "atom", "red") and ".param" not in instruction.opcode):
        return "global"
    return None


def is_load(instruction):
    return instruction.opcode.startswith(("LDS", "LDG", "ld."))


def is_vote(instruction):
    return instruction.opcode.startswith(("VOTE", "vote"))


def is_fma(instruction):
    return instruction.opcode.startswith(("FFMA", "fma.rn.f32"))


class Code:
    """A kernel: basic blocks, their successors, dominators and natural loops."""

    def __init__(self, name, instructions, resources):
        self.name, self.resources = name, resources
        self.blocks = []  # lists of instructions
        self.successors = []
        self._cut(instructions)
        self.reached = self.reach(0, lambda b: self.successors[b])
        self.dominators = self._dominators()
        self.loops = self._loops()  # {header: set of blocks}

    def _cut(self, instructions):
        targets = {self._target(i) for i in instructions} | {instructions[0].address}
        for instruction in instructions:
            if not self.blocks or instruction.address in targets or self._ends(self.blocks[-1][-1]):
                self.blocks.append([])
            self.blocks[-1].append(instruction)
        block_at = {block[0].address: b for b, block in enumerate(self.blocks)}
        for b, block in enumerate(self.blocks):
            last = block[-1]
            next_block = [b + 1] if b + 1 < len(self.blocks) else []
            target = self._target(last)
            if target in block_at:
                conditional = last.is_predicated or re.search(r"BRA(\.\w+)* !?U?P\d", last.text)
                self.successors.append(sorted({block_at[target],
                                               *(next_block if conditional else [])}))
            elif self._ends(last) and not last.is_predicated:
                self.successors.append([])
            else:
                self.successors.append(next_block)

    @staticmethod
    def _ends(instruction):
        """Whether a block ends here. A call does not: slow paths of divisions and roots are for
        arguments that do not occur here. But a predicated one is a far jump. And all lanes of a
        warp take the same way here: BRA.DIV, for when they do not, is no branch."""
        ends = r"(BRA|JMP|bra|EXIT|RET|ret|exit)\b"
        if instruction.is_predicated:
            ends = ends.replace("BRA", "BRA|CALL")
        return bool(re.match(ends, instruction.opcode)) and "DIV" not in instruction.opcode

    @classmethod
    def _target(cls, instruction):
        match = re.search(r"(0x[0-9a-f]+)\s*$", instruction.text)
        return int(match.group(1), 16) if match and cls._ends(instruction) and not re.match(
            "(EXIT|RET|ret|exit)", instruction.opcode) else None

    @staticmethod
    def reach(first, following):
        seen, stack = {first}, [first]
        while stack:
            for other in following(stack.pop()):
                if other not in seen:
                    seen.add(other)
                    stack.append(other)
        return seen

    def predecessors(self, block):
        return [b for b in sorted(self.reached) if block in self.successors[b]]

    def _dominators(self):
        order = sorted(self.reached)
        before = {b: self.predecessors(b) for b in order}
        dominators = {b: set(order) for b in order}
        dominators[0] = {0}
        changed = True
        while changed:
            changed = False
            for b in order[1:]:
                new = set.intersection(*(dominators[p] for p in before[b])) | {b}
                changed |= new != dominators[b]
                dominators[b] = new
        return dominators

    def _loops(self):
        loops = {}
        for b in sorted(self.reached):
            for header in self.successors[b]:
                if header in self.dominators[b]:
                    body = {header} | self.reach(
                        b, lambda x, h=header: [] if x == h else self.predecessors(x))
                    loops.setdefault(header, set()).update(body)
        return loops

    def dominated(self, block):
        return {b for b in self.reached if block in self.dominators[b]}

    def innermost(self):
        """Headers of loops that hold no other."""
        return [h for h, body in self.loops.items()
                if not any(other != h and other in body for other in self.loops)]

    def instructions(self, blocks=None):
        return [i for b in sorted(self.reached if blocks is None else blocks)
                for i in self.blocks[b]]

    def has_call(self, block):
        return any(i.opcode.startswith("CALL") and not i.is_predicated for i in self.blocks[block])

    def longest_path(self):
        """The instructions of the path with most of them, loops once, no calls: an upper bound of
        what a thread of a kernel without loops executes."""
        best, sizes = {}, {}

        def visit(b):
            if b not in best:
                after = [s for s in self.successors[b]
                         if s not in self.dominators[b] and not self.has_call(s)]
                for s in after:
                    visit(s)
                following = max(after, key=lambda s: sizes[s], default=None)
                best[b] = following
                sizes[b] = sum(i.weight for i in self.blocks[b]) + sizes.get(following, 0)

        visit(0)
        path, b = [], 0
        while b is not None:
            path.append(b)
            b = best[b]
        return self.instructions(path)
