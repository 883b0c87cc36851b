"""What a test problem is: equations, start, span, and everything known about the answer."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, TypedDict

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from ..system import System

Time = Float[Array, ""]


class EndPoint(TypedDict):
    """A published state at a published time."""

    t: float
    state: Sequence[float]  # in the order of `Problem.names`
    source: str


@dataclass(frozen=True)
class Problem:
    """An initial value problem y' = f(t, y; p), y(t0) = y0, with what is known about its solution.

    Numbers are plain Python floats and the system is built when asked, so that the precision is the one in
    force at that time. To add a problem, write one file in this folder that ends in `problem = Problem(...)`;
    it then appears in `names()`, in the tests of the zoo and in `worldline validate ode`.

    The functions `solution`, `gradient` and `invariants` take the state as arrays (`initial()` gives the
    start in that form) and are written in `jax.numpy`.
    """

    name: str  # the name of the file
    summary: str  # one sentence
    source: str  # paper or book, with the equation
    system: Callable[[], System]
    state: list[Any] | dict[str, Any]  # initial state: a list is one array, a dict a state with named parts
    span: tuple[float, float]  # (t0, t1)
    names: tuple[str, ...]  # one for each number in the state, in the order of its flattened leaves
    solution: Callable[[Array, PyTree, System], PyTree] | None = None  # (t - t0, y0, system) -> y(t)
    gradient: Callable[[Array, PyTree, System], dict[str, PyTree]] | None = None  # by hand: {p: dy(t)/dp}
    invariants: Mapping[str, Callable[[Array, PyTree, System], Array]] = field(
        default_factory=lambda: MappingProxyType({})
    )  # name -> (t, y, system) -> scalar that stays what it was
    controls: Callable[[Array], Array] | None = None  # default u(t) where the field takes one
    stiff: bool = False
    reference: EndPoint | None = None
    size: float = 1.0  # the smallest magnitude that matters in the state: absolute tolerance = rtol * size
    condition: float = 1.0  # how much more than usual an early error grows along the span
    sensitivity_condition: float = 1.0  # and an error of dy/dp, beyond that
    logarithmic: bool = False  # whether events spread over decades of time

    def initial(self) -> PyTree:
        """Return the initial state as arrays of the default floating-point type."""
        dtype = jnp.result_type(float)
        return jax.tree.map(
            lambda leaf: jnp.asarray(leaf, dtype), self.state, is_leaf=lambda node: isinstance(node, list)
        )

    def times(self, count: int) -> Array:
        """Return `count` times over the span, first and last included: even, or even in log t.

        A logarithmic span begins at t0 and then covers ten decades up to t1.
        """
        t0, t1 = self.span
        if self.logarithmic:
            length = t1 - t0
            return jnp.asarray(np.concatenate([[t0], t0 + np.geomspace(1e-10 * length, length, count - 1)]))
        return jnp.asarray(np.linspace(t0, t1, count))
