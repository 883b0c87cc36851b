"""Random keys inside a lane: typed keys become the unsigned integers that they stand for, and the rest stays.

`without_keys` gives a program that means the same and in which no value is a typed key. A key of shape [...] is an
array [..., *key_shape] of uint32 there: operations that only move keys work on it as on a batch, those that make or
use them become the arithmetic of their generator.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr, Literal, jaxprs_in_params

from .arrays import Unsupported
from .uniformity import inner_jaxpr, open_jaxpr


def is_key(x: Any) -> bool:
    """Whether an array, or the type of one, is of typed random keys."""
    return jnp.issubdtype(x.dtype, jax.dtypes.prng_key)


def to_data(x: Any, has_lanes: bool) -> Any:
    """The uint32 data of keys; their last axis, if it is lanes, is last again. What is no key stays."""
    if not is_key(x):
        return x
    data = jax.random.key_data(x)
    return jnp.moveaxis(data, x.ndim - 1, -1) if has_lanes else data


def kind_of(x: Any) -> Any:
    """The kind of an array of keys, as `to_keys` takes it; None for other arrays."""
    return jax.random.key_impl(x) if is_key(x) else None


def to_keys(x: Any, kind: Any, has_lanes: bool = False) -> Any:
    """The keys of a kind that data stand for; the data where the kind is None."""
    if kind is None:
        return x
    return jax.random.wrap_key_data(jnp.moveaxis(x, -1, -2) if has_lanes else x, impl=kind)


def without_keys(program: ClosedJaxpr) -> ClosedJaxpr:
    """The same program on the data of keys; the program itself where it has none."""
    if not _has_keys(program):
        return program
    return jax.make_jaxpr(lambda *xs: _run(program, xs))(*(_data_type(v.aval) for v in program.jaxpr.invars))


def _has_keys(jaxpr: Any) -> bool:
    body, _ = open_jaxpr(jaxpr)
    variables = [*body.invars, *body.constvars, *(v for e in body.eqns for v in e.outvars)]
    if any(hasattr(v.aval, "dtype") and is_key(v.aval) for v in variables):
        return True
    return any(_has_keys(inner) for e in body.eqns for inner in jaxprs_in_params(e.params))


def _generator(dtype: Any) -> Any:
    """What draws numbers from keys of this type: functions of its data."""
    return dtype._impl


def _data_type(aval: Any) -> jax.ShapeDtypeStruct:
    if not is_key(aval):
        return jax.ShapeDtypeStruct(aval.shape, aval.dtype)
    return jax.ShapeDtypeStruct((*aval.shape, *_generator(aval.dtype).key_shape), jnp.uint32)


def _run(jaxpr: Any, arguments: Sequence[Any]) -> list[Any]:
    """The results of a jaxpr on the data of keys."""
    body, constants = open_jaxpr(jaxpr)
    env = dict(zip(body.constvars, [jax.random.key_data(c) if is_key(jnp.asarray(c)) else c for c in constants]))
    env.update(zip(body.invars, arguments, strict=True))
    for equation in body.eqns:
        xs = [v.val if isinstance(v, Literal) else env[v] for v in equation.invars]
        env.update(zip(equation.outvars, _equation(equation, xs), strict=True))
    return [v.val if isinstance(v, Literal) else env[v] for v in body.outvars]


def _equation(equation: Any, xs: list[Any]) -> list[Any]:
    name, params = equation.primitive.name, dict(equation.params)
    keyed = [is_key(v.aval) for v in equation.invars]
    if name in GENERATING:
        return [GENERATING[name](equation, params, *xs)]
    inner = inner_jaxpr(name, params)
    if name in ("scan", "lanes"):
        params["jaxpr"] = without_keys(params["jaxpr"])
    elif name == "while":
        params["cond_jaxpr"], params["body_jaxpr"] = map(without_keys, (params["cond_jaxpr"], params["body_jaxpr"]))
    elif name == "cond":
        params["branches"] = tuple(map(without_keys, params["branches"]))
    elif inner is not None and len(open_jaxpr(inner)[0].invars) == len(xs):
        return _run(inner, xs)
    elif any(keyed) and not any(is_key(v.aval) for v in equation.outvars):
        raise Unsupported(name)  # it draws numbers, and is not written in simpler operations
    elif any(keyed):
        axes = [-1 if k else None for k in keyed]
        moved = jax.vmap(lambda *each: _bound(equation, params, each), axes, -1)
        return moved(*(_flat(x, v.aval) if k else x for x, v, k in zip(xs, equation.invars, keyed)))
    return _bound(equation, params, xs)


def _flat(x: Any, aval: Any) -> Any:
    if len(_generator(aval.dtype).key_shape) != 1:
        raise Unsupported(f"keys of {_generator(aval.dtype).name}")
    return x


def _bound(equation: Any, params: dict, xs: Sequence[Any]) -> list[Any]:
    primitive = equation.primitive
    given = primitive.get_bind_params(params)
    functions, rest = given if isinstance(given, tuple) else ((), given)  # newer versions of JAX keep no functions
    out = primitive.bind(*functions, *xs, **rest)
    return list(out) if primitive.multiple_results else [out]


def _each(function: Callable, rank: int, *xs: Any) -> Any:
    """A function of one key (and of numbers) for each of a batch of `rank` axes."""
    for _ in range(rank):
        function = jax.vmap(function)
    return function(*xs)


def _bits(equation: Any, params: dict, data: Any) -> Any:
    aval = equation.invars[0].aval
    draw = lambda key: _generator(aval.dtype).random_bits(key, params["bit_width"], params["shape"])
    return _each(draw, len(aval.shape), data)


def _split(equation: Any, params: dict, data: Any) -> Any:
    aval = equation.invars[0].aval
    return _each(lambda key: _generator(aval.dtype).split(key, params["shape"]), len(aval.shape), data)


def _fold_in(equation: Any, params: dict, data: Any, number: Any) -> Any:
    aval = equation.invars[0].aval
    rank = len(aval.shape)
    key_shape = data.shape[rank:]
    shape = jnp.broadcast_shapes(aval.shape, number.shape)
    data = jnp.broadcast_to(data, (*shape, *key_shape))
    number = jnp.broadcast_to(jnp.asarray(number, jnp.uint32), shape)
    return _each(_generator(aval.dtype).fold_in, len(shape), data, number)


def _seed(equation: Any, params: dict, seeds: Any) -> Any:
    return _each(params["impl"].seed, jnp.ndim(seeds), jnp.asarray(seeds))


def _same(equation: Any, params: dict, data: Any) -> Any:
    return data


GENERATING: dict[str, Callable[..., Any]] = {
    "random_bits": _bits,
    "random_split": _split,
    "random_fold_in": _fold_in,
    "random_seed": _seed,
    "random_wrap": _same,
    "random_unwrap": _same,
}
