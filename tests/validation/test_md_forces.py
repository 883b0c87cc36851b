"""Interactions of molecules beside stored numbers of LAMMPS and OpenMM; and that the validation notices what is wrong."""

import copy

import pytest

from worldline.validation import md_forces, validate_md_forces

FEW = ["bonds, FENE", "OpenMM: angles of chains"]


def test_two_interactions_agree_with_the_programs():
    seen = []
    report = validate_md_forces(FEW, progress=seen.append)
    assert report.passed, str(report)
    assert seen == list(report.rows)


@pytest.mark.slow
@pytest.mark.parametrize("name", md_forces.PROBLEMS)
def test_every_interaction_agrees_with_the_programs(name):
    report = validate_md_forces([name])
    assert report.passed, str(report)


@pytest.mark.parametrize("quantity", ["energy", "forces", "virial"])
def test_another_number_is_noticed(monkeypatch, quantity):
    kept = copy.deepcopy(md_forces.md_peers.stored())
    place = kept["lammps"][FEW[0]]["chains"]
    if quantity == "energy":
        place["energy"] *= 1 + 1e-8
    else:
        largest = max(abs(x) for row in place[quantity] for x in row)
        place[quantity][1][2] += 1e-8 * largest
    monkeypatch.setattr(md_forces.md_peers, "stored", lambda: kept)
    report = validate_md_forces(FEW[:1])
    assert [check.quantity for check in report.rows[0].checks if not check.passed][0] == quantity


def test_a_program_that_is_not_there_is_said_to_be_missing(monkeypatch):
    monkeypatch.setattr(md_forces.md_peers, "installed", lambda program: False)
    report = validate_md_forces(FEW)
    assert report.passed and all(row.facts["run here"] == "not installed" for row in report.rows)


def test_names_that_there_are_not_are_refused():
    with pytest.raises(LookupError, match="no problem 'dog'; the problems are Lennard-Jones, cut;"):
        validate_md_forces(["dog"])
