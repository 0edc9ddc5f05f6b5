"""Several fits at once: the members of a batch are the fits that they are alone, whatever differs between them."""

from functools import partial

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from torch.testing import assert_close

from nmf_nb.divergence import beta_divergence
from nmf_nb.gradient import pgd_step, soft_penalty_start, soft_penalty_step
from nmf_nb.hals import extrapolated_step, hals_step, momentum
from nmf_nb.init import random_start, random_starts
from nmf_nb.linalg import DenseMatrix, SparseMatrix, data_matrix
from nmf_nb.mu import mu_step
from nmf_nb.state import State, members
from nmf_nb.train import Varied, fit

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
STEPS = {"pgd": pgd_step, "hals": hals_step, "extrapolated": extrapolated_step, "mu": mu_step}
KL = partial(mu_step, beta=1.0)


@pytest.fixture(params=["dense", "sparse"])
def V(request):
    rng = np.random.default_rng(0)
    X = rng.random((30, 4)) @ rng.random((4, 20)) * (rng.random((30, 20)) < 0.6)
    return data_matrix(X if request.param == "dense" else sp.csr_array(X), "cpu")


def begin(name, state):
    return momentum(state) if name == "extrapolated" else state


def same(batch, alone, **close):
    "A batch, run in parts or whole, against its members by themselves"
    for j, one in enumerate(alone):
        k = one.state.H.shape[0]
        assert batch.steps[j] == one.steps
        assert [look.step for look in batch.seen_of(j)] == [look.step for look in one.history]
        for whole, single in ((batch.state.W[j][:, :k], one.state.W), (batch.state.H[j][:k], one.state.H)):
            assert_close(whole, single, **close)
        assert not batch.state.W[j][:, k:].any() and not batch.state.H[j][k:].any()


CLOSE = {"rtol": 1e-5, "atol": 1e-7}


@pytest.mark.parametrize("apart", [True, False], ids=["apart", "together"])
@pytest.mark.parametrize("name", STEPS)
def test_members_stop_one_by_one(V, name, apart):
    starts = random_starts(V, 3, batch=4)
    alone = [fit(STEPS[name], V, begin(name, members(starts, j)), 60, tol=3e-3) for j in range(4)]
    batch = fit(STEPS[name], V, begin(name, starts), 60, tol=3e-3, apart=apart)
    same(batch, alone, **CLOSE)
    assert len(set(batch.steps)) > 1 or name in ("pgd", "mu")
    last = batch.history[-1].objective
    assert all(last[j] == look[-1].objective for j, look in enumerate(map(batch.seen_of, range(4))))


@pytest.mark.parametrize("apart", [True, False], ids=["apart", "together"])
@pytest.mark.parametrize("name", STEPS)
def test_ranks(V, name, apart):
    "Padded components stay zero, with what the method remembers"
    starts = [begin(name, random_start(V, k)) for k in (1, 5, 3)]
    alone = [fit(STEPS[name], V, start, 40, tol=0) for start in starts]
    same(fit(STEPS[name], V, starts, 40, tol=0, apart=apart), alone, **CLOSE)


@pytest.mark.parametrize("apart", [True, False], ids=["apart", "together"])
@pytest.mark.parametrize("step", [extrapolated_step, mu_step, pgd_step, KL], ids=["extrapolated", "mu", "pgd", "KL"])
def test_masks(V, step, apart):
    "Each fold leaves out other entries"
    rng = torch.Generator().manual_seed(0)
    hidden = torch.rand(3, *V.values.shape, generator=rng) < 0.2
    if isinstance(V, DenseMatrix):
        folds = DenseMatrix(V.V, hidden)
        single = [DenseMatrix(V.V.masked_fill(h, 0.0), h) for h in hidden]
    else:
        folds = SparseMatrix(V.V, None, hidden)
        single = [SparseMatrix(V.with_values(V.values.masked_fill(h, 0.0)).V, None, h) for h in hidden]
    starts = random_starts(V, 3, batch=3)
    name, beta = "extrapolated" if step is extrapolated_step else "", 1.0 if step is KL else 2.0
    options = {"objective": partial(beta_divergence, beta=beta), "tol": 1e-3, "max_iter": 60}
    alone = [fit(step, single[j], begin(name, members(starts, j)), **options) for j in range(3)]
    same(fit(step, folds, begin(name, starts), apart=apart, **options), alone, **CLOSE)


@pytest.mark.parametrize("apart", [True, False], ids=["apart", "together"])
@pytest.mark.parametrize("beta", [1.0, 2.0])
def test_row_weights(V, beta, apart):
    "Each bootstrap counts the rows otherwise"
    weight = torch.randint(0, 3, (3, 30), generator=torch.Generator().manual_seed(0)).double()
    starts, options = random_starts(V, 3, batch=3), {"tol": 1e-3, "max_iter": 60}
    alone = []
    for j, u in enumerate(weight):
        step = partial(mu_step, beta=beta, row_weight=u)
        loss = partial(beta_divergence, beta=beta, row_weight=u)
        alone.append(fit(step, V, members(starts, j), objective=loss, **options))
    step = Varied(partial(mu_step, beta=beta), row_weight=weight)
    loss = Varied(partial(beta_divergence, beta=beta), row_weight=weight)
    same(fit(step, V, starts, objective=loss, apart=apart, **options), alone, **CLOSE)


@pytest.mark.parametrize("apart", [True, False], ids=["apart", "together"])
def test_row_weights_of_the_data(V, apart):
    "For the squared error the roots of the weights scale the rows, here of each member otherwise"
    roots = torch.rand(3, 30, generator=torch.Generator().manual_seed(0)).double()
    starts = momentum(random_starts(V, 3, batch=3))
    alone = [fit(extrapolated_step, V.scaled(s), members(starts, j), 40) for j, s in enumerate(roots)]
    same(fit(extrapolated_step, V.scaled(roots), starts, 40, apart=apart), alone, **CLOSE)


@pytest.mark.parametrize("apart", [True, False], ids=["apart", "together"])
def test_looks_interrupts_and_going_on(V, apart):
    starts, seen = momentum(random_starts(V, 3, batch=3)), []

    def watch(look, state):
        seen.append((look.step, len(look.objective), state.H.shape))
        return look.step == 20

    stopped = fit(extrapolated_step, V, starts, 60, tol=0, on_look=watch, apart=apart)
    assert (stopped.reason, stopped.steps) == ("callback", [20] * 3)
    assert seen == [(step, 3, (3, 3, 20)) for step in (0, 10, 20)]

    def press(look, state):
        if look.step == 30:
            raise KeyboardInterrupt

    with pytest.warns(UserWarning, match="interrupted after 30 steps"):
        part = fit(extrapolated_step, V, stopped, 60, tol=0, on_look=press, apart=apart)
    assert (part.reason, part.steps) == ("interrupt", [30] * 3)
    resumed, whole = (fit(extrapolated_step, V, begin, 60, tol=0, apart=apart) for begin in (part, starts))
    assert resumed.state.W.equal(whole.state.W) and resumed.state.H.equal(whole.state.H)


def test_who_has_stopped_stays_so(V):
    "A batch that goes on leaves the members alone whose rules are content"
    starts = momentum(random_starts(V, 3, batch=4))
    short = fit(extrapolated_step, V, starts, 30, tol=3e-3)
    long = fit(extrapolated_step, V, short, 200, tol=3e-3)
    whole = fit(extrapolated_step, V, starts, 200, tol=3e-3)
    assert long.steps == whole.steps
    assert_close(long.state.H, whole.state.H, rtol=0, atol=0)


@pytest.mark.parametrize("name", [*STEPS, "soft"])
def test_a_state_that_was_seen_is_never_written_to(V, name):
    kept, states = [], []

    def watch(look, state):
        states.append(state)
        kept.append(State(state.W.clone(), state.H.clone()))

    start = random_start(V, 3)
    start = soft_penalty_start(start.W, start.H) if name == "soft" else begin(name, start)
    fit(soft_penalty_step if name == "soft" else STEPS[name], V, start, 40, tol=0, on_look=watch)
    assert not states[0].W.equal(states[-1].W)
    assert all(old.W.equal(now.W) and old.H.equal(now.H) for old, now in zip(kept, states))
