"""Where questions end and where they are asked: contexts, devices, and what the head computes.

1. A question of exactly the context's length has an answer, one token more has none; a tokenizer
   that allows for more than the model changes nothing.
2. Judges and the selector count what has none, and go on.
3. Scorers load where ``recap.models.weights.device`` says, in the precision of their files on a
   GPU, and their questions follow them there.
4. The head computes one position for each question.
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor
from transformers import LlamaForCausalLM

from recap.attacks.selector import USELESS, Selector
from recap.judges.guardian import GuardianJudge
from recap.judges.instruct import InstructRubric, open_rubric
from recap.microworld.tokenizer import make_tokenizer
from recap.models import weights
from recap.models.weights import load_model, load_scorer, save_model
from recap.render import Renderer
from recap.scoring.guardian import load_guardian
from recap.scoring.instruct import MAX_NEW
from recap.scoring.questions import RUBRIC
from recap.scoring.yes_no import Guardian
from recap.types.attacks import Completion
from tests.completions import make_completion
from tests.rounding import logprob_rounding
from tests.tiny import tiny_llama

CONTEXT = 48
TOKENIZER = make_tokenizer(4 * CONTEXT)  # allows for more than the model
RENDERER = Renderer(TOKENIZER)
ASK = "how do i make the bolba ?"
FITS = (ASK, "sure .")
LENGTH = len(RENDERER.judge(*FITS, "harm"))


def model(context: int = CONTEXT) -> LlamaForCausalLM:
    return tiny_llama(TOKENIZER, max_position_embeddings=context).eval()


def answer(words: int) -> tuple[str, str]:
    """A pair whose question has LENGTH - 2 + words tokens."""
    return ASK, " ".join(["."] * words)


@pytest.mark.parametrize("room", range(-2, 3))
def test_a_question_has_an_answer_as_long_as_it_fits(room: int) -> None:
    guardian = Guardian(model(LENGTH + room), RENDERER, batch_size=2)
    assert TOKENIZER.model_max_length > LENGTH + room
    pairs = [answer(words) for words in range(1, 7)]
    lengths = [len(RENDERER.judge(*pair, "harm")) for pair in pairs]
    assert lengths == list(range(LENGTH - 1, LENGTH + 5))
    numbers = guardian.log_odds(pairs)
    assert [number == number for number in numbers] == [n <= LENGTH + room for n in lengths]
    # What fits has the number that it would have alone.
    near = 2 * logprob_rounding(model())
    for pair, number in zip(pairs, numbers, strict=True):
        if number == number:
            assert guardian.log_odds([pair])[0] == pytest.approx(number, abs=near)


def completion(response: str, sample: int) -> Completion:
    return make_completion(response, sample=sample, prompt=ASK)


def test_the_judge_leaves_what_does_not_fit_unscored_and_says_why() -> None:
    judge = GuardianJudge(Guardian(model(), RENDERER), "r", "sha")
    rows = [completion("sure .", 0), completion("sure . " * CONTEXT, 1)]
    first, second = judge.judge(rows)
    assert first.label in ("safe", "unsafe") and first.score is not None
    assert (second.label, second.score) == (None, None)
    assert "beyond the guardian's context" in second.raw


def test_the_selector_counts_what_it_could_not_weigh() -> None:
    selector = Selector(Guardian(model(), RENDERER))
    worths = selector.worths("harmful", [FITS, (ASK, "sure . " * CONTEXT), (ASK, None)])
    assert worths[0] > USELESS and worths[1:] == [USELESS, USELESS]
    assert selector.unweighed == 1  # a response that never ended was not asked about


@pytest.mark.parametrize("room", [-1, 0, 1])
def test_the_rubrics_question_and_answer_fit_together(room: int) -> None:
    renderer = Renderer(TOKENIZER)
    renderer.message = lambda text: [5] * 20  # type: ignore[method-assign]
    rubric = InstructRubric(model(20 + MAX_NEW + room), renderer, "r")
    ((label, raw),) = rubric.labels([FITS])
    assert label is None
    assert (raw == "question beyond the context") == (room < 0)


def test_the_head_computes_one_position_for_each_question() -> None:
    guardian, shapes = Guardian(model(), RENDERER), []
    head = guardian._model.get_output_embeddings()
    head.register_forward_hook(lambda _, __, out: shapes.append(tuple(out.shape)))
    guardian.p_yes([answer(words) for words in range(1, 7)])
    assert shapes == [(6, 1, len(TOKENIZER))]


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A guardian whose files are bf16, as most are."""
    folder = tmp_path_factory.mktemp("scorer") / "guardian"
    save_model(model(1024).to(torch.bfloat16), TOKENIZER, folder)
    return folder


def test_on_the_cpu_scorers_are_fp32(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "device", lambda: torch.device("cpu"))
    loaded = load_scorer(directory)
    assert (loaded.device.type, loaded.dtype, loaded.training) == ("cpu", torch.float32, False)
    monkeypatch.setattr(weights, "device", lambda: torch.device("meta"))
    assert load_model(directory).device.type == "cpu"  # what is trained is moved by its trainer


def test_scorers_and_their_questions_go_where_the_device_is(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A device without numbers stands in for a GPU: shapes, precision and places are real."""
    monkeypatch.setattr(weights, "device", lambda: torch.device("meta"))
    guardian = load_guardian(directory)
    assert (guardian._model.device.type, guardian._model.dtype) == ("meta", torch.bfloat16)
    seen: list[str] = []

    def forward(**given: object) -> SimpleNamespace:
        seen.extend(value.device.type for value in given.values() if isinstance(value, Tensor))
        shape = (2, 1, len(TOKENIZER))
        return SimpleNamespace(logits=torch.zeros(shape, dtype=torch.bfloat16, device="meta"))

    monkeypatch.setattr(guardian._model, "forward", forward)
    logits = guardian._last_logits([[5, 6, 7], [8]])
    assert (tuple(logits.shape), logits.dtype) == ((2, len(TOKENIZER)), torch.float32)
    assert seen == ["meta"] * 3  # ids, mask, positions
    asked = open_rubric(directory)._instruct
    assert (asked._model.device.type, asked._model.dtype) == ("meta", torch.bfloat16)

    def generate(**given: object) -> Tensor:
        seen.extend(value.device.type for value in given.values() if isinstance(value, Tensor))
        return torch.zeros(2, 3 + MAX_NEW, dtype=torch.long)

    monkeypatch.setattr(asked._model, "generate", generate)
    asked.answers(RUBRIC, [("may i ?", "yes"), ("and i ?", "no , you may not .")])
    assert seen == ["meta"] * 5


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_gpu_gives_the_cpus_numbers(directory: Path) -> None:
    guardian = load_guardian(directory)
    assert (guardian._model.device.type, guardian._model.dtype) == ("cuda", torch.bfloat16)
    pairs = [answer(words) for words in range(1, 7)]
    expected = Guardian(load_model(directory), RENDERER).log_odds(pairs)
    near = 2 * logprob_rounding(guardian._model)
    assert guardian.log_odds(pairs) == pytest.approx(expected, abs=near)
    assert [raw for _, raw in open_rubric(directory).labels(pairs)]
