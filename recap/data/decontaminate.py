"""Finds training prompts that are also in the evaluation sets: whole, in part, or nearly.

A training prompt is contaminated if its normalised text equals that of an evaluation prompt, or if
the two share 13 words in a row (the n used by GPT-3 and most work after it). Shorter prompts are
compared only as a whole, because in short templated language shared n-grams are grammar, not
leakage. It is a near duplicate if half of all runs of three words are in both prompts (Jaccard
similarity, computed exactly: docs/decisions/0023-near-duplicates.md).
Leaves out paraphrases and semantic neighbours.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator

from recap.data.sources.checks import normalise, words
from recap.types.prompts import PromptRecord

NGRAM = 13
RUN = 3
"""Words of a run."""
FEWEST_WORDS = 8
"""A shorter prompt has too few runs to be near another by more than its grammar."""
NEAR = 0.5
"""Jaccard similarity of the runs from which on two prompts are near duplicates."""


def ngrams(text: str) -> Iterator[str]:
    """All sequences of ``NGRAM`` words; none for a shorter text."""
    found = words(text)
    for start in range(len(found) - NGRAM + 1):
        yield " ".join(found[start : start + NGRAM])


def contaminated(
    train: Iterable[PromptRecord], evaluation: Iterable[PromptRecord]
) -> dict[str, PromptRecord]:
    """Id of each contaminated training prompt -> the evaluation prompt that it overlaps."""
    whole: dict[str, PromptRecord] = {}
    parts: dict[str, PromptRecord] = {}
    for record in evaluation:
        whole.setdefault(normalise(record.prompt), record)
        for gram in ngrams(record.prompt):
            parts.setdefault(gram, record)
    found = {}
    for record in train:
        match = whole.get(normalise(record.prompt))
        if match is None:
            match = next((parts[gram] for gram in ngrams(record.prompt) if gram in parts), None)
        if match is not None:
            found[record.id] = match
    return found


def runs(text: str) -> frozenset[str]:
    """The distinct sequences of ``RUN`` words; none for a text of under ``FEWEST_WORDS``."""
    found = words(text)
    if len(found) < FEWEST_WORDS:
        return frozenset()
    return frozenset(" ".join(found[start : start + RUN]) for start in range(len(found) - RUN + 1))


def near_duplicates(
    train: Iterable[PromptRecord], evaluation: Iterable[PromptRecord]
) -> dict[str, PromptRecord]:
    """Id of each training prompt that is nearly an evaluation prompt -> the one nearest to it."""
    others = [(record, runs(record.prompt)) for record in evaluation]
    holders: dict[str, list[int]] = defaultdict(list)
    for place, (_, theirs) in enumerate(others):
        for run in theirs:
            holders[run].append(place)
    found = {}
    for record in train:
        mine = runs(record.prompt)
        shared = Counter(place for run in mine for place in holders.get(run, ()))
        similarity = {
            place: count / (len(mine) + len(others[place][1]) - count)
            for place, count in shared.items()
        }
        nearest = min(similarity, key=lambda place: (-similarity[place], place), default=None)
        if nearest is not None and similarity[nearest] >= NEAR:
            found[record.id] = others[nearest][0]
    return found
