"""The defaults of texts: words, the square of the IDF, near-duplicates, the start of other divergences."""

import re
import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array, random_array
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.preprocessing import normalize

from nmf_nb import NMF, TopicModel, load_corpus, tfidf
from nmf_nb.corpus import HAN, PATTERNS
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
        ("1,234,567 people in 3.14 ways", ["people", "in", "14", "ways"]),
        ("on 31.12.1999, 12.3.99 and 1.2.2024", ["on", "31", "12", "1999", "12", "99", "and", "2024"]),
        ("2.000 or 1,000,000.25 at 3,1415", ["or", "25", "at", "1415"]),
        ("2,000km; 007; a.123", ["007", "123"]),
        ("猫 is a cat, 人人 are we, ก 1", ["猫", "is", "cat", "人人", "are", "we"]),
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
    assert all((len(word) >= 2 or re.match(f"[{HAN}]", word)) and word in text for word in found)
    assert all(not re.search(r"\d", word) for word in re.findall(PATTERNS["letters"], text))


def slow_words(text, letter):
    "The words of a text by a walk along it, without patterns but for the pieces that are left out."
    marks = {chr(i) for i in range(0x300, 0x2000) if unicodedata.category(chr(i)) in ("Mn", "Mc")} | set("\u200c\u200d")
    inside, at, found = lambda c: bool(letter(c)) or c in marks, 0, []
    while at < len(text):
        end = at
        while end < len(text) and inside(text[end]):
            end += 1
        begins = at == 0 or not (text[at - 1].isalnum() or text[at - 1] == "_" or text[at - 1] in marks)
        han = end == at + 1 and re.match(f"[{HAN}]", text[at])
        if begins and (end - at >= 2 or han) and not left_out(text, at, inside):
            found.append(text[at:end])
            at = end
        else:
            at += 1
    return found


def left_out(text, at, inside):
    "Whether a piece of a contraction or of a number begins here."
    ends = [m.end() for m in (re.compile(r"ll|re|ve").match(text, at),) if m and text[at - 1 : at] in ("'", "’")]
    head = re.compile(r"\w+").match(text, at)
    ends += [i + 2 for i in range(at + 2, head.end() + 1 if head else 0) if re.match("n['’]t", text[i - 1 : i + 2])]
    number = re.compile(r"\d{3}(?!\d)").match(text, at) and re.fullmatch(r"\d[.,]", text[max(0, at - 2) : at])
    return bool(number) or any(not inside(text[i : i + 1] or " ") for i in ends)


def test_each_character_of_unicode_is_inside_a_word_or_not():
    "The pattern, against a walk along the text; four texts for each character"
    texts = [chr(i) for i in (*range(0x3000), *range(0x3000, 0xD800, 16), *range(0x1F000, 0x30000, 16))]
    kinds = {"words": lambda c: c.isalnum() or c == "_", "letters": lambda c: c.isalnum() and not c.isdecimal()}
    for name, letter in kinds.items():
        word = re.compile(PATTERNS[name])
        for first in range(0, len(texts), 1 << 14):
            group = texts[first : first + (1 << 14)]
            whole = "\n".join(f"{c} a{c} {c}b 1.{c}23 don't{c} we've{c} x{c}y" for c in group if c != "\n")
            assert word.findall(whole) == slow_words(whole, letter)


@given(st.text(st.sampled_from("an't’velr,.123 _\u0301\u0bcd猫\u200dé৩²"), max_size=30))
def test_words_by_a_walk_along_the_text(text):
    assert re.findall(PATTERNS["words"], text) == slow_words(text, lambda c: c.isalnum() or c == "_")
    assert re.findall(PATTERNS["letters"], text) == slow_words(text, lambda c: c.isalnum() and not c.isdecimal())


def test_a_file_keeps_how_words_were_made(corpus, tmp_path):
    choices = {"token_pattern": "letters", "idf_power": 1.5, "near_duplicates": 0.7, "language": "en"}
    tm = TopicModel(4, beta_loss=1.5, init="random", **choices).fit(corpus)
    tm.save(tmp_path / "model")
    back = TopicModel.load(tmp_path / "model")
    kept = {name: back.get_params()[name] for name in (*choices, "init")}
    assert kept == {**choices, "init": "random"}
    assert abs(back.X_ - tm.X_).max() < 1e-12
    np.testing.assert_array_equal(back.fit(corpus).components_, tm.components_)
