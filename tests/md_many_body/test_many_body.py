"""Forms of one's own by sums over neighbors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from many_body_loops import CASES, agrees, neighbors

import worldline as wl


class Gupta(wl.md.ManyBody):
    """A metal of few parameters, as the documentation of `ManyBody` has it."""

    strength: jax.Array
    repulsion: jax.Array
    length: jax.Array

    def moments(self, d, own, other, p):
        r = jnp.linalg.norm(d) / p.length - 1
        return jnp.exp(-4.6 * r), p.repulsion * jnp.exp(-10.2 * r)

    def site(self, rho, own, p):
        return rho[1] - p.strength * jnp.sqrt(rho[0])


def by_loops(x, edges):
    total = 0.0
    for near in neighbors(x, edges, 4.0):
        r = np.array([np.linalg.norm(d) for d, _ in near]) / 2.5 - 1
        total += 0.1 * np.exp(-10.2 * r).sum() - 1.2 * np.sqrt(np.exp(-4.6 * r).sum())
    return total


def test_a_form_of_ones_own(layout):
    metal = Gupta(cutoff=4.0, strength=jnp.array(1.2), repulsion=jnp.array(0.1), length=jnp.array(2.5))
    agrees(metal, by_loops, "triclinic", ["Cu"] * 6, 1e-7)
    assert set(metal.parameters) == {"strength", "repulsion", "length"}


@pytest.mark.slow
def test_potentials_add_up():
    x, edges = CASES["periodic"]
    both = wl.md.StillingerWeber.silicon() + wl.md.LennardJones(0.01, 2.0, 3.0)
    system = wl.md.System(both, {"Si": 6}, units="metal")
    state = system.state(x, None, wl.md.Box.triclinic(edges))
    parts = system.energies(state)
    assert set(parts) == {"stillinger_weber", "lennard_jones"}
    alone = wl.md.System(wl.md.StillingerWeber.silicon(), {"Si": 6}, units="metal")
    np.testing.assert_allclose(parts["stillinger_weber"], alone.potential_energy(state), rtol=1e-13)
