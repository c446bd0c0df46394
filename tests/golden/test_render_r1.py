"""Token ids under the template of the R1 distills, worked by hand.

Their rules: the BOS stands in the template, the generation prompt opens the think block and breaks
the line, padding is the end-of-text token, and the think tags are added tokens that are not
special. The tokenizer here is theirs in form (byte-level BPE, their markers) with one token per
byte, so that the id of a byte is its value.
"""

from __future__ import annotations

import pytest

from recap.errors import RenderError
from recap.render import Renderer
from recap.types.prompts import PrefillUnit
from tests.golden.byte_tokenizer import byte_tokenizer

BOS, EOS, USER, ASSISTANT, OPEN, CLOSE = range(256, 262)
MARKERS = (
    "<\uff5cbegin\u2581of\u2581sentence\uff5c>",
    "<\uff5cend\u2581of\u2581sentence\uff5c>",
    "<\uff5cUser\uff5c>",
    "<\uff5cAssistant\uff5c>",
)
TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{% if message.role == 'user' %}"
    f"{MARKERS[2]}{{{{ message.content }}}}{{% else %}}"
    f"{MARKERS[3]}{{{{ message.content.split('</think>')[-1] }}}}{MARKERS[1]}{{% endif %}}"
    f"{{% endfor %}}{{% if add_generation_prompt %}}{MARKERS[3]}<think>\n{{% endif %}}"
)


@pytest.fixture(scope="module")
def renderer() -> Renderer:
    return Renderer(
        byte_tokenizer(
            MARKERS,
            TEMPLATE,
            added=["<think>", "</think>"],
            bos_token=MARKERS[0],
            eos_token=MARKERS[1],
            pad_token=MARKERS[1],
        )
    )


def test_clean_prompt(renderer: Renderer) -> None:
    rendered = renderer.prompt("hi?")
    assert rendered.token_ids == (BOS, USER, 104, 105, 63, ASSISTANT, OPEN, 10)
    assert rendered.num_prefill_tokens == 0


def test_a_prefill_follows_the_line_break_without_a_space(renderer: Renderer) -> None:
    rendered = renderer.prompt("hi?", "Ok, so")
    assert rendered.token_ids == (
        BOS,
        USER,
        104,
        105,
        63,
        ASSISTANT,
        OPEN,
        10,
        79,
        107,
        44,
        32,
        115,
        111,
    )
    assert rendered.num_prefill_tokens == 6


@pytest.mark.parametrize(
    ("unit", "length", "cut"),
    [
        ("words", 2, ("Ok, so", 2, 6)),
        ("words", 1, ("Ok,", 1, 3)),
        ("tokens", 6, ("Ok, so", 2, 6)),
        ("tokens", 5, ("Ok, s", 2, 5)),
        ("tokens", 4, ("Ok,", 1, 3)),  # the fourth is the space
    ],
)
def test_a_cut_counts_the_tokens_that_a_prompt_gets(
    renderer: Renderer, unit: PrefillUnit, length: int, cut: tuple[str, int, int]
) -> None:
    assert renderer.cut("Ok, so  what", length, unit) == cut
    assert renderer.prompt("hi?", cut[0]).num_prefill_tokens == cut[2]


def test_a_hijack_closes_the_block_as_the_model_would(renderer: Renderer) -> None:
    rendered = renderer.hijack("hi?", "Ok")
    assert rendered.token_ids == (
        BOS,
        USER,
        104,
        105,
        63,
        ASSISTANT,
        OPEN,
        10,
        79,
        107,
        10,
        CLOSE,
        10,
        10,
    )
    assert rendered.num_prefill_tokens == 6


def test_a_reset_leaves_the_block_open_and_drops_the_response(renderer: Renderer) -> None:
    first = renderer.prompt("hi?", "Ok")
    generated = [32, 97, 10, CLOSE, 10, 10, 89, 111, EOS]  # " a\n</think>\n\nYo" and the end
    second = renderer.reset(first, generated, "Wait.", "Ok")
    assert second.token_ids == (
        *first.token_ids,
        32,
        97,
        10,
        32,
        87,
        97,
        105,
        116,
        46,
        32,
        79,
        107,
    )
    assert second.num_prefill_tokens == 14
    assert CLOSE not in second.token_ids


@pytest.mark.parametrize(
    ("generated", "parts"),
    [
        ([97, 10, CLOSE, 10, 10, 89, 111, EOS], ("a", "Yo", 2, 4)),
        ([97, 10, CLOSE, 10, 10, 89, 111], ("a", None, 2, 4)),  # cut off
        ([97, 98, 99], ("abc", None, 3, 0)),  # never closed
    ],
)
def test_split(renderer: Renderer, generated: list[int], parts: tuple[object, ...]) -> None:
    assert renderer.split(generated) == parts


def test_one_bos_one_open_tag_no_closing_tag(renderer: Renderer) -> None:
    for rendered in (renderer.prompt("a b"), renderer.prompt("a b", "c d")):
        ids = list(rendered.token_ids)
        assert (ids.count(BOS), ids.count(OPEN), ids.count(CLOSE)) == (1, 1, 0)
        assert ids[0] == BOS


@pytest.mark.parametrize("marker", [*MARKERS, "<think>", "</think>"])
def test_markers_in_a_text_are_refused(renderer: Renderer, marker: str) -> None:
    with pytest.raises(RenderError, match="without template markers"):
        renderer.prompt(f"hi {marker}")
    with pytest.raises(RenderError, match="without template markers"):
        renderer.prompt("hi?", f"so {marker}")
    first = renderer.prompt("hi?", "so")
    with pytest.raises(RenderError, match="a prefill without template markers"):
        renderer.reset(first, [97], "Wait.", f"so {marker}")
    with pytest.raises(RenderError, match="a transition without template markers"):
        renderer.reset(first, [97], f"{marker} wait", "so")
