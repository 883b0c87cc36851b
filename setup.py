"""Lists the packages, so that a new sub-package is in the wheel without being named anywhere.

Everything else is declared in pyproject.toml.
"""

import tomllib
from pathlib import Path

from setuptools import find_packages, setup


def packages() -> list[str]:
    """Names of all packages under the folders of `[tool.setuptools.package-dir]`."""
    root = Path(__file__).parent
    declared = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    folders = declared["tool"]["setuptools"]["package-dir"]
    return [
        name
        for package, folder in folders.items()
        for name in [package, *(f"{package}.{inner}" for inner in find_packages(str(root / folder)))]
    ]


setup(packages=packages())
