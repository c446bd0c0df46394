"""Small pieces of Markdown: tables, escaped text, and token ids under their words.

Leaves out everything that this page does not need.
"""

from __future__ import annotations

from collections.abc import Sequence

from recap.render import Renderer
from recap.types.prompts import RenderedPrompt

DIAGRAM_WIDTH = 92
SPECIAL = str.maketrans({mark: f"\\{mark}" for mark in "\\`*_<>|[]"})


def chapter(title: str, words: str, *blocks: str) -> str:
    """A heading, an explanation, and the data."""
    return "\n\n".join((f"## {title}", words, *blocks))


def plain(text: str) -> str:
    """Text that Markdown shows as it is, on one line."""
    return " ".join(text.split()).translate(SPECIAL)


def value(item: object) -> str:
    """A field's value for a table cell: text in italics, all else as code."""
    if item is None:
        return "`None`"
    if isinstance(item, str):
        return f"*{plain(item)}*" if " " in item.strip() else f"`{item}`" if item else "`''`"
    if isinstance(item, float):
        return f"`{item:.3f}`"
    return f"`{item}`"


def said(cot: str, response: str | None, *, continues: bool) -> str:
    """The generated text of a policy on one line; ``continues``: it continues planted words."""
    start = "… " if continues else ""
    thought = f"*{start}{plain(cot)}* " if cot else ""
    return f"{thought}**⟨/think⟩** {plain(response) if response else '(never ended)'}"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; the cells are Markdown already."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def tokens(renderer: Renderer, rendered: RenderedPrompt) -> str:
    """A code block of words above ids; ``~`` marks the prefill, t0 is at the end."""
    ids = rendered.token_ids
    start = len(ids) - rendered.num_prefill_tokens
    lines: list[str] = []
    words = marks = numbers = ""
    for place, token in enumerate(ids):
        word = renderer.tokenizer.decode([token]).strip() or repr(token)
        width = max(len(word), len(str(token)))
        if len(words) + width > DIAGRAM_WIDTH:
            lines += _block(words, numbers, marks)
            words = marks = numbers = ""
        words += word.rjust(width) + " "
        numbers += str(token).rjust(width) + " "
        marks += ("~" * (width + 1)) if place >= start else " " * (width + 1)
    lines += _block(words + "▌", numbers + f"▌ t0 = {len(ids)}", marks)
    while not lines[-1]:
        lines.pop()
    return "\n".join(["```text", *lines, "```"])


def _block(words: str, numbers: str, marks: str) -> list[str]:
    block = [words.rstrip(), numbers.rstrip()]
    return [*block, marks.rstrip()] if marks.strip() else [*block, ""]
