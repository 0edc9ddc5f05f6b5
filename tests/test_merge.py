"""Parallel columns are merged in a fit, and nobody sees it."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from nmf_nb import NMF
from nmf_nb.base import OPTIONS
from nmf_nb.divergence import beta_divergence
from nmf_nb.init import random_start
from nmf_nb.linalg import data_matrix
from nmf_nb.merge import MergedMatrix, merge_columns
from nmf_nb.nmf import SOLVERS

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
PLAIN = {name: replace(solver, honours=tuple(set(OPTIONS) - {"merging"})) for name, solver in SOLVERS.items()}


def lonely(seed=0, n=60, m=40, lone=120):
    "Sparse data of which most columns hold one entry, several in a row"
    rng = np.random.default_rng(seed)
    dense = rng.gamma(0.5, 1, (n, 5)) @ rng.gamma(0.5, 1, (5, m)) * (rng.random((n, m)) < 0.4)
    alone = np.zeros((n, lone))
    alone[rng.integers(n, size=lone), range(lone)] = rng.gamma(0.5, 1, lone)
    X = np.hstack([dense, alone])[:, rng.permutation(m + lone)]
    return sp.csr_array(X)


def losses(solver):
    return {"mu": ["frobenius", "kullback-leibler"], "newton": ["kullback-leibler"]}.get(solver, ["frobenius"])


@pytest.mark.parametrize("dtype, rtol", [(np.float64, 1e-6), (np.float32, 1e-3)])
@pytest.mark.parametrize("solver, loss", [(s, loss) for s in SOLVERS for loss in losses(s)])
def test_components_of_a_group_are_parallel(solver, loss, dtype, rtol):
    X = lonely().astype(dtype)
    model = NMF(4, solver=solver, beta_loss=loss, random_state=0, max_iter=15, tol=0).fit(X)
    columns = X.tocsc()
    first = columns.indptr[:-1][np.diff(columns.indptr) == 1]
    row, ratio = columns.indices[first], model.components_[:, np.diff(columns.indptr) == 1] / columns.data[first]
    assert len(row) > 100
    for i in set(row):
        group = ratio[:, row == i]
        np.testing.assert_allclose(group, np.broadcast_to(group[:, :1], group.shape), rtol=rtol)


@pytest.mark.parametrize("weights", [False, True])
@pytest.mark.parametrize("solver, loss", [(s, loss) for s in SOLVERS for loss in losses(s)])
def test_as_good_as_the_fit_of_all_columns(solver, loss, weights):
    X, u = lonely(1), np.random.default_rng(0).integers(0, 4, 60) if weights else None
    options = {"beta_loss": loss, "random_state": 0, "tol": 0, "max_iter": 2000}
    found = [NMF(3, solver=s, **options).fit(X, sample_weight=u) for s in (solver, PLAIN[solver])]
    a, b = (m.reconstruction_err_ for m in found)
    assert a < 1.001 * b
    assert found[0].history_[-1]["objective"] == pytest.approx(found[0].objective_, rel=1e-3)


@pytest.mark.parametrize("change", ["fixed", "custom", "gaps", "l1", "dense", "few"])
def test_where_it_is_not_exact_nothing_is_merged(change):
    "The very numbers of a solver that cannot merge"
    X, options, given = lonely(), {}, {}
    if change == "fixed":
        options["fixed_components"] = np.random.default_rng(0).random((1, 160))
    if change == "custom":
        rng = np.random.default_rng(0)
        options["init"], given = "custom", {"W": rng.random((60, 3)), "H": rng.random((3, 160))}
    if change == "gaps":
        given["missing"] = np.random.default_rng(0).random((60, 160)) < 0.1
    if change == "l1":
        options |= {"alpha_H": 0.01, "l1_ratio": 0.5}
    if change == "dense":
        X = X.toarray()
    if change == "few":
        X = lonely(m=150, lone=10)
    found = [NMF(3, solver=s, random_state=0, **options).fit(X, **given) for s in ("cd", PLAIN["cd"])]
    assert np.array_equal(found[0].components_, found[1].components_)


def test_callbacks_and_several_starts_see_all_columns():
    seen = []

    class Watch:
        def setup(self, estimator, context): ...
        def teardown(self, estimator, context): ...
        def on_fit_task_begin(self, estimator, context): ...

        def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
            seen.extend([fitted_estimator.components_.shape] if fitted_estimator is not None else [])

    NMF(3, random_state=0, n_init=3, max_iter=30, tol=0).set_callbacks(Watch()).fit(lonely())
    assert seen and set(seen) == {(3, 160)}


@given(st.integers(0, 2**31), st.sampled_from([1, 2]), st.integers(1, 8), st.integers(1, 12), st.floats(0, 1))
@settings(deadline=None, max_examples=60)
def test_the_objective_is_that_of_the_whole(seed, beta, n, m, density):
    rng = np.random.default_rng(seed)
    X = sp.csr_array((0.01 + rng.gamma(0.3, 1, (n, m))) * (rng.random((n, m)) < density))  # far above the floor of KL
    V = data_matrix(X, "cpu")
    D = merge_columns(V, beta, least=0.0)
    assert isinstance(D, MergedMatrix)
    W, H, _ = random_start(D, 2)
    whole = beta_divergence(V, W, D.spread(H), beta).item()
    assert beta_divergence(D, W, H, beta).item() == pytest.approx(whole, rel=1e-12, abs=1e-12 * X.sum())
