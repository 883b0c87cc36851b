"""What the checkout holds, as the tests of its structure see it."""

from __future__ import annotations

import ast
import subprocess
import tomllib
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))

# "worldline.core" -> "core" and so on, the front door last: also the order of the floors.
PACKAGE_FOLDERS: dict[str, str] = PYPROJECT["tool"]["setuptools"]["package-dir"]
FLOORS = ("core", "solvers", "physics", "sim", "validation", "worldline")


def library_files() -> list[Path]:
    """Every Python file of the package, relative to the checkout."""
    return sorted(
        path.relative_to(ROOT)
        for folder in PACKAGE_FOLDERS.values()
        for path in (ROOT / folder).rglob("*.py")
        if "__pycache__" not in path.parts
    )


def module_name(path: Path) -> str:
    """Dotted name a library file is imported under: `core/status.py` is `worldline.core.status`."""
    parts = list(path.with_suffix("").parts)
    if parts[0] != "worldline":
        parts.insert(0, "worldline")
    if parts[-1] == "__init__":
        parts.pop()
    return ".".join(parts)


@cache
def syntax_tree(path: Path) -> ast.Module:
    """Parsed source of a file given relative to the checkout."""
    return ast.parse((ROOT / path).read_text(encoding="utf-8"), filename=str(path))


def repository_files() -> list[Path]:
    """Every file that is or could be committed, relative to the checkout."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return sorted(Path(name) for name in listed.split("\0") if name and (ROOT / name).is_file())
