"""Labels of benchmarks for readers, and the figures that show each benchmark.

There is one entry for each benchmark of ``declared.py``. Every list of benchmarks on the page and
in the terminal is derived from the two files, in the order of the declarations. The attacking
stages do not depend on this file, so a new label does not make them stale. A benchmark without an
entry is shown by its name, and only in the table of all rates.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from recap.benchmarks.declared import BENCHMARKS
from recap.types.row import Domain
from recap.types.sources import KEPT

Thought = Literal["plain", "planted"]
AxisName = Literal["rounds", "lengths", "budgets", "sources"]


@dataclass(frozen=True, slots=True)
class Words:
    """One benchmark for readers.

    ``clean``: without an attack, so a loss on it is the price of robustness. ``barred``: it has
    bars, among the attacks if its prompts are harmful, else among the costs. ``main``: the terminal
    shows it. ``thought``: self-reflection is measured on its thoughts; ``plain`` thoughts begin in
    the policy's own words, ``planted`` ones with a prefill.
    """

    label: str
    clean: bool = False
    barred: bool = True
    main: bool = False
    thought: Thought | None = None


WORDS = {
    "harmful": Words("Harmful requests", clean=True, main=True, thought="plain"),
    "jailbreak": Words("Jailbreaks", main=True, thought="plain"),
    "fortress": Words("Jailbreaks (Fortress)", main=True, thought="plain"),
    "prefill": Words("Prefill attack", main=True, thought="planted"),
    "hijack": Words("Full CoT hijack", main=True),
    "ipr": Words("Prefill reset", main=True, thought="planted"),
    "prefill_grid": Words("Prefill by length", barred=False),
    "search": Words("Prefill search", main=True, thought="planted"),
    "self_prefill": Words("Its own worst thought", main=True, thought="planted"),
    "transfer": Words("Prefill by source", barred=False),
    "replay": Words("Attacks that are kept", barred=False, main=True),
    "benign": Words("Benign requests", clean=True, main=True, thought="plain"),
    "benign_jailbreak": Words("Benign, like jailbreaks", clean=True),
    "fortress_or": Words("Benign (FortressOR)", clean=True, main=True, thought="plain"),
    "benign_prefill": Words("Benign, prefilled", main=True, thought="planted"),
    "benign_hijack": Words("Benign, hijacked"),
    "benign_ipr": Words("Benign, reset", thought="planted"),
    "benign_grid": Words("Benign by length", barred=False),
    "benign_search": Words("Benign, searched"),
    "benign_self": Words("Benign, its own refusal"),
    "benign_transfer": Words("Benign by source", barred=False),
    "benign_replay": Words("Benign, refused before", barred=False),
    "math": Words("Arithmetic", clean=True, main=True, thought="plain"),
    "aime": Words("AIME 2024", clean=True, main=True, thought="plain"),
}
AXES: dict[str, AxisName] = {
    "ipr": "rounds", "grid": "lengths", "search": "budgets", "transfer": "sources",
}  # fmt: skip
"""Attack -> the axis of its completions' ``place``; other attacks have only one place."""
_SHOWN = {name: WORDS[name] for name in BENCHMARKS if name in WORDS}
_BARRED = tuple(name for name, words in _SHOWN.items() if words.barred)
MAIN = tuple(name for name, words in _SHOWN.items() if words.main)
REPLAYED = tuple(name for name, benchmark in BENCHMARKS.items() if benchmark.prompts == KEPT)
"""Attacks that were chosen because they succeeded: no measure of how strong attacks are."""
CLEAN = tuple(name for name, words in _SHOWN.items() if words.clean)
ATTACKS = tuple(name for name in _BARRED if BENCHMARKS[name].domain == "harmful")
"""Harmful requests, clean ones first."""
COSTS = tuple(name for name in _BARRED if name not in ATTACKS)


def family_label(name: str) -> str:
    """A benchmark's label for all places of its axis together."""
    return WORDS[name].label if name in WORDS else name


def axis(name: str) -> AxisName | None:
    """The axis of a benchmark, or ``None`` if it has only one place."""
    return AXES.get(BENCHMARKS[name].attack) if name in BENCHMARKS else None


def along(axis_name: AxisName) -> tuple[str, ...]:
    """The benchmarks with this axis."""
    return tuple(name for name in BENCHMARKS if axis(name) == axis_name)


def thinking(thought: Thought) -> tuple[str, ...]:
    """The benchmarks whose thoughts begin this way and are searched for self-reflection."""
    return tuple(name for name, words in _SHOWN.items() if words.thought == thought)


def of_attack(attack: str, domain: Domain) -> str:
    """The benchmark with this attack on prompts of this domain."""
    return next(b.name for b in BENCHMARKS.values() if (b.attack, b.domain) == (attack, domain))
