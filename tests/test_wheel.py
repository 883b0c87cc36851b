"""The wheel holds the whole package: built from a copy, installed alone, every module imported.

The checkout is installed editable where the tests run, so the import happens in a process that never reads
the `.pth` files of the environment and looks in the folder of the installed wheel first.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from source_tree import PACKAGE_FOLDERS, PYPROJECT, ROOT, library_files, module_name

IMPORT_EVERYTHING = """
import importlib, json, sys
target, third_party, modules = json.loads(sys.stdin.read())
sys.path[:0] = [target, *third_party]
files = {}
for name in modules:
    try:
        files[name] = importlib.import_module(name).__file__
    except Exception as error:
        files[name] = f"{type(error).__name__}: {error}"
print("RESULT" + json.dumps(files))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout, built in a copy so that nothing left by earlier builds gets in."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for name in PACKAGE_FOLDERS.values():
        shutil.copytree(ROOT / name, source / name, ignore=ignored)
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    command = [
        sys.executable,
        "-m",
        "build",
        "--wheel",
        "--no-isolation",
        "--outdir",
        str(folder),
        str(source),
    ]
    built = subprocess.run(command, capture_output=True, text=True)
    assert built.returncode == 0, built.stdout + built.stderr
    (path,) = folder.glob("worldline-*.whl")
    return path


def installed_path(path: Path) -> str:
    """Where a library file lies in the wheel: `core/status.py` is `worldline/core/status.py`."""
    return path.as_posix() if path.parts[0] == "worldline" else f"worldline/{path.as_posix()}"


def test_the_wheel_holds_exactly_the_source_tree(wheel: Path) -> None:
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    expected = {
        installed_path(path.relative_to(ROOT))
        for folder in PACKAGE_FOLDERS.values()
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".md"
    }
    missing, surplus = sorted(expected - packed), sorted(packed - expected)
    assert not missing, f"not in the wheel (an __init__.py or package-data entry is missing): {missing}"
    assert not surplus, f"in the wheel but not in the source tree: {surplus}"


def test_every_module_imports_from_the_wheel_alone(wheel: Path, tmp_path: Path) -> None:
    target = tmp_path / "installed"
    install = ["install", "--quiet", "--no-deps", "--no-index", "--target", str(target), str(wheel)]
    subprocess.run([sys.executable, "-m", "pip", *install], check=True)
    third_party = [p for p in sys.path if Path(p).name in ("site-packages", "dist-packages")]
    # Importing __main__ would run the program.
    modules = [module_name(path) for path in library_files() if path.name != "__main__.py"]

    # -S: no .pth file is read, so the editable install does not exist for this process; -I: nor the checkout.
    run = subprocess.run(
        [sys.executable, "-I", "-S", "-c", IMPORT_EVERYTHING],
        input=json.dumps([str(target), third_party, modules]),
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    files = json.loads(run.stdout.rpartition("RESULT")[2])
    assert set(files) == set(modules) and "worldline.core" in files
    wrong = {name: file for name, file in files.items() if not str(file).startswith(str(target))}
    assert not wrong, f"not imported from the wheel: {wrong}"


def test_the_command_named_in_the_wheel_exists(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    (entry_points,) = [name for name in archive.namelist() if name.endswith(".dist-info/entry_points.txt")]
    script = PYPROJECT["project"]["scripts"]["worldline"]
    assert f"worldline = {script}" in archive.read(entry_points).decode()
    module = script.partition(":")[0].replace(".", "/")
    assert f"{module}.py" in archive.namelist()


def test_the_checkout_is_what_the_tests_import(tmp_path: Path) -> None:
    """The editable install maps the top-level folders live: each package is the folder itself."""
    names = list(PACKAGE_FOLDERS)
    program = f"import importlib; print([importlib.import_module(n).__file__ for n in {names}])"
    run = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 0, f"{run.stderr}\nInstall the checkout: pip install --editable '.[test]'"
    folders = PACKAGE_FOLDERS.values()
    assert run.stdout.strip() == str([str(ROOT / folder / "__init__.py") for folder in folders])
