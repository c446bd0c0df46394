"""Selected cases -> completions: one sampler call for each round and way of decoding.

Each sample of a case is a chain of its own: round r of sample s follows from round r-1 of sample s.
Seeds depend on ``seed`` and the round alone, never on the policy, so that all variants draw with
common random numbers. A sample that ended because the model's context was full, before its token
budget, counts as ``overflow``, like one that never had room to begin. Leaves out resuming.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from recap import params
from recap.attacks.attack import Attack
from recap.attacks.benchmarks import Selection, decoding
from recap.attacks.registry import open_attack
from recap.params import derive_seed
from recap.progress import Progress
from recap.render import Renderer
from recap.sampling.sampler import Sampler
from recap.types import AttackedPrompt, Completion, Decoding, FinishReason, Sample


@dataclass(frozen=True, slots=True)
class Chain:
    """An attacked prompt about to be sampled; ``given`` is the part of the prefill it was given."""

    attack: Attack
    attacked: AttackedPrompt
    given: str | None
    decoding: Decoding
    samples: int
    sample: int = 0


def run_attacks(
    selections: Sequence[Selection],
    renderer: Renderer,
    sampler: Sampler,
    settings: params.Attack,
    *,
    seed: int,
) -> list[Completion]:
    """All completions, ordered by benchmark, round, prompt and sample."""
    chains = [chain for each in selections for chain in _open(each, renderer, settings)]
    progress = Progress("completion", sum(chain.samples * chain.attack.rounds for chain in chains))
    completions: list[Completion] = []
    while chains:
        number = chains[0].attacked.round
        following = []
        for alike in _by_decoding(chains):
            drawn = sampler.sample(
                [chain.attacked.rendered for chain in alike],
                alike[0].decoding,
                num_samples=alike[0].samples if number == 1 else 1,
                seed=derive_seed(seed, "attack", number),
            )
            for chain, samples in zip(alike, drawn, strict=True):
                for index, sample in enumerate(samples, start=chain.sample):
                    one = replace(chain, sample=index)
                    completions.append(_completion(one, sample, renderer))
                    if number < chain.attack.rounds:
                        following.append(_follow(one, sample))
            progress.step(len(completions), f"round {number}")
        chains = following
    order: dict[str, int] = {each.benchmark.name: place for place, each in enumerate(selections)}
    # stable: prompts and samples keep the order in which they were drawn
    return sorted(completions, key=lambda row: (order[row.benchmark], row.round))


def _by_decoding(chains: Sequence[Chain]) -> list[list[Chain]]:
    """The chains that one sampler call can serve together, each list in the given order."""
    alike: dict[tuple[Decoding, int], list[Chain]] = {}
    for chain in chains:
        alike.setdefault((chain.decoding, chain.samples), []).append(chain)
    return list(alike.values())


def _open(selection: Selection, renderer: Renderer, settings: params.Attack) -> list[Chain]:
    benchmark = selection.benchmark
    attack = open_attack(benchmark.attack, renderer, settings)
    how, samples = decoding(settings, benchmark.name)
    chains = []
    for case in selection.cases:
        given = attack.part(case.prefill)
        attacked = AttackedPrompt(
            record=case.record,
            benchmark=benchmark.name,
            attack=benchmark.attack,
            round=1,
            rendered=attack.open(case.record.prompt, given),
            prefill_source=benchmark.prefill_source,
        )
        chains.append(Chain(attack, attacked, given, how, samples))
    return chains


def _follow(chain: Chain, sample: Sample) -> Chain:
    attacked = chain.attacked
    rendered = chain.attack.follow(attacked.rendered, sample, chain.given)
    return replace(chain, attacked=replace(attacked, round=attacked.round + 1, rendered=rendered))


def _finish_reason(sample: Sample, max_tokens: int) -> FinishReason:
    if sample.finish_reason == "length" and len(sample.token_ids) < max_tokens:
        return "overflow"
    return sample.finish_reason


def _completion(chain: Chain, sample: Sample, renderer: Renderer) -> Completion:
    attacked, record = chain.attacked, chain.attacked.record
    finish_reason = _finish_reason(sample, chain.decoding.max_tokens)
    cot, response, num_cot_tokens, num_response_tokens = "", None, 0, 0
    if finish_reason != "overflow":
        cot, response, num_cot_tokens, num_response_tokens = renderer.split(
            sample.token_ids, hijacked=chain.attack.closes_thought
        )
    return Completion(
        prompt_id=record.id,
        benchmark=attacked.benchmark,
        attack=attacked.attack,
        round=attacked.round,
        sample=chain.sample,
        domain=record.domain,
        cluster=record.cluster,
        prompt=record.prompt,
        target=record.target,
        prefill=chain.given,
        prefill_source=attacked.prefill_source,
        num_prefill_tokens=attacked.rendered.num_prefill_tokens,
        cot=cot,
        response=response,
        finish_reason=finish_reason,
        num_cot_tokens=num_cot_tokens,
        num_response_tokens=num_response_tokens,
    )
