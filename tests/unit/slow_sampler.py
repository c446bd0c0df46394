"""A sampler to compare with: one row at a time, the model's own full forward for each token.

Nothing is cached, batched or padded. Random numbers are those that ``TorchSampler`` documents. Not
a test.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from transformers import PreTrainedModel

from recap.types.prompts import RenderedPrompt
from recap.types.rollouts import Decoding, FinishReason, Sample

CLOSE = 1e-4
"""A random number nearer than this to where the drawn token changes decides nothing: rounding may
move the border. It is a hundred times the rounding of a probability."""


class SlowSampler:
    """``sure`` holds, for each row of the last call, how many of its tokens are beyond doubt."""

    def __init__(self, model: PreTrainedModel, eos_token_id: int, context: int) -> None:
        self._model, self._eos, self._context = model, eos_token_id, context
        self.sure: list[int] = []
        self.all_sure = True

    def conversation(self) -> SlowSampler:
        return self

    @torch.inference_mode()
    def sample(
        self,
        prompts: Sequence[RenderedPrompt],
        decoding: Decoding,
        *,
        num_samples: int,
        seed: int,
    ) -> list[list[Sample]]:
        table = torch.rand(
            decoding.max_tokens,
            len(prompts) * num_samples,
            generator=torch.Generator().manual_seed(seed),
        )
        self.sure = []
        rows = [
            self._row(prompt.token_ids, table[:, index * num_samples + sample].tolist(), decoding)
            for index, prompt in enumerate(prompts)
            for sample in range(num_samples)
        ]
        return [rows[first : first + num_samples] for first in range(0, len(rows), num_samples)]

    def _row(self, prompt: tuple[int, ...], uniforms: list[float], decoding: Decoding) -> Sample:
        tokens: list[int] = []
        logprobs: list[float] = []
        sure: int | None = None
        reason: FinishReason = "length"
        for uniform in uniforms:
            if len(prompt) + len(tokens) >= self._context:
                reason = "overflow"
                break
            ids = torch.tensor([[*prompt, *tokens]])
            logits = self._model(input_ids=ids).logits[0, -1].double()
            probabilities = (logits / decoding.temperature).softmax(-1)
            token, distance = _draw(probabilities.tolist(), decoding.top_p, uniform)
            if distance < CLOSE and sure is None:
                sure, self.all_sure = len(tokens), False
            tokens.append(token)
            logprobs.append(float(probabilities[token].log()))
            if token == self._eos:
                reason = "stop"
                break
        self.sure.append(len(tokens) if sure is None else sure)
        return Sample(tuple(tokens), tuple(logprobs), reason)


def _draw(probabilities: list[float], top_p: float, uniform: float) -> tuple[int, float]:
    """The token at ``uniform`` of the nucleus, and how near another choice was."""
    kept: set[int] = set()
    reached, distance = 0.0, 1.0
    for token in sorted(range(len(probabilities)), key=lambda t: -probabilities[t]):
        if top_p < 1.0:
            distance = min(distance, abs(reached - top_p))
            if reached >= top_p:
                break
        kept.add(token)
        reached += probabilities[token]
    total, drawn = 0.0, -1
    for token in sorted(kept):
        total += probabilities[token] / reached
        distance = min(distance, abs(total - uniform)) if total < 1 - CLOSE else distance
        if drawn < 0 and total > uniform:
            drawn = token
    if drawn < 0 or uniform > 1 - CLOSE:
        return max(kept), 0.0
    return drawn, distance
