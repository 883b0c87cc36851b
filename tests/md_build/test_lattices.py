"""Lattices: coordination, spacing and density against what crystallography says, by brute force over images."""

import jax
import numpy as np
import pytest

import worldline as wl

# Neighbors in the first two shells, at distances in units of the lattice constant.
SHELLS = {
    "sc": [(1.0, 6), (2**0.5, 12)],
    "bcc": [(3**0.5 / 2, 8), (1.0, 6)],
    "fcc": [(2**-0.5, 12), (1.0, 6)],
    "diamond": [(3**0.5 / 4, 4), (2**-0.5, 12)],
    "hcp": [(1.0, 12), (2**0.5, 6)],
}


def distances(position, box, reach):
    """For each particle, the sorted distances to all images nearer than `reach`."""
    vectors = np.asarray(box.vectors)
    most = np.ceil(reach * np.linalg.norm(np.linalg.inv(vectors), axis=0)).astype(int) + 1
    cells = np.stack(np.meshgrid(*(np.arange(-m, m + 1) for m in most), indexing="ij"), -1).reshape(-1, 3) @ vectors
    images = (np.asarray(position)[None] + cells[:, None]).reshape(-1, 3)
    every = np.linalg.norm(np.asarray(position)[:, None] - images[None], axis=-1)
    return [np.sort(row[(row < reach) & (row > 1e-9)]) for row in every]


@pytest.mark.parametrize("kind", SHELLS)
@pytest.mark.parametrize("cells", [1, (1, 2, 3)])
def test_shells_of_neighbors(kind, cells):
    constant = 1.7
    position, box = wl.md.lattice(kind, constant=constant, cells=cells)
    (first, many), (second, more) = SHELLS[kind]
    for found in distances(position, box, 1.0001 * second * constant):
        np.testing.assert_allclose(found, constant * np.array([first] * many + [second] * more), rtol=1e-12)
    assert len(position) == len(wl.md.lattice(kind, constant=1.0)[0]) * np.prod(np.broadcast_to(cells, 3))


@pytest.mark.parametrize("kind", SHELLS)
def test_density(kind):
    position, box = wl.md.lattice(kind, density=0.8442, cells=(2, 3, 2))
    assert len(position) / float(box.volume()) == pytest.approx(0.8442, rel=1e-14)
    fractions = np.asarray(box.fractional(position))
    assert (fractions > -1e-12).all() and (fractions < 1 - 1e-3).all()


def test_lattices_are_differentiable():
    def volume_and_spread(constant):
        position, box = wl.md.lattice("hcp", constant=constant, cells=2)
        return box.volume() + (position**2).sum()

    # Volume goes as the cube of the constant, and the spread as its square.
    position, box = wl.md.lattice("hcp", constant=1.3, cells=2)
    slope = 3 / 1.3 * float(box.volume()) + 2 / 1.3 * float((position**2).sum())
    assert float(jax.jit(jax.grad(volume_and_spread))(1.3)) == pytest.approx(slope, rel=1e-13)
    assert float(jax.jacfwd(volume_and_spread)(1.3)) == pytest.approx(slope, rel=1e-13)
    for step in (1e-3, 1e-4):
        numeric = (volume_and_spread(1.3 + step) - volume_and_spread(1.3 - step)) / (2 * step)
        assert float(numeric) == pytest.approx(slope, rel=step**2)


def test_what_is_refused():
    for arguments, message in [
        (dict(kind="FCC", constant=1.0), "did you mean 'fcc'"),
        (dict(kind="hexagonal", constant=1.0), "there are sc, bcc, fcc, diamond, hcp"),
        (dict(kind="fcc"), "constant= .* or density="),
        (dict(kind="fcc", constant=1.0, density=1.0), "one of the two"),
        (dict(kind="fcc", constant=-1.0), "constant is -1"),
        (dict(kind="fcc", density=np.nan), "density is nan"),
        (dict(kind="fcc", density=[1.0, 2.0]), "must be one number"),
        (dict(kind="fcc", constant=1.0, cells=0), "cells=0"),
        (dict(kind="fcc", constant=1.0, cells=(1, 2)), r"cells=\(1, 2\)"),
        (dict(kind="fcc", constant=1.0, cells=2.5), "cells=2.5"),
    ]:
        with pytest.raises(ValueError, match=message):
            wl.md.lattice(arguments.pop("kind"), **arguments)
