"""Stability and consensus: what must not matter, what is told apart, interrupts, and bad input."""

import json
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array
from sklearn.exceptions import ConvergenceWarning

from nmf_nb import NMF, TopicModel
from nmf_nb.measures import by_share, stability
from nmf_nb.stable import (
    SampleFit,
    compare_runs,
    consensus_topics,
    fit_samples,
    fit_with,
    heaviest_words,
    match_topics,
    neighbour_distances,
    pooled,
    word_ranks,
)
from nmf_nb.view import view

WORDS = np.array([f"{subject}{i}" for subject in "abcde" for i in range(5)])


def planted(sizes, seed=0):
    "Counts of documents on subjects of five words each"
    subject = np.repeat(range(len(sizes)), sizes)
    rate = np.where(np.arange(25) // 5 == subject[:, None], np.tile([3, 2.5, 2, 1.5, 1], 5), 0.05)
    return csr_array(np.random.default_rng(seed).poisson(rate).astype(float))


def seen_as(X, k):
    model = NMF(k, random_state=0)
    W, H = by_share(model.fit_transform(X), model.components_)
    return view(W, H, WORDS, X, [f"text {i}" for i in range(X.shape[0])])


def judge(X, k, **options):
    fit = fit_with(NMF(k, init="random"))
    return compare_runs(seen_as(X, k), fit_samples(X, fit, **options), words=5)


def random_runs(seed, n=12, k=4, m=20, r=5):
    rng = np.random.default_rng(seed)
    rows = [np.sort(rng.choice(n, 9, replace=False)) for _ in range(r)]
    return [SampleFit(at, rng.random((9, k)), rng.random((k, m)) ** 4) for at in rows], rng


def any_view(rng, n=12, k=4, m=20):
    W, H, X = rng.random((n, k)), rng.random((k, m)) ** 4, rng.random((n, m))
    return view(W, H, [f"w{i}" for i in range(m)], X, ["text"] * n)


def test_planted_topics_are_told_from_a_made_one():
    "Three topics for five subjects: the two large ones are stable, the third is whatever is left"
    thirds = []
    for seed in range(4):
        judged = judge(planted([40, 30, 12, 12, 12], seed), 3, runs=20)
        pure = [set(WORDS[top]) in ({f"{s}{i}" for i in range(5)} for s in "ab") for top in judged.tops]
        assert sum(pure) == 2 and judged.runs[pure].min() >= 18
        thirds.append(judged.runs[np.logical_not(pure)].max())
    assert max(thirds) < 18 and np.mean(thirds) < 12, thirds


def test_topics_for_all_subjects_are_stable():
    judged = judge(planted([20] * 5), 5)
    assert judged.stable.all() and judged.runs.min() >= 8
    assert (judged.words(1)["runs"] >= 8).all()


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), scale=st.floats(1e-6, 1e6))
def test_the_order_and_the_scale_of_topics_in_runs_do_not_matter(seed, scale):
    runs, rng = random_runs(seed)
    tm, other = any_view(rng), []
    for run in runs:
        order = rng.permutation(len(run.H))
        other.append(SampleFit(run.rows, run.W[:, order] / scale, run.H[order] * scale))
    a, b = compare_runs(tm, runs), compare_runs(tm, other)
    np.testing.assert_allclose(a.agreement.sum(axis=1), b.agreement.sum(axis=1))  # several matches may be the best
    if not np.array_equal(a.agreement, b.agreement):
        return
    np.testing.assert_array_equal(a.ranks, b.ranks)
    np.testing.assert_allclose(a.low, b.low, atol=1e-12)
    np.testing.assert_allclose(a.high, b.high, atol=1e-12)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_it_is_what_the_measure_counts_and_ranges_hold_all_runs(seed):
    runs, rng = random_runs(seed)
    tm = any_view(rng)
    judged = compare_runs(tm, runs, least=0.1)
    back, score = stability(judged.tops, [heaviest_words(run.H) for run in runs])
    np.testing.assert_allclose(judged.agreement.mean(axis=0), score)
    np.testing.assert_allclose((judged.ranks <= 10).mean(axis=0), back)
    assert ((judged.low >= 0) & (judged.low <= judged.high) & (judged.high <= 1)).all()
    assert (judged.held <= judged.runs).all()
    assert (judged.low[judged.held == 0] == 0).all() and (judged.high[judged.held == 0] == 1).all()
    assert (judged.low[judged.held == 1] == judged.high[judged.held == 1]).all()
    fewer = compare_runs(tm, runs[:3], least=0.1)
    more = fewer.held > 0
    assert (judged.low[more] <= fewer.low[more]).all() and (judged.high[more] >= fewer.high[more]).all()
    table = judged.documents()
    assert len(table) == 12 and not table.isna().to_numpy().any()


def test_the_model_itself_comes_back_whole():
    rng = np.random.default_rng(0)
    tm = any_view(rng)
    weights = tm.doc_weights_ / tm.components_.sum(axis=1)
    judged = compare_runs(tm, [SampleFit(np.arange(12), weights, tm.components_)] * 2)
    assert (judged.agreement == 1).all() and judged.stable.all()
    np.testing.assert_allclose(judged.low, tm.doc_topics_)
    np.testing.assert_allclose(judged.high, tm.doc_topics_)
    assert (judged.words(2)["rank"] == np.arange(1, 11)).all()


def test_half_of_the_runs_is_enough():
    tm = any_view(np.random.default_rng(0))
    same, other = tm.components_, np.roll(tm.components_, 10, axis=1)
    runs = [SampleFit(np.arange(12), np.ones((12, 4)), H) for H in (same, other, same, other, np.zeros_like(same))]
    assert compare_runs(tm, runs[:4], least=0.99).stable.all()
    assert not compare_runs(tm, runs, least=0.99).stable.any()


def test_the_same_seed_gives_the_same_answer_and_leaves_the_global_one():
    X, before = planted([20] * 5), np.random.get_state()[1].copy()  # noqa: NPY002
    a, b, c = (judge(X, 4, random_state=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(a.agreement, b.agreement)
    np.testing.assert_array_equal(a.low, b.low)
    assert not np.array_equal(a.low, c.low)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


def test_nothing_that_was_given_is_changed():
    X, weights = planted([20] * 5), np.linspace(0.1, 1, 100)
    held, model = (X.data.copy(), X.indices.copy(), weights.copy()), NMF(4, init="random", random_state=7)
    runs = list(fit_samples(X, fit_with(model), 2, weights=weights))
    for now, then in zip((X.data, X.indices, weights), held):
        np.testing.assert_array_equal(now, then)
    assert model.random_state == 7 and not hasattr(model, "components_")
    components = [run.H for run in runs]
    copies = [H.copy() for H in components]
    consensus_topics(X, components)
    for now, then in zip(components, copies):
        np.testing.assert_array_equal(now, then)


def test_rows_of_a_sample_come_with_their_weights():
    X, weights = planted([20] * 5), np.linspace(0.1, 1, 100)

    def fit(part, given_weights, seed):
        given.append((part, given_weights))
        return np.ones((part.shape[0], 1)), np.ones((1, 25))

    given = []
    for run in fit_samples(X, fit, 3, 0.5, weights=list(weights)):
        part, kept = given[-1]
        assert len(run.rows) == 50 == len(np.unique(run.rows))
        np.testing.assert_array_equal(part.toarray(), X.toarray()[run.rows])
        np.testing.assert_array_equal(kept, weights[run.rows])


def stops(real, after):
    "A fit that is interrupted when it is called for the nth time"
    calls = []

    def fit(*given):
        calls.append(given)
        if len(calls) > after:
            raise KeyboardInterrupt
        return real(*given)

    return fit


def stops_inside(real, after):
    "A fit whose n-th call is interrupted inside of NMF, which keeps its factors and warns"

    def fit(X, weights, seed):
        calls.append(seed)
        if len(calls) > after:
            warnings.warn(
                "interrupted after 3 steps: the objective is 1; these factors are kept", ConvergenceWarning, 2
            )
        return real(X, weights, seed)

    calls = []
    return fit


@pytest.mark.parametrize("stop", [stops, stops_inside])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_an_interrupt_keeps_the_runs_done(stop):
    X, real = planted([20] * 5), fit_with(NMF(4, init="random"))
    tm, whole = seen_as(X, 4), list(fit_samples(X, real, 5))
    with pytest.warns(UserWarning, match="the runs done until then are kept, 2 of them"):
        part = compare_runs(tm, fit_samples(X, stop(real, 2), 5))
    np.testing.assert_array_equal(part.agreement, compare_runs(tm, whole[:2]).agreement)
    np.testing.assert_array_equal(part.held, compare_runs(tm, whole[:2]).held)
    with pytest.raises(KeyboardInterrupt):
        compare_runs(tm, fit_samples(X, stop(real, 0), 5))


def test_a_ctrl_c_inside_of_a_fit_ends_the_runs(monkeypatch):
    from nmf_nb import train

    X, real, looks = planted([20] * 5), train.Run.look, []

    def look(self, *given):
        looks.append(1)
        if len(looks) == 12:
            raise KeyboardInterrupt
        return real(self, *given)

    tm = seen_as(X, 4)
    monkeypatch.setattr(train.Run, "look", look)
    with pytest.warns(UserWarning, match="the runs done until then are kept"):
        part = compare_runs(tm, fit_samples(X, fit_with(NMF(4, init="random", tol=0, max_iter=40)), 10))
    assert 1 <= len(part.agreement) < 10


def test_other_warnings_of_a_fit_stay_warnings():
    fit = fit_with(NMF(4, init="random", max_iter=1))
    with pytest.warns(ConvergenceWarning, match="Maximum number of iterations"):
        assert len(list(fit_samples(planted([20] * 5), fit, 2))) == 2


def test_fewer_topics_in_a_run_and_empty_ones():
    tm = any_view(np.random.default_rng(0))
    few = SampleFit(np.arange(12), np.ones((12, 1)), tm.components_[:1])
    none = SampleFit(np.arange(12), np.ones((12, 4)), np.zeros((4, 20)))
    judged = compare_runs(tm, [few, none])
    assert judged.agreement[0].max() == 1 and (judged.agreement[1] == 0).all()
    assert (judged.high[judged.held == 0] == 1).all()
    assert word_ranks([[1, 2]], [], np.array([-1]), 3).tolist() == [[4, 4, 4]]
    assert match_topics([[0]], [])[0].tolist() == [-1]


def test_a_consensus_does_not_depend_on_the_order_or_scale():
    X, rng = planted([30] * 5), np.random.default_rng(0)
    components = [run.H for run in fit_samples(X, fit_with(NMF(5, init="random")), 10)]
    mixed = [3.0 * components[i][rng.permutation(5)] for i in rng.permutation(10)]
    a, b = consensus_topics(X, components), consensus_topics(X, mixed)
    np.testing.assert_allclose(a.H, b.H, atol=1e-12)
    np.testing.assert_array_equal(a.runs, b.runs)
    assert (a.runs >= 8).all() and {str(WORDS[top[0]])[0] for top in heaviest_words(a.H)} == set("abcde")
    np.testing.assert_allclose(np.linalg.norm(a.H, axis=1), 1)
    assert a.W.shape == (150, 5) and (a.W >= 0).all()


def test_a_consensus_drops_what_one_run_made_up():
    X = planted([30] * 5)
    components = [run.H for run in fit_samples(X, fit_with(NMF(5, init="random")), 10)]
    odd = np.zeros((1, 25))
    odd[0, ::6] = 1
    with_odd = [np.vstack([components[0], odd]), *components[1:]]
    P, run = pooled(with_odd)
    far = neighbour_distances(np.linalg.norm(P[:, None] - P, axis=2), 3)
    assert run[far.argmax()] == 0 and far.max() > 0.8
    np.testing.assert_allclose(consensus_topics(X, with_odd, 5).H, consensus_topics(X, components, 5).H)


def test_a_consensus_of_other_divergences_and_dense_data():
    X = planted([30] * 5)
    components = [run.H for run in fit_samples(X, fit_with(NMF(5, init="random")), 4)]
    a, b = (consensus_topics(data, components) for data in (X, X.toarray()))
    np.testing.assert_allclose(a.W, b.W, rtol=1e-6, atol=1e-9)
    kl = consensus_topics(X, components, beta_loss="kullback-leibler", solver="mu")
    assert not np.allclose(kl.W, a.W) and np.isfinite(kl.W).all()


@pytest.mark.parametrize(
    "options, said",
    [
        ({"k": 0}, "k=0; it must be a whole number, 1 or more"),
        ({"k": 2.5}, "k=2.5; it must be"),
        ({"most": 0.0}, "fewer than the 4 that are asked for"),
        ({"k": 200}, "fewer than the 200 that are asked for"),
        ({"neighbours": 0}, "neighbours=0; it must be a number above 0 and up to 1"),
    ],
)
def test_bad_input_of_a_consensus(options, said):
    X = planted([20] * 5)
    components = [run.H for run in fit_samples(X, fit_with(NMF(4, init="random")), 4)]
    with pytest.raises(ValueError, match=said):
        consensus_topics(X, components, **options)
    with pytest.raises(ValueError, match="with the same columns"):
        consensus_topics(X, [np.ones((2, 25)), np.ones((2, 24))])
    with pytest.raises(ValueError, match="give those of two runs or more"):
        consensus_topics(X, [])


@pytest.mark.parametrize("name, value", [("words", 0), ("words", 2.5), ("least", 0), ("least", 1.5), ("least", "half")])
def test_bad_input_of_a_comparison(name, value):
    runs, rng = random_runs(0)
    with pytest.raises(ValueError, match=f"{name}={value!r}; it must be"):
        compare_runs(any_view(rng), runs, **{name: value})


SUBJECTS = ("war", "tax", "oil", "sea")
TEXTS = [" ".join(f"{s}{i} " * 2 ** (4 - i) for i in range(5) if (n + i) % 4) for s in SUBJECTS for n in range(25)]


def texts_model(**options):
    return TopicModel(4, stop_words=None, ngram_range=(1, 1), near_duplicates=None, device="cpu", **options).fit(TEXTS)


@pytest.mark.parametrize("loss", ["frobenius", "kullback-leibler", 1.5])
def test_a_model_is_judged_by_its_own_way_of_fitting(loss):
    tm = texts_model(beta_loss=loss)
    assert (tm.stability_, tm.came_back_) == (None, None)
    judged = tm.stability(4)
    assert judged.stable.all() and judged is tm.stability_
    np.testing.assert_array_equal(tm.came_back_, judged.runs / 4)
    assert "unstable" not in repr(tm)
    np.testing.assert_array_equal(tm.stability(4).agreement, judged.agreement)
    assert tm.fit(TEXTS).stability_ is None and tm.came_back_ is None


def test_a_model_that_was_loaded_or_merged_is_judged_too(tmp_path):
    tm = texts_model()
    judged = tm.stability(3)
    tm.save(tmp_path / "model")
    back = TopicModel.load(tmp_path / "model")
    np.testing.assert_array_equal(back.came_back_, tm.came_back_)
    np.testing.assert_array_equal(back.stability(3).agreement, judged.agreement)
    assert back.merge([1, 2]).stability(3).agreement.shape == (3, 3)
    assert back.undo().stability_.agreement.shape == (3, 4)
    tm.rename({1: "one"})
    assert tm.stability_.topics["label"].iloc[0] == "one" and "one" in set(tm.stability_.documents()["topic_label"])
    np.testing.assert_array_equal(tm.came_back_, judged.runs / 3)
    parts = TopicModel.from_parts(tm.vectorizer_, tm.doc_weights_, tm.components_, TEXTS)
    parts.near_duplicates = None
    assert parts.stability(3).stable.all()


def test_weights_of_near_duplicates_go_along(monkeypatch):
    from nmf_nb import topics

    tm, seen = TopicModel(3, stop_words=None, max_df=1.0, device="cpu").fit(TEXTS + TEXTS[:1] * 40), []
    real = topics.fit_samples
    monkeypatch.setattr(topics, "fit_samples", lambda *a, **o: seen.append(o["weights"]) or real(*a, **o))
    tm.stability(2)
    assert seen[0].shape == (140,) and seen[0][100:].max() <= 1 / 41


@pytest.mark.parametrize("verbose", [0, 1])
def test_progress_is_shown_where_it_is_wanted(verbose, capsys):
    tm = texts_model()
    tm.verbose = verbose
    tm.stability(2)
    said = capsys.readouterr().err
    assert ("stability" in said) == bool(verbose) and "NMF" not in said


def test_an_interrupt_leaves_a_model_judged_by_fewer_runs_or_as_it_was(monkeypatch):
    from nmf_nb import topics

    tm, real = texts_model(), topics.fit_from_anywhere
    monkeypatch.setattr(topics, "fit_from_anywhere", lambda model, guide: stops(real(model, guide), 0))
    with pytest.raises(KeyboardInterrupt):
        tm.stability(5)
    assert tm.stability_ is None
    monkeypatch.setattr(topics, "fit_from_anywhere", lambda model, guide: stops(real(model, guide), 3))
    with pytest.warns(UserWarning, match="3 of them"):
        assert len(tm.stability(5).agreement) == 3
    assert set(tm.came_back_ * 3) <= {0, 1, 2, 3}


def test_the_command_asks_for_stability(tmp_path, monkeypatch, capsys):
    from nmf_nb import cli, topics

    monkeypatch.chdir(tmp_path)
    (tmp_path / "texts.txt").write_text("\n".join(TEXTS), encoding="utf-8")
    words = "topics --corpus texts.txt --topics 4 --stability 3 --json --device cpu".split()
    assert cli.main(words) == 0
    found = json.loads(capsys.readouterr().out)["topics"]
    assert [(t["runs"] <= 3, t["agreement"] <= 1) for t in found] == [(True, True)] * 4
    with pytest.raises(SystemExit):
        cli.main([*words[:-4], "1"])
    assert "'1' is not a whole number of 2 or more" in capsys.readouterr().err
    real = topics.fit_from_anywhere
    for after, columns in ((0, False), (2, True)):
        monkeypatch.setattr(
            topics, "fit_from_anywhere", lambda model, guide, after=after: stops(real(model, guide), after)
        )
        assert cli.main(words) == 130
        assert "interrupted; the topics found until then are written" in capsys.readouterr().err
        head = (tmp_path / "nmf_nb_topics/topics.csv").read_text(encoding="utf-8").splitlines()[0]
        assert ("runs" in head) == columns
