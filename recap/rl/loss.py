"""The policy's loss as one pure function of named tensors: DAPO, GRPO and Dr. GRPO.

The loss of token t of row i, with r = exp(policy - sampling) and d = reference - policy (each a
log-probability of that token):

    l(i, t) = -min(r A_i, clip(r, 1 - low, 1 + high) A_i) + beta r (exp(d) - d - 1)

and that of some rows of an optimizer step, whose ``normaliser`` is the whole step's:

    dapo     sum over all tokens of l                       / tokens of a step
    grpo     sum over rows of the mean of l over its tokens / rows of a step
    dr_grpo  sum over all tokens of l / ``longest``         / rows of a step

So the losses of a step's parts add up to the step's, however it is cut. Equal to TRL's loss of the
same name in the order of its float operations (``tests/golden/test_rl_stock.py``). Leaves out who
computes the log-probabilities, and advantages (``recap.rl.batch``).
Shapes: R rows of up to C completion tokens.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from recap.params.train import Optimizer


@dataclass(frozen=True, slots=True)
class Loss:
    """``value`` to minimise, a scalar; the clip shares are means over the rows' tokens.

    A token is clipped low where its advantage is negative and r < 1 - low, high where it is
    positive and r > 1 + high: there its gradient is 0.
    """

    value: Tensor
    clip_low: float
    clip_high: float


def policy_loss(
    *,
    policy_logprobs: Tensor,
    sampling_logprobs: Tensor,
    reference_logprobs: Tensor | None,
    advantages: Tensor,
    mask: Tensor,
    optimizer: Optimizer,
    low: float,
    high: float,
    beta: float,
    longest: int,
    normaliser: float,
) -> Loss:
    """The loss of these rows; gradients flow into ``policy_logprobs`` alone.

    Log-probabilities and ``mask`` (1 where a token is optimised, else 0) are [R, C], ``advantages``
    [R]. ``reference_logprobs`` is ``None`` for beta 0. ``normaliser`` counts the step's tokens
    (``dapo``) or rows (``grpo``, ``dr_grpo``).
    """
    advantages = advantages[:, None]
    ratio = torch.exp(policy_logprobs - sampling_logprobs)
    kl = None
    if reference_logprobs is not None:  # two differences: their gradients are summed in TRL's order
        far = torch.exp(reference_logprobs - policy_logprobs)
        kl = (far - (reference_logprobs - policy_logprobs) - 1) * ratio
    clipped = torch.clamp(ratio, 1 - low, 1 + high)
    token_loss = -torch.min(ratio * advantages, clipped * advantages)
    if kl is not None:
        token_loss = token_loss + beta * kl
    masked = token_loss * mask
    if optimizer == "dapo":
        value = masked.sum() / normaliser
    else:
        rows = len(mask)
        if optimizer == "grpo":
            mean = (masked.sum(-1) / mask.sum(-1).clamp(min=1)).mean()
        else:
            mean = masked.sum() / (rows * longest)
        value = mean * (rows / normaliser)
    return Loss(
        value,
        clip_low=masked_mean((ratio < 1 - low) & (advantages < 0), mask),
        clip_high=masked_mean((ratio > 1 + high) & (advantages > 0), mask),
    )


def masked_mean(values: Tensor, mask: Tensor) -> float:
    """The mean of [R, C] over the tokens of ``mask``, 0 without one."""
    return float((values * mask).sum() / mask.sum().clamp(min=1))
