"""The second line of an extended XYZ frame: fields `key=value` with numbers, flags, quoted text and arrays.

Values that this form cannot hold, nested lists say, are written as JSON behind the word _JSON, as ASE does.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

# Three by three, column after column (the edges of the cell are columns there).
TENSORS = ("Lattice", "virial", "stress")
_NAMES = {"lattice": "Lattice", "properties": "Properties", "pbc": "pbc"}  # known in small and capital letters
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"|\'((?:[^\'\\]|\\.)*)\'|\{([^{}]*)\}|\[([^\[\]]*)\]')
_BARE = re.compile(r"[^\s=\"'{\[]+")
_REST = re.compile(r"\S*")
_SAFE = re.compile(r"[A-Za-z0-9_.+:/()|@%*-]+")
_EXTENDED = re.compile(r"(^|\s)(Lattice|Properties|pbc)\s*=", re.IGNORECASE)
_FLAGS = {"T": True, "True": True, "true": True, "TRUE": True, "F": False, "False": False, "false": False, "FALSE": False}


def read_comment(text: str) -> dict[str, Any]:
    """The fields of a comment line; a line that is no list of fields is the one field "comment".

    A key without a value is True. **Raises** `ValueError` for quotes that are not closed in an extended line.
    """
    text = text.strip()
    extended = _EXTENDED.search(text) is not None
    try:
        fields = list(_fields(text))
    except ValueError:
        if extended:
            raise
        return {"comment": text}
    if not extended and any(value is None for _, value in fields):
        return {"comment": text}
    named = [(_NAMES.get(key.lower(), key), value) for key, value in fields]
    return {key: True if value is None else _interpreted(key, value) for key, value in named}


def write_comment(fields: Mapping[str, Any]) -> str:
    """Fields as a comment line from which `read_comment` reads the same.

    **Raises** `TypeError` for values that cannot be written, naming the key.
    """
    return " ".join(f"{_key(key)}={_quoted(_written(key, value))}" for key, value in fields.items())


def _fields(text: str) -> Iterator[tuple[str, Any]]:
    """Keys and values as they are written, None for keys without."""
    at = 0
    while at < len(text):
        key, at = _word(text, at)
        at = _past_blank(text, at)
        value = None
        if text[at : at + 1] == "=":
            value, at = _value(text, _past_blank(text, at + 1))
        yield key, value
        at = _past_blank(text, at)


def _past_blank(text: str, at: int) -> int:
    while at < len(text) and text[at].isspace():
        at += 1
    return at


def _word(text: str, at: int) -> tuple[str, int]:
    found = _QUOTED.match(text, at) if text[at] in "\"'" else _BARE.match(text, at)
    if not found:
        raise ValueError(f"column {at + 1}: {text[at : at + 20]!r} where a key should be; a field is written key=value.")
    return (_inside(found) if text[at] in "\"'" else found.group()), found.end()


def _value(text: str, at: int) -> tuple[Any, int]:
    opening = text[at : at + 1]
    if opening == "[":
        try:
            return json.JSONDecoder().raw_decode(text, at)
        except ValueError:
            pass  # [1 2 3] is also a list there
    if opening and opening in "\"'{[":
        found = _QUOTED.match(text, at)
        if not found:
            raise ValueError(f"column {at + 1}: what {opening} opens is not closed: {text[at : at + 30]!r}.")
        return _inside(found), found.end()
    rest = _REST.match(text, at)
    end = rest.end() if rest else at
    return text[at:end], end


def _inside(found: re.Match[str]) -> str:
    return re.sub(r"\\(.)", r"\1", next(group for group in found.groups() if group is not None))


def _interpreted(key: str, value: Any) -> Any:
    """A number, a flag, an array of them, or text."""
    if not isinstance(value, str):
        return np.array(value) if _numeric(value) else value
    if value.startswith("_JSON "):
        return json.loads(value.removeprefix("_JSON "))
    words = re.findall(r"[^\s,]+", value)
    if not words or "_" in value:
        return value
    for convert in (int, float, _FLAGS.__getitem__):
        try:
            numbers = [convert(word) for word in words]
        except (ValueError, KeyError):
            continue
        if len(numbers) == 1:
            return numbers[0]
        array = np.array(numbers)
        if array.dtype.kind not in "ifb":  # whole numbers too large for a machine
            return value
        return array.reshape(3, 3).T if key in TENSORS and len(array) == 9 else array
    return value


def _numeric(value: Any) -> bool:
    try:
        return np.array(value).dtype.kind in "ifb" and np.size(value) > 0
    except ValueError:
        return False


def _written(key: str, value: Any) -> str:
    if isinstance(value, np.ndarray | np.generic) or hasattr(value, "__array__"):
        array = np.asarray(value)
        if key in TENSORS and array.shape == (3, 3):
            array = array.T.reshape(-1)
        if array.ndim == 1 and len(array) > 1 and array.dtype.kind in "ifb":
            return " ".join(_number(entry) for entry in array.tolist())
        value = array.tolist()
    if isinstance(value, bool | int | float):
        return _number(value)
    if isinstance(value, str) and value.isprintable() and not value.startswith("_JSON "):
        same = _interpreted(key, value)
        if isinstance(same, str) and value:
            return value
    try:
        return "_JSON " + json.dumps(value)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"info[{key!r}] has type {type(value).__name__}, which an XYZ file cannot hold: write numbers, text, or arrays and "
            "lists of them, or leave it out."
        ) from error


def _number(value: bool | int | float) -> str:
    return ("T" if value else "F") if isinstance(value, bool) else repr(value)


def _key(key: str) -> str:
    if not isinstance(key, str) or not key or not key.isprintable():
        raise TypeError(f"info has the key {key!r}: keys in an XYZ file are printable text.")
    return _quoted(key)


def _quoted(text: str) -> str:
    if _SAFE.fullmatch(text):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
