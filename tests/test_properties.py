"""Properties that hold for any data and any parameters, tried on what hypothesis draws.

The ordinary run draws the same few examples each time; `HYPOTHESIS_PROFILE=search pytest tests/test_properties.py`
looks for new ones, thousands a test.
"""

import inspect
import os
import warnings
from decimal import Decimal
from fractions import Fraction
from math import inf, nan

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.base import clone

from nmf_nb import NMF, MiniBatchNMF, non_negative_factorization

COMMON = {"deadline": None, "database": None, "suppress_health_check": list(HealthCheck)}
settings.register_profile("quick", derandomize=True, max_examples=12, phases=[Phase.explicit, Phase.generate], **COMMON)
settings.register_profile("search", max_examples=3000, print_blob=True, **COMMON)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))

LOSSES = {"frobenius": 2, "kullback-leibler": 1, "itakura-saito": 0, 0.5: 0.5, 1.5: 1.5, 3: 3}
METHODS = [
    ("cd", "frobenius"),
    ("pgd", "frobenius"),
    ("newton", "kullback-leibler"),
    *(("mu", loss) for loss in LOSSES),
]
BATCH_METHODS = [("batches", loss) for loss in LOSSES]
DTYPES = (np.float64, np.float32, np.float16, np.int64, np.uint8, np.bool_)

# What the entries of a matrix are drawn from.
ENTRIES = {
    "whole": st.integers(0, 9).map(float),
    "plain": st.floats(0.01, 10),
    "extreme": st.builds(lambda a, e: a * 10.0**e, st.floats(1, 9), st.integers(-30, 29)),
}
WEIGHTS = st.just(0.0) | st.floats(1e-6, 1e6)


def strided(X):
    "A view of every second row and every third column, backwards, of a larger array"
    large = np.zeros((2 * X.shape[0], 3 * X.shape[1]), X.dtype)
    view = large[::-2, ::-3]
    view[:] = X
    return view


def read_only(X):
    X = X.copy()
    X.flags.writeable = False
    return X


def doubled(X):
    "COO in which each entry stands twice, as its value and as 0"
    rows, cols = np.indices(X.shape).reshape(2, 1, -1).repeat(2, 1).reshape(2, -1)
    return sp.coo_array((np.concatenate([X.ravel(), np.zeros_like(X.ravel())]), (rows, cols)), X.shape)


def unsorted(X):
    "CSR whose rows are stored from right to left, zeros included"
    n, m = X.shape
    return sp.csr_array((X[:, ::-1].ravel(), np.tile(np.arange(m)[::-1], n), np.arange(n + 1) * m), X.shape)


DENSE = {
    "C": np.ascontiguousarray,
    "Fortran": np.asfortranarray,
    "strided": strided,
    "read-only": read_only,
    "list": np.ndarray.tolist,
    "frame": pd.DataFrame,
    "tensor": torch.tensor,
    "transposed tensor": lambda X: torch.tensor(X.T.copy()).T,
}
SPARSE = {
    "CSR": sp.csr_array,
    "CSC": sp.csc_array,
    "COO": sp.coo_array,
    "CSR matrix": sp.csr_matrix,
    "doubled": doubled,
    "unsorted": unsorted,
    "CSR tensor": lambda X: torch.tensor(X).to_sparse_csr(),
    "COO tensor": lambda X: torch.tensor(X).to_sparse_coo(),
}


def cast(X, dtype):
    "`X` in another type, what is too large for it cut off"
    top = np.iinfo(dtype).max if np.issubdtype(dtype, np.integer) else 6e4 if dtype is np.float16 else inf
    return np.minimum(X, min(top, 2**60) if np.issubdtype(dtype, np.integer) else top).astype(dtype)


@st.composite
def matrices(draw, shape=None, dtype=None, positive=False, kinds=tuple(ENTRIES)):
    "A non-negative matrix, as a C array"
    n, m = shape or (draw(st.integers(1, 8)), draw(st.integers(1, 8)))
    X = draw(arrays(np.float64, (n, m), elements=ENTRIES[draw(st.sampled_from(kinds))]))
    if not positive:  # whole rows and columns of zeros, and single ones
        X = X * draw(arrays(bool, (n, 1))) * draw(arrays(bool, (1, m))) * draw(arrays(bool, (n, m), fill=st.just(True)))
    X = cast(X, draw(st.sampled_from(DTYPES)) if dtype is None else dtype)
    return np.where(X == 0, X.dtype.type(1), X) if positive else X


def formed(X, form):
    "`X` in one of the forms in which data may come"
    if form in DENSE:
        return DENSE[form](X)
    return SPARSE[form](X.astype(np.float32) if X.dtype == np.float16 else X)  # scipy has no sparse float16


def memory(X):
    "Every byte that the data holds"
    if X is None or isinstance(X, list):
        return repr(X)
    if isinstance(X, pd.DataFrame):
        return X.to_numpy().tobytes()
    if torch.is_tensor(X):
        if X.layout is torch.sparse_csr:
            parts = X.crow_indices(), X.col_indices(), X.values()
        else:
            parts = (X,) if X.layout is torch.strided else (X._indices(), X._values())
        return [part.numpy().tobytes() for part in parts]
    if sp.issparse(X):
        places = X.coords if X.format == "coo" else (X.indices, X.indptr)
        return [part.tobytes() for part in (X.data, *places)]
    return (X if X.base is None else X.base).tobytes()


def dense(X):
    X = X.to_dense().numpy() if torch.is_tensor(X) else X
    return X.toarray() if sp.issparse(X) else np.asarray(X)


def type_of(X):
    "The type of the factors: float32 for float32 and for tensors in half precision, else float64"
    dtype = X.dtypes.iloc[0] if isinstance(X, pd.DataFrame) else getattr(X, "dtype", None)
    return np.float32 if str(dtype) in ("float32", "torch.float32", "torch.float16") else np.float64


def make(method, **parameters):
    "A model, quick to fit"
    solver, loss = method
    parameters = {"beta_loss": loss, "random_state": 0, "max_iter": 10, **parameters}
    return MiniBatchNMF(**{"batch_size": 3, **parameters}) if solver == "batches" else NMF(solver=solver, **parameters)


def quiet(call, *args, **options):
    "Call with numpy's warnings as errors; convergence, and starts that are not used, are no matter"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.filterwarnings("error", category=RuntimeWarning)
        warnings.filterwarnings("ignore", "When (init!=|update_H=)", RuntimeWarning)
        return call(*args, **options)


def answer(call, *args, **options):
    "What a call returns; None where it refuses and says why"
    try:
        return quiet(call, *args, **options)
    except (ValueError, TypeError) as error:
        assert str(error).strip()
        return None


def check_factor(A, shape, dtype):
    assert isinstance(A, np.ndarray) and A.shape == shape and A.dtype == dtype
    assert np.isfinite(A).all() and (A >= 0).all()


def check_model(model, k, m, dtype):
    check_factor(model.components_, (k, m), dtype)
    numbers = [model.objective_, model.reconstruction_err_, *(r["objective"] for r in getattr(model, "history_", []))]
    assert np.isfinite(numbers).all() and model.objective_ >= 0


def check_fit(model, X, k, **options):
    "Fit in both ways, transform; the promises are kept, and nothing that was given is changed"
    (n, m), dtype = dense(X).shape, type_of(X)
    given = [X, *options.values()]
    before = [memory(A) for A in given]
    W = quiet(model.fit_transform, X, **options)
    check_factor(W, (n, k), dtype)
    check_model(model, k, m, dtype)
    quiet(model.fit, X, **options)
    check_model(model, k, m, dtype)
    mask = {"missing": options["missing"]} if "missing" in options else {}
    check_factor(quiet(model.transform, X, **mask), (n, k), dtype)
    assert [memory(A) for A in given] == before


@st.composite
def parameters_for(draw, method, shape):
    "The number of components, and valid parameters"
    k = draw(st.integers(1, 6))
    inits = [None, "random", *(["nndsvd", "nndsvda", "nndsvdar"] if k <= min(shape) else [])]
    chosen = {
        "init": st.sampled_from(inits),
        "alpha_W": st.sampled_from([0.0, 0.0, 1e-3, 1.0, 100]),
        "alpha_H": st.sampled_from(["same", 0.0, 1e-3, 1.0]),
        "l1_ratio": st.sampled_from([0.0, 0.5, 1]),
        "tol": st.sampled_from([0, 1e-4, 1]),
        "max_iter": st.sampled_from([1, 5, 20]),
    }
    if method[0] == "batches":
        chosen |= {"fresh_restarts": st.booleans(), "forget_factor": st.sampled_from([0, 0.7, 1])}
        chosen |= {"max_no_improvement": st.sampled_from([None, 1, 10]), "batch_size": st.integers(1, 10)}
    else:
        chosen |= {"shuffle": st.booleans(), "max_iter": st.sampled_from([0, 1, 5, 20])}
    parameters = draw(st.fixed_dictionaries({}, optional=chosen))
    if method[0] != "batches" and parameters.get("init") in (None, "random"):
        parameters["n_init"] = draw(st.integers(1, 3))
    return {"n_components": k, **parameters}


def fit_anything(data, method, forms):
    "Fit to any data with any valid parameters; for a beta of 0 or less zeros are refused"
    beta = LOSSES[method[1]]
    X = data.draw(matrices(positive=beta <= 0 and data.draw(st.integers(0, 9)) > 0))
    parameters = data.draw(parameters_for(method, X.shape))
    model, X = make(method, **parameters), formed(X, data.draw(st.sampled_from(sorted(forms))))
    if beta <= 0 and (dense(X) == 0).any():
        with pytest.raises(ValueError, match="contains zeros"):
            quiet(model.fit, X)
    else:
        check_fit(model, X, parameters["n_components"])


@pytest.mark.parametrize("method", METHODS + BATCH_METHODS, ids=str)
@given(data=st.data())
def test_any_dense_data(method, data):
    fit_anything(data, method, DENSE)


@pytest.mark.parametrize("method", METHODS + BATCH_METHODS, ids=str)
@given(data=st.data())
def test_any_sparse_data(method, data):
    fit_anything(data, method, SPARSE)


@given(data=st.data())
def test_the_function(data):
    "It gives what the estimator gives, and weights for components that stay"
    method = data.draw(st.sampled_from(METHODS))
    X = data.draw(matrices(positive=LOSSES[method[1]] <= 0))
    parameters, form = data.draw(parameters_for(method, X.shape)), data.draw(st.sampled_from(sorted(DENSE | SPARSE)))
    X = formed(X, form)
    model, before = make(method, **parameters), memory(X)
    options = {k: v for k, v in model.get_params().items() if k != "n_components"}
    W, H, steps = quiet(non_negative_factorization, X, n_components=model.n_components, **options)
    assert np.array_equal(W, quiet(model.fit_transform, X)) and np.array_equal(H, model.components_)
    assert 0 <= steps <= model.max_iter
    W, kept, steps = quiet(non_negative_factorization, X, H=H, update_H=False, **options)
    check_factor(W, (len(W), len(H)), type_of(X))
    assert np.array_equal(kept, H) and steps == 0 and memory(X) == before


# Values of any kind, for any parameter. A large whole number is a request for time or memory: see `LARGE`.
VALUES = [None, True, False, "", "auto", "same", "custom", "nonsense", b"cpu", nan, inf, -inf, -1, -0.5, 0, 0.0, 1, 1.0]
VALUES += [2, 3, 0.5, 1.5, 1e-300, 5e-324, 1e20, 1e300, 1j, [], [1], [[1.0] * 4], [[1.0], [1.0, 2.0]], (), {}, int, len]
VALUES += [np.int64(2), np.float32(0.5), np.bool_(True), np.array(2), np.array([1.0, 2.0]), np.full((2, 4), nan), pd.NA]
VALUES += [Decimal(1), Fraction(1, 2), torch.tensor(1.0), torch.ones(2, 4), sp.csr_array(np.ones((2, 4)))]
VALUES += [np.random.RandomState(0), np.random.default_rng(0), np.datetime64("NaT"), np.array(["a", "b"]), object()]
LARGE = [2**31, 2**64, 10**400]
UNBOUNDED = ("n_components", "n_init", "fresh_restarts_max_iter")  # these would take the memory or the time
SAMPLES = st.sampled_from([np.random.default_rng(0).random((5, 4)), np.eye(5, 4, dtype=np.float32), np.zeros((5, 4))])
PARAMETERS = {kind: sorted(inspect.signature(kind).parameters) for kind in (NMF, MiniBatchNMF)}


def values_of(name):
    return st.sampled_from(VALUES if name in UNBOUNDED else VALUES + LARGE)


def try_parameters(kind, loss, X, changes):
    "Fit with some parameters changed: an answer that keeps the promises, or a refusal that says why"
    solver = {"solver": "mu"} if kind is NMF and loss != "frobenius" else {}
    model = kind(2, **solver, beta_loss=loss, max_iter=5, random_state=0).set_params(**changes)
    W = answer(model.fit_transform, X)
    if W is not None:
        check_factor(W, (5, len(model.components_)), X.dtype)
        check_model(model, len(model.components_), 4, X.dtype)
        check_factor(quiet(model.transform, X), W.shape, X.dtype)


@pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind, names in PARAMETERS.items() for name in names], ids=str
)
@given(data=st.data())
def test_any_value_of_a_parameter(kind, name, data):
    loss = data.draw(st.sampled_from(["frobenius", "kullback-leibler", 1.5]))
    try_parameters(kind, loss, data.draw(SAMPLES), {name: data.draw(values_of(name))})


@pytest.mark.parametrize("kind", PARAMETERS)
@given(data=st.data())
def test_any_values_of_some_parameters(kind, data):
    names = data.draw(st.lists(st.sampled_from(PARAMETERS[kind]), min_size=2, max_size=4, unique=True))
    others = st.one_of(st.floats(), st.integers(-(2**70), 50), st.text(max_size=5), st.lists(st.floats(), max_size=3))
    changes = {name: data.draw(values_of(name) | others) for name in names}
    assume(not {"tol", "max_iter"} <= changes.keys())  # together they may ask for ever
    try_parameters(kind, "frobenius", data.draw(SAMPLES), changes)


@pytest.mark.parametrize(
    "name", ["W", "H", "n_components", "update_H", *sorted(set(PARAMETERS[NMF]) - {"n_components"})]
)
@given(data=st.data())
def test_any_argument_of_the_function(name, data):
    X, H = np.random.default_rng(0).random((2, 4)), np.random.default_rng(1).random((2, 4))
    update_H, value = data.draw(st.booleans()), data.draw(values_of(name))
    W = np.ones((2, 2)) if update_H else None
    options = {"init": "custom", "max_iter": 5, "random_state": 0, "update_H": update_H, "W": W, "H": H, name: value}
    found = answer(non_negative_factorization, X, **options)
    if found is not None:
        for A, shape in zip(found, ((2, len(found[1])), (len(found[1]), 4))):
            check_factor(A, shape, np.float64)


@pytest.mark.parametrize("name", ["X", "y", "W", "H", "missing", "sample_weight"])
@given(data=st.data())
def test_any_argument_of_fit(name, data):
    "Of any kind: an answer or a refusal"
    kind, value = data.draw(st.sampled_from([NMF, MiniBatchNMF])), data.draw(st.sampled_from(VALUES))
    assume(kind is NMF or name not in ("missing", "sample_weight"))
    rng = np.random.default_rng(0)
    options = {"X": rng.random((2, 4)), "W": rng.random((2, 2)), "H": rng.random((2, 4)), name: value}
    model = kind(2, init=data.draw(st.sampled_from(["custom", None])), max_iter=5)
    W = answer(model.fit_transform, **options)
    if W is not None:
        check_factor(W, (len(W), 2), W.dtype)
        check_model(model, 2, 4, W.dtype)
        assert name != "X" or dense(value).shape[1] == 4


@pytest.mark.parametrize("name", ["transform", "score", "inverse_transform", "partial_fit"])
@given(value=st.sampled_from(VALUES))
def test_any_argument_of_a_fitted_model(name, value):
    model = quiet(MiniBatchNMF(2, max_iter=5, random_state=0).fit, np.random.default_rng(0).random((6, 4)))
    found = answer(getattr(model, name), value)
    if found is not None and name == "transform":
        check_factor(found, (len(found), 2), found.dtype)
    check_model(model, 2, 4, model.components_.dtype)


BAD = {
    "NaN": lambda X, i, j: spoilt(X, i, j, nan),
    "inf": lambda X, i, j: spoilt(X, i, j, inf),
    "minus inf": lambda X, i, j: spoilt(X, i, j, -inf),
    "negative": lambda X, i, j: spoilt(X, i, j, -1e-3),
    "strings": lambda X, i, j: X.astype(str).astype(object).tolist()[:1] + [["a"] * X.shape[1]],
    "objects": lambda X, i, j: np.full(X.shape, object()),
    "None inside": lambda X, i, j: spoilt(X.astype(object), i, j, None),
    "complex": lambda X, i, j: X + 1j,
    "no rows": lambda X, i, j: X[:0],
    "no columns": lambda X, i, j: X[:, :0],
    "one number": lambda X, i, j: X[i, j],
    "one dimension": lambda X, i, j: X[i],
    "three dimensions": lambda X, i, j: X[None],
    "ragged": lambda X, i, j: [*X.tolist(), [1.0] * (X.shape[1] + 1)],
}
NUMBERS = ("NaN", "inf", "minus inf", "negative", "no rows", "no columns")  # may come in any form


def spoilt(X, i, j, value):
    X = X.copy()
    X[i, j] = value
    return X


@pytest.mark.parametrize("fault", BAD)
@given(data=st.data())
def test_bad_data_is_refused(fault, data):
    "By every method that takes data, whatever the solver and the form, and the model is as it was"
    method = data.draw(st.sampled_from(METHODS + BATCH_METHODS))
    X = data.draw(matrices(dtype=data.draw(st.sampled_from([np.float32, np.float64])), positive=True))
    model = make(method, n_components=2)
    good = quiet(model.fit, X).components_
    bad = BAD[fault](X, data.draw(st.integers(0, X.shape[0] - 1)), data.draw(st.integers(0, X.shape[1] - 1)))
    if fault in NUMBERS:
        bad = formed(bad, data.draw(st.sampled_from(sorted(DENSE | SPARSE))))
    name = data.draw(st.sampled_from(["fit", "fit_transform", "transform", "score", "partial_fit"]))
    call = getattr(model, name, model.fit)
    with pytest.raises((ValueError, TypeError), match=r"\S"):
        quiet(call, bad)
    assert model.components_ is good


@given(data=st.data())
def test_other_columns_are_refused(data):
    "transform, score, partial_fit and inverse_transform of data with another number of columns"
    method = data.draw(st.sampled_from(METHODS + BATCH_METHODS))
    X, Y = data.draw(matrices(positive=True)), data.draw(matrices(positive=True))
    assume(X.shape[1] != Y.shape[1])
    model = quiet(make(method, n_components=9).fit, X)
    Y = formed(Y, data.draw(st.sampled_from(sorted(DENSE | SPARSE))))
    calls = [model.transform, model.score, model.inverse_transform]
    for call in calls + ([model.partial_fit] if method[0] == "batches" else []):
        with pytest.raises((ValueError, TypeError), match=r"\S"):
            quiet(call, Y)


@st.composite
def masks(draw, shape):
    "Which entries are missing: some, or whole rows and columns, or all"
    n, m = shape
    sides = draw(arrays(bool, (n, 1), fill=st.just(False))) | draw(arrays(bool, (1, m), fill=st.just(False)))
    return sides | draw(arrays(bool, shape, fill=st.just(False)))


MASKS = {
    "array": lambda gaps: gaps,
    "list": np.ndarray.tolist,
    "frame": pd.DataFrame,
    "tensor": torch.tensor,
    "CSR": sp.csr_array,
    "COO": sp.coo_array,
    "CSC": sp.csc_array,
    "COO tensor": lambda gaps: torch.tensor(gaps).to_sparse_coo(),
}


@pytest.mark.parametrize("method", METHODS, ids=str)
@given(data=st.data())
def test_missing_entries(method, data):
    "Marked by a mask or as NaN: the same fit, finite where whole rows and columns are missing"
    X = data.draw(matrices(dtype=data.draw(st.sampled_from([np.float32, np.float64])), positive=LOSSES[method[1]] <= 0))
    gaps, parameters = data.draw(masks(X.shape)), data.draw(parameters_for(method, X.shape))
    k, form = parameters["n_components"], data.draw(st.sampled_from(sorted(DENSE | SPARSE)))
    hidden = np.where(gaps, data.draw(st.sampled_from([nan, 0.0, 7.0])), X).astype(X.dtype)
    if LOSSES[method[1]] <= 0 and form in SPARSE:
        hidden = X  # zeros that are not stored are observed
    one, two = make(method, **parameters), make(method, **parameters, missing_values=nan)
    mask = MASKS[data.draw(st.sampled_from(sorted(MASKS)))](gaps)
    check_fit(one, formed(hidden, form), k, missing=mask)
    check_fit(two, formed(np.where(gaps, nan, X).astype(X.dtype), form), k)
    assert np.array_equal(one.components_, two.components_) and one.objective_ == two.objective_


@pytest.mark.parametrize("method", METHODS, ids=str)
@given(data=st.data())
def test_sample_weights(method, data):
    "Zeros among them, or all of them: the promises are kept; the wrong kind is refused"
    beta = LOSSES[method[1]]
    X = data.draw(matrices(positive=beta <= 0))
    parameters, n = data.draw(parameters_for(method, X.shape)), len(X)
    u = data.draw(arrays(np.float64, n, elements=WEIGHTS))
    model, k = make(method, **parameters), parameters["n_components"]
    bad = data.draw(st.sampled_from([np.append(u, 1.0), u - u.max() - 1, spoilt(u[None], 0, 0, nan)[0], u[None], "ab"]))
    X = formed(X, data.draw(st.sampled_from(sorted(DENSE | SPARSE))))
    assert answer(model.fit, X, sample_weight=bad) is None
    starts_by_svd = str(model.init).startswith("nndsvd")
    if not u.any() or starts_by_svd and k > min(u.sum(), dense(X).shape[1]):
        assert answer(model.fit, X, sample_weight=u) is None
    else:
        check_fit(model, X, k, sample_weight=data.draw(st.sampled_from([u, u.tolist(), u.astype(np.float32)])))


@pytest.mark.parametrize("method", METHODS, ids=str)
def test_sample_weights_of_any_size(method):
    "Weights of 1e-300 or 1e300 are as good as weights near 1, penalties included"
    beta, rng = LOSSES[method[1]], np.random.default_rng(0)
    X, u = rng.random((9, 3)) @ rng.random((3, 6)) + 0.1, rng.random(9)
    start = {"W": rng.random((9, 3)), "H": rng.random((3, 6))}
    options = {"alpha_W": 1e-3, "l1_ratio": 0.5, "max_iter": 30, "tol": 0, "init": "custom"}
    model = NMF(3, solver=method[0], beta_loss=beta, **options).fit(X, **start, sample_weight=u)
    for power in (-996, 996):
        far = clone(model).fit(X, **start, sample_weight=2.0**power * u)
        np.testing.assert_allclose(far.components_, model.components_, rtol=1e-6, atol=1e-9)
        assert np.log2(far.objective_) == pytest.approx(np.log2(model.objective_) + power, abs=1e-6)


@pytest.mark.parametrize("size", [1e-44, 1e-40, 1e37])
def test_float32_at_the_ends_of_its_range(size):
    rng = np.random.default_rng(0)
    X = (size * (rng.random((9, 3)) @ rng.random((3, 6)) + 0.1)).astype(np.float32)
    for solver, beta in (("cd", 2), ("mu", 1)):
        model = NMF(3, solver=solver, beta_loss=beta, random_state=0, max_iter=200, tol=0)
        W = model.fit_transform(X).astype(float)
        assert model.components_.dtype == np.float32
        np.testing.assert_allclose(W @ model.components_, X, atol=max(0.05 * float(X.max()), 1e-45))


def test_penalties_beside_tiny_and_huge_data():
    "Beside data of 1e-300 a strength of 1 leaves nothing, beside 1e300 it is nothing"
    X = np.random.default_rng(0).random((9, 6))
    for solver, beta in (("cd", 2), ("pgd", 2), ("mu", 1), ("mu", 2)):
        model = NMF(2, solver=solver, beta_loss=beta, alpha_W=1.0, l1_ratio=0.5, random_state=0, max_iter=50, tol=0)
        W = model.fit_transform(1e-300 * X)
        assert not W.any() and not model.components_.any() and model.transform(1e-300 * X).max() == 0
        if beta == 2:
            start = {"W": 1e150 * X[:, :2], "H": 1e150 * X[:2]}  # the start of a name would be another with a penalty
            model.set_params(init="custom")
            free = clone(model).set_params(alpha_W=0.0).fit(1e300 * X, **start)
            np.testing.assert_allclose(model.fit(1e300 * X, **start).components_, free.components_)


def test_sample_weights_of_small_data():
    "Penalties that leave the range of float32, rows of weight 0 with all there is or with next to nothing"
    X = np.zeros((6, 6), np.float32)
    X[0, 3], X[1:, 3] = 1e-20, 1
    alone = NMF(1, solver="mu", beta_loss=1).fit(X[1:])
    model = NMF(1, solver="mu", beta_loss=1).fit(X, sample_weight=[0] + [8546] * 5)
    np.testing.assert_allclose(model.components_ / model.components_.sum(), alone.components_ / alone.components_.sum())
    penalties = {"alpha_W": 1.0, "l1_ratio": 0.5, "max_iter": 20, "tol": 0}
    for solver in ("cd", "pgd", "mu"):
        for u in ([1.0, 1.0], [1.0, 0.0]):
            check_fit(NMF(1, solver=solver, **penalties), np.float32([[0, 0], [0, 1e-25]]), 1, sample_weight=u)


@pytest.mark.parametrize("power", [-516, -250, 250, 498])
@pytest.mark.parametrize("method", METHODS, ids=str)
def test_data_of_any_size(method, power):
    "Nothing but the size of the results depends on the unit, out to the ends of float64; an objective may be 0 or infinite"
    beta, rng = LOSSES[method[1]], np.random.default_rng(0)
    X = rng.random((9, 3)) @ rng.random((3, 6)) + 0.1
    X = np.rint(2**20 * X / X.max()) / 2**20  # few digits, which the smallest numbers keep; its largest entry is 1
    model = NMF(3, solver=method[0], beta_loss=beta, random_state=0, max_iter=40, tol=0)
    near, far = clone(model).fit(X), model.fit(X * 2.0**power * 2.0**power)
    np.testing.assert_allclose(far.components_ / 2.0**power, near.components_, rtol=1e-6, atol=1e-12)
    rows = far.transform(X * 2.0**power * 2.0**power) / 2.0**power
    np.testing.assert_allclose(rows, near.transform(X), rtol=1e-6, atol=1e-9)
    logs = np.log2(near.reconstruction_err_) + power * beta
    if abs(logs) < 1000:
        assert np.log2(far.reconstruction_err_) == pytest.approx(logs, abs=1e-6)
    assert far.score(X * 2.0**power * 2.0**power) <= 0
    assert not np.isnan([row["objective"] for row in far.history_]).any()


@pytest.mark.parametrize("method", METHODS, ids=str)
@given(data=st.data())
def test_fixed_components(method, data):
    "They stay as they are, beside weights and gaps"
    beta, dtype = LOSSES[method[1]], data.draw(st.sampled_from([np.float32, np.float64]))
    X = data.draw(matrices(dtype=dtype, positive=beta <= 0))
    parameters = data.draw(parameters_for(method, X.shape))
    k, gaps = parameters["n_components"], data.draw(masks(X.shape))
    F = data.draw(matrices((data.draw(st.integers(1, k)), X.shape[1]), dtype, kinds=("whole", "plain")))
    options = {"missing": gaps} if data.draw(st.booleans()) else {}
    if parameters.get("init") in (None, "random") and data.draw(st.booleans()):
        options["sample_weight"] = np.append(1.0, data.draw(arrays(np.float64, len(X) - 1, elements=WEIGHTS)))
    model, before = make(method, **parameters, fixed_components=F), memory(F)
    check_fit(model, X, k, **options)
    np.testing.assert_allclose(model.components_[: len(F)], F, rtol=1e-6)
    assert memory(F) == before


@pytest.mark.parametrize("method", METHODS + BATCH_METHODS, ids=str)
@given(data=st.data())
def test_custom_starts(method, data):
    "Zeros in them, any layout; one that is full of zeros is refused"
    dtype, k = data.draw(st.sampled_from([np.float32, np.float64])), data.draw(st.integers(1, 6))
    X = data.draw(matrices(dtype=dtype, positive=LOSSES[method[1]] <= 0))
    W, H = (data.draw(matrices(shape, dtype, kinds=("whole", "plain"))) for shape in ((X.shape[0], k), (k, X.shape[1])))
    W, H = (formed(A, data.draw(st.sampled_from(["C", "Fortran", "strided", "read-only", "tensor"]))) for A in (W, H))
    model = make(method, n_components=data.draw(st.sampled_from([k, "auto"])), init="custom")
    if W.any() and H.any():
        check_fit(model, X, k, W=W, H=H)
    else:
        with pytest.raises(ValueError, match="full of zeros"):
            quiet(model.fit, X, W=W, H=H)


@pytest.mark.parametrize("method", BATCH_METHODS, ids=str)
@given(data=st.data())
def test_batches(method, data):
    "partial_fit batch by batch, and streams of the same batches, whatever their sizes and forms"
    positive, m = LOSSES[method[1]] <= 0, data.draw(st.integers(1, 6))
    dtype = data.draw(st.sampled_from(DTYPES))
    sizes = data.draw(st.lists(st.integers(1, 5), min_size=1, max_size=5))
    plain = [data.draw(matrices((b, m), dtype, positive)) for b in sizes]
    form = data.draw(st.sampled_from(sorted(DENSE | SPARSE)))
    batches = [formed(X, form) for X in plain]
    before, dtype = [memory(X) for X in batches], type_of(batches[0])
    parameters = data.draw(parameters_for(method, plain[0].shape))
    k, model = parameters["n_components"], make(method, **parameters)
    for i, X in enumerate(batches, 1):
        quiet(model.partial_fit, X)
        check_model(model, k, m, dtype)
        assert model.n_steps_ == i
        check_factor(quiet(model.transform, X), (plain[i - 1].shape[0], k), dtype)
    for stream in (iter(batches), lambda: iter(batches)):
        check_model(quiet(make(method, **parameters).fit, stream), k, m, dtype)
    assert [memory(X) for X in batches] == before


@pytest.mark.parametrize("method", METHODS + BATCH_METHODS, ids=str)
@given(data=st.data())
def test_rows_are_transformed_independently(method, data):
    "The weights of a row do not depend on the rows beside it"
    X = data.draw(matrices(dtype=np.float64, positive=LOSSES[method[1]] <= 0))
    Y = data.draw(matrices((data.draw(st.integers(2, 8)), X.shape[1]), np.float64, LOSSES[method[1]] <= 0))
    model = quiet(make(method, **data.draw(parameters_for(method, X.shape))).fit, X)
    form = data.draw(st.sampled_from([np.asarray, sp.csr_array]))
    together = quiet(model.transform, form(Y))
    alone = np.concatenate([quiet(model.transform, form(Y[i : i + 1])) for i in range(len(Y))])
    largest = together.max(1, keepdims=True)
    assert (np.abs(alone - together) <= 1e-6 * largest).all()
