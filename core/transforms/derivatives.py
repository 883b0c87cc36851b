"""Derivatives with respect to the float leaves of any argument: gradient, Jacobian, Hessian, Hessian times
a vector."""

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from ..pytrees import Rest, is_array, is_differentiable, merge, merge_or_none, split
from .naming import name_of

Argnums = int | Sequence[int]


def value_and_grad(
    fn: Callable[..., Any], argnums: Argnums = 0, *, has_aux: bool = False
) -> Callable[..., Any]:
    """A function that returns `(fn(x), df/dx)`, or `((fn(x), aux), df/dx)` with `has_aux`.

    What it adds to `jax.value_and_grad` is written at `grad`.
    """

    def value_and_slope(*args: Any, **kwargs: Any) -> Any:
        chosen, rest, call = _take(fn, args, kwargs, argnums, "grad")
        kept: list[Rest] = []

        def of_leaves(leaves):
            out = call(leaves)
            if has_aux and not (isinstance(out, tuple) and len(out) == 2):
                raise TypeError(
                    f"grad: with has_aux, {name_of(fn)} must return a pair (value, aux), not {out!r}"
                )
            value, aux = out if has_aux else (out, None)
            arrays, aux_rest = split(aux, is_array)
            kept[:] = [aux_rest]
            return _one_number(value, fn), arrays

        with _explained("grad", fn):
            (value, arrays), slopes = jax.value_and_grad(of_leaves, has_aux=True)(chosen)
        slope = merge_or_none(slopes, rest)
        return ((value, merge(arrays, kept[0])), slope) if has_aux else (value, slope)

    return _named(value_and_slope, fn)


def grad(fn: Callable[..., Any], argnums: Argnums = 0, *, has_aux: bool = False) -> Callable[..., Any]:
    """A function that returns the gradient df/dx of `fn`, which must return one number.

    As `jax.grad`, and besides:

    - x may be any pytree, such as a system with names, functions and sizes in it. The derivative is taken
      with respect to every float leaf (arrays and Python floats).
    - The gradient has the structure of x, with None for every leaf that is no float. The gradient of a
      system is a system of derivatives: `slope.parameters["birth"]`. For several `argnums` it is a tuple.
    - With `has_aux` the function returns `(value, aux)`, aux being any pytree, and the result is
      `(gradient, aux)`.

    Raises `TypeError` when the argument holds no float or the result is not one real number; the message
    names the call to write instead.
    """
    both = value_and_grad(fn, argnums, has_aux=has_aux)

    def slope(*args: Any, **kwargs: Any) -> Any:
        value, gradient = both(*args, **kwargs)
        return (gradient, value[1]) if has_aux else gradient

    return _named(slope, fn)


def jacobian(
    fn: Callable[..., Any],
    argnums: Argnums = 0,
    *,
    mode: Literal["auto", "forward", "reverse"] = "auto",
    has_aux: bool = False,
) -> Callable[..., Any]:
    """A function that returns the Jacobian of `fn`, whose result may be any pytree.

    For a result y and an argument x that are arrays it has shape `[*y.shape, *x.shape]`. For pytrees it is
    the structure of y, each float leaf replaced by the structure of x with such arrays. As `jax.jacfwd` and
    `jax.jacrev`, and besides:

    - `mode="auto"` goes forward when x has at most as many numbers as y, and in reverse otherwise. It
      evaluates the shapes of `fn` once more for that.
    - Leaves of x or y that are not floats give None.
    - With `has_aux` the function returns `(y, aux)` and the result is `(jacobian, aux)`.

    Raises `TypeError` when argument or result hold no float, and an error that names `mode="forward"` or
    `mode="reverse"` when `fn` holds a loop that cannot be differentiated in the mode taken.
    """
    if mode not in ("auto", "forward", "reverse"):
        raise ValueError(f'jacobian: mode is {mode!r}; it must be "auto", "forward" or "reverse"')

    def table(*args: Any, **kwargs: Any) -> Any:
        chosen, rest, call = _take(fn, args, kwargs, argnums, "jacobian")
        kept: list[Rest] = []

        def of_leaves(leaves):
            out, aux = call(leaves) if has_aux else (call(leaves), None)
            floats, out_rest = split(out, is_differentiable)
            if not floats:
                raise TypeError(f"jacobian: {name_of(fn)} returned no float, only {jax.tree.leaves(out)}")
            arrays, aux_rest = split(aux, is_array)
            kept[:] = [out_rest, aux_rest]
            return [jnp.asarray(y) for y in floats], arrays

        direction = mode if mode != "auto" else _shorter(of_leaves, chosen)
        transform = jax.jacfwd if direction == "forward" else jax.jacrev
        with _explained("jacobian", fn, direction):
            rows, arrays = transform(of_leaves, has_aux=True)(chosen)
        out_rest, aux_rest = kept
        slopes = merge_or_none([merge_or_none(row, rest) for row in rows], out_rest)
        return (slopes, merge(arrays, aux_rest)) if has_aux else slopes

    return _named(table, fn)


def hessian(
    fn: Callable[..., Any],
    argnums: Argnums = 0,
    *,
    mode: Literal[
        "forward-over-reverse", "reverse-over-reverse", "forward-over-forward"
    ] = "forward-over-reverse",
) -> Callable[..., Any]:
    """A function that returns the second derivatives of `fn`, which must return one number.

    For an array x the result has shape `[*x.shape, *x.shape]`; for a pytree it is the structure of x, each
    float leaf replaced by the structure of x with such arrays. As `jax.hessian`, and besides: x may hold
    leaves that are not floats (None in the result), and `mode` chooses how the two derivatives are taken.
    Functions with a `jax.lax.while_loop` inside need "forward-over-forward".
    """
    outer, _, inner = mode.partition("-over-")
    if mode not in ("forward-over-reverse", "reverse-over-reverse", "forward-over-forward"):
        raise ValueError(
            f'hessian: mode is {mode!r}; it must be "forward-over-reverse", "reverse-over-reverse" or '
            '"forward-over-forward"'
        )

    def checked(*args: Any, **kwargs: Any) -> Any:
        return _one_number(fn(*args, **kwargs), fn, "hessian")

    checked = _named(checked, fn)
    slope = grad(checked, argnums) if inner == "reverse" else jacobian(checked, argnums, mode="forward")
    return _named(jacobian(slope, argnums, mode=outer), fn)  # type: ignore[arg-type]


def hessian_vector_product(fn: Callable[..., Any]) -> Callable[..., Any]:
    """A function `(x, v, *more) -> H v`, with H the second derivatives of `fn(x, *more)` with respect to x.

    H itself is never built: the cost is that of a few gradients. JAX has no function for this. x and v are
    pytrees with the same float leaves (a gradient of `fn` can be a v), and the result has the structure of
    x, None where a leaf is no float.

    Raises `ValueError` when the float leaves of v are not those of x in number and shape.
    """

    def product(x: PyTree, v: PyTree, *more: Any, **kwargs: Any) -> PyTree:
        primals, rest, call = _take(fn, (x, *more), kwargs, 0, "hessian_vector_product")
        tangents, _ = split(v, is_differentiable)
        shapes, given = [x.shape for x in primals], [jnp.shape(t) for t in tangents]
        if shapes != given:
            raise ValueError(
                f"hessian_vector_product: v needs the float leaves of x, of shapes {shapes}; it has {given}"
            )
        tangents = [jnp.asarray(t, p.dtype) for t, p in zip(tangents, primals)]
        slope = jax.grad(lambda leaves: _one_number(call(leaves), fn, "hessian_vector_product"))
        with _explained("hessian_vector_product", fn):
            _, bent = jax.jvp(slope, (primals,), (tangents,))
        return merge_or_none(bent, rest)

    return product


def _take(fn, args, kwargs, argnums, what):
    """The float leaves of the arguments `argnums`, the rest of these, and `fn` as a function of the leaves
    alone."""
    several = not isinstance(argnums, int)
    places = tuple(argnums) if several else (argnums,)
    for place in places:
        if not -len(args) <= place < len(args):
            raise TypeError(
                f"{what}: {name_of(fn)} was called with {len(args)} positional arguments, but argument "
                f"{place} is the one to differentiate; pass it by position"
            )
    wanted = tuple(args[place] for place in places)
    chosen, rest = split(wanted if several else wanted[0], is_differentiable)
    for place, argument in zip(places, wanted):
        if not split(argument, is_differentiable)[0]:
            raise TypeError(f"{what}: argument {place} of {name_of(fn)} {_no_float(argument)}")

    def call(leaves):
        again = merge(leaves, rest)
        full = list(args)
        for place, argument in zip(places, again if several else (again,)):
            full[place] = argument
        return fn(*full, **kwargs)

    return [jnp.asarray(leaf) for leaf in chosen], rest, call


def _no_float(argument: Any) -> str:
    if isinstance(argument, int):
        return f"is the integer {argument!r}, and derivatives need floats: write {float(argument)!r}"
    if is_array(argument):
        return f"is an array of {argument.dtype}, and derivatives need floats: write x.astype(float)"
    return f"is of type {type(argument).__name__} and holds no float leaf to differentiate with respect to"


def _one_number(value: Any, fn: Callable, what: str = "grad") -> Any:
    if not is_array(value) and not isinstance(value, (int, float, complex)):
        raise TypeError(
            f"{what}: {name_of(fn)} must return one number, not {type(value).__name__}; for a pair (value, "
            f"aux) pass has_aux=True, for all derivatives of several results write wl.jacobian({name_of(fn)})"
        )
    if jnp.shape(value) != ():
        raise TypeError(
            f"{what}: {name_of(fn)} must return one number, but returned an array of shape "
            f"{jnp.shape(value)}; for all its derivatives write wl.jacobian({name_of(fn)})"
        )
    value = jnp.asarray(value)
    if not jnp.issubdtype(value.dtype, jnp.inexact):
        raise TypeError(
            f"{what}: {name_of(fn)} returned {value.dtype}, which has no derivative; return a float"
        )
    return value


def _shorter(of_leaves: Callable, chosen: list[Any]) -> str:
    results, _ = jax.eval_shape(of_leaves, chosen)
    inputs, outputs = (sum(x.size for x in leaves) for leaves in (chosen, results))
    return "forward" if inputs <= outputs else "reverse"


@contextlib.contextmanager
def _explained(what: str, fn: Callable, direction: str = "reverse") -> Iterator[None]:
    """Turn JAX's words about loops that have only one mode of differentiation into what to write."""
    try:
        yield
    except ValueError as error:
        if "Reverse-mode differentiation does not work for lax.while_loop" not in str(error):
            raise
        raise ValueError(
            f"{what}: {name_of(fn)} holds a loop that can only be differentiated in forward mode. "
            f'Write wl.jacobian({name_of(fn)}, mode="forward") or give the loop gradient="reverse"'
        ) from error
    except TypeError as error:
        if direction != "forward" or "forward-mode" not in str(error):
            raise
        raise TypeError(
            f"{what}: {name_of(fn)} holds a loop or function that has only a reverse mode. "
            f'Write wl.jacobian({name_of(fn)}, mode="reverse") or give the loop gradient="forward"'
        ) from error


def _named(made: Callable, fn: Callable) -> Callable:
    return functools.wraps(fn, updated=())(made)
