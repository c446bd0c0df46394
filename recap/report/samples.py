"""Sample completions: the same prompts for every variant, drawn at random.

For each benchmark, the report's seed draws ``samples_per_benchmark`` prompts. Each prompt is a card
with one column per variant, and one turn per place on the attack's axis. Long texts are cut in the
middle, more strongly if there is more text overall, so that the page stays small. Shows only a
prompt's first sample, and only the first training seed of the matrix.
"""

from __future__ import annotations

import html
import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from recap.errors import DataError
from recap.params.seeds import derive_seed
from recap.types.attacks import Completion
from recap.types.row import Domain, Label
from recap.types.verdicts import Verdict

MAX_CHARACTERS = 1200
"""Longest text, if there is room; a thought of an 8B model has thousands of words."""
BUDGET = 3_000_000
"""Bytes of all texts in the page, which must stay below 5 MB."""
LIMITS = (MAX_CHARACTERS, 800, 500, 300, 160, 80)
"""Characters per text, tried in this order until all texts fit; if none fits, fewer prompts."""


@dataclass(frozen=True, slots=True)
class Turn:
    """The policy's text in one round, and the verdict; ``None`` without a response or a label.

    ``prefill`` and its source are ``None`` if the card has them for all turns.
    """

    place: int
    prefill: str | None
    prefill_source: str | None
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
    """One prompt of one benchmark; ``veiled`` if the switch hides its texts.

    ``prefill`` is the planted text of all turns of all variants, ``None`` if they differ.
    """

    benchmark: str
    attack: str
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

    @property
    def changed(self) -> bool:
        """Whether the variants' verdicts differ in some turn."""
        said: dict[int, set[Label | None]] = {}
        for column in self.columns:
            for turn in column.turns:
                said.setdefault(turn.place, set()).add(turn.label)
        return any(len(labels) > 1 for labels in said.values())


def shorten(text: str, limit: int = MAX_CHARACTERS) -> str:
    """Cut the middle out of a long text, and state the number of characters."""
    if len(text) <= limit:
        return text
    half = limit // 2
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

    Reads the completions twice and keeps only the drawn ones, so that row files need not fit into
    memory (``RowFile``). ``success`` names the label that counts as success in
    each domain. Raises DataError for a completion without a verdict row.
    """
    chosen = _choose(completions, count, seed)
    first: dict[tuple[str, str], Completion] = {}
    turns: dict[tuple[str, str], dict[str, list[Turn]]] = {}
    for variant, rows in completions.items():
        labels = {
            (v.benchmark, v.prompt_id, v.place): v.label
            for v in verdicts[variant]
            if not v.sample and (v.benchmark, v.prompt_id) in chosen
        }
        drawn = [row for row in rows if not row.sample and (row.benchmark, row.prompt_id) in chosen]
        for row in sorted(drawn, key=lambda row: row.place):
            key = (row.benchmark, row.prompt_id)
            if (*key, row.place) not in labels:
                raise DataError(
                    f"Expected a verdict on {key[0]}/{key[1]}, round {row.place}, of {variant}, "
                    "found none. Run the judge stage again."
                )
            first.setdefault(key, row)
            turn = _turn(row, labels[*key, row.place], success[row.domain])
            turns.setdefault(key, {}).setdefault(variant, []).append(turn)
    return fitted([_card(first[key], turns[key]) for key in chosen])


def fitted(cards: Sequence[Card], budget: int = BUDGET) -> list[Card]:
    """The cards with texts cut so that all fit; with fewer prompts per benchmark if none would."""
    cut: list[Card] = []
    for limit in LIMITS:
        cut = [_cut(card, limit) for card in cards]
        if sum(map(_size, cut)) <= budget:
            return cut
    sizes, seen = [_size(card) for card in cut], Counter[str]()
    places = []
    for card in cut:
        seen[card.benchmark] += 1
        places.append(seen[card.benchmark])
    for most in range(max(places, default=0), 0, -1):
        if sum(size for size, place in zip(sizes, places, strict=True) if place <= most) <= budget:
            return [card for card, place in zip(cut, places, strict=True) if place <= most]
    return []


def _size(card: Card) -> int:
    """Approximate bytes of a card in the page: its escaped texts, and the markup around them."""
    texts = [card.prompt, card.prefill or ""]
    turns = [turn for column in card.columns for turn in column.turns]
    for turn in turns:
        texts += [turn.prefill or "", turn.cot, turn.response or ""]
    return sum(len(html.escape(text).encode()) for text in texts) + 600 + 400 * len(turns)


def _cut(card: Card, limit: int) -> Card:
    columns = tuple(
        Column(
            column.variant,
            tuple(
                replace(
                    turn,
                    prefill=_shortened(turn.prefill, limit),
                    cot=shorten(turn.cot, limit),
                    response=_shortened(turn.response, limit),
                )
                for turn in column.turns
            ),
        )
        for column in card.columns
    )
    return replace(
        card,
        prompt=shorten(card.prompt, limit),
        prefill=_shortened(card.prefill, limit),
        columns=columns,
    )


def _shortened(text: str | None, limit: int) -> str | None:
    return None if text is None else shorten(text, limit)


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
        row.place,
        row.prefill,
        row.prefill_source,
        row.cot,
        row.response,
        row.finish_reason,
        label,
        None if label is None else label == success,
    )


def _card(row: Completion, turns: Mapping[str, list[Turn]]) -> Card:
    planted = {(turn.prefill, turn.prefill_source) for rounds in turns.values() for turn in rounds}
    same = len(planted) == 1
    columns = tuple(
        Column(
            variant,
            tuple(replace(turn, prefill=None, prefill_source=None) for turn in rounds)
            if same
            else tuple(rounds),
        )
        for variant, rounds in turns.items()
    )
    return Card(
        row.benchmark,
        row.attack,
        row.prompt_id,
        row.domain,
        row.prompt,
        row.target,
        row.prefill if same else None,
        row.prefill_source if same else None,
        columns,
    )
