"""How a run ended: `Status` travels as data through jit, vmap and grad; `raise_if_failed` speaks on the host.

Solvers fill in a `Status`; `wl.simulate` and `wl.ensemble` return it, and raise `SimulationError` when
called from plain Python with `throw=True`.
"""

from collections.abc import Mapping
from enum import IntEnum
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int


class Code(IntEnum):
    """Why a run ended. Ending at an event the user asked for is not a failure, so it is `OK`."""

    OK = 0
    STEP_LIMIT = 1
    STEP_TOO_SMALL = 2
    NON_FINITE = 3
    CAPACITY_OVERFLOW = 4
    INVALID_TIMES = 5
    NOT_CONVERGED = 6

    @property
    def words(self) -> str:
        """The code as it is written in messages: "step limit"."""
        return "non-finite" if self is Code.NON_FINITE else self.name.lower().replace("_", " ")


_REMEDIES = {
    Code.STEP_LIMIT: "Raise max_steps, loosen rtol and atol, or choose a stiff solver.",
    Code.STEP_TOO_SMALL: "It may be stiff or singular there: choose a stiff solver, or end the run earlier.",
    Code.NON_FINITE: "Check the model and its parameters there, or take smaller steps.",
    Code.CAPACITY_OVERFLOW: "Give a larger capacity when building the system.",
    Code.NOT_CONVERGED: "The search for forces of contacts and limits did not end there: take smaller steps, or softer contacts.",
    Code.INVALID_TIMES: "Output times must be finite and increase from the start of the run, and a step be positive.",
}


class Status(eqx.Module):
    """The outcome of a run, or of a batch of runs (all three arrays then share the batch's shape).

    `code`: a `Code`. `t`: the time at which the first bad step begins, NaN when ok. `step`: that step, counted
    from 0 (attempts that were refused count too), -1 when ok.
    """

    code: Int[Array, "..."]
    t: Float[Array, "..."]
    step: Int[Array, "..."]

    @staticmethod
    def fine(dtype: Any = None) -> "Status":
        """The status of one run that is ok so far; `dtype` is the type of its times (default: the default
        float)."""
        dtype = jnp.result_type(float) if dtype is None else dtype
        return Status(jnp.asarray(0, jnp.int32), jnp.asarray(jnp.nan, dtype), jnp.asarray(-1, jnp.int32))

    @property
    def ok(self) -> Bool[Array, "..."]:
        """Whether the run went well, per run of a batch."""
        return self.code == Code.OK

    @property
    def failed(self) -> Bool[Array, "..."]:
        """Whether the run failed, per run of a batch."""
        return self.code != Code.OK

    def fail(self, when: Any, code: Code | Int[Array, "..."], t: Any, step: Any) -> "Status":
        """This status with `code` noted where `when` holds, unless a failure was noted before: the first
        one stays."""
        new = jnp.logical_and(when, self.ok)
        return Status(
            jnp.where(new, jnp.asarray(code, self.code.dtype), self.code),
            jnp.where(new, jnp.asarray(t, self.t.dtype), self.t),
            jnp.where(new, jnp.asarray(step, self.step.dtype), self.step),
        )

    def count(self) -> dict[Code, int]:
        """How many runs ended with each code; codes that did not occur are left out. Needs concrete
        values."""
        values, counts = np.unique(np.asarray(self.code), return_counts=True)
        return {Code(int(v)): int(c) for v, c in zip(values, counts, strict=True)}

    def message(self) -> str:
        """What happened, in words: "ok", "non-finite at t = 0.83, step 41", "9997 ok, 2 step limit, 1
        non-finite"."""
        if self._traced:
            return "traced"
        if np.ndim(self.code) == 0:
            return self._sentence(())
        counts = self.count()
        return ", ".join(f"{n} {code.words}" for code, n in counts.items()) or "no runs"

    def __repr__(self) -> str:
        return self.message()

    @property
    def _traced(self) -> bool:
        # Outside jit a derivative traces the time but not the code, which is an integer.
        return any(isinstance(x, jax.core.Tracer) for x in (self.code, self.t, self.step))

    def _sentence(self, index: tuple[int, ...]) -> str:
        code = Code(int(np.asarray(self.code)[index]))
        if code is Code.OK:
            return "ok"
        t, step = float(np.asarray(self.t)[index]), int(np.asarray(self.step)[index])
        where = ([f"t = {t:.6g}"] if np.isfinite(t) else []) + ([f"step {step}"] if step >= 0 else [])
        return f"{code.words} at {', '.join(where)}" if where else code.words


class SimulationError(RuntimeError):
    """A run that failed. `status` says how; `trajectory` is what was computed before (None when nothing
    was)."""

    def __init__(self, message: str, status: Status, trajectory: Any = None):
        super().__init__(message)
        self.status = status
        self.trajectory = trajectory


def raise_if_failed(
    status: Status, *, remedy: str | Mapping[Code, str] | None = None, trajectory: Any = None
) -> None:
    """Raise `SimulationError` when any run of `status` failed: what happened, where, and what to try.

    `remedy` is a sentence that says what to try, or one for each `Code`; without it a general one is given.
    A traced status (inside jit, vmap or grad) is left alone: it comes back as data.
    """
    if status._traced:
        return
    codes = np.asarray(status.code)
    if not codes.any():
        return
    index = tuple(int(i) for i in np.argwhere(codes)[0])
    code = Code(int(codes[index]))
    if not isinstance(remedy, str):
        remedy = {**_REMEDIES, **(remedy or {})}[code]
    first = status._sentence(index)
    if index:
        lane = index[0] if len(index) == 1 else index
        failed = f"{np.count_nonzero(codes)} of {codes.size} runs failed"
        what = f"{failed} ({status.message()}); run {lane}: {first}"
    else:
        what = f"the run failed: {first}"
    raise SimulationError(f"{what}. {remedy}", status, trajectory)
