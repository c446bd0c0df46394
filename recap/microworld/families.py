"""Thoughts of the microworld -> the families of their reasons."""

from __future__ import annotations

import re
from collections.abc import Sequence

from recap.microworld import words
from recap.types.prompts import Prefill, PromptRecord


def with_families(prefills: Sequence[Prefill], records: Sequence[PromptRecord]) -> list[Prefill]:
    """The prefills, those about the microworld's prompts with the family of their thought."""
    ours = {record.id for record in records if record.source.startswith("microworld-")}
    return [
        prefill.model_copy(update={"category": family_of(prefill.text)})
        if prefill.prompt_id in ours
        else prefill
        for prefill in prefills
    ]


def family_of(thought: str) -> str | None:
    """The family of the first sentence that belongs to one; ``None`` if no sentence does."""
    found = FAMILY.search(thought)
    return found.lastgroup if found else None


def _pattern(family: str, sentences: tuple[str, ...]) -> str:
    """A group named after the family: its sentences, whatever the object and the verb."""
    said = "|".join(re.sub(r"\\\{\w+\\\}", r"\\w+", re.escape(text)) for text in sentences)
    return f"(?P<{family}>{said})"


FAMILY = re.compile(
    r"(?<!\S)(?:"
    + "|".join(
        _pattern(family, sentences)
        for families in words.FAMILIES.values()
        for family, sentences in families.items()
    )
    + r")(?!\S)"
)
