"""Traces that come with a data set, and those that a model makes itself."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from recap.render import Renderer
from recap.sft.given import given_traces, gsm8k_trace, star1_trace
from recap.sft.own import own_traces
from recap.types.prompts import RenderedPrompt
from recap.types.rollouts import Decoding, Sample
from tests.tiny import TOKENIZER


@pytest.mark.parametrize(
    ("answer", "thought", "response"),
    [
        ("She has 2+3=<<2+3=5>>5 pens.\n#### 5", "She has 2+3=5 pens.", "The answer is 5."),
        ("All 1,200.\n#### 1,200", "All 1,200.", "The answer is 1,200."),
        ("No mark, no number", None, None),
        ("#### 5", None, None),
        ("A thought\n#### ", None, None),
        (5, None, None),
        (None, None, None),
    ],
)
def test_gsm8k_thinks_its_rationale(
    answer: object, thought: str | None, response: str | None
) -> None:
    found = gsm8k_trace({"question": "How many?", "answer": answer}, 3)
    if thought is None:
        assert found is None
    else:
        assert found is not None
        assert (found.set, found.id, found.prompt) == ("gsm8k", "gsm8k-train-3", "How many?")
        assert (found.thought, found.response) == (thought, response)


@pytest.mark.parametrize(
    ("answer", "wanted"),
    [
        (
            "<think>\nThey ask.\nI see.\n</think>\n\nNo, thanks.",
            ("They ask.\nI see.", "No, thanks."),
        ),
        ("They ask. No.", None),
        ("<think>They ask.", None),
        ("<think></think>No.", None),
        ("<think>They ask.</think>  ", None),
        (None, None),
    ],
)
def test_star1_thinks_between_its_tags(answer: object, wanted: tuple[str, str] | None) -> None:
    found = star1_trace({"question": "How?", "response": answer}, 1)
    assert (found and (found.thought, found.response)) == wanted


class Scripted:
    """Says the next text of a script at each call, to all prompts."""

    def __init__(self, *texts: str) -> None:
        self.texts = list(texts)
        self.asked: list[str] = []

    def sample(
        self,
        prompts: Sequence[RenderedPrompt],
        decoding: Decoding,
        *,
        num_samples: int,
        seed: int,
        part: slice = slice(None),
    ) -> list[list[Sample]]:
        """The same for each."""
        text, ended = self.texts.pop(0), True
        if text.endswith("…"):
            text, ended = text[:-1], False
        ids = tuple(TOKENIZER.encode(text, add_special_tokens=False))
        ids += (TOKENIZER.eos_token_id,) if ended else ()
        self.asked += [TOKENIZER.decode(prompt.token_ids) for prompt in prompts]
        reason = "stop" if ended else "length"
        return [[Sample(ids, (0.0,) * len(ids), reason)] for _ in prompts]


THINKS = "they ask me how to use the thing ."
HELPS = "first heat the water , then wait ."


@pytest.mark.parametrize(
    ("thought", "answer", "kept"),
    [
        (THINKS, HELPS, True),
        (THINKS, f"{HELPS} then the…", True),
        (THINKS, "heat the water and then wait…", False),
        ("no .", HELPS, False),
        (THINKS, "i will not give an answer to this .", False),
        (THINKS, "heat the water and " * 5, False),
    ],
    ids=["kept", "cut to sentences", "no whole sentence", "short", "refuses", "loop"],
)
def test_own_traces_are_whole_and_do_not_refuse(thought: str, answer: str, kept: bool) -> None:
    sampler = Scripted(thought, answer)
    found = own_traces([("a", "how ?")], "own_benign", 1, sampler, Renderer(TOKENIZER), 0)
    assert len(found) == kept
    assert "think aloud" in sampler.asked[0] or "<unk>" in sampler.asked[0]
    if kept:
        assert (found[0].id, found[0].prompt) == ("a", "how ?")
        assert found[0].response.endswith("wait .")


def test_no_more_is_asked_than_is_wanted() -> None:
    sampler = Scripted(THINKS, HELPS)
    prompts = [(str(number), "how ?") for number in range(100)]
    found = own_traces(prompts, "own_benign", 3, sampler, Renderer(TOKENIZER), 0)
    assert [row.id for row in found] == ["0", "1", "2"]
    assert len(sampler.asked) == 8  # a thought and an answer of four prompts


def test_a_training_sum_that_is_a_test_sum_is_no_trace(tmp_path: Path) -> None:
    near = "Tom has {} red pens and buys {} more of them in the shop"
    sums = {
        "train": [
            "How many legs have two cats?",
            near.format(2, 3),
            "What is nine plus one?",
            "a b",
        ],
        "test": ["how many legs have two cats ?", f"{near.format(2, 3)} today"],
    }
    for split, questions in sums.items():
        rows = [{"question": text, "answer": "Add.\n#### 8"} for text in questions]
        lines = [json.dumps(row) for row in rows] + ['{"question": "x", "answer": "no number"}']
        (tmp_path / f"{split}.jsonl").write_text("\n".join(lines))
    assert [row.id for row in given_traces(tmp_path, "gsm8k")] == ["gsm8k-train-3", "gsm8k-train-4"]
