"""What all tests share: the root of the checkout, and an environment in which a run repeats itself."""

import json
import os
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(name, "1")  # two workers of one thread each; more would wait for each other

ROOT = Path(__file__).resolve().parent.parent
EXTRAS = {"plotly", "pyLDAvis", "torchnmf", "nmf-torch"}  # no output depends on whether they are installed


def environment(**more):
    "This process's environment for a child: one thread, and nbdev's IN_TEST gone, with which it exports nothing"
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    return {k: v for k, v in os.environ.items() if k != "IN_TEST"} | threads | {"PYTHONUTF8": "1"} | more


def run(*command, cwd=ROOT, **more):
    "Run a command and return what it said"
    words = [str(word) for word in command]
    options = {"capture_output": True, "text": True, "encoding": "utf-8"}
    return subprocess.run(words, cwd=cwd, env=environment(**more), check=False, **options)


def differences():
    "How this environment differs from the one in which the outputs were saved"
    if sys.platform != "linux" or sys.version_info[:2] != (3, 11):
        yield f"Python {sys.version_info[0]}.{sys.version_info[1]} on {sys.platform}, not 3.11 on linux"
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        name, _, pinned = line.partition("#")[0].strip().partition("==")
        try:
            if name and version(name).partition("+")[0] != pinned:
                yield f"{name} {version(name)}, not {pinned}"
        except PackageNotFoundError:
            if name not in EXTRAS:
                yield f"no {name}"


@pytest.fixture(scope="session")
def copy(tmp_path_factory):
    "A copy of the checkout in which a check may write"
    target = tmp_path_factory.mktemp("copy") / "nmf_nb"
    left = shutil.ignore_patterns(
        ".git", ".venv", "_docs", "_proc", "build", "dist", "*.egg-info", "__pycache__", ".*_cache"
    )
    shutil.copytree(ROOT, target, ignore=left)
    return target


COMMAND = "from nmf_nb.cli import main; raise SystemExit(main())"
# One process imports the package once, with what fits; each command is a child of it, with files for its streams.
SERVER = """
import json, os, sys, signal
import nmf_nb.topics
from nmf_nb.cli import main
print("ready", flush=True)
for line in sys.stdin:
    task = json.loads(line)
    pid = os.fork()
    if not pid:
        os.chdir(task["cwd"])
        for number, path in ((1, task["out"]), (2, task["err"])):
            if path is None:
                os.close(number)
            else:
                os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666), number)
        name = lambda n: open(n, "w", encoding="utf-8", closefd=False)
        sys.stdout = sys.__stdout__ = None if task["out"] is None else name(1)
        sys.stderr = None if task["err"] is None else name(2)
        signal.alarm(60)
        moves = [0]
        def hook(event, args):  # dies when it changes names in the folder for the nth time
            if event in ("os.rename", "os.link", "os.remove", "os.rmdir", "os.mkdir") and ".together-" in str(args[0]):
                moves[0] += 1
                if moves[0] == task.get("kill"):
                    os.kill(os.getpid(), signal.SIGKILL)
        sys.addaudithook(hook)
        try:
            status = main(task["words"])
        except SystemExit as end:
            status = end.code
        except BaseException:
            import traceback
            traceback.print_exc()
            status = 1
        for file in (sys.stdout, sys.stderr):
            try:
                file and file.flush()
            except OSError:
                status = 120
        os._exit(status)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


@pytest.fixture(scope="session")
def server():
    "Runs the command in a folder with files for its streams, and gives its status"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    process = subprocess.Popen([sys.executable, "-c", SERVER], env=environment(), **pipes)
    assert process.stdout.readline() == "ready\n"

    def call(folder, words, out, err, **more):
        task = {"cwd": str(folder), "words": [str(w) for w in words], "out": out, "err": err} | more
        process.stdin.write(json.dumps(task) + "\n")
        process.stdin.flush()
        return int(process.stdout.readline())

    yield call
    process.stdin.close()
    assert process.wait() == 0


@pytest.fixture
def command(request, tmp_path):
    "Runs the command in `tmp_path`; gives status, what it said, and what it complained of"

    def call(*words, out="said", err="complained", **more):
        where = [None if p is None else f"{tmp_path}.{p}" for p in (out, err)]
        where[0] = out if out and out.startswith("/dev") else where[0]
        status = request.getfixturevalue("server")(tmp_path, words, *where, **more)
        return status, *(Path(p).read_text("utf-8") if p and not p.startswith("/dev") else "" for p in where)

    def alone(*words):
        result = run(sys.executable, "-c", COMMAND, *words, cwd=tmp_path)
        return result.returncode, result.stdout, result.stderr

    return call if hasattr(os, "fork") else alone
