"""Each example runs to its end as a user would run it, and draws its pictures."""

import os
import re
import subprocess
import sys

import pytest
from source_tree import ROOT

EXAMPLES = sorted(path.name for path in (ROOT / "examples").glob("*.py"))


@pytest.mark.slow
@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_runs(name, tmp_path):
    script = ROOT / "examples" / name
    environment = os.environ | {"JAX_PLATFORMS": "cpu"}
    out = subprocess.run(
        [sys.executable, str(script)], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600
    )
    assert out.returncode == 0, out.stderr
    assert out.stdout
    pictures = set(re.findall(r'path="(\w+\.png)"', script.read_text(encoding="utf-8")))
    assert {path.name for path in tmp_path.glob("*.png")} == pictures
