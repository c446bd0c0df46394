"""Single steps of a tiny policy: random numbers, finite gradients, operations.

1. what an update draws from global generators follows from its number, after a resume too
2. a step without a finite gradient is skipped and counted; several in a row stop the run
3. operations are those counted by hand
"""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
import torch
from rl_cases import hopeless, make_trainer, sound

from recap.errors import TrainingError
from recap.rl.flops import forward_flops
from tests.tiny import tiny_policy


def test_random_numbers_after_an_update_are_those_after_a_resume():
    """All that draws from a global generator in an update starts from the update's own seed."""

    def drawn():
        return torch.rand(3).tolist(), np.random.rand(3).tolist(), random.random()

    one, other = (make_trainer(tiny_policy(), sound) for _ in range(2))
    one.update(1)
    saved = one.snapshot(1, [])
    one.update(2)
    expected = drawn()
    torch.manual_seed(99)
    np.random.seed(99)
    random.seed(99)
    other.restore(saved)
    other.update(2)
    assert drawn() == expected


@pytest.mark.parametrize("broken", ["loss", "gradient"])
def test_loss_and_gradient_both_have_to_be_finite(broken):
    """A skipped step is none for the schedule either: the learning rate falls by applied steps."""
    grpo = {"lr_scheduler_type": "linear", "learning_rate": 8e-3}  # 4 updates of 2 steps
    one = make_trainer(tiny_policy(), sound, grpo=grpo)
    backward, clip, seen = one.backward, one.accelerator.clip_grad_norm_, []

    def watched(batch):
        loss = backward(batch)
        seen.append(float(loss))
        return torch.tensor(math.inf) if broken == "loss" and one._update == 2 else loss

    def clip_grad_norm(parameters, max_norm):
        if broken == "gradient" and one._update == 2:
            next(one.policy.parameters()).grad[0, 0] = math.inf
        return clip(parameters, max_norm)

    one.backward, one.accelerator.clip_grad_norm_ = watched, clip_grad_norm
    one.update(1)
    before = [p.detach().clone() for p in one.policy.parameters()]
    metrics, _ = one.update(2)
    assert all(map(math.isfinite, seen))
    assert metrics["skipped_steps"] == 2
    assert metrics["learning_rate"] == pytest.approx(6e-3)
    assert all(torch.equal(a, b) for a, b in zip(before, one.policy.parameters(), strict=True))
    metrics, _ = one.update(3)
    assert metrics["skipped_steps"] == 0
    assert metrics["learning_rate"] == pytest.approx(6e-3)
    assert one.update(4)[0]["learning_rate"] == pytest.approx(4e-3)


def test_a_step_that_is_not_finite_is_skipped_and_counted():
    one = make_trainer(tiny_policy(), hopeless)
    one.update(1)
    before = [p.detach().clone() for p in one.policy.parameters()]
    moments = [state["step"].clone() for state in one.optimizer.state.values()]
    metrics, _ = one.update(2)
    assert metrics["skipped_steps"] == 2
    assert metrics["loss"] is metrics["grad_norm"] is None
    assert all(torch.equal(a, b) for a, b in zip(before, one.policy.parameters(), strict=True))
    assert moments == [state["step"] for state in one.optimizer.state.values()]


@pytest.mark.parametrize("beta, passes", [(0.0, 3), (0.1, 4)])
def test_the_operations_of_an_update_are_counted(beta, passes):
    one = make_trainer(tiny_policy(), lambda _: hopeless(1), grpo={"beta": beta})
    _, speed = one.update(1)
    # Both steps have 6 rollouts of 2 tokens on one prompt of 2: the prompt's first token is read
    # once, the rest row by row at positions 1 and 2. Backward is two passes, the reference one.
    step = forward_flops(one.policy.config, tokens=13, keys=1 + 6 * (2 + 3), predictions=12)
    assert speed.training_flops == passes * 2 * step
    # Each of 4 groups reads its prompt once and the first token of 3 rollouts.
    drawn = forward_flops(one.policy.config, tokens=5, keys=1 + 2 + 3 * 3, predictions=4)
    assert speed.generation_flops == 4 * drawn
    assert speed.total > speed.forward + speed.backward
    assert min(speed.forward, speed.backward, speed.gemm_peak) > 0


def test_too_many_such_steps_in_a_row_stop_the_run():
    one = make_trainer(tiny_policy(), lambda _: hopeless(2))
    one.update(1)
    one.update(2)
    with pytest.raises(TrainingError, match="got 5 steps in a row"):
        one.update(3)


def test_scattered_ones_do_not():
    one = make_trainer(tiny_policy(), lambda n: hopeless(2 if n % 2 else 1))
    skipped = [one.update(number)[0]["skipped_steps"] for number in range(1, 7)]
    assert skipped == [2, 0, 2, 0, 2, 0]


def test_steps_in_a_row_are_counted_across_a_resume():
    one, other = (make_trainer(tiny_policy(), lambda _: hopeless(2)) for _ in range(2))
    one.update(1)
    one.update(2)
    other.restore(one.snapshot(2, []))
    with pytest.raises(TrainingError, match="got 5 steps in a row"):
        other.update(3)
