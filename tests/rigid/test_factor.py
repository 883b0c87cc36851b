"""The mass matrix in the pattern of the tree, its factors and solutions, against the dense one."""

import c_library
import jax.numpy as jnp
import numpy as np
import pytest
from c_library import assert_near

import worldline as wl
from worldline.physics.rigid.kinematics import place

MODELS = ("mixed", "chain", "touching")


@pytest.mark.parametrize("name", MODELS)
def test_rows_and_solutions_are_those_of_the_dense_matrix(name):
    model = wl.rigid.load(c_library.path(name))
    q, v = c_library.random_states(c_library.compiled(name)[0], 8)

    def both(q, v):
        rows = wl.rigid.mass_rows(model, place(model, q))
        return (
            rows,
            wl.rigid.solve_mass(model.tree, wl.rigid.factor_mass(model.tree, rows), v),
            wl.rigid.mass_matrix(model, q),
        )

    rows, solution, matrix = wl.lanes(both)(q.T, v.T)
    for k in range(8):
        dense = np.zeros((model.nv, model.nv))
        for i, above in enumerate(model.tree.carriers):
            dense[i, [*above, i]] = dense[[*above, i], i] = rows[i][:, k]
        assert_near(dense, matrix[..., k])
        assert_near(dense @ solution[:, k], v[k])


def test_every_degree_of_freedom_knows_what_carries_it():
    model = wl.rigid.load(c_library.path("mixed"))
    table = np.asarray(model.tree.moves[list(model.tree.freedom_bodies)])
    for i, above in enumerate(model.tree.carriers):
        assert list(above) == [j for j in range(i) if table[i, j]]


def test_tendons_with_armature_break_the_pattern():
    model = wl.rigid.load(c_library.path("driven"))
    with pytest.raises(ValueError, match="has not the pattern of its tree"):
        wl.rigid.mass_rows(model, place(model, jnp.asarray(model.rest())))
