"""Rollout groups made by hand, and a collector that hands them out as scripted."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from types import SimpleNamespace

import torch
from transformers import LlamaForCausalLM

from recap.params.train import Train
from recap.prefill.inject import Injection
from recap.rl.collection import Collection
from recap.rl.trainer import RecapTrainer
from recap.types.prompts import Prefill, PrefilledPrompt, PromptRecord, RenderedPrompt
from recap.types.rollouts import Reward, Rollout, RolloutGroup, Sample
from tests.tiny import TOKENIZER

torch.set_num_threads(1)


def train_section(**changes: object) -> Train:
    """A small ``train`` section; ``grpo`` takes its own changes as a dict."""
    grpo = {
        "num_generations": 3,
        "max_completion_length": 12,
        "steps_per_generation": 2,
        "learning_rate": 1e-3,
        "temperature": 1.0,
        "beta": 0.0,
        "weight_decay": 0.0,
        "lr_scheduler_type": "constant",
        "max_grad_norm": 1.0,
        **changes.pop("grpo", {}),
    }
    section = {
        "engine": "torch",
        "optimizer": "dapo",
        "subset": "all",
        "method": "rl",
        "alpha": 0.5,
        "alpha_mode": "exact",
        "prefill_source": "counter",
        "prefill_length": 4,
        "prefill_unit": "words",
        "self_prefill_updates": 2,
        "self_prefill_prompts": 4,
        "curriculum": "none",
        "curriculum_target": 0.5,
        "curriculum_step": 0.1,
        "curriculum_alpha": (0.25, 0.75),
        "updates": 4,
        "prompts_per_update": 4,
        "epsilon_low": 0.2,
        "epsilon_high": 0.28,
        "tau": 0.9,
        "reward_epsilon": 1e-6,
        "max_refill_rounds": 2,
        "refill": "missing",
        "max_carry_age": 1,
        "aggregation": "batch_tokens",
        "safety_reward": "prob",
        "truncated_reward": 0.0,
        "turn_reward": 0.0,
        "max_missing_prefills": 0.1,
        "save_updates": 2,
        "snapshot_updates": 2,
        "adapter": None,
        "checkpointing": False,
        "precision": "float32",
        "launch": {"processes": 1, "nodes": 1, "shard": "none"},
        "grpo": grpo,
        "sft": {
            "traces": "deliberative",
            "attempts": 2,
            "batch_tokens": 64,
            "learning_rate": 1e-3,
        },
        **changes,
    }
    return Train.model_validate(section)


def record(number: int, domain: str = "harmful") -> PromptRecord:
    """A prompt without text of its own."""
    return PromptRecord(
        id=f"p{number}", domain=domain, prompt="", target=None, source="microworld", split="train"
    )


def group(
    number: int,
    *,
    prompt: Sequence[int],
    prefill: Sequence[int] = (),
    completions: Sequence[Sequence[int]],
    logprobs: Sequence[Sequence[float]],
    rewards: Sequence[float | None],
) -> RolloutGroup:
    """The group of these token ids, sampling log-probabilities and rewards."""
    given = None
    if prefill:
        given = Prefill(
            prompt_id=f"p{number}",
            text="wait",
            intent="harmful",
            source_model="harmful",
            num_words=len(prefill),
            num_tokens=len(prefill),
            response="",
            rejected=None,
        )
    prefilled = PrefilledPrompt(record(number), given)
    rendered = RenderedPrompt((*prompt, *prefill), len(prefill))
    rollouts = tuple(
        Rollout(prefilled, rendered, Sample(tuple(ids), tuple(values), "stop"), "", "")
        for ids, values in zip(completions, logprobs, strict=True)
    )
    scored = tuple(Reward(value, "safety") for value in rewards)
    return RolloutGroup(prefilled, rollouts, scored, policy_version=1)


def random_ids(rng: random.Random, count: int) -> list[int]:
    """Ordinary words of the vocabulary."""
    return [rng.randrange(10, len(TOKENIZER)) for _ in range(count)]


class ScriptedCollector:
    """Hands out what ``script(update)`` says; all groups count as kept."""

    def __init__(self, script: Callable[[int], list[RolloutGroup]]) -> None:
        self._script = script
        nothing = Injection({}, "exact", (1, 1), "words")
        self.stream = SimpleNamespace(cursor=0, epoch=0.0, own={}, injection=nothing)
        self.carried: list[RolloutGroup] = []

    def collect(self, update: int) -> Collection:
        groups = self._script(update)
        self.stream.cursor += len(groups)
        return Collection(groups=groups, fates=["kept"] * len(groups), rounds=1)


def make_trainer(
    policy: LlamaForCausalLM,
    script: Callable[[int], list[RolloutGroup]],
    rollout_copy: LlamaForCausalLM | None = None,
    **changes: object,
) -> RecapTrainer:
    """Our trainer on a scripted collector."""
    return RecapTrainer(
        policy,
        TOKENIZER,
        ScriptedCollector(script),  # type: ignore[arg-type]  # same two members
        train_section(**changes),
        seed=7,
        rollout_copy=rollout_copy,
    )


def hopeless(update):
    """Old log-probabilities so far off that the ratio overflows to infinity."""
    ids = [[50, 51], [52, 53], [54, 55]]
    far = [[-1e4, -1e4]] * 3 if update in (2, 3) else [[-1.0, -1.0]] * 3
    return [
        group(n, prompt=[4, 5], completions=ids, logprobs=far, rewards=[0.0, 1.0, 0.5])
        for n in range(4)
    ]


def sound(_update):
    return hopeless(1)
