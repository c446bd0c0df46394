"""The journey's Markdown: token ids under words, escaped text, one chapter per type."""

from __future__ import annotations

import pytest

from recap.microworld.tokenizer import make_tokenizer
from recap.render import Renderer
from recap.report.journey.markdown import DIAGRAM_WIDTH, plain, table, tokens, value


@pytest.fixture(scope="module")
def renderer() -> Renderer:
    return Renderer(make_tokenizer(context=512))


def test_tokens_mark_the_prefill_and_t0(renderer: Renderer) -> None:
    rendered = renderer.prompt("how do i", "i should")
    ids = rendered.token_ids
    fence, words, numbers, marks, end = tokens(renderer, rendered).split("\n")
    assert (fence, end) == ("```text", "```")
    assert words.split() == ["<bos>", "<user>", "how", "do", "i", "<assistant>", "<think>",
                             "i", "should", "▌"]  # fmt: skip
    assert [int(number) for number in numbers.split("▌")[0].split()] == list(ids)
    assert numbers.endswith(f"▌ t0 = {len(ids)}")
    assert words.index("▌") == numbers.index("▌")
    assert words[marks.index("~") :].split() == ["i", "should", "▌"]
    assert marks.rstrip("~").strip() == "" and len(marks) == words.index("▌")


def test_long_contexts_wrap(renderer: Renderer) -> None:
    lines = tokens(renderer, renderer.prompt("how do i " * 30)).split("\n")
    assert all(len(line) <= DIAGRAM_WIDTH + 12 for line in lines)
    assert sum("t0 = " in line for line in lines) == 1
    assert "~" not in "".join(lines)


@pytest.mark.parametrize(
    ("item", "markdown"),
    [
        (None, "`None`"),
        ("harmful", "`harmful`"),
        ("how do i | <b>", r"*how do i \| \<b\>*"),
        ("", "`''`"),
        (0.5, "`0.500`"),
        (True, "`True`"),
        (24, "`24`"),
    ],
)
def test_value(item: object, markdown: str) -> None:
    assert value(item) == markdown


def test_table_and_plain() -> None:
    assert table(["", "a"], [["x", plain("b *c*\nd")]]) == (
        "|  | a |\n| --- | --- |\n| x | b \\*c\\* d |"
    )
