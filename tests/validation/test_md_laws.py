"""Laws of motion of molecules as the validation checks them; and that it notices what is wrong."""

import pytest

from worldline.validation import md_laws, validate_md_laws


def test_steps_are_of_order_two_and_another_order_is_noticed(monkeypatch):
    report = validate_md_laws([md_laws.ORDER_NAME])
    assert report.passed, str(report)
    monkeypatch.setattr(md_laws, "ORDER", 3)
    assert not validate_md_laws([md_laws.ORDER_NAME]).passed


@pytest.mark.slow
@pytest.mark.parametrize("name", [md_laws.LISTS_NAME, md_laws.REVERSAL_NAME])
def test_laws_hold_with_lists_of_neighbors(name):
    report = validate_md_laws([name])
    assert report.passed, str(report)


@pytest.mark.slow
def test_energy_and_momentum_stay_over_a_shorter_run_and_drift_is_noticed(monkeypatch):
    monkeypatch.setattr(md_laws, "DRIFT_LARGEST", 1e-5)  # of a hundredth of the time, in which a slope has more scatter
    row = md_laws.check_drift(samples=100, apart=100)
    assert row.passed, row.verdict
    monkeypatch.setattr(md_laws, "DRIFT_LARGEST", 0.0)
    assert not md_laws.check_drift(samples=100, apart=100).passed


def test_names_that_there_are_not_are_refused():
    with pytest.raises(LookupError, match="no problem 'dog'; the problems are order of positions and energy;"):
        validate_md_laws(["dog"])
