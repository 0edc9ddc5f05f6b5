"""The defaults of texts: words, the square of the IDF, near-duplicates, the start of other divergences."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array, random_array
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.preprocessing import normalize

from nmf_nb import NMF, TopicModel, load_corpus, tfidf
from nmf_nb.corpus import PATTERNS
from nmf_nb.duplicates import near_duplicates
from nmf_nb.measures import share_order
from nmf_nb.topics import text_weights

OLD = {"token_pattern": r"(?u)\b\w\w+\b", "idf_power": 1, "near_duplicates": None, "init": None}


@pytest.fixture(scope="module")
def corpus():
    return load_corpus("factbook")


@given(
    st.integers(1, 40),
    st.integers(1, 12),
    st.floats(0.05, 0.9),
    st.floats(0.05, 1.0),
    st.integers(0, 10),
    st.integers(0, 2**31),
)
def test_counts_are_those_of_all_pairs(n, m, density, least, most, seed):
    rng = np.random.default_rng(seed)
    X = csr_array(random_array((n, m), density=density, rng=rng))
    X = csr_array(X[rng.integers(0, n, n)])  # some rows come again
    X.data = np.round(X.data, 1) + 0.1
    U = normalize(X).toarray()
    cosines = U @ U.T
    near = (cosines >= least - 1e-9).sum(axis=1)
    unsure = (abs(cosines - least) < 1e-6).any(axis=1)  # by rounding on either side
    counts = near_duplicates(X, least, most)
    assert (counts == np.maximum(near, 1))[~unsure].all()
    assert (counts >= 1).all()


def test_data_is_left_as_it_is(corpus):
    X = tfidf(corpus.texts)[0]
    X.data *= 3
    before = X.copy()
    near_duplicates(X)
    assert (X != before).nnz == 0


def test_a_group_counts_about_once(corpus):
    texts = [*corpus.texts[:100], *[corpus.texts[0]] * 30]
    once, weighted = TopicModel(5, near_duplicates=None).fit(corpus.texts[:100]), TopicModel(5).fit(texts)
    counted = TopicModel(5, near_duplicates=None).fit(texts)
    share = [tm.doc_topics_[:100].mean(axis=0).max() for tm in (once, weighted, counted)]
    assert weighted.doc_fit_[0] < 0.5 < counted.doc_fit_[0]  # without weights the copies have a topic of their own
    assert abs(share[1] - share[0]) < 0.15
    assert "31 texts have some" in weighted.made_["near-duplicates"]


def test_all_texts_equal():
    tm = TopicModel(1, max_df=1.0).fit(["war and peace in our time"] * 300)
    np.testing.assert_allclose(tm.doc_topics_, 1)
    assert text_weights(tm.X_, 0.5)[0].tolist() == [1 / 300] * 300


def test_old_values_bring_back_the_old_result(corpus):
    "By hand with scikit-learn's vectoriser and our NMF, to the bit"
    tm = TopicModel(8, **OLD).fit(corpus)
    vectorizer = TfidfVectorizer(stop_words="english", sublinear_tf=True, ngram_range=(1, 2), min_df=5, max_df=0.3)
    X = vectorizer.fit_transform(corpus.texts)
    model = NMF(8, random_state=0, max_iter=500)
    W = model.fit_transform(X)
    assert (tm.X_ != X).nnz == 0
    np.testing.assert_array_equal(tm.components_, model.components_[share_order(W, model.components_)])


@pytest.mark.parametrize("loss", ["kullback-leibler", 0.5, 1.5])
def test_other_divergences_begin_from_the_squared_error(corpus, loss):
    fits = {init: TopicModel(8, beta_loss=loss, init=init).fit(corpus) for init in ("auto", None)}
    errors = {init: tm.model_.reconstruction_err_ for init, tm in fits.items()}
    assert errors["auto"] < 1.001 * errors[None]
    for tm in fits.values():
        assert np.isfinite(tm.components_).all() and (tm.doc_topics_.sum(axis=0) > 0).all()


def test_starts_of_nmf_can_be_named(corpus):
    tm = TopicModel(4, init="random", random_state=3).fit(corpus)
    hand = NMF(4, init="random", random_state=3, max_iter=500).fit(tm.X_, sample_weight=text_weights(tm.X_, 0.5)[0])
    assert tm.model_.reconstruction_err_ == hand.reconstruction_err_


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("We don't, they’ve, I'LL", ["we", "they"]),
        ("can't won't wouldn't've", []),
        ("O'Neill's rock'n'roll", ["neill", "rock", "roll"]),
        ("1,234,567 people in 3.14 ways", ["people", "in", "ways"]),
        ("हिन्दी भाषा", ["हिन्दी", "भाषा"]),
        ("தமிழ் మాట", ["தமிழ்", "మాట"]),
        ("می‌خواهم يُمكن", ["می‌خواهم", "يُمكن"]),
        ("re-elected, their 've", ["re", "elected", "their"]),
        ("snake_case C3PO", ["snake_case", "c3po"]),
    ],
)
def test_words(text, words):
    assert re.findall(PATTERNS["words"], text.lower()) == words


@given(st.text(max_size=60))
def test_words_are_pieces_of_the_text(text):
    found = re.findall(PATTERNS["words"], text)
    assert all(len(word) >= 2 and word in text for word in found)
    assert all(not re.search(r"\d", word) for word in re.findall(PATTERNS["letters"], text))


def test_a_file_keeps_how_words_were_made(corpus, tmp_path):
    choices = {"token_pattern": "letters", "idf_power": 1.5, "near_duplicates": 0.7, "language": "en"}
    tm = TopicModel(4, beta_loss=1.5, init="random", **choices).fit(corpus)
    tm.save(tmp_path / "model")
    back = TopicModel.load(tmp_path / "model")
    kept = {name: back.get_params()[name] for name in (*choices, "init")}
    assert kept == {**choices, "init": "random"}
    assert abs(back.X_ - tm.X_).max() < 1e-12
    np.testing.assert_array_equal(back.fit(corpus).components_, tm.components_)
