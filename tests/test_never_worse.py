"""With the defaults a fit does not stop above scikit-learn's, another optimum apart."""

import numpy as np
import pytest
import torch
from sklearn import decomposition
from sklearn.datasets import load_digits

from nmf_nb import NMF
from nmf_nb.divergence import kkt_residual
from nmf_nb.linalg import data_matrix

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
MARGIN = 1.0005


@pytest.fixture(scope="module")
def digits():
    return load_digits().data


@pytest.fixture(scope="module")
def ends(digits):
    "The fit of 2000 iterations from the start of a fit, made once for the seeds that lead to one start"
    found = {}

    def end(model):
        key = (model.n_components, round(model.reconstruction_err_, 2))
        if key not in found:
            longer = NMF(model.n_components, tol=0, max_iter=2000, random_state=model.random_state)
            found[key] = longer.fit_transform(digits), longer
        return found[key]

    return end


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("k", [10, 30])
def test_digits(digits, ends, k, seed):
    "Dense data, of whose start little is left at the end"
    ours = NMF(k, random_state=seed).fit(digits)
    theirs = decomposition.NMF(k, random_state=seed).fit(digits).reconstruction_err_
    if ours.reconstruction_err_ > MARGIN * theirs:  # then it has found another optimum, and is as good as there
        W, longer = ends(ours)
        factors = torch.from_numpy(W), torch.from_numpy(longer.components_)
        assert kkt_residual(data_matrix(digits, "cpu"), *factors) < 1e-4
        assert ours.reconstruction_err_ < MARGIN * longer.reconstruction_err_


def low_rank():
    rng = np.random.default_rng(0)
    return np.maximum(rng.random((400, 5)) @ rng.random((5, 200)) + 0.1 * rng.standard_normal((400, 200)), 0)


def counts():
    rng = np.random.default_rng(0)
    return rng.poisson(rng.gamma(0.5, 1, (300, 8)) @ rng.gamma(0.5, 1, (8, 150))).astype(float)


@pytest.mark.parametrize("solver, beta_loss", [("cd", "frobenius"), ("mu", "kullback-leibler")])
@pytest.mark.parametrize("X, k", [(low_rank(), 5), (counts(), 8)], ids=["low rank and noise", "counts"])
def test_other_data(X, k, solver, beta_loss):
    options = {"solver": solver, "beta_loss": beta_loss, "random_state": 0}
    ours, theirs = NMF(k, **options).fit(X), decomposition.NMF(k, **options).fit(X)
    assert ours.reconstruction_err_ < MARGIN * theirs.reconstruction_err_


@pytest.mark.parametrize("solver, beta_loss", [("cd", "frobenius"), ("mu", "kullback-leibler")])
def test_exact_data(solver, beta_loss):
    "The objective goes to zero, and the fit stops all the same"
    rng = np.random.default_rng(0)
    W, H = (rng.random(shape) * (rng.random(shape) < 0.3) for shape in ((200, 4), (4, 100)))
    options = {"solver": solver, "beta_loss": beta_loss, "random_state": 0, "max_iter": 1000}
    ours, theirs = NMF(4, **options).fit(W @ H), decomposition.NMF(4, **options).fit(W @ H)
    assert ours.n_iter_ < 1000 and ours.reconstruction_err_ <= theirs.reconstruction_err_


def penalised(X, W, H, alpha, l1_ratio):
    "scikit-learn's objective with a penalty on both factors, for the squared error"
    whole = 0.5 * ((X - W @ H) ** 2).sum()
    for A, size in ((W, X.shape[1]), (H, X.shape[0])):
        whole += alpha * size * (l1_ratio * A.sum() + 0.5 * (1 - l1_ratio) * (A**2).sum())
    return whole


@pytest.mark.parametrize("l1_ratio", [1.0, 0.5, 0.0])
@pytest.mark.parametrize("alpha", [0.001, 0.01, 0.1, 0.5])
def test_penalties(alpha, l1_ratio):
    "A start that is too large costs no component: the objective ends where scikit-learn's does, or lower"
    for k, X in ((10, low_rank()), (12, counts()[:100, :60])):
        ends = []
        for kind in (NMF, decomposition.NMF):
            model = kind(k, alpha_W=alpha, l1_ratio=l1_ratio, random_state=0, max_iter=400)
            ends.append(penalised(X, model.fit_transform(X), model.components_, alpha, l1_ratio))
        assert ends[0] < 1.02 * ends[1]
