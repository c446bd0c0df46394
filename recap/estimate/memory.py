"""Bytes that training holds in one process, part by part, and the changes that lower them.

Every process holds the whole policy, or with ``train.launch.shard`` its share and a whole copy that
rollouts come from. Leaves out the allocator's fragments and the libraries' own memory, which
``RESERVE`` stands for.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from recap.estimate.hardware import Device
from recap.estimate.shape import Shape
from recap.params.train import Adapter, Train

RESERVE = 0.08
"""Share of a device's memory that is left for fragments, buffers and the libraries."""
ENGINE_SHARE = 0.3
"""Of a GPU's memory, vLLM's while the policy trains (recap/sampling/policy_sampler.py)."""
MICRO_BATCH = 2048
"""Tokens of a micro-batch, unless a row is longer (recap/rl/trainer.py)."""
PROMPT_TOKENS = 256
"""Tokens that a prompt and its template may take."""
TOKENS_PER_WORD = 1.35
FP32, BF16 = 4, 2
LINEAR = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


@dataclass(frozen=True, slots=True)
class Models:
    """Whatever lies on the device: the policy, and the models that reward it."""

    policy: Shape
    scorers: tuple[Shape, ...]


def longest_row(train: Train) -> int:
    """Tokens of the longest row: prompt, prefill, completion."""
    words = train.prefill_lengths[1] if any(train.alphas.values()) else 0
    prefill = words if train.prefill_unit == "tokens" else int(words * TOKENS_PER_WORD)
    return PROMPT_TOKENS + prefill + train.grpo.max_completion_length


def layer_bytes(shape: Shape, train: Train) -> int:
    """Bytes a token that a decoder layer keeps for the backward pass.

    fp32: each norm keeps its input and the normalised values, and its product is read by the layers
    after it; queries, keys and values; attention's result, as it is and rearranged; four of the
    MLP's width. bf16 by autocast: the norms stay in fp32, and each layer of weights keeps a bf16
    copy of what it reads.
    """
    hidden, wide, cached = shape.hidden_size, shape.intermediate_size, shape.cached
    if train.precision == "float32":
        return FP32 * (6 * hidden + 3 * shape.queries + 2 * cached + 4 * wide)
    norms = FP32 * 4 * hidden
    return norms + BF16 * (5 * hidden + 3 * shape.queries + 2 * cached + 4 * wide)


def parts(train: Train, models: Models, device: Device) -> dict[str, int]:
    """Bytes by part, of one process."""
    shape, row = models.policy, longest_row(train)
    weights, short = shape.parameters, train.stored_precision == "bfloat16"
    adapter = shape.adapter(train.adapter.rank, train.adapter.targets) if train.adapter else 0
    trained = adapter or weights
    tokens, layers = max(MICRO_BATCH, row), shape.num_hidden_layers
    layer = layer_bytes(shape, train)
    inputs = FP32 * shape.hidden_size
    kept = layers * inputs + layer if train.checkpointing else layers * layer
    sharded = train.launch.shard != "none"
    shares = train.processes if sharded else 1
    found = {
        "weights": ((BF16 if short else FP32) * weights + FP32 * adapter) // shares,
        "gradients": FP32 * trained // shares,
        "optimizer (AdamW's two moments)": 2 * FP32 * trained // shares,
        "activations": tokens * kept,
    }
    products = FP32 if train.precision == "float32" else BF16
    if sharded:
        found["rollout copy (unsharded)"] = products * weights
        found["gathered layers, embedding and head"] = products * shape.gathered
    if train.precision == "bfloat16" and not short and not sharded:
        found["bf16 copies of the weights"] = BF16 * weights  # autocast's
    if train.grpo.beta and not train.adapter:
        found["reference policy"] = FP32 * weights // shares
    if device.gpu:
        found["attention scores"] = _scores(train, shape)
        found["guardian and rubric"] = sum(BF16 * each.parameters for each in models.scorers)
    if train.engine == "vllm":
        found["rollout engine (weights, KV cache)"] = int(ENGINE_SHARE * device.memory)
    elif train.engine == "torch":  # rollouts are over when the policy trains: the larger counts
        rows = math.ceil(train.prompts_per_update * train.grpo.num_generations / train.processes)
        cache = rows * row * layers * 2 * shape.cached * FP32
        found["activations"] = max(found["activations"], cache)
    return found


def engine_lacks(train: Train, shape: Shape, device: Device) -> str | None:
    """Why vLLM's engine has no room beside the policy, as ``expected …, got …``.

    Its share holds its weights and the keys and values of one longest row.
    """
    if train.engine != "vllm" or not device.gpu:
        return None
    row, share, weights = longest_row(train), ENGINE_SHARE * device.memory, BF16 * shape.parameters
    needed = weights + row * 2 * shape.num_hidden_layers * shape.cached * BF16
    if needed <= share:
        return None
    return (
        f"expected the rollout engine to fit into {share / 1e9:.1f} GB, {ENGINE_SHARE} of the "
        f"device, got {needed / 1e9:.1f} GB for its weights and one row of {row} tokens. To mend "
        "it, set train.engine: torch, or server on other devices"
    )


def _scores(train: Train, shape: Shape) -> int:
    """Bytes of the longest row's attention scores.

    torch's fast kernels on GPUs take no mask together with grouped heads; the one that does keeps
    all scores.
    """
    width = FP32 if train.precision == "float32" else BF16
    layers = 1 if train.checkpointing else shape.num_hidden_layers
    return layers * width * shape.num_attention_heads * longest_row(train) ** 2


def room(device: Device) -> int:
    """Bytes that training may fill."""
    return int((1 - RESERVE) * device.memory)


def smaller(train: Train, models: Models, device: Device) -> Iterator[tuple[str, Train]]:
    """Changes that lower the memory, each with all those before it; the least one first."""
    before = sum(parts(train, models, device).values())
    for name, values in _changes(train):
        changed = train.model_copy(update=values)
        size = sum(parts(changed, models, device).values())
        if size < before:
            train, before = changed, size
            yield name, train


def _changes(train: Train) -> Iterator[tuple[str, dict[str, Any]]]:
    if not train.checkpointing:
        yield "train.checkpointing: true", {"checkpointing": True}
    if train.precision == "float32":
        yield "train.precision: bfloat16", {"precision": "bfloat16"}
    if train.engine == "torch":  # whose cache grows with the rollouts of a process
        prompts = train.prompts_per_update
        while prompts > 1:
            prompts //= 2
            yield f"train.prompts_per_update: {prompts}", {"prompts_per_update": prompts}
    if train.adapter is None:
        adapter = Adapter(rank=16, alpha=32, targets=LINEAR)
        yield (
            f"train.adapter: {{rank: 16, alpha: 32, targets: [{', '.join(LINEAR)}]}}",
            {"precision": "bfloat16", "adapter": adapter},
        )
    length = train.grpo.max_completion_length
    while length >= 1024:
        length //= 2
        grpo = train.grpo.model_copy(update={"max_completion_length": length})
        yield f"train.grpo.max_completion_length: {length}", {"grpo": grpo}
