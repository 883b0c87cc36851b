"""Precision follows the inputs: the one explicit switch to float64, and the tolerances that fit a float type.

Importing the library changes no setting of JAX. Everything that chooses a step size asks here whether the
accuracy the user wants can exist in the precision the user has.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import ArrayLike

_TOLERANCES = {"float64": (1e-6, 1e-9), "float32": (1e-4, 1e-6)}


def use_float64() -> None:
    """Let arrays made from now on be float64 (sets JAX's `jax_enable_x64` for the whole process).

    Call it once, before any array is made: arrays that exist keep their type.
    """
    jax.config.update("jax_enable_x64", True)


def default_float() -> np.dtype:
    """The type a Python float becomes: float32, or float64 after `use_float64()`."""
    return np.dtype(jnp.result_type(float))


def default_tolerances(dtype: np.dtype | type | str) -> tuple[float, float]:
    """The (relative, absolute) tolerance of adaptive solvers when none is given.

    float64: (1e-6, 1e-9); float32: (1e-4, 1e-6). Raises `ValueError` for any other type.
    """
    name = np.dtype(dtype).name
    if name not in _TOLERANCES:
        raise ValueError(
            f"adaptive solvers work in float32 or float64, but the state is {name}; "
            "convert it, as in jnp.asarray(state, jnp.float32)"
        )
    return _TOLERANCES[name]


def check_tolerances(rtol: ArrayLike, atol: ArrayLike, dtype: np.dtype | type | str) -> None:
    """Refuse tolerances that arithmetic in `dtype` cannot meet.

    The rounding error of one operation is eps relative to its result (1.2e-7 in float32, 2.2e-16 in
    float64), and a step adds several, so the floor of a relative tolerance is 10 eps. Tolerances that are
    traced are not looked at.

    Raises `ValueError` for `rtol` below 10 eps, for negative or NaN tolerances, and for types other than
    float32 and float64.
    """
    default_tolerances(dtype)
    name = np.dtype(dtype).name
    floor = 10 * float(np.finfo(name).eps)
    for word, value in (("rtol", rtol), ("atol", atol)):
        if not isinstance(value, jax.core.Tracer) and not np.all(np.asarray(value) >= 0):
            raise ValueError(f"{word} = {value}: a tolerance must be a number that is not negative")
    if isinstance(rtol, jax.core.Tracer) or not np.any(np.asarray(rtol) < floor):
        return
    if name == "float32":
        cure = f"Call wl.use_float64() before making arrays, or ask for rtol >= {floor:.1e}."
    else:
        cure = f"Ask for rtol >= {floor:.1e}."
    smallest = float(np.min(np.asarray(rtol)))
    raise ValueError(
        f"rtol = {smallest:g} is finer than {name} arithmetic can resolve (10 eps = {floor:.1e}). {cure}"
    )
