"""How the validation judges ensembles: samples of known distributions pass, others fail; short runs of the thermostats."""

import numpy as np
import pytest

from worldline.validation import md_ensembles, validate_md_ensembles

COUNT, MOTIONS = 2000, md_ensembles.BATHS["VelocityRescaling"].motions


def drawn(temperature, scale=1.0, seed=0):
    """Samples of particles whose kinetic and potential energies are both those of free oscillators."""
    random = np.random.default_rng(seed)
    kinetic, potential = random.gamma(MOTIONS / 2, scale * temperature, (2, COUNT))
    volume = np.full(COUNT, md_ensembles.ATOMS / md_ensembles.DENSITY)
    return md_ensembles.Samples(kinetic, potential, volume, temperature, 0.9)


def test_a_gamma_distribution_passes_and_one_of_another_temperature_does_not():
    assert md_ensembles.check_kinetic("good", "VelocityRescaling", lambda: drawn(1.2)).passed
    bad = md_ensembles.check_kinetic("bad", "VelocityRescaling", lambda: drawn(1.2, 1.02))
    assert not bad.passed and not any(check.passed for check in bad.checks if check.quantity != "K width")


def test_pairs_of_canonical_samples_pass_and_others_do_not():
    judge = lambda hot: md_ensembles.check_pair("pair", "VelocityRescaling", lambda: drawn(1.2), lambda: hot)
    assert judge(drawn(1.3, seed=1)).passed
    assert not any(check.passed for check in judge(drawn(1.3, 1.05, seed=1)).checks)


def test_slope_of_a_ratio_of_two_normal_distributions():
    random = np.random.default_rng(2)
    slope, error = md_ensembles.slope_of_ratio(random.normal(3.0, 2.0, 4000), random.normal(4.0, 2.0, 3000))
    assert abs(slope - 1.0 / 2.0**2) < 3 * error < 0.06


def test_samples_are_judged_without_the_package_too(monkeypatch):
    monkeypatch.setattr(md_ensembles.util, "find_spec", lambda name: None)
    row = md_ensembles.check_kinetic("good", "VelocityRescaling", lambda: drawn(1.2))
    assert row.passed and row.facts[md_ensembles.PACKAGE] == "not installed" and len(row.checks) == 3


@pytest.mark.slow
@pytest.mark.parametrize("bath", md_ensembles.BATHS)
def test_few_replicas_of_each_bath(monkeypatch, bath):
    monkeypatch.setattr(md_ensembles, "sampler", lambda make=md_ensembles.sampler: make(48))
    report = validate_md_ensembles([f"{bath}, kinetic energy, cold"])
    assert report.passed, str(report)


def test_names_that_there_are_not_are_refused():
    with pytest.raises(LookupError, match="no problem 'dog'; the problems are Langevin, kinetic energy, cold;"):
        validate_md_ensembles(["dog"])
