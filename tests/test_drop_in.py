"""The estimators in a user's code, where the import is all that changes."""

import copy
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections import Counter
from functools import partial

import joblib
import numpy as np
import pandas as pd
import pytest
import sklearn.decomposition
import torch
from sklearn.base import clone
from sklearn.callback import ProgressBar, ScoringMonitor
from sklearn.compose import ColumnTransformer
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer
from threadpoolctl import threadpool_limits

import nmf_nb
from nmf_nb.train import curve_html

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

LIBRARIES = {library.__name__: library for library in (sklearn.decomposition, nmf_nb)}
ENDLESS = {"NMF": {"tol": 0}, "MiniBatchNMF": {"tol": 0, "max_no_improvement": None}}
FOREVER = 10**9


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    "Threads of tests side by side would wait for each other"
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with threadpool_limits(1):
        yield
    torch.set_num_threads(before)


@pytest.fixture(params=["NMF", "MiniBatchNMF"])
def name(request):
    return request.param


@pytest.fixture
def ours(name):
    "What makes one of our estimators"
    return partial(getattr(nmf_nb, name), random_state=0)


@pytest.fixture(params=LIBRARIES)
def make(request, name):
    "What makes an estimator of one of the two libraries"
    return partial(getattr(LIBRARIES[request.param], name), random_state=0)


@pytest.fixture(scope="module")
def corpus():
    "Texts of the five regions with the most of them, and the regions"
    found = nmf_nb.load_corpus("factbook")
    regions = found.meta["region"].to_numpy()
    kept = np.isin(regions, found.meta["region"].value_counts().index[:5])
    return [text for text, keep in zip(found.texts, kept) if keep], regions[kept]


@pytest.fixture(scope="module")
def X():
    "Data of three components, and a little noise"
    rng = np.random.default_rng(0)
    return rng.gamma(0.5, size=(90, 3)) @ rng.gamma(0.5, size=(3, 12)) + 0.01 * rng.random((90, 12))


@pytest.fixture(scope="module")
def y(X):
    return (X[:, 0] > np.median(X[:, 0])).astype(int)


@pytest.fixture(scope="module")
def table(X):
    return pd.DataFrame(X, columns=[f"word{j}" for j in range(12)], index=range(100, 190))


def classifier(model):
    "From texts to regions by way of topics"
    steps = [("tfidf", TfidfVectorizer(min_df=3, stop_words="english")), ("nmf", model)]
    return Pipeline([*steps, ("regression", LogisticRegression(C=100))])


def test_pipeline(make, corpus):
    texts, regions = corpus
    model = classifier(make(n_components=10)).fit(texts, regions)
    assert model.score(texts, regions) > 0.7
    weights = model[:-1].transform(texts[:3])
    assert isinstance(weights, np.ndarray) and weights.shape == (3, 10) and (weights >= 0).all()
    assert list(model[:-1].get_feature_names_out()) == [f"{type(model['nmf']).__name__.lower()}{i}" for i in range(10)]


def test_cross_validation(make, corpus):
    scores = cross_val_score(classifier(make(n_components=12)), *corpus, cv=3)
    assert scores.shape == (3,) and scores.mean() > 0.6


def test_grid_search_over_a_pipeline(make, corpus):
    grid = GridSearchCV(classifier(make()), {"nmf__n_components": [2, 12]}, cv=3).fit(*corpus)
    assert grid.best_params_ == {"nmf__n_components": 12} and grid.best_score_ > 0.6
    assert grid.best_estimator_["nmf"].components_.shape[0] == 12


def test_grid_search_by_its_own_score(ours, X):
    "A score that scikit-learn's own lack; it is of rows that the fit has not seen"
    grid = GridSearchCV(ours(), {"n_components": [1, 2, 3]}, cv=3).fit(X)
    assert grid.best_params_ == {"n_components": 3}
    assert (np.diff(grid.cv_results_["mean_test_score"]) > 0).all() and grid.best_score_ <= 0


def test_parameters(make, X):
    model = make(n_components=3, tol=1e-3)
    assert model.set_params(n_components=2, alpha_W=0.01) is model
    twin = clone(model.fit(X))
    assert twin.get_params() == model.get_params() and not hasattr(twin, "components_")
    np.testing.assert_array_equal(twin.fit(X).components_, model.components_)
    with pytest.raises(ValueError, match="Invalid parameter 'n_topics'"):
        model.set_params(n_topics=3)


def test_pandas_out(make, table):
    model = make(n_components=2).set_output(transform="pandas")
    weights, names = model.fit_transform(table), [f"{type(model).__name__.lower()}{i}" for i in range(2)]
    for frame in (weights, model.transform(table)):
        assert list(frame.columns) == list(model.get_feature_names_out()) == names
        assert list(frame.index) == list(table.index)
    assert isinstance(model.components_, np.ndarray)


def test_pandas_in(make, table, X):
    model = make(n_components=2).fit(table)
    assert list(model.feature_names_in_) == list(table.columns) and model.n_features_in_ == 12
    np.testing.assert_allclose(model.components_, make(n_components=2).fit(X).components_, rtol=1e-6)
    with pytest.raises(ValueError, match="feature names should match"):
        model.transform(table.rename(columns={"word0": "other"}))
    with pytest.raises(ValueError, match="must be in the same order"):
        model.transform(table[table.columns[::-1]])
    with pytest.warns(UserWarning, match="X does not have valid feature names"):
        model.transform(X)


def test_side_by_side(make, table):
    left, right = list(table.columns[:6]), list(table.columns[6:])
    parts = [("a", make(n_components=2)), ("b", make(n_components=3))]
    union = FeatureUnion(parts).set_output(transform="pandas").fit_transform(table)
    columns = ColumnTransformer([(*parts[0], left), (*parts[1], right)]).set_output(transform="pandas")
    split = columns.fit_transform(table)
    short = type(parts[0][1]).__name__.lower()
    names = [f"{part}__{short}{i}" for part, k in (("a", 2), ("b", 3)) for i in range(k)]
    assert list(union.columns) == list(split.columns) == names
    alone = make(n_components=2).fit_transform(table[left])
    np.testing.assert_allclose(split.iloc[:, :2], alone, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("library", LIBRARIES)
def test_partial_fit(library, table):
    "On its own, with wrong names, and in a pipeline that is fitted"
    make = partial(LIBRARIES[library].MiniBatchNMF, random_state=0)
    model = make(n_components=3)
    for rows in np.array_split(np.arange(90), 3):
        assert model.partial_fit(table.iloc[rows]) is model
    assert model.n_steps_ == 3 and list(model.feature_names_in_) == list(table.columns)
    with pytest.raises(ValueError, match="feature names should match"):
        model.partial_fit(table.rename(columns={"word0": "other"}))
    pipe = make_pipeline(FunctionTransformer(np.sqrt), make(n_components=3)).fit(table)
    before, steps = pipe[-1].components_.copy(), pipe[-1].n_steps_
    pipe[-1].partial_fit(pipe[:-1].transform(table[:30]))
    assert pipe[-1].n_steps_ == steps + 1 and not np.array_equal(pipe[-1].components_, before)
    assert pipe.transform(table).shape == (90, 3)


def test_processes(make, X):
    "Data comes to a process as a read-only map of memory, and a model goes back"
    seeds = [make(n_components=k) for k in (2, 3)]
    found = joblib.Parallel(n_jobs=2, max_nbytes=1000)(joblib.delayed(model.fit)(X) for model in seeds)
    for model, there in zip(seeds, found):
        np.testing.assert_allclose(there.components_, model.fit(X).components_, rtol=1e-6, atol=1e-9)
        np.testing.assert_allclose(there.transform(X), model.transform(X), rtol=1e-6, atol=1e-9)


def by_joblib(model, folder, **options):
    joblib.dump(model, folder / "model.joblib")
    return joblib.load(folder / "model.joblib", **options)


COPIES = {
    "pickle": lambda model, folder: pickle.loads(pickle.dumps(model)),
    "deepcopy": lambda model, folder: copy.deepcopy(model),
    "joblib": by_joblib,
    "joblib, mapped": partial(by_joblib, mmap_mode="r"),
}


@pytest.mark.parametrize("way", COPIES)
def test_copies(ours, table, way, tmp_path):
    "The same numbers, and the same numbers after more batches"
    model = ours(n_components=3).set_output(transform="pandas").fit(table)
    twin = COPIES[way](model, tmp_path)
    assert twin.get_params() == model.get_params() and twin.history_ == model.history_
    pd.testing.assert_frame_equal(twin.transform(table), model.transform(table), check_exact=True)
    for _ in range(3 if hasattr(model, "partial_fit") else 0):
        assert np.array_equal(twin.partial_fit(table).components_, model.partial_fit(table).components_)


SCORERS = {"fit": lambda model, X, y: model.score(X), "zeros": lambda model, X, y: (model.components_ == 0).mean()}


def looks(model):
    "Tasks that a callback hears of: ten iterations each, or a pass each"
    return -(-model.n_iter_ // 10) if isinstance(model, nmf_nb.NMF) else model.n_iter_


def monitored(ours, name):
    monitor = ScoringMonitor(scoring=SCORERS)
    return monitor, ours(n_components=3, max_iter=40, **ENDLESS[name]).set_callbacks(monitor)


@pytest.mark.parametrize("inside", [False, True])
def test_scoring_monitor(ours, name, X, inside):
    "A row for each ten iterations or each pass, and one for the fit; alone, and as a step of a pipeline"
    monitor, model = monitored(ours, name)
    (make_pipeline(FunctionTransformer(np.sqrt), model) if inside else model).fit(X)
    log = monitor.get_logs().data_as_pandas
    assert set(log["estimator_name"]) == {name} and not log[list(SCORERS)].isna().to_numpy().any()
    whole, steps = (log.loc[(log["task_name"] == "fit") == is_fit, "fit"] for is_fit in (True, False))
    assert whole.item() == pytest.approx(model.score(np.sqrt(X) if inside else X)) == steps.iloc[-1]
    assert steps.iloc[0] < steps.iloc[-1] and len(steps) == looks(model)


def test_scoring_monitor_in_a_grid_search(ours, name, X):
    "Rows for each of its fits"
    monitor, model = monitored(ours, name)
    search = GridSearchCV(model, {"n_components": [2, 3]}, cv=2).fit(X)
    tasks = Counter(monitor.get_logs().data_as_pandas["task_name"])
    assert tasks.pop("fit") == 5 and sum(tasks.values()) == 5 * looks(search.best_estimator_)


@pytest.mark.parametrize("inside", [False, True])
def test_progress_bar(ours, name, X, y, capsys, inside):
    "On the estimator, or on a pipeline that hands it down"
    pytest.importorskip("rich", reason="scikit-learn's ProgressBar needs rich")
    model = ours(n_components=3, max_iter=40)
    steps = [FunctionTransformer(np.sqrt), model, LogisticRegression()]
    model = make_pipeline(*steps) if inside else model
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", "200")
        with pytest.warns(UserWarning, match="does not support callbacks") if inside else patch.context():
            model.set_callbacks(ProgressBar()).fit(X, y)
    shown = capsys.readouterr().out
    assert f"{name} - fit" in shown and "100%" in shown
    assert shown.count("100%") == (3 if inside else 1)


class Watcher:
    "A callback that counts the tasks, keeps the models and does something when a task within the fit ends"

    def __init__(self, act=None):
        self.begun, self.ended, self.models, self.act = Counter(), Counter(), [], act

    def setup(self, estimator, context):
        self.begun.clear()
        self.ended.clear()

    def teardown(self, estimator, context):
        self.down = True

    def on_fit_task_begin(self, estimator, context):
        self.begun[context.task_name, context.task_id] += 1

    def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
        self.ended[context.task_name, context.task_id] += 1
        if context.parent is None or fitted_estimator is None:
            return False
        self.models.append(fitted_estimator)
        return bool(self.act and self.act(self))


def test_each_task_begins_and_ends_once(ours, name, X):
    watcher = Watcher()
    model = ours(n_components=3, max_iter=35, **ENDLESS[name]).set_callbacks(watcher).fit(X)
    assert watcher.begun == watcher.ended and set(watcher.begun.values()) == {1}
    assert len(watcher.begun) == 1 + looks(model) and watcher.down


def test_each_task_hands_over_a_model(ours, X):
    "Of a fit that comes to rest by itself"
    watcher = Watcher()
    model = ours(n_components=3, tol=1e-2).set_callbacks(watcher).fit(X)
    assert len(watcher.models) == looks(model) and watcher.begun == watcher.ended
    np.testing.assert_array_equal(watcher.models[-1].components_, model.components_)


@pytest.mark.parametrize("passes", [1, 3])
def test_a_stream_hands_over_a_model_for_each_pass(X, passes):
    watcher, batches = Watcher(), np.array_split(X, 3)
    stream = iter(batches) if passes == 1 else lambda: iter(batches)
    model = nmf_nb.MiniBatchNMF(3, max_iter=3, tol=0).set_callbacks(watcher).fit(stream)
    assert len(watcher.models) == model.n_iter_ == passes and watcher.begun == watcher.ended
    np.testing.assert_array_equal(watcher.models[-1].components_, model.components_)


def test_a_callback_stops_the_fit(ours, name, X):
    watcher = Watcher(lambda watcher: len(watcher.models) == 3)
    model = ours(n_components=3, max_iter=FOREVER, **ENDLESS[name]).set_callbacks(watcher).fit(X)
    assert looks(model) == 3 and watcher.begun == watcher.ended
    assert model.transform(X).shape == (90, 3)


def test_verbose(ours, X, capsys):
    "Progress on stderr, nothing on stdout"
    ours(n_components=3).fit(X)
    assert capsys.readouterr() == ("", "")
    ours(n_components=3, verbose=1).fit(X)
    out, err = capsys.readouterr()
    assert out == "" and err.count("\r") > 1 and "NMF" in err and "/200" in err


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e12])
def test_what_is_told_of_the_objective_is_in_the_units_of_the_data(ours, X, monkeypatch, scale):
    "In the warning, and in the line that a notebook shows"
    shown = []
    monkeypatch.setattr(nmf_nb.train, "in_notebook", lambda: True)
    monkeypatch.setattr(nmf_nb.train, "curve_html", lambda *args, **more: shown.append(curve_html(*args, **more)) or "")
    with pytest.warns(ConvergenceWarning) as said:
        model = ours(n_components=3, tol=1e-9, max_iter=1, verbose=1).fit(X * scale)
    rows = 1 if type(model) is nmf_nb.NMF else len(X)  # batches tell of the objective for each row
    told = model.history_[-1]["objective"] / rows
    assert f"The objective is {told:.6g}," in str(said[0].message)
    assert f"objective {told:.4g} <svg" in shown[-1] and "nan" not in shown[-1]


@pytest.fixture
def ctrl_c():
    "What a key press does, in whatever way the tests are run"
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield partial(signal.raise_signal, signal.SIGINT)
    signal.signal(signal.SIGINT, before)


def check_kept(model, X):
    "An interrupted model is a fitted one, and goes on"
    assert np.isfinite(model.components_).all() and (model.components_ >= 0).all()
    assert np.isfinite(model.transform(X)).all() and model.score(X) <= 0
    if hasattr(model, "partial_fit"):
        steps = model.n_steps_
        assert model.partial_fit(X).n_steps_ == steps + 1 and np.isfinite(model.components_).all()


def test_ctrl_c_in_the_last_solve_of_the_weights(ours, X, ctrl_c):
    "The loop is over: its components are kept"

    def press(frame, event, _):
        if event == "call" and frame.f_code.co_name == "solve_rows":
            sys.setprofile(None)
            ctrl_c()

    model = ours(n_components=3)
    sys.setprofile(press)
    try:
        with pytest.raises(KeyboardInterrupt):
            model.fit(X)
    finally:
        sys.setprofile(None)
    check_kept(model, X)


def test_ctrl_c_at_a_look(ours, name, X, ctrl_c):
    "The signal comes at the third one"
    watcher = Watcher(lambda watcher: ctrl_c() if len(watcher.models) == 3 else None)
    model = ours(n_components=3, max_iter=FOREVER, **ENDLESS[name]).set_callbacks(watcher)
    with pytest.warns(ConvergenceWarning, match="interrupted"):
        model.fit(X)
    assert looks(model) == 3 and watcher.down
    objective = [row["objective"] for row in model.history_]
    assert objective[-1] < objective[0] and model.objective_ <= objective[-1] * (1 + 1e-9)
    check_kept(model, X)


def test_ctrl_c_at_any_moment(ours, name, X, ctrl_c):
    "A thread raises it while the fit, which has no other end, goes on"
    act = lambda watcher: len(watcher.models) == 3 and threading.Thread(target=ctrl_c).start()  # noqa: E731
    model = ours(n_components=3, max_iter=FOREVER, **ENDLESS[name]).set_callbacks(Watcher(act))
    with pytest.warns(ConvergenceWarning, match="interrupted"):
        weights = model.fit_transform(X)
    assert (weights >= 0).all() and np.isfinite(weights).all()
    check_kept(model, X)


@pytest.mark.parametrize("after", [130, 200])
def test_ctrl_c_in_a_stream(X, ctrl_c, after):
    "The generator raises it, after so many batches of ten rows; what it gave before is kept"

    def batches():
        for i in range(FOREVER):
            if i == after:
                ctrl_c()
            yield X[i % 9 * 10 : i % 9 * 10 + 10]

    with pytest.warns(ConvergenceWarning, match=f"interrupted after {after} steps"):
        model = nmf_nb.MiniBatchNMF(3, random_state=0).fit(batches())
    assert model.n_steps_ == after and model.n_iter_ == 1
    assert [row["rows"] for row in model.history_] == [10 * after] and np.isfinite(model.reconstruction_err_)
    check_kept(model, X)


def test_ctrl_c_in_a_later_pass(X, ctrl_c):
    "A stream that can be had again"
    passes = []

    def again():
        passes.append(None)
        for i, rows in enumerate(np.array_split(X, 9)):
            if len(passes) == 4 and i == 5:
                ctrl_c()
            yield rows

    with pytest.warns(ConvergenceWarning, match="interrupted after 32 steps"):
        model = nmf_nb.MiniBatchNMF(3, tol=0, random_state=0).fit(again)
    assert model.n_steps_ == 32 and model.n_iter_ == 4
    assert [row["rows"] for row in model.history_] == [90, 90, 90, 50] and np.isfinite(model.objective_)
    check_kept(model, X)


def fitted(model):
    "All that a fit sets"
    return {key: value for key, value in vars(model).items() if key.endswith("_")}


def check_same(before, model):
    after = fitted(model)
    assert before.keys() == after.keys()
    for key, value in before.items():
        np.testing.assert_array_equal(after[key], value)


def stop_at_the_third_look(watcher):
    if len(watcher.models) == 3:
        raise RuntimeError("stopped")


BAD = {
    "negative": lambda: -np.ones((9, 5)),
    "not a number": lambda: np.full((9, 5), np.nan),
    "empty": lambda: np.ones((9, 0)),
    "a frame with a negative number": lambda: pd.DataFrame(-np.ones((9, 5)), columns=list("vwxyz")),
}


@pytest.mark.parametrize("bad", BAD)
def test_a_refit_that_fails_keeps_the_old_fit(ours, X, bad):
    "Whole, width and names of the columns included"
    model = ours(n_components=3).fit(pd.DataFrame(X).rename(columns="c{}".format))
    before = fitted(model)
    with pytest.raises(ValueError):
        model.fit(BAD[bad]())
    check_same(before, model)


def test_a_refit_with_bad_parameters_keeps_the_old_fit(X):
    model = nmf_nb.NMF(3, random_state=0).fit(X)
    before = fitted(model)
    for wrong in ({"tol": -1}, {"solver": "sgd"}, {"n_components": 99, "init": "nndsvd"}, {"fixed_components": [1, 2]}):
        with pytest.raises(ValueError):
            model.set_params(**wrong).fit(X[:, :7])
        model.set_params(tol=1e-4, solver="cd", n_components=3, init=None, fixed_components=None)
        check_same(before, model)


def test_a_refit_that_a_callback_breaks_keeps_the_old_fit(ours, name, X):
    model = ours(n_components=3).fit(X)
    before, watcher = fitted(model), Watcher(stop_at_the_third_look)
    with pytest.raises(RuntimeError, match="stopped"):
        model.set_callbacks(watcher).set_params(max_iter=FOREVER, **ENDLESS[name]).fit(X[:, :7])
    check_same(before, model)
    assert watcher.down


def test_ctrl_c_in_the_last_solve_of_a_refit(X, ctrl_c):
    "The new fit is kept, with the error of the weights that the loop had; nothing of the old one is left"

    def press(frame, event, _):
        if event == "call" and frame.f_code.co_name == "solve_rows":
            sys.setprofile(None)
            ctrl_c()

    for options in ({}, {"solver": "mu", "beta_loss": 1}, {"sample_weight": np.arange(90.0)}, {"scale": 1e-100}):
        weight, scale = options.pop("sample_weight", None), options.pop("scale", 1.0)
        model = nmf_nb.NMF(3, random_state=0, max_iter=60, tol=0, **options).fit(X)
        whole = clone(model).fit(scale * X[:, :7], sample_weight=weight)
        sys.setprofile(press)
        try:
            with pytest.raises(KeyboardInterrupt):
                model.fit(scale * X[:, :7], sample_weight=weight)
        finally:
            sys.setprofile(None)
        assert (model.n_features_in_, model.components_.shape) == (7, (3, 7))
        np.testing.assert_array_equal(model.components_, whole.components_)
        assert model.objective_ == pytest.approx(model.history_[-1]["objective"], rel=1e-9)
        assert 1 - 1e-9 <= model.reconstruction_err_ / whole.reconstruction_err_ <= 1.1
        check_kept(model, scale * X[:, :7])


FORKED = """
import multiprocessing, os, signal, sys, time, warnings
import numpy as np, torch
from nmf_nb import NMF, MiniBatchNMF
from nmf_nb.gradient import pgd_step
from nmf_nb.init import random_start
from nmf_nb.linalg import data_matrix
from nmf_nb.train import fit
from nmf_nb.weights import solve_rows
warnings.simplefilter("ignore")

def wait(child, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if (done := os.waitpid(child, os.WNOHANG))[0]:
            return os.waitstatus_to_exitcode(done[1])
        time.sleep(0.02)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return "it hangs"

def again(kind):
    model = clones[kind].fit(X)
    return float(abs(model.transform(X) - weights[kind]).max() / weights[kind].max())

CLOSE = 1e-3  # with another number of threads products round otherwise, and noise has close singular values
X = np.random.default_rng(0).random((600, 3000))
kinds = {"NMF": NMF(8, random_state=0, max_iter=20), "MiniBatchNMF": MiniBatchNMF(8, random_state=0, max_iter=2)}
clones, weights = {name: type(model)(**model.get_params()) for name, model in kinds.items()}, {}
for name, model in kinds.items():
    weights[name] = model.fit(X).transform(X)
    child = os.fork()
    if not child:
        os._exit(0 if again(name) < CLOSE and torch.get_num_threads() == 1 else 3)
    print(name, wait(child), torch.get_num_threads(), flush=True)  # or a child would print it once more
V, model = data_matrix(X, "cpu"), kinds["NMF"]
begin = random_start(V, 8)
doors = {
    "NMF": lambda: again("NMF"),
    "MiniBatchNMF": lambda: again("MiniBatchNMF"),
    "transform": lambda: float(abs(model.transform(X) - weights["NMF"]).max() / weights["NMF"].max()),
    "partial_fit": lambda: MiniBatchNMF(8, random_state=0).partial_fit(X) and 0,
    "the loop": lambda: fit(pgd_step, V, begin, max_iter=2, tol=0) and 0,
    "rows": lambda: solve_rows(V, begin.H) is None,
    "data": lambda: data_matrix(X, "cpu") is None,
}
for name, door in doors.items():
    child = os.fork()
    if not child:
        torch.set_num_threads(2)  # which it does not have
        os._exit(0 if door() < CLOSE and torch.get_num_threads() == 1 else 3)
    print("told to use two:", name, wait(child), torch.get_num_threads(), flush=True)
child = os.fork()  # a pool, in a child of its own so that it cannot hang us
if not child:
    with multiprocessing.get_context("fork").Pool(2) as pool:
        os._exit(0 if max(pool.map(again, kinds)) < CLOSE else 3)
print("pool", wait(child))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a system that forks")
def test_a_child_that_was_forked_after_a_fit():
    "It fits and transforms with one thread, whatever it was told; the parent keeps its threads"
    env = {**os.environ, **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "2")}
    result = subprocess.run([sys.executable, "-c", FORKED], capture_output=True, text=True, env=env, timeout=300)
    doors = ("NMF", "MiniBatchNMF", "transform", "partial_fit", "the loop", "rows", "data")
    said = ["NMF 0 2", "MiniBatchNMF 0 2", *(f"told to use two: {door} 0 2" for door in doors), "pool 0"]
    assert result.stdout.splitlines() == said, result.stdout + result.stderr


def test_warnings_point_at_the_line_of_the_user(X):
    W, H = np.ones((90, 3)), np.ones((3, 12))
    cases = [
        (RuntimeWarning, lambda: nmf_nb.NMF(3, max_iter=5, tol=0).fit_transform(X, W=W, H=H)),
        (RuntimeWarning, lambda: nmf_nb.NMF(3, max_iter=5, tol=0).fit(X, W=W, H=H)),
        (RuntimeWarning, lambda: nmf_nb.MiniBatchNMF(3, max_iter=5, tol=0).fit(X, W=W, H=H)),
        (RuntimeWarning, lambda: nmf_nb.non_negative_factorization(X, W, H, n_components=3, max_iter=5, tol=0)),
        (RuntimeWarning, lambda: nmf_nb.non_negative_factorization(X, W, H, update_H=False)),
        (UserWarning, lambda: nmf_nb.NMF(3, solver="mu", init="nndsvd", max_iter=5, tol=0).fit(X)),
        (ConvergenceWarning, lambda: nmf_nb.NMF(3, max_iter=5, tol=1e-12).fit(X)),
        (ConvergenceWarning, lambda: make_pipeline(nmf_nb.NMF(3, max_iter=5, tol=1e-12)).fit(X)),
    ]
    for category, call in cases:
        with pytest.warns(category) as said:
            call()
        ours = [warning for warning in said if warning.category is category]
        assert [warning.filename for warning in ours] == [__file__], call
