"""The compiled half step does what PyTorch's does, in any thread, and what is yielded stays as it was."""

import multiprocessing as mp
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice, repeat

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nmf_nb import NMF
from nmf_nb.compiled import njit
from nmf_nb.fused import can_fuse, fused_half_step
from nmf_nb.hals import extrapolated_step, half_step, hals_sweep, momentum, random_order, shuffled
from nmf_nb.init import random_start
from nmf_nb.linalg import data_matrix, gram
from nmf_nb.train import iterate

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.skipif(njit is None, reason="numba is not installed, so there is no compiled half step"),
]


def data(seed, n, m, density, kind, dtype):
    rng = np.random.default_rng(seed)
    X = rng.gamma(0.5, 1, (n, m)) * (rng.random((n, m)) < density)
    return data_matrix(sp.csr_array(X) if kind == "sparse" else X, "cpu").to(dtype)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**31), st.integers(1, 150), st.integers(1, 150), st.integers(1, 11), st.sampled_from([0.05, 0.5, 1]),
    st.sampled_from(["sparse", "dense"]), st.sampled_from([torch.float32, torch.float64]),
    st.sampled_from([0.0, 0.1]), st.sampled_from([0.0, 0.3]), st.booleans(), st.booleans(), st.sampled_from([1, 3]),
)  # fmt: skip
def test_both_half_steps(seed, n, m, k, density, kind, dtype, l1, l2, dead, mixed, sweeps):
    V = data(seed, n, m, density, kind, dtype)
    (W, H, _), old = random_start(V, k, 0), random_start(V, k, 1).H
    W = W * (torch.arange(k) > 0) if dead else W
    given = V, W, gram(W.mT), H, old, torch.tensor(0.7, dtype=torch.float64), l1, l2
    options = {"match": True, "sweeps": sweeps}
    found = fused_half_step(*given, **options, order=random_order(seed) if mixed else None)
    plain = half_step(*given, **options, update=shuffled(hals_sweep, seed) if mixed else hals_sweep)
    scale = max(float(A.amax()) for A in (H, plain[0]))
    for a, b in zip(found[:2], plain[:2]):
        assert a.min() >= 0 and a.dtype is dtype and a.shape == (k, m)
        torch.testing.assert_close(a / scale, b / scale, rtol=0, atol=1e-3 if dtype is torch.float32 else 1e-8)
    torch.testing.assert_close(found[2], plain[2], rtol=1e-4 if dtype is torch.float32 else 1e-9, atol=1e-6)


@pytest.mark.parametrize("kind", ["sparse", "dense"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_way_down(kind, dtype):
    "Two hundred steps of both lead to one objective, and neither rises"
    V = data(0, 90, 70, 0.3, kind, dtype)
    ends = []
    for half in (half_step, fused_half_step):
        step = partial(extrapolated_step, half=half)
        states = list(islice(iterate(step, repeat(V), momentum(random_start(V, 6))), 1, 200))
        values = [state.memory.objective.item() for state in states]
        assert all(b <= a for a, b in zip(values, values[1:]))
        ends.append(values[-1])
    assert ends[1] == pytest.approx(ends[0], rel=1e-3)


@pytest.mark.parametrize("kind", ["sparse", "dense"])
def test_what_was_yielded_stays(kind):
    V = data(1, 80, 200, 0.3, kind, torch.float64)
    step, kept = partial(extrapolated_step, half=fused_half_step), []
    for state in islice(iterate(step, repeat(V), momentum(random_start(V, 5))), 40):
        tensors = [state.W, state.H, *state.memory]
        kept.append((tensors, [A.clone() for A in tensors]))
    assert all(A.equal(B) for tensors, copies in kept for A, B in zip(tensors, copies))


@pytest.mark.parametrize("kind", ["sparse", "dense"])
def test_threads(kind):
    "Any number of threads finds the same, to the bit where no product of PyTorch's is asked for"
    V, before, ends = data(2, 3000, 2000, 0.02, kind, torch.float64), torch.get_num_threads(), []
    W, H, _ = random_start(V, 30)
    try:
        for threads in (1, 2, 4):
            torch.set_num_threads(threads)
            ends.append(fused_half_step(V, W, gram(W.mT), H, H, torch.tensor(0.5), match=True))
    finally:
        torch.set_num_threads(before)
    for end in ends[1:]:
        for a, b in zip(end, ends[0]):
            assert a.equal(b) if kind == "sparse" else torch.allclose(a, b, rtol=1e-12)


def fitted(seed):
    X = sp.random_array((400, 3000), density=0.02, rng=np.random.default_rng(seed))
    return NMF(20, random_state=0, max_iter=15, tol=0).fit(X).components_


def test_two_threads_fit_at_once():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        alone = [fitted(seed) for seed in range(4)]
        with ThreadPoolExecutor(4) as pool:
            together = list(pool.map(fitted, range(4)))
    finally:
        torch.set_num_threads(before)
    for a, b in zip(alone, together):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-9)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        here = fitted(0)
        with mp.get_context("fork").Pool(1) as pool:
            there = pool.apply_async(fitted, (0,)).get(120)
    finally:
        torch.set_num_threads(before)
    np.testing.assert_allclose(here, there, rtol=1e-6, atol=1e-9)


CHILD = """
import sys
if sys.argv[1] == "without":
    sys.modules["numba"] = None
import numpy as np, scipy.sparse as sp
from nmf_nb import NMF
from nmf_nb.fused import can_fuse
from nmf_nb.linalg import data_matrix
X = sp.random_array((60, 90), density=0.2, rng=np.random.default_rng(0))
print(can_fuse(data_matrix(X, "cpu")))
for loss, solver in (("frobenius", "cd"), ("frobenius", "pgd"), ("kullback-leibler", "mu")):
    for A in (X, X.toarray()):
        print(NMF(4, random_state=0, solver=solver, beta_loss=loss, tol=0, max_iter=60).fit(A).reconstruction_err_)
"""


def run_child(word, **env):
    words = [sys.executable, "-W", "ignore", "-c", CHILD, word]
    done = subprocess.run(words, capture_output=True, text=True, env={**os.environ, **env}, timeout=300)
    assert not done.returncode, done.stderr
    first, *rest = done.stdout.split()
    return first, np.array(rest, float)


COLD = """
import numpy as np, scipy.sparse as sp, torch
from nmf_nb.fused import fused_half_step
from nmf_nb.linalg import data_matrix, gram
rng = np.random.default_rng(0)
V = data_matrix(sp.random_array((300, 200), density=0.05, rng=rng, format="csr"), "cpu")
W, H = torch.tensor(rng.random((300, 5))), torch.tensor(rng.random((5, 200)))
found = fused_half_step(V, W, gram(W.mT), H, H, torch.tensor(0.5, dtype=torch.float64), match=True)
print([A.numpy().tobytes().hex() for A in found])
"""


def test_a_first_run_is_equal_to_the_next_to_the_bit(tmp_path):
    "What was just compiled adds up in the same order as what is read from the folder of machine code"
    where = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    cold, warm = (subprocess.run([sys.executable, "-c", COLD], env=where, capture_output=True, text=True) for _ in "12")
    assert cold.stdout, cold.stderr
    assert any(tmp_path.rglob("*.nbc")) and cold.stdout == warm.stdout


def test_without_numba_and_without_a_folder_for_machine_code():
    with_numba, here = run_child("with")
    without, plain = run_child("without")
    folderless, found = run_child("with", NUMBA_CACHE_DIR=os.devnull)
    assert (with_numba, without, folderless) == ("True", "False", "True")
    np.testing.assert_allclose(plain, here, rtol=1e-4)
    np.testing.assert_array_equal(found, here)


def test_a_gpu_takes_the_plain_step():
    V = data(0, 5, 6, 1, "dense", torch.float64)
    assert can_fuse(V)
    V.device = torch.device("meta")
    assert not can_fuse(V)
