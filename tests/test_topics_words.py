"""Words of a text are marked where they stand, by whatever way the vectoriser has found them."""

import re

import numpy as np
import pytest
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer, TfidfVectorizer
from sklearn.pipeline import make_pipeline

from nmf_nb import TopicModel
from nmf_nb.view import marked, term_places


def places(text, vectorizer):
    "Each term, and what stands at its places"
    return {term: [text[a:b] for a, b in spans] for term, spans in term_places(text, vectorizer)}


def stem(text):
    return [re.sub("(s|ing|ed)$", "", word) for word in re.findall(r"\w+", text)]


CASES = {
    "capitals kept": (
        CountVectorizer(lowercase=False),
        "NATO and Nato",
        {"NATO": ["NATO"], "and": ["and"], "Nato": ["Nato"]},
    ),
    "accents": (CountVectorizer(strip_accents="unicode"), "Évian café", {"evian": ["Évian"], "cafe": ["café"]}),
    "accents, decomposed": (
        CountVectorizer(strip_accents="unicode"),
        "cafe\u0301 x\u0301y",
        {"cafe": ["cafe\u0301"], "xy": ["x\u0301y"]},
    ),
    "accents, ascii": (CountVectorizer(strip_accents="ascii"), "naïve ligne", {"naive": ["naïve"], "ligne": ["ligne"]}),
    "longer in small letters": (CountVectorizer(), "İstanbul İzmir", {"stanbul": ["stanbul"], "zmir": ["zmir"]}),
    "ligature": (
        CountVectorizer(strip_accents="unicode"),
        "ﬁsh ﬂat end",
        {"fish": ["ﬁsh"], "flat": ["ﬂat"], "end": ["end"]},
    ),
    "hyphens": (
        CountVectorizer(token_pattern=r"[\w-]+"),
        "Well-known, e-mail",
        {"well-known": ["Well-known"], "e-mail": ["e-mail"]},
    ),
    "a group": (CountVectorizer(token_pattern=r"#(\w+)"), "no #War #peace", {"war": ["War"], "peace": ["peace"]}),
    "emoji": (
        CountVectorizer(token_pattern=r"\S+"),
        "I 👩‍🚀 you 🇫🇷",
        {"i": ["I"], "👩‍🚀": ["👩‍🚀"], "you": ["you"], "🇫🇷": ["🇫🇷"]},
    ),
    "Chinese": (CountVectorizer(tokenizer=list, token_pattern=None), "主题 模", {c: [c] for c in "主题 模"}),
    "stems": (
        CountVectorizer(tokenizer=stem, token_pattern=None),
        "He mends Roads",
        {"he": ["He"], "mend": ["mend"], "road": ["Road"]},
    ),
    "pairs over a stop word": (
        CountVectorizer(ngram_range=(2, 2), stop_words=["of"]),
        "Cost of Living",
        {"cost living": ["Cost", "Living"]},
    ),
    "a preprocessor": (
        CountVectorizer(preprocessor=lambda text: re.sub("<[^>]*>", " ", text).lower()),
        "<b>War</b> and Peace",
        {"war": ["War"], "and": ["and"], "peace": ["Peace"]},
    ),
    "an analyzer": (
        CountVectorizer(analyzer=lambda text: text.lower().split()),
        "War! Peace?",
        {"war!": ["War!"], "peace?": ["Peace?"]},
    ),
    "characters": (CountVectorizer(analyzer="char", ngram_range=(2, 2)), "Abc", {"ab": ["Ab"], "bc": ["bc"]}),
    "a pipeline": (make_pipeline(CountVectorizer(), TfidfTransformer()), "War now", {"war": ["War"], "now": ["now"]}),
    "nothing known of it": (object(), "War now", {"war": ["War"], "now": ["now"], "war now": ["War", "now"]}),
}


@pytest.mark.parametrize("case", CASES)
def test_places_of_terms(case):
    vectorizer, text, want = CASES[case]
    assert places(text, vectorizer) == want


@pytest.mark.parametrize("seed", range(20))
def test_places_of_random_texts(seed):
    "Of any text each term is found, in the order of the analyzer, and its characters make it"
    rng = np.random.default_rng(seed)
    text = "".join(rng.choice(list("aB é\u0301İßﬁΣσς-_#1 \n\t中文🇫🇷👩‍🚀ẞǅ"), 60))
    for options in (
        {},
        {"lowercase": False},
        {"strip_accents": "unicode"},
        {"token_pattern": r"\S+"},
        {"ngram_range": (1, 3)},
    ):
        vectorizer = CountVectorizer(**options)
        found = term_places(text, vectorizer)
        assert [term for term, _ in found] == vectorizer.build_analyzer()(text)
        own = vectorizer.build_preprocessor()
        for term, spans in found:
            assert len(spans) == len(term.split(" "))
            for word, (a, b) in zip(term.split(" "), spans):
                assert own(text[a:b]).replace("ς", "σ") == word.replace("ς", "σ") or word in own(text[a:b])


def test_lemmas_do_not_lead_astray():
    "A token that stands elsewhere by chance does not take the rest of the text with it"
    lemmas = CountVectorizer(tokenizer=lambda text: ["he", "go", "to", "the", "sea", "and", "go"], token_pattern=None)
    text = "He went to the sea. And there we saw him go."
    assert places(text, lemmas) == {
        "he": ["He"],
        "to": ["to"],
        "the": ["the"],
        "sea": ["sea"],
        "and": ["And"],
        "go": ["go"],
    }


def test_explain_marks_every_kind_of_word():
    for options, texts, want in (
        ({"lowercase": False}, ["NATO Treaty", "Tax Law"], {"NATO", "Treaty"}),
        ({"strip_accents": "unicode"}, ["Évian été", "tax law"], {"Évian", "été"}),
        ({"tokenizer": list, "token_pattern": None}, ["主题", "税法"], {"主", "题"}),
        ({"token_pattern": r"\S+"}, ["🕊 peace", "tax law"], {"🕊", "peace"}),
    ):
        tm = TopicModel(2, vectorizer=TfidfVectorizer(**options)).fit(texts * 3)
        why = tm.explain(texts[0])
        assert "".join(piece for piece, *_ in why.pieces) == texts[0]
        assert {piece for piece, label, *_ in why.pieces if label} == want


def test_marking_is_quick_on_a_long_text():
    text = "War and peace, and the sea. " * 5_000
    pieces = marked(text, term_places(text, CountVectorizer()), np.ones(2), np.ones((2, 2)), {"war": 0, "peace": 1})
    assert len(pieces) == 20_000
