"""Floating-point operations of a Llama, counted on paper, and the matrix peak to hold them against.

A multiply-add is two operations. Counted is what the mathematics asks for: the projections of every
token that must be read, attention of each token to the keys it sees, the head where a prediction is
needed. Leaves out norms, rotary angles, softmax, the optimizer, and all work on padding.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Sequence

import torch
from transformers import PretrainedConfig

from recap.types.rollouts import RolloutGroup

PEAK_SECONDS = 0.2
"""For how long the peak is looked for."""


def is_counted(config: PretrainedConfig) -> bool:
    """Whether the formulas hold for this kind of model."""
    return config.model_type == "llama"


def forward_flops(config: PretrainedConfig, *, tokens: int, keys: int, predictions: int) -> int:
    """Operations of one forward pass; a backward pass costs twice as much.

    ``tokens`` are read, see ``keys`` keys in all (themselves among them), and the next token is
    predicted after ``predictions`` of them.
    """
    queries = config.num_attention_heads * config.head_dim
    cached = config.num_key_value_heads * config.head_dim
    weights = config.hidden_size * (2 * queries + 2 * cached + 3 * config.intermediate_size)
    per_layer = 2 * tokens * weights + 4 * keys * queries
    head = 2 * predictions * config.hidden_size * config.vocab_size
    return int(config.num_hidden_layers * per_layer + head)


def generation_flops(config: PretrainedConfig, groups: Sequence[RolloutGroup]) -> int:
    """Operations of drawing these groups with a cache, each group's prompt read once.

    The last token of a rollout is drawn, not read.
    """
    tokens = keys = predictions = 0
    for group in groups:
        lengths = [len(rollout.sample.token_ids) for rollout in group.rollouts]
        if not any(lengths):
            continue  # no room: not even the prompt was read
        prompt = len(group.rollouts[0].rendered.token_ids)
        read = [length - 1 for length in lengths if length]
        tokens += prompt + sum(read)
        keys += triangle(prompt) + sum(own * prompt + triangle(own) for own in read)
        predictions += 1 + sum(read)
    return forward_flops(config, tokens=tokens, keys=keys, predictions=predictions)


def triangle(count: int) -> int:
    """Keys that ``count`` tokens see among themselves, causally."""
    return count * (count + 1) // 2


@functools.cache
def gemm_peak(device: torch.device, threads: int, dtype: torch.dtype = torch.float32) -> float:
    """Operations per second of the fastest square matrix product of ``dtype`` seen in 0.2 s.

    ``threads`` must be torch's number of threads now; it is an argument so that another number is
    measured anew. Other processes on the same cores lower it less than they lower a mean.
    """
    size = 256 if device.type == "cpu" else 4096  # on a busy core short products end undisturbed
    factor = torch.ones(size, size, device=device, dtype=dtype)
    product = torch.empty_like(factor)
    best = float("inf")
    end = time.perf_counter() + PEAK_SECONDS
    while (started := time.perf_counter()) < end:
        torch.mm(factor, factor, out=product)
        float(product[0, 0])  # waits for a GPU
        best = min(best, time.perf_counter() - started)
    return 2 * size**3 / best
