"""Log-probabilities of many completions, computing what they share once and padding nothing.

A group's rollouts continue one prompt. Here a micro-batch is one packed sequence: every distinct
prompt once (all but its last token), then each rollout's own tokens (that last one and the
completion but for its own last), so that each own position predicts one completion token. Only
attention looks at it row by row: own tokens see their prompt's keys and, causally, their own.
Gradients of all rollouts flow into the one copy of their prompt. Exact; leaves out attention
variants (windows, sinks, soft caps), which are refused (ModelError), not ignored.

Shapes: N packed tokens, U distinct prompts of up to P tokens, B rollouts of up to T own tokens,
H heads of size D.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import AttentionInterface, PreTrainedModel

from recap.errors import ModelError

IMPLEMENTATION = "recap_shared_prompt"


@dataclass(frozen=True, slots=True)
class Packing:
    """Where each token of a micro-batch stands in the packed sequence.

    ``*_places`` index packed tokens and are 0 where there is none; the masks say where that is.
    ``key_places`` [B, P + T] are a row's prompt, then its own tokens. The biases are 0 where a
    query sees a key and -inf elsewhere: [U, 1, P, P] and [B, 1, T, P + T].
    """

    input_ids: Tensor
    position_ids: Tensor
    labels: Tensor
    prompt_places: Tensor
    prompt_mask: Tensor
    prompt_bias: Tensor
    own_places: Tensor
    own_mask: Tensor
    own_bias: Tensor
    key_places: Tensor


def pack(prompt_ids: Tensor, prompt_mask: Tensor, ids: Tensor, mask: Tensor) -> Packing:
    """Pack prompts [B, P + 1] (padded left) with their completions ``ids`` [B, T] (padded right).

    Rows with equal prompts share one copy.
    """
    device = ids.device
    both = torch.stack([prompt_ids * prompt_mask, prompt_mask], dim=1)
    distinct, owner = torch.unique(both, dim=0, return_inverse=True)
    shared_mask = distinct[:, 1, :-1].bool()  # left-padded, without the last token
    shared_ids = distinct[:, 0, :-1]
    mask = mask.bool()
    own_ids = torch.cat([prompt_ids[:, -1:], ids[:, :-1]], dim=1)
    lengths = shared_mask.sum(1)
    width = shared_mask.shape[1]
    positions = torch.arange(width, device=device) - (width - lengths[:, None])
    own_positions = lengths[owner][:, None] + torch.arange(ids.shape[1], device=device)
    prompt_places = _places(shared_mask, 0)
    own_places = _places(mask, int(lengths.sum()))
    prompt_sees = _causal(width, device) & shared_mask[:, None, :]
    # Padding sees itself, so that no row of the softmax is empty.
    prompt_sees = prompt_sees | torch.eye(width, dtype=torch.bool, device=device)
    rows, own = mask.shape
    own_sees = torch.cat(
        [
            shared_mask[owner][:, None].expand(rows, own, width),
            _causal(own, device).expand(rows, own, own),
        ],
        dim=2,
    )
    return Packing(
        input_ids=torch.cat([shared_ids[shared_mask], own_ids[mask]])[None],
        position_ids=torch.cat([positions[shared_mask], own_positions[mask]])[None],
        labels=torch.cat([torch.full_like(shared_ids[shared_mask], -100), ids[mask]])[None],
        prompt_places=prompt_places,
        prompt_mask=shared_mask,
        prompt_bias=_bias(prompt_sees),
        own_places=own_places,
        own_mask=mask,
        own_bias=_bias(own_sees),
        key_places=torch.cat([prompt_places[owner], own_places], dim=1),
    )


def unpack(values: Tensor, packing: Packing) -> Tensor:
    """Packed per-token values [1, N] of the completions as rows [B, T], 0 where there is none."""
    return values[0][packing.own_places] * packing.own_mask


@contextmanager
def shared_prompt_attention(model: PreTrainedModel) -> Iterator[None]:
    """The model's attention is ``attend`` meanwhile; forwards must pass a ``packing``."""
    before = model.config._attn_implementation
    model.config._attn_implementation = IMPLEMENTATION
    try:
        yield
    finally:
        model.config._attn_implementation = before


def attend(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float,
    packing: Packing,
    dropout: float = 0.0,
    position_ids: Tensor | None = None,
    use_cache: bool = False,
    **unknown: Any,
) -> tuple[Tensor, None]:
    """Attention [1, H, N, D] -> [1, N, H, D] as transformers' interface wants it.

    Raises ModelError when the model's attention is more than plain causal attention.
    """
    extras = {"mask": attention_mask, "attention_dropout": dropout or None} | unknown
    given = sorted(name for name, value in extras.items() if value is not None)
    if use_cache:
        given.append("use_cache")
    if given:
        raise ModelError(
            f"Expected a policy with plain causal attention, got one with {', '.join(given)}. "
            "Switch that off in the model's config.json if it was trained without it, or train a "
            "model without it (the Llama, Qwen2 and Qwen3 families)."
        )
    query, key, value = (part[0].transpose(0, 1) for part in (query, key, value))  # [N, H, D]
    grouped = query.shape[1] != key.shape[1]
    read = F.scaled_dot_product_attention(
        _gather(query, packing.prompt_places),
        _gather(key, packing.prompt_places),
        _gather(value, packing.prompt_places),
        attn_mask=packing.prompt_bias.to(query.dtype),
        scale=scaling,
        enable_gqa=grouped,
    )
    own = F.scaled_dot_product_attention(
        _gather(query, packing.own_places),
        _gather(key, packing.key_places),
        _gather(value, packing.key_places),
        attn_mask=packing.own_bias.to(query.dtype),
        scale=scaling,
        enable_gqa=grouped,
    )
    packed = [read.transpose(1, 2)[packing.prompt_mask], own.transpose(1, 2)[packing.own_mask]]
    return torch.cat(packed)[None], None


AttentionInterface.register(IMPLEMENTATION, attend)


def _places(mask: Tensor, first: int) -> Tensor:
    """Consecutive packed indices from ``first`` where the mask is True, row by row; else 0."""
    places = torch.zeros(mask.shape, dtype=torch.long, device=mask.device)
    places[mask] = torch.arange(first, first + int(mask.sum()), device=mask.device)
    return places


def _gather(tokens: Tensor, places: Tensor) -> Tensor:
    """[N, H, D] at places [B, T] -> [B, H, T, D]."""
    rows = tokens.flatten(1).index_select(0, places.flatten())
    return rows.view(*places.shape, *tokens.shape[1:]).transpose(1, 2)


def _causal(width: int, device: torch.device) -> Tensor:
    return torch.ones(width, width, dtype=torch.bool, device=device).tril()


def _bias(sees: Tensor) -> Tensor:
    """Booleans [B, T, K] as what is added to the scores, [B, 1, T, K]."""
    return torch.zeros(sees.shape, device=sees.device).masked_fill(~sees, float("-inf"))[:, None]
