"""One generation batch: prompts -> rollouts -> rewards -> groups worth learning from.

Discarded groups are replaced by fresh prompts for a bounded number of rounds; what is then still
missing stays missing, and is counted. A round draws as many prompts as are missing, or more of
them, by the share discarded so far; informative groups that find no place in the batch are carried
to the next update and used there first. Leaves out the update itself.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from recap import processes
from recap.params.seeds import derive_seed
from recap.params.train import Train
from recap.render import Renderer
from recap.rl import curriculum
from recap.rl.dynamic_sampling import Fate, filter_group
from recap.rl.prompt_stream import PromptStream
from recap.rl.self_prefill import SelfPrefills
from recap.sampling.sampler import Sampler
from recap.types.prompts import PrefilledPrompt
from recap.types.rollouts import Decoding, Reward, Rollout, RolloutGroup


class Scorer(Protocol):
    """What gives rollouts their rewards (``recap.rewards.router.Rewards``)."""

    def score(self, rollouts: Sequence[Rollout]) -> list[Reward]:
        """One reward for each rollout, in order."""
        ...


@dataclass(slots=True)
class Collection:
    """All groups drawn for one update with their fates, and what it took.

    ``carried_in`` come from updates before and are learnt from in this one; ``carried_out``, the
    last kept ones, in one to come; ``too_old`` came from before and are learnt from in none.
    """

    groups: list[RolloutGroup] = field(default_factory=list)
    fates: list[Fate] = field(default_factory=list)
    rounds: int = 0
    generation_seconds: float = 0.0
    scoring_seconds: float = 0.0
    self_prefill: dict[str, int | float | None] = field(default_factory=dict)
    """The numbers of ``recap.rl.self_prefill``, where prefills are the policy's own."""
    carried_in: list[RolloutGroup] = field(default_factory=list)
    carried_out: list[RolloutGroup] = field(default_factory=list)
    too_old: list[RolloutGroup] = field(default_factory=list)
    curriculum: dict[str, int | float | None] = field(default_factory=dict)
    """The numbers of ``recap.rl.curriculum``, where there is one."""

    @property
    def kept(self) -> list[RolloutGroup]:
        """The informative groups, in the order they were drawn."""
        return [g for g, fate in zip(self.groups, self.fates, strict=True) if fate == "kept"]

    @property
    def batch(self) -> list[RolloutGroup]:
        """The groups to learn from: the oldest first, then in the order they were drawn."""
        kept = self.kept
        return [*self.carried_in, *kept[: len(kept) - len(self.carried_out)]]

    @property
    def counts(self) -> Counter[Fate]:
        """How many groups met which fate."""
        return Counter(self.fates)


class Collector:
    """``collect(update)`` samples the live policy until a batch of informative groups is full.

    Its state between two updates is the stream's cursor and the ``carried`` groups.
    """

    def __init__(
        self,
        stream: PromptStream,
        sampler: Sampler,
        scorer: Scorer,
        renderer: Renderer,
        train: Train,
        seed: int,
        self_prefills: SelfPrefills | None = None,
    ) -> None:
        self.stream, self._self_prefills = stream, self_prefills
        self._sampler, self._scorer, self._renderer = sampler, scorer, renderer
        self._train, self._seed = train, seed
        grpo = train.grpo
        self._decoding = Decoding(grpo.temperature, 1.0, grpo.max_completion_length)
        self.carried: list[RolloutGroup] = []

    def collect(self, update: int) -> Collection:
        """The groups of one update; the sampler's weights must be the policy's as it is now."""
        result = Collection()
        if self._self_prefills is not None:
            started = time.perf_counter()
            self._self_prefills.refresh(update)
            result.generation_seconds += time.perf_counter() - started
        for group in self.carried:
            young = update - group.policy_version <= self._train.max_carry_age
            (result.carried_in if young else result.too_old).append(group)
        # All have a place: a round draws no more than a batch, so a surplus is always smaller.
        missing = self._train.prompts_per_update - len(result.carried_in)
        while missing > 0 and result.rounds <= self._train.max_refill_rounds:
            prompts = self.stream.take(self._round_size(missing, result))
            seed = derive_seed(self._seed, "rollouts", update, result.rounds)
            for group in self._roll(prompts, update, seed, result):
                fate = filter_group(
                    group.rewards, tau=self._train.tau, epsilon=self._train.reward_epsilon
                )
                result.groups.append(group)
                result.fates.append(fate)
                missing -= fate == "kept"
            result.rounds += 1
        if self._self_prefills is not None:
            result.self_prefill = self._self_prefills.numbers()
        if missing < 0:
            result.carried_out = result.kept[missing:]
        self.carried = result.carried_out
        if self._train.curriculum == "adaptive":
            now = self.stream.injection
            result.curriculum = curriculum.numbers(now, result.groups, self._train.tau)
            self.stream.injection = curriculum.adapt(now, result.groups, self._train)
        return result

    def _round_size(self, missing: int, so_far: Collection) -> int:
        """How many prompts the next round draws.

        ``expected``: missing / share of groups kept so far (as if at least one had been), at most
        a batch.
        """
        if self._train.refill == "missing" or not so_far.groups:
            return missing
        kept = max(so_far.counts["kept"], 1)
        return min(-(-missing * len(so_far.groups) // kept), self._train.prompts_per_update)

    def _roll(
        self, prompts: Sequence[PrefilledPrompt], update: int, seed: int, result: Collection
    ) -> list[RolloutGroup]:
        """The groups of these prompts; of several processes each makes a part of them."""
        started = time.perf_counter()
        size = self._train.grpo.num_generations
        rendered = [
            self._renderer.prompt(p.record.prompt, p.prefill.text if p.prefill else None)
            for p in prompts
        ]
        part = processes.part_of(len(prompts))
        samples = self._sampler.sample(
            rendered, self._decoding, num_samples=size, seed=seed, part=part
        )
        prompts, rendered = prompts[part], rendered[part]
        rollouts = [
            Rollout(prompt, context, sample, *self._renderer.split(sample.token_ids)[:2])
            for prompt, context, members in zip(prompts, rendered, samples, strict=True)
            for sample in members
        ]
        generated = time.perf_counter()
        rewards = self._scorer.score(rollouts)
        result.generation_seconds += generated - started
        result.scoring_seconds += time.perf_counter() - generated
        return processes.gathered(
            [
                RolloutGroup(
                    prompt,
                    tuple(rollouts[index * size : (index + 1) * size]),
                    tuple(rewards[index * size : (index + 1) * size]),
                    update,
                )
                for index, prompt in enumerate(prompts)
            ]
        )
