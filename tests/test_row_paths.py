"""Weights of rows: compiled loops and PyTorch, crowded and sparse blocks, whole steps and none, all lead to the same"""

from functools import partial
from unittest.mock import patch

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from torch.testing import assert_close

from nmf_nb import weights
from nmf_nb.divergence import beta_divergence
from nmf_nb.linalg import data_matrix
from nmf_nb.weights import Terms, newton_rows, nnls, solve_rows


def problem(seed, density):
    rng = np.random.default_rng(seed)
    n, m, k = rng.integers(1, 40), rng.integers(1, 40), rng.integers(1, 8)
    X = rng.gamma(0.5, 1, (n, m)) * (rng.random((n, m)) < density) * 10.0 ** rng.integers(-3, 4, (n, 1))
    return X, torch.from_numpy(rng.gamma(0.3, 1, (k, m)) * 10.0 ** rng.integers(-3, 4, (k, 1)))


def scores(X, W, H):
    "The Kullback-Leibler divergence of each row, but for what the data alone decides"
    x = (W @ H).numpy()
    return x.sum(1) - np.where(X > 0, X * np.log(np.where(X > 0, np.maximum(x, 1e-300), 1)), 0).sum(1)


@pytest.mark.parametrize("seed", range(10))
def test_a_gram_matrix_for_each_row(seed):
    "Both ways to solve many small problems of least squares"
    rng = np.random.default_rng(seed)
    A, B = torch.from_numpy(rng.random((20, 30, 6))), torch.from_numpy(rng.standard_normal((20, 6)))
    found = nnls(A.mT @ A, B)
    with patch.object(weights, "njit", None):
        assert_close(nnls(A.mT @ A, B), found)
    assert_close(torch.cat([nnls(a.mT @ a, b[None]) for a, b in zip(A, B)]), found)


@pytest.mark.parametrize("density", [0.2, 0.6, 1.0])
@pytest.mark.parametrize("seed", range(5))
def test_loops_and_pytorch(seed, density):
    "Also with entries enough for blocks of whole rows, and held either way"
    X, H = problem(seed, density)
    found = solve_rows(data_matrix(X, "cpu"), H, 1)
    best = scores(X, found, H)
    for data in (X, sp.csr_array(X)):
        for loops in (True, False):
            with patch.object(weights, "newton_rows", partial(newton_rows, loops=loops)):
                W = solve_rows(data_matrix(data, "cpu"), H, 1)
            np.testing.assert_allclose(scores(X, W, H), best, rtol=1e-10, atol=1e-10 * X.sum(1).max())


@pytest.mark.parametrize("seed", range(20))
def test_newton_rows_in_loops(seed):
    "With penalties, words that no topic has, empty rows, faint topics, and any number of threads"
    rng = np.random.default_rng(seed)
    b, L, k = rng.integers(2, 40), rng.integers(8, 30), rng.integers(1, 8)
    topics = rng.random((b, L, k)) ** (1 + rng.integers(0, 30) * rng.random(k))
    v = rng.poisson(1.0, (b, L)) * (topics.max(2) > 1e-6) * (rng.random((b, 1)) < 0.9)
    l1, l2 = topics.sum(1) + rng.random(), np.full((1, k), rng.integers(0, 2) * rng.random())
    topics, v, l1, l2 = (torch.from_numpy(np.asarray(a, float)) for a in (topics, v, l1, l2))
    zero = torch.zeros(1, 1).double()
    terms = Terms(v, zero, zero, l1, l2, 1)
    plain = newton_rows(topics, terms, loops=False)
    for guess in (None, torch.from_numpy(rng.random((b, k)))):
        found = newton_rows(topics, terms, guess)
        assert_close(found, plain, rtol=1e-6, atol=1e-9)
        with patch.object(weights, "in_threads", lambda f, work: [f(t, 3) for t in range(3)]):
            assert newton_rows(topics, terms, guess).equal(found)


@pytest.mark.parametrize("beta", [-1, 0, 0.5, 0.9])
@pytest.mark.parametrize("seed", range(6))
def test_loops_and_pytorch_below_one(seed, beta):
    "With zeros, with words and rows of all sizes, with penalties, and any number of threads: row by row the same minimum"
    X, H = problem(seed, (1.0, 0.5)[seed % 2])
    X, l1, l2 = X + 1e-12 * (beta <= 0 or seed % 2 == 0), 0.3 * (seed % 3), 0.2 * (seed % 3 == 2)
    V, found = data_matrix(X, "cpu"), []
    for loops in (True, False):
        with patch.object(weights, "newton_rows", partial(newton_rows, loops=loops)):
            found.append(solve_rows(V, H, beta, l1, l2))
    with patch.object(weights, "in_threads", lambda f, work: [f(t, 3) for t in range(3)]):
        assert solve_rows(V, H, beta, l1, l2).equal(found[0])
    costs = [
        [float(beta_divergence(data_matrix(x, "cpu"), w, H, beta)) for x, w in zip(X[:, None], W[:, None])]
        for W in found
    ]
    costs = np.array(costs) + [(l1 * W + 0.5 * l2 * W**2).sum(1).numpy() for W in found]
    np.testing.assert_allclose(costs[0], costs[1], rtol=1e-9, atol=1e-12)


def test_a_guess_column_by_column():
    "The loops write to the weights themselves, however they lie in memory"
    rng = np.random.default_rng(0)
    topics, v, guess = (torch.from_numpy(rng.random(shape) + 0.1) for shape in ((1, 9, 3), (6, 9), (6, 3)))
    zero = torch.zeros(1, 1).double()
    terms = Terms(v, zero, zero, topics.sum(1), zero.expand(1, 3), 1)
    found = newton_rows(topics, terms, guess.mT.contiguous().mT)
    assert_close(found, newton_rows(topics, terms, loops=False), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("beta", [-1, 0, 0.5, 2.5, 3])
def test_whole_steps_lead_to_the_same_minimum(beta):
    "They save time alone"
    rng = np.random.default_rng(0)
    X = (rng.gamma(0.5, 1, (40, 4)) @ rng.gamma(0.5, 1, (4, 30)) + 1e-3) * rng.gamma(5, 0.2, (40, 30))
    V, H = data_matrix(X, "cpu"), torch.from_numpy(rng.gamma(0.5, 1, (4, 30)))
    found = solve_rows(V, H, beta)

    def no_step(topics, terms, here):
        return here.w, torch.zeros_like(here.far, dtype=torch.bool)

    with patch.object(weights, "full_step", no_step):
        W = solve_rows(V, H, beta)
    assert_close(W / W.amax(1, keepdim=True), found / W.amax(1, keepdim=True), rtol=1e-6, atol=1e-7)
