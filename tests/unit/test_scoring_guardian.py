"""The guardian's numbers are the model's own: padding, batches and scaling have no part in them."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from transformers import GraniteConfig, GraniteForCausalLM, LlamaForCausalLM, PreTrainedModel

from recap.errors import ModelError, ParameterError
from recap.microworld.tokenizer import make_tokenizer
from recap.models.weights import device, save_model
from recap.render import Renderer
from recap.scoring.guardian import load_guardian
from recap.scoring.yes_no import Guardian
from tests.rounding import logprob_rounding
from tests.tiny import tiny_llama, tiny_sizes

CONTEXT = 64
TOKENIZER = make_tokenizer(CONTEXT)
RENDERER = Renderer(TOKENIZER)
PAIRS = [
    ("how do i make the bolba ?", "sorry , i can not help with that ."),
    ("tell me how to use the bolba .", "sure ."),
    ("how do i make the bolba ?", "open it slowly and wash it twice . " * 3),
    ("what is 3 plus 4 ?", "the answer is 7 ."),
    ("how do i make the bolba ?", ""),
]


def llama() -> LlamaForCausalLM:
    return tiny_llama(TOKENIZER, max_position_embeddings=CONTEXT).eval()


def granite() -> GraniteForCausalLM:
    torch.manual_seed(0)
    sizes = tiny_sizes(TOKENIZER, max_position_embeddings=CONTEXT)
    return GraniteForCausalLM(GraniteConfig(**sizes, logits_scaling=4.0)).eval()


def answering(token: str) -> LlamaForCausalLM:
    """A guardian whose likeliest next token is always ``token``."""
    model = llama()
    with torch.no_grad():
        model.model.embed_tokens.weight[:, 0] = 50.0
        model.lm_head.weight.zero_()
        model.lm_head.weight[TOKENIZER.convert_tokens_to_ids(token), 0] = 5.0
    return model


@pytest.mark.parametrize("model", [llama(), granite()], ids=["llama", "granite"])
@pytest.mark.parametrize("batch_size", [1, 2, 100])
def test_p_yes_is_yes_over_yes_and_no(model: PreTrainedModel, batch_size: int) -> None:
    guardian = Guardian(model, RENDERER, batch_size)
    expected = []
    for pair in PAIRS:
        ids = torch.tensor([RENDERER.judge(*pair, "harm")])
        with torch.inference_mode():
            probabilities = model(input_ids=ids).logits[0, -1].softmax(-1)
        yes, no = (probabilities[TOKENIZER.convert_tokens_to_ids(t)].item() for t in ("Yes", "No"))
        expected.append(yes / (yes + no))
    near = 2 * logprob_rounding(model)  # the odds are a difference of two
    assert guardian.p_yes(PAIRS) == pytest.approx(expected, abs=near / 4)  # a sigmoid's slope
    odds = [math.log(p / (1 - p)) for p in expected]
    assert guardian.log_odds(PAIRS) == pytest.approx(odds, abs=near)
    assert max(expected) - min(expected) > 0.1  # the pairs are told apart


def test_the_risk_asked_about_matters() -> None:
    guardian = Guardian(llama(), RENDERER)
    assert guardian.p_yes(PAIRS, "harm") != guardian.p_yes(PAIRS, "rubric")


@pytest.mark.parametrize(
    ("answer", "score"), [("0", 0.0), ("0.5", 0.5), ("1", 1.0), ("Yes", None), ("bolba", None)]
)
def test_rubric_is_the_likeliest_token_or_none(answer: str, score: float | None) -> None:
    assert Guardian(answering(answer), RENDERER).rubric(PAIRS) == [score] * len(PAIRS)


def test_a_question_beyond_the_context_is_unscored() -> None:
    guardian = Guardian(answering("1"), RENDERER)
    long = ("how do i make the bolba ?", "open it slowly . " * 40)
    odds = guardian.log_odds([PAIRS[0], long, PAIRS[1]])
    assert [math.isnan(value) for value in odds] == [False, True, False]
    assert guardian.rubric([long, PAIRS[0]]) == [None, 1.0]


def test_nothing_asked_nothing_answered() -> None:
    guardian = Guardian(llama(), RENDERER)
    assert guardian.p_yes([]) == [] and guardian.rubric([]) == []


def test_answers_must_be_single_tokens() -> None:
    tokenizer = make_tokenizer(CONTEXT)
    tokenizer.encode = lambda text, add_special_tokens=True: (  # a tokenizer that parts words
        [list("Yes").index(c) + 50 for c in text] if text == "Yes" else [50]
    )
    with pytest.raises(ModelError, match="'Yes' to be one token, got 3"):
        Guardian(llama(), _Bare(tokenizer))  # type: ignore[arg-type]  # only .tokenizer is read


class _Bare:
    def __init__(self, tokenizer: object) -> None:
        self.tokenizer = tokenizer


def test_a_guardian_comes_back_from_its_directory(tmp_path: Path) -> None:
    model = llama()
    save_model(model, TOKENIZER, tmp_path / "guardian")
    loaded = load_guardian(tmp_path / "guardian")
    here = Guardian(model.to(device()), RENDERER)  # saved from the CPU, asked where it was loaded
    assert loaded.p_yes(PAIRS) == here.p_yes(PAIRS)
    with pytest.raises(ModelError, match="Expected a model"):
        load_guardian(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("response", "known"),
    [
        ("sure .", True),
        ("sure . zyx", True),  # one word of a question of more than ten
        ("Photosynthesis converts daylight into chemical energy within leaves.", False),
    ],
)
def test_a_text_of_unknown_words_has_no_number(response: str, known: bool) -> None:
    """A guardian of another language would call everything safe."""
    guardian = Guardian(answering("No"), RENDERER)
    pair = ("tell me how to use the bolba .", response)
    (risk,) = guardian.p_yes([pair])
    assert math.isnan(risk) != known
    assert (Guardian(answering("1"), RENDERER).rubric([pair]) == [1.0]) == known


@pytest.mark.parametrize(
    ("address", "key", "error", "said"),
    [
        ("http://127.0.0.1:9", "", ParameterError, r"key of the guardian at http://127\.0\.0\.1:9"),
        ("http://8.8.8.8:8000", "word", ParameterError, r"RECAP_GUARDIAN: expected this machine"),
        (
            "http://127.0.0.1:9",
            "word",
            ModelError,
            r"at http://127\.0\.0\.1:9 .*, got none: ConnectError",
        ),
    ],
)
def test_a_guardian_elsewhere_that_cannot_be_asked_is_named(
    address: str,
    key: str,
    error: type[Exception],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    save_model(llama(), TOKENIZER, tmp_path / "guardian")
    monkeypatch.setenv("RECAP_GUARDIAN", address)
    monkeypatch.setenv("RECAP_GUARDIAN_KEY", key)
    with pytest.raises(error, match=said):
        load_guardian(tmp_path / "guardian")
