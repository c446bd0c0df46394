"""Which tokens end a model's turn: all EOS ids that its files name, in each engine."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from recap.errors import ModelError
from recap.microworld.tokenizer import make_tokenizer
from recap.params.models import THINK
from recap.sampling.vllm_sampler import VllmSampler
from recap.turn import eos_ids, turn_of
from recap.types.prompts import RenderedPrompt
from recap.types.rollouts import Decoding
from tests.golden.byte_tokenizer import byte_tokenizer


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"generation_config.json": [5, 6, 7], "config.json": 5}, (5, 6, 7)),
        ({"generation_config.json": 5}, (5,)),
        ({"generation_config.json": None, "config.json": [8, 9]}, (8, 9)),
        ({"config.json": 0}, (0,)),
        ({}, ()),
    ],
)
def test_eos_ids_of_a_folder(
    files: dict[str, Any], expected: tuple[int, ...], tmp_path: Path
) -> None:
    for name, ids in files.items():
        (tmp_path / name).write_text(json.dumps({"eos_token_id": ids}))
    assert eos_ids(tmp_path) == expected


def test_the_tokenizers_eos_is_one_of_them() -> None:
    tokenizer = make_tokenizer(64)
    eos = tokenizer.eos_token_id
    assert turn_of(tokenizer, THINK, [eos + 5, eos]).stop_ids == (eos, eos + 5)


def test_what_the_template_writes_after_an_answer_is_one_of_them() -> None:
    """As with SmolLM2 converted from GGUF, whose tokenizer calls its start of turn the EOS."""
    turns = "{% for m in messages %}<s>{{ m.content }}</s>\n{% endfor %}"
    turn = turn_of(byte_tokenizer(["<s>", "</s>"], turns, eos_token="<s>"), THINK, [])
    assert (turn.end_id, turn.stop_ids) == (257, (256, 257))
    silent = byte_tokenizer(["<s>", "</s>"], "<s>{{ messages[0].content }}", eos_token="</s>")
    assert turn_of(silent, THINK, []).stop_ids == (257,)


def test_a_model_that_never_ends_a_turn_is_refused() -> None:
    tokenizer = make_tokenizer(64)
    tokenizer.eos_token = None
    with pytest.raises(ModelError, match="Expected a model that says what ends its turn, got none"):
        turn_of(tokenizer, THINK, [])
    assert turn_of(tokenizer, THINK, [9]).end_id == 9


def test_vllm_stops_at_each_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = make_tokenizer(64)
    tokenizer.save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"max_position_embeddings": 64}))
    (tmp_path / "generation_config.json").write_text(json.dumps({"eos_token_id": [40, 41]}))
    asked: list[SimpleNamespace] = []

    class Engine:
        llm_engine = SimpleNamespace(model_config=SimpleNamespace(max_model_len=64))

        def generate(self, prompts: list[Any], params: list[Any], **_: object) -> list[Any]:
            asked.extend(params)
            said = SimpleNamespace(index=0, token_ids=[], logprobs=[], finish_reason="stop")
            return [SimpleNamespace(outputs=[said]) for _ in prompts]

    fake = SimpleNamespace(SamplingParams=SimpleNamespace, TokensPrompt=dict)
    monkeypatch.setitem(sys.modules, "vllm", fake)
    monkeypatch.setattr(VllmSampler, "_open", lambda self: Engine())
    VllmSampler(tmp_path).sample(
        [RenderedPrompt((5, 6), 0)], Decoding(1.0, 1.0, 4), num_samples=1, seed=0
    )
    assert [each.stop_token_ids for each in asked] == [[tokenizer.eos_token_id, 40, 41]]
