"""Lanes do not influence each other, whatever their number and order and the number of threads: see `independence`."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


def run(environment, *arguments):
    program = [sys.executable, "-W", "error::UserWarning", str(Path(__file__).parent / "independence.py"), *arguments]
    done = subprocess.run(program, capture_output=True, text=True, env={**os.environ, **environment})
    assert done.returncode == 0, f"{environment}: {done.stderr[-3000:]}"
    return done.stdout.split()


# NPROC is how many threads XLA's pool gets.
def test_bits_are_the_same_for_any_order_neighbours_and_threads():
    several = {"NPROC": "3", "XLA_FLAGS": "--xla_force_host_platform_device_count=3"}
    assert run({"NPROC": "1"}, "few") == run(several, "few")


@pytest.mark.slow
@pytest.mark.parametrize("threads", [2, 5, 16, 64])
@pytest.mark.parametrize("devices", [1, 2, 7])
def test_bits_are_the_same_for_more_threads_and_devices(threads, devices):
    flags = f"--xla_force_host_platform_device_count={devices}"
    assert run({"NPROC": "1"}) == run({"NPROC": str(threads), "XLA_FLAGS": flags})
