"""Steps, losses and the loop on the `meta` device: no number is read back, and no tensor is on another device."""

from functools import partial
from itertools import islice, repeat

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from nmf_nb.divergence import Penalty, beta_divergence, kkt_residual, penalty_value, squared_error
from nmf_nb.gradient import pgd_step, projected_gradient, soft_penalty_start, soft_penalty_step
from nmf_nb.hals import extrapolated_step, half_step, hals_step, momentum
from nmf_nb.linalg import DenseMatrix
from nmf_nb.minibatch import Batch, stream_start, stream_step
from nmf_nb.mu import mu_step
from nmf_nb.state import State
from nmf_nb.train import iterate

PENALTY = Penalty(0.1, 0.2, 0.3, 0.4)
STEPS = {
    "pgd": pgd_step,
    "hals": hals_step,
    "extrapolated": extrapolated_step,
    "extrapolated pgd": partial(extrapolated_step, half=partial(half_step, update=projected_gradient)),
    **{f"mu {beta}": partial(mu_step, beta=beta) for beta in (-1, 0, 0.5, 1, 1.5, 2, 3)},
    **{
        f"{f.__name__}, penalised": partial(f, penalty=PENALTY)
        for f in (pgd_step, hals_step, extrapolated_step, mu_step)
    },
    **{f"{f.__name__}, one topic stays": partial(f, fixed=1) for f in (pgd_step, extrapolated_step, mu_step)},
}


class OneDevice(TorchDispatchMode):
    "Refuses an operation whose tensors are not all on one device; matrix products on meta would let one through"

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        tensors = [t for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)]
        devices = {t.device.type for t in tensors}
        assert len(devices) <= 1, f"{func} sees {devices}"
        return func(*args, **(kwargs or {}))


def start(batch=()):
    "A dense stand-in for the data (sparse products do not exist on meta), and a state"
    W, H = torch.empty(*batch, 6, 2, device="meta"), torch.empty(*batch, 2, 5, device="meta")
    return DenseMatrix(torch.empty(6, 5, device="meta")), State(W, H)


def test_the_guard_guards():
    V, state = start()
    with OneDevice(), pytest.raises(AssertionError, match="sees"):
        V @ torch.ones(5, 2)
    with pytest.raises(RuntimeError):
        squared_error(V, state.W, state.H).item()


@pytest.mark.parametrize("batch", [(), (3,)], ids=["one", "batch"])
@pytest.mark.parametrize("name", STEPS)
def test_steps(name, batch):
    V, state = start(batch)
    state = momentum(state) if name.startswith("extrapolated") else state
    with OneDevice():
        state = next(islice(iterate(STEPS[name], repeat(V), state), 3, None))
    assert (state.W.shape, state.H.shape) == ((*batch, 6, 2), (*batch, 2, 5))
    assert {state.W.device.type, state.H.device.type} == {"meta"}


def test_adam():
    V, state = start()
    state = soft_penalty_start(state.W, state.H, lr=1e-3)
    with OneDevice():
        state = next(islice(iterate(soft_penalty_step, repeat(V), state), 2, None))
    assert state.W.device.type == "meta"


@pytest.mark.parametrize("batch", [(), (3,)], ids=["one", "batch"])
@pytest.mark.parametrize("beta", [-1, 0, 0.5, 1, 1.5, 2, 3])
def test_losses(beta, batch):
    V, (W, H, _) = start(batch)
    with OneDevice():
        for value in (beta_divergence(V, W, H, beta), kkt_residual(V, W, H, beta), penalty_value(PENALTY, W, H)):
            assert (value.device.type, value.shape) == ("meta", batch)


@pytest.mark.parametrize("f", [extrapolated_step, pgd_step, mu_step])
def test_penalties_of_rows(f):
    V, state = start()
    state = momentum(state) if f is extrapolated_step else state
    with OneDevice():
        state = f(V, state, penalty=Penalty(l1_W=torch.empty(6, device="meta")))
    assert state.W.device.type == "meta"


@pytest.mark.parametrize("kept", [True, False], ids=["kept weights", "new weights"])
@pytest.mark.parametrize("beta", [0.5, 1, 2, 3])
def test_batches(beta, kept):
    V, (W, H, _) = start()
    state = stream_start(H, (W,) if kept else ())
    with OneDevice():
        for _ in range(2):
            state = stream_step(Batch(V), state, beta, Penalty(l1_W=0.1, l1_H=0.1, l2_H=0.1), forget=0.5)
        f = state.memory.objective
    assert {f.device.type, state.H.device.type, state.memory.P.device.type} == {"meta"}
