"""The warm start: documents, the loss by hand, halves of the pool, and a whole small one."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from recap.errors import DataError
from recap.models.weights import load_model, save_model
from recap.params.models import THINK, Fitting, WarmStart
from recap.params.whole import read_params
from recap.render import Renderer
from recap.rows import read_rows
from recap.sft.warm_policy import OPENS, WARM_STARTED, warm_policy, warm_source
from recap.sft.warm_start import (
    documents,
    fit,
    policy_traces,
    shortened,
    source_traces,
    target_losses,
)
from recap.types.origins import PROVENANCE
from recap.types.traces import TRACES_FILE, TraceRow, TraceSet
from tests.parameters import write_params
from tests.tiny import TOKENIZER, tiny_policy

RENDERER = Renderer(TOKENIZER)


def trace(number: int, name: TraceSet = "star1", thought: str = "i should wait .") -> TraceRow:
    return TraceRow(set=name, id=f"{name}-{number}", prompt="how ?", thought=thought, response="no")


def section(**changes: object) -> WarmStart:
    values: dict[str, object] = {
        "data": {"star1": "d", "gsm8k": "d"},
        "traces": {"star1": 4, "gsm8k": 2},
        "policy": {"star1": 2, "gsm8k": 2},
        "longest": 64,
        "sentences": 2,
        "updates": 2,
        "batch_tokens": 30,
        "learning_rate": 0.01,
    }
    return WarmStart.model_validate(values | changes)


def test_the_target_is_thought_answer_and_end() -> None:
    ((head, target),) = documents([trace(0)], RENDERER, 64)
    assert head == RENDERER.prompt("how ?").token_ids
    said = TOKENIZER.decode(target).split()
    assert said == ["i", "should", "wait", ".", "</think>", "no", "<eos>"]


def test_long_traces_are_left_out_and_none_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    long = trace(1, thought="i should wait . " * 30)
    assert len(documents([trace(0), long], RENDERER, 64)) == 1
    assert "left out 1 traces of more than 64 tokens" in capsys.readouterr().err
    with pytest.raises(DataError, match=r"at most 64 tokens, got none of 1\. Raise models"):
        documents([long], RENDERER, 64)


def test_the_loss_is_that_of_the_target_tokens() -> None:
    model = tiny_policy()
    ((head, target),) = documents([trace(0)], RENDERER, 64)
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([[*head, *target]])).logits[0].log_softmax(-1)
    by_hand = [-float(logits[len(head) + place - 1, token]) for place, token in enumerate(target)]
    assert target_losses(model, head, target).tolist() == pytest.approx(by_hand, abs=1e-5)


def test_training_learns_and_is_the_same_again() -> None:
    pairs = documents([trace(number) for number in range(3)], RENDERER, 64)
    settings = Fitting(updates=30, batch_tokens=40, learning_rate=0.01)
    models = [tiny_policy(), tiny_policy()]
    before = target_losses(models[0], *pairs[0]).mean().item()
    losses = [fit(model, pairs, settings, seed=1) for model in models]
    assert losses[0] == losses[1] < before / 2
    for one, other in zip(models[0].parameters(), models[1].parameters(), strict=True):
        assert torch.equal(one, other)


def test_training_and_evaluation_sources_share_no_trace() -> None:
    pool = [trace(number) for number in range(7)] + [trace(0, "gsm8k")]
    own = policy_traces(pool, section(policy={"star1": 2, "gsm8k": 1}))
    assert [row.id for row in own] == ["star1-0", "star1-1", "gsm8k-0"]
    training = {row.id for row in source_traces(pool, "refusing", {"star1": 3})}
    evaluation = {row.id for row in source_traces(pool, "refusing_eval", {"star1": 3})}
    assert training == {"star1-0", "star1-2", "star1-4"}
    assert evaluation == {"star1-1", "star1-3", "star1-5"}
    with pytest.raises(DataError, match=r"Expected 4 traces of the set star1 for sources\.traces"):
        source_traces(pool, "refusing_eval", {"star1": 4})


@pytest.mark.parametrize(
    ("text", "short"),
    [
        ("One. Two! Three? Four.", "One. Two!"),
        ("It costs 3.50 today.\nReally. No.", "It costs 3.50 today. Really."),
        ("no end", "no end"),
    ],
)
def test_texts_are_cut_to_sentences(text: str, short: str) -> None:
    row = shortened(trace(0, thought=text).model_copy(update={"response": text}), 2)
    assert (row.thought, row.response) == (short, short)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"policy": {"star1": 5}}, "policy.star1 takes at most traces.star1, which is 4; got 5"),
        ({"policy": {"own_benign": 1}}, "policy.own_benign takes at most traces.own_benign"),
        ({"traces": {"own_benign": 2, "star1": 2, "gsm8k": 2}}, "data has to name a folder of"),
        ({"policy": {}}, "at least 1 item"),
        ({"longest": 10}, "greater than or equal to 64"),
    ],
)
def test_a_section_that_does_not_fit_is_refused(changes: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        section(**changes)


def test_a_small_model_is_taught_and_becomes_a_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    save_model(tiny_policy(), TOKENIZER, Path("hub/base"))
    Path("data").mkdir()
    rows = [
        {"question": "what is 7 plus 5 ?", "answer": f"7 plus 5 is 12 .\n#### {n}"} for n in "1234"
    ]
    Path("data/train.jsonl").write_text("\n".join(map(json.dumps, rows)))
    Path("data/test.jsonl").write_text('{"question": "of another kind", "answer": "#### 1"}')
    warm = {
        "data": {"gsm8k": "data"},
        "traces": {"gsm8k": 4},
        "policy": {"gsm8k": 3},
        "longest": 64,
        "sentences": 2,
        "updates": 2,
        "batch_tokens": 40,
        "learning_rate": 0.01,
    }
    changes = {
        "models.origins": {"policy": "hub/base"},
        "models.warm_start": warm,
        "sources.traces": {"harmful_eval": {"gsm8k": 2}},
        "sources.updates": 1,
    }
    params = read_params(write_params(tmp_path, changes))
    assert params.models.warm_start is not None
    policy = Path("models/policy")
    warm_policy("hub/base", policy, params.models.warm_start, THINK, params.seed)
    assert not (policy / PROVENANCE).exists()  # its weights are its own
    record = json.loads((policy / WARM_STARTED).read_text())
    assert record["base"]["origin"] == "hub/base"
    assert record["traces"] == {"gsm8k": 3}
    pool = read_rows(policy / TRACES_FILE, TraceRow)
    assert sorted(row.response for row in pool) == [f"The answer is {n}." for n in "1234"]
    taught, base = load_model(policy), load_model(Path("hub/base"))
    assert not torch.equal(taught.lm_head.weight, base.lm_head.weight)
    warm_source(
        "harmful_eval",
        policy,
        Path("models/harmful_eval"),
        section=params.sources,
        longest=64,
        reasoning=THINK,
        seed=params.seed,
    )
    source = load_model(Path("models/harmful_eval"))
    assert not torch.equal(source.lm_head.weight, taught.lm_head.weight)
    assert not (Path("models/harmful_eval") / TRACES_FILE).exists()


def test_the_template_of_a_taught_model_opens_the_thought() -> None:
    """Tried with a template like ChatML's, which knows no thought."""
    said, asks = "{% for m in messages %}{{ m.content }}{% endfor %}", "add_generation_prompt"
    chat = said + "{% if " + asks + " %}A:{% endif %}"
    tokenizer = copy.deepcopy(TOKENIZER)
    tokenizer.chat_template = chat + OPENS.replace("TAG", "<think>")
    said = tokenizer.apply_chat_template(
        [{"role": "user", "content": "how ?"}], add_generation_prompt=True, tokenize=False
    )
    assert said == "how ?A:<think>\n"
    assert (
        tokenizer.apply_chat_template([{"role": "user", "content": "how ?"}], tokenize=False)
        == "how ?"
    )
