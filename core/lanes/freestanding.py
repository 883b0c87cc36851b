"""Mathematical functions for processors without a library of them, such as GPUs: written out in LLVM assembly.

`linked` completes the code of a thread, which calls `sin`, `exp` or `pow` by their names in C, with functions of its
own that do the same; what they call in turn comes along. They are compositions of arithmetic as in `mathematics`, and
promise as much: 4 units in the last place, and C's special values.
"""

from __future__ import annotations

import functools
import re

from .builder import Builder, Register
from .freestanding_angles import ANGLES
from .freestanding_exponentials import EXPONENTIALS
from .freestanding_gamma import GAMMA
from .mathematics import _emit
from .mathematics_library import suffix
from .mathematics_writer import Writer

FUNCTIONS = {**EXPONENTIALS, **ANGLES, **GAMMA}
ARGUMENTS = {"pow": 2, "atan2": 2, "fmod": 2}
PREFIX = "lanes_"  # the names of C may mean something to LLVM, and to whatever else is linked

_NAMES = {name + suffix(scalar): (name, scalar) for name in FUNCTIONS for scalar in ("float", "double")}
_CALLED = re.compile(r"@(" + "|".join(sorted(_NAMES, key=len, reverse=True)) + r")(?=\()")
_DECLARATION = re.compile(r"^declare .*$\n?", re.MULTILINE)


def linked(text: str) -> str:
    """A module for one lane, in which no function of C's mathematics is left to be linked."""
    text = re.sub(r"\bfrem (float|double) ([^,\n]+), (\S+)", _remainder_call, text)
    known: set[str] = set()
    pieces, waiting = [text], [text]
    while waiting:
        for name in sorted(set(_CALLED.findall(_DECLARATION.sub("", waiting.pop()))) - known):
            known.add(name)
            waiting.append(_definition(name))
            pieces.append(waiting[-1])
    whole = "\n".join(pieces)
    declarations = {line.strip(): None for line in _DECLARATION.findall(whole)}
    kept = [line for line in declarations if not _CALLED.search(line)]
    lines = dict.fromkeys(line for line in whole.split("\n") if line.startswith("@two_over_pi"))
    body = "\n".join(line for line in _DECLARATION.sub("", whole).split("\n") if not line.startswith("@two_over_pi"))
    return "\n".join([*kept, *lines, _CALLED.sub(rf"@{PREFIX}\1", body)])


def _remainder_call(match: re.Match[str]) -> str:
    scalar, x, y = match.groups()
    return f"call {scalar} @fmod{suffix(scalar)}({scalar} {x}, {scalar} {y})"


@functools.cache
def _definition(symbol: str) -> str:
    """A function of C's mathematics, which may call others."""
    name, scalar = _NAMES[symbol]
    b = Builder(1)
    given = [Register(f"%a{k}", scalar) for k in range(ARGUMENTS.get(name, 1))]
    result = FUNCTIONS[name](Writer(b, scalar, False, 0, False, _emit), *given)
    b.do(f"ret {scalar} {result.name}")
    signature = f"internal {scalar} @{symbol}({', '.join(f'{scalar} {x.name}' for x in given)})"
    return "\n".join([*b.globals, *b.declarations.values(), b.function(signature)])
