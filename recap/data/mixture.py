"""Chooses prompts: drops duplicates, draws training in proportion, limits evaluation sets.

The paper mixes harmful : overrefusal : math = 1 : 1 : 3 and trains on 5000. If a domain has too few
rows, the whole mixture shrinks, because its proportions are part of the method.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TypeVar

from recap.data.sources.checks import normalise
from recap.errors import DataError
from recap.params.prepare import Mixture
from recap.params.seeds import derive_seed
from recap.types.prompts import PromptRecord
from recap.types.row import Domain

DOMAINS: tuple[Domain, ...] = ("harmful", "benign", "math")
ItemT = TypeVar("ItemT")


def quotas(mixture: Mixture, total: int) -> dict[Domain, int]:
    """Each domain's number of prompts, by largest remainder (ties: the earlier domain)."""
    parts = {domain: getattr(mixture, domain) for domain in DOMAINS}
    whole = sum(parts.values())
    counts = {domain: total * part // whole for domain, part in parts.items()}
    by_remainder = sorted(DOMAINS, key=lambda domain: -(total * parts[domain] % whole))
    for domain in by_remainder[: total - sum(counts.values())]:
        counts[domain] += 1
    return counts


def largest_total(mixture: Mixture, available: Mapping[Domain, int], wanted: int) -> int:
    """The largest total, up to ``wanted``, whose quotas the available rows can fill.

    Raises DataError when a domain of the mixture has no row at all.
    """
    for domain in DOMAINS:
        if getattr(mixture, domain) > 0 and available[domain] == 0:
            raise DataError(
                f"Expected {domain} training prompts (prepare.mixture.{domain} is "
                f"{getattr(mixture, domain)}), got none from prepare.sources. Add a source that "
                "has some, or set that part of the mixture to 0."
            )
    total = wanted
    while any(available[domain] < count for domain, count in quotas(mixture, total).items()):
        total -= 1
    return total


def choose_training(
    records: Sequence[PromptRecord], mixture: Mixture, wanted: int, seed: int
) -> list[PromptRecord]:
    """A seeded draw in the mixture's proportions, shuffled by the seed."""
    by_domain: dict[Domain, list[PromptRecord]] = {domain: [] for domain in DOMAINS}
    for record in records:
        by_domain[record.domain].append(record)
    available = {domain: len(found) for domain, found in by_domain.items()}
    counts = quotas(mixture, largest_total(mixture, available, wanted))
    chosen = [
        record
        for domain in DOMAINS
        for record in _draw(by_domain[domain], counts[domain], derive_seed(seed, "train", domain))
    ]
    return _draw(chosen, len(chosen), derive_seed(seed, "train", "order"))


def choose_eval(records: Sequence[PromptRecord], limit: int, seed: int) -> list[PromptRecord]:
    """At most ``limit`` prompts of each evaluation set, drawn by seed.

    Raises DataError if there are none.
    """
    sets: dict[str, list[PromptRecord]] = defaultdict(list)
    for record in records:
        sets[record.source].append(record)
    if not sets:
        raise DataError(
            "Expected evaluation prompts, got none from prepare.sources. Add a source that has "
            "some (docs/data.md lists which evaluate)."
        )
    return [
        record
        for source, found in sets.items()
        for record in _draw(found, limit, derive_seed(seed, "eval", source))
    ]


def duplicates(records: Sequence[PromptRecord]) -> dict[str, str]:
    """Id of each record to leave out, with the reason: repeated and contradictory prompts.

    Compares training prompts with one another, and evaluation prompts within their set. The first
    of equal prompts stays. If equal prompts differ in domain or target, all are left out.
    """
    groups: dict[tuple[str, str], list[PromptRecord]] = defaultdict(list)
    for record in records:
        scope = record.source if record.split == "eval" else ""
        groups[scope, normalise(record.prompt)].append(record)
    reasons = {}
    for first, *others in groups.values():
        contradictory = any((r.domain, r.target) != (first.domain, first.target) for r in others)
        if contradictory:
            reasons[first.id] = f"contradicts {others[0].id}"
        for record in others:
            kind = "contradicts" if contradictory else "duplicate of"
            reasons[record.id] = f"{kind} {first.id}"
    return reasons


def _draw(items: Sequence[ItemT], count: int, seed: int) -> list[ItemT]:
    """The first ``count`` of a seeded shuffle, so that a smaller draw is part of a larger one."""
    shuffled = list(items)
    random.Random(seed).shuffle(shuffled)
    return shuffled[:count]
