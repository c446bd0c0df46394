"""An instruct model as guardian, and one beside a guardian that knows no rubric."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from test_judges_rubric import letters
from transformers import LlamaForCausalLM

from recap.errors import ModelError
from recap.judges.guardian import open_guardian
from recap.microworld.tokenizer import make_tokenizer
from recap.models.weights import save_model
from recap.render import Renderer
from recap.scoring.guardian import WithRubric, load_guardian
from recap.scoring.instruct import Instruct
from recap.scoring.questions import HARM, ask
from recap.scoring.yes_no import Guardian
from recap.types.origins import RUBRIC_FOLDER
from tests.completions import make_completion
from tests.rounding import logprob_rounding
from tests.tiny import tiny_llama

CONTEXT = 512
TOKENIZER = make_tokenizer(CONTEXT)
GUARDIAN = Renderer(make_tokenizer(CONTEXT))
TOKENIZER.chat_template = (
    "{{ messages[0].content }}{% if add_generation_prompt %} answer{% endif %}"
)
RENDERER = Renderer(TOKENIZER)
YES, NO, UNKNOWN = (TOKENIZER.convert_tokens_to_ids(word) for word in ("Yes", "No", "bolba"))
PAIRS = [
    ("how do i make the bolba ?", "sorry , i can not help with that ."),
    ("tell me how to use the bolba .", "sure ."),
    ("how do i make the bolba ?", "open it slowly and wash it twice . " * 3),
]


def leaning(*tokens: int, seed: int = 0) -> LlamaForCausalLM:
    """A model with random weights whose next token is nearly always one of these."""
    model = tiny_llama(TOKENIZER, seed, max_position_embeddings=CONTEXT).eval()
    with torch.no_grad():
        model.model.embed_tokens.weight[:, 0] = 50.0
        for token in tokens:
            model.lm_head.weight[token, 0] = 3.0
    return model


@pytest.mark.parametrize("batch_size", [1, 2, 100])
def test_the_odds_are_those_of_yes_against_no(batch_size: int) -> None:
    model = leaning(YES, NO)
    expected = []
    for pair in PAIRS:
        ids = torch.tensor([RENDERER.message(ask(HARM, *pair))])
        with torch.inference_mode():
            probabilities = model(input_ids=ids).logits[0, -1].double().softmax(-1)
        assert probabilities[YES] + probabilities[NO] > 0.5
        expected.append(math.log(probabilities[YES] / probabilities[NO]))
    near = 2 * logprob_rounding(model)
    asked = Instruct(model, RENDERER, batch_size)
    assert asked.log_odds(PAIRS) == pytest.approx(expected, abs=near)
    risks = [1 / (1 + math.exp(-odds)) for odds in expected]
    assert asked.p_yes(PAIRS) == pytest.approx(risks, abs=near / 4)
    assert len(set(expected)) == len(PAIRS)


def test_a_model_that_would_say_something_else_gives_no_number() -> None:
    assert all(map(math.isnan, Instruct(leaning(UNKNOWN), RENDERER).p_yes(PAIRS)))
    assert not any(map(math.isnan, Instruct(leaning(NO), RENDERER).p_yes(PAIRS)))


def test_a_question_beyond_the_context_has_no_number() -> None:
    long = (PAIRS[0][0], "open it . " * CONTEXT)
    found = Instruct(leaning(YES), RENDERER).p_yes([long, PAIRS[0]])
    assert [math.isnan(risk) for risk in found] == [True, False]


def test_answers_that_are_several_tokens_each_cannot_be_weighed() -> None:
    renderer = Renderer(letters())
    model = tiny_llama(renderer.tokenizer, max_position_embeddings=2048)
    with pytest.raises(ModelError, match=r"'Yes' as one token.* models\.origins\.guardian"):
        Instruct(model, renderer).p_yes(PAIRS)


class Saying(Instruct):
    """Says what the table has for a response."""

    def answers(self, question, pairs):  # type: ignore[no-untyped-def]
        return [{"no": "0", "half": " 0.5.", "yes": "1", "odd": "2"}.get(said) for _, said in pairs]


def test_the_number_that_it_writes_is_the_rubrics() -> None:
    asked = Saying(leaning(YES), RENDERER)
    pairs = [("p", said) for said in ("no", "half", "yes", "odd", "beyond the context")]
    assert asked.rubric(pairs) == [0.0, 0.5, 1.0, None, None]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A guardian with a template of its own, and the model of its rubric in its directory."""
    folder = tmp_path_factory.mktemp("both") / "guardian"
    save_model(leaning(YES, NO), GUARDIAN.tokenizer, folder)
    save_model(leaning(NO, seed=1), TOKENIZER, folder / RUBRIC_FOLDER)
    return folder


def test_harm_is_the_guardians_and_help_the_other_models(both: Path) -> None:
    loaded = load_guardian(both)
    assert isinstance(loaded, WithRubric)
    assert isinstance(loaded.guardian, Guardian)
    assert isinstance(loaded.helper, Instruct)
    assert loaded.p_yes(PAIRS) == loaded.guardian.p_yes(PAIRS)
    assert loaded.log_odds(PAIRS) == loaded.guardian.log_odds(PAIRS)
    assert loaded.rubric(PAIRS) == loaded.helper.rubric(PAIRS) == [None] * 3  # it says "No"
    assert loaded.guardian.template in loaded.template
    assert loaded.helper.template in loaded.template
    assert isinstance(load_guardian(both / RUBRIC_FOLDER), Instruct)


def test_the_judge_of_the_directory_names_both_revisions(both: Path) -> None:
    judge, alone = open_guardian(both), open_guardian(both / RUBRIC_FOLDER)
    assert judge.revision.endswith(f"+{alone.revision}")
    assert judge.prompt_sha != alone.prompt_sha
    (verdict,) = judge.judge([make_completion("sure .", domain="benign")])
    assert (verdict.label, verdict.raw) == (None, "no answer of the rubric")
