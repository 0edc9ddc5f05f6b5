"""Forms of words: joined by an extra, shown as the texts have them, kept by files."""

import sys

import numpy as np
import pytest

from nmf_nb import TopicModel
from nmf_nb.cli import main
from nmf_nb.corpus import CorpusError
from nmf_nb.forms import FORMERS, WordForms, join_forms
from nmf_nb.select import select_n_components
from nmf_nb.texts import text_matrix

pytest.importorskip("simplemma", reason="the extra lemmas is not installed")
pytest.importorskip("snowballstemmer", reason="the extra stems is not installed")

GERMAN = [
    "Die Regierung erhöht die Steuern, und die Länder zahlen.",
    "Regierungen und Länder streiten über Steuer und Haushalt.",
    "Das Land zahlt der Regierung keine Steuern mehr.",
    "Im Haus wohnen Katzen, und die Katze schläft auf dem Dach.",
    "Häuser mit Dächern, Katzen in den Häusern, und der Garten am Haus.",
    "Die Dächer der Häuser tropfen, die Katze geht in den Garten.",
] * 5


def words_of(tm):
    return set(tm.words_.tolist())


@pytest.mark.parametrize("package", FORMERS)
def test_forms_become_one_column(package):
    plain = TopicModel(2, ngram_range=(1, 1), near_duplicates=None).fit(GERMAN)
    tm = TopicModel(2, ngram_range=(1, 1), near_duplicates=None, tokenizer=package).fit(GERMAN)
    assert {"steuer", "steuern", "regierung", "regierungen"} <= words_of(plain)
    assert len({"steuer", "steuern"} & words_of(tm)) == 1 and len({"regierung", "regierungen"} & words_of(tm)) == 1
    assert words_of(tm) <= words_of(plain), "a column is named by a form that the texts have"
    assert tm.made_["language"].endswith(f"{package} joins the forms of a word")


def test_the_most_frequent_form_is_shown():
    words = join_forms(["taxes taxes tax", "taxed"], "simplemma", "en")
    assert words("tax taxed taxing taxes") == ["taxes"] * 4
    assert words == WordForms("simplemma", "en", words.pattern, ("taxes",))


@pytest.mark.parametrize("package", FORMERS)
def test_words_are_marked_where_they_stand(package):
    tm = TopicModel(2, ngram_range=(1, 1), near_duplicates=None, tokenizer=package).fit(GERMAN)
    why = tm.explain("Der Regierung fehlen Steuern.")
    assert "".join(piece for piece, *_ in why.pieces) == "Der Regierung fehlen Steuern."
    assert {"Regierung", "Steuern"} <= {piece for piece, label, *_ in why.pieces if label}
    assert len(tm.find_topics("Regierungen")) == len(tm.find_topics("Regierung")) > 0


@pytest.mark.parametrize("package", FORMERS)
def test_a_file_keeps_the_forms(package, tmp_path):
    tm = TopicModel(2, near_duplicates=None, tokenizer=package).fit(GERMAN)
    tm.save(tmp_path / "model")
    back = TopicModel.load(tmp_path / "model")
    new = ["Regierungen zahlten Steuern", "ein Dach"]
    np.testing.assert_array_equal(back.transform(new), tm.transform(new))
    assert back.tokenizer == package and back.vectorizer_.tokenizer == tm.vectorizer_.tokenizer


def test_a_file_is_read_without_the_package(tmp_path, monkeypatch):
    TopicModel(2, tokenizer="simplemma").fit(GERMAN).save(tmp_path / "model")
    monkeypatch.setitem(sys.modules, "simplemma", None)
    back = TopicModel.load(tmp_path / "model")
    assert len(back.top_words(3)) == 2
    with pytest.raises(CorpusError, match=r'pip install "nmf_nb\[lemmas\]"'):
        back.transform(GERMAN[:1])
    with pytest.raises(CorpusError, match=r'pip install "nmf_nb\[lemmas\]"'):
        TopicModel(2, tokenizer="simplemma").fit(GERMAN)


def test_stop_words_go_in_all_forms():
    tm = TopicModel(2, ngram_range=(1, 1), near_duplicates=None, tokenizer="simplemma", stop_words=["häuser"]).fit(
        GERMAN
    )
    assert not {"haus", "häuser", "häusern"} & words_of(tm)


def test_the_command_joins_forms(tmp_path, capsys):
    path = tmp_path / "texts.txt"
    path.write_text("\n".join(GERMAN), encoding="utf-8")
    options = ["--corpus", str(path), "--topics", "2", "--language", "de", "--forms", "lemmas", "--out"]
    assert main(["topics", *options, str(tmp_path / "out")]) == 0
    assert "simplemma joins the forms of a word" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="2"):
        main(["topics", "--forms", "roots"])
    assert "choose from 'stems', 'lemmas'" in capsys.readouterr().err


def test_numbers_of_components_of_texts():
    "Texts are made a matrix as a topic model makes it, and its near-duplicates count once"
    texts = [f"{text} {i}" for i, text in enumerate(GERMAN)]
    quick = {"n_init": 2, "n_folds": 2, "n_samples": 2}
    found, own = select_n_components(texts, (2, 3), **quick), text_matrix(texts)
    by_hand = select_n_components(own.X, (2, 3), sample_weight=own.weights, **quick)
    assert own.weights is not None
    np.testing.assert_array_equal(found.table, by_hand.table)
    with pytest.raises(ValueError, match="resume was made with weight="):
        select_n_components(own.X, (2, 3), resume=found, **quick)
