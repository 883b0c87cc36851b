"""Published numbers of molecules as the validation checks them; and that it notices what is wrong or missing."""

import copy

import pytest

from worldline.validation import md_published, validate_md

FLUID, CRYSTAL = "Lennard-Jones, cut at 3", "Madelung constant of NaCl, skewed"


def test_a_fluid_and_a_crystal_have_the_published_energies(shared):
    report = validate_md([FLUID, CRYSTAL])
    assert report.passed, str(report)


@pytest.mark.slow
def test_all_published_numbers(shared):
    report = validate_md()
    assert report.passed, str(report)


@pytest.mark.parametrize(("entry", "by"), [("U", 1e-9), ("W", 0.002), ("U_long_range", 3e-5)])
def test_another_number_is_noticed(shared, monkeypatch, entry, by):
    wrong = copy.deepcopy(md_published.reference("lennard_jones"))
    wrong["config4"]["cut_3sigma"][entry] += by
    monkeypatch.setattr(md_published, "reference", lambda name: wrong)
    assert not validate_md([FLUID]).passed


def test_another_constant_is_noticed(monkeypatch):
    crystal = md_published.CRYSTALS["NaCl"]
    monkeypatch.setitem(md_published.CRYSTALS, "NaCl", crystal._replace(constant=crystal.constant + 1e-9))
    assert not validate_md([CRYSTAL]).passed


def test_rows_without_data_are_skipped_and_are_no_success(monkeypatch, tmp_path):
    monkeypatch.setattr(md_published, "SHARED", tmp_path)
    report = validate_md([FLUID])
    assert report.rows[0].verdict.startswith("skipped: ") and str(tmp_path) in report.rows[0].verdict
    assert not report.passed


def test_names_that_there_are_not_are_refused():
    with pytest.raises(LookupError, match="no problem 'dog'; the problems are Lennard-Jones, cut at 3;"):
        validate_md(["dog"])
