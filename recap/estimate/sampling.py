"""Bytes of the stages that sample and do not train: prefills and attacks, one process each.

A torch sampler loads fp32 weights and keeps a batch's keys and values; vLLM takes a fixed share of
the device. The guardian and the rubric model lie beside either. Leaves out the judge's stage, which
holds these two alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from recap.estimate.hardware import Hardware
from recap.estimate.memory import BF16, FP32, PROMPT_TOKENS, TOKENS_PER_WORD, room
from recap.estimate.shape import Shape
from recap.params.sampling import Sampling as Section
from recap.params.whole import Params

SHARE = 0.9
"""Of a GPU's memory, vLLM's where nothing trains (recap/sampling/vllm_sampler.py)."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """What one stage samples: a model, the longest row in tokens, the models beside it."""

    stage: str
    model: Shape
    tokens: int
    scorers: tuple[Shape, ...]


def sampled(
    params: Params, policy: Shape, sources: Mapping[str, Shape], scorers: tuple[Shape, ...]
) -> list[Sampling]:
    """The stages that sample: a prefill of each source, and the attack on the policy."""
    thought = PROMPT_TOKENS + params.prefill.max_tokens
    attack = params.attack
    words = max(attack.prefill_words, *attack.grid_words)
    most = [each.max_tokens or 0 for each in attack.decoding.values()]
    row = PROMPT_TOKENS + int(words * TOKENS_PER_WORD) + max(attack.max_tokens, *most, 0)
    beside = scorers if attack.selector else ()
    return [
        *(Sampling(f"prefill@{name}", shape, thought, scorers) for name, shape in sources.items()),
        Sampling("attack", policy, row, beside),
    ]


def refused(params: Params, stages: list[Sampling], hardware: Hardware) -> Iterator[str]:
    """The stages that do not fit, each with the least change after which it would."""
    device = hardware.device
    for stage in stages:
        scorers = sum(BF16 * each.parameters for each in stage.scorers)
        if params.sampling.engine != "torch":
            yield from _beside_vllm(params.sampling, stage, scorers, hardware)
            continue
        weights = FP32 * stage.model.parameters
        row = stage.tokens * 2 * stage.model.num_hidden_layers * stage.model.cached * FP32
        needed = weights + scorers + params.sampling.batch_size * row
        if needed <= room(device):
            continue
        fitting = int((room(device) - weights - scorers) // row)
        change = (
            f"Set sampling.batch_size: {fitting}"
            if fitting > 0
            else "Take a smaller model, or devices with more memory"
        )
        yield (
            f"Expected {stage.stage} to fit into {room(device) / 1e9:.1f} GB, got "
            f"{needed / 1e9:.1f} GB: fp32 weights {weights / 1e9:.1f}, guardian and rubric "
            f"{scorers / 1e9:.1f}, keys and values of {params.sampling.batch_size} rows of "
            f"{stage.tokens} tokens. {change}."
        )


def _beside_vllm(
    sampling: Section, stage: Sampling, scorers: int, hardware: Hardware
) -> Iterator[str]:
    """Why vLLM's engine or servers and the stage's other models do not fit."""
    device, servers = hardware.device, sampling.servers
    taken = servers.count * servers.tensor_parallel if sampling.engine == "server" else 0
    if taken > hardware.count:
        yield (
            f"Expected {taken} devices for the vLLM servers of {stage.stage}, got "
            f"{hardware.count}. Lower sampling.servers.count or tensor_parallel."
        )
    elif device.gpu:
        alone = 0 < taken < hardware.count  # servers take the last devices, scorers the first
        left = room(device) if alone else (1 - SHARE) * device.memory
        if left < scorers:
            change = "Set sampling.engine: torch, or take smaller ones"
            if hardware.count > 1 and not alone:
                change = (
                    f"Set sampling.engine: server with {hardware.count - 1} servers or fewer, "
                    "which leaves them the first device"
                )
            yield (
                f"Expected guardian and rubric of {stage.stage} to fit beside vLLM into "
                f"{left / 1e9:.1f} GB, got {scorers / 1e9:.1f} GB. {change}."
            )
