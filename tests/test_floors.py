"""The floors of the house, read from the import statements: imports only ever point down.

core < solvers < physics < sim < validation < worldline
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from source_tree import FLOORS, PYPROJECT, ROOT, library_files, module_name, syntax_tree

FOLDERS_OUTSIDE = ("tests", "examples", "benchmarks", "docs")
# What tests may import beside `worldline` itself; examples and benchmarks use the front door alone.
PUBLIC_SUBMODULES = ("worldline.core", "worldline.ode", "worldline.solvers", "worldline.validation")
# Some rooms are tested stage by stage; their stages are public to nobody else.
STAGES = {
    ("core", "lanes"): "worldline.core.lanes",
    ("fit",): "worldline.sim.fit",
    ("md",): "worldline.physics.md.neighborhood",
    ("md_forces",): "worldline.physics.md",
    ("rigid",): "worldline.physics.rigid",
    ("rigid_collision",): "worldline.physics.rigid.collision",
}

MODULES = {module_name(path) for path in library_files()}


def absolute_target(importer: Path, node: ast.ImportFrom) -> str:
    """Dotted name a `from ... import` statement points to, with its leading dots resolved."""
    if node.level == 0:
        return node.module or ""
    name = module_name(importer).split(".")
    package = name if importer.name == "__init__.py" else name[:-1]
    # One dot is the package itself; each further dot goes up one.
    assert node.level <= len(package), f"{importer}:{node.lineno} reaches above the package"
    base = package[: len(package) - (node.level - 1)]
    return ".".join([*base, *(node.module.split(".") if node.module else [])])


def imported_modules(path: Path) -> Iterator[tuple[int, str]]:
    """Line and dotted name of every module a file imports, wherever in the file the statement stands."""
    for node in ast.walk(syntax_tree(path)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            target = absolute_target(path, node)
            for alias in node.names:
                # `from .. import core` names a module, `from ..core import scan` a thing inside one.
                named = f"{target}.{alias.name}"
                yield node.lineno, named if named in MODULES else target


def room(module: str) -> tuple[str, ...]:
    """Names below `worldline`: ("physics", "ode", "system"); ("worldline", ...) for the front door itself."""
    parts = module.split(".")[1:]
    return tuple(parts) if parts and parts[0] in FLOORS else ("worldline", *parts)


def downward_fault(importer: str, target: str) -> str | None:
    """What is wrong with one import inside the package, or None."""
    here, there = room(importer), room(target)
    if FLOORS.index(there[0]) > FLOORS.index(here[0]):
        return f"{here[0]} is below {there[0]} and may not import it"
    both_physics = here[0] == there[0] == "physics" and len(here) > 1 and len(there) > 1
    if both_physics and here[1] != there[1] and is_engine(here[1]) and is_engine(there[1]):
        return f"the engines physics/{here[1]} and physics/{there[1]} may not import each other"
    return None


def is_engine(name: str) -> bool:
    """Whether `physics/<name>` is a folder, one of the engines."""
    return (ROOT / "physics" / name).is_dir()


def outside_files() -> list[Path]:
    """Python files that use the package without being part of it."""
    return sorted(
        path.relative_to(ROOT)
        for folder in FOLDERS_OUTSIDE
        for path in (ROOT / folder).rglob("*.py")
        if "__pycache__" not in path.parts
    )


def test_imports_point_down() -> None:
    faults = []
    for path in library_files():
        for line, target in imported_modules(path):
            if target.split(".")[0] == "worldline" and (fault := downward_fault(module_name(path), target)):
                faults.append(f"{path}:{line} imports {target}: {fault}")
    assert not faults, "\n".join(faults)


def test_the_library_imports_its_own_parts_relatively() -> None:
    faults = [
        f"{path}:{node.lineno}"
        for path in library_files()
        for node in ast.walk(syntax_tree(path))
        for name in absolute_names(node)
        if name.split(".")[0] in FLOORS
    ]
    assert not faults, "write `from ..core.status import Status`, with dots, at\n" + "\n".join(faults)


def absolute_names(node: ast.AST) -> list[str]:
    """Modules named without leading dots by one statement."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.level == 0:
        return [node.module or ""]
    return []


def test_relative_imports_name_modules_that_exist() -> None:
    faults = [
        f"{path}:{line} imports {target}"
        for path in library_files()
        for line, target in imported_modules(path)
        if target.split(".")[0] == "worldline" and target not in MODULES
    ]
    assert not faults, "\n".join(faults)


def test_everything_else_uses_the_front_door() -> None:
    faults = []
    for path in outside_files():
        allowed = ("worldline", *(PUBLIC_SUBMODULES if path.parts[0] == "tests" else ()))
        for line, target in imported_modules_outside(path):
            if path.parts[0] == "tests" and target.startswith(STAGES.get(path.parts[1:-1], "-")):
                continue
            if target.split(".")[0] in FLOORS and target not in allowed:
                faults.append(f"{path}:{line} imports {target}; it may import {', '.join(allowed)}")
    assert not faults, "\n".join(faults)


def imported_modules_outside(path: Path) -> Iterator[tuple[int, str]]:
    """Like `imported_modules`, for files that have no place in the package."""
    for node in ast.walk(syntax_tree(path)):
        for name in absolute_names(node):
            yield node.lineno, name


def test_third_party_imports_at_module_level_are_dependencies() -> None:
    """What is only in an extra, matplotlib say, is imported inside the function that needs it."""
    declared = {re.split(r"[^A-Za-z0-9_]", line)[0] for line in PYPROJECT["project"]["dependencies"]}
    faults = [
        f"{path}:{node.lineno} imports {name}"
        for path in library_files()
        for node in statements_run_at_import(syntax_tree(path).body)
        for name in absolute_names(node)
        if name.split(".")[0] not in declared | sys.stdlib_module_names | {"worldline"}
    ]
    assert not faults, "\n".join(faults)


def statements_run_at_import(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements of a module outside functions and `if TYPE_CHECKING:`."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            yield from statements_run_at_import(node.orelse)
            continue
        yield node
        for part in ("body", "orelse", "finalbody", "handlers"):
            for inner in getattr(node, part, []):
                yield from statements_run_at_import(
                    inner.body if isinstance(inner, ast.ExceptHandler) else [inner]
                )


@pytest.mark.parametrize(
    ("importer", "target", "allowed"),
    [
        ("worldline.solvers.events", "worldline.core.status", True),
        ("worldline.core.loops", "worldline.solvers.events", False),
        ("worldline.sim.simulate", "worldline.physics.ode.system", True),
        ("worldline.physics.ode.system", "worldline.sim.simulate", False),
        ("worldline.validation.report", "worldline", False),
        ("worldline.command_line", "worldline.validation.report", True),
        ("worldline.core.loops", "worldline.core.status", True),
    ],
)
def test_the_rule_itself(importer: str, target: str, allowed: bool) -> None:
    assert (downward_fault(importer, target) is None) is allowed


def test_relative_imports_resolve_as_python_does() -> None:
    statement = ast.parse("from ..core import status").body[0]
    assert isinstance(statement, ast.ImportFrom)
    assert absolute_target(Path("solvers/events.py"), statement) == "worldline.core"
    assert absolute_target(Path("solvers/__init__.py"), statement) == "worldline.core"
    assert absolute_target(Path("physics/ode/system.py"), statement) == "worldline.physics.core"
