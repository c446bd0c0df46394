"""How far two right computations of one number may lie apart: tolerances from the arithmetic.

A sum in another order, on another processor or in another batch differs in its last bits. Tests
that compare such computations take their tolerance from here; tests of the same computation compare
bits. No tolerance is a number that one machine happened to show.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from transformers import PreTrainedModel

SURE = 4.0
"""Standard deviations: of a random walk of roundings, one in 16 000 ends further away."""
PRODUCTS = 6
"""Matrix products one behind the other in a decoder layer: q k v, scores, mix, out, up, down."""


def rounding(roundings: int, dtype: torch.dtype = torch.float32) -> float:
    """How far two computations of that many roundings one behind the other differ, relatively.

    Each result is off by a random walk of steps of half a unit in the last place (Higham and Mary
    2019: sqrt(n) where the worst case has n), and there are two of them.
    """
    return 2 * SURE * torch.finfo(dtype).eps / 2 * math.sqrt(roundings)


def forward_roundings(model: PreTrainedModel) -> int:
    """Roundings one behind the other in a forward pass: products times the length of their sums.

    Products of 16-bit numbers are summed up in 32 bits and rounded once.
    """
    config = model.config
    products = PRODUCTS * config.num_hidden_layers + 1
    if torch.finfo(model.dtype).bits < 32:
        return products
    return products * max(config.hidden_size, getattr(config, "intermediate_size", 0) or 0)


def logprob_rounding(model: PreTrainedModel, temperature: float = 1.0) -> float:
    """How far two computations of a logit, or of a log-probability, differ: absolute, in nats.

    The roundings of a forward pass, of the size of a logit: a row of the head times a normed state,
    whose numbers are of the size of the norm's weights. A log-probability is the difference of two.
    """
    with torch.no_grad():
        row = float(model.get_output_embeddings().weight.float().norm(dim=1).max())
    norms = [p.detach().abs().max() for name, p in model.named_parameters() if "norm" in name]
    size = row * max([1.0, *map(float, norms)])
    return 2 * rounding(forward_roundings(model), model.dtype) * size / temperature


def gradient_rounding(model: PreTrainedModel, tokens: int) -> float:
    """How far two computations of a gradient differ, relative to its norm.

    Forward and backward are three passes, summed over ``tokens``. What is summed partly cancels
    (the advantages of a group add up to 0), so that the sum is a tenth of its terms, or so.
    """
    return 10 * rounding(3 * forward_roundings(model) + tokens)


def adam_rounding(model: PreTrainedModel, tokens: int) -> float:
    """How far weights differ after a few steps of AdamW, relative to the norm of their movement.

    Adam divides a weight's gradient by its size: where it lies within rounding of 0, and that is
    the case for a share of about ``gradient_rounding`` of the weights, the step's direction is
    open. A share s of weights with arbitrary steps makes sqrt(s) of the movement. Losses and norms
    at the moved weights differ by as much at most.
    """
    return math.sqrt(gradient_rounding(model, tokens))


def relative_gap(mine: Tensor, theirs: Tensor) -> float:
    """|mine - theirs| / |theirs|, by Euclidean norms; 0 where both are 0."""
    gap = float((mine - theirs).detach().norm())
    return gap / float(theirs.detach().norm()) if gap else 0.0
