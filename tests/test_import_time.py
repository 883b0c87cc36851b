"""Importing the library costs little more than importing what it stands on."""

import subprocess
import sys

ALLOWED = 0.3  # seconds of processor time, beyond jax and diffrax


def test_importing_takes_little_time():
    code = (
        "import time, jax, diffrax; start = time.process_time(); import worldline; "
        "worldline.simulate, worldline.fit, worldline.ode; print(time.process_time() - start)"
    )
    runs = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True) for _ in range(3)]
    assert min(float(run.stdout) for run in runs) < ALLOWED
