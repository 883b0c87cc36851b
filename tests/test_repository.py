"""House rules that can be read from the files: sizes, names, documentation, words that do not belong."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from source_tree import PYPROJECT, ROOT, library_files, repository_files, syntax_tree

import worldline as wl

Function = ast.FunctionDef | ast.AsyncFunctionDef

LINES_IN_A_FILE = 400
LINES_IN_A_FUNCTION = 80
BYTES_IN_A_FILE = 1_000_000

NAMES_THAT_SAY_NOTHING = {"utils", "util", "helpers", "helper", "common", "misc"}

# Hosts of package registries and absolute paths of some machine. Each is written in two pieces, so that this
# file holds none of them.
FOREIGN_WORDS = [
    first + second
    for first, second in [
        ("py", r"pi\.org"),
        ("python", "hosted"),
        (r"registry\.n", r"pmjs"),
        (r"deb\.deb", "ian"),
        ("/ho", r"me/\w"),
        ("/ro", "ot/"),
        ("/Us", r"ers/\w"),
        ("/wo", "rk/"),
        (r"[A-Z]:\\Us", "ers"),
        ("/tmp", r"/\w"),
    ]
]
BANNER = re.compile(r"^\s*#\s*([-=#*~])\1{4,}")


def report(faults: list[str]) -> None:
    """Fail with one fault a line."""
    assert not faults, f"{len(faults)} found:\n" + "\n".join(faults)


def functions(path: Path) -> Iterator[Function]:
    """Every function and method of a file, nested ones included."""
    for node in ast.walk(syntax_tree(path)):
        if isinstance(node, Function):
            yield node


def public_definitions(body: list[ast.stmt]) -> Iterator[Function | ast.ClassDef]:
    """Functions and classes of one level whose names have no leading underscore."""
    for node in body:
        named = isinstance(node, Function | ast.ClassDef)
        if named and not node.name.startswith("_"):
            yield node


def text_files() -> Iterator[tuple[Path, str]]:
    """Every committed file that is text, with its text."""
    for path in repository_files():
        try:
            yield path, (ROOT / path).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue


def test_library_files_are_short() -> None:
    counts = {path: (ROOT / path).read_text(encoding="utf-8").count("\n") for path in library_files()}
    report([f"{path} has {lines} lines" for path, lines in counts.items() if lines > LINES_IN_A_FILE])


def test_functions_are_short() -> None:
    report(
        [
            f"{path}:{node.lineno} {node.name} has {node.end_lineno - node.lineno + 1} lines"
            for path in library_files()
            for node in functions(path)
            if node.end_lineno and node.end_lineno - node.lineno + 1 > LINES_IN_A_FUNCTION
        ]
    )


def test_every_module_says_what_it_is_for() -> None:
    report([str(path) for path in library_files() if not ast.get_docstring(syntax_tree(path))])


def test_public_names_are_documented() -> None:
    report(
        [
            f"{path}:{node.lineno} {name}"
            for path in library_files()
            for name, node in public_names(syntax_tree(path).body)
            if not ast.get_docstring(node)
        ]
    )


def public_names(body: list[ast.stmt]) -> Iterator[tuple[str, Function | ast.ClassDef]]:
    """Public functions and classes, and the public methods of those classes."""
    for node in public_definitions(body):
        yield node.name, node
        if isinstance(node, ast.ClassDef):
            yield from ((f"{node.name}.{method.name}", method) for method in public_definitions(node.body))


def test_methods_are_seen() -> None:
    source = "class A:\n  def seen(self): ...\n  def _not(self): ...\nclass _B:\n  def nor(self): ...\ndef f(): ...\n"
    assert [name for name, _ in public_names(ast.parse(source).body)] == ["A", "A.seen", "f"]


def test_the_version_is_the_same_everywhere() -> None:
    assert wl.__version__ == PYPROJECT["project"]["version"] == metadata.version("worldline")


def test_public_signatures_are_annotated() -> None:
    faults = []
    for path in library_files():
        # Equations of the zoo are written as a user writes them; the public name there is `problem`.
        if path.parent == Path("physics/ode/zoo"):
            continue
        top = list(public_definitions(syntax_tree(path).body))
        methods = [m for c in top if isinstance(c, ast.ClassDef) for m in public_definitions(c.body)]
        for node in [*top, *methods]:
            if isinstance(node, ast.ClassDef):
                continue
            arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            bare = [a.arg for a in arguments if a.annotation is None and a.arg not in ("self", "cls")]
            bare += ["the result"] if node.returns is None else []
            faults += [f"{path}:{node.lineno} {node.name}: {', '.join(bare)}"] if bare else []
    report(faults)


def test_files_have_names_that_say_something() -> None:
    report([str(p) for p in repository_files() if NAMES_THAT_SAY_NOTHING & {*p.parts, p.stem}])


def test_no_banners() -> None:
    report(
        [
            f"{path}:{number} {line.strip()[:60]}"
            for path, text in text_files()
            if path.suffix == ".py"
            for number, line in enumerate(text.splitlines(), 1)
            if BANNER.match(line)
        ]
    )


def test_the_library_never_pickles() -> None:
    pattern = re.compile(r"\bimport pickle\b|\bfrom pickle\b|allow_pickle\s*=\s*True")
    report(
        [str(path) for path in library_files() if pattern.search((ROOT / path).read_text(encoding="utf-8"))]
    )


def test_no_hosts_and_no_paths_of_some_machine() -> None:
    pattern = re.compile("|".join(FOREIGN_WORDS), re.IGNORECASE)
    report(
        [
            f"{path}:{number} {found.group()}"
            for path, text in text_files()
            for number, line in enumerate(text.splitlines(), 1)
            if (found := pattern.search(line))
        ]
    )


def test_files_are_small() -> None:
    sizes = {path: (ROOT / path).stat().st_size for path in repository_files()}
    report([f"{path} has {size} bytes" for path, size in sizes.items() if size > BYTES_IN_A_FILE])


@pytest.mark.parametrize(
    "word", ["https://files.python" + "hosted.org/x", "/home" + "/someone/x", "/root" + "/x"]
)
def test_foreign_words_are_recognised(word: str) -> None:
    assert re.search("|".join(FOREIGN_WORDS), word, re.IGNORECASE)
