"""Importing the library costs little more than importing what it stands on."""

import json
import subprocess
import sys

# Beside jax and diffrax in the same process, so that a slow or busy machine slows both. Measured: 0.25.
SHARE_ALLOWED = 0.5
ONLY_WHEN_USED = ("matplotlib", "pandas", "scipy.optimize", "scipy.integrate", "scipy.stats", "tqdm", "mujoco", "ase")

SCRIPT = f"""
import json, sys, time
start = time.process_time()
import jax, diffrax
before, there = time.process_time(), set(sys.modules)
import worldline
worldline.simulate, worldline.fit, worldline.ode, worldline.samples
after = time.process_time()
print(json.dumps([
    (after - before) / (before - start),
    [name for name in {ONLY_WHEN_USED} if name in sys.modules and name not in there],
]))
"""


def imported():
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_importing_takes_a_fraction_of_what_jax_and_diffrax_take():
    assert min(imported()[0] for _ in range(3)) < SHARE_ALLOWED


def test_what_a_run_does_not_need_is_imported_when_it_is_used():
    assert imported()[1] == []
