"""The language of texts is found and said, and its function words are left out."""

import itertools
import json

import pytest

from nmf_nb import CorpusError, TopicModel
from nmf_nb.cli import main
from nmf_nb.language import find_language, guess_language, languages, unspaced_script
from nmf_nb.topics import stop_words_for

THINGS = (
    ("Hund", "Katze", "Steuer", "Haushalt"),
    ("Wiese", "Straße", "Wahl", "Rede"),
    ("bellt", "schläft", "steigt", "fällt"),
)
GERMAN = [f"Der {a} ist auf der {b}, und sie {c} nicht, weil es so ist." for a, b, c in itertools.product(*THINGS)]


def test_texts_of_another_language():
    tm = TopicModel(2).fit(GERMAN)
    assert tm.made_["language"].startswith("German, for ")
    assert not find_language("de").words & {word for term in tm.words_ for word in term.split()}
    again = TopicModel(2, language="Deutsch").fit(GERMAN)
    assert again.words_.tolist() == tm.words_.tolist() and again.made_["language"] == "German, as given"
    assert "und" in " ".join(TopicModel(2, stop_words=None, max_df=1.0).fit(GERMAN).words_)


def test_english_is_as_it_was():
    texts = ["The war and the peace of a nation.", "A tax is a tax, and a budget is a budget."] * 20
    one, two = (TopicModel(2, **options).fit(texts) for options in ({}, {"language": "english"}))
    assert (one.components_ == two.components_).all() and one.vectorizer_.stop_words == "english"


def test_no_clear_language():
    with pytest.warns(UserWarning, match="the language of the texts is not clear.*language='german'"):
        words, said = stop_words_for(["lorem ipsum dolor amet consectetur"] * 40)
    assert words is None and said.startswith("not clear")


@pytest.mark.parametrize(
    "text", ["人人生而自由，在尊严和权利上一律平等。", "มนุษย์ทั้งหลายเกิดมามีอิสระ", "すべての人間は、自由である。"]
)
def test_scripts_without_spaces(text):
    assert unspaced_script([text] * 3)
    with pytest.raises(CorpusError, match="give a tokenizer"):
        TopicModel(1).fit([text] * 3)
    assert TopicModel(1, tokenizer=list, stop_words=None, min_df=1, max_df=1.0).fit([text] * 3).n_topics_ == 1


def test_words_that_are_set_apart_already():
    texts = ["人人 生而自由 在 尊严 和 权利 上 一律 平等", "权利 和 自由 是 平等 的"] * 3
    assert "自由" in TopicModel(1, stop_words=None, max_df=1.0).fit(texts).words_


def test_what_is_no_language():
    for name in ("Elvish", "", "xx"):
        with pytest.raises(ValueError, match="has no list of function words"):
            TopicModel(2, language=name).fit(GERMAN)
    with pytest.raises(ValueError, match="language=None"):
        TopicModel(2, language=None).fit(GERMAN)
    with pytest.raises(ValueError, match="language given beside a vectorizer"):
        from sklearn.feature_extraction.text import CountVectorizer

        TopicModel(2, language="de", vectorizer=CountVectorizer()).fit(GERMAN)


def test_odd_texts():
    for texts in ([], [""], ["", "12 34"], ["a b c"]):
        assert guess_language(texts).few and unspaced_script(texts) is None
    assert all(len(language.words) > 150 for language in languages().values())


def test_the_command(tmp_path, capsys):
    file, stop, out = tmp_path / "a.txt", tmp_path / "stop.txt", str(tmp_path / "out")
    file.write_text("\n".join(GERMAN), encoding="utf-8")
    call = ["topics", "--corpus", str(file), "--topics", "2", "--out", out]
    assert main(call) == 0
    assert "language: German, for " in capsys.readouterr().out
    assert main([*call, "--language", "en"]) == 0
    assert "language: English, as given" in capsys.readouterr().out
    stop.write_text("der\nIST\n\n", encoding="utf-8")
    assert main([*call, "--stop-words", str(stop), "--json"]) == 0
    words = {word for topic in json.loads(capsys.readouterr().out)["topics"] for word in topic["words"]}
    assert not {"der", "ist"} & {part for word in words for part in word.split()}
    for wrong, said in ((["--language", "Elvish"], "--language"), (["--stop-words", "nowhere"], "--stop-words")):
        assert main([*call, *wrong]) == 2
        assert said in capsys.readouterr().err
