"""Which of JAX's primitives have native code in lanes, and how: the table in docs/lanes_primitives.md.

`python -m worldline.core.lanes.support docs/lanes_primitives.md` writes it anew from the compiler's own tables.
"""

from __future__ import annotations

import sys
from pathlib import Path

from . import control
from .arithmetic import RULES
from .decompositions import DECOMPOSED
from .emitter import STRUCTURAL
from .keys import GENERATING
from .mathematics import HOW
from .uniformity import WRAPPERS

_HEAD = """# Primitives with native code in lanes

What `wl.lanes` compiles, by the names that JAX gives its primitives (`jax.make_jaxpr` shows them), for float32, float64,
signed and unsigned integers of 8 to 64 bits, and booleans. A program with any other primitive, with complex numbers, with
floats of 16 bits, or with an effect such as printing runs by `vmap` on XLA, and a warning names the reason;
`wl.lanes.explain(fn, *args)` says it beforehand. This file is written by `python -m worldline.core.lanes.support`.

| primitive | how |
| --- | --- |
"""


def native_primitives() -> dict[str, str]:
    """How each primitive that has native code is compiled, in a few words."""
    table = dict.fromkeys(RULES, "arithmetic: instructions for each element")
    table |= {name: f"mathematics, {how}" for name, how in HOW.items() if name in RULES}
    table |= dict.fromkeys(STRUCTURAL, "moves or combines elements: registers renamed, or loops over memory")
    table |= dict.fromkeys(WRAPPERS, "looked through")
    table |= dict.fromkeys(DECOMPOSED, "written in JAX in terms of others")
    table |= dict.fromkeys(GENERATING, "random keys: the arithmetic of their generator on uint32")
    table |= dict.fromkeys(control.RULES, "control flow")
    return dict(sorted(table.items()))


def markdown() -> str:
    """The text of docs/lanes_primitives.md."""
    return _HEAD + "".join(f"| `{name}` | {how} |\n" for name, how in native_primitives().items())


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(markdown())
