"""The language of texts is found and said, and its function words are left out."""

import itertools
import json
import pickle
import re
import subprocess
import sys

import numpy as np
import pytest
from sklearn.base import clone

from nmf_nb import TopicModel
from nmf_nb.cli import main
from nmf_nb.language import (
    SCRIPTS,
    SEGMENTERS,
    SpacedWords,
    find_language,
    guess_language,
    languages,
    segmenter_of,
    unspaced_script,
)
from nmf_nb.measures import main_topic
from nmf_nb.texts import stop_words_for

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


UNSPACED = {  # animals and food, then trains; the same in each language
    "Chinese": (
        ["猫在厨房里吃鱼。", "狗和猫都喜欢吃鱼。", "鱼在厨房的桌子上。", "我的猫不喜欢那条狗。"],
        ["火车已经到了车站。", "车站里有很多旅客。", "旅客在等火车。", "这列火车很快，旅客不多。"],
    ),
    "Japanese": (
        ["猫が台所で魚を食べた。", "犬も猫も魚が好きだ。", "台所の机に魚がある。", "私の猫はその犬が嫌いだ。"],
        [
            "電車が駅に着いた。",
            "駅には乗客がたくさんいる。",
            "乗客は電車を待っている。",
            "この電車は速くて、乗客は少ない。",
        ],
    ),
    "Thai": (
        ["แมวกินปลาในครัว", "หมาและแมวชอบกินปลา", "ปลาอยู่บนโต๊ะในครัว", "แมวของฉันไม่ชอบหมาตัวนั้น"],
        ["รถไฟมาถึงสถานีแล้ว", "ที่สถานีมีผู้โดยสารมากมาย", "ผู้โดยสารกำลังรอรถไฟ", "รถไฟขบวนนี้เร็วและผู้โดยสารน้อย"],
    ),
}
KNOWN = {
    "Chinese": {"猫", "鱼", "厨房", "火车", "车站", "旅客"},
    "Japanese": {"猫", "魚", "台所", "電車", "乗客"},
    "Thai": {"แมว", "ปลา", "ครัว", "รถไฟ", "สถานี"},
}
OPTIONS = {"ngram_range": (1, 1), "min_df": 1, "near_duplicates": None}


@pytest.mark.parametrize("language", UNSPACED)
def test_texts_without_spaces(language, tmp_path):
    texts = [text for group in UNSPACED[language] for text in group]
    assert unspaced_script(texts) == language
    tm = TopicModel(2, **OPTIONS).fit(texts)
    assert (
        tm.made_["language"] == f"{language}, for its letters; {segmenter_of(language)} sets the spaces between words"
    )
    assert set(tm.words_) >= KNOWN[language] and not set(tm.words_) & find_language(language).words
    first, second = main_topic(tm.doc_topics_)[:4], main_topic(tm.doc_topics_)[4:]
    assert len({*first}) == len({*second}) == 1 and first[0] != second[0]
    named = TopicModel(2, language=language.lower(), **OPTIONS).fit(texts)
    np.testing.assert_array_equal(named.components_, tm.components_)
    explained = tm.explain(texts[0])
    assert set(explained.table["word"]) & KNOWN[language]
    assert any(word in explained._repr_html_() for word in KNOWN[language])
    word = explained.table["word"][0]
    assert tm.find_topics(word)["label"].iloc[0] == tm.topics_["label"].iloc[first[0]]
    tm.save(tmp_path / "model")
    back = TopicModel.load(tmp_path / "model")
    assert back.vectorizer_.tokenizer == tm.vectorizer_.tokenizer == SpacedWords(segmenter_of(language))
    np.testing.assert_array_equal(back.transform(texts), tm.transform(texts))
    np.testing.assert_array_equal(back.fit(texts).components_, tm.components_)
    assert tm.merge([1, 2]).made_["language"].startswith(f"{language}, for its letters; ")
    own = TopicModel(1, tokenizer=list, stop_words=None, min_df=1, max_df=1.0).fit(texts)
    assert own.vectorizer_.tokenizer is list


def test_parameters_of_texts_without_spaces():
    texts = [text for group in UNSPACED["Chinese"] for text in group]
    tm = TopicModel(2, tokenizer="icu4py", token_pattern="letters", **OPTIONS).fit([*texts, "2024年的火车"])
    assert tm.made_["language"] == "Chinese, for its letters; icu4py sets the spaces between words"
    assert "年" in tm.words_ and not any(re.search(r"\d", word) for word in tm.words_)
    assert (
        clone(tm.vectorizer_).tokenizer
        == tm.vectorizer_.tokenizer
        == pickle.loads(pickle.dumps(tm)).vectorizer_.tokenizer
    )
    with pytest.raises(ValueError, match="tokenizer='scissors'; it must be one of rjieba, icu4py"):
        TopicModel(2, tokenizer="scissors").fit(texts)
    with pytest.raises(ValueError, match="token_pattern=.* is no pattern"):
        TopicModel(2, token_pattern="(").fit(texts)


@pytest.mark.parametrize(
    ("language", "text", "word"),
    [("Lao", "ພາສາລາວແມ່ນພາສາ", "ພາສາ"), ("Khmer", "ភាសាខ្មែរជាភាសា", "ភាសា"), ("Burmese", "မြန်မာစာသည်စာဖြစ်သည်", "မြန်မာ")],
)
def test_scripts_without_a_list(language, text, word):
    tm = TopicModel(1, min_df=1, max_df=1.0, near_duplicates=None).fit([text, text + text])
    assert word in tm.words_ and tm.made_["language"].startswith(f"{language}, for its letters; icu4py")


def test_every_language_of_a_segmenter_is_an_extra():
    from configparser import ConfigParser
    from pathlib import Path

    settings = ConfigParser(interpolation=None)
    settings.read(Path(__file__).parents[1] / "settings.ini", encoding="utf-8")
    for name, segmenter in SEGMENTERS.items():
        for language in segmenter.languages:
            needed = settings["DEFAULT"][f"{language.lower()}_requirements"].split()
            assert [re.match(r"[\w-]+", one)[0] for one in needed] == [name] and language in SCRIPTS


@pytest.mark.parametrize("language", UNSPACED)
def test_a_segmenter_that_is_not_installed(language, tmp_path):
    "In a process of its own, where it cannot be imported"
    texts = [text for group in UNSPACED[language] for text in group]
    TopicModel(2, **OPTIONS).fit(texts).save(tmp_path / "model")
    (tmp_path / "a.txt").write_text("\n".join(texts), encoding="utf-8")
    code = f"""
import sys
sys.modules[{segmenter_of(language)!r}] = None
from nmf_nb import TopicModel
from nmf_nb.cli import main
tm = TopicModel.load({str(tmp_path / "model")!r})
assert len(tm.top_words()) == 2
for call in (lambda: tm.transform({texts[:1]!r}), lambda: tm.find_topics("a"), lambda: TopicModel(2).fit({texts!r})):
    try:
        call()
    except ValueError as error:
        print(type(error).__name__, ascii(str(error)))
sys.exit(main(["topics", "--corpus", {str(tmp_path / "a.txt")!r}, "--topics", "2", "--out", {str(tmp_path / "out")!r}]))
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert run.returncode == 2, run.stderr
    lines = run.stdout.splitlines()
    assert len(lines) == 3 and all(line.startswith("CorpusError") and 'pip install "nmf_nb[' in line for line in lines)
    assert f'pip install "nmf_nb[{language.lower()}]"' in lines[2] and language in run.stderr
    assert f'pip install "nmf_nb[{language.lower()}]"' in run.stderr and "Traceback" not in run.stderr


def test_the_command_on_texts_without_spaces(tmp_path, capsys):
    file, out = tmp_path / "a.txt", tmp_path / "out"
    file.write_text("\n".join(text for group in UNSPACED["Chinese"] for text in group), encoding="utf-8")
    assert (
        main(["topics", "--corpus", str(file), "--topics", "2", "--language", "zh", "--out", str(out), "--json"]) == 0
    )
    said = json.loads(capsys.readouterr().out)
    assert said["made"]["language"] == "Chinese, as given; rjieba sets the spaces between words"
    assert {"火车", "旅客"} & {word for topic in said["topics"] for word in topic["words"].split(", ")}
    assert main(["assign", str(out), str(file)]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 8
    assert (out / "report.html").stat().st_size > 10_000


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
    words = {word for topic in json.loads(capsys.readouterr().out)["topics"] for word in topic["words"].split(", ")}
    assert not {"der", "ist"} & {part for word in words for part in word.split()}
    for wrong, said in ((["--language", "Elvish"], "--language"), (["--stop-words", "nowhere"], "--stop-words")):
        assert main([*call, *wrong]) == 2
        assert said in capsys.readouterr().err
