"""Questions of several lengths as one batch, padded on the left: all end at one position."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedModel


def padded(
    questions: Sequence[Sequence[int]], pad_id: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Token ids and attention mask, both [N, L], where the model is."""
    rows = [torch.tensor(question) for question in questions]
    ids = pad_sequence(rows, True, pad_id, padding_side="left")
    mask = pad_sequence([torch.ones_like(row) for row in rows], True, padding_side="left")
    return ids.to(device), mask.to(device)


def last_logits(model: PreTrainedModel, ids: Tensor, mask: Tensor) -> Tensor:
    """Logits [N, V] in fp32 of the token after each question; the head computes nothing else."""
    logits: Tensor = model(
        input_ids=ids,
        attention_mask=mask,
        position_ids=(mask.cumsum(-1) - 1).clamp_min(0),
        use_cache=False,
        logits_to_keep=1,
    ).logits
    return logits[:, -1].float()
