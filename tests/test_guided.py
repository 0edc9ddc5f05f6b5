"""Topics that are asked for: seed words, forbidden words, topics that stay, in models, files and the command."""

import copy
import math

import numpy as np
import pytest

from nmf_nb import TopicModel
from nmf_nb.corpus import load_corpus
from nmf_nb.guided import best_cost

ASKED = {"islands": ["Islands", "colony"], "east": ["Soviet"]}
OPTIONS = {"language": "en", "max_iter": 100, "random_state": 0}


@pytest.fixture(scope="module")
def texts():
    return load_corpus("factbook").texts[:150]


@pytest.fixture(scope="module")
def guided(texts):
    return TopicModel(6, seed_words=ASKED, forbidden_words={"islands": ["french"]}, seed_strength=1, **OPTIONS).fit(
        texts
    )


def row_of(tm, name):
    return tm.topics_["label"].tolist().index(name)


def test_topics_have_their_names_and_words(guided):
    labels = guided.topics_["label"].tolist()
    assert len(labels) == 6 and {"islands", "east"} <= set(labels)
    assert (np.diff(guided.topics_["share"]) <= 1e-9).all()
    words = guided.words_.tolist()
    islands, east = (guided.components_[row_of(guided, name)] for name in ("islands", "east"))
    assert islands[words.index("french")] == 0 and islands[words.index("colony")] > 0
    assert east[words.index("soviet")] > np.quantile(east, 0.95)
    assert "islands (colony, islands; not french) at 1" in guided.made_["asked for"]


def test_nothing_asked_is_the_free_fit_to_the_bit(texts):
    free, none = TopicModel(4, **OPTIONS).fit(texts), TopicModel(4, seed_words=None, seed_strength=5, **OPTIONS)
    assert np.array_equal(free.components_, none.fit(texts).components_)
    assert "asked for" not in none.made_


def test_the_error_is_that_of_the_documents(guided):
    tm = copy.deepcopy(guided)
    tm.near_duplicates = None
    tm.fit(guided.docs_)
    error = math.sqrt(2 * best_cost(tm.X_, tm.components_))
    assert tm.model_.reconstruction_err_ == pytest.approx(error, rel=1e-6)
    assert tm.model_.objective_ > error**2 / 2
    assert tm.transform(guided.docs_[:5]) == pytest.approx(tm.doc_topics_[:5], abs=1e-6)


@pytest.mark.parametrize("options", [{"solver": "mu"}, {"solver": "pgd"}, {"beta_loss": "kullback-leibler"}], ids=str)
def test_every_solver(texts, options):
    given = {"seed_words": ASKED, "forbidden_words": {"east": ["french"]}}
    tm = TopicModel(5, **given, **OPTIONS | options).fit(texts)
    assert tm.components_[row_of(tm, "east"), tm.words_.tolist().index("french")] == 0
    assert np.isfinite(tm.components_).all() and np.isfinite(tm.doc_topics_).all()
    assert isinstance(tm.model_.solver, str)


@pytest.mark.parametrize("options", [{}, {"beta_loss": "kullback-leibler"}], ids=str)
def test_a_topic_of_another_model_stays(texts, guided, options):
    row = guided.components_[row_of(guided, "east")]
    asked = {"east": {word: float(w) for word, w in zip(guided.words_, row) if w > 0}, "islands": ["colony"]}
    tm = TopicModel(7, seed_words=asked, seed_strength={"east": math.inf}, **OPTIONS | options).fit(texts)
    stays = tm.topic_words_[row_of(tm, "east")]
    np.testing.assert_allclose(stays, row / row.sum(), rtol=1e-5, atol=1e-12)
    assert tm.model_.fixed_components is None and "east" in tm.made_["asked for"]


def test_stronger_seeds_have_more_of_their_topic(texts):
    mass = []
    for strength in (0.0, 0.5, 3.0):
        tm = TopicModel(6, seed_words={"islands": ["colony"]}, seed_strength=strength, **OPTIONS).fit(texts)
        mass.append(tm.topic_words_[row_of(tm, "islands"), tm.words_.tolist().index("colony")])
    assert mass[0] < mass[1] < mass[2]


def test_a_file_keeps_what_was_asked(guided, tmp_path):
    tm = copy.deepcopy(guided).set_params(seed_strength={"islands": math.inf})
    tm.save(tmp_path / "model")
    back = TopicModel.load(tmp_path / "model")
    assert (back.seed_words, back.forbidden_words) == (ASKED, {"islands": ["french"]})
    assert back.seed_strength == {"islands": math.inf} and back.made_ == guided.made_
    assert np.array_equal(back.components_, guided.components_)
    tm.set_params(seed_words={"a": {"x", "b"}, "c": {"d": np.float32(0.5)}}).save(tmp_path / "model")
    assert TopicModel.load(tmp_path / "model").seed_words == {"a": ["b", "x"], "c": {"d": 0.5}}


def test_merge_renames_and_stability(guided):
    tm = copy.deepcopy(guided)
    tm.stability(runs=2)
    assert tm.came_back_[row_of(tm, "islands")] > 0
    tm.merge(["islands", "east"])
    assert "islands + east" in tm.topics_["label"].tolist() or "east + islands" in tm.topics_["label"].tolist()
    assert "asked for" not in tm.made_ and len(tm.topics_) == 5
    assert set(tm.undo().topics_["label"]) == set(guided.topics_["label"])


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"seed_words": ["colony"]}, TypeError, "it must be a dict"),
        ({"seed_words": {"islands": []}}, ValueError, "is empty"),
        ({"seed_words": {"islands": ["zzz"]}}, ValueError, "none of those of 'islands' is in the vocabulary: zzz"),
        ({"seed_words": {str(i): ["colony"] for i in range(7)}}, ValueError, "asks for 7 topics of 6"),
        (
            {"forbidden_words": {"islands": ["colony"]}},
            ValueError,
            "'colony' is forbidden to 'islands' and a seed word",
        ),
        ({"seed_strength": -1}, ValueError, "seed_strength=-1"),
        ({"seed_strength": math.nan}, ValueError, "seed_strength=nan"),
        ({"seed_words": None}, ValueError, "given without seed_words"),
    ],
    ids=str,
)
def test_what_cannot_be_meant(texts, changes, error, says):
    given = {"seed_words": ASKED, "forbidden_words": {"islands": ["french"]}} | changes
    with pytest.raises(error, match=says):
        TopicModel(6, **given, **OPTIONS).fit(texts)


def test_the_command(tmp_path, capsys):
    from nmf_nb.cli import main

    (tmp_path / "seeds.txt").write_text("islands: islands, colony, zzz, -french\neast: soviet", encoding="utf-8")
    words = ["topics", "--corpus", "factbook", "--topics", "6", "--seed-words", str(tmp_path / "seeds.txt")]
    assert main([*words, "--seed-strength", "0.5", "--out", str(tmp_path / "out")]) == 0
    said = capsys.readouterr()
    assert "ISLANDS" in said.out and "EAST" in said.out and "left out: zzz" in said.err
    (tmp_path / "seeds.txt").write_text("islands: zzz", encoding="utf-8")
    assert main([*words, "--out", str(tmp_path / "out")]) != 0
    assert "none of those of 'islands'" in capsys.readouterr().err
