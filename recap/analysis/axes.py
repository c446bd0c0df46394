"""Labels for readers: of benchmarks, places on an attack's axis, variants and prefill sources.

``Completion.place`` is the place on an attack's axis: a round of resets, or the n-th length, budget
or source that the ``attack`` section lists. The parameters have the values on each axis.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from recap.benchmarks.declared import BENCHMARKS
from recap.benchmarks.words import along, axis, family_label
from recap.params.attack import Attack
from recap.types.sources import EXEMPT_SOURCES, KEPT, SELF, SOURCES

VARIANT_LABELS = {
    "base": "Base",
    "dapo": "DAPO",
    "recap": "RECAP",
    "aligned": "Aligned prefills",
    "sft_plain": "SFT",
    "sft_star": "SFT, as STAR",
    "sft_safechain": "SFT, as SafeChain",
}
Key = tuple[str, int]
"""A benchmark and its round."""


@dataclass(frozen=True, slots=True)
class Axes:
    """The values on the attacks' axes: prefill words, budgets, and sources by benchmark."""

    grid_words: tuple[int, ...] = ()
    search_budgets: tuple[int, ...] = ()
    sources: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def at(self, name: str, round_: int) -> str | None:
        """The place in words, ``None`` for a benchmark without an axis."""
        match axis(name):
            case "rounds":
                return f"round {round_}"
            case "lengths":
                return _nth(self.grid_words, round_, "{} words", "length")
            case "budgets":
                return _nth(self.search_budgets, round_, "best of {}", "budget")
            case "sources":
                return _nth(self.sources.get(name, ()), round_, "{}", "source")
            case None:
                return None


NO_AXES = Axes()


def attack_axes(attack: Attack) -> Axes:
    """The axes that the parameters set."""
    return Axes(
        grid_words=attack.grid_words,
        search_budgets=attack.search_budgets,
        sources={
            name: sources
            for name in along("sources")
            for domain, sources in attack.transfer_sources.items()
            if BENCHMARKS[name].domain == domain
        },
    )


def _nth(values: tuple[object, ...], round_: int, form: str, otherwise: str) -> str:
    if round_ <= len(values):
        return form.format(values[round_ - 1])
    return f"{otherwise} {round_}"


def variant_label(variant: str) -> str:
    """A variant's name for readers."""
    return VARIANT_LABELS.get(variant, variant)


def source_label(source: str) -> str:
    """A prefill source's name for readers."""
    if source == SELF:
        return "the policy itself"
    if source == KEPT:
        return "attacks that are kept"
    return SOURCES[source].label if source in SOURCES else source


def exempt(source: str | None) -> bool:
    """Whether training may have seen this source's thoughts. Such results are marked."""
    return source in EXEMPT_SOURCES


def benchmark_label(name: str, round_: int, axes: Axes = NO_AXES) -> str:
    """The label of a benchmark at one place of its axis."""
    at = axes.at(name, round_)
    return f"{family_label(name)}, {at}" if at else family_label(name)


def lower_first(text: str) -> str:
    """A label for use inside a sentence."""
    return text[0].lower() + text[1:]
