"""Missing entries, for every step, divergence and way to store them."""

from functools import partial
from itertools import islice, repeat

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from nmf_nb.divergence import beta_divergence, kkt_residual
from nmf_nb.gradient import pgd_step
from nmf_nb.hals import extrapolated_step, hals_step, momentum
from nmf_nb.init import nndsvd, random_start, random_starts
from nmf_nb.linalg import DenseMatrix, SparseMatrix, data_matrix
from nmf_nb.mu import mu_step
from nmf_nb.state import State
from nmf_nb.train import iterate

STEPS = {
    "pgd": (pgd_step, 2),
    "hals": (hals_step, 2),
    "extrapolated": (extrapolated_step, 2),
    **{f"mu {beta}": (partial(mu_step, beta=beta), beta) for beta in (0.5, 1, 1.5, 2, 3)},
}
FORMS = ("dense", "sparse", "most missing", "dense, most missing")


def data(form, other=0.0):
    "Data with gaps in some form; `other` is what stands in the gaps"
    rng = np.random.default_rng(0)
    X = rng.random((30, 20)) * (rng.random((30, 20)) < 0.6)
    gaps = rng.random(X.shape) < (0.9 if "most" in form else 0.2)
    X = np.where(gaps, other, X)
    if form == "most missing":
        rows, cols = (~gaps).nonzero()
        return data_matrix(sp.csr_array((X[rows, cols], (rows, cols)), X.shape), "cpu", missing="unstored")
    sparse = form == "sparse"
    return data_matrix(sp.csr_array(X) if sparse else X, "cpu", missing=sp.coo_array(gaps) if sparse else gaps)


def states(name, V, start=None):
    step, beta = STEPS[name]
    start = random_start(V, 3) if start is None else start
    return iterate(step, repeat(V), begun(name, start)), beta


def begun(name, start):
    return momentum(start) if name == "extrapolated" else start


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", STEPS)
def test_the_observed_objective_never_rises(name, form):
    V = data(form)
    found, beta = states(name, V)
    values = [beta_divergence(V, s.W, s.H, beta).item() for s in islice(found, 60)]
    assert all(b <= a * (1 + 1e-12) for a, b in zip(values, values[1:]))
    assert values[-1] < 0.9 * values[0]


@pytest.mark.parametrize("form", ("dense", "sparse", "dense, most missing"))
@pytest.mark.parametrize("name", STEPS)
def test_a_hidden_entry_has_no_influence(name, form):
    one, two = (next(islice(states(name, data(form, other))[0], 10, None)) for other in (0.0, 7.0))
    assert one.W.equal(two.W) and one.H.equal(two.H)


@pytest.mark.parametrize("form", ("dense", "sparse"))
@pytest.mark.parametrize("name", STEPS)
def test_nothing_hidden_is_the_plain_step(name, form):
    X = np.random.default_rng(0).random((12, 9))
    X = sp.csr_array(X) if form == "sparse" else X
    plain, masked = data_matrix(X, "cpu"), data_matrix(X, "cpu", missing=np.zeros((12, 9), bool))
    a, b = (next(islice(states(name, V)[0], 5, None)) for V in (plain, masked))
    torch.testing.assert_close(a.H, b.H, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", STEPS)
def test_the_forms_agree(name):
    "Dense, sparse with marks and observed entries alone: the same objective, gradient and (but for one) steps"
    rng = np.random.default_rng(1)
    X, gaps = rng.random((15, 10)) + 0.1, rng.random((15, 10)) < 0.3
    rows, cols = (~gaps).nonzero()
    forms = [
        data_matrix(X, "cpu", missing=gaps),
        data_matrix(sp.csr_array(X), "cpu", missing=sp.coo_array(gaps)),
        data_matrix(sp.csr_array((X[rows, cols], (rows, cols)), X.shape), "cpu", missing="unstored"),
    ]
    start, (_, beta) = random_start(forms[0], 3), STEPS[name]
    values = [beta_divergence(V, start.W, start.H, beta) for V in forms]
    residuals = [kkt_residual(V, start.W, start.H, 2) for V in forms]
    ends = [next(islice(states(name, V, start)[0], 3, None)).H for V in forms]
    same = forms[1:] if name in ("mu 0.5", "mu 1", "mu 1.5", "mu 3") else forms  # mu does not fill the last form
    for i in range(1, 3):
        torch.testing.assert_close(values[i], values[0])
        torch.testing.assert_close(residuals[i], residuals[0])
        if len(same) == 3 or i == 1:
            torch.testing.assert_close(ends[i], ends[0], rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", STEPS)
def test_a_batch_equals_its_members(name, form):
    V = data(form)
    starts = [random_start(V, 3, seed) for seed in range(2)]
    many = State(*(torch.stack(f) for f in zip(*(s[:2] for s in starts))))
    many = next(islice(states(name, V, many)[0], 3, None))
    for i, start in enumerate(starts):
        one = next(islice(states(name, V, start)[0], 3, None))
        torch.testing.assert_close(many.H[i], one.H, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("form", FORMS)
def test_starts(form):
    V = data(form)
    start = nndsvd(V, 3, fill="mean")
    assert start.W.min() > 0 and start.H.min() > 0 and start.W.isfinite().all()


@pytest.mark.parametrize("form", ("dense", "sparse", "most missing"))
@pytest.mark.parametrize("name", STEPS)
def test_members_with_gaps_and_weights_of_their_own(name, form):
    "A mask and row weights for each member of a batch: the batch equals its members one by one"
    V, rng = data(form), torch.Generator().manual_seed(0)
    marks = torch.rand(3, *V.values.shape, generator=rng) < 0.3
    marks = marks if V.hidden is None else marks | V.hidden
    V = DenseMatrix(V.V, marks) if form == "dense" else SparseMatrix(V.V, V.Vt, marks, V.observed_only)
    starts, u = random_starts(V, 3, 3, 1), torch.rand(3, 30, generator=rng, dtype=torch.float64) + 0.5
    step, beta = STEPS[name]
    weights = [{}, {"row_weight": u}] if name.startswith("mu") else [{}]
    for weight in weights:
        many = next(islice(iterate(partial(step, **weight), repeat(V), begun(name, starts)), 4, None))
        values = beta_divergence(V, many.W, many.H, beta, u)
        residuals = kkt_residual(V, many.W, many.H, beta)
        for j in range(3):
            one, own = V.members(j), {key: w[j] for key, w in weight.items()}
            assert one.gaps and V.members([0, j]).hidden.shape == (2, *V.values.shape)
            start = State(starts.W[j], starts.H[j])
            state = next(islice(iterate(partial(step, **own), repeat(one), begun(name, start)), 4, None))
            torch.testing.assert_close(many.H[j], state.H, rtol=1e-9, atol=1e-12)
            torch.testing.assert_close(many.W[j], state.W, rtol=1e-9, atol=1e-12)
            torch.testing.assert_close(values[j], beta_divergence(one, state.W, state.H, beta, u[j]))
            torch.testing.assert_close(residuals[j], kkt_residual(one, state.W, state.H, beta))
            torch.testing.assert_close(V.mean(u)[j], one.mean(u[j]))
            torch.testing.assert_close(V.square_norm()[j], one.square_norm())


def test_random_starts_have_the_size_of_each_members_mean():
    V = data_matrix(torch.tensor([[1.0, 100.0], [1.0, 100.0]]), "cpu")
    column = torch.tensor([[True, False], [True, False]])
    starts = random_starts(DenseMatrix(V.V, torch.stack([column, ~column])), 2, 2)
    assert starts.H[0].mean() > 3 * starts.H[1].mean()
