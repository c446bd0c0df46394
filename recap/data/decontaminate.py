"""Finds training prompts that are also in the evaluation sets: by whole text and word 13-grams.

A training prompt is contaminated if its normalised text equals that of an evaluation prompt, or if
the two share 13 words in a row (the n used by GPT-3 and most work after it). Shorter prompts are
compared only as a whole, because in short templated language shared n-grams are grammar, not
leakage.
Leaves out paraphrases and semantic neighbours.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from recap.data.sources.checks import normalise, words
from recap.types.prompts import PromptRecord

NGRAM = 13


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
