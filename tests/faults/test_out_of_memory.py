"""Too little memory for a micro-batch: the same step in smaller ones, or a message.

1. the gradient is that of the whole batch, whenever memory ran out, and it is counted
2. smaller micro-batches stay, in the state too
3. a row that does not fit by itself ends the run; another error is no lack of memory
4. torch really says so when the system refuses
"""

from __future__ import annotations

import copy
import resource

import pytest
import torch

from recap.errors import TrainingError
from recap.rl.memory import out_of_memory
from recap.rl.metrics import with_speed
from recap.rl.trainer import MICRO_BATCH_TOKENS
from tests.golden.rl_cases import group, make_trainer
from tests.rounding import adam_rounding, relative_gap
from tests.tiny import tiny_policy

ON_CPU = RuntimeError(
    "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you "
    "tried to allocate 4503599627370496 bytes. Error code 12 (Cannot allocate memory)"
)
ON_GPU = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
REWARDS = [0.0, 1.0, 0.5]


def groups(_update):
    """Four prompts of 20 tokens, three completions of 10 each: 4 x 50 tokens, in two steps."""
    completions = [list(range(50 + 10 * row, 60 + 10 * row)) for row in range(3)]
    logprobs = [[-6.0] * 10] * 3
    return [
        group(n, prompt=[4 + n] * 20, completions=completions, logprobs=logprobs, rewards=REWARDS)
        for n in range(4)
    ]


def trainer_with(*, room, error=ON_CPU, budget=MICRO_BATCH_TOKENS):
    """A trainer on a device with memory for ``room`` completion tokens in one backward pass."""
    one = make_trainer(tiny_policy(), groups)
    one._micro_batch_tokens = budget
    whole = one.accelerator.backward

    def backward(loss):
        if room is not None and one.completion_tokens > room:
            raise error
        whole(loss)

    compute = one.token_logprobs

    def token_logprobs(model, batch):
        one.completion_tokens = int(batch["completion_mask"].sum())
        return compute(model, batch)

    one.accelerator.backward, one.token_logprobs = backward, token_logprobs
    return one


def after_an_update(one):
    gradients = []
    clip = one.accelerator.clip_grad_norm_

    def spy(parameters, max_norm):
        gradients.append([p.grad.clone() for p in one.policy.parameters()])
        return clip(parameters, max_norm)

    one.accelerator.clip_grad_norm_ = spy
    metrics, speed = one.update(1)
    return gradients, metrics, speed


@pytest.mark.parametrize("error", [ON_CPU, ON_GPU, MemoryError()], ids=["cpu", "gpu", "python"])
def test_the_gradient_stays_that_of_the_whole_batch(capsys, error):
    expected, metrics, speed = after_an_update(trainer_with(room=None))
    assert speed.memory_retries == 0
    short = trainer_with(room=30, error=error)
    gradients, short_metrics, short_speed = after_an_update(short)
    # Six rows a step, one prompt each or a few: over 30 tokens of completions until 64 are shared.
    assert short_speed.memory_retries == 5
    assert with_speed(short_metrics, short_speed)["memory_retries"] == 5
    assert short._micro_batch_tokens == MICRO_BATCH_TOKENS // 2**5 == 64
    # The second step starts from moved weights.
    near = adam_rounding(short.policy, tokens=12 * 12)
    for mine, whole in zip(gradients, expected, strict=True):
        for a, b in zip(mine, whole, strict=True):
            assert relative_gap(a, b) < near
    for name in ("loss", "grad_norm", "entropy", "clip_low", "clip_high"):
        assert short_metrics[name] == pytest.approx(metrics[name], rel=near, abs=near), name
    assert short_metrics["skipped_steps"] == 0
    assert "memory_retries" not in short_metrics  # the file that DVC keeps knows no machine
    assert "micro-batches of at most 64 tokens" in capsys.readouterr().err


def test_nothing_of_a_broken_off_pass_remains():
    """Memory may run out in the second micro-batch, when the first has left its gradient."""
    budget = 64
    asked = trainer_with(room=None, budget=budget // 2)
    expected, metrics, _ = after_an_update(asked)
    late = trainer_with(room=None, budget=budget)
    whole, calls = late.accelerator.backward, []

    def backward(loss):
        calls.append(loss)
        if len(calls) == 2:
            raise ON_CPU
        whole(loss)

    late.accelerator.backward = backward
    gradients, late_metrics, speed = after_an_update(late)
    assert speed.memory_retries == 1
    assert late_metrics == metrics
    assert metrics["entropy"] > 0
    assert all(
        torch.equal(a, b)
        for mine, other in zip(gradients, expected, strict=True)
        for a, b in zip(mine, other, strict=True)
    )


def test_the_smaller_size_is_part_of_the_state():
    one = trainer_with(room=30)
    one.update(1)
    assert one.update(2)[1].memory_retries == 0
    state = copy.deepcopy(one.snapshot(2, []))
    assert state.progress["micro_batch_tokens"] == 64
    other = trainer_with(room=30)
    other.restore(state)
    one.update(3)
    assert other.update(3)[1].memory_retries == 0
    for a, b in zip(one.policy.parameters(), other.policy.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_row_that_does_not_fit_ends_the_run():
    message = r"pass of 1 rollouts \(update 1\), got: .* Lower train\.grpo\.max_completion_length"
    with pytest.raises(TrainingError, match=message):
        trainer_with(room=5).update(1)


def test_another_error_is_no_lack_of_memory():
    one = trainer_with(room=5, error=RuntimeError("expected scalar type Float"))
    with pytest.raises(RuntimeError, match="scalar type"):
        one.update(1)
    assert one._micro_batch_tokens == MICRO_BATCH_TOKENS


def test_torch_says_so_in_these_words():
    """More than the process may have: its own limit for a moment, where the machine has none."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (2 << 40, hard))
    try:
        with pytest.raises(RuntimeError) as refused:
            torch.empty(4 << 40, dtype=torch.uint8)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    assert out_of_memory(refused.value)
