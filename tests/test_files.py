"""Files: whole or not at all, one or several; and files that are not trusted."""

import json
import os
import random
import shutil
import stat
import struct
import subprocess
import sys
from contextlib import contextmanager, nullcontext

import numpy as np
import pytest
import torch
from conftest import run
from safetensors.torch import save_file

from nmf_nb import files
from nmf_nb.files import (
    checksum,
    hold_folder,
    read_arrays,
    read_tensors,
    recover,
    write_tensors,
    write_together,
    write_whole,
)

linux = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux: fork, mounts, /dev/full")
NAMES = ("topics.csv", "pictures/map.png", "model/topics.safetensors")


def put(path, text):
    with write_whole(path, "w", encoding="utf-8") as file:
        file.write(text)


def test_a_file_that_is_replaced_keeps_its_permissions_and_its_links(tmp_path):
    (tmp_path / "other").touch()
    put(tmp_path / "file", "new")
    assert (tmp_path / "file").stat().st_mode == (tmp_path / "other").stat().st_mode
    (tmp_path / "file").chmod(0o640)
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "link to a link").symlink_to("link")
    (tmp_path / "to come").symlink_to("not yet")
    put(tmp_path / "link to a link", "newer")
    put(tmp_path / "to come", "now")
    assert (tmp_path / "file").read_text() == "newer" and stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o640
    assert (tmp_path / "not yet").read_text() == "now" and (tmp_path / "to come").is_symlink()
    put(tmp_path / ("x" * 255), "a name as long as they get")
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("name", ["gone/file", "loop", "loop/file", "folder", "file/under"])
def test_a_place_that_cannot_be_written_to_is_named(tmp_path, name):
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(OSError) as caught:
        put(tmp_path / name, "text")
    assert caught.value.filename == str(tmp_path / name)
    assert sorted(tmp_path.rglob("*")) == before


@linux
def test_what_a_killed_process_left_goes_and_all_else_stays(tmp_path):
    "A live process, a folder of the user's, a file and a link that look alike"
    dead, mine, live = (tmp_path / f".writing-{letter * 8}" for letter in "dml")
    for folder in (dead, mine, live):
        folder.mkdir()
        (folder / "whole").write_text("half")
    (mine / "notes").touch()
    (tmp_path / ".writing-ffffffff").write_text("a file")
    (tmp_path / ".writing-link0000").symlink_to(mine.name)
    (tmp_path / ".writing-more letters").mkdir()
    before = set(tmp_path.iterdir())
    with hold_folder(live):
        put(tmp_path / "file", "text")
        assert set(tmp_path.iterdir()) == (before | {tmp_path / "file"}) - {dead}
    put(tmp_path / "file", "text")
    assert not live.exists() and sorted(p.name for p in mine.iterdir()) == ["notes", "whole"]


@linux
@pytest.mark.parametrize("taken", [False, True], ids=["gone", "held"])
def test_a_hidden_folder_that_another_process_took_for_a_dead_one(tmp_path, monkeypatch, taken):
    "Between its making and its lock: the write takes another one, and an error of the block is the block's own"
    real, tried = files.hold_folder, []

    @contextmanager
    def late(folder):
        tried.append(folder)
        with real(folder) if taken else nullcontext():
            if not taken:
                folder.rmdir()
            with real(folder) as free:
                yield free

    monkeypatch.setattr(files, "hold_folder", lambda folder: real(folder) if tried else late(folder))
    put(tmp_path / "file", "text")
    assert len(tried) == 1 and [p.name for p in tmp_path.iterdir()] == ["file"]
    with pytest.raises(FileNotFoundError, match="no/such"):
        with write_whole(tmp_path / "file"):
            open("no/such")
    assert (tmp_path / "file").read_text() == "text"


@linux
def test_devices_and_pipes_are_written_to_straight():
    "and a full disk names the path"
    put("/dev/null", "text")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    with pytest.raises(OSError, match="No space left on device: '/dev/full'"):
        put("/dev/full", "text")
    code = "from nmf_nb.files import *\nwith write_whole('/dev/stdout') as file: file.write(b'said')"
    assert run(sys.executable, "-c", code).stdout == "said"


SMALL_DISK = """
import sys
from nmf_nb.files import write_together, write_whole
from pathlib import Path
folder = Path(sys.argv[1])
big = lambda path: path.write_bytes(bytes(3_000_000))
small = lambda path: path.write_text("old")
def tried(work):
    try: work()
    except OSError as error: print(error.errno, error.filename.removeprefix(str(folder)))
def one():
    with write_whole(folder / "file") as file: file.write(bytes(3_000_000))
print(repr(write_together({"a": small, "b": small}, folder)))
tried(one)
tried(lambda: write_together({"a": small, "b": big}, folder))
print(sorted(p.name for p in folder.iterdir()), (folder / "a").read_text(), (folder / "b").read_text())
"""


@linux
def test_a_full_disk(tmp_path):
    "A disk of its own, which is a mounted folder too: nothing is left, and the error says which file"
    cut = ["unshare", "--mount", "--map-root-user", "bash", "-c"]
    mount = f"mount -t tmpfs -o size=1m tmpfs '{tmp_path}'"
    if not shutil.which("unshare") or run(*cut, mount).returncode:
        pytest.skip("a small disk needs Linux's unshare and the right to mount")
    result = run(*cut, mount + ' && exec "$@"', "bash", sys.executable, "-c", SMALL_DISK, tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines() == ["''", "28 /file", "28 /b", "['a', 'b'] old old"]


STOPPED = """
import os, shutil, signal, sys
from pathlib import Path
from nmf_nb.files import recover, write_together

before, how, gone, *names = Path(sys.argv[1]), *sys.argv[2:]
writers = {name: (lambda path, name=name: path.write_text(f"new {name}")) for name in names}
calls = ("os.rename", "os.link", "os.remove", "os.rmdir", "os.mkdir", "shutil.rmtree")
folder, limit, seen = before, 0, 0

def hook(event, args):
    global seen
    if event in calls or (event == "open" and str(folder) in str(args[0])):
        seen += 1
        if seen == limit:
            if how == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            raise KeyboardInterrupt if how == "interrupt" else OSError(5, "Input/output error")

def held(folder):
    return {p.relative_to(folder).as_posix(): p.read_text() for p in folder.rglob("*") if p.is_file()}

old, ended = held(before), None
new = {name: text for name, text in old.items() if name != gone} | {name: f"new {name}" for name in names}
while ended != 0:  # a child is stopped at one call later each time, until there are no more
    limit += 1
    folder = shutil.copytree(before, before.parent / f"at {limit}")
    pid = os.fork()
    if not pid:
        sys.addaudithook(hook)
        try:
            write_together(writers, folder, remove=[gone])
        except (KeyboardInterrupt, OSError):
            os._exit(3)
        os._exit(4 if 0 < limit <= seen else 0)  # 4: stopped where it did no harm
    ended = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    left = any(folder.glob(".together-*"))
    assert how == "kill" or ended == 4 or not left, f"{how} at call {limit}: left-overs"
    said, after = recover(folder), held(folder)
    allowed = {"restored": [old], "completed": [new], "": [old, new]}[said]
    assert after in allowed, f"{how} at call {limit}, {said}: {after}"
    assert recover(folder) == "" and not any(folder.glob(".together-*"))
    print(ended, said, "new" if after == new else "old")
    shutil.rmtree(folder)
"""


def held(folder):
    "What the files of a folder say, hidden ones too"
    return {p.relative_to(folder).as_posix(): p.read_text() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture
def before(tmp_path):
    "A folder with an old run, a picture that the new one does not have, and a file of the user"
    folder = tmp_path / "out"
    old = {name: lambda path, name=name: path.write_text(f"old {name}") for name in (*NAMES[::2], "gone.png")}
    write_together(old, folder)
    (folder / "mine.txt").write_text("mine")
    return folder


@linux
@pytest.mark.parametrize("how", ["kill", "interrupt", "error"])
def test_files_that_belong_together(before, how):
    "A process that dies, or is interrupted, or fails, at each call to the system: all old or all new, and the user's own"
    result = run(sys.executable, "-c", STOPPED, before, how, "gone.png", *NAMES)
    assert result.returncode == 0, result.stderr
    outcomes = [line.split() for line in result.stdout.splitlines()]
    assert len(outcomes) > 30 and outcomes[-1] == ["0", "new"]
    if how == "kill":
        assert {" ".join(said) for _, *said, _ in outcomes} == {"", "restored", "completed"}


@linux
def test_a_folder_on_another_disk(before, tmp_path):
    "Where a move is not possible: a folder behind a link"
    other = f"/dev/shm/nmf_nb-{os.getpid()}"
    if not os.access("/dev/shm", os.W_OK) or os.stat("/dev/shm").st_dev == os.stat(tmp_path).st_dev:
        pytest.skip("there is no other disk at /dev/shm")
    shutil.move(before / "model", other)
    try:
        (before / "model").symlink_to(other)
        write_together({name: lambda path: path.write_text("new") for name in NAMES}, before)
        assert (before / NAMES[2]).read_text() == "new" and (before / "model").is_symlink()
        newer = {name: lambda path: path.write_text("newer") for name in NAMES}
        (before / NAMES[1]).unlink()
        (before / NAMES[1]).symlink_to(other)  # a folder: it cannot be written
        with pytest.raises(OSError, match="map.png"):
            write_together(newer, before)
        assert (before / NAMES[2]).read_text() == "new"
    finally:
        shutil.rmtree(other)


@linux
def test_what_a_live_process_is_writing_is_not_touched(tmp_path):
    code = "import sys, time\nfrom pathlib import Path\nfrom nmf_nb.files import write_together\n"
    code += "def slow(path):\n    path.write_text('slow'); print('writing', flush=True); sys.stdin.read()\n"
    code += "write_together({'a': slow}, sys.argv[1])"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], **pipes) as process:
        assert process.stdout.readline() == "writing\n"
        (stage,) = tmp_path.glob(".together-*")
        assert recover(tmp_path) == "" and (stage / "new" / "a").exists()
        with pytest.raises(OSError, match="another process is writing"):
            write_together({"a": lambda path: path.write_text("other")}, tmp_path, wait=0.1)
        process.stdin.close()
        assert process.wait() == 0
    assert held(tmp_path) == {"a": "slow"}


def test_a_crafted_journal_leads_nowhere(tmp_path):
    folder, secret = tmp_path / "out", tmp_path / "secret"
    secret.write_text("mine")
    stage = folder / ".together-evil"
    (stage / "new").mkdir(parents=True)
    fields = {"do": "restore", "kept": [], "gone": [], "made": []}
    for new in (["../secret"], [str(secret)], "secret", [1], None):
        (stage / "journal").write_text(json.dumps(fields | {"new": new}))
        with pytest.raises(ValueError, match=r"the journal.*must be"):
            recover(folder)
    assert secret.read_text() == "mine"


def safetensors(header, body=b""):
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(raw)) + raw + body


def signed(text, tensors, **meta):
    return {"nmf_nb": "fit", "format": "1", "header": text, "sha256": checksum(text, tensors)} | meta


CRAFTED = {
    "a header of many bytes": struct.pack("<Q", 2**60) + b"{}",
    "a header beyond the limit": struct.pack("<Q", 2 * 10**8) + b"{}",
    "deep JSON": safetensors(b'{"a":' + b"[" * 200_000 + b"]" * 200_000 + b"}"),
    "a size of a billion": safetensors({"A": {"dtype": "F64", "shape": [10**9], "data_offsets": [0, 8]}}, bytes(8)),
    "sizes that overflow": safetensors({"A": {"dtype": "F64", "shape": [2**62, 8], "data_offsets": [0, 8]}}, bytes(8)),
    "sizes of nothing": safetensors({"A": {"dtype": "F64", "shape": [0, 2**63], "data_offsets": [0, 0]}}),
    "a type nobody has": safetensors({"A": {"dtype": "S2000000000", "shape": [1], "data_offsets": [0, 8]}}, bytes(8)),
    "a type of 4 bits": safetensors({"A": {"dtype": "F4", "shape": [2], "data_offsets": [0, 1]}}, bytes(1)),
    "a type of 8 bits": safetensors({"A": {"dtype": "F8_E4M3", "shape": [2], "data_offsets": [0, 2]}}, bytes(2)),
    "negative offsets": safetensors({"A": {"dtype": "U8", "shape": [2], "data_offsets": [-2, 0]}}, bytes(2)),
    "a tensor twice": safetensors(
        b'{"A":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"A":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}',
        bytes(2),
    ),
    "metadata of numbers": safetensors({"__metadata__": {"nmf_nb": 1}}),
    "not UTF-8": safetensors(b'{"\xff\xfe": 1}'),
}


@pytest.mark.parametrize("read", [read_arrays, read_tensors])
@pytest.mark.parametrize("name", CRAFTED)
def test_a_crafted_file_is_refused_in_a_line(name, read, tmp_path):
    (tmp_path / "file").write_bytes(CRAFTED[name])
    with pytest.raises(ValueError) as caught:
        read(tmp_path / "file", "fit")
    assert str(caught.value).startswith(f"{tmp_path / 'file'}: ") and len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    "text, says",
    [
        ('{"a": 1, "a": 2}', "'a' stands twice"),
        ('{"a": {"b": 1, "b": 1}}', "'b' stands twice"),
        ("[" * 100_000, "nested"),
        ("[1]", "not an object"),
        ("9" * 100_000, "digits"),
        ("{", "Expecting"),
        ("", "Expecting"),
    ],
)
def test_a_crafted_header_is_refused_in_a_line(text, says, tmp_path):
    A = {"W": torch.ones(2)}
    save_file(A, tmp_path / "file", signed(text, A))
    with pytest.raises(ValueError, match=says) as caught:
        read_tensors(tmp_path / "file", "fit")
    assert str(caught.value).startswith(f"{tmp_path / 'file'}: ") and len(str(caught.value).splitlines()) == 1


def test_damage_of_every_sort_is_refused_or_harmless(tmp_path):
    "Bytes changed, put in, taken out and moved, a thousand times"
    A, path, draw = {"W": torch.arange(6.0).view(2, 3), "H": torch.ones(3)}, tmp_path / "file", random.Random(0)
    write_tensors(path, "fit", {"k": 2, "words": ["a", "b"]}, A)
    whole, refused = path.read_bytes(), 0
    for i in range(1000):
        raw = bytearray(whole)
        for _ in range(draw.randint(1, 4)):
            at, size = draw.randrange(len(raw)), draw.randint(1, 9)
            piece = draw.choice([draw.randbytes(size), b"", bytes(raw[:size]), b'"', b"[", b"9" * size, b"null"])
            raw[at : at + draw.randint(0, size)] = piece
        path.write_bytes(raw)
        try:
            header, held = (read_arrays, read_tensors)[i % 2](path, "fit")
            same = all(np.array_equal(held[n], A[n]) for n in A)
            assert (
                header == {"k": 2, "words": ["a", "b"]}
                and same
                and held["W"].dtype == (np.float32, torch.float32)[i % 2]
            ), i
        except ValueError as error:
            refused += 1
            assert str(error).startswith(f"{path}: ") and len(str(error).splitlines()) == 1, i
    assert refused > 900


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float8_e4m3fn, torch.bool, torch.complex64, torch.int64])
def test_every_type_of_number_comes_back(kind, tmp_path):
    A = {"A": torch.tensor([[0.0, 1], [2, 3]]).to(kind), "none": torch.zeros(0, 3, dtype=kind)}
    write_tensors(tmp_path / "file", "fit", {}, A | {"one": A["A"][0, 1]})
    _, again = read_tensors(tmp_path / "file", "fit")
    assert all(again[n].dtype == kind and again[n].shape == A[n].shape for n in A)
    assert again["A"].view(torch.uint8).equal(A["A"].view(torch.uint8)) and again["one"].shape == ()


@linux
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="a device or a pipe"):
        read_tensors(tmp_path / "pipe", "fit")
