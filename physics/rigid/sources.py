"""Model files made safe to compile: one XML tree without includes, and the bytes of every file that it names.

MuJoCo is given nothing but what this module has read: it opens no file itself. So whatever a model says, only files in
its own folder are read, and entities, endless nesting and sizes that would fill the memory are refused beforehand.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from xml.parsers import expat

_MOST_BYTES = 256 * 2**20  # of a model and all that belongs to it
_DEEPEST = 100  # elements in elements
_MOST_ELEMENTS = 200_000
_MOST_COPIES = 10_000  # of replicated elements
_MOST_CELLS = 2**26  # of height fields and textures
_MOST_USER_NUMBERS = 10_000

# Elements of no effect on motion, which are not compiled: drawing, measuring, stored states.
_NOT_READ = ("visual", "statistic", "keyframe", "custom", "sensor", "size")
_FILES = ("file", "fileright", "fileleft", "fileup", "filedown", "filefront", "fileback")
_FOLDERS = {"mesh": "meshdir", "skin": "meshdir", "hfield": "meshdir", "texture": "texturedir"}


@dataclass
class Source:
    """A model as text, with its files under the names that the text gives them."""

    text: str
    files: dict[str, bytes]


@dataclass
class _Reader:
    path: Path
    folder: Path
    included: set[Path] = field(default_factory=set)
    names: dict[Path, str] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    total: int = 0


def read_source(path: Path, folder: Path | None = None) -> Source:
    """The model in a file. `folder`: where files that belong to it may lie; the default is the folder of the file.

    **Raises** `FileNotFoundError`, `OSError`, and `ValueError` for what is not well-formed, too large or outside.
    """
    if not path.is_file():
        found = f"{str(path)!r} is a folder" if path.is_dir() else f"there is no file {str(path)!r}"
        raise FileNotFoundError(
            f"{found}; wl.rigid.load needs the path of an MJCF or URDF file."
        )
    reader = _Reader(path, (folder or path.parent).resolve())
    root = _tree(reader, path)
    if root.tag == "mujoco":
        _include(reader, root)
        for tag in _NOT_READ:
            for element in root.findall(tag):
                _keep_user_numbers(reader, root, element)
        compilers = root.findall("compiler")
        for compiler in compilers:
            for ranges in compiler.findall("lengthrange"):
                compiler.remove(ranges)  # for muscles: found by simulating for as long as it says
    elif root.tag == "robot":
        compilers = root.findall("mujoco/compiler")
        if not any(compiler.get("discardvisual") == "false" for compiler in compilers):
            for parent in list(root.iter("link")):
                for seen in parent.findall("visual"):
                    parent.remove(seen)
    else:
        raise ValueError(
            f"{path} is no model: its outermost element is <{root.tag}>, that of MJCF <mujoco>, of URDF <robot>."
        )
    _check_sizes(reader, root)
    _collect(reader, root, compilers)
    return Source(ET.tostring(root, encoding="unicode"), reader.files)


def _bytes(reader: _Reader, path: Path) -> bytes:
    size = path.stat().st_size
    reader.total += size
    if reader.total > _MOST_BYTES:
        raise ValueError(f"{reader.path} and the files that it names are larger than {_MOST_BYTES >> 20} MB.")
    return path.read_bytes()


def _tree(reader: _Reader, path: Path) -> ET.Element:
    """The elements of an XML file, parsed without entities and to a bounded depth."""
    data = _bytes(reader, path)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not text in UTF-8: {error.reason} at byte {error.start}.") from None
    # Comments may hold anything for MuJoCo, also what XML forbids there; lines keep their numbers.
    text = re.sub(r"<!--.*?-->", lambda found: "\n" * found[0].count("\n"), text, flags=re.DOTALL)
    if "<!" in text:
        raise ValueError(f"{path} declares a document type, entities or raw text (<!...), which models do not need.")
    builder, depth, count = ET.TreeBuilder(), 0, 0

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal depth, count
        depth, count = depth + 1, count + 1
        if depth > _DEEPEST or count > _MOST_ELEMENTS:
            raise ValueError(f"{path} has more than {_DEEPEST} levels of elements or {_MOST_ELEMENTS} elements.")
        builder.start(tag, attributes)

    def end(tag: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(tag)

    parser = expat.ParserCreate("utf-8")
    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = start, end, builder.data
    try:
        parser.Parse(text.strip().encode(), True)
    except expat.ExpatError as error:
        reason = expat.ErrorString(error.code)
        line = error.lineno + text[: len(text) - len(text.lstrip())].count("\n")
        raise ValueError(f"{path} is not well-formed XML: {reason}, line {line}.") from None
    return builder.close()


def _include(reader: _Reader, root: ET.Element) -> None:
    """Puts the elements of included files in the place of <include>."""
    found = _find_include(root)
    while found is not None:
        parent, place = found
        path = _inside(reader, parent[place].get("file") or "", "")
        if path in reader.included or path == reader.path.resolve():
            raise ValueError(f"{reader.path} includes {path.name} twice or in a circle.")
        reader.included.add(path)
        parent[place : place + 1] = list(_tree(reader, path))
        if sum(1 for _ in root.iter()) > _MOST_ELEMENTS or _depth(root) > _DEEPEST:
            raise ValueError(f"{reader.path} with what it includes has too many elements or levels.")
        found = _find_include(root)


def _find_include(root: ET.Element) -> tuple[ET.Element, int] | None:
    return next(
        ((parent, k) for parent in root.iter() for k, child in enumerate(parent) if child.tag == "include"), None
    )


def _depth(root: ET.Element) -> int:
    level, depth = [root], 0
    while level:
        level, depth = [child for element in level for child in element], depth + 1
    return depth


def _keep_user_numbers(reader: _Reader, root: ET.Element, element: ET.Element) -> None:
    """Takes an element out, of <size> all but how many user numbers elements have, which MuJoCo checks."""
    root.remove(element)
    kept = {name: value for name, value in element.attrib.items() if name.startswith("nuser_")}
    if element.tag == "size" and kept:
        if any(_whole(value) > _MOST_USER_NUMBERS for value in kept.values()):
            raise ValueError(f"{reader.path} gives elements more than {_MOST_USER_NUMBERS} user numbers.")
        root.append(ET.Element("size", kept))


def _whole(text: str | None) -> int:
    """A whole number of the file, 0 for what is none."""
    try:
        return int(float(text or 0))
    except (ValueError, OverflowError):
        return 0


def _check_sizes(reader: _Reader, root: ET.Element) -> None:
    """Refuses what a few words would make too large: copies of copies, grids of cells."""
    stack, made = [(root, 1)], 0
    while stack:
        element, copies = stack.pop()
        if element.tag == "replicate":
            copies *= max(_whole(element.get("count")), 1)
        made += copies
        if copies > _MOST_COPIES or made > _MOST_ELEMENTS:
            raise ValueError(f"{reader.path} replicates elements more than {_MOST_COPIES} times.")
        for first, second in (("nrow", "ncol"), ("width", "height")):
            if max(_whole(element.get(first)), 1) * max(_whole(element.get(second)), 1) > _MOST_CELLS:
                raise ValueError(f"{reader.path}: <{element.tag}> has more than {_MOST_CELLS} cells.")
        if element.tag in ("flexcomp", "composite", "flex") or (element.tag == "model" and element.get("file")):
            raise ValueError(f"{reader.path} uses <{element.tag}>, which worldline does not simulate.")
        stack += [(child, copies) for child in element]


def _collect(reader: _Reader, root: ET.Element, compilers: list[ET.Element]) -> None:
    """Reads every file that an element names, and names it anew, without folders."""
    options = {name: value for compiler in compilers for name, value in compiler.attrib.items()}
    for compiler in compilers:
        for name in ("meshdir", "texturedir", "assetdir", "strippath"):
            compiler.attrib.pop(name, None)
    strip = options.get("strippath", "true" if root.tag == "robot" else "false") == "true"
    for element, attribute in _named_files(root):
        given = element.get(attribute) or ""
        where = options.get(_FOLDERS.get(element.tag, "meshdir"), options.get("assetdir", ""))
        plain = given.removeprefix("package://").replace("\\", "/") if root.tag == "robot" else given
        path = _inside(reader, plain.rpartition("/")[2] if strip else plain, where)
        if path not in reader.names:
            reader.names[path] = f"file{len(reader.names)}{path.suffix.lower()}"
            reader.files[reader.names[path]] = _bytes(reader, path)
        element.set(attribute, reader.names[path])
        if element.tag in _FOLDERS and attribute == "file" and not element.get("name"):
            element.set("name", path.stem)


def _named_files(root: ET.Element) -> Iterator[tuple[ET.Element, str]]:
    for element in root.iter():
        for attribute in ("filename",) if root.tag == "robot" else _FILES:
            if attribute in element.attrib and not (root.tag == "robot" and element.tag != "mesh"):
                yield element, attribute


def _inside(reader: _Reader, name: str, where: str) -> Path:
    """The path of a file that belongs to the model. **Raises** where there is none, or it is outside the folder."""
    if not name or "\0" in name + where:
        raise ValueError(f"{reader.path} names a file {name!r}, which cannot be one.")
    path = (reader.path.parent / where / name).resolve()
    if not path.is_relative_to(reader.folder):
        raise ValueError(
            f"{reader.path} names the file {name!r}{f' in {where!r}' if where else ''}, which lies outside the model's folder "
            f"{str(reader.folder)!r}. If you trust the model, allow more with wl.rigid.load(path, folder=...)."
        )
    if not path.is_file():
        raise FileNotFoundError(f"{reader.path} names the file {name!r}, but there is no file {str(path)!r}.")
    return path
