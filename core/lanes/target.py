"""The processor that lane code is compiled for, and LLVM: text in, machine code in this process out.

`host()` says how wide the vectors of this machine are; `optimise_and_compile` turns LLVM assembly into code that can
be called. `kernel` is what calls it. Nothing here knows about JAX.
"""

from __future__ import annotations

import ctypes
import functools
import itertools
import os
import platform
import threading
from dataclasses import dataclass, field, replace

import llvmlite.binding as llvm
from llvmlite.binding.newpassmanagers import NewPassManager

# Forces the number of lanes of a group, whatever the element type and the processor, for tests.
WIDTH_VARIABLE = "WORLDLINE_LANES_WIDTH"
WIDTHS = (1, 2, 4, 8, 16)
# LLVM's level of optimisation for its code generator. Seen on 20000 multiplications, additions and fused ones of
# `<8 x double>` with 400 live values: code generation, which is most of it and grows linearly, takes 1.2 s at level 1 and
# 2 s at 2 and 3, and all give the same instructions and spills, one for one (24553, of them 16000 spills and reloads).
# Level 0 is ten times as fast but gives twice the instructions.
LEVEL = 1
# What is done before, in place of a whole pipeline. Seen on the step of a humanoid, 87000 lines in one function: that of
# level 1 takes 2.6 s, half of it to move what loops do not change out of them, which then lives long and is spilled; these
# take 0.2 s, leave 11 % less code to generate, and the code is as fast, as it is for all our benchmarks.
PASSES = ("sroa", "instruction_combine", "simplify_cfg")


@dataclass(frozen=True)
class Target:
    """A processor: what LLVM calls it, what it can do, and how many bytes one of its vectors holds.

    `lanes` forces the width of every group (1, 2, 4, 8 or 16); None takes what fills one vector or two.
    """

    triple: str
    cpu: str
    features: str
    vector_bytes: int
    lanes: int | None = None

    def __post_init__(self) -> None:
        if self.lanes is not None and self.lanes not in WIDTHS:
            raise ValueError(f"lanes is {self.lanes!r}: a group has {', '.join(map(str, WIDTHS))} lanes, or None")

    def width(self, itemsize: int, vectors: int = 1) -> int:
        """The number of lanes in one group whose elements, of `itemsize` bytes, fill so many vectors."""
        if self.lanes is not None:
            return self.lanes
        return max(1, vectors * self.vector_bytes // itemsize)

    @property
    def attributes(self) -> str:
        """What stands between `define ...)` and `{` of every function of vector code.

        Where LLVM prefers vectors of 256 bits although the processor has 512, it would split vectors of 512 bits, also
        those that a function of libmvec takes in one register.
        """
        text = "nounwind"
        if self.vector_bytes >= 64:
            text += ' "prefer-vector-width"="512" "min-legal-vector-width"="512"'
        return text


def host(alone: bool = False) -> Target:
    """The processor this process runs on, with the width that WORLDLINE_LANES_WIDTH forces, if it does.

    `alone`: for one lane, which needs no vectors.

    Raises ValueError where the variable holds something else than 1, 2, 4, 8 or 16.
    """
    forced = os.environ.get(WIDTH_VARIABLE, "")
    if not forced:
        return replace(_processor(), lanes=1) if alone else _processor()
    if forced not in map(str, WIDTHS):
        raise ValueError(f"{WIDTH_VARIABLE} is {forced!r}: it takes one of {', '.join(map(str, WIDTHS))}")
    return replace(_processor(), lanes=int(forced))


@functools.cache
def _processor() -> Target:
    _initialise()
    try:
        features = llvm.get_host_cpu_features()
    except RuntimeError:  # LLVM cannot tell on this system: the triple's baseline is safe
        features = llvm.FeatureMap()
    triple = llvm.get_process_triple()
    if features.get("avx512f") and features.get("avx512dq") and features.get("avx512vl"):
        size = 64
    elif features.get("avx2"):
        size = 32
    else:
        size = 16  # SSE2 is part of x86-64, NEON of AArch64
    return Target(triple, llvm.get_host_cpu_name() if features else "", features.flatten(), size)


@functools.cache
def _initialise() -> None:
    """Start LLVM and make the vector mathematics of the C library visible to compiled code, where there is one."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    if platform.system() == "Linux":
        for library in ("libm.so.6", "libmvec.so.1"):
            try:
                llvm.load_library_permanently(library)
            except RuntimeError:  # musl has no such files; scalar functions come with the process
                pass
    elif platform.system() == "Windows":
        for name in ("malloc", "free"):  # in the C runtime only, which LLVM does not search
            add_symbol(name, ctypes.cast(getattr(ctypes.cdll.ucrtbase, name), ctypes.c_void_p).value or 0)


# Addresses that were given a name here, beside what the dynamic linker finds.
_symbols: dict[str, int] = {}
_count = itertools.count()


def add_symbol(name: str, address: int) -> None:
    """Let code compiled from now on call what stands at `address` under a name."""
    _symbols[name] = address


def has_symbol(name: str) -> bool:
    """Whether compiled code can call the function `name`, of this process or of the C library's mathematics."""
    _initialise()
    return name in _symbols or llvm.address_of_symbol(name) is not None


@dataclass(frozen=True)
class Code:
    """Machine code in memory: where a function of it begins, the bytes of all its functions, and what holds it."""

    address: int
    size: int
    tracker: llvm.ResourceTracker = field(repr=False, compare=False)
    linker: Linker = field(repr=False, compare=False)


def optimise_and_compile(text: str, function: str, target: Target | None = None, level: int = LEVEL) -> Code:
    """Machine code of a module of LLVM assembly, ready to run, and the address of one of its functions.

    The code stays until `unload` or the end of the process, whatever becomes of the `Code`: threads of XLA may run it
    while the interpreter shuts down.

    Raises ValueError, with LLVM's words and the line, where the text is not well-formed, does not define `function`,
    or calls what is not there.
    """
    binary = assemble(text, function, target or host(), level)
    library = llvm.JITLibraryBuilder().add_object_img(binary).add_current_process().export_symbol(function)
    for name, address in _symbols.items():
        library.import_symbol(name, address)
    with _linking:
        linker = _linker()
        tracker = library.link(linker.engine, f"worldline{next(_count)}")
        tracker._owned = True  # not disposed of when Python forgets it
        linker.linked, linker.loaded = linker.linked + 1, linker.loaded + 1
    return Code(tracker[function], _text_size(binary), tracker, linker)


def unload(code: Code) -> None:
    """Free machine code, which nothing may call any more."""
    with _linking:
        code.tracker._owned = False
        code.tracker.close()
        code.linker.loaded -= 1
        for linker in [x for x in _linkers if not x.loaded and x.linked >= MODULES_OF_A_LINKER]:
            _linkers.remove(linker)
            linker.engine._owned = False
            linker.engine.close()


def assemble(text: str, function: str, target: Target, level: int = LEVEL) -> bytes:
    """The object file of a module of LLVM assembly."""
    _initialise()
    # A context of its own is freed with the module; LLVM's global one keeps every constant ever seen.
    try:
        module = llvm.parse_assembly(text, llvm.create_context())
        module.verify()
    except RuntimeError as error:
        raise ValueError(f"LLVM does not accept the code of this kernel: {error}") from None
    machine = _machine(target, level)
    module.triple = machine.triple
    module.data_layout = str(machine.target_data)
    defined = {f.name for f in module.functions if not f.is_declaration}
    if function not in defined:
        raise ValueError(f"the code of this kernel defines {sorted(defined)}, not {function!r}")
    missing = [f.name for f in module.functions if f.is_declaration and not f.name.startswith("llvm.")]
    missing = [name for name in missing if not has_symbol(name)]
    if missing:
        raise ValueError(f"the code of this kernel calls {missing}, which this process does not have")
    builder = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options())
    passes = llvm.create_new_module_pass_manager()
    for name in PASSES:
        getattr(passes, f"add_{name}_pass")()
    passes.run(module, builder)
    # The object inherits an empty way to be disposed of before the one that frees its passes, 44 kB each.
    NewPassManager._dispose(passes)
    passes.detach()
    return machine.emit_object(module)


# JITLink keeps what it links close together, as the small code model needs, in which constants are read relative to
# the program counter. For Windows LLVM links by an older way, which does not.
_JITLINK = os.name != "nt"


def _machine(target: Target, level: int) -> llvm.TargetMachine:
    return llvm.Target.from_triple(target.triple).create_target_machine(
        cpu=target.cpu,
        features=target.features,
        opt=level,
        reloc="pic" if _JITLINK else "static",
        codemodel="small" if _JITLINK else "large",
        jit=True,
    )


@dataclass(eq=False)
class Linker:
    """An LLJIT engine, and how many modules it has linked and still holds."""

    engine: llvm.LLJIT
    linked: int = 0
    loaded: int = 0


# An engine keeps 10 kB of each module that it unloads until it is disposed of itself, and takes 130 kB: so each links a
# few modules, and goes when the last of them does.
MODULES_OF_A_LINKER = 16
_linkers: list[Linker] = []
_linking = threading.Lock()


def _linker() -> Linker:
    """The engine for the next module."""
    if not _linkers or _linkers[-1].linked >= MODULES_OF_A_LINKER:
        _initialise()
        engine = llvm.create_lljit_compiler(_machine(_processor(), LEVEL), use_jit_link=_JITLINK)
        engine._owned = True  # not disposed of when the interpreter ends: see `optimise_and_compile`
        _linkers.append(Linker(engine))
    return _linkers[-1]


def _text_size(binary: bytes) -> int:
    file = llvm.ObjectFileRef.from_data(binary)
    return sum(section.size() for section in file.sections() if section.is_text())
