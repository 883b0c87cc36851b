"""Writing results so that nothing half-written is left behind."""

from __future__ import annotations

import io
import os
import tempfile
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from .failure import Failed

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Output:
    """Files of one folder that appear together, when the `with` block ends well, or not at all.

    They are kept in memory until then, written under temporary names in that folder, and renamed. A folder
    that was made for them is removed again when the block fails.

    **Raises** `Failed` at once when the folder cannot be made or written to.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        self.written: list[Path] = []
        self._kept: dict[str, bytes] = {}
        self._made: list[Path] = []

    def __enter__(self) -> Output:
        try:
            for folder in reversed([self.folder, *self.folder.parents]):
                if not folder.exists():
                    folder.mkdir()
                    self._made.append(folder)
            if not self.folder.is_dir():
                raise Failed(f"cannot write into {self.folder}: it is a file, not a folder")
            if not os.access(self.folder, os.W_OK):
                raise Failed(f"cannot write into {self.folder}: no permission")
        except OSError as error:
            self._remove_folders()
            raise Failed(f"cannot make the folder {self.folder}: {error.strerror}") from None
        return self

    def write(self, name: str, content: str | bytes) -> None:
        """Keep a file for the end of the block."""
        self._kept[name] = content.encode() if isinstance(content, str) else content

    def write_figure(self, name: str, figure: Figure) -> None:
        """Keep a picture for the end of the block; its format is that of the name's ending."""
        self.write(name, figure_bytes(figure, Path(name).suffix.removeprefix(".")))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._remove_folders()
            return
        waiting: list[tuple[Path, Path]] = []
        try:
            for name, data in self._kept.items():
                handle, temporary = tempfile.mkstemp(prefix=f".{name}.", dir=self.folder)
                waiting.append((Path(temporary), self.folder / name))
                with os.fdopen(handle, "wb") as file:
                    file.write(data)
                Path(temporary).chmod(0o666 & ~_mask())  # mkstemp makes files that only their owner may read
            for temporary_path, path in waiting:
                temporary_path.replace(path)
                self.written.append(path)
        except OSError as problem:
            raise Failed(f"cannot write into {self.folder}: {problem.strerror}") from problem
        finally:
            for temporary_path, _ in waiting:
                temporary_path.unlink(missing_ok=True)

    def _remove_folders(self) -> None:
        for folder in reversed(self._made):
            try:
                folder.rmdir()
            except OSError:  # someone else put a file there meanwhile
                return


def figure_bytes(figure: Figure, form: str) -> bytes:
    """The picture as the content of a file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format=form)
    return buffer.getvalue()


def write_file(path: str | Path, content: str | bytes) -> Path:
    """Write one file, whole or not at all. **Raises** `Failed` when its folder cannot be written to."""
    path = Path(path)
    with Output(path.parent) as output:
        output.write(path.name, content)
    return path


def _mask() -> int:
    """The permissions that the user's files do not get. It can only be read by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
