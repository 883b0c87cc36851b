"""What the pages about rigid bodies show runs as it stands."""

import re
import shutil
from pathlib import Path

import pytest

gymnasium = pytest.importorskip("gymnasium")


def blocks(page):
    return re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["rigid", "rigid_runs"])
def test_the_code_of_a_page_runs(name, root, tmp_path, monkeypatch):
    robots = Path(gymnasium.__file__).parent / "envs" / "mujoco" / "assets"
    for model in (robots / "half_cheetah.xml", *(root / "examples").glob("*.xml")):
        shutil.copy(model, tmp_path)
    monkeypatch.chdir(tmp_path)
    together, code = {}, blocks(root / "docs" / f"{name}.md")
    assert code
    for block in code:
        exec(block, together)
    if name == "rigid_runs":
        assert not together["wild"].status.ok and bool(together["many"].status.ok.all())
        assert together["result"].values["rod.mass"] == pytest.approx(0.7, abs=1e-3)
