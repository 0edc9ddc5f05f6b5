"""Every notebook is one test: each of its cells runs, and prints what is saved in it.

    pytest                                 the cells without a flag
    NBDEV_FLAGS="newsgroups" pytest        and those with this flag

Each runs in a process of its own, as `nbdev_test` would run it. Outputs are compared where the environment is the
one of constraints.txt; elsewhere other versions print other digits, and only the tests inside the notebooks count.
"""

import os
import sys

import pytest
from conftest import ROOT, differences, run

NOTEBOOKS = sorted(p for p in (ROOT / "nbs").rglob("*.ipynb") if ".ipynb_checkpoints" not in p.parts)
NOTEBOOKS.sort(key=lambda p: "soft_penalty" not in p.name)  # the longest first, or one worker waits for it
DIFFERENT = list(differences())


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.relative_to(ROOT / "nbs").as_posix())
def test_notebook(path):
    compare = [] if not DIFFERENT else ["--no-outputs"]
    flags = os.environ.get("NBDEV_FLAGS", "")
    result = run(sys.executable, ROOT / "tools/run_nbs.py", path, "--check", "--flags", flags, *compare)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.skipif(bool(DIFFERENT), reason=f"outputs are saved with constraints.txt: {'; '.join(DIFFERENT)}")
def test_a_stale_output_is_noticed(copy):
    path = copy / "nbs/02_init.ipynb"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("mean 0.0080, expected", "mean 0.0081, expected"), encoding="utf-8")
    result = run(sys.executable, "tools/run_nbs.py", path, "--check", cwd=copy)
    path.write_text(text, encoding="utf-8")
    assert result.returncode == 1 and "stale" in result.stdout
