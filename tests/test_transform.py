"""Each row that `transform` returns meets the conditions of Karush, Kuhn and Tucker, here written out in NumPy"""

import warnings

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from sklearn.feature_extraction.text import TfidfVectorizer

from nmf_nb import NMF, MiniBatchNMF
from nmf_nb.corpus import load_corpus
from nmf_nb.divergence import EPS
from nmf_nb.linalg import DataMatrix, data_matrix, stack_rows
from nmf_nb.weights import solve_rows

BETAS = [-1, 0, 0.5, 0.9, 1, 1.5, 2, 2.5, 4]


@pytest.fixture(scope="module")
def X():
    return TfidfVectorizer(max_features=200, stop_words="english").fit_transform(load_corpus("factbook").texts[:150])


def residuals(X, W, H, beta, l1, l2):
    "How far each row is from the conditions: 0 where the smaller of weight and slope is 0 for every topic"
    x = np.maximum(W @ H, EPS if beta < 1 else 1e-300)
    pull, push = (X * np.where(X > 0, x, 1.0) ** (beta - 2)) @ H.T, x ** (beta - 1) @ H.T + l1 + l2 * W
    gaps = np.minimum(W / np.maximum(W.max(1, keepdims=True), 1e-300), (push - pull) / np.maximum(push, 1e-300))
    return np.abs(gaps).max(1)


def fitted(kind, X, beta, **parameters):
    parameters = {"n_components": 6, "beta_loss": beta, "random_state": 0, "max_iter": 20, **parameters}
    solver = {"solver": "cd" if beta == 2 else "mu"} if kind is NMF else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # twenty steps are few
        return kind(**parameters, **solver).fit(X)


@pytest.mark.parametrize("penalties", [{}, {"alpha_W": 2e-4, "l1_ratio": 0.3}], ids=["plain", "penalties"])
@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize("kind", [NMF, MiniBatchNMF])
def test_every_row_is_solved(kind, beta, penalties, X):
    X = X.toarray() + 0.01 if beta <= 0 else X
    model, n_words = fitted(kind, X, beta, **penalties), X.shape[1]
    W, alpha, ratio = model.transform(X), penalties.get("alpha_W", 0.0), penalties.get("l1_ratio", 0.0)
    dense = X.toarray() if sp.issparse(X) else X
    left = residuals(dense, W, model.components_, beta, alpha * n_words * ratio, alpha * n_words * (1 - ratio))
    assert (left < 1e-6).all() and W.max() > 0


@pytest.mark.parametrize("beta", BETAS)
def test_a_row_alone(beta, X):
    "It has the weights that it has among others, whether the matrix is dense or sparse"
    X = X.toarray() + 0.01 if beta <= 0 else X
    model = fitted(NMF, X, beta)
    W = model.transform(X)
    for i in range(0, X.shape[0], 30):
        np.testing.assert_allclose(model.transform(X[i : i + 1])[0], W[i], rtol=1e-6, atol=1e-9 * W[i].max())
    other = sp.csr_array(X) if beta <= 0 else X.toarray()
    np.testing.assert_allclose(model.transform(other), W, rtol=1e-6, atol=1e-9 * W.max())


@pytest.mark.parametrize("beta", BETAS)
def test_small_data(beta):
    "The unit of the data does not matter: a fit, its score and new weights are those of the same data times `4**q`"
    rng = np.random.default_rng(0)
    X = rng.gamma(0.5, 1, (30, 3)) @ rng.gamma(0.5, 1, (3, 20)) * rng.gamma(5, 0.2, (30, 20)) + 1e-3
    X = X * (X > np.quantile(X, 0.3)) if beta > 0 else X
    X *= 0.9 / X.max()
    tolerance = {"rtol": 1e-4 if 0 < beta < 1 else 1e-6}  # the floor under x is not quite in proportion
    big = fitted(NMF, X, beta, n_components=3, init="random")
    W = big.transform(X[:5])
    for q in (6, 10, 15):
        small = fitted(NMF, X / 4**q, beta, n_components=3, init="random")
        np.testing.assert_allclose(small.components_ * 2**q, big.components_, rtol=1e-8)
        np.testing.assert_allclose(small.score(X / 4**q) * 4 ** (q * beta), big.score(X), **tolerance)
        np.testing.assert_allclose(small.transform(X[:5] / 4**q) * 2**q, W, atol=1e-9 * W.max(), **tolerance)


class Shards(DataMatrix):
    "Row blocks in a list, dense and sparse ones mixed: of the contract of a data matrix only what it must give"

    def __init__(self, blocks):
        self.list, first = blocks, blocks[0]
        self.ends = np.cumsum([block.shape[0] for block in blocks])
        self.shape, self.dtype, self.device = (int(self.ends[-1]), first.shape[1]), first.dtype, first.device
        self.full, self.gaps, self.observed_only = (
            any(getattr(b, a) for b in blocks) for a in ("full", "gaps", "observed_only")
        )

    def rows(self, at):
        spans = zip(self.list, self.ends)
        parts = [(b, at.start - end + b.shape[0], at.stop - end + b.shape[0]) for b, end in spans]
        return stack_rows(
            [b.rows(slice(max(i, 0), min(j, b.shape[0]))) for b, i, j in parts if i < b.shape[0] and j > 0]
        )


@pytest.mark.parametrize("gaps", ["none", "few", "most"])
@pytest.mark.parametrize("beta", BETAS)
def test_a_foreign_matrix(beta, gaps):
    "`solve_rows` asks a data matrix for what the contract names, whoever made it"
    rng = np.random.default_rng(0)
    X = rng.random((12, 9)) * (rng.random((12, 9)) < 0.7) + 0.1 * (beta <= 0)
    missing = rng.random((12, 9)) < {"none": 0, "few": 0.2, "most": 0.7}[gaps]
    H = torch.from_numpy(rng.random((3, 9)))
    options = {} if gaps == "none" else {"missing": missing}
    whole = data_matrix(X, "cpu", **options)
    cuts = [slice(0, 5), slice(5, 6), slice(6, 12)]
    pieces = [whole.rows(at) if i % 2 else whole.rows(at).to_csr() for i, at in enumerate(cuts)]
    V = Shards(pieces)
    guess = torch.from_numpy(rng.random((12, 3)))
    for l1, l2, near in ((0.0, 0.0, None), (0.1, 0.2, guess)):
        W = solve_rows(whole, H, beta, l1, l2, near)
        torch.testing.assert_close(solve_rows(V, H, beta, l1, l2, near), W, rtol=1e-6, atol=1e-9)
    both = solve_rows(V, torch.stack([H, H.flip(0)]), beta)
    torch.testing.assert_close(both[1].flip(1), both[0], rtol=1e-6, atol=1e-8)
