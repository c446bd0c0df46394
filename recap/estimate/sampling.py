"""Bytes and tokens of the stages that sample and do not train: prefills and attacks, one process.

A torch sampler loads fp32 weights and keeps a batch's keys and values; vLLM takes a fixed share of
the device. The guardian and the rubric model lie beside either. Leaves out the judge's stage, which
holds these two alone, dynamics, scoring, and second attempts at a thought.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from recap.benchmarks.declared import PROMPT_SETS, benchmarks, decoding
from recap.data.mixture import quotas
from recap.estimate.hardware import Device, Hardware
from recap.estimate.memory import BF16, FP32, PROMPT_TOKENS, TOKENS_PER_WORD, room
from recap.estimate.shape import Shape
from recap.estimate.work import engines_of, roofline
from recap.params.sampling import Sampling as Section
from recap.params.whole import Params
from recap.types.sources import SOURCES, Source

SIZES = {
    "aime2024": 30,
    "fortress": 500,
    "fortress_or": 500,
    "gsm8k": 1319,
    "math500": 500,
    "strongreject": 313,
    "wildjailbreak": 2000,
    "wildjailbreak-benign": 210,
    "xstest": 250,
}
"""Evaluation prompts of each source as published; ``prepare.eval_prompts`` bounds each."""
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
            if faults := list(_beside_vllm(params.sampling, stage, scorers, hardware)):
                yield from faults
                return  # the others have the same two
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


@dataclass(frozen=True, slots=True)
class Written:
    """A stage's tokens and seconds, of each of its ``times`` runs, on its engine's devices."""

    stage: str
    times: int
    tokens: float
    seconds: float


def written(
    params: Params, stages: Sequence[Sampling], device: Device, policies: int
) -> Iterator[Written]:
    """What each stage writes where a text has half of the longest length, and how long it takes."""
    for stage in stages:
        name = stage.stage.removeprefix("prefill@")
        attacks = name == stage.stage
        most = params.attack.max_tokens if attacks else params.prefill.max_tokens
        texts = _attacked(params) if attacks else _thoughts(params, name)
        tokens = texts * most / 2
        sampling = params.sampling
        engines, width = engines_of(sampling, processes=1)
        short = sampling.engine != "torch" and device.gpu  # torch reads fp32 weights
        rows = min(sampling.batch_size, max(1, math.ceil(texts / engines)))
        context = stage.tokens - most + most / 4
        number = BF16 if short else FP32
        speed = roofline(stage.model, device, rows, context, number=number, width=width)
        seconds = tokens / (engines * speed)
        yield Written(stage.stage, policies if attacks else 1, tokens, seconds)


def _thoughts(params: Params, source: str) -> int:
    role = SOURCES[source]
    if role.split == "train":
        drawn = quotas(params.prepare.mixture, params.prepare.train_prompts)
        return sum(drawn[domain] for domain in role.domains)
    sets = {each.prompts for each in benchmarks(params.attack) if each.domain in role.domains}
    return sum(_prompts(params, name) for name in sets)


def _attacked(params: Params) -> int:
    """Texts that an attack stage writes, each of a sample and round counted."""
    attack, count = params.attack, 0
    times = {
        "ipr": attack.ipr_rounds,
        "grid": len(attack.grid_words),
        "search": max(attack.search_budgets),
        "self": attack.self_samples + 1,
        "replay": 0,
    }
    for each in benchmarks(attack):
        prompts = _prompts(params, each.prompts)
        if each.secondary:
            prompts = min(prompts, attack.secondary_prompts)
        if each.attack == "search":
            prompts = min(prompts, attack.search_prompts)
        rounds = times.get(each.attack, 1)
        if each.attack == "transfer":
            by_domain: dict[str, tuple[Source, ...]] = dict(attack.transfer_sources.items())
            rounds = len(by_domain[each.domain])
        count += prompts * rounds * decoding(attack, each)[1]
    return count


def _prompts(params: Params, prompt_set: str) -> int:
    """Prompts of a set, from the sources that are read."""
    taken = {name: name for name in params.prepare.sources}
    if "wildjailbreak" in taken:
        taken["wildjailbreak-benign"] = "wildjailbreak"
    sizes = [SIZES.get(name, 0) for name in PROMPT_SETS[prompt_set] if name in taken]
    return sum(min(params.prepare.eval_prompts, size) for size in sizes)
