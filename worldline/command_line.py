"""The `worldline` command: what it understands, and how it ends.

Exit codes: 0 it worked, 1 the run, fit or validation failed, 2 wrong usage or unreadable data, 130
interrupted, 141 nobody reads the output any more. Whatever goes wrong is one line on stderr; `--traceback`
shows where in the code."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Sequence
from importlib import metadata
from typing import NoReturn

from .commands import demo, fit, models, simulate, validate
from .commands.failure import Failed, WrongInput

COMMANDS = (demo, fit, simulate, validate, models)
OK, FAILED, USAGE, INTERRUPTED, CLOSED_PIPE = 0, 1, 2, 130, 141


class Parser(argparse.ArgumentParser):
    """An argument parser whose complaints are raised, so that `main` says all of them in the same way."""

    def __init__(self, **options: object):
        super().__init__(formatter_class=argparse.RawDescriptionHelpFormatter, **options)  # type: ignore[arg-type]
        # "-1e-3" and "-inf" are values, which argparse takes for options.
        self._negative_number_matcher = re.compile(r"^-(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?$|^-inf$")

    def error(self, message: str) -> NoReturn:
        """**Raises** `WrongInput` naming the help that explains it."""
        raise WrongInput(f"{message} (see `{self.prog} --help`)")


def parser() -> argparse.ArgumentParser:
    """The parser of the whole command line."""
    top = Parser(
        prog="worldline",
        description="Simulate, fit and validate models written as differential equations.",
        epilog="example:\n  worldline simulate lorenz --t1 20 --out lorenz.png\n\n"
        "exit codes: 0 ok, 1 the run, fit or validation failed, 2 wrong usage or data",
    )
    top.add_argument("--version", action="version", version=f"worldline {metadata.version('worldline')}")
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument(
        "--float32", action="store_true", help="compute in single precision (default: double)"
    )
    shared.add_argument(
        "--traceback", action="store_true", help="on an error, show where in the code it happened"
    )
    commands = top.add_subparsers(title="commands", dest="command", metavar="COMMAND", required=True)
    for command in COMMANDS:
        command.add(commands, shared)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    traceback = "--traceback" in (sys.argv[1:] if arguments is None else arguments)
    try:
        code = _run(arguments)
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        # `worldline ... | head`: nobody reads on. Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return CLOSED_PIPE
    except KeyboardInterrupt:
        print("worldline: interrupted", file=sys.stderr, flush=True)
        if arguments is None:
            # XLA may still compile or compute in its threads, and crashes when Python ends around it.
            os._exit(INTERRUPTED)
        return INTERRUPTED
    except Exception as error:
        if traceback:
            raise
        return _explain(error)


def _run(arguments: Sequence[str] | None) -> int:
    try:
        given = parser().parse_args(arguments)
    except SystemExit as end:  # --help and --version
        return int(end.code or 0)
    import jax

    # For this command alone: a Python program that calls `main` keeps its own setting.
    with jax.enable_x64(not given.float32):
        return int(given.run(given))


def _explain(error: Exception) -> int:
    if isinstance(error, WrongInput):
        text, code = str(error), USAGE
    elif isinstance(error, Failed):
        text, code = str(error), FAILED
    elif isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        text, code = f"{where}{error.strerror or error}", FAILED
    else:
        text = f"unexpected {type(error).__name__}: {error}; run it again with --traceback to see where"
        code = FAILED
    print(f"worldline: error: {' '.join(text.split())}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
