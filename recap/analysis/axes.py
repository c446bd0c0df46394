"""How benchmarks, their places on an axis, variants and prefill sources are written for readers.

``Completion.round`` is the place on an attack's axis: a round of resets, or the n-th length, budget
or source that the ``attack`` section lists. Names stand here once; numbers do not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from recap.params.attack import Attack
from recap.params.sources import TRAIN_SOURCES

BENCHMARK_LABELS = {
    "harmful": "Harmful requests",
    "jailbreak": "Jailbreaks",
    "prefill": "Prefill attack",
    "hijack": "Full CoT hijack",
    "ipr": "Prefill reset",
    "search": "Prefill search",
    "self_prefill": "Its own worst thought",
    "prefill_grid": "Prefill by length",
    "transfer": "Prefill by source",
    "benign": "Benign requests",
    "benign_prefill": "Benign, prefilled",
    "benign_hijack": "Benign, hijacked",
    "benign_ipr": "Benign, reset",
    "benign_search": "Benign, searched",
    "benign_self": "Benign, its own refusal",
    "benign_grid": "Benign by length",
    "benign_transfer": "Benign by source",
    "math": "Arithmetic",
}
VARIANT_LABELS = {
    "base": "Base",
    "dapo": "DAPO",
    "recap": "RECAP",
    "aligned": "Aligned prefills",
    "sft_plain": "SFT",
    "sft_star": "SFT, as STAR",
    "sft_safechain": "SFT, as SafeChain",
}
SOURCE_LABELS = {
    "harmful": "the harmful source of training",
    "harmful_eval": "the harmful source of evaluation",
    "refusing": "the refusing source of training",
    "refusing_eval": "the refusing source of evaluation",
    "aligned": "the aligned source of training",
    "self": "the policy itself",
}
RESETS = ("ipr", "benign_ipr")
SEARCHES = ("search", "benign_search")
GRIDS = ("prefill_grid", "benign_grid")
TRANSFERS = ("transfer", "benign_transfer")
SELF = "self"

Key = tuple[str, int]
"""A benchmark and its round."""


@dataclass(frozen=True, slots=True)
class Axes:
    """What the places on the attacks' axes mean: prefill words, budgets, sources by benchmark."""

    grid_words: tuple[int, ...] = ()
    search_budgets: tuple[int, ...] = ()
    sources: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def place(self, name: str, round_: int) -> str | None:
        """The place in words, ``None`` for a benchmark without an axis."""
        if name in RESETS:
            return f"round {round_}"
        if name in GRIDS:
            return _nth(self.grid_words, round_, "{} words", "length")
        if name in SEARCHES:
            return _nth(self.search_budgets, round_, "best of {}", "budget")
        if name in TRANSFERS:
            return _nth(self.sources.get(name, ()), round_, "{}", "source")
        return None


NO_AXES = Axes()


def attack_axes(attack: Attack) -> Axes:
    """The axes as the parameters set them."""
    return Axes(
        grid_words=attack.grid_words,
        search_budgets=attack.search_budgets,
        sources={
            "transfer": attack.transfer_sources["harmful"],
            "benign_transfer": attack.transfer_sources["benign"],
        },
    )


def _nth(values: tuple[object, ...], round_: int, form: str, otherwise: str) -> str:
    if round_ <= len(values):
        return form.format(values[round_ - 1])
    return f"{otherwise} {round_}"


def variant_label(variant: str) -> str:
    """How a variant is written for readers."""
    return VARIANT_LABELS.get(variant, variant)


def source_label(source: str) -> str:
    """How a prefill source is written for readers."""
    return SOURCE_LABELS.get(source, source)


def exempt(source: str | None) -> bool:
    """Whether training may have seen this source's thoughts, so that the result is marked."""
    return source == SELF or source in TRAIN_SOURCES


def family_label(name: str) -> str:
    """A benchmark's name for all of its rounds together."""
    return BENCHMARK_LABELS.get(name, name)


def benchmark_label(name: str, round_: int, axes: Axes = NO_AXES) -> str:
    """How a benchmark at one place of its axis is written for readers."""
    place = axes.place(name, round_)
    return f"{family_label(name)}, {place}" if place else family_label(name)


def lower_first(label: str) -> str:
    """A label within a sentence."""
    return label[0].lower() + label[1:]
