"""Completions to read: the same prompts for every variant, drawn at random and never chosen.

For each benchmark, ``samples_per_benchmark`` prompts are drawn from the report's own seed; each
becomes a card with one column per variant, and under resets one turn per round. Texts are cut in
the middle when long. Leaves out all samples but the first of a prompt, and all training seeds but
the first of the matrix.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from recap.errors import DataError
from recap.params import derive_seed
from recap.types import Completion, Domain, Label, Verdict

MAX_CHARACTERS = 1200
"""Per text: keeps the page of an 8B model, with thousands of words in a thought, below 5 MB."""


@dataclass(frozen=True, slots=True)
class Turn:
    """What the policy wrote in one round, and the verdict; ``None`` for no response or no label."""

    round: int
    cot: str
    response: str | None
    finish_reason: str
    label: Label | None
    success: bool | None


@dataclass(frozen=True, slots=True)
class Column:
    """One variant's turns on the card's prompt."""

    variant: str
    turns: tuple[Turn, ...]


@dataclass(frozen=True, slots=True)
class Card:
    """One prompt of one benchmark; ``veiled`` when its texts stand behind the switch."""

    benchmark: str
    prompt_id: str
    domain: Domain
    prompt: str
    target: str | None
    prefill: str | None
    prefill_source: str | None
    columns: tuple[Column, ...]

    @property
    def veiled(self) -> bool:
        """Whether the card shows text that may be harmful."""
        return self.domain == "harmful"


def shorten(text: str) -> str:
    """Cut the middle out of a long text, saying how much."""
    if len(text) <= MAX_CHARACTERS:
        return text
    half = MAX_CHARACTERS // 2
    return f"{text[:half]} […{len(text) - 2 * half} characters…] {text[-half:]}"


def draw(
    completions: Mapping[str, Iterable[Completion]],
    verdicts: Mapping[str, Iterable[Verdict]],
    success: Mapping[Domain, Label],
    *,
    count: int,
    seed: int,
) -> list[Card]:
    """Cards of ``count`` prompts per benchmark; both mappings go from variant to rows.

    Completions are gone through twice and nothing but the drawn ones is kept, so that row files
    need not fit into memory (``RowFile``). ``success`` names the label that counts as success in
    each domain. Raises DataError for a completion without a verdict row.
    """
    chosen = _choose(completions, count, seed)
    first: dict[tuple[str, str], Completion] = {}
    turns: dict[tuple[str, str], dict[str, list[Turn]]] = {}
    for variant, rows in completions.items():
        labels = {
            (v.benchmark, v.prompt_id, v.round): v.label
            for v in verdicts[variant]
            if not v.sample and (v.benchmark, v.prompt_id) in chosen
        }
        drawn = [row for row in rows if not row.sample and (row.benchmark, row.prompt_id) in chosen]
        for row in sorted(drawn, key=lambda row: row.round):
            key = (row.benchmark, row.prompt_id)
            if (*key, row.round) not in labels:
                raise DataError(
                    f"Expected a verdict on {key[0]}/{key[1]}, round {row.round}, of {variant}, "
                    "found none. Run the judge stage again."
                )
            first.setdefault(key, row)
            turn = _turn(row, labels[*key, row.round], success[row.domain])
            turns.setdefault(key, {}).setdefault(variant, []).append(turn)
    return [_card(first[key], turns[key]) for key in chosen]


def _choose(
    completions: Mapping[str, Iterable[Completion]], count: int, seed: int
) -> dict[tuple[str, str], None]:
    """Prompts in drawn order, by benchmark in the order of first appearance."""
    prompts: dict[str, dict[str, None]] = {}
    for rows in completions.values():
        for row in rows:
            prompts.setdefault(row.benchmark, {})[row.prompt_id] = None
    chosen: dict[tuple[str, str], None] = {}
    for benchmark, ids in prompts.items():
        rng = random.Random(derive_seed(seed, "report", benchmark))
        for prompt_id in rng.sample(sorted(ids), min(count, len(ids))):
            chosen[benchmark, prompt_id] = None
    return chosen


def _turn(row: Completion, label: Label | None, success: Label) -> Turn:
    return Turn(
        row.round,
        shorten(row.cot),
        None if row.response is None else shorten(row.response),
        row.finish_reason,
        label,
        None if label is None else label == success,
    )


def _card(row: Completion, turns: Mapping[str, list[Turn]]) -> Card:
    return Card(
        row.benchmark,
        row.prompt_id,
        row.domain,
        shorten(row.prompt),
        row.target,
        None if row.prefill is None else shorten(row.prefill),
        row.prefill_source,
        tuple(Column(variant, tuple(rounds)) for variant, rounds in turns.items()),
    )
