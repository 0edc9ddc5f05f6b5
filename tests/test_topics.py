"""The topic model in use: odd input is refused in words, corrections are whole, and it works where scikit-learn expects it."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.decomposition import NMF as SklearnNMF
from sklearn.decomposition import LatentDirichletAllocation, TruncatedSVD
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer, TfidfTransformer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline

from nmf_nb import NMF, MiniBatchNMF, TopicModel, load_corpus
from nmf_nb.corpus import CorpusError
from nmf_nb.nmf import SOLVERS

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
TEXTS = [
    "war and peace in the north",
    "the war of the north and a treaty",
    "peace treaty after the war",
    "tax law and the budget",
    "a budget without a new tax",
    "the law of tax and trade",
] * 3


@pytest.fixture(scope="module")
def corpus():
    return load_corpus("factbook")


@pytest.fixture
def tm():
    return TopicModel(3).fit(TEXTS)


def state(tm):
    return tm.view_, tm.model_, tm.order_


# Documents


@pytest.mark.parametrize("make", [list, tuple, np.array, pd.Series, pd.Index, iter, lambda docs: (doc for doc in docs)])
def test_texts_of_many_kinds(make):
    want = TopicModel(2).fit(TEXTS)
    found = TopicModel(2).fit(make(TEXTS))
    assert found.docs_ == TEXTS
    np.testing.assert_array_equal(found.doc_topics_, want.doc_topics_)
    np.testing.assert_array_equal(found.transform(make(TEXTS)), want.transform(TEXTS))


def test_a_series_of_any_index():
    assert TopicModel(2).fit(pd.Series(TEXTS, index=range(50, 68))).docs_ == TEXTS


@pytest.mark.parametrize(
    "docs, said",
    [
        ("war and peace", "docs is a str"),
        (b"war and peace", "docs is a bytes"),
        (None, "docs is a NoneType"),
        (7, "docs is a int"),
        ({"a": "war"}, "docs is a dict"),
        ({"war", "peace"}, "docs is a set"),
        (frozenset({"war"}), "docs is a frozenset"),
        (pd.DataFrame({"text": TEXTS}), "docs is a DataFrame"),
        (np.array([["war"], ["peace"]]), "docs is a ndarray"),
        (["war", None, "peace"], "docs[1] is None"),
        (["war", "peace", 3.5], "docs[2] is 3.5"),
        ([["war"]], "docs[0] is ['war']"),
        ([b"war"], "docs[0] is b'war'"),
        (pd.Series(["war", np.nan]), "docs[1] is nan"),
    ],
)
def test_what_is_no_list_of_texts_is_refused(docs, said):
    with pytest.raises(TypeError) as error:
        TopicModel(2).fit(docs)
    assert said in str(error.value)


def test_no_texts_at_all():
    with pytest.raises(CorpusError):
        TopicModel(2).fit([])


@pytest.mark.parametrize("n_topics", ["auto", True, False, 0, -1, 2.0, 2.5, None, np.nan, "8", [2], 10**9])
def test_numbers_of_topics_that_are_none(n_topics):
    with pytest.raises(ValueError, match="n_topics="):
        TopicModel(n_topics).fit(TEXTS)


def test_a_number_of_numpy():
    assert TopicModel(np.int64(2)).fit(TEXTS).n_topics_ == 2


@pytest.mark.parametrize(
    "meta, kind",
    [
        ([1] * 18, TypeError),
        ({"year": [1] * 18}, TypeError),
        (np.zeros((18, 1)), TypeError),
        (pd.Series([1] * 18), TypeError),
        ("year", TypeError),
        (pd.DataFrame({"year": [1]}), ValueError),
        (pd.DataFrame({"f": [print] * 18}), TypeError),
        (pd.DataFrame({"z": [1j] * 18}), TypeError),
        (pd.DataFrame([[1, 2]] * 18, columns=pd.MultiIndex.from_tuples([("a", 1), ("a", 2)])), TypeError),
    ],
)
def test_meta_of_the_wrong_kind_is_refused_before_the_fit(meta, kind, monkeypatch):
    monkeypatch.setattr(NMF, "fit_transform", lambda *a, **k: pytest.fail("fitted"))
    with pytest.raises(kind, match="meta"):
        TopicModel(2).fit(TEXTS, meta=meta)


def test_a_table_given_as_y_names_meta():
    table = pd.DataFrame({"year": range(18)})
    for y in (table, {"year": range(18)}):
        with pytest.raises(TypeError, match="meta=table"):
            TopicModel(2).fit(TEXTS, y)
        with pytest.raises(TypeError, match="meta=table"):
            TopicModel(2).fit_transform(TEXTS, y)
    assert TopicModel(2).fit(TEXTS, meta=table).meta_["year"].tolist() == list(range(18))


@pytest.mark.parametrize(
    "stop", ["elvish", "", b"english", 7, ["the", 3], ["english", "said"], ("english",), {"english"}]
)
def test_stop_words_that_mean_something_else(stop):
    with pytest.raises(ValueError, match="stop_words"):
        TopicModel(2, stop_words=stop).fit(TEXTS)


@pytest.mark.parametrize("kind", [list, tuple, set, frozenset, np.array, pd.Series])
def test_stop_words_of_many_kinds(kind):
    tm = TopicModel(2, stop_words=kind(["the", "of", "and", "english"])).fit(TEXTS)
    assert "the" not in tm.words_ and "war" in tm.words_


def test_a_vectorizer_that_reads_files_is_refused(tmp_path):
    (tmp_path / "a").write_text("war and peace")
    with pytest.raises(ValueError, match="input='filename'"):
        TopicModel(1, vectorizer=CountVectorizer(input="filename")).fit([str(tmp_path / "a")])


@pytest.mark.parametrize("doc", [10**9, 18, -1, -19, np.int64(18)])
def test_a_number_of_no_document(tm, doc):
    with pytest.raises(ValueError, match="numbers 0 to 17"):
        tm.explain(doc)


@pytest.mark.parametrize("doc", [True, None, 1.0, b"war", ["war"]])
def test_what_is_no_document(tm, doc):
    with pytest.raises(TypeError, match="doc is"):
        tm.explain(doc)


def test_no_new_texts(tm):
    assert tm.transform([]).shape == (0, 3) and tm.transform(iter(())).shape == (0, 3)


def test_what_is_asked_wrongly(tm):
    for call, kind, said in (
        (lambda: tm.find_topics(None), TypeError, "query is None"),
        (lambda: tm.find_topics("war", n=-1), ValueError, "n=-1"),
        (lambda: tm.top_words(n="x"), ValueError, "n='x'"),
        (lambda: tm.representative_docs(1, n=-1), ValueError, "n=-1"),
        (lambda: tm.find_docs(1, least="x"), ValueError, "least='x'"),
        (lambda: tm.unexplained("x"), ValueError, "most='x'"),
        (lambda: tm.flags(None), ValueError, "alike=None"),
        (lambda: tm.rename(["x"]), TypeError, "it must be a dict"),
        (lambda: tm.rename({1: "x", tm.topics_["label"][1]: "y"}), ValueError, "topic 1 twice"),
        (lambda: tm.find_docs(True), ValueError, "topic=True"),
        (lambda: tm.topics_by("nothing"), ValueError, "by='nothing'"),
        (lambda: tm.topics_by([1]), ValueError, "1 values"),
    ):
        with pytest.raises(kind, match=said):
            call()


def test_a_column_that_is_named_like_one_of_ours_is_kept():
    "In every table of documents"
    names = ["share", "fit", "topic", "topic_label", "topic_share", "text"]
    meta = pd.DataFrame({name: [f"{name} {i}" for i in range(len(TEXTS))] for name in names})
    tm = TopicModel(2, min_df=1).fit(TEXTS, meta=meta)
    for table in (tm.representative_docs(1), tm.find_docs(2), tm.unexplained(2.0), tm.documents()):
        held = [next(name for name in (f"{name}_", name) if name in table) for name in names]
        assert len(table) and table[held].set_axis(names, axis=1).equals(meta.loc[table.index])
        assert table["text"].tolist() == [TEXTS[i] for i in table.index]


def test_before_the_fit():
    tm = TopicModel(2)
    assert not hasattr(tm, "topics_") and not hasattr(tm, "X_") and repr(tm) == "TopicModel(n_topics=2)"
    for call in (
        lambda: tm.topics_,
        lambda: tm.n_topics_,
        tm.top_words,
        tm.documents,
        lambda: tm.transform(TEXTS),
        tm.flags,
    ):
        with pytest.raises(NotFittedError, match="not fitted"):
            call()


def test_groups_by_dates_in_words_and_by_clusters():
    table = pd.DataFrame(
        {"when": [f"2001-{1 + i % 12:02}-03" for i in range(18)], "speech": [i // 3 for i in range(18)]}
    )
    tm = TopicModel(2).fit(TEXTS, meta=table)
    assert tm.topics_by("when", bins=4)["group"].nunique() <= 4
    alone, whole = tm.topics_by([0] * 18, draws=400), tm.topics_by([0] * 18, draws=400, cluster="speech")
    np.testing.assert_allclose(alone["share"], whole["share"])
    assert ((whole["high"] - whole["low"]) > (alone["high"] - alone["low"])).all(), "texts of a speech are alike"


# Solvers


def test_a_solver_can_be_chosen():
    assert TopicModel(2).fit(TEXTS).model_.solver == "cd"
    assert TopicModel(2, beta_loss="kullback-leibler").fit(TEXTS).model_.solver == "newton"
    for solver in ("cd", "mu", "pgd"):
        assert TopicModel(2, solver=solver).fit(TEXTS).model_.solver == solver
    with pytest.raises(ValueError, match="solver"):
        TopicModel(2, solver="newt").fit(TEXTS)


def test_a_solver_of_ones_own(tmp_path):
    tm = TopicModel(2, solver=SOLVERS["pgd"]).fit(TEXTS)
    np.testing.assert_array_equal(tm.doc_topics_, TopicModel(2, solver="pgd").fit(TEXTS).doc_topics_)
    assert clone(tm).fit(TEXTS).merge([1, 2]).n_topics_ == 1
    with pytest.raises(ValueError, match="a file cannot keep a solver of your own"):
        tm.save(tmp_path / "model")


# Corrections


@pytest.mark.parametrize("make", [CountVectorizer, TfidfVectorizer, lambda: TfidfVectorizer(dtype=np.float32)])
def test_merge_starts_from_both_topics(corpus, make):
    "The error after a merge is that of a fit with as many topics, whatever numbers the vectoriser makes"
    tm = TopicModel(8, vectorizer=make().set_params(stop_words="english", min_df=5)).fit(corpus)
    before = tm.model_.reconstruction_err_
    tm.merge([1, 2])
    fresh = TopicModel(7, vectorizer=tm.vectorizer).fit(corpus).model_.reconstruction_err_
    assert before <= tm.model_.reconstruction_err_ <= 1.01 * fresh
    assert tm.components_.dtype == (np.float32 if tm.X_.dtype == np.float32 else np.float64)


def test_merge_on_few_counts():
    tm = TopicModel(3, vectorizer=CountVectorizer()).fit(TEXTS)
    assert tm.merge([1, 3]).n_topics_ == 2


def test_merge_keeps_labels_that_were_given(corpus):
    tm = TopicModel(8).fit(corpus).rename({1: "One", 3: "Three", 8: "Eight"})
    words = {
        name: tm.topics_.loc[tm.topics_["label"] == name, "words"].iloc[0].split(", ")
        for name in ("One", "Three", "Eight")
    }
    tm.merge(["Three", 2])
    labels = tm.topics_["label"].tolist()
    assert {"One", "Three", "Eight"} < set(labels)
    for name in ("One", "Eight"):
        now = tm.topics_.loc[tm.topics_["label"] == name, "words"].iloc[0].split(", ")
        assert len(set(now) & set(words[name])) >= 5, "a label stays with its topic"
    tm.merge(["One", "Eight"])
    assert "One + Eight" in tm.topics_["label"].tolist()
    tm.undo().undo()
    assert tm.topics_["label"].tolist()[0] == "One"


class Stop(KeyboardInterrupt):
    pass


@pytest.mark.parametrize("error", [ValueError, Stop])
@pytest.mark.parametrize("where", ["nmf_nb.topics.fit_in_order", "nmf_nb.topics.view", "nmf_nb.topics.relabelled"])
def test_a_merge_that_fails_changes_nothing(monkeypatch, error, where):
    tm = TopicModel(3).fit(TEXTS).rename({3: "third"})
    before = state(tm)

    def fail(*args, **options):
        raise error

    monkeypatch.setattr(where, fail)
    with pytest.raises(error):
        tm.merge([1, 2])
    monkeypatch.undo()
    assert all(a is b for a, b in zip(state(tm), before))
    assert tm.undo().topics_["label"].tolist()[2] != "third", "undo takes back the rename"
    with pytest.raises(ValueError, match="nothing to undo"):
        tm.undo()


def test_a_refit_that_fails_keeps_the_old_fit(tm):
    before = state(tm)
    with pytest.raises(TypeError):
        tm.fit(["war", None])
    assert all(a is b for a, b in zip(state(tm), before))


def test_a_refit_forgets_what_could_be_undone(tm):
    tm.rename({1: "x"}).fit(TEXTS)
    with pytest.raises(ValueError, match="nothing to undo"):
        tm.undo()


def test_a_label_that_no_file_keeps_is_refused(tm):
    before = tm.topics_["label"].tolist()
    with pytest.raises(ValueError, match="label 'war .ud83d'; it holds half of a letter"):
        tm.rename({1: "war \ud83d"})
    assert tm.topics_["label"].tolist() == before


def test_a_vectorizer_without_words_and_a_model_of_another_library_are_named():
    with pytest.raises(TypeError, match=r"HashingVectorizer\(\); it must be an object that knows its words"):
        TopicModel(2, vectorizer=HashingVectorizer()).fit(TEXTS)
    vectorizer = CountVectorizer()
    model = SklearnNMF(3, random_state=0).fit(vectorizer.fit_transform(TEXTS).astype(float))
    W = model.transform(vectorizer.transform(TEXTS).astype(float))
    tm = TopicModel.from_parts(vectorizer, W, model.components_, TEXTS, model=model)
    with pytest.raises(ValueError, match="by our NMF, and this model is a sklearn.NMF"):
        tm.merge([1, 2])


@pytest.mark.parametrize("topics", ["war", 1, [], [1], [1, 1], [1, 99], None])
def test_merging_what_cannot_be(tm, topics):
    with pytest.raises(ValueError, match="topic"):
        tm.merge(topics)


@pytest.mark.parametrize(
    "vectorizer",
    [
        CountVectorizer(binary=True),
        CountVectorizer(dtype=np.uint8),
        CountVectorizer(dtype=bool),
        CountVectorizer(analyzer="char", ngram_range=(2, 3)),
        CountVectorizer(analyzer=str.split),
        CountVectorizer(vocabulary={"peace": 1, "tax": 2, "war": 0}),
        make_pipeline(CountVectorizer(), TfidfTransformer()),
    ],
    ids=str,
)
def test_any_vectorizer_does_everything(vectorizer, tmp_path):
    tm = TopicModel(3, vectorizer=vectorizer).fit(TEXTS)
    assert tm.merge([1, 2]).n_topics_ == 2
    assert any(label for _, label, *_ in tm.explain(TEXTS[0]).pieces)
    assert tm.find_topics("war peace").shape[1] == 2
    tm.report(tmp_path / "report.html")


# Labels


def test_equal_labels_lose_no_topic(tm):
    tm.rename({1: "Other", 2: "Other", 3: "Other (2)"})
    assert len(tm.top_words()) == 3 and len(set(tm.topics_["label"])) == 3
    assert "Other" in tm.topics_["label"].tolist()
    tm.undo().rename({1: "Other"}).rename({2: "Other"})
    assert tm.topics_["label"].tolist()[:2] == ["Other", "Other (2)"]
    assert tm.find_docs("Other (2)").index.tolist() == tm.find_docs(2).index.tolist()
    assert sum(tm.explain(TEXTS[0] + " " + TEXTS[3]).shares.values()) == pytest.approx(1, abs=0.02)


def test_dead_topics_have_labels_of_their_own():
    "And so have topics of the same words"
    texts, vectorizer = ["war", "war", "peace"], CountVectorizer().fit(["war", "peace"])
    W, H = np.array([[1.0, 2, 0, 1, 1]] * 2 + [[0, 0, 1, 1, 1]]), np.array([[0.0, 1], [0, 1], [1, 0], [0, 0], [0, 0]])
    tm = TopicModel.from_parts(vectorizer, W, H, texts)
    assert tm.topics_["label"].tolist() == ["war", "peace", "war (2)", "(empty)", "(empty) (2)"]
    assert len(set(TopicModel(3).fit(texts).topics_["label"])) == 3


# In scikit-learn


def test_in_a_pipeline_with_classes():
    y = [0, 0, 0, 1, 1, 1] * 3
    pipe = make_pipeline(TopicModel(2, min_df=1), LogisticRegression())
    assert pipe.fit(TEXTS, y).score(TEXTS, y) == 1
    assert cross_val_score(pipe, TEXTS, y, cv=3).mean() > 0.8
    search = GridSearchCV(pipe, {"topicmodel__n_topics": [1, 2], "topicmodel__ngram_range": [(1, 1), (1, 2)]}, cv=3)
    assert search.fit(TEXTS, y).best_score_ == 1
    table = pd.DataFrame({"year": range(18)})
    assert pipe.fit(TEXTS, y, topicmodel__meta=table).named_steps["topicmodel"].meta_.equals(table)


def test_a_grid_of_topics_by_score():
    search = GridSearchCV(TopicModel(min_df=1), {"n_topics": [1, 2, 3]}, cv=3).fit(TEXTS)
    assert search.best_score_ <= 1 and search.best_estimator_.n_topics_ in (2, 3)
    assert cross_val_score(TopicModel(2, min_df=1), TEXTS, cv=3).shape == (3,)


def test_score_is_the_mean_of_what_topics_explain(tm):
    assert tm.score(TEXTS) == pytest.approx(tm.doc_fit_.mean(), abs=1e-9)


def test_clone_and_names(tm):
    assert clone(tm).get_params() == tm.get_params()
    assert tm.get_feature_names_out().tolist() == tm.topics_["label"].tolist()
    tm.set_output(transform="pandas")
    found = tm.transform(TEXTS[:2])
    assert found.columns.tolist() == tm.topics_["label"].tolist()
    assert isinstance(tm.fit_transform(TEXTS), pd.DataFrame)


# Other libraries


@pytest.mark.parametrize("kind", ["NMF", "MiniBatchNMF", "ours", "our batches", "none", "LDA"])
def test_models_of_others(kind):
    vectorizer = CountVectorizer()
    X = vectorizer.fit_transform(TEXTS).astype(float)
    from sklearn.decomposition import MiniBatchNMF as SklearnMiniBatchNMF

    models = {"NMF": SklearnNMF, "MiniBatchNMF": SklearnMiniBatchNMF, "ours": NMF, "our batches": MiniBatchNMF}
    models |= {"none": SklearnNMF, "LDA": LatentDirichletAllocation}
    model = models[kind](3, random_state=0)
    W = model.fit_transform(X)
    tm = TopicModel.from_parts(vectorizer, W, model.components_, TEXTS, model=None if kind == "none" else model)
    assert tm.topics_["share"].is_monotonic_decreasing
    np.testing.assert_allclose(tm.transform(TEXTS), tm.doc_topics_, atol=2e-2)
    why = tm.explain(TEXTS[0])
    assert "war" in str(why) and sum(why.shares.values()) == pytest.approx(1, abs=0.02)
    if kind == "LDA":
        np.testing.assert_allclose(tm.doc_topics_, W[:, tm.order_])
        assert "model" not in why.table
        for call in (tm.unexplained, lambda: tm.score(TEXTS)):
            with pytest.raises(ValueError, match="V ~ W H"):
                call()
    else:
        assert "model" in why.table and len(tm.unexplained(2.0)) == len(TEXTS)


def test_negative_parts_are_refused():
    vectorizer = CountVectorizer()
    svd = TruncatedSVD(3, random_state=0)
    W = svd.fit_transform(vectorizer.fit_transform(TEXTS))
    with pytest.raises(ValueError, match="below 0"):
        TopicModel.from_parts(vectorizer, W, svd.components_, TEXTS, model=svd)
