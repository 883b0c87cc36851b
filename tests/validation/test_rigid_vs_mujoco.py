"""The validation of the rigid-body engine: it passes, and it fails where something is wrong."""

import pytest

import worldline as wl
from worldline.validation import check_rigid, rigid_vs_mujoco, validate_rigid

path = rigid_vs_mujoco.model_path


def test_two_models_agree_with_the_c_library():
    seen = []
    report = validate_rigid(["reacher", "swimmer"], progress=seen.append)
    assert report.passed and seen == list(report.rows)
    assert [check.quantity for check in report.rows[0].checks] == list(rigid_vs_mujoco.COMPARED)


@pytest.mark.slow
@pytest.mark.parametrize("name", rigid_vs_mujoco.MODELS)
def test_the_robots_agree_with_the_c_library(name):
    row = check_rigid(name, path(name))
    assert row.passed, row.verdict


def test_a_wrong_model_is_noticed_where_it_is(monkeypatch):
    load = wl.rigid.load

    def heavier(path):
        model = load(path)
        return model.replace({"mid.mass": model.parameters["mid.mass"] * (1 + 1e-6)})

    monkeypatch.setattr(rigid_vs_mujoco.rigid, "load", heavier)
    row = check_rigid("swimmer", path("swimmer"), states=5)
    failed = [check.quantity for check in row.checks if not check.passed]
    assert failed == ["mass matrix", "bias forces", "passive forces", "acceleration"]


def test_names_that_there_are_not_are_refused():
    with pytest.raises(LookupError, match="no model 'dog'; the models are inverted_pendulum"):
        validate_rigid(["dog"])
    assert not validate_rigid([]).passed
