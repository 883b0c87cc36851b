"""The validation of the rigid-body engine: it passes, and it fails where something is wrong."""

import pytest

import worldline as wl
from worldline.validation import check_rigid, check_rigid_runs, rigid_vs_mujoco, validate_rigid, validate_rigid_runs

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


def test_runs_with_limits_and_contact_agree_with_the_c_library():
    row = check_rigid_runs("hopper", path("hopper"), states=200, seconds=0.1)
    assert row.passed, row.verdict
    assert row.facts["contacts"] > 3 and row.facts["touching"] != "0%"


@pytest.mark.slow
@pytest.mark.parametrize("name", rigid_vs_mujoco.MODELS)
def test_runs_of_the_robots_agree_with_the_c_library(name):
    row = check_rigid_runs(name, path(name), states=200, seconds=0.5)
    assert row.passed, row.verdict


def test_runs_of_a_model_with_contacts_that_are_not_simulated_fail_by_name(monkeypatch):
    monkeypatch.setattr("worldline.physics.rigid.features.PAIRS", {})
    report = validate_rigid_runs(["hopper"])
    assert not report.passed and "plane with capsule ('floor', 'torso_geom')" in report.rows[0].failure


def test_a_wrong_model_is_noticed_where_it_is(monkeypatch):
    load = wl.rigid.load

    def heavier(path, **options):
        model = load(path, **options)
        return model.replace({"mid.mass": model.parameters["mid.mass"] * (1 + 1e-6)})

    monkeypatch.setattr(rigid_vs_mujoco.rigid, "load", heavier)
    row = check_rigid("swimmer", path("swimmer"), states=5)
    failed = [check.quantity for check in row.checks if not check.passed]
    assert failed == ["mass matrix", "bias forces", "passive forces", "acceleration"]


def test_names_that_there_are_not_are_refused():
    with pytest.raises(LookupError, match="no model 'dog'; the models are inverted_pendulum"):
        validate_rigid(["dog"])
    assert not validate_rigid([]).passed
