"""What motion conserves, and a motion that SciPy knows, as the validation checks them; and that it notices what is wrong."""

import numpy as np
import pytest

from worldline.validation import rigid_laws, validate_rigid_laws

SLOW = "links in space"


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (SLOW in name)) for name in rigid_laws.PROBLEMS]
)
def test_laws_hold(name):
    report = validate_rigid_laws([name])
    assert report.passed, str(report)


def test_steps_of_a_lower_order_are_noticed(monkeypatch):
    monkeypatch.setitem(rigid_laws.ORDERS, "euler", 2)
    report = validate_rigid_laws(["double pendulum, euler"])
    assert not report.passed and report.rows[0].facts["order"] == pytest.approx(1.0, abs=0.1)


def test_another_motion_than_scipys_is_noticed(monkeypatch):
    monkeypatch.setattr(rigid_laws, "double_pendulum_rate", lambda t, y: np.zeros(4))
    assert not validate_rigid_laws([rigid_laws.SCIPY]).passed


def test_names_that_there_are_not_are_refused():
    with pytest.raises(LookupError, match="no problem 'dog'; the problems are free body, euler;"):
        validate_rigid_laws(["dog"])
