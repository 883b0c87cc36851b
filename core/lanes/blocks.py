"""Long straight-line code cut into blocks, which LLVM compiles in less time than one block of the same length.

Its instruction selection and register allocation take time that grows faster than a block does. Seen on the gradient
of a rollout of 23 joints, 99 thousand lines: LLVM takes 9.3 s for whole blocks, 6.6 s for pieces of 800 lines and 6.2 s
for pieces of 3000. The gradient of 7 joints runs as fast in pieces of 3000 as in one, and 7 % slower in those of 800. So that
LLVM does not join the pieces again, they are divided by a branch of which it cannot know that both ways lead on.
"""

from __future__ import annotations

from .builder import Builder

LINES = 3000  # in one block
_NEVER = "@lanes.never"


def cut(b: Builder) -> None:
    """Divide the blocks of the function being written that are long; not those of a GPU's, whose compiler is another."""
    if b.width == 1 or len(b.lines) <= LINES:
        return
    lines: list[str] = []
    since, count = 0, 0
    for line in b.lines:
        since = 0 if line.endswith(":") else since + 1
        if since > LINES and not line.startswith("br "):
            count, since = count + 1, 0
            way, on = f"way{count}", f"on{count}"
            lines += [
                f"%{way} = load volatile i8, ptr {_NEVER}, align 1",
                f"%{way}.open = icmp eq i8 %{way}, 0",
                f"br i1 %{way}.open, label %{on}, label %{way}.other",
                f"{way}.other:",
                f"store volatile i8 0, ptr {_NEVER}, align 1",
                f"br label %{on}",
                f"{on}:",
            ]
        lines.append(line)
    if count:
        b.globals.append(f"{_NEVER} = private global i8 0")
    b.lines = lines
