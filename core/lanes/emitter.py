"""From the jaxpr of one lane to the assembly of a group of lanes: `Emitter` walks the equations.

Straight-line operations are in `structure`, `indexing` and `arithmetic`; control flow is in `control`. What is not
there is written in JAX itself, in `decompositions`, and compiled like the user's code.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import numpy as np
from jax.extend.core import Literal

from . import blocks, structure
from .arithmetic import RULES, _select_n
from .arrays import Memory, Registers, Store, Unsupported, Value, is_small, scalar_of
from .builder import Builder, Element
from .decompositions import DECOMPOSED, OPERATIONS
from .indexing import dynamic_slice, dynamic_update_slice, gather, same_for_all, scatter
from .products import dot_general
from .recompute import Again, memories, rows_computed_again
from .uniformity import inner_jaxpr, open_jaxpr


class Emitter:
    """Writes the code of jaxprs. `mask` is the condition under which lanes are active; None while all are."""

    def __init__(self, b: Builder, threads: bool = False):
        self.b = b
        self.store = Store(b, threads)
        self.mask: Element | None = None
        self.store.claim = self.claim
        self.slots: dict[str, Element | None] = {}  # memory that loops carry, and the mask under which it was made
        self._frames: list[dict[Any, Value | Again]] = []  # what is still to be read, of each program that is being written
        self._kept: list[str] = []  # memory that a loop reads in every round

    def run(self, jaxpr: Any, arguments: Sequence[Value], wanted: Sequence[bool] | None = None) -> list[Value]:
        """The results of a jaxpr, open or closed, for these arguments; of those not `wanted` any value."""
        body, own = open_jaxpr(jaxpr)
        given = [self.store.constant(c) for c in own]
        env: dict[Any, Any] = dict(zip(body.constvars, given, strict=True))
        env.update(zip(body.invars, arguments, strict=True))
        wanted = [True] * len(body.outvars) if wanted is None else wanted
        results_read = {v for v, flag in zip(body.outvars, wanted, strict=True) if flag and not isinstance(v, Literal)}
        needed = _needed(body, results_read)
        last = _last_reads(needed, results_read)
        again = rows_computed_again(body, needed)
        env = {v: x for v, x in env.items() if v in last}
        self._frames.append(env)
        for k, equation in enumerate(needed):
            xs = [self._read(env, v) for v in equation.invars]
            for v in equation.invars:
                if not isinstance(v, Literal) and last[v] == k:
                    env.pop(v, None)
            results = self.equation(equation, xs, [v in last for v in equation.outvars], again.get(k))
            env.update((v, x) for v, x in zip(equation.outvars, results, strict=True) if v in last)
        self._frames.pop()
        nothing = Registers(np.empty(0, object), np.dtype("float32"))
        return [self._read(env, v) if flag else nothing for v, flag in zip(body.outvars, wanted, strict=True)]

    def claim(self, x: Memory, others: Sequence[Value]) -> tuple[bool, Element]:
        """Whether an array that a loop carries may be changed where it stands, and in which lanes.

        It may when nothing that is still to be written reads it, in this program or in those around it.
        """
        name = x.address.name
        if name not in self.slots or name in self._kept:
            return False, True
        read = itertools.chain(others, *(env.values() for env in self._frames))
        if any(m.address.name == name for v in read for m in memories(v)):
            return False, True
        if self.slots[name] == self.mask:
            return not x.uniform or all(map(same_for_all, others)), True
        # Lanes that are done, or take another branch, keep their values; a uniform array cannot.
        return not x.uniform and self.mask is not None, True if self.mask is None else self.mask

    @contextlib.contextmanager
    def kept(self, values: Sequence[Value | Again]) -> Iterator[None]:
        """Code within must not change these, since it runs more than once."""
        before = self._kept
        self._kept = [*before, *(m.address.name for v in values for m in memories(v))]
        yield
        self._kept = before

    def _read(self, env: dict, v: Any) -> Any:
        if not isinstance(v, Literal):
            return env[v]
        value = np.asarray(v.val, v.aval.dtype)  # type: ignore[attr-defined]
        return self.store.constant(value, structural=False)

    def equation(
        self, equation: Any, xs: list[Any], wanted: Sequence[bool], again: Sequence[bool] | None = None
    ) -> list[Any]:
        """The results of one equation, those that are wanted; `again` for a scan as `rows_computed_again` has it.

        **Raises** `Unsupported` naming its primitive.
        """
        from . import control

        name, params = equation.primitive.name, equation.params
        if name == "scan":
            return control.scan(self, params, xs, wanted, again)
        if name in control.RULES:
            return control.RULES[name](self, params, xs)
        if (written := DECOMPOSED.get(name, OPERATIONS.get(name))) is not None:
            return self._decomposed(written, params, xs)
        inner = inner_jaxpr(name, params)
        if inner is not None and len(open_jaxpr(inner)[0].invars) == len(xs):
            return self.run(inner, xs, wanted)
        try:
            if name in RULES:
                return [self._elementwise(name, params, equation.outvars[0].aval, xs)]
            if name in STRUCTURAL:
                result = STRUCTURAL[name](self.store, params, *xs)
                return result if isinstance(result, list) else [result]
        except Unsupported as error:
            raise Unsupported(f"{name}: {error}") from error
        raise Unsupported(name)

    def _elementwise(self, name: str, params: dict, aval: Any, xs: list[Value]) -> Value:
        rule, dtype = RULES[name], xs[0].dtype
        if name == "pow":
            params = {"unsigned": xs[1].dtype.kind == "u"}
        if name == "bitcast_convert_type" and aval.shape != xs[0].shape:
            raise Unsupported(f"from {xs[0].dtype.name} to {aval.dtype.name}")

        def one(*elements: Element) -> Element:
            return rule(self.b, params, dtype, *elements)

        return structure.elementwise(self.store, aval.shape, aval.dtype, one, xs)

    def _decomposed(self, function: Callable, params: dict, xs: list[Value]) -> list[Value]:
        shapes = [jax.ShapeDtypeStruct(x.shape, x.dtype) for x in xs]
        return self.run(jax.make_jaxpr(lambda *a: function(*a, **params))(*shapes), xs)


def _last_reads(equations: Sequence[Any], results: set[Any]) -> dict[Any, int]:
    """For each variable that is read, by which equation last; results of the program are read after all."""
    last = {v: k for k, e in enumerate(equations) for v in e.invars if not isinstance(v, Literal)}
    return last | {v: len(equations) for v in results}


def _needed(body: Any, results: set[Any]) -> list[Any]:
    """The equations of a jaxpr that any of these results comes from."""
    live, needed = set(results), []
    for equation in reversed(body.eqns):
        if any(v in live for v in equation.outvars):
            needed.append(equation)
            live.update(v for v in equation.invars if not isinstance(v, Literal))
    return needed[::-1]


def _select(store: Store, params: dict, which: Value, *cases: Value) -> Value:
    value = cases[0].dtype

    def one(w: Element, *elements: Element) -> Element:
        return _select_n(store.b, params, which.dtype, w, *elements, value=value)

    return structure.elementwise(store, cases[0].shape, value, one, [which, *cases])


def _stacked(store: Store, params: dict, *xs: Value) -> Value:
    axis = params["axis"]
    wide = [structure.reshape(store, x, (*x.shape[:axis], 1, *x.shape[axis:])) for x in xs]
    return structure.concatenate(store, {"dimension": axis}, *wide)


def _unstacked(store: Store, params: dict, x: Value) -> list[Value]:
    axis = params["axis"]
    parts = structure.split(store, {"axis": axis, "sizes": [1] * x.shape[axis]}, x)
    return [structure.reshape(store, p, x.shape[:axis] + x.shape[axis + 1 :]) for p in parts]


def _squeezed(store: Store, params: dict, x: Value) -> Value:
    dropped = [d % len(x.shape) for d in params["dimensions"]]
    return structure.reshape(store, x, [n for d, n in enumerate(x.shape) if d not in dropped])


def _expanded(store: Store, params: dict, x: Value) -> Value:
    shape = list(x.shape)
    for d in sorted(params["dimensions"]):
        shape.insert(d, 1)
    return structure.reshape(store, x, shape)


def _empty(store: Store, params: dict) -> Value:
    return structure.broadcast_in_dim(
        store, {"shape": params.get("shape", ()), "broadcast_dimensions": ()}, store.constant(np.zeros((), params["dtype"]))
    )


def _same(store: Store, params: dict, *xs: Value) -> list[Value]:
    return list(xs)


def _platform_index(store: Store, params: dict) -> Value:
    """Which of the versions of a function is for this processor."""
    names = list(params["platforms"])
    ours = [k for name in ("lanes", "cpu") for k, group in enumerate(names) if group and name in group]
    index = ours[0] if ours else None
    index = names.index(None) if index is None else index
    return store.constant(np.asarray(index, np.int32))


def _scatter_rule(combine: str | None) -> Callable:
    def rule(store: Store, params: dict, operand: Value, indices: Value, updates: Value) -> Value:
        if combine is None and params["update_jaxpr"] is not None:
            raise Unsupported("with a function of its own (x.at[i].apply)")
        return scatter(store, params, None if combine is None else RULES[combine], operand, indices, updates)

    return rule


STRUCTURAL: dict[str, Callable] = {
    "broadcast_in_dim": structure.broadcast_in_dim,
    "reshape": lambda store, params, x, *_: structure.reshape(store, x, params["new_sizes"]),
    "squeeze": _squeezed, "expand_dims": _expanded, "transpose": structure.transpose, "slice": structure.take_slice,
    "rev": structure.reverse, "concatenate": structure.concatenate, "stack": _stacked, "unstack": _unstacked,
    "pad": structure.pad, "iota": structure.iota, "split": structure.split, "select_n": _select,
    "dynamic_slice": dynamic_slice, "dynamic_update_slice": dynamic_update_slice, "gather": gather,
    "scatter": _scatter_rule(None),
    "argmax": structure.arg_extreme("argmax"), "argmin": structure.arg_extreme("argmin"),
    "dot_general": dot_general, "empty2": _empty, "device_put": _same,
    "lane_width": lambda store, params: store.constant(np.asarray(store.b.width, np.int32)),
    "platform_index": _platform_index, "optimization_barrier": _same, "pvary": _same,
}  # fmt: skip
for _name in ("sum", "prod", "max", "min", "and", "or", "xor"):
    STRUCTURAL[f"reduce_{_name}"] = structure.reduction(_name)
for _name in ("add", "sub", "mul", "min", "max"):  # JAX writes the hyphen for some of them
    STRUCTURAL[f"scatter_{_name}"] = STRUCTURAL[f"scatter-{_name}"] = _scatter_rule(_name)
for _name in ("cumsum", "cumprod", "cummax", "cummin"):
    STRUCTURAL[_name] = structure.cumulative(_name)


def emit_group(jaxpr: Any, laned: Sequence[bool], width: int, threads: bool = False) -> tuple[str, int]:
    """The assembly of `lanes_group`, which computes `width` lanes of a jaxpr beginning with lane `%first`.

    With `threads`, for GPUs, where the width is 1, it also takes which of how many threads it runs in: these share the
    workspace.

    `jaxpr` is closed, without constants of its own; `laned` says which arguments have an axis of lanes, the last.
    Returns the text of the module and the bytes of workspace that a group needs.
    """
    b = Builder(width)
    emitter = Emitter(b, threads)
    store = emitter.store
    arguments = []
    for k, (v, has_lanes) in enumerate(zip(jaxpr.jaxpr.invars, laned, strict=True)):
        aval = v.aval
        scalar_of(aval.dtype)
        argument = _buffer(b, k, aval, has_lanes)
        arguments.append(store.in_registers(argument) if is_small(aval.shape) else argument)
    results = emitter.run(jaxpr, arguments)
    for k, (v, result) in enumerate(zip(jaxpr.jaxpr.outvars, results, strict=True)):
        store.copy(result, _buffer(b, len(arguments) + k, v.aval, True))
    b.do("ret void")
    blocks.cut(b)
    more = ", i64 %thread, i64 %threads" if threads else ""
    signature = f"void @lanes_group(ptr noalias %buffers, i64 %lanes, i64 %first, ptr noalias %workspace{more})"
    declarations = "\n".join([*b.globals, *b.declarations.values()])
    return f"{declarations}\n\n{b.function(signature)}", store.workspace


def _buffer(b: Builder, k: int, aval: Any, laned: bool) -> Memory:
    """An argument or result of the program, where the group's first lane begins in it."""
    from .builder import Register

    buffers = Register("%buffers", "ptr", True)
    address = b.pure("ptr", True, f"load ptr, ptr {b.offset(buffers, k, 8).name}, align 8")
    itemsize = np.dtype(aval.dtype).itemsize
    if not laned:
        return Memory(address, aval.shape, np.dtype(aval.dtype), itemsize, uniform=True)
    begin = b.offset(address, Register("%first", "i64", True), itemsize)
    stride = b.pure("i64", True, f"mul i64 %lanes, {itemsize}")
    return Memory(begin, aval.shape, np.dtype(aval.dtype), stride)


__all__ = ["Emitter", "Registers", "emit_group"]
