"""scikit-learn's own checks, run on our estimators"""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import sklearn.decomposition.tests
from sklearn.base import clone
from sklearn.exceptions import SkipTestWarning
from sklearn.utils.estimator_checks import parametrize_with_checks
from test_foreign_matrix import FORMS, alike, both, cases

from nmf_nb import NMF, MiniBatchNMF
from nmf_nb.base import Solver
from nmf_nb.state import State

# It compares one array, which the first fit writes to, with itself, and gives the two fits different rows.
LEFT_OUT = "test_theirs.py::test_minibatch_nmf_partial_fit"


def lee_seung(problem):
    "The multiplicative update of Lee and Seung, as a solver of one's own"

    def step(V, state):
        W, H, _ = state
        H = H * (V.T @ W).mT / (W.mT @ W @ H).clamp_min(1e-30)
        return State(W * (V @ H.mT) / (W @ (H @ H.mT)).clamp_min(1e-30), H)

    return step


OWN = NMF(solver=Solver(lee_seung))


@pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning", f"ignore::{SkipTestWarning.__module__}.SkipTestWarning"
)
@parametrize_with_checks([NMF(), NMF(solver="mu", beta_loss="kullback-leibler"), OWN, MiniBatchNMF()])
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


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("form", FORMS)
def test_a_data_matrix_of_ones_own(form):
    "It goes through fit, transform and score with every solver and divergence, and equals the whole"
    one, whole, betas = cases(form)
    (n, m), rng = whole.shape, np.random.default_rng(1)
    weighted = {"W": rng.random((n, 4)), "H": rng.random((4, m)), "sample_weight": rng.random(n)}
    all_at_once = {"init": "custom", "fixed_components": rng.random((1, m)), "alpha_W": 1e-3}
    kinds = [(solver, beta, all_at_once, weighted) for solver, beta in [("pgd", 2), *(("mu", beta) for beta in betas)]]
    for solver, beta, params, given in [("cd", 2, {}, {}), ("cd", 2, all_at_once, weighted), *kinds]:
        ours = NMF(4, random_state=0, solver=solver, beta_loss=beta, max_iter=8, tol=0, **params)
        theirs = clone(ours)
        weights = ours.fit_transform(one, **given), theirs.fit_transform(whole, **given)
        assert ours.n_features_in_ == m and isinstance(weights[0], np.ndarray)
        alike(ours.components_, theirs.components_)
        for a, b in (weights, (ours.transform(one), weights[0])):
            np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7)
        assert ours.score(one) == pytest.approx(theirs.score(whole), rel=1e-9)
        assert ours.reconstruction_err_ == pytest.approx(theirs.reconstruction_err_, rel=1e-9)


def test_what_is_said_of_a_data_matrix_of_ones_own():
    one, whole = both("dense")
    model = NMF(2, max_iter=5, tol=0).fit(one)
    np.testing.assert_allclose(model.fit(whole).components_, model.fit(one).components_)
    with pytest.raises(ValueError, match="has 23 features|expecting 23 features"):
        model.transform(type(one)(whole.rows(slice(0, 5)).T))
    with pytest.raises(ValueError, match="leave missing=None"):
        model.fit(one, missing=np.zeros(one.shape, bool))
    one.parts[0].values[0, 0] = -1
    with pytest.raises(ValueError, match=r"Negative values in data passed to NMF \(input X\)"):
        model.fit(one)
