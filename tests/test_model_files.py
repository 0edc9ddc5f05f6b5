"""Saved models: the same numbers when they come back, and a clear refusal of any file that is not whole."""

import copy
import json
import os
import re
import shutil
import stat
import sys
import zipfile

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from conftest import ROOT, run
from safetensors import safe_open
from safetensors.numpy import load_file, save_file
from safetensors.torch import save
from sklearn.base import clone

from nmf_nb import NMF, MiniBatchNMF
from nmf_nb.base import Solver
from nmf_nb.files import FORMAT, checksum, read_tensors

FILES = ROOT / "tests" / "files"
KINDS = {"NMF": NMF, "MiniBatchNMF": MiniBatchNMF}

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
linux = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux: fork, limits and mounts")


def data(n=12, m=5, seed=0):
    return np.random.default_rng(seed).random((n, m)) + 0.01


def tiny(kind):
    "A fitted model whose file is small"
    return KINDS[kind](2, random_state=0, max_iter=20).fit(data())


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.fixture
def path(kind, tmp_path):
    "A file of a tiny model"
    tiny(kind).save(tmp_path / "model.safetensors")
    return tmp_path / "model.safetensors"


def outcome(kind, path, want):
    "What comes of a file: a refusal that names it, or the numbers that were saved"
    try:
        model = KINDS[kind].load(path)
    except ValueError as error:
        return "refused" if str(error).startswith(f"{path}: ") and "\n" not in str(error) else repr(error)
    except Exception as error:
        return repr(error)
    return "the same" if np.array_equal(model.transform(data()), want) else "other numbers"


def names(X):
    return pd.DataFrame(X, columns=list("abcde"))


MODELS = {
    "plain": (NMF(3, random_state=0), data()),
    "names": (NMF(3, random_state=0), names(data())),
    "float32, sparse": (NMF(2, solver="mu", beta_loss=1, random_state=0), sp.csr_array(data().astype(np.float32))),
    "fixed topics": (NMF(3, random_state=np.random.RandomState(3), fixed_components=data(1)), data()),
    "gaps": (NMF(2, missing_values=np.nan, n_init=3, random_state=0), np.where(data() < 0.1, np.nan, data())),
    "huge": (NMF(2, random_state=0, alpha_W=1e-3), data() * 1e200),
    "batches": (MiniBatchNMF(3, batch_size=5, random_state=0), data()),
    "batches, names": (MiniBatchNMF(3, batch_size=5, random_state=0), names(data())),
    "batches, KL": (MiniBatchNMF(2, beta_loss=1, random_state=0), sp.csr_array(data().astype(np.float32))),
    "batches, huge": (MiniBatchNMF(2, random_state=0, forget_factor=0.5, total_samples=12), data() * 1e200),
}


@pytest.fixture(params=MODELS)
def pair(request, tmp_path):
    "A model, the one that was loaded from its file, and the data"
    model, X = MODELS[request.param]
    model = clone(model).set_params(max_iter=30).fit(X)
    model.save(tmp_path / "model")
    return model, type(model).load(tmp_path / "model"), X


def test_a_loaded_model_is_the_saved_one(pair):
    "Parameters, attributes and weights are equal to the last bit"
    model, again, X = pair
    assert {key: str(value) for key, value in again.get_params().items()} == {
        key: str(value) for key, value in model.get_params().items()
    }
    public = {key for key in vars(model) if key.endswith("_")}
    assert public == {key for key in vars(again) if key.endswith("_")}
    for key in public:
        np.testing.assert_array_equal(getattr(again, key), getattr(model, key))
    np.testing.assert_array_equal(again.transform(X), model.transform(X))
    assert again.transform(X).dtype == model.transform(X).dtype
    if isinstance(X, pd.DataFrame):
        with pytest.raises(ValueError, match="feature names should match"):
            again.transform(X.rename(columns={"a": "z"}))


def test_a_loaded_model_goes_on_as_the_saved_one(pair):
    "Batch by batch, to the last bit; a NMF by a new fit"
    model, again, X = pair
    for rows in (slice(0, 4), slice(3, 9), slice(2, 12)):
        for one in (model, again):
            one.partial_fit(X[rows]) if isinstance(one, MiniBatchNMF) else one.fit(X[rows])
        np.testing.assert_array_equal(again.components_, model.components_)
        assert again.objective_ == model.objective_


def test_a_generator_of_numbers_goes_on_where_it_was(tmp_path):
    "A RandomState as `random_state`: the next fit draws what it would have drawn"
    model = NMF(3, init="random", max_iter=5, random_state=np.random.RandomState(3)).fit(data())
    model.save(tmp_path / "model")
    again = NMF.load(tmp_path / "model")
    np.testing.assert_array_equal(again.fit(data()).components_, model.fit(data()).components_)


def test_a_file_cut_short(kind, path):
    whole = path.read_bytes()
    for rest in (b"\0", b" ", b"more"):
        path.write_bytes(whole + rest)
        assert outcome(kind, path, None) == "refused", f"{rest} at the end"
    for length in reversed(range(len(whole))):
        os.truncate(path, length)
        assert outcome(kind, path, None) == "refused", f"cut after {length} of {len(whole)} bytes"


def test_a_byte_that_changed(kind, path):
    "Each byte of the file in turn, with one bit turned and with all of them"
    whole, want = path.read_bytes(), KINDS[kind].load(path).transform(data())
    with path.open("r+b", buffering=0) as file:
        for i, byte in enumerate(whole):
            for mask in (1 << i % 8, 255):
                file.seek(i)
                file.write(bytes([byte ^ mask]))
                found = outcome(kind, path, want)
                assert found in ("refused", "the same"), f"byte {i}, {bytes([byte])} with {mask}: {found}"
            file.seek(i)
            file.write(bytes([byte]))
    assert outcome(kind, path, want) == "the same"


def foreign(path):
    "Files that are no models, by what they are"
    with zipfile.ZipFile(path / "zip", "w") as file:
        file.writestr("a", "text")
    np.save(path / "array.npy", data())
    save_file({"W": data()}, path / "safetensors")
    save_file({"W": data()}, path / "with metadata", {"format": "pt", "header": "{}", "sha256": ""})
    (path / "empty").touch()
    (path / "text").write_text("a text that is no model " * 100, encoding="utf-8")
    (path / "zeros").write_bytes(bytes(4096))
    (path / "folder").mkdir()


@pytest.mark.parametrize(
    "name", ["zip", "array.npy", "safetensors", "with metadata", "empty", "text", "zeros", "folder"]
)
def test_a_foreign_file(kind, tmp_path, name):
    foreign(tmp_path)
    assert outcome(kind, tmp_path / name, None) == "refused"


def test_no_file(kind, tmp_path):
    with pytest.raises(FileNotFoundError, match="gone.safetensors"):
        KINDS[kind].load(tmp_path / "gone.safetensors")
    with pytest.raises(FileNotFoundError, match="gone"):
        tiny(kind).save(tmp_path / "gone" / "model.safetensors")


def test_a_file_of_the_other_class(kind, path):
    other = {"NMF": MiniBatchNMF, "MiniBatchNMF": NMF}[kind]
    with pytest.raises(ValueError, match=re.escape(f"{path}: holds a {kind}, not a {other.__name__}")):
        other.load(path)


def test_a_file_of_the_future(kind, path):
    with safe_open(path, "numpy") as file:
        meta = file.metadata()
    save_file(load_file(path), path, meta | {"format": "2"})
    with pytest.raises(ValueError, match=re.escape(f"{path}: of format 2, this version reads 1; update nmf_nb")):
        KINDS[kind].load(path)


def test_a_model_that_is_not_fitted(kind, tmp_path):
    with pytest.raises(ValueError, match="not fitted"):
        KINDS[kind](2).save(tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_a_new_file_has_the_usual_permissions(path):
    "Those that the umask leaves, as a file by `open` has: others may read a model that they may read otherwise"
    (path.parent / "other").touch()
    modes = [stat.filemode(file.stat().st_mode) for file in (path, path.parent / "other")]
    assert modes[0] == modes[1]


def test_an_attribute_of_the_user(kind, tmp_path):
    "What `save` takes, `load` gives back"
    model = tiny(kind)
    model.labels_, model.title_ = {"0": "war"}, "two topics"
    model.save(tmp_path / "model")
    again = KINDS[kind].load(tmp_path / "model")
    assert again.labels_ == model.labels_ and again.title_ == model.title_


WRONG = [
    None,
    True,
    -1,
    0,
    1.5,
    1e400,
    float("nan"),
    10**30,
    "text",
    "x" * 20_000,
    [],
    [1],
    ["a"],
    {},
    {"tensor": "none"},
]
WRONG += [{"code": "1"}, {"tuple": []}, {"RandomState": []}, {"RandomState": ["MT19937", [1], 0, 0, 0.0]}, {"dict": 1}]


def places(value, path=()):
    "Where the parts of a header are"
    yield path
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in parts:
        if not (isinstance(value, list) and key > 3):
            yield from places(part, (*path, key))


def with_part(value, path, new):
    "A header with one part replaced, or left out where `new` is LEFT_OUT"
    if not path:
        return new
    whole = copy.deepcopy(value)
    part = whole
    for key in path[:-1]:
        part = part[key]
    if new is LEFT_OUT:
        del part[path[-1]]
    else:
        part[path[-1]] = new
    return whole


LEFT_OUT = object()


def signed(path, kind, header, tensors):
    "The file that `write_tensors` would write, without waiting for the disk"
    text = json.dumps(header)
    meta = {"nmf_nb": kind, "format": str(FORMAT), "header": text, "sha256": checksum(text, tensors)}
    path.write_bytes(save({name: A.clone().contiguous() for name, A in tensors.items()}, meta))


@pytest.mark.parametrize("case", ["names", "fixed topics", "batches, names"])
@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
def test_a_header_that_was_altered_and_signed(case, tmp_path):
    "Each part of it replaced by each wrong kind: a clear word, or a model that transforms"
    model, X = MODELS[case]
    kind, file = type(model).__name__, tmp_path / "model"
    clone(model).set_params(max_iter=20).fit(X).save(file)
    header, tensors = read_tensors(file, kind)
    rows, refused, loaded = np.asarray(X)[:2], 0, set()
    for path in places(header):
        for new in (*WRONG, LEFT_OUT)[: None if path else -1]:
            signed(file, kind, with_part(header, path, new), tensors)
            try:
                again = KINDS[kind].load(file)
            except ValueError as error:
                assert str(error).startswith(f"{file}: ") and "\n" not in str(error), (path, new, error)
                refused += 1
            else:
                assert np.isfinite(again.transform(rows)).all(), (path, new)
                loaded.add(path[:2])
                if hasattr(again, "_stream") and "_stream" in path:
                    assert np.isfinite(again.partial_fit(rows).components_).all(), (path, new)
    assert refused > 500 and ("attributes", "components_") not in loaded and ("params", "beta_loss") in loaded


def test_factors_that_were_altered_and_signed(kind, path):
    header, tensors = read_tensors(path, kind)
    (name,) = [name for name in tensors if name.endswith("components_")]
    A = tensors[name]
    wrong = [A * np.nan, -A, A / 0, A[:1], A[:, :3], A[None], A[0], A.long(), A.bool(), A.to(torch.complex64)]
    for new in wrong:
        signed(path, kind, header, tensors | {name: new})
        assert outcome(kind, path, None) == "refused", new
    for others in ({}, {"other": A}, {"params.other": A}):
        signed(path, kind, header, tensors | others if others else {})
        assert outcome(kind, path, None) == "refused", others


def test_a_solver_of_ones_own_is_not_kept(tmp_path):
    "The file that is there stays as it is"
    (tmp_path / "model").write_bytes(b"old")
    model = NMF(2, solver=Solver(lambda problem: lambda V, state: state), max_iter=5).fit(data())
    with pytest.raises(ValueError, match="solver is Solver.*cannot keep"):
        model.save(tmp_path / "model")
    assert (tmp_path / "model").read_bytes() == b"old"
    model.set_params(solver="cd").save(tmp_path / "model")
    np.testing.assert_array_equal(NMF.load(tmp_path / "model").transform(data()), model.transform(data()))


MODELS_OLD_AND_NEW = """
import os, resource, shutil, signal, sys, time
from pathlib import Path
import numpy as np
from nmf_nb import NMF

def model(k, m):
    "A fitted model of as many numbers as we like"
    fitted = NMF(1, max_iter=1, tol=0).fit(np.ones((2, 2)))
    fitted.components_, fitted.n_components_, fitted.n_features_in_ = np.random.default_rng(k).random((k, m)), k, m
    return fitted

def found():
    "Which of the two the file holds; an error unless it is whole"
    H = NMF.load(path).components_
    (which,) = [name for name, one in (("old", old), ("new", new)) if np.array_equal(H, one.components_)]
    return which

path, old, new = Path(sys.argv[1]), model(2, 3), model(20, 100_000)
"""

KILLED = """
def written():
    return any(files for folder, _, files in os.walk(path.parent) if ".writing-" in folder)

began = time.perf_counter()
new.save(path)
whole, rounds, unfinished = time.perf_counter() - began, 40, 0
old.save(path)
for i in range(rounds):
    child = os.fork()
    if not child:
        new.save(path)
        os._exit(0)
    if i % 2:  # at any moment
        time.sleep(whole * i / rounds)
    else:  # when a file is being written, or when it is too late
        while not written() and not os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            pass
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    unfinished += found() == "old" and any(path.parent.glob(".writing-*"))
    old.save(path)
    assert list(path.parent.iterdir()) == [path]
new.save(path)
assert found() == "new"
print(unfinished)
"""

REFUSED = """
old.save(path)
if sys.argv[2] == "a limit":
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
if sys.argv[2] == "no permission":
    path.parent.chmod(0o555)
    user = os.geteuid()
    try:
        os.seteuid(user or 65534)  # root may write everywhere
    except OSError:
        sys.exit(77)
try:
    new.save(path)
except Exception as error:
    print(isinstance(error, OSError), repr(error))
if sys.argv[2] == "no permission":
    os.seteuid(user)
    path.parent.chmod(0o755)
assert list(path.parent.iterdir()) == [path] and found() == "old"
"""


@linux
def test_a_save_that_is_killed(tmp_path):
    "The file is the old one or the new one, whole; what the dead process leaves beside it goes with the next save"
    result = run(sys.executable, "-c", MODELS_OLD_AND_NEW + KILLED, tmp_path / "model")
    assert result.returncode == 0, result.stderr
    assert int(result.stdout) > 0


@pytest.fixture(scope="module", params=["a limit", "a full disk", "no permission"])
def refusal(request, tmp_path_factory):
    "What became of a save for which there is no room or no permission: the run, and what it said of the error"
    folder = tmp_path_factory.mktemp("refused")
    command = [sys.executable, "-c", MODELS_OLD_AND_NEW + REFUSED, folder / "model", request.param]
    if request.param == "a full disk":
        cut = ["unshare", "--mount", "--map-root-user", "bash", "-c"]
        mount = f"mount -t tmpfs -o size=1m tmpfs '{folder}'"
        if not shutil.which("unshare") or run(*cut, mount).returncode:
            pytest.skip("a small disk needs Linux's unshare and the right to mount")
        command = [*cut, mount + ' && exec "$@"', "bash", *command]
    result = run(*command)
    if result.returncode == 77:
        pytest.skip("root may write everywhere, and cannot be another user here")
    return result


@linux
def test_a_save_that_fails_keeps_the_old_file(refusal):
    "And leaves nothing beside it"
    assert refusal.returncode == 0, refusal.stderr
    assert refusal.stdout != ""


@linux
def test_a_save_that_fails_raises_what_a_write_raises(refusal):
    "OSError, which a user's code looks for"
    assert refusal.stdout.startswith("True"), refusal.stdout


def test_nmf_of_format_1():
    "A file that version 0.1.0 wrote stays readable, with the numbers that it had"
    model = NMF.load(FILES / "nmf_format_1.safetensors")
    assert list(model.feature_names_in_) == ["war", "peace", "café", "tax"] and np.isnan(model.missing_values)
    assert (model.n_components, model.alpha_W, model.random_state, model.n_iter_) == (2, 0.001, 3, 20)
    assert model.objective_ == pytest.approx(0.4671686713616397) and len(model.history_) == 3
    np.testing.assert_array_equal(model.fixed_components, [[1, 0.5, 0, 0]])
    components = [[1, 0.5, 0, 0], [0, 0.367015631, 0.940486655, 0.623353922]]
    np.testing.assert_allclose(model.components_, components, rtol=1e-8)
    rows = pd.DataFrame([[1, 2, np.nan, 4.0]], columns=model.feature_names_in_)
    np.testing.assert_allclose(model.transform(rows), [[0.736674231, 5.864657647]], rtol=1e-6)


def test_minibatch_nmf_of_format_1():
    "And goes on with the next batch"
    model = MiniBatchNMF.load(FILES / "minibatch_nmf_format_1.safetensors")
    assert (model.beta_loss, model.batch_size, model.n_steps_) == ("kullback-leibler", 3, 2)
    components = [[1.024096251, 0.769604743, 0.686796963, 0.272983402]]
    components += [[0.216899171, 0.347891152, 0.570409358, 0.646477222]]
    np.testing.assert_allclose(model.components_, components, rtol=1e-6)
    batch = np.array([[1, 2, 3, 4], [4, 3, 2, 1]], np.float32)
    np.testing.assert_allclose(model.transform(batch[:1]), [[0, 5.612689972]], rtol=1e-5, atol=1e-5)
    components = [[1.068648338, 0.800548911, 0.616442442, 0.267689586]]
    components += [[0.185425341, 0.352693111, 0.544237137, 0.699461043]]
    np.testing.assert_allclose(model.partial_fit(batch).components_, components, rtol=1e-4)
    assert model.components_.dtype == np.float32 and model.n_steps_ == 3
