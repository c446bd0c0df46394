"""Sampling with torch, in this process: the engine of RL rollouts and of machines without vLLM.

Each batch reads every distinct prompt once, decodes all its rows side by side and drops rows as
they finish. Weights are read at each call, so a policy under training can be sampled as it is.
A conversation, on weights that stay as they are, reads no context twice. Leaves out speculative
decoding, beams and multi-device models.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor
from transformers import PreTrainedModel

from recap.errors import ParameterError
from recap.models.weights import device, load_model
from recap.render import Renderer
from recap.sampling.llama_decoder import LlamaDecoder
from recap.sampling.llama_weights import LlamaWeights, fuse, is_plain_llama
from recap.sampling.model_decoder import ModelDecoder
from recap.sampling.prefixes import PrefixMemory
from recap.sampling.sampler import WHOLE, check_decoding, finish_reason
from recap.types.prompts import RenderedPrompt
from recap.types.rollouts import Decoding, Sample

COMPACT_SHARE = 0.1
"""Share of finished rows at which a batch is compacted: copying caches costs less than carrying."""

CANDIDATES = 1024
"""Among how many tokens top-p looks before it sorts a vocabulary of over four times as many."""


class Decoder(Protocol):
    """Rows that continue prompts: the next token's logits, and a way on."""

    logits: Tensor

    def step(self, tokens: Tensor, living: Tensor) -> None:
        """Append one token to every row; those that are not ``living`` have ended."""

    def keep(self, rows: Tensor) -> None:
        """Go on with these rows only."""


StartDecoder = Callable[[list[tuple[int, ...]], Tensor], Decoder]
"""Distinct prompts and the prompt of each row -> a decoder."""


@dataclass(slots=True)
class Row:
    """One sample in the making; ``number`` fixes its random numbers, wherever it is batched."""

    number: int
    prompt: tuple[int, ...]
    limit: int
    tokens: list[int]
    logprobs: list[float]


class TorchSampler:
    """Samples from a model that is in memory."""

    def __init__(
        self, model: PreTrainedModel, stop_ids: Sequence[int], pad_token_id: int, batch_size: int
    ) -> None:
        """Any of ``stop_ids`` ends a text; ``batch_size`` bounds the sequences side by side."""
        if batch_size < 1:
            raise ParameterError(f"Expected a batch size of at least 1, got {batch_size}.")
        self._model = model
        self._stop_ids = tuple(stop_ids)
        self._pad = pad_token_id
        self._batch_size = batch_size
        self._context = int(model.config.max_position_embeddings)
        self._memory: PrefixMemory | None = None
        self._weights: LlamaWeights | None = None

    def sample(
        self,
        prompts: Sequence[RenderedPrompt],
        decoding: Decoding,
        *,
        num_samples: int,
        seed: int,
        part: slice = WHOLE,
    ) -> list[list[Sample]]:
        """``num_samples`` samples for each prompt in ``prompts[part]``, in the prompts' order.

        Sample j of prompt i at position t is drawn with the (i * num_samples + j)-th number of the
        t-th row of a uniform table that ``seed`` fixes: batching has no part in it but for the
        rounding of logits, and neither has ``part``.
        """
        check_decoding(decoding, num_samples)
        total = len(prompts) * num_samples
        rows = []
        for index, prompt in list(enumerate(prompts))[part]:
            limit = min(decoding.max_tokens, self._context - len(prompt.token_ids))
            for sample in range(num_samples):
                number = index * num_samples + sample
                rows.append(Row(number, prompt.token_ids, limit, [], []))
        todo = [row for row in rows if row.limit > 0]
        todo.sort(key=lambda row: (len(row.prompt), row.prompt, row.number))
        if todo:
            generator = torch.Generator().manual_seed(seed)
            draws = torch.rand(decoding.max_tokens, total, generator=generator)
            # Below 1 by more than rounding, so that a draw never falls behind the last token.
            draws *= 1.0 - 2.0**-23
            with torch.inference_mode(), evaluating(self._model):
                start = self._decoders()
                for first in range(0, len(todo), self._batch_size):
                    self._decode(todo[first : first + self._batch_size], start, draws, decoding)
        if self._memory is not None:
            self._memory.turn()
        samples = [self._finish(row, decoding.max_tokens) for row in rows]
        return [samples[i : i + num_samples] for i in range(0, len(samples), num_samples)]

    def conversation(self) -> TorchSampler:
        """The same model for calls that follow from one another, while its weights stay.

        What a call has read, the next does not read again, unless the model needs its own forward.
        """
        sampler = copy.copy(self)
        if is_plain_llama(self._model):
            sampler._memory = PrefixMemory()
            with torch.inference_mode():
                sampler._weights = fuse(self._model)
        return sampler

    def _decoders(self) -> StartDecoder:
        """How to start a batch with the weights as they are now."""
        if is_plain_llama(self._model):
            weights, memory = self._weights or fuse(self._model), self._memory
            if memory is None:
                return partial(LlamaDecoder, weights)
            return lambda prompts, owners: LlamaDecoder(
                weights, prompts, owners, [memory.find(prompt) for prompt in prompts]
            )
        return partial(ModelDecoder, self._model, self._pad)

    def _decode(
        self,
        rows: list[Row],
        start: StartDecoder,
        draws: Tensor,
        decoding: Decoding,
    ) -> None:
        """Generate one batch to its end, filling the rows."""
        device = self._model.device
        distinct = {
            prompt: index for index, prompt in enumerate(dict.fromkeys(r.prompt for r in rows))
        }
        owners = torch.tensor([distinct[row.prompt] for row in rows], device=device)
        decoder = start(list(distinct), owners)
        draws = draws[:, [row.number for row in rows]].to(device)
        limits = torch.tensor([row.limit for row in rows], device=device)
        alive = torch.ones(len(rows), dtype=torch.bool, device=device)
        present = torch.arange(len(rows), device=device)
        stops = torch.tensor(self._stop_ids, dtype=torch.long, device=device)
        tokens_T, logprobs_T, present_T = [], [], []
        ended: list[tuple[Row, tuple[Tensor, Tensor]]] = []

        def leave(places: Tensor) -> None:
            """Rows at these places among the present ones go: remember what they have read."""
            if self._memory is not None:
                assert isinstance(decoder, LlamaDecoder)
                members = [rows[member] for member in present[places].tolist()]
                ended.extend(zip(members, decoder.cached(places.tolist()), strict=True))

        for position in range(max(row.limit for row in rows)):
            tokens, logprobs = draw(decoder.logits, draws[position, present], decoding)
            tokens_T.append(tokens)
            logprobs_T.append(logprobs)
            present_T.append(present)
            alive = alive & ~torch.isin(tokens, stops) & (limits[present] > position + 1)
            living = int(alive.sum())
            if living == 0:
                leave(torch.arange(len(present), device=device))
                break
            if living <= (1.0 - COMPACT_SHARE) * len(present):
                kept = alive.nonzero().squeeze(1)
                leave((~alive).nonzero().squeeze(1))
                decoder.keep(kept)
                tokens, present, alive = tokens[kept], present[kept], alive[kept]
            decoder.step(tokens, alive)
        for drawn in zip(tokens_T, logprobs_T, present_T, strict=True):
            for token, logprob, member in zip(*(column.tolist() for column in drawn), strict=True):
                row = rows[member]
                if not self._ended(row):
                    row.tokens.append(token)
                    row.logprobs.append(logprob)
        for row, (keys, values) in ended:
            assert self._memory is not None
            self._memory.add(row.prompt, row.tokens, keys, values)

    def _ended(self, row: Row) -> bool:
        return len(row.tokens) == row.limit or self._stopped(row)

    def _stopped(self, row: Row) -> bool:
        return bool(row.tokens) and row.tokens[-1] in self._stop_ids

    def _finish(self, row: Row, max_tokens: int) -> Sample:
        reason = finish_reason(self._stopped(row), len(row.tokens), max_tokens)
        return Sample(tuple(row.tokens), tuple(row.logprobs), reason)


def draw(logits: Tensor, uniforms: Tensor, decoding: Decoding) -> tuple[Tensor, Tensor]:
    """Tokens [B] and their log-probabilities before top-p [B], by inverting the distribution.

    ``uniforms`` [B] are in [0, 1 - 2**-23]: one number per token, whatever the vocabulary.
    """
    probabilities = (logits / decoding.temperature).softmax(-1)
    weights = probabilities
    if decoding.top_p < 1.0:
        weights = nucleus(probabilities, decoding.top_p)
    cumulative = weights.cumsum(-1)
    tokens = torch.searchsorted(cumulative, uniforms[:, None] * cumulative[:, -1:], right=True)
    return tokens.squeeze(1), probabilities.gather(1, tokens).log_().squeeze(1)


def nucleus(weights: Tensor, top_p: float) -> Tensor:
    """Zero all but the fewest most probable tokens that together reach ``top_p``; weights [B, V].

    A model is mostly sure among a few hundred tokens, which a processor finds in an eighth of the
    time of a sort of 50 000. Rows that need more are sorted; so is a small vocabulary, and on GPUs.
    """
    if weights.is_cuda or weights.shape[-1] <= 4 * CANDIDATES:
        return _reaching(top_p, weights, *weights.sort(-1, descending=True))
    ordered, indices = weights.topk(CANDIDATES, -1)
    kept = _reaching(top_p, weights, ordered, indices)
    more = ordered.cumsum(-1)[:, -1] < top_p
    if more.any():
        rest = weights[more]
        kept[more] = _reaching(top_p, rest, *rest.sort(-1, descending=True))
    return kept


def _reaching(top_p: float, weights: Tensor, ordered: Tensor, indices: Tensor) -> Tensor:
    """``weights``, zero but for the first of ``ordered`` that together reach ``top_p``."""
    before = ordered.cumsum(-1) - ordered
    ordered = ordered.masked_fill(before >= top_p, 0.0)
    return torch.zeros_like(weights).scatter_(-1, indices, ordered)


@contextmanager
def evaluating(model: PreTrainedModel) -> Iterator[None]:
    """The model in evaluation mode, put back afterwards."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)


def load_torch_sampler(model_dir: Path, batch_size: int) -> TorchSampler:
    """A sampler on the model and tokenizer of a directory, on the GPU if there is one."""
    renderer = Renderer.from_dir(model_dir)
    model = load_model(model_dir).to(device())
    return TorchSampler(model, renderer.turn.stop_ids, renderer.pad_id, batch_size)
