"""The loss on numbers small enough to work out by hand.

Two rows of two tokens, the second row of one alone. Ratios are powers of two, so that each value is
exact: row 0 has advantage 1 and ratios 1/2 and 2 (clipped high to 1.25), row 1 has advantage -1
and ratio 1/2 (clipped low to 0.75). Token losses: -0.5, -1.25 and 0.75.
"""

from __future__ import annotations

import math

import pytest
import torch

from recap.rl.loss import masked_mean, policy_loss

SAMPLING = torch.tensor([[-3.0, -3.0], [-2.0, 0.0]])
RATIOS = torch.tensor([[0.5, 2.0], [0.5, 1.0]])
MASK = torch.tensor([[1, 1], [1, 0]])


def loss(**changes):
    given = {
        "policy_logprobs": SAMPLING + RATIOS.log(),
        "sampling_logprobs": SAMPLING,
        "reference_logprobs": None,
        "advantages": torch.tensor([1.0, -1.0]),
        "mask": MASK,
        "optimizer": "dapo",
        "low": 0.25,
        "high": 0.25,
        "beta": 0.0,
        "longest": 4,
        "normaliser": 1.0,
    }
    return policy_loss(**given | changes)


@pytest.mark.parametrize(
    ("optimizer", "normaliser", "expected"),
    [
        ("dapo", 1.0, -0.5 - 1.25 + 0.75),
        ("dapo", 8.0, (-0.5 - 1.25 + 0.75) / 8),
        ("grpo", 1.0, (-0.5 - 1.25) / 2 + 0.75),
        ("grpo", 4.0, ((-0.5 - 1.25) / 2 + 0.75) / 4),
        ("dr_grpo", 1.0, (-0.5 - 1.25 + 0.75) / 4),
        ("dr_grpo", 4.0, (-0.5 - 1.25 + 0.75) / 4 / 4),
    ],
)
def test_sums_and_normaliser(optimizer, normaliser, expected):
    found = loss(optimizer=optimizer, normaliser=normaliser)
    assert found.value.item() == pytest.approx(expected, rel=1e-6)
    assert found.clip_low == pytest.approx(1 / 3)
    assert found.clip_high == pytest.approx(1 / 3)


def test_the_upper_bound_has_a_place_of_its_own():
    found = loss(high=1.0)  # ratio 2 is no longer beyond it
    assert found.value.item() == pytest.approx(-0.5 - 2.0 + 0.75, rel=1e-6)
    assert found.clip_high == 0.0


def test_a_clipped_or_masked_token_has_no_gradient():
    logprobs = (SAMPLING + RATIOS.log()).requires_grad_()
    loss(policy_logprobs=logprobs, normaliser=2.0).value.backward()
    # -A r / 2 where neither clipped nor masked: of the first token alone
    assert logprobs.grad.flatten().tolist() == pytest.approx([-0.25, 0.0, 0.0, 0.0])


def test_the_kl_term_carries_the_ratio():
    """With exp(reference - policy) = 2 everywhere: 0.5 r (2 - log 2 - 1) on top of each token."""
    policy = SAMPLING + RATIOS.log()
    found = loss(reference_logprobs=policy + math.log(2), beta=0.5)
    expected = -1.0 + 0.5 * (0.5 + 2.0 + 0.5) * (1 - math.log(2))
    assert found.value.item() == pytest.approx(expected, rel=1e-6)


def test_a_row_without_tokens_counts_for_nothing():
    nothing = torch.zeros_like(MASK)
    for optimizer in ("dapo", "grpo", "dr_grpo"):
        found = loss(mask=nothing, optimizer=optimizer)
        assert (found.value.item(), found.clip_low, found.clip_high) == (0.0, 0.0, 0.0)


def test_a_mean_over_tokens():
    assert masked_mean(torch.tensor([[1.0, 3.0], [5.0, 100.0]]), MASK) == 3.0
