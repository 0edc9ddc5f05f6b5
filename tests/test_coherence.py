"""Coherence against its definition, word by word, and against gensim where that is installed (`pip install gensim`).

gensim is no requirement of the package or of its development: the comparison is skipped without it.
"""

from itertools import combinations

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import CountVectorizer

from nmf_nb.corpus import load_corpus, tfidf
from nmf_nb.measures import coherence, normalise, top_indices, topic_table, windows
from nmf_nb.nmf import NMF

SOURCES = ["drawn", "factbook", "sotu"]


def drawn_texts(seed=0):
    "60 texts of 1 to 29 words, of which the first in the vocabulary are the most frequent"
    rng = np.random.default_rng(seed)
    return [[f"w{int(25 * x)}" for x in rng.random(n) ** 2] for n in rng.integers(1, 30, 60)]


@pytest.fixture(params=SOURCES, scope="module")
def case(request):
    "Texts as tokens, a vocabulary, and topics as lists of ten columns"
    if request.param == "drawn":
        texts = drawn_texts()
    else:
        analyse = CountVectorizer(stop_words="english").build_analyzer()
        texts = [tokens for text in load_corpus(request.param).texts[:600] if (tokens := analyse(text))]
    words, counts = np.unique([word for tokens in texts for word in tokens], return_counts=True)
    common = np.argsort(-counts, kind="stable")
    tops = np.random.default_rng(1).permuted(np.tile(common[:120], (8, 1)), axis=1)[:, :10]
    return texts, words, tops.tolist()


def by_definition(top, sets, measure):
    "Equations (4) and (5) of the page, with sets of row numbers"
    n, values = sum(1 for _ in sets[None]), []
    for j, i in combinations(range(len(top)), 2):  # j is the heavier word
        a, b = sets[top[i]], sets[top[j]]
        both = len(a & b)
        if measure == "umass":
            values.append(np.log((both + 1) / len(b)))
        elif measure == "uci":
            values.append(np.log((both / n + 1e-12) / (len(a) / n * len(b) / n)))
        elif both in (0, n):
            values.append(1 if both else -1)
        else:
            values.append(np.log(both / n / (len(a) / n * len(b) / n)) / -np.log(both / n))
    return sum(values) if measure == "umass" else np.mean(values)


def row_sets(rows, words):
    "The numbers of the rows that hold each word, by its column; all rows under None"
    index, sets = {word: i for i, word in enumerate(words)}, {i: set() for i in range(len(words))}
    for r, tokens in enumerate(rows):
        for word in tokens:
            sets[index[word]].add(r)
    return sets | {None: set(range(len(rows)))}


def slide(texts, size):
    "Every window of every text, as gensim makes them: a short text is one"
    return [tokens[i : i + size] for tokens in texts for i in range(max(len(tokens) - size, 0) + 1)]


@pytest.mark.parametrize("measure", ["npmi", "umass", "uci"])
@pytest.mark.parametrize("size", [10**6, 10], ids=["documents", "windows"])
def test_the_definition(case, measure, size):
    texts, words, tops = case
    sets = row_sets(slide(texts, size), words)
    expected = [by_definition(top, sets, measure) for top in tops]
    np.testing.assert_allclose(coherence(tops, windows(texts, words, size), measure), expected, rtol=1e-9)


def test_kinds_of_data(case):
    "Dense, sparse of each format, integers, explicit zeros and NaN: the same presence, the same answer"
    texts, words, tops = case
    B = windows(texts, words, 10**6)
    X = B.multiply(np.random.default_rng(0).uniform(0.1, 9, B.shape)).tocsr()
    zeros = csr_matrix((np.append(X.data, 0.0), np.append(X.indices, 0), np.append(X.indptr[:-1], X.nnz + 1)), X.shape)
    unknown = np.where(X.toarray() > 0, X.toarray(), np.nan)
    for other in (X, X.tocsc(), X.tocoo(), X.astype(np.float32), zeros, X.toarray(), unknown, B.astype(bool)):
        np.testing.assert_array_equal(coherence(tops, other), coherence(tops, B))


def test_a_table_is_a_number_everywhere():
    "Words that fill every document, or none, and topics without words"
    V = np.array([[1.0, 0, 2, 0], [1, 0, 0, 0], [1, 0, 3, 0]])
    H = np.array([[1.0, 0, 1, 1], [0, 0, 0, 0], [0, 1, 0, 0]])
    table = topic_table(np.ones((3, 3)), H, list("abcd"), V)
    assert np.isfinite(table[["share", "npmi", "exclusivity"]].to_numpy()).all()


@pytest.fixture(scope="module")
def gensim_scores(case):
    "What gensim's CoherenceModel says of the topics of a case"
    reason = "gensim is not installed: pip install gensim"
    models = pytest.importorskip("gensim.models.coherencemodel", reason=reason)
    corpora = pytest.importorskip("gensim.corpora", reason=reason)
    texts, words, tops = case
    topics = [[str(words[i]) for i in top] for top in tops]
    options = {"topics": topics, "texts": texts, "dictionary": corpora.Dictionary(texts), "topn": 10, "processes": 1}
    names = ("u_mass", "c_npmi", "c_uci")
    return {name: models.CoherenceModel(coherence=name, **options).get_coherence_per_topic() for name in names}


def gensim_windows(texts, words, size=10):
    "As gensim 4.4 counts: a word that leaves the window is gone, though the window hold it a second time"
    index, rows = {word: i for i, word in enumerate(words)}, []
    for tokens in texts:
        held = set(tokens[:size])
        rows.append(list(held))
        for leaves, enters in zip(tokens, tokens[size:]):
            held = (held - {leaves}) | {enters}
            rows.append(list(held))
    columns = [index[word] for row in rows for word in row]
    ends = np.cumsum([0, *map(len, rows)])
    return csr_matrix((np.ones(len(columns)), columns, ends), (len(rows), len(words)))


def pairs_of(tops):
    "All pairs of each topic's words as topics of two words"
    return [[j, i] for top in tops for j, i in combinations(top, 2)]


def test_gensim_windows(case):
    "Only a word that stands twice in one window is counted otherwise, and gensim misses it"
    texts, words, _ = case
    once = [list(dict.fromkeys(tokens)) for tokens in texts]
    assert (windows(once, words) != gensim_windows(once, words)).nnz == 0
    assert (windows(texts, words) - gensim_windows(texts, words)).min() == 0


def test_gensim_uci(case, gensim_scores):
    texts, words, tops = case
    counted = gensim_windows(texts, words)
    np.testing.assert_allclose(coherence(tops, counted, "uci"), gensim_scores["c_uci"], rtol=1e-9)


def test_gensim_npmi(case, gensim_scores):
    "gensim adds 1e-12 to p(v, w): a pair that never meets is PMI / -log 1e-12 there, nearer to 0 the rarer its words"
    texts, words, tops = case
    counted = gensim_windows(texts, words)
    npmi, uci = (coherence(pairs_of(tops), counted, measure) for measure in ("npmi", "uci"))
    theirs = np.where(npmi == -1, uci / -np.log(1e-12), npmi).reshape(len(tops), -1).mean(axis=1)
    np.testing.assert_allclose(theirs, gensim_scores["c_npmi"], atol=1e-7)


def test_gensim_umass(case, gensim_scores):
    "gensim takes the mean, not the sum, and adds 1e-12 to p(v, w) where Mimno et al. add 1 to D(v, w)"
    texts, words, tops = case
    documents = windows(texts, words, 10**6)
    pairs = np.array(pairs_of(tops))
    both = np.asarray((documents[:, pairs[:, 0]].multiply(documents[:, pairs[:, 1]])).sum(axis=0)).ravel()
    swap = np.log((both + 1) / (both + 1e-12 * len(texts))).reshape(len(tops), -1).sum(axis=1)
    ours = coherence(tops, documents, "umass")
    np.testing.assert_allclose(ours, 45 * np.array(gensim_scores["u_mass"]) + swap, rtol=1e-9)


def test_figures_of_the_page():
    "What the page of measures says of gensim, for 16 topics of single words"
    reason = "gensim is not installed: pip install gensim"
    models = pytest.importorskip("gensim.models.coherencemodel", reason=reason)
    corpora = pytest.importorskip("gensim.corpora", reason=reason)
    corpus = load_corpus("sotu")
    X, vectorizer = tfidf(corpus.texts, ngram_range=(1, 1))
    words, model = vectorizer.get_feature_names_out(), NMF(16, random_state=0).fit(X)
    tops = top_indices(normalise(np.ones((1, 16)), model.components_)[1], 10)
    texts = list(map(CountVectorizer(stop_words="english").build_analyzer(), corpus.texts))
    slid, everything = windows(texts, words), np.unique([word for tokens in texts for word in tokens])
    places = windows(texts, everything)
    assert round((places - gensim_windows(texts, everything)).nnz / places.nnz, 3) == 0.026
    options = {"topics": [[str(words[i]) for i in top] for top in tops], "texts": texts, "topn": 10, "processes": 1}
    options["dictionary"] = corpora.Dictionary(texts)
    for name, measure, shown, ours in (("c_npmi", "npmi", 0.158, 0.136), ("c_uci", "uci", 0.523, 0.58)):
        assert round(models.CoherenceModel(coherence=name, **options).get_coherence(), 3) == shown
        assert round(coherence(tops, slid, measure).mean(), 3) == ours
    assert round(models.CoherenceModel(coherence="u_mass", **options).get_coherence(), 2) == -2.09
    assert round(coherence(tops, X, "umass").mean() / 45, 2) == -1.84
