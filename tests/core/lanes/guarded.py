"""Compiled groups of lanes on buffers that stand directly against pages without access; a program of its own.

`test_guarded` starts it: a fault ends it, and the last line it wrote names the program. Operands can be read only,
results and workspace are written, each once directly behind such a page and once directly before one. The workspace
holds other bytes each time, as do the results before: what depends on them reads what it never wrote.
"""

import ctypes
import dataclasses
import faulthandler
import mmap
import sys
from pathlib import Path

import jax
import numpy as np

from worldline.core.lanes.lowering import compiled
from worldline.core.lanes.primitive import trace
from worldline.core.lanes.target import host

sys.path.insert(0, str(Path(__file__).parent))
import test_primitives as table
import test_programs as generated

PAGE = mmap.PAGESIZE
LIBRARY = ctypes.CDLL(None)
GROUP = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p)


class Guarded:
    """So many bytes between two pages without access, against the second (`end`) or the first."""

    def __init__(self, size, end):
        size = int(size)
        pages = max(-(-size // PAGE), 1)
        self.area = mmap.mmap(-1, (pages + 2) * PAGE)
        self.whole = ctypes.c_char.from_buffer(self.area)
        self.begin, self.bytes = ctypes.addressof(self.whole) + PAGE, pages * PAGE
        self.address = self.begin + (self.bytes - size if end else 0)
        self.contents = np.frombuffer((ctypes.c_char * size).from_address(self.address), np.uint8)
        self.allow(self.begin - PAGE, PAGE, 0)
        self.allow(self.begin + self.bytes, PAGE, 0)

    def allow(self, address, size, what):
        assert LIBRARY.mprotect(ctypes.c_void_p(address), ctypes.c_size_t(size), what) == 0

    def read_only(self):
        self.allow(self.begin, self.bytes, mmap.PROT_READ)


def results_of(kernel, lanes, operands, shapes, end):
    """The bytes of all results."""
    held = [Guarded(x.nbytes, end) for x in operands]
    for buffer, x in zip(held, operands, strict=True):
        buffer.contents[:] = np.frombuffer(x.tobytes(), np.uint8)
        buffer.read_only()
    made = [Guarded(int(np.prod(s.shape)) * s.dtype.itemsize * lanes, end) for s in shapes]
    work = Guarded(kernel.workspace, end)
    for buffer in (*made, work):
        buffer.contents[:] = 255 if end else 0
    addresses = np.array([b.address for b in (*held, *made)], np.int64)
    group = GROUP(ctypes.c_int64.from_address(kernel.address).value)
    for first in (*range(0, lanes - kernel.width + 1, kernel.width), lanes - kernel.width):
        group(addresses.ctypes.data, lanes, first, work.address)
    return [bytes(b.contents) for b in made]


def check(name, function, *arrays, widths):
    """A function at several widths and numbers of lanes; the arrays have lanes last."""
    print(name, flush=True)
    avals = [jax.ShapeDtypeStruct(x.shape[:-1], x.dtype) for x in arrays]
    program, constants = trace(lambda *xs: jax.tree.leaves(function(*xs)), avals)
    flags = (*(False for _ in constants), *(True for _ in arrays))
    shapes = [v.aval for v in program.jaxpr.outvars]
    for width in widths:
        kernel = compiled(program, flags, dataclasses.replace(host(), lanes=width))
        for lanes in {width, width + 1, 2 * width + max(width // 2, 1)}:
            operands = [np.asarray(c) for c in constants] + [np.take(x, np.arange(lanes) % x.shape[-1], -1) for x in arrays]
            before, behind = (results_of(kernel, lanes, operands, shapes, end) for end in (False, True))
            assert before == behind, f"{name}, {width} wide, {lanes} lanes: results depend on what was in memory before"


def primitives(every):
    """Names, functions and arguments of the programs of `test_primitives`; those about memory, or all."""
    numbers = table.numbers
    for size in (5, 300):
        for name, function in table.INDEXING.items():
            yield f"{name} {size}", function, numbers((size,), "f8", 1), table.places(size)
        for mode in ("clip", "fill", "drop"):
            yield f"{mode} {size}", (lambda x, i, m=mode: x.at[i].set(i[0], mode=m).at[i].add(1, mode=m)), \
                numbers((size,), "f8", 1), table.places(size)  # fmt: skip
    for length in (2, 3, 4, 7):
        held = np.asarray(numbers((50, length), "f8", 2)[..., 0])
        yield f"rows of {length}", (lambda i, held=held: jax.numpy.asarray(held)[i]), table.places(50)
    for name, function in table.SEARCHES.items():
        yield name, function, numbers((40,), "f8", 2)
    for shape in [(3, 4), (12, 14)] if every else []:
        for name, function in {**table.MOVES, **table.REDUCTIONS}.items():
            for dtype in ("f8", "f4", "b1") if name in table.MOVES else ("f8", "i4"):
                yield f"{name} {shape} {dtype}", function, numbers(shape, dtype, 3)
    for name, function in table.ALGEBRA.items() if every else []:
        for n in (3, 12):
            yield f"{name} {n}", function, table.positive(n)
    for count, functions in enumerate([table.UNARY, table.BINARY] if every else [], 1):
        for name, (function, kinds) in functions.items():
            for shape in ((3,), (150,)):
                yield f"{name} {shape}", function, *(numbers(shape, kinds[0], k) for k in range(count))
    for name, function in table.COMPOSED.items() if every else []:
        yield name, function, numbers((9,), "f8", 4)


def main(every):
    """All programs at all widths, or a few at one."""
    faulthandler.enable()
    jax.config.update("jax_enable_x64", True)
    widths = (1, 2, 4, 8, 16) if every else (host().width(8),)
    for name, function, *arrays in primitives(every):
        check(name, function, *arrays, widths=widths)

    @generated.searched(120 if every else 3)
    @generated.given(generated.programs(), generated.SIZES, generated.SEEDS)
    def drawn(program, size, seed):
        check(repr(program), generated.build(program), *generated.inputs(size, seed), widths=widths[-3:])

    drawn()
    print("all within bounds")


if __name__ == "__main__":
    main(every="every" in sys.argv[1:])
