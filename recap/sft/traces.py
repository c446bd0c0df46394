"""Training traces of the supervised baselines: a thought and a response for each training prompt.

Harmful and benign prompts get the aligned source's thought and answer, which ``prefill`` verified
with the guardian. Math prompts get the base policy's own correct solutions. Traces use neither the
grammar, nor the oracle, nor evaluation prompts. Leaves out traces in a data set (STAR-1's
``response`` column).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from recap.errors import DataError
from recap.params.seeds import derive_seed
from recap.render import Renderer
from recap.rewards.math import math_reward
from recap.runtime.progress import Progress
from recap.sampling.sampler import Sampler
from recap.types.prompts import Prefill, PromptRecord
from recap.types.rollouts import Decoding
from recap.types.row import Domain

Kind = Literal["plain", "deliberative", "safechain"]

DELIBERATION = re.compile(
    r"\b(?:rules?|polic(?:y|ies)|guidelines?)\b | \bis\s+(?:dangerous|harmless)\b",
    re.IGNORECASE | re.VERBOSE,
)
"""A sentence deliberates if it names a rule, or states that a thing is dangerous or harmless
(rightly or wrongly)."""
SENTENCE = re.compile(r".+?(?:[.!?](?=\s|$)|\n|$)\s*", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Trace:
    """The target for a prompt: a thought (may be empty), then the response."""

    record: PromptRecord
    thought: str
    response: str


def safety_traces(
    records: Sequence[PromptRecord], aligned: Mapping[str, Prefill], kind: Kind
) -> list[Trace]:
    """Traces of harmful and benign prompts, in the records' order.

    ``aligned``: the aligned source's verified thoughts by prompt id. ``deliberative`` keeps them
    whole (STAR's kind), ``safechain`` drops the deliberating sentences, ``plain`` drops the
    thought. All kinds use the same prompts and responses, so that they differ only in the thought.
    They use prompts whose thought has deliberating and other sentences.
    """
    traces = []
    for record in records:
        given = aligned.get(record.id)
        if record.domain == "math" or given is None or given.rejected is not None:
            continue
        rest = without_deliberation(given.text)
        if not rest or rest == given.text.strip():
            continue
        thought = {"plain": "", "deliberative": given.text, "safechain": rest}[kind]
        traces.append(Trace(record, thought, given.response))
    return traces


def without_deliberation(thought: str) -> str:
    """The thought without the sentences that deliberate on facts and rules."""
    sentences = SENTENCE.findall(thought)
    return "".join(s for s in sentences if not DELIBERATION.search(s)).strip()


def own_solutions(
    records: Sequence[PromptRecord],
    sampler: Sampler,
    renderer: Renderer,
    decoding: Decoding,
    attempts: int,
    seed: int,
) -> list[Trace]:
    """The first correct solution of ``sampler`` for each math prompt, with its thought.

    A prompt that is unsolved after ``attempts`` tries has none. A solution is correct if RL would
    reward it with 1; the thought is not checked.
    """
    math = [record for record in records if record.domain == "math"]
    progress = Progress("solution", len(math))
    solved: dict[str, Trace] = {}
    for attempt in range(attempts):
        todo = [record for record in math if record.id not in solved]
        if not todo:
            break
        drawn = sampler.sample(
            [renderer.prompt(record.prompt) for record in todo],
            decoding,
            num_samples=1,
            seed=derive_seed(seed, "solutions", attempt),
        )
        for record, (sample,) in zip(todo, drawn, strict=True):
            thought, response, _, _ = renderer.split(sample.token_ids)
            if response and math_reward(record, response) == 1.0:
                solved[record.id] = Trace(record, thought, response)
        progress.step(len(solved), f"correct, attempt {attempt + 1}")
    return [solved[record.id] for record in math if record.id in solved]


def check_domains(records: Sequence[PromptRecord], traces: Sequence[Trace]) -> None:
    """Raise DataError if a domain of the training prompts is left without any trace."""
    for domain in get_args(Domain):
        asked = sum(record.domain == domain for record in records)
        if asked and not any(trace.record.domain == domain for trace in traces):
            why = (
                "the base policy solved none; raise train.sft.attempts"
                if domain == "math"
                else "no verified thought of the aligned source states a fact or a rule; run "
                "prefill@aligned again or raise prefill.attempts"
            )
            raise DataError(f"Expected traces for {asked} {domain} prompts, got none: {why}.")
