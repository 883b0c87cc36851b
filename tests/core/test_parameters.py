"""Names of float leaves: listed, changed, and kept by gradients."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import worldline as wl


class Link(wl.core.Parametrized):
    mass: jax.Array
    name: str = "arm"


class Robot(wl.core.Parametrized):
    link1: Link
    rates: jax.Array
    matrix: Any
    law: Callable
    count: int = 2
    nothing: None = None


class Flow(wl.core.Parametrized):
    transparent = ("constants",)
    constants: Any
    field: Callable


class Holder(wl.core.Parametrized):
    """Declares a field of the name of the base's attribute; the field wins."""

    transparent = ("parameters",)
    parameters: Any


def robot():
    return Robot(Link(jnp.array(2.0)), jnp.arange(3.0), np.ones((2, 2), np.float32), jnp.sin)


def test_names_of_fields_sequences_and_keys():
    tree = {"layers": [{"weight": 1.0}, (jnp.ones(2), "text")], "odd key": jnp.ones(1), "robot": robot()}
    assert list(wl.parameters(tree)) == [
        "layers[0].weight",
        "layers[1][0]",
        "['odd key']",
        "robot.link1.mass",
        "robot.rates",
        "robot.matrix",
    ]
    assert list(wl.parameters({3: 2.0})) == ["[3]"]


def test_only_floats_are_parameters():
    tree = {
        "a": 1.0,
        "n": 1,
        "b": True,
        "i": jnp.arange(3),
        "key": jax.random.key(0),
        "f": jnp.sin,
        "s": "x",
        "o": None,
    }
    assert list(wl.parameters(tree)) == ["a"]
    assert wl.parameters(tree)["a"].shape == ()
    assert robot().parameters["matrix"].dtype == np.float32


def test_transparent_fields_leave_no_trace_in_names():
    flow = Flow({"birth": 1.0, "inner": Link(jnp.array(1.0))}, jnp.sin)
    assert list(flow.parameters) == ["birth", "inner.mass"]
    assert flow.replace(birth=3.0).parameters["birth"] == 3.0
    holder = Holder({"birth": jnp.array(1.0)})
    assert holder.parameters == {"birth": 1.0}
    assert holder.replace(birth=2.0).parameters == {"birth": 2.0}
    assert repr(holder) == "Holder(birth=1)"


def test_two_leaves_of_one_name_are_an_error():
    class Clash(wl.core.Parametrized):
        transparent = ("a", "b")
        a: dict
        b: dict

    clash = Clash({"x": 1.0}, {"x": 2.0})
    with pytest.raises(ValueError, match="two parameters of Clash have the name 'x'"):
        _ = clash.parameters
    assert repr(clash) == "Clash(x=1, x=2)"


def test_replace_by_keyword_name_and_entry():
    old = robot()
    new = old.replace({"link1.mass": 5, "rates[1]": 7.0, "rates[-1]": 9, "matrix[0, 1]": 4})
    assert new.link1.mass == 5.0 and new.link1.mass.dtype == jnp.float64
    np.testing.assert_array_equal(new.rates, [0, 7, 9])
    np.testing.assert_array_equal(new.matrix, [[1, 4], [1, 1]])
    assert new.matrix.dtype == jnp.float32
    assert new.law is old.law and new.count == 2 and new.link1.name == "arm"
    assert old.link1.mass == 2.0 and old.rates[1] == 1.0
    np.testing.assert_array_equal(old.replace(rates=[4, 5, 6]).rates, [4, 5, 6])
    np.testing.assert_array_equal(old.replace({"matrix[1]": [3, 4]}).matrix, [[1, 1], [3, 4]])
    assert wl.replace({"a": 1.0, "b": "x"}, a=2)["a"].dtype == jnp.float64


def test_replace_changes_the_type_of_nothing():
    old = robot()
    new = old.replace({"link1.mass": np.float32(3), "matrix": np.full((2, 2), 0.1)})
    assert new.link1.mass.dtype == jnp.float64
    assert new.matrix.dtype == jnp.float32
    assert jax.tree.structure(new) == jax.tree.structure(old)


def test_replace_with_traced_values_is_a_way_to_differentiate():
    def loss(mass, rate):
        system = robot().replace({"link1.mass": mass, "rates[2]": rate})
        return system.link1.mass**2 * jnp.sum(system.rates**3)

    slope = jax.jit(jax.grad(loss, argnums=(0, 1)))(3.0, 2.0)
    np.testing.assert_allclose(slope, (2 * 3 * 9.0, 9 * 3 * 4.0), rtol=1e-15)
    np.testing.assert_allclose(jax.vmap(loss, (0, None))(jnp.arange(3.0), 2.0), [0, 9, 36], rtol=1e-15)


def test_unknown_names_list_the_near_ones():
    with pytest.raises(wl.UnknownParameter) as caught:
        robot().replace(mas=1.0)
    assert isinstance(caught.value, KeyError)
    assert str(caught.value) == (
        "Robot has no parameter 'mas'. Near to it: link1.mass. Its parameters: link1.mass, rates, matrix."
    )
    with pytest.raises(wl.UnknownParameter, match=r"Near to it: rates"):
        robot().replace(rate=1.0)
    with pytest.raises(wl.UnknownParameter, match=r"Near to it: link1\.mass"):
        robot().replace(mass=1.0)
    with pytest.raises(wl.UnknownParameter, match=r"'link1'.* It is a group; name one of link1\.mass\."):
        robot().replace(link1=1.0)
    with pytest.raises(wl.UnknownParameter, match="no parameters at all"):
        wl.replace({"n": 3}, n=4)
    many = {f"k{i:03d}": float(i) for i in range(50)}
    with pytest.raises(wl.UnknownParameter, match=r"Near to it: k0.*has 50 parameters; wl\.parameters"):
        wl.replace(many, k0001=1.0)


def test_values_that_do_not_fit_are_refused():
    with pytest.raises(
        ValueError, match=r"link1\.mass has shape \(\), got a value of shape \(4,\).*wl\.ensemble"
    ):
        robot().replace({"link1.mass": np.ones(4)})
    with pytest.raises(ValueError, match=r"rates has shape \(3,\), got a value of shape \(\)"):
        robot().replace(rates=1.0)
    with pytest.raises(IndexError, match=r"'rates\[3\]' is outside the array, whose shape is \(3,\)"):
        robot().replace({"rates[3]": 1.0})
    with pytest.raises(IndexError, match=r"outside"):
        robot().replace({"link1.mass[0]": 1.0})
    with pytest.raises(TypeError, match="link1.mass needs a number.*'heavy'"):
        robot().replace({"link1.mass": "heavy"})
    with pytest.raises(TypeError, match="link1.mass is real"):
        robot().replace({"link1.mass": 1j})
    with pytest.raises(ValueError, match="rates given both"):
        robot().replace({"rates": np.ones(3)}, rates=np.ones(3))
    with pytest.raises(ValueError, match=r"both 'rates' and its entry 'rates\[0\]'"):
        robot().replace({"rates[0]": 1.0, "rates": np.ones(3)})


def test_gradients_list_under_the_same_names():
    slope = wl.grad(lambda r: r.link1.mass * jnp.sum(r.law(r.rates)) + jnp.sum(r.matrix))(robot())
    assert isinstance(slope, Robot)
    assert list(slope.parameters) == list(robot().parameters)
    np.testing.assert_allclose(slope.parameters["link1.mass"], np.sin([0, 1, 2]).sum(), rtol=1e-15)
    assert slope.count is None and slope.law is None and slope.link1.name is None


def test_repr_is_short_and_works_traced_and_with_nones():
    assert repr(robot()) == "Robot(link1.mass=2, rates=[0, 1, 2], matrix=[[1, 1], [1, 1]])"
    assert repr(robot().replace(rates=[0.123456789, 1e-9, 3])).startswith(
        "Robot(link1.mass=2, rates=[0.123457, 1e-09, 3]"
    )
    wide = Flow({"w": jnp.ones((3, 40), jnp.float32)}, jnp.sin)
    assert repr(wide) == "Flow(w=float32[3, 40])"
    assert repr(wl.grad(lambda f: jnp.sum(f.constants["w"]))(wide)) == "Flow(w=float32[3, 40])"
    seen = []
    jax.jit(lambda link: seen.append(repr(link)))(Holder(jnp.ones(2)))
    assert seen == ["Holder(parameters=traced float64[2])"]


def test_many_parameters_are_cut_in_repr():
    text = repr(Flow({f"k{i:02d}": float(i) for i in range(20)}, jnp.sin))
    assert text.endswith("k11=11, ... 8 more)")
