"""Tolerances that fit the float type, and no change of JAX's settings by importing."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import worldline as wl

check = wl.core.check_tolerances


def test_import_changes_no_setting_and_the_switch_does():
    program = (
        "import jax, worldline as wl\n"
        "from worldline.core import default_float\n"
        "assert not jax.config.jax_enable_x64 and default_float() == 'float32'\n"
        "wl.use_float64()\n"
        "assert default_float() == 'float64' and wl.stack(1.0).dtype == 'float64'\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_default_tolerances():
    assert wl.core.default_tolerances(jnp.float64) == (1e-6, 1e-9)
    assert wl.core.default_tolerances("float32") == (1e-4, 1e-6)
    with pytest.raises(ValueError, match="float32 or float64, but the state is int32"):
        wl.core.default_tolerances(jnp.int32)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_the_floor_is_ten_roundings(dtype):
    floor = 10 * float(np.finfo(dtype).eps)
    check(floor * 1.001, 0.0, dtype)
    check(*wl.core.default_tolerances(dtype), dtype)
    with pytest.raises(ValueError, match="finer than"):
        check(floor * 0.999, 0.0, dtype)


def test_a_float64_tolerance_in_float32_names_the_switch():
    with pytest.raises(ValueError, match=r"rtol = 1e-10 is finer than float32.*wl\.use_float64\(\)"):
        check(1e-10, 1e-10, jnp.float32)
    check(1e-10, 1e-10, jnp.float64)
    with pytest.raises(ValueError) as caught:
        check(1e-16, 1e-10, jnp.float64)
    assert "use_float64" not in str(caught.value)


@pytest.mark.parametrize(
    "rtol, atol, name", [(-1e-3, 1e-6, "rtol"), (1e-3, -1.0, "atol"), (1e-3, float("nan"), "atol")]
)
def test_negative_and_nan_tolerances_are_named(rtol, atol, name):
    with pytest.raises(ValueError, match=f"{name} = .*not negative"):
        check(rtol, atol, jnp.float64)


def test_arrays_of_tolerances_and_traced_ones():
    with pytest.raises(ValueError, match="rtol = 1e-09"):
        check(np.array([1e-3, 1e-9]), 0.0, jnp.float32)
    jax.jit(lambda rtol: check(rtol, rtol, jnp.float32))(1e-12)
