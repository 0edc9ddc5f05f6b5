"""Coordinate Newton steps for Kullback-Leibler: compiled loops and PyTorch are one step, on any data."""

from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.decomposition import NMF as Theirs
from torch.testing import assert_close

from nmf_nb import NMF
from nmf_nb.base import OPTIONS, Solver
from nmf_nb.divergence import Penalty
from nmf_nb.init import random_start
from nmf_nb.linalg import csr_tensor, data_matrix
from nmf_nb.newton import coordinate_step
from nmf_nb.nmf import SOLVERS
from nmf_nb.state import State

COMMON = {"deadline": None, "database": None, "derandomize": True, "suppress_health_check": list(HealthCheck)}
ENTRIES = st.just(0.0) | st.floats(1e-4, 1e4)
SIZES = st.tuples(*[st.integers(1, 6)] * 3)


@st.composite
def cases(draw):
    n, m, k = draw(SIZES)
    X, W, H = (
        torch.from_numpy(draw(arrays(np.float64, shape, elements=ENTRIES))) for shape in ((n, m), (n, k), (k, m))
    )
    penalty = Penalty(*(draw(st.just(0.0) | st.floats(0.001, 10)) for _ in range(4)))
    weights = draw(st.none() | arrays(np.float64, n, elements=st.just(0.0) | st.floats(0.01, 10)).map(torch.from_numpy))
    missing = draw(st.none() | arrays(np.bool_, (n, m)))
    V = data_matrix(X.to_sparse() if draw(st.booleans()) else X, "cpu", missing=missing)
    return V, State(W, H), {"penalty": penalty, "row_weight": weights, "fixed": draw(st.integers(0, k))}


@given(cases())
@settings(max_examples=150, **COMMON)
def test_loops_and_pytorch_are_one(case):
    V, state, options = case
    one, other = (coordinate_step(V, state, loops=loops, **options) for loops in (False, True))
    assert all(A.isfinite().all() and (A >= 0).all() for A in (*one[:2], *other[:2]))
    for a, b in (
        (one.W, other.W),
        (one.W @ one.H, other.W @ other.H),
    ):  # a weight of rounding's making moves its part of H
        assert_close(a, b, rtol=1e-6, atol=1e-9 * (1 + a.max().item()))
    r = options["fixed"]
    assert other.H[:r].equal(state.H[:r]) and one.H[:r].equal(state.H[:r])


def test_indices_of_both_widths():
    X = torch.rand(8, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).round(decimals=1)
    V = data_matrix(X.to_sparse(), "cpu")
    parts = V.V.crow_indices(), V.V.col_indices()
    start = random_start(V, 3)
    found = [
        coordinate_step(data_matrix(csr_tensor(*(p.to(kind) for p in parts), V.values, (8, 7)), "cpu"), start)
        for kind in (torch.int32, torch.int64)
    ]
    assert found[0].W.equal(found[1].W) and found[0].H.equal(found[1].H)


def test_a_state_that_was_given_is_not_written_to():
    V = data_matrix(np.random.default_rng(0).random((9, 8)), "cpu")
    start = random_start(V, 3)
    before = start.W.clone(), start.H.clone()
    for loops in (False, True):
        coordinate_step(V, start, fixed=1, loops=loops)
        assert start.W.equal(before[0]) and start.H.equal(before[1])


@pytest.mark.parametrize("options", [{}, {"n_init": 3, "init": "random"}, {"alpha_W": 1e-3}])
def test_whole_fits_without_loops(options):
    "An installation without numba fits the same model"
    X = np.random.default_rng(1).poisson(2, (40, 30)).astype(float)

    def without_loops(problem):
        step = SOLVERS["newton"].make(problem)
        return partial(step, loops=False)

    plain = Solver(without_loops, betas=(1.0,), honours=OPTIONS, root=True)
    models = [NMF(3, solver=s, beta_loss=1, random_state=0, **options).fit(X) for s in ("newton", plain)]
    assert models[0].n_iter_ == models[1].n_iter_
    np.testing.assert_allclose(models[0].components_, models[1].components_, rtol=1e-4, atol=1e-8)


def test_never_above_scikit_learn():
    rng = np.random.default_rng(2)
    for X in (
        rng.poisson(rng.gamma(0.3, 1, (200, 5)) @ rng.gamma(0.3, 1, (5, 90))).astype(float),
        rng.random((90, 60)),
    ):
        a = NMF(5, solver="newton", beta_loss=1, random_state=0).fit(X)
        b = Theirs(5, solver="mu", beta_loss=1, init="nndsvda", random_state=0).fit(X)
        assert a.reconstruction_err_ < 1.0005 * b.reconstruction_err_
        assert a.n_iter_ < b.n_iter_


def test_other_losses_are_refused():
    with pytest.raises(ValueError, match="'newton' does not handle beta_loss = 'frobenius', it takes 1"):
        NMF(2, solver="newton").fit(np.ones((3, 3)))
