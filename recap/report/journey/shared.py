"""Chapters that training and evaluation have in common: record, prefill, rendered prompt."""

from __future__ import annotations

from collections.abc import Sequence

from recap.render import Renderer
from recap.report.journey.markdown import chapter, table, tokens, value
from recap.report.journey.rows import DOMAINS, Story
from recap.types.prompts import Prefill, PromptRecord, RenderedPrompt, Split

HEADER = ["", *(f"**{domain}**" for domain in DOMAINS)]


def records(title: str, split: Split, story: Story, found: Sequence[PromptRecord]) -> str:
    """The places of the raw rows, and their records."""
    raw = [story.raw[record.id] for record in found]
    rows = [["raw row", *(f"`{row.file}:{row.line}`" for row in raw)]]
    for name in PromptRecord.model_fields:
        rows.append([f"`{name}`", *(value(getattr(record, name)) for record in found)])
    return chapter(
        title,
        f"A loader turns each raw row into a record, or quarantines it with its place and a "
        f"reason. `data/prompts/{split}.jsonl`:",
        table(["", *(f"**{record.domain}**" for record in found)], rows),
    )


def prefills(thoughts: Sequence[Prefill | None], words: str) -> str:
    """The whole thoughts of the sources; ``None`` for math."""
    rows = []
    for name in ("source_model", "intent", "text", "response", "num_words", "num_tokens"):
        rows.append([f"`{name}`", *(value(getattr(p, name)) if p else "" for p in thoughts)])
    rows.append(["`rejected`", *(value(p.rejected) if p else "" for p in thoughts)])
    return chapter("`Prefill`", words, table(HEADER, rows))


def rendered(renderer: Renderer, prompts: Sequence[RenderedPrompt], title: str, words: str) -> str:
    """Token ids under their words, with the prefill and t0 marked."""
    blocks = [
        f"**{name}**, {len(prompt.token_ids)} tokens, {_planted(prompt.num_prefill_tokens)}"
        f"\n\n{tokens(renderer, prompt)}"
        for name, prompt in zip(DOMAINS, prompts, strict=True)
    ]
    return chapter(title, words, *blocks)


def _planted(count: int) -> str:
    return f"the last {count} planted" if count else "none planted"
