"""Files of every kind, good and bad, read by `topics` and by `assign` in processes of their own: the same rule in both."""

import csv
import gzip
import json
import os
import shutil
import sys

import pandas as pd
import pytest

from nmf_nb.corpus import CorpusError, load_corpus, read_batches

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux: fork, pipes, /dev/full")

WORDS = ["war and army", "tax and budget", "army war tanks", "budget tax rates", "peace or war"]
LINES = "".join(f"{w}\n" for w in WORDS)
OBJECTS = "".join(json.dumps({"text": w, "year": 1990 + i}) + "\n" for i, w in enumerate(WORDS))
TABLE = "text,year\n" + "".join(f"{w},{1990 + i}\n" for i, w in enumerate(WORDS))


@pytest.fixture(scope="module")
def model(server, tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    (folder / "a.txt").write_text(LINES * 3, encoding="utf-8")
    words = ["topics", "--corpus", "a.txt", "--topics", "2", "--out", "model"]
    assert server(folder, words, os.devnull, str(folder / "err")) == 0, (folder / "err").read_text()
    return folder / "model"


def zipped(raw):
    return gzip.compress(raw if isinstance(raw, bytes) else raw.encode())


def parquet(table):
    return lambda path: table.to_parquet(path)


def fill(path, contents):
    "Write a file, or the files of a folder"
    if isinstance(contents, dict):
        path.mkdir()
        for name, inner in contents.items():
            fill(path / name, inner)
    elif callable(contents):
        contents(path)
    else:
        path.write_bytes(contents if isinstance(contents, bytes) else contents.encode("utf-8"))


def zip_parquet(path):
    pd.DataFrame({"text": WORDS}).to_parquet(path.with_suffix(""))
    path.write_bytes(gzip.compress(path.with_suffix("").read_bytes()))


READ = {  # name of the file: contents, and the texts in it
    "a.txt": (LINES, WORDS),
    "a.txt.gz": (zipped(LINES), WORDS),
    "crlf.txt": ("\r\n\r\n".join(WORDS), WORDS),
    "marked.txt": (LINES.encode("utf-8-sig"), WORDS),
    "a.jsonl": (OBJECTS, WORDS),
    "A.JSONL.GZ": (zipped(OBJECTS), WORDS),
    "marked.jsonl": (OBJECTS.encode("utf-8-sig"), WORDS),
    "half.jsonl": (OBJECTS + '{"text": "war \\ud83d", "\\udc00": {"\\udfff": ["\\ud800"]}}\n', [*WORDS, "war ?"]),
    "whole.jsonl": (OBJECTS + '{"text": "war \\ud83d\\udc4d \\u0000"}\n', [*WORDS, "war 👍 \0"]),
    "null.jsonl": (OBJECTS + '\n{"text": null}\n{"text": 5, "more": 1}\n', [*WORDS, "", "5"]),
    "a.csv": (TABLE, WORDS),
    "a.csv.gz": (zipped(TABLE), WORDS),
    "a.tsv": (TABLE.replace(",", "\t"), WORDS),
    "a.tsv.gz": (zipped(TABLE.replace(",", "\t")), WORDS),
    "marked.csv": (TABLE.encode("utf-8-sig"), WORDS),
    "short.csv": (TABLE + "war\n\n,1\nNA,2\n", [*WORDS, "war", "", "NA"]),
    "quoted.csv": (TABLE + '"war, ""tax""\npeace",1\n', [*WORDS, 'war, "tax"\npeace']),
    "a.parquet": (parquet(pd.DataFrame({"text": WORDS, "year": range(5)})), WORDS),
    "a.parquet.gz": (zip_parquet, WORDS),
    "lists.parquet": (parquet(pd.DataFrame({"text": WORDS, "tags": [["a", "b"], []] * 2 + [None]})), WORDS),
    "nested.parquet": (parquet(pd.DataFrame({"text": WORDS, "more": [{"a": [1, 2], "b": [{"c": [3]}]}] * 5})), WORDS),
    os.fsdecode(b"\xff.txt"): (LINES, WORDS),
    "bytes.parquet": (parquet(pd.DataFrame({"text": [w.encode() for w in WORDS]})), WORDS),
    "folder": ({f"{i}.txt": w for i, w in enumerate(WORDS)} | {"loop": lambda p: p.symlink_to(".")}, WORDS),
    "deep": ({"b": {"c.TXT": "tax"}, "a.txt": "war", "a.md": b"\xff"}, ["war", "tax"]),
}


def twice(path):
    parquet = pytest.importorskip("pyarrow.parquet")
    table = pytest.importorskip("pyarrow").table([WORDS, WORDS, WORDS], names=["text", "by", "by"])
    parquet.write_table(table, path)


REFUSED = {  # name of the file: contents, and what is said of it
    "gone.csv": (lambda path: None, "no such file or folder"),
    "loop.txt": (lambda path: path.symlink_to(path), "a link that leads to no file"),
    "none.txt": ("\n \n", "no text in it"),
    "header.csv": ("text,year\n", "no text in it"),
    "none.jsonl": ("\n", "no text in it"),
    "none named.parquet": (parquet(pd.DataFrame({"body": []})), "no column 'text'"),
    "none.parquet": (parquet(pd.DataFrame({"text": []})), "no text in it"),
    "empty.csv": ("", "not a table (No columns"),
    "long.csv": (TABLE + "war,1,2\n", "Expected 2 fields in line 7, saw 3"),
    "long first.csv": ("text,year\nwar,1,2\n" + TABLE[10:], "not a table"),
    "twice.csv": ("text,year,n,year,\n" + "war,1,2,3,4\n" * 5, "two columns have the name 'year'"),
    "twice in lines.tsv": ('"text\n"\t"text\n"\ttext\n', "two columns have the name 'text"),
    "open.csv": (TABLE + '"war', "not a table"),
    "semicolons.csv": (TABLE.replace(",", ";"), "not with semicolons"),
    "other.csv": (TABLE.replace("text", "body"), "among 'body', 'year'"),
    "latin.csv": ("text\nGrüße\n".encode("latin-1"), "not UTF-8 at byte 7; save the file as UTF-8"),
    "latin.jsonl": ('{"text": "Grüße"}'.encode("latin-1"), "not UTF-8 at byte 12"),
    "wide.txt": (LINES.encode("utf-16"), "UTF-16, not UTF-8 at byte 0"),
    "wide.csv": (TABLE.encode("utf-16-le"), "a zero byte at byte 1"),
    "zero.txt": (LINES + "war \0 peace", "a zero byte at byte"),
    "zero.jsonl.gz": (zipped(OBJECTS + "\0"), "a zero byte at byte"),
    "a.json": (json.dumps([{"text": w} for w in WORDS]), "cannot read '.json'; use .txt"),
    "plain": (LINES, "cannot read 'a file without ending'"),
    "a.gz": (zipped(LINES), "cannot read 'a file without ending'"),
    "list.jsonl": (OBJECTS + '{"text": ["war", "tax"]}\n', "document 6: ['war', 'tax'] is no text"),
    "object.jsonl": (OBJECTS + '{"text": {"de": "x"}}\n', "document 6: {'de': 'x'} is no text"),
    "lacking.jsonl": (OBJECTS + '{"txet": "war"}\n', "line 6 has no field 'text'"),
    "twice.jsonl": (
        OBJECTS + '{"text": "war", "text": "tax"}\n',
        "line 6 is not a JSON object (the field 'text' stands twice",
    ),
    "array.jsonl": ('["war"]\n', "line 1 is not a JSON object"),
    "cut.jsonl": (OBJECTS + '{"text": "wa', "line 6 is not a JSON object"),
    "deep.jsonl": (OBJECTS + "[" * 100_000 + "\n", "line 6 is not a JSON object"),
    "digits.jsonl": (OBJECTS + '{"text": ' + "9" * 5000 + "}\n", "line 6 is not a JSON object"),
    "latin.parquet": (parquet(pd.DataFrame({"text": [b"war", b"Gr\xfc"]})), "document 2: 'utf-8' codec"),
    "list.parquet": (parquet(pd.DataFrame({"text": [["war"], ["tax"]]})), "document 1: ['war'] is no text"),
    "twice.parquet": (twice, "two columns have the name 'by'"),
    "cut.parquet": (b"PAR1" + bytes(9), "not a Parquet file"),
    "cut.csv.gz": (zipped(TABLE)[:-9], "not a whole gzip file"),
    "not.txt.gz": (LINES, "not a whole gzip file"),
    "nothing": ({}, "no .txt file in this folder"),
    "pipe": ({"a.txt": "war", "b.txt": os.mkfifo}, "b.txt: a pipe or a device, not a file"),
    "loops": ({"a.txt": "war", "b.txt": lambda p: p.symlink_to("b.txt")}, "b.txt: a link that leads to no file"),
    "latin": ({"a.txt": "war", "b.txt": b"\xfc"}, "b.txt: not UTF-8 at byte 0"),
}


@pytest.mark.parametrize("name", READ, ids=ascii)
def test_what_is_read(name, tmp_path, command, model):
    "The texts of the file, in `topics`, in `assign` and in batches of any size"
    contents, texts = READ[name]
    fill(tmp_path / name, contents)
    for size in (None, 1, 4):
        batches = list(read_batches(tmp_path / name, size=size))
        assert [text for some, _ in batches for text in some] == texts
        assert [len(meta) for _, meta in batches] == [len(some) for some, _ in batches]
    assert load_corpus(tmp_path / name).texts == texts
    status, _, complained = command("topics", "--corpus", name, "--topics", 2)
    assert (status, complained) == (0, "")
    with (tmp_path / "nmf_nb_topics/documents.csv").open(encoding="utf-8", newline="") as file:
        assert [row["text"] for row in csv.DictReader(file)] == texts
    assert command("show", "nmf_nb_topics")[0] == 0
    shutil.copytree(model, tmp_path / os.fsdecode(b"model \xfe"), dirs_exist_ok=True)
    status, said, complained = command("assign", os.fsdecode(b"model \xfe"), name)
    assert (status, complained) == (0, "")
    assert [json.loads(line)["n"] for line in said.splitlines()] == list(range(1, len(texts) + 1))


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name, tmp_path, command, model):
    "In one line that names the file and says the same in `topics`, in `assign` and in Python"
    contents, says = REFUSED[name]
    fill(tmp_path / name, contents)
    before = sorted(tmp_path.rglob("*"))
    found = [command("topics", "--corpus", name, "--topics", 2), command("assign", model, name, "--out", "answer")]
    for status, said, complained in found:
        assert (status, said, len(complained.splitlines())) == (2, "", 1), complained
        assert complained.startswith(f"nmf_nb: {name}") and says in complained, complained
    with pytest.raises(CorpusError):
        load_corpus(tmp_path / name)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.fixture
def words(tmp_path):
    (tmp_path / "a.txt").write_text(LINES, encoding="utf-8")
    return ["topics", "--corpus", "a.txt", "--topics", 2, "--out", "o"]


def test_a_closed_standard_output(tmp_path, command, model, words):
    "The files are written; an answer that would go nowhere is refused"
    assert command(*words, out=None) == (0, "", "") and (tmp_path / "o/topics.csv").exists()
    assert command("report", model, "--out", "page.html", out=None) == (0, "", "")
    assert command("assign", model, "a.txt", "--out", "answer", out=None) == (0, "", "")
    for refused in (["show", model], ["assign", model, "a.txt"], [*words, "--json"]):
        status, _, complained = command(*refused, out=None)
        assert status == 2 and complained.startswith("nmf_nb: the standard output is closed")
    assert command(*words, err=None)[0] == 0
    assert command("show", "gone", out=None, err=None)[0] == 2


def test_a_full_disk_behind_the_standard_output(tmp_path, command, model, words):
    for full in (words, ["show", model], ["assign", model, "a.txt"], ["--help"], ["topics", "--help"], ["--version"]):
        status, _, complained = command(*full, out="/dev/full")
        assert status == 2 and complained.startswith("nmf_nb: the standard output: No space left on device")
        assert len(complained.splitlines()) == 1
    assert (tmp_path / "o/topics.csv").exists()
    for full in (["report", model, "--out", "/dev/full"], ["assign", model, "a.txt", "--out", "/dev/full"]):
        status, _, complained = command(*full)
        assert status == 2 and complained.startswith("nmf_nb: /dev/full: No space left on device")


def test_a_result_does_not_replace_what_it_is_made_of(tmp_path, command, words):
    assert command(*words)[0] == 0
    model = tmp_path / "o/model/topics.safetensors"
    os.link(tmp_path / "a.txt", tmp_path / "hard.txt")
    (tmp_path / "soft").symlink_to(model)
    fill(tmp_path / "folder", {"a.txt": "war", "b.txt": "tax"})
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    for refused in (
        ["assign", "o", "a.txt", "--out", "a.txt"],
        ["assign", "o", "a.txt", "--out", "hard.txt"],
        ["assign", "o", "a.txt", "--out", "folder/../a.txt"],
        ["assign", "o", "a.txt", "--out", "soft"],
        ["assign", "o", "a.txt", "--out", model],
        ["assign", "o/model", "a.txt", "--out", model],
        ["assign", model, "a.txt", "--out", "soft"],
        ["assign", "o", "folder", "--out", "folder/b.txt"],
        ["report", "o", "--out", model],
        ["report", "o", "--out", "soft"],
        ["report", model, "--out", model],
        ["topics", "--corpus", "o/documents.csv", "--topics", 2, "--out", "o"],
        ["topics", "--corpus", model, "--topics", 2, "--out", "o"],
    ):
        status, said, complained = command(*refused)
        assert (status, said, len(complained.splitlines())) == (2, "", 1), refused
        assert "--out" in complained
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


def test_a_name_is_not_empty(command, model, words):
    for empty in ([*words[:-1], ""], ["show", ""], ["assign", model, ""], ["topics", "--corpus", ""]):
        status, _, complained = command(*empty)
        assert status == 2 and "has no name" in complained.splitlines()[-1]


def test_files_that_are_not_ours_stay(tmp_path, command, words):
    "In the folder where one stands, too; a picture of an earlier run goes with it"
    fill(tmp_path / "pictures", {"over_time.png": b"mine", "holiday.png": b"mine"})
    (tmp_path / "years.csv").write_text(TABLE, encoding="utf-8")
    assert command(*words[:-1], ".")[0] == 0
    assert (tmp_path / "pictures/over_time.png").read_bytes() == b"mine"  # no run of ours has drawn it
    assert command("topics", "--corpus", "years.csv", "--topics", 2, "--out", ".")[0] == 0
    assert (tmp_path / "pictures/over_time.png").read_bytes()[1:4] == b"PNG"
    assert command(*words[:-1], ".")[0] == 0
    pictures = {p.name for p in (tmp_path / "pictures").iterdir()}
    assert pictures == {"top_words.png", "holiday.png"}
    assert not list(tmp_path.glob(".*")) and (tmp_path / "years.csv").exists()


@pytest.mark.parametrize("at", ["o/topics.csv", "o/model/topics.safetensors", "o/pictures/map.png"])
def test_a_folder_in_the_place_of_a_file(tmp_path, command, words, at):
    (tmp_path / at).mkdir(parents=True)
    status, said, complained = command(*words)
    assert (status, said, len(complained.splitlines())) == (2, "", 1) and at in complained
    assert [p for p in (tmp_path / "o").rglob("*") if p.is_file()] == []


def test_a_killed_run_is_brought_in_step_by_whoever_comes_next(tmp_path, command, words):
    "A journal as a killed process leaves it"
    assert command(*words)[0] == 0
    stage = tmp_path / "o/.together-killed"
    fill(stage, {"new": {"topics.csv": "new"}, "old": {"topics.csv": "old"}})
    journal = {"do": "complete", "new": ["topics.csv"], "kept": ["topics.csv"], "gone": [], "made": []}
    (stage / "journal").write_text(json.dumps(journal), encoding="utf-8")
    status, _, complained = command("show", "o")
    assert status == 0 and "all of them are in place" in complained and not stage.exists()
    assert (tmp_path / "o/topics.csv").read_text() == "new"
    fill(stage, {"new": {"topics.csv": "half"}})
    status, _, complained = command(*words)
    assert status == 0 and "those from before it are in place" in complained and not stage.exists()
    assert (tmp_path / "o/topics.csv").read_text().startswith('"topic"')
    fill(stage, {"journal": '{"do": "restore", "new": ["../a.txt"], "kept": [], "gone": [], "made": []}'})
    for crafted in (words, ["show", "o"]):
        status, _, complained = command(*crafted)
        assert (status, len(complained.splitlines())) == (2, 1) and "journal" in complained
    shutil.rmtree(stage)
    fill(stage, {"journal": json.dumps(journal | {"new": ["."]}), "new": {"topics.csv": "new"}})
    status, said, complained = command(*words)
    assert (status, said, len(complained.splitlines())) == (2, "", 1)  # before the fit
    status, _, complained = command("show", "o")
    assert (status, len(complained.splitlines())) == (0, 1) and "cannot be moved" in complained
    shutil.rmtree(stage)
    stage.write_text("not a folder", encoding="utf-8")
    assert command(*words)[::2] == (0, "")
    assert (tmp_path / "a.txt").exists()


def held(folder):
    "What the files of a run say; the model, which holds times, says how many texts it has to `show`"
    return {p.name: p.read_bytes() for p in folder.rglob("*") if p.is_file() and p.suffix != ".safetensors"}


def test_a_run_that_is_killed(tmp_path, command):
    "At many moments, by SIGKILL: whoever comes next finds the files of one run, all old or all new"
    for name, text in (("old", LINES), ("new", LINES + "war and tanks\n")):
        (tmp_path / f"{name}.txt").write_text(text, encoding="utf-8")
    words = ["topics", "--topics", 2, "--out", "o", "--corpus"]
    runs = {}
    for name in ("new", "old"):
        assert command(*words, f"{name}.txt")[0] == 0
        runs[name] = held(tmp_path / "o")
    shutil.copytree(tmp_path / "o", tmp_path / "old")
    seen, kill = set(), 1
    while command(*words, "new.txt", kill=kill)[0] == -9:
        status, said, complained = command("show", "o", "--json")
        assert status == 0 and not list((tmp_path / "o").glob(".*"))
        found = held(tmp_path / "o")
        (which,) = [name for name, files in runs.items() if files == found]
        assert json.loads(said)["texts"] == {"old": 5, "new": 6}[which]
        assert ("now all of them" in complained) <= (which == "new")
        assert ("those from before" in complained) <= (which == "old")
        seen.add((which, bool(complained)))
        shutil.rmtree(tmp_path / "o")
        shutil.copytree(tmp_path / "old", tmp_path / "o")
        kill += 4
    assert kill > 15 and {("old", True), ("new", True)} <= seen


def test_a_picture_that_fails_costs_the_picture(tmp_path, command):
    "Years that no calendar has"
    rows = "".join(f"{w},{10.0**i * 1e300 if i > 3 else 1990 + i},{'ab'[i % 2]}\n" for i, w in enumerate(WORDS * 5))
    (tmp_path / "a.csv").write_text("text,year,group\n" + rows, encoding="utf-8")
    for words in (["topics", "--corpus", "a.csv", "--topics", 3, "--out", "o"],):
        status, _, complained = command(*words)
        assert status == 0, complained
        assert all("is left out" in line for line in complained.splitlines())
    there = {p.name for p in (tmp_path / "o").rglob("*")}
    assert {"topics.csv", "documents.csv", "topics.safetensors", "top_words.png", "map.png"} <= there


def test_names_and_words_do_not_steer_the_terminal(tmp_path, command, model):
    name = "\x1b[31mred\x9b2J\u202e\n.txt"
    fill(tmp_path / name, LINES)
    status, said, complained = command("topics", "--corpus", name, "--topics", 2, "--out", "\x1b[32mo")
    assert (status, complained) == (0, "") and "\\x1b[31mred\\x9b2J\\u202e\\n.txt" in said
    status, again, _ = command("topics", "--corpus", name, "--topics", 2, "--json")
    assert json.loads(again)["corpus"] == name
    found = [said, again]
    for words in (
        ["topics", "--corpus", name + "x"],
        ["show", name],
        ["assign", model, name + "x"],
        ["show", "a", name],
    ):
        status, _, complained = command(*words)
        assert status == 2 and "\\x1b[31m" in complained
        found.append(complained)
    assert not any(letter in text for text in found for letter in "\x1b\x9b\u202e\x7f\r")


def test_cells_that_a_spreadsheet_would_run(tmp_path, command, model):
    "As they are by default, with an apostrophe when asked for"
    texts = ["=HYPERLINK(1) war", "+war", "-tax", "@SUM tax", "\twar", "peace = war"]
    table = pd.DataFrame({"text": texts, "=by": ["=x"] * 6, "n": [-1, 2, 3, 4, 5, 6]})
    table.to_csv(tmp_path / "a.csv", index=False)
    for words, start in ([], ""), (["--safe-csv"], "'"):
        assert command("topics", "--corpus", "a.csv", "--topics", 2, "--out", "o", *words)[0] == 0
        with (tmp_path / "o/documents.csv").open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        assert [row["text"] for row in rows] == [*(start + t for t in texts[:5]), texts[5]]
        assert {row[start + "=by"] for row in rows} == {start + "=x"} and rows[0]["n"] == "-1"
        status, said, _ = command("assign", model, "a.csv", "--format", "csv", *words)
        assert status == 0 and said.startswith("n,topic,label,share")
    assert "--safe-csv" in command("topics", "--help")[1] and "--safe-csv" in command("assign", "--help")[1]
