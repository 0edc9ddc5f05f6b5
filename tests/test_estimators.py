"""scikit-learn's own checks, run on our estimators"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import sklearn.decomposition.tests
from sklearn.exceptions import SkipTestWarning
from sklearn.utils.estimator_checks import parametrize_with_checks

from nmf_nb import NMF, MiniBatchNMF

# It compares one array, which the first fit writes to, with itself, and gives the two fits different rows.
LEFT_OUT = "test_theirs.py::test_minibatch_nmf_partial_fit"


@pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning", f"ignore::{SkipTestWarning.__module__}.SkipTestWarning"
)
@parametrize_with_checks([NMF(), NMF(solver="mu", beta_loss="kullback-leibler"), MiniBatchNMF()])
def test_check_estimator(estimator, check):
    check(estimator)


def test_scikit_learns_file(tmp_path):
    "Its tests of NMF with the import changed, all but `LEFT_OUT`"
    source = (Path(sklearn.decomposition.tests.__path__[0]) / "test_nmf.py").read_text(encoding="utf-8")
    theirs = "from sklearn.decomposition import NMF, MiniBatchNMF, non_negative_factorization"
    assert theirs in source
    (tmp_path / "test_theirs.py").write_text(source.replace(theirs, theirs.replace("sklearn.decomposition", "nmf_nb")))
    options = [
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
        "--deselect",
        LEFT_OUT,
    ]
    run = [sys.executable, "-m", "pytest", "test_theirs.py", *options]
    result = subprocess.run(
        run, cwd=tmp_path, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    assert result.returncode == 0, result.stdout[-3000:]
    assert "1 deselected" in result.stdout


def test_array_api():
    "Its checks with arrays of other libraries, which run only where SciPy is told of them before it is imported"
    chosen = [__file__, "-k", "test_check_estimator and array_api", "-q", "-rs", "-n0", "-p", "no:cacheprovider"]
    run = [sys.executable, "-m", "pytest", *chosen]
    result = subprocess.run(run, capture_output=True, text=True, env={**os.environ, "SCIPY_ARRAY_API": "1"})
    assert result.returncode == 0, result.stdout[-3000:]
    skipped = [line for line in result.stdout.splitlines() if line.startswith("SKIPPED")]
    no_device = ("cupy", "CUDA", "dpnp", "MPS", "XPU")
    assert all(any(name.lower() in line.lower() for name in no_device) for line in skipped), skipped
