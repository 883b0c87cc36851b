"""Status travels as data, and speaks in one sentence on the host."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import worldline as wl

Code = wl.core.Code
raise_if_failed = wl.core.raise_if_failed


def batch():
    """10000 runs: two at the step limit, one not finite."""
    code = (
        jnp.zeros(10000, jnp.int32).at[jnp.array([40, 9000])].set(Code.STEP_LIMIT).at[77].set(Code.NON_FINITE)
    )
    t = jnp.where(code == 0, jnp.nan, 0.25)
    return wl.Status(code, t, jnp.where(code == 0, -1, 12))


def test_a_fine_status():
    status = wl.Status.fine(jnp.float32)
    assert status.t.dtype == jnp.float32 and np.isnan(status.t)
    assert int(status.step) == -1
    assert bool(status.ok) and not bool(status.failed)
    assert repr(status) == "ok" == status.message()
    assert wl.Status.fine().t.dtype == jnp.float64


def test_words():
    status = wl.Status.fine().fail(True, Code.NON_FINITE, 0.83, 41)
    assert repr(status) == "non-finite at t = 0.83, step 41"
    assert repr(wl.Status.fine().fail(True, Code.STEP_TOO_SMALL, jnp.nan, -1)) == "step too small"
    assert repr(batch()) == "9997 ok, 2 step limit, 1 non-finite"
    assert batch().count() == {Code.OK: 9997, Code.STEP_LIMIT: 2, Code.NON_FINITE: 1}
    for code in Code:
        assert "_" not in code.words


def test_the_first_failure_stays():
    status = wl.Status.fine().fail(False, Code.STEP_LIMIT, 1.0, 1)
    assert bool(status.ok)
    status = status.fail(True, Code.NON_FINITE, 2.0, 2).fail(True, Code.STEP_LIMIT, 3.0, 3)
    assert (int(status.code), float(status.t), int(status.step)) == (Code.NON_FINITE, 2.0, 2)


def test_status_is_data_under_jit_vmap_and_grad():
    def run(x):
        status = wl.Status.fine().fail(x > 2.5, Code.NON_FINITE, x, 7)
        raise_if_failed(status)  # traced: says nothing
        return x**2, status

    _, status = jax.jit(jax.vmap(run))(jnp.arange(4.0))
    assert repr(status) == "3 ok, 1 non-finite"
    np.testing.assert_array_equal(status.failed, [False, False, False, True])
    slope, status = wl.grad(run, has_aux=True)(3.0)
    assert slope == 6.0
    assert repr(status) == "non-finite at t = 3, step 7"


def test_repr_of_a_traced_status():
    seen = []
    jax.jit(lambda s: seen.append(repr(s)))(wl.Status.fine())
    assert seen == ["traced"]


def test_raising_for_one_run():
    raise_if_failed(wl.Status.fine())
    status = wl.Status.fine().fail(True, Code.NON_FINITE, 0.83, 41)
    with pytest.raises(wl.SimulationError) as caught:
        raise_if_failed(status, remedy="Take dt below 0.1.", trajectory="what there is")
    assert str(caught.value) == "the run failed: non-finite at t = 0.83, step 41. Take dt below 0.1."
    assert caught.value.status is status
    assert caught.value.trajectory == "what there is"


def test_raising_for_a_batch_says_how_many_which_and_where():
    with pytest.raises(wl.SimulationError) as caught:
        raise_if_failed(batch(), remedy={Code.STEP_LIMIT: "Raise max_steps."})
    assert str(caught.value) == (
        "3 of 10000 runs failed (9997 ok, 2 step limit, 1 non-finite); "
        "run 40: step limit at t = 0.25, step 12. Raise max_steps."
    )


@pytest.mark.parametrize("code", [c for c in Code if c is not Code.OK])
def test_every_failure_has_a_remedy_of_its_own(code):
    with pytest.raises(wl.SimulationError, match=rf"{code.words} at t = 1, step 2\. \w.*\.$"):
        raise_if_failed(wl.Status.fine().fail(True, code, 1.0, 2))


def test_batches_of_two_axes():
    status = wl.Status(jnp.array([[0, 0], [0, 4]]), jnp.full((2, 2), 1.5), jnp.full((2, 2), 3))
    assert repr(status) == "3 ok, 1 capacity overflow"
    with pytest.raises(wl.SimulationError, match=r"run \(1, 1\): capacity overflow at t = 1.5, step 3"):
        raise_if_failed(status)
