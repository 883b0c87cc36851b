"""The sum of squares that jaxlib 0.10.2 gets wrong on the CPU, which is why that version is excluded.

There, `jit(vmap(lambda r: ((M @ r) ** 2).sum()))` is off by up to a factor of six in every row past the first
16 384 of float64 or 32 768 of float32, for some sizes of M. One row too many is enough to see it.
"""

import jax
import jax.numpy as jnp
import jaxlib
import numpy as np
import pytest

# Sums of at most 36 products of like sign round to some tens of eps; the wrong rows are off by over 1e-1.
RELATIVE_ERROR = {"float64": 1e-13, "float32": 1e-4}


@pytest.mark.parametrize(("rows", "dtype"), [(16_385, "float64"), (32_769, "float32"), (40_000, "float64")])
@pytest.mark.parametrize("size", [3, 6])
def test_mapped_sum_of_squares_matches_numpy(rows: int, dtype: str, size: int) -> None:
    rng = np.random.default_rng(0)
    # Positive entries: nothing cancels, so the bound above is relative.
    matrix = rng.uniform(0.5, 1.5, (size, size)).astype(dtype)
    vectors = rng.uniform(0.5, 1.5, (rows, size)).astype(dtype)

    compiled = jax.jit(jax.vmap(lambda r: ((jnp.asarray(matrix) @ r) ** 2).sum()))(vectors)

    expected = ((vectors.astype("float64") @ matrix.astype("float64").T) ** 2).sum(axis=1)
    assert compiled.dtype == dtype
    np.testing.assert_allclose(np.asarray(compiled), expected, rtol=RELATIVE_ERROR[dtype])


def test_the_wrong_version_is_not_installed() -> None:
    assert jaxlib.__version__ != "0.10.2"
