"""Selected cases -> completions: conversations in parallel, in blocks.

A block has enough conversations for about BLOCK samples at once. They advance together, with one
sampler call for each step. Blocks are independent. Random numbers depend on ``seed``, the
benchmark, the block and the step. They depend neither on the policy (variants share random numbers)
nor on the other benchmarks. If a killed run finished a block, its completions come from the
journal. Each sample of a case is a separate conversation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from recap.attacks.attack import Answer, Attack, Case, Shot
from recap.attacks.journal import Journal
from recap.attacks.selection import Selection
from recap.attacks.selector import Selector
from recap.attacks.table import attack_of
from recap.benchmarks.declared import Benchmark, decoding
from recap.params.attack import Attack as AttackSection
from recap.params.seeds import derive_seed
from recap.render import Renderer
from recap.runtime.progress import Progress
from recap.sampling.sampler import ConversingSampler
from recap.types.attacks import AttackedPrompt, Completion
from recap.types.prompts import RenderedPrompt
from recap.types.rollouts import Decoding, Sample

BLOCK = 192
"""About the number of samples in a block's widest step; a killed run repeats at most one block."""


@dataclass(frozen=True, slots=True)
class Block:
    """Conversations that advance together, each a (case, sample); ``name`` is unique."""

    name: str
    benchmark: Benchmark
    attack: Attack
    decoding: Decoding
    members: tuple[tuple[Case, int], ...]

    @property
    def effort(self) -> int:
        """Answers that it asks for, about."""
        return len(self.members) * self.attack.answers


def run_attacks(
    selections: Sequence[Selection],
    renderer: Renderer,
    sampler: ConversingSampler,
    settings: AttackSection,
    *,
    seed: int,
    selector: Selector | None = None,
    journal: Journal | None = None,
) -> list[Completion]:
    """All completions, ordered by benchmark, round, prompt and sample.

    ``selector`` may be left out if no attack selects. Blocks in the journal are not sampled again,
    and finished blocks are added to it.
    """
    blocks = [block for each in selections for block in _blocks(each, renderer, settings)]
    progress = Progress("prompt", sum(len(block.members) for block in blocks))
    completions: list[Completion] = []
    done, behind = 0, 0
    ahead = sum(block.effort for block in blocks)
    for block in blocks:
        made = None if journal is None else journal.find(block.name)
        if made is None:
            made = _hold(block, renderer, sampler, selector, seed)
            behind += block.effort
            if journal is not None:
                journal.add(block.name, made)
        completions += made
        done += len(block.members)
        ahead -= block.effort
        progress.step(done, block.benchmark.name, effort=(behind, ahead))
    order: dict[str, int] = {each.benchmark.name: place for place, each in enumerate(selections)}
    # stable: prompts and samples keep the order in which they were drawn
    return sorted(completions, key=lambda row: (order[row.benchmark], row.place))


def _blocks(selection: Selection, renderer: Renderer, settings: AttackSection) -> list[Block]:
    benchmark = selection.benchmark
    attack = attack_of(benchmark)(renderer, settings)
    how, samples = decoding(settings, benchmark)
    members = [(case, sample) for case in selection.cases for sample in range(samples)]
    size = max(1, BLOCK // attack.width)
    return [
        Block(
            f"{benchmark.name}/{number}",
            benchmark,
            attack,
            how,
            tuple(members[first : first + size]),
        )
        for number, first in enumerate(range(0, len(members), size))
    ]


def _hold(
    block: Block,
    renderer: Renderer,
    sampler: ConversingSampler,
    selector: Selector | None,
    seed: int,
) -> list[Completion]:
    """The completions of one block, by conversation."""
    # The next step may reuse the prefixes that one step has read, but no other block's.
    talking = sampler.conversation()
    talks = [block.attack.talk(case) for case, _ in block.members]
    shots: dict[int, Sequence[Shot]] = {}
    asked: dict[int, Sequence[RenderedPrompt]] = {
        place: next(talk) for place, talk in enumerate(talks)
    }
    step = 0
    while asked:
        step += 1
        drawn = iter(
            talking.sample(
                [context for contexts in asked.values() for context in contexts],
                block.decoding,
                num_samples=1,
                seed=derive_seed(seed, "attack", block.name, step),
            )
        )
        answers = {
            place: [
                _answer(context, next(drawn)[0], _closes(block, place), renderer)
                for context in contexts
            ]
            for place, contexts in asked.items()
        }
        if block.attack.selects:
            answers = _weighed(answers, block, selector)
        asked = {}
        for place, given in answers.items():
            try:
                asked[place] = talks[place].send(given)
            except StopIteration as ended:
                shots[place] = ended.value
    return [
        _completion(_attacked(shot, case, block), shot, sample, _closes(block, place), renderer)
        for place, (case, sample) in enumerate(block.members)
        for shot in shots[place]
    ]


def _closes(block: Block, place: int) -> bool:
    """Whether the contexts of a member close the thought."""
    return block.attack.closes_thought(block.members[place][0])


def _answer(context: RenderedPrompt, sample: Sample, closed: bool, renderer: Renderer) -> Answer:
    cot, response = "", None
    if sample.finish_reason != "overflow":
        cot, response, _, _ = renderer.split(sample.token_ids, hijacked=closed)
    return Answer(context, sample, cot, response, worth=0.0)


def _weighed(
    answers: dict[int, list[Answer]], block: Block, selector: Selector | None
) -> dict[int, list[Answer]]:
    """The same answers with their worth to the adversary."""
    assert selector is not None, f"the attack {block.attack.name} selects"
    worths = iter(
        selector.worths(
            block.benchmark.domain,
            [
                (block.members[place][0].record.prompt, answer.response)
                for place, given in answers.items()
                for answer in given
            ],
        )
    )
    return {
        place: [
            Answer(answer.context, answer.sample, answer.cot, answer.response, next(worths))
            for answer in given
        ]
        for place, given in answers.items()
    }


def _attacked(shot: Shot, case: Case, block: Block) -> AttackedPrompt:
    return AttackedPrompt(
        record=case.record,
        benchmark=block.benchmark.name,
        attack=block.attack.name,
        place=shot.place,
        rendered=shot.answer.context,
        prefill_source=shot.source,
    )


def _completion(
    attacked: AttackedPrompt, shot: Shot, sample: int, closed: bool, renderer: Renderer
) -> Completion:
    answer, record = shot.answer, attacked.record
    finish_reason = answer.sample.finish_reason
    num_cot_tokens, num_response_tokens = 0, 0
    if finish_reason != "overflow":
        _, _, num_cot_tokens, num_response_tokens = renderer.split(
            answer.sample.token_ids, hijacked=closed
        )
    return Completion(
        prompt_id=record.id,
        benchmark=attacked.benchmark,
        attack=attacked.attack,
        place=attacked.place,
        sample=sample,
        domain=record.domain,
        cluster=record.cluster,
        prompt=record.prompt,
        target=record.target,
        prefill=shot.given,
        prefill_source=attacked.prefill_source,
        num_prefill_tokens=attacked.rendered.num_prefill_tokens,
        thought_closed=closed,
        cot=answer.cot,
        response=answer.response,
        finish_reason=finish_reason,
        num_cot_tokens=num_cot_tokens,
        num_response_tokens=num_response_tokens,
        category=shot.category or record.category,
        rubric=record.rubric,
    )
