"""Settings and fixtures every test sees: float64 unless a test asks otherwise."""

from pathlib import Path

import jax
import pytest

# Set in this process only: a subprocess started by a test sees the library as a user would.
jax.config.update("jax_enable_x64", True)


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
