"""Native code reads and writes within its buffers only, and nothing that it has not written: see `guarded`."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="guard pages are made with Linux's mprotect")


def run(*arguments):
    program = [sys.executable, str(Path(__file__).parent / "guarded.py"), *arguments]
    done = subprocess.run(program, capture_output=True, text=True)
    last = (done.stdout.splitlines() or ["nothing"])[-1]
    assert done.returncode == 0, f"in {last}: {done.stderr[-3000:]}"
    assert last == "all within bounds"


def test_memory_programs_stay_within_their_buffers():
    run()


@pytest.mark.slow
def test_all_programs_stay_within_their_buffers_at_all_widths():
    run("every")
