"""Settings and fixtures every test sees: float64 unless a test asks otherwise."""

from pathlib import Path

import jax
import pytest

# Set in this process only: a subprocess started by a test sees the library as a user would.
jax.config.update("jax_enable_x64", True)


# Of tests with several cases those that take long, beside quicker ones of the same test.
SLOW_CASES = (
    "test_minimum.py::test_many_particles_with_lists_that_grow[fire]",
    "test_minimum.py::test_many_particles_with_lists_that_grow[lbfgs]",
    "test_minimum.py::test_overlapping_particles_leave_each_other[fire]",
    "test_runs.py::test_derivatives_of_a_run_by_temperature_and_sigma_three_ways[nose_hoover]",
    "test_runs.py::test_an_ensemble_over_temperatures_is_its_runs[velocity_rescaling]",
    "test_runs.py::test_an_ensemble_over_temperatures_is_its_runs[brownian]",
    "test_radial_distribution.py::test_an_ideal_gas_has_no_structure[False]",
    "test_radial_distribution.py::test_recorded_while_running[2.4]",
    "test_radial_distribution.py::test_counts_are_those_of_a_loop_over_all_pairs_and_images[160-True-2.3]",
    "test_radial_distribution.py::test_counts_are_those_of_a_loop_over_all_pairs_and_images[160-periodic17-2.3]",
    "test_stillinger_weber.py::test_silicon_agrees_with_loops[pairs-narrow]",
    "test_stillinger_weber.py::test_two_species_agree_with_loops[pairs-narrow]",
    "test_neighbors.py::test_hundreds_of_steps_end_with_the_right_neighbors[False]",
    "md/test_runs.py::test_derivatives_of_a_run_forward_reverse_and_by_differences[pairs]",
    "md/test_runs.py::test_particles_in_one_place_or_a_step_too_large_end_in_a_status[4]",
    "md/test_runs.py::test_what_is_recorded_is_measured_of_the_states[pairs]",
    "md/test_runs.py::test_two_runs_are_one_and_steps_are_counted[pairs]",
    "test_minimum.py::test_overlapping_particles_leave_each_other[lbfgs]",
    "test_sums.py::test_gradients_are_slopes_of_finite_differences[pairs-2]",
    "test_sums.py::test_gradients_are_slopes_of_finite_differences[rows-2]",
    "test_sums.py::test_gradients_are_slopes_of_finite_differences[rows-3]",
    "test_sums.py::test_in_lanes_the_sums_are_the_same[True]",
    "md/test_rows_on_xla.py::test_rows_of_several_chunks_hold_crowds[float32]",
    "md/test_runs.py::test_two_runs_are_one_and_steps_are_counted[rows]",
    "md/test_runs.py::test_what_is_recorded_is_measured_of_the_states[rows]",
    "test_sums.py::test_a_pair_function_of_both_kinds_and_no_parity[rows]",
    "test_diffrax_bridge.py::test_a_field_that_ends_and_one_that_never_begins[diffrax]",
    "test_rigid_fit.py::test_pieces_of_a_record_give_the_parameters_that_made_it[alike]",
    "test_events.py::test_time_and_state_of_landing_and_their_derivatives[reverse-tsit5]",
    "test_contact.py::test_derivatives_in_lanes[7]",
    "test_contact.py::test_derivatives_in_closed_form[0.0-inf-0.7-inside]",
    "test_contact.py::test_lanes_agree_with_vmap[11-150]",
    "test_signals.py::test_an_array_has_a_row_for_each_step[tsit5]",
    "test_signals.py::test_a_policy_sees_the_state[kvaerno5]",
    "test_convex.py::test_degenerate_poses_have_numbers_and_derivatives[float64-capsule-cylinder]",
    "test_rigid_laws.py::test_laws_hold[free body, rk4]",
    "test_stiffness.py::test_problems_that_are_not_stiff_do_not_switch[kepler]",
    "test_compositions.py::test_loops_inside_the_transformations[while]",
    "test_lanes.py::test_transformations_around[hessian]",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark slow cases."""
    for item in items:
        if item.nodeid.endswith(SLOW_CASES):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def root() -> Path:
    """The top folder of the checkout."""
    return Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared(root: Path) -> Path:
    """The folder of measured data beside the checkout; tests that need it are skipped where it is absent."""
    folder = root.parent / "shared"
    if not folder.is_dir():
        pytest.skip("needs the data folder ../shared beside the checkout, which is not here")
    return folder


@pytest.fixture
def in_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few particles have rows of neighbors, as many have."""
    monkeypatch.setattr("worldline.physics.md.neighborhood.capacity.MOST_PARTICLES_IN_PAIRS", 0)


@pytest.fixture(params=["pairs", pytest.param("rows", marks=pytest.mark.slow)])
def layout(request: pytest.FixtureRequest) -> str:
    """All pairs of few particles, or rows of neighbors."""
    if request.param == "rows":
        request.getfixturevalue("in_rows")
    return request.param
