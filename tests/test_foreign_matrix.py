"""A data matrix of the user's own equals the whole: blocks of rows, with and without gaps, a formula, a file."""

import json
import warnings
from functools import partial
from itertools import islice, repeat

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from conftest import ROOT
from scipy.sparse.linalg import aslinearoperator
from sklearn.exceptions import ConvergenceWarning
from torch.testing import assert_close

from nmf_nb import NMF, MiniBatchNMF
from nmf_nb.base import OPTIONS, Solver
from nmf_nb.divergence import beta_divergence, check_beta, kkt_residual, pull_push_H, reconstruction_error
from nmf_nb.exchange import improve
from nmf_nb.gradient import pgd_step, soft_penalty_start, soft_penalty_step
from nmf_nb.hals import extrapolated_step, hals_step, momentum
from nmf_nb.init import nndsvd, random_start, random_starts
from nmf_nb.linalg import DataMatrix, DenseMatrix, data_matrix, filled
from nmf_nb.mu import mu_step
from nmf_nb.state import State
from nmf_nb.train import iterate
from nmf_nb.weights import solve_rows


def from_page():
    "The classes that the how-to writes"
    page = json.loads((ROOT / "nbs/howto/own_data_matrix.ipynb").read_text(encoding="utf-8"))["cells"]
    code, space = ["".join(c["source"]) for c in page if c["cell_type"] == "code"], {}
    for source in (code[0], *(source for source in code if source.startswith("class "))):
        exec(source, space)
    return space


PAGE = from_page()
RowBlocks, ProductMatrix = PAGE["RowBlocks"], PAGE["ProductMatrix"]
N, M = 37, 23
CUTS = (0, 10, 11, 30, N)
BETAS = (2, 1, 0, 0.5, 1.5, 3)
STEPS = {
    **{f.__name__: (f, 2) for f in (pgd_step, hals_step, extrapolated_step)},
    **{f"mu {beta}": (partial(mu_step, beta=beta), beta) for beta in BETAS},
}


class Least(DataMatrix):
    "No more than the contract asks for: an array of numpy's whose rows are made tensors on demand"

    full = True

    def __init__(self, X):
        self.X, self.shape, self.device = X, X.shape, torch.device("cpu")
        self.dtype = torch.from_numpy(X[:1]).dtype

    def rows(self, at):
        return DenseMatrix(torch.from_numpy(self.X[at].copy()))

    def blocks(self, rows=None):
        return super().blocks(rows or 8)


def pieces(X, gaps, kinds):
    "Blocks of rows, each in its form"
    for kind, a, b in zip(kinds, CUTS, CUTS[1:]):
        x, g = X[a:b], None if gaps is None else gaps[a:b]
        if kind == "few":
            rows, cols = (~g).nonzero()
            yield data_matrix(sp.csr_array((x[rows, cols], (rows, cols)), x.shape), "cpu", missing="unstored")
        else:
            mask = None if g is None else sp.coo_array(g) if kind == "sparse" else g
            yield data_matrix(sp.csr_array(x) if kind == "sparse" else x, "cpu", missing=mask)


def both(form, dtype=np.float64, positive=False):
    "The foreign matrix and the whole one"
    rng = np.random.default_rng(0)
    X = (rng.random((N, M)) + 0.1).astype(dtype)
    X = X if positive or "formula" in form or "few" in form else X * (rng.random((N, M)) < 0.5)
    if form == "least":
        return Least(X), data_matrix(X, "cpu")
    if form == "formula":
        s, D, S = (torch.from_numpy(rng.random(shape).astype(dtype) + 0.1) for shape in (N, (N, 5), (5, M)))
        return ProductMatrix(s, D, S), data_matrix(s[:, None] * (D @ S), "cpu")
    gaps = rng.random((N, M)) < (0.7 if "few" in form else 0.2) if "gaps" in form or "few" in form else None
    word = form.split()[0]
    kinds = {"mixed": ("dense", "sparse", "sparse", "dense")}.get(word, (word,) * 4)
    whole = {"mixed": "sparse"}.get(word, word)
    if whole == "few":
        rows, cols = (~gaps).nonzero()
        whole = data_matrix(sp.csr_array((X[rows, cols], (rows, cols)), X.shape), "cpu", missing="unstored")
    else:
        mask = None if gaps is None else sp.coo_array(gaps) if whole == "sparse" else gaps
        whole = data_matrix(sp.csr_array(X) if whole == "sparse" else X, "cpu", missing=mask)
    return RowBlocks(*pieces(X, gaps, kinds)), whole


FORMS = ("dense", "sparse", "mixed", "dense, gaps", "sparse, gaps", "mixed gaps", "few observed", "least", "formula")
FORMS = tuple(form.replace(",", "") for form in FORMS)


def cases(form, dtype=np.float64):
    "The matrices, and the betas that their data allows"
    one, whole = both(form, dtype)
    zeros = whole.total(lambda v, x: v > 0) < whole.count()
    return one, whole, [beta for beta in BETAS if beta > 0 or not zeros]


def alike(a, b, dtype=np.float64):
    rtol = 1e-9 if dtype is np.float64 else 2e-4
    assert_close(a, b, rtol=rtol, atol=rtol)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("form", FORMS)
def test_contract(form, dtype):
    one, whole = both(form, dtype)
    assert data_matrix(one, "cpu") is one
    rng, u = torch.Generator().manual_seed(0), torch.rand(N, dtype=torch.float64) + 0.5
    W, H = (torch.rand(shape, generator=rng, dtype=one.dtype) for shape in ((2, N, 4), (2, 4, M)))
    for a, b in ((one, whole), (one.scaled(u), whole.scaled(u)), (one.to(torch.float64), whole.to(torch.float64))):
        B, C = H[0].mT.to(a.dtype), W.to(a.dtype)
        alike(a @ B, b @ B, dtype)
        alike(a.T @ C, b.T @ C, dtype)
        alike(a.square_norm(), b.square_norm(), dtype)
        assert a.largest() == pytest.approx(b.largest(), rel=1e-6) and (a.dtype, a.gaps) == (b.dtype, b.gaps)
        for weight in (None, u):
            alike(a.count(weight), b.count(weight))
            alike(a.mean(weight), b.mean(weight), dtype)
            for w, h in ((None, None), (C, H.to(a.dtype)), (C[0], H[0].to(a.dtype))):
                f = (lambda v, x: v * v) if w is None else lambda v, x: v * (v - x)
                alike(a.total(f, w, h, weight), b.total(f, w, h, weight), dtype)
        for w, h in ((C, H.to(a.dtype)), (C[0], H[0].to(a.dtype))):
            f = lambda v, x: v * x  # noqa: E731
            alike(a.map(f, w, h).T @ w, b.map(f, w, h).T @ w, dtype)
            alike(a.T.map(f, h.mT, w.mT).T @ h.mT, b.map(f, w, h) @ h.mT, dtype)
            alike(a.map(f, w, h).square_norm(), b.map(f, w, h).square_norm(), dtype)
            for one_of, other in zip(a.maps([f, f], w, h), b.maps([f, f], w, h)):
                alike(one_of @ h.mT, other @ h.mT, dtype)
    for rows in (1, 7, N):
        assert [at.stop - at.start for at, _ in one.blocks(rows)] == [min(rows, N - i) for i in range(0, N, rows)]


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("form", FORMS)
def test_objective(form, dtype):
    one, whole, betas = cases(form, dtype)
    start, u = random_start(whole, 4), torch.rand(N, dtype=torch.float64) + 0.5
    for beta in betas:
        check_beta(one, beta)
        for weight in (None, u):
            values = [beta_divergence(V, start.W, start.H, beta, weight) for V in (one, whole)]
            alike(*values, dtype)
            for a, b in zip(*(pull_push_H(V, start.W, start.H, beta, weight) for V in (one, whole))):
                alike(a, b, dtype)
        alike(*(kkt_residual(V, start.W, start.H, beta) for V in (one, whole)), dtype)
    errors = [reconstruction_error(V, start.W, start.H) for V in (one, whole)]
    assert errors[0] == pytest.approx(errors[1], rel=1e-6)


@pytest.mark.parametrize("form", FORMS)
def test_starts(form):
    one, whole = both(form)
    u = torch.rand(N, dtype=torch.float64) + 0.5
    for weight in (None, u):
        for V, W in ((one, whole),):
            for a, b in zip(random_starts(V, 4, 3, 1, weight)[:2], random_starts(W, 4, 3, 1, weight)[:2]):
                alike(a, b)
            for fill in ("zero", "mean", "random"):
                for a, b in zip(nndsvd(V, 4, 1, fill, weight)[:2], nndsvd(W, 4, 1, fill, weight)[:2]):
                    assert_close(a, b, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("form", FORMS)
def test_steps(form):
    one, whole, betas = cases(form)
    for name, (step, beta) in STEPS.items():
        if beta not in betas:
            continue
        for start in (random_start(whole, 4), random_starts(whole, 4, 2)):
            start = momentum(start) if name == "extrapolated_step" else start
            ends = [next(islice(iterate(step, repeat(V), start), 6, None)) for V in (one, whole)]
            assert_close(ends[0].H, ends[1].H, rtol=1e-7, atol=1e-9)
            assert_close(ends[0].W, ends[1].W, rtol=1e-7, atol=1e-9)
    u = torch.rand(N, dtype=torch.float64) + 0.5
    for beta in betas:
        ends = [mu_step(V, State(*random_start(whole, 4)[:2]), beta, row_weight=u).H for V in (one, whole)]
        alike(*ends)


@pytest.mark.parametrize("form", ("least", "sparse", "mixed"))
def test_autograd(form):
    "The product has its derivative, whatever kind gives it"
    one, whole = both(form)
    start = random_start(whole, 3)
    ends = []
    for V in (one, whole):
        state = soft_penalty_start(start.W, start.H, lr=1e-2)
        ends.append(next(islice(iterate(soft_penalty_step, repeat(V), state), 5, None)).H.detach().clone())
    alike(*ends)


@pytest.mark.parametrize("form", ("few observed", "sparse gaps"))
def test_what_is_said_is_checked(form):
    one, _ = both(form)
    one.gaps = one.observed_only = one.full = False
    with pytest.raises(ValueError, match="RowBlocks"):
        data_matrix(one)


@pytest.mark.parametrize("bad, words", [(-1.0, "holds -1"), (np.nan, "holds nan"), (np.inf, "holds inf")])
def test_entries_are_checked(bad, words):
    X = np.ones((N, M))
    X[-1, -1] = bad
    with pytest.raises(ValueError, match=words):
        data_matrix(Least(X))


def test_kinds_that_lack_something():
    class Nothing(DataMatrix):
        shape, dtype, device = (3, 2), torch.float64, torch.device("cpu")

    with pytest.raises(NotImplementedError, match=r"Nothing has no method rows\(at\)"):
        data_matrix(Nothing())
    V = Least(np.ones((3, 2)))
    for name, value, words in (
        ("dtype", torch.int64, "must be torch.float32 or torch.float64"),
        ("shape", (3, 0), "at least one row"),
        ("shape", (3, 4), "it must give"),
        ("dtype", torch.float32, "it must give"),
    ):
        V = Least(np.ones((3, 2)))
        setattr(V, name, value)
        with pytest.raises((TypeError, ValueError), match=words):
            data_matrix(V)
    V = Least(np.ones((3, 2)))
    with pytest.raises(ValueError, match="says itself what is missing"):
        data_matrix(V, missing="nan")
    assert data_matrix(V, dtype=torch.float32).dtype is torch.float32


def close_models(a, b, X, Y, rtol):
    "Two fits of the same data: their components, weights, errors and scores"
    np.testing.assert_allclose(a.components_, b.components_, rtol=rtol, atol=rtol * b.components_.max())
    assert a.reconstruction_err_ == pytest.approx(b.reconstruction_err_, rel=rtol)
    W = b.transform(Y)
    np.testing.assert_allclose(a.transform(X), W, rtol=rtol, atol=rtol * W.max())


SOLVERS = (("cd", 2), ("pgd", 2), ("newton", 1), *(("mu", beta) for beta in BETAS))
INITS = ("random", "nndsvda", "nndsvdar", "nndsvd", "custom")
FEW = ("mixed gaps", "few observed", "formula")  # the slower betas see these alone
CASES = [(form, *case) for case in SOLVERS for form in (FORMS if case[1] in (1, 2) else FEW)]


@pytest.mark.parametrize("turn, form, solver, beta", [(i, *case) for i, case in enumerate(CASES)])
def test_estimator(turn, form, solver, beta):
    "Starts, number types and row weights take turns; each meets each solver at some form"
    dtype = (np.float64, np.float32)[turn % 2]
    one, whole, betas = cases(form, dtype)
    if beta not in betas:
        one, whole = both("few observed", dtype)
    init = INITS[turn % len(INITS)]
    init = "nndsvda" if (init, solver) == ("nndsvd", "mu") else init
    options = {"solver": solver, "beta_loss": beta, "init": init, "random_state": 0, "max_iter": 10, "tol": 0}
    start = random_start(whole, 3)
    given = {"W": start.W.numpy(), "H": start.H.numpy()} if init == "custom" else {}
    given |= {"sample_weight": np.random.default_rng(2).random(N) + 0.5} if turn % 3 == 0 else {}
    models, rtol = [NMF(3, device="cpu", **options) for _ in range(2)], 1e-6 if dtype is np.float64 else 2e-2
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        weights = [m.fit_transform(V, **given) for m, V in zip(models, (one, whole))]
    close_models(*models, one, whole, rtol)
    np.testing.assert_allclose(*weights, rtol=rtol, atol=rtol * weights[1].max())
    if turn % 4 == 0:
        assert models[0].score(one) == pytest.approx(models[1].score(whole), rel=rtol)


@pytest.mark.parametrize("form, beta", [("mixed", 2), ("mixed", 1), ("sparse", 1.5), ("formula", 0), ("least", 3)])
def test_batches(form, beta):
    "Batches of nine rows, whatever the blocks"
    one, whole = both(form)
    options = {"beta_loss": beta, "random_state": 0, "max_iter": 3, "batch_size": 9, "device": "cpu", "tol": 0}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        models = [MiniBatchNMF(3, **options).fit(V) for V in (one, whole)]
    close_models(*models, one, whole, 1e-6)


def test_estimators_take_the_native_kinds_and_what_they_know():
    "A sparse matrix and its data matrix are one thing to the estimators; it says itself what is missing"
    X = sp.random_array((N, M), density=0.4, rng=np.random.default_rng(0), format="csr")
    a, b = (NMF(3, random_state=0, max_iter=50).fit(V) for V in (X, data_matrix(X, "cpu")))
    np.testing.assert_array_equal(a.components_, b.components_)
    assert b.n_features_in_ == M
    with pytest.raises(ValueError, match="features"):
        b.transform(data_matrix(X[:, :5], "cpu"))
    with pytest.raises(ValueError, match="says itself what is missing"):
        NMF(3).fit(data_matrix(X, "cpu"), missing=np.zeros((N, M), bool))
    bad = Least(np.ones((N, M)))
    bad.X[-1, -1] = -1
    with pytest.raises(ValueError, match="holds -1"):
        NMF(3).fit(bad)


@pytest.mark.parametrize("form", FORMS)
def test_exchanges_and_rows(form):
    one, whole, betas = cases(form)
    start = next(islice(iterate(extrapolated_step, repeat(whole), momentum(random_start(whole, 4))), 10, None))
    assert_close(improve(one, start).H, improve(whole, start).H, rtol=1e-7, atol=1e-9)
    for beta in betas[:2]:
        assert_close(solve_rows(one, start.H, beta), solve_rows(whole, start.H, beta), rtol=1e-7, atol=1e-9)


class ColumnsScaled(DataMatrix):
    "Another matrix, its columns times numbers: rows by the transpose of a block, products by the other's"

    def __init__(self, of, c):
        self.of, self.c, self.shape, self.dtype, self.device = of, c, of.shape, of.dtype, of.device
        self.full, self.gaps, self.observed_only = of.full, of.gaps, of.observed_only

    def rows(self, at):
        return self.of.rows(at).T.scaled(self.c).T

    def matmul(self, B):
        return self.of @ (self.c[:, None] * B)

    def transposed_matmul(self, C):
        return self.c[:, None] * (self.of.T @ C)


def columns_scaled(X, c, gaps, sparse):
    "The wrapper and the whole"
    mask, kind = (sp.csr_array(gaps), sp.csr_array) if sparse else (gaps, np.asarray)
    return ColumnsScaled(data_matrix(kind(X), missing=mask), torch.from_numpy(c)), data_matrix(
        kind(X * c), missing=mask
    )


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("solver, beta", [("cd", 2), ("pgd", 2), ("newton", 1), ("mu", 1), ("mu", 0.5)])
def test_columns_scaled(solver, beta, sparse):
    rng = np.random.default_rng(4)
    X, c, gaps = rng.random((N, M)) * (rng.random((N, M)) < 0.5), rng.random(M) + 0.3, rng.random((N, M)) < 0.2
    pair, u = columns_scaled(X, c, gaps, sparse), rng.random(N) + 0.5
    options = {"solver": solver, "beta_loss": beta, "max_iter": 10, "tol": 0, "random_state": 0, "device": "cpu"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        models = [NMF(3, **options).fit(V, sample_weight=u) for V in pair]
    close_models(*models, *pair, 1e-7)


@pytest.mark.parametrize("call", [lambda X: NMF(2).fit(X), data_matrix])
def test_products_alone_are_refused(call):
    with pytest.raises(TypeError, match=r"has products and no entries.*derive its class from DataMatrix"):
        call(aslinearoperator(np.ones((4, 3))))


def all_honoured(problem):
    "A multiplicative step of one's own that keeps every promise but that of an order of the components"
    penalty, r = problem.penalty, problem.fixed
    l1_W = penalty.l1_W[:, None] if torch.is_tensor(penalty.l1_W) else penalty.l1_W

    def step(V, state):
        W, H, _ = state
        slope = W.mT @ W @ H + penalty.l1_H + penalty.l2_H * H
        moved = H * (filled(V, W, H).T @ W).mT / slope.clamp_min(1e-30)
        H = torch.cat([H[..., :r, :], moved[..., r:, :]], -2)
        slope = W @ (H @ H.mT) + l1_W + penalty.l2_W * W
        return State(W * (filled(V, W, H) @ H.mT) / slope.clamp_min(1e-30), H)

    return step


HONOURED = {
    "penalty": ({"alpha_W": 0.01, "l1_ratio": 0.5}, ()),
    "fixed_components": ({"fixed_components": np.ones((1, M))}, ()),
    "sample_weight": ({"alpha_W": 0.01, "l1_ratio": 0.5}, ("sample_weight",)),
    "missing": ({}, ("missing",)),
    "n_init": ({"n_init": 2, "init": "random"}, ()),
}


@pytest.mark.parametrize("word", HONOURED)
def test_a_solver_of_ones_own_keeps_its_promises(word):
    "The same step as ours in other words: from the same start it goes the same way, on blocks as on the whole"
    options, given = HONOURED[word]
    rng = np.random.default_rng(5)
    X, data = rng.random((N, M)), {"sample_weight": rng.random(N) + 0.5, "missing": rng.random((N, M)) < 0.2}
    given = {name: data[name] for name in given}
    own = Solver(all_honoured, honours=tuple(OPTIONS))
    options = {"max_iter": 20, "tol": 0, "random_state": 0, "device": "cpu", **options}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        one = NMF(3, solver=own, **options).fit(X, **given)
        if word != "missing":
            blocks = RowBlocks(data_matrix(X[:9], "cpu"), data_matrix(sp.csr_array(X[9:]), "cpu"))
            other = NMF(3, solver=own, **options).fit(blocks, **given)
            np.testing.assert_allclose(other.components_, one.components_, rtol=1e-6, atol=1e-9)
        ours = NMF(3, solver="mu", **options).fit(X, **given)
    assert one.objective_ == pytest.approx(ours.objective_, rel=0.02)
    with pytest.raises(ValueError, match=f"cannot honour .*{'alpha_W' if 'alpha_W' in options else word}"):
        NMF(3, solver=Solver(all_honoured), **options).fit(X, **given)


def test_a_step_that_breaks_its_promises_is_found():
    X = np.random.default_rng(6).random((N, M))
    below = Solver(lambda problem: lambda V, state: State(state.W - 9, state.H))
    with pytest.raises(ValueError, match="must keep both factors at 0 or more"):
        NMF(3, solver=below, max_iter=2, tol=0).fit(X)
    moves = Solver(lambda problem: lambda V, state: State(state.W, 2 * state.H), honours=OPTIONS)
    with pytest.raises(ValueError, match="has changed fixed components"):
        NMF(3, solver=moves, max_iter=2, tol=0, fixed_components=X[:1]).fit(X)
    with pytest.raises(TypeError, match="solver=all_honoured is a function; give a Solver"):
        NMF(3, solver=all_honoured).fit(X)


class Ratings(DataMatrix):
    "Entries of which only some are known, by row: what the contract says of such data, and no more"

    gaps = observed_only = True

    def __init__(self, X):
        self.X, self.shape, self.dtype, self.device = X, X.shape, torch.float64, torch.device("cpu")

    def rows(self, at):
        return data_matrix(self.X[at.start : at.stop], "cpu", missing="unstored")


@pytest.mark.parametrize("beta", BETAS)
def test_what_is_not_stored_is_missing_and_not_zero(beta):
    "Whoever says `observed_only` need not say that zeros are stored like other entries"
    X = sp.random_array((N, M), density=0.4, rng=np.random.default_rng(7), format="csr")
    X.data += 0.5
    V, whole = data_matrix(Ratings(X), "cpu"), data_matrix(X, "cpu", missing="unstored")
    W, H, _ = random_start(whole, 3)
    assert_close(beta_divergence(V, W, H, beta), beta_divergence(whole, W, H, beta))
    options = {"solver": "mu", "beta_loss": beta, "max_iter": 20, "tol": 0, "random_state": 0, "device": "cpu"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        a, b = (NMF(3, **options).fit(data) for data in (V, whole))
    np.testing.assert_allclose(a.components_, b.components_, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(a.transform(V), b.transform(whole), rtol=1e-6, atol=1e-9)


def test_a_stream_of_foreign_pieces():
    X = np.random.default_rng(8).random((60, M))
    options = {"random_state": 0, "device": "cpu"}
    ours = MiniBatchNMF(3, **options).fit(iter([Least(X[:20]), Least(X[20:40]), Least(X[40:])]))
    plain = MiniBatchNMF(3, **options).fit(iter([X[:20], X[20:40], X[40:]]))
    np.testing.assert_allclose(ours.components_, plain.components_, rtol=1e-6)
