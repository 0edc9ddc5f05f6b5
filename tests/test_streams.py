"""Fits by batches: what a stream may bring, and what an interrupt or an error leaves behind."""

import signal
import sys
import warnings
from functools import partial

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from sklearn.exceptions import ConvergenceWarning

from nmf_nb import MiniBatchNMF
from nmf_nb.linalg import data_matrix
from nmf_nb.minibatch import cut, stream_start, stream_step
from nmf_nb.train import fit

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(scope="module")
def X():
    rng = np.random.default_rng(0)
    return rng.random((90, 3)) @ rng.random((3, 12)) + 0.01


def pieces(X, size=15):
    return [X[i : i + size] for i in range(0, len(X), size)]


def mixed(X):
    "Batches of two number types, by turns"
    return [piece.astype(np.float32 if i % 2 else np.float64) for i, piece in enumerate(pieces(X))]


@pytest.mark.parametrize("beta", [1, 2])
@pytest.mark.parametrize("first", [np.float32, np.float64])
def test_a_stream_of_two_number_types(X, beta, first):
    "The first batch decides; the components are those of a stream of its type"
    batches = mixed(X) if first is np.float64 else mixed(X)[1:] + mixed(X)[:1]
    model = MiniBatchNMF(3, random_state=0, beta_loss=beta).fit(iter(batches))
    plain = MiniBatchNMF(3, random_state=0, beta_loss=beta).fit(iter([batch.astype(first) for batch in batches]))
    assert model.components_.dtype == first
    np.testing.assert_allclose(model.components_, plain.components_, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("kinds", ["dense sparse", "sparse dense", "tensor sparse", "csr dense"])
def test_a_stream_of_dense_and_sparse_batches(X, kinds):
    "Whatever form its batches come in, a stream is what it is in one form"
    forms = {"dense": np.asarray, "sparse": sp.csr_array, "tensor": torch.from_numpy}
    forms["csr"] = lambda piece: torch.from_numpy(piece).to_sparse_csr()
    first, then = (forms[kind] for kind in kinds.split())
    mixed = [first(piece) if i % 2 == 0 else then(piece) for i, piece in enumerate(pieces(X))]
    models = [MiniBatchNMF(3, random_state=0, device="cpu").fit(iter(stream)) for stream in (mixed, pieces(X))]
    np.testing.assert_allclose(models[0].components_, models[1].components_, rtol=1e-6, atol=1e-9)


def test_the_warning_of_a_short_fit_tells_of_steps(X):
    with pytest.warns(ConvergenceWarning, match=r"of itself in the last [1-9]\d* steps"):
        MiniBatchNMF(3, random_state=0, max_iter=3, tol=1e-9, device="cpu").fit(lambda: iter(pieces(X)))


KINDS = {
    "frame": lambda A: pd.DataFrame(A, columns=[f"word {j}" for j in range(A.shape[1])]),
    "scipy": sp.csr_array,
    "tensor": torch.tensor,
    "COO tensor": lambda A: torch.tensor(A).to_sparse_coo(),
    "CSR tensor": lambda A: torch.tensor(A).to_sparse_csr(),
    "data matrix": lambda A: data_matrix(A, "cpu"),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("beta", [1, 2])
def test_batches_of_any_kind(X, kind, beta):
    "All of the first ones give the start, whatever they are; kinds may be mixed; and nobody is warned"
    plain = MiniBatchNMF(3, random_state=0, beta_loss=beta).fit(iter(pieces(X)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", ConvergenceWarning)
        firsts = [KINDS[kind]] if kind == "frame" else [KINDS[kind], np.asarray]  # a frame has names, an array none
        for first in firsts:
            batches = [first(X[:15]), *map(KINDS[kind], pieces(X)[1:])]
            model = MiniBatchNMF(3, random_state=0, beta_loss=beta).fit(iter(batches))
            np.testing.assert_allclose(model.components_, plain.components_, rtol=1e-6, atol=1e-8)


def test_partial_fit_of_two_number_types(X):
    model, plain = MiniBatchNMF(3, random_state=0), MiniBatchNMF(3, random_state=0)
    for piece in mixed(X):
        model.partial_fit(piece)
        plain.partial_fit(piece.astype(np.float64))
    np.testing.assert_allclose(model.components_, plain.components_, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("scale", [1e300, 1e-300, 1e-310])
@pytest.mark.parametrize("how", ["data", "iterator", "function", "partial_fit"])
def test_data_of_any_size(X, how, scale):
    "The same factors in other units"
    give = {"data": lambda X: X, "iterator": lambda X: iter(pieces(X)), "function": lambda X: lambda: iter(pieces(X))}

    def fitted(X):
        model = MiniBatchNMF(3, init="random", random_state=0, batch_size=15, max_iter=5)
        if how != "partial_fit":
            return model.fit(give[how](X))
        for piece in pieces(X):
            model.partial_fit(piece)
        return model

    one, other = fitted(X), fitted(X * scale)
    shape = [model.components_ / model.components_.max() for model in (one, other)]
    np.testing.assert_allclose(*shape, rtol=1e-3 if scale < 1e-305 else 1e-6, atol=1e-8)
    error = other.reconstruction_err_ / scale if scale > 1e-305 else one.reconstruction_err_  # few digits are left
    assert error == pytest.approx(one.reconstruction_err_, rel=1e-6)


def test_a_batch_that_is_far_larger(X):
    "Among the first rows it decides the units; later an error names it, and the model stays as it was"
    batches = pieces(X)
    batches[2] = batches[2] * 1e300
    model = MiniBatchNMF(3, random_state=0).fit(iter(batches))
    assert np.isfinite(model.components_).all() and model.components_.max() > 1e100
    model = MiniBatchNMF(3, random_state=0).partial_fit(batches[0])
    before = model.components_.copy()
    with pytest.raises(ValueError, match="a batch holds .*e\\+300, and after the first rows of this stream"):
        model.partial_fit(batches[2])
    np.testing.assert_array_equal(model.components_, before)
    assert model.partial_fit(batches[1]).n_steps_ == 2


@pytest.fixture
def ctrl_c():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield partial(signal.raise_signal, signal.SIGINT)
    sys.setprofile(None)
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("fresh", [False, True])
def test_an_interrupt_in_the_last_solve_keeps_the_new_fit_whole(X, ctrl_c, fresh):
    "A refit on wider data: everything that is set belongs to it"

    def press(frame, event, _):
        if event == "call" and frame.f_code.co_name == "solve_rows":
            sys.setprofile(None)
            ctrl_c()

    options = {"random_state": 0, "batch_size": 15, "fresh_restarts": fresh, "max_iter": 20}
    wide, model = np.hstack([X, X]), MiniBatchNMF(3, **options).fit(X)
    whole = MiniBatchNMF(3, **options).fit(wide)
    sys.setprofile(press)
    with pytest.raises(KeyboardInterrupt):
        model.fit(wide)
    assert model.n_features_in_ == 24 and model.components_.shape == (3, 24)
    np.testing.assert_array_equal(model.components_, whole.components_)
    rows = [{**row, "seconds": 0} for row in model.history_]
    assert (rows, model.n_iter_) == ([{**row, "seconds": 0} for row in whole.history_], whole.n_iter_)
    assert whole.reconstruction_err_ <= model.reconstruction_err_ < 2 * whole.reconstruction_err_


@pytest.mark.parametrize(
    "wrong", [lambda X: -X, lambda X: [[np.nan] * 3] * 5, lambda X: iter([]), lambda X: iter([X, -X])]
)
def test_an_error_in_a_refit_keeps_the_old_one(X, wrong):
    model = MiniBatchNMF(3, random_state=0, max_iter=3).fit(X)
    before = {name: value for name, value in vars(model).items() if name.endswith("_")}
    with pytest.raises(ValueError):
        model.fit(wrong(X[:, :6]))
    after = {name: value for name, value in vars(model).items() if name.endswith("_")}
    assert before.keys() == after.keys() and all(before[name] is after[name] for name in before)
    assert model.transform(X).shape == (90, 3)


@pytest.mark.parametrize("sparse", [False, True])
def test_a_state_that_was_seen_is_never_written_to(X, sparse):
    V, kept, states = data_matrix(sp.csr_array(X) if sparse else X, "cpu"), [], []

    def tensors(state):
        return [state.W, state.H, state.memory.P, state.memory.Q, *state.memory.blocks]

    def watch(look, state):
        states.append(state)
        kept.append([A.clone() for A in tensors(state)])

    H = torch.rand(3, 12, dtype=torch.float64)
    start = stream_start(H, torch.rand(90, 3, dtype=torch.float64).split(15))
    fit(stream_step, cut(V, 15), start, 30, tol=0, every=1, on_look=watch)
    assert len(states) == 35  # the start, each batch, and the end of each pass but the last
    assert all(A.equal(B) for old, state in zip(kept, states) for A, B in zip(old, tensors(state)))
