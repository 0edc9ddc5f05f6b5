"""What all tests share: the root of the checkout, and an environment in which a run repeats itself."""

import os
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(name, "1")  # two workers of one thread each; more would wait for each other

ROOT = Path(__file__).resolve().parent.parent
EXTRAS = {"plotly", "pyLDAvis"}  # no output depends on whether they are installed


def environment(**more):
    "This process's environment for a child: one thread, and nbdev's IN_TEST gone, with which it exports nothing"
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    return {k: v for k, v in os.environ.items() if k != "IN_TEST"} | threads | {"PYTHONUTF8": "1"} | more


def run(*command, cwd=ROOT, **more):
    "Run a command and return what it said"
    words = [str(word) for word in command]
    options = {"capture_output": True, "text": True, "encoding": "utf-8"}
    return subprocess.run(words, cwd=cwd, env=environment(**more), check=False, **options)


def differences():
    "How this environment differs from the one in which the outputs were saved"
    if sys.platform != "linux" or sys.version_info[:2] != (3, 11):
        yield f"Python {sys.version_info[0]}.{sys.version_info[1]} on {sys.platform}, not 3.11 on linux"
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        name, _, pinned = line.partition("#")[0].strip().partition("==")
        try:
            if name and version(name).partition("+")[0] != pinned:
                yield f"{name} {version(name)}, not {pinned}"
        except PackageNotFoundError:
            if name not in EXTRAS:
                yield f"no {name}"


@pytest.fixture(scope="session")
def copy(tmp_path_factory):
    "A copy of the checkout in which a check may write"
    target = tmp_path_factory.mktemp("copy") / "nmf_nb"
    left = shutil.ignore_patterns(
        ".git", ".venv", "_docs", "_proc", "build", "dist", "*.egg-info", "__pycache__", ".*_cache"
    )
    shutil.copytree(ROOT, target, ignore=left)
    return target
