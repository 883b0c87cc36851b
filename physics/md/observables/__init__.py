"""What is measured of particles: functions of (system, state), correlations in time, and averages with errors."""

from .averages import Estimate, block_average, statistical_inefficiency
from .correlation import Correlation, autocorrelation, mean_squared_displacement, velocity_autocorrelation
from .energies import energy_parts, kinetic_energy, potential_energy, temperature, total_energy
from .pressure import pressure, stress
from .radial_distribution import RadialDistribution
from .running import RunningAverage, RunningCorrelation
from .transport import (
    diffusion_from_displacement,
    diffusion_from_velocity,
    shear_components,
    viscosity_from_stress,
)

__all__ = [
    "Correlation",
    "Estimate",
    "RadialDistribution",
    "RunningAverage",
    "RunningCorrelation",
    "autocorrelation",
    "block_average",
    "diffusion_from_displacement",
    "diffusion_from_velocity",
    "energy_parts",
    "kinetic_energy",
    "mean_squared_displacement",
    "potential_energy",
    "pressure",
    "shear_components",
    "statistical_inefficiency",
    "stress",
    "temperature",
    "total_energy",
    "velocity_autocorrelation",
    "viscosity_from_stress",
]
