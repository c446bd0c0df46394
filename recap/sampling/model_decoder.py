"""Batched decoding through a model's own forward: any causal LM that transformers can load.

The slow and general counterpart of ``recap.sampling.llama_decoder``, with the same three verbs
(read prompts, ``step``, ``keep``). A prompt is still read once and its cache expanded over its
rows. Prompts are padded on the left, as transformers expects.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel


class ModelDecoder:
    """Rows that continue a set of prompts, one token per ``step``."""

    def __init__(
        self,
        model: PreTrainedModel,
        pad_token_id: int,
        prompts: Sequence[Sequence[int]],
        prompt_of_row: Tensor,
    ) -> None:
        """Read the prompts; ``prompt_of_row`` [B] says which of them each row continues."""
        self._model = model
        longest = max(len(prompt) for prompt in prompts)
        tokens = torch.full((len(prompts), longest), pad_token_id)
        mask = torch.zeros(len(prompts), longest, dtype=torch.long)
        for index, prompt in enumerate(prompts):
            tokens[index, longest - len(prompt) :] = torch.tensor(prompt)
            mask[index, longest - len(prompt) :] = 1
        tokens, mask = tokens.to(model.device), mask.to(model.device)
        output = model(
            input_ids=tokens,
            attention_mask=mask,
            position_ids=(mask.cumsum(-1) - 1).clamp_min(0),
            past_key_values=DynamicCache(config=model.config),
            use_cache=True,
            logits_to_keep=1,
        )
        self._cache = output.past_key_values
        self._cache.batch_select_indices(prompt_of_row)
        self._mask = mask[prompt_of_row]
        self.logits = output.logits[prompt_of_row, -1].float()

    def keep(self, rows: Tensor) -> None:
        """Go on with these rows only (indices into the present rows, ascending)."""
        self._cache.batch_select_indices(rows)
        self._mask = self._mask[rows]
        self.logits = self.logits[rows]

    def step(self, tokens: Tensor, living: Tensor) -> None:
        """Append one token to every row [B]; ``logits`` [B, vocabulary] are then the next ones.

        Rows that are not ``living`` [B] read theirs at position 0: the context may have no further
        one, and nobody reads what they give.
        """
        self._mask = torch.cat([self._mask, self._mask.new_ones(len(tokens), 1)], dim=-1)
        output = self._model(
            input_ids=tokens[:, None],
            attention_mask=self._mask,
            position_ids=(self._mask.sum(-1, keepdim=True) - 1) * living[:, None],
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=1,
        )
        self.logits = output.logits[:, -1].float()
