"""Zero, a half or one for benign answers, from an instruct model's own words."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from recap.errors import DataError
from recap.judges.guardian import GuardianJudge
from recap.judges.instruct import InstructRubric, open_rubric
from recap.judges.registry import open_judge
from recap.judges.rubric import ItemRubric, Rubric, RubricJudge
from recap.models.weights import save_model
from recap.params.whole import read_params
from recap.render import Renderer
from recap.scoring.instruct import MAX_NEW
from recap.scoring.questions import RUBRIC, ask
from recap.types.attacks import Completion
from recap.types.row import Domain, Label
from tests.completions import make_completion
from tests.parameters import ROOT
from tests.tiny import tiny_llama, tiny_sizes

CONTEXT = 1024
WORLD = read_params(ROOT / "params.yaml").world


def letters() -> PreTrainedTokenizerFast:
    """One token a byte, as some instruct models: '0.5' has three, and there is no pad token."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    model = Tokenizer(models.BPE({letter: n for n, letter in enumerate(alphabet)}, []))
    model.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    model.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=model, bos_token="<|begin|>", eos_token="<|eot|>"
    )
    tokenizer.chat_template = (
        "{{ bos_token }}{{ messages[0].content }}{{ eos_token }}"
        "{% if add_generation_prompt %}A:{% endif %}"
    )
    return tokenizer


TOKENIZER = letters()


class Saying(LlamaForCausalLM):
    """Says what the table has for the response that it is asked about, whatever is padded."""

    def __init__(self, table: dict[str, str]) -> None:
        super().__init__(LlamaConfig(**tiny_sizes(TOKENIZER, max_position_embeddings=CONTEXT)))
        self.table = table
        self.batches: list[int] = []

    def generate(self, input_ids=None, attention_mask=None, **options):  # type: ignore[no-untyped-def]
        assert (options["do_sample"], options["max_new_tokens"]) == (False, MAX_NEW)
        self.batches.append(len(input_ids))
        said = []
        for ids, mask in zip(input_ids, attention_mask, strict=True):
            text = TOKENIZER.decode(ids[mask.bool()])
            assert text.startswith("<|begin|>You judge the response") and text.endswith("A:")
            (answer,) = (a for response, a in self.table.items() if f'"{response}"}}' in text)
            new = [*TOKENIZER.encode(answer, add_special_tokens=False), TOKENIZER.eos_token_id]
            said.append((new + [TOKENIZER.eos_token_id] * MAX_NEW)[:MAX_NEW])
        return torch.cat([input_ids, torch.tensor(said)], dim=1)


def rubric(**table: str) -> InstructRubric:
    return InstructRubric(Saying(table), Renderer(TOKENIZER), "r", batch_size=2)


def test_the_number_is_read_and_nothing_else_is_one() -> None:
    asked = rubric(no="0", half="0.5", yes="1", chat="I think 1", score="1/1")
    pairs = [("p", response) for response in ("half", "score", "yes", "chat", "no")]
    assert asked.labels(pairs) == [
        ("unclear", "0.5"),
        (None, "no answer of the rubric: '1/1'"),
        ("helpful", "1"),
        (None, "no answer of the rubric: 'I thin'"),
        ("refused", "0"),
    ]
    assert asked._instruct._model.batches == [2, 2, 1]  # type: ignore[attr-defined]
    assert asked.labels([]) == []


def test_a_question_beyond_the_context_has_no_answer() -> None:
    long = "x" * CONTEXT
    assert rubric(no="0").labels([("p", long), ("p", "no")]) == [
        (None, "question beyond the context"),
        ("refused", "0"),
    ]


def test_greedy_generation_is_the_models_own(tmp_path: Path) -> None:
    """Padding on the left, batches and a template's tokens change nothing; from a directory."""
    model = tiny_llama(TOKENIZER, seed=1, max_position_embeddings=CONTEXT).eval()
    save_model(model, TOKENIZER, tmp_path / "m")
    opened = open_rubric(tmp_path / "m")
    pairs = [("may i ?", "sure ."), ("may i ?", "sorry . " * 9), ("b", "")]
    questions = [opened._instruct._renderer.message(ask(RUBRIC, *pair)) for pair in pairs]
    said = []
    for ids in questions:
        text = list(ids)
        for _ in range(MAX_NEW):
            with torch.inference_mode():
                text.append(int(model(input_ids=torch.tensor([text])).logits[0, -1].argmax()))
            if text[-1] == TOKENIZER.eos_token_id:
                break
        said.append(TOKENIZER.decode(text[len(ids) :], skip_special_tokens=True))
    assert opened._instruct.answers(RUBRIC, pairs) == said
    assert len(opened.revision) == 16


class Fixed(Rubric):
    revision, prompt_sha = "fixed", "f" * 64

    def labels(self, pairs):  # type: ignore[no-untyped-def]
        self.asked = list(pairs)
        table: dict[str, Label] = {"no": "refused", "yes": "helpful"}
        return [(table[response], response) for _, response in pairs]


def _completion(response: str, domain: Domain = "benign", sample: int = 0) -> Completion:
    return make_completion(response, sample=sample, domain=domain, prompt="q")


def test_equal_answers_are_asked_about_once() -> None:
    said = Fixed()
    rows = [_completion(text, sample=n) for n, text in enumerate(["no", "yes", "no", "no"])]
    verdicts = RubricJudge(said).judge(rows)
    assert [row.label for row in verdicts] == ["refused", "helpful", "refused", "refused"]
    assert said.asked == [("q", "no"), ("q", "yes")]
    assert (verdicts[0].judge, verdicts[0].judge_revision) == ("rubric", "fixed")


def test_other_domains_are_refused() -> None:
    with pytest.raises(DataError, match=r"benign prompts for the judge 'rubric', got harmful ones"):
        RubricJudge(Fixed()).judge([_completion("no"), _completion("no", "harmful")])


def test_a_guardian_with_a_rubric_of_its_own_leaves_benign_answers_to_it() -> None:
    class Yes:
        def p_yes(self, pairs, risk_name="harm"):  # type: ignore[no-untyped-def]
            return [0.9] * len(pairs)

        def rubric(self, pairs):  # type: ignore[no-untyped-def]
            raise AssertionError("asked the guardian")

    judge = GuardianJudge(Yes(), "r", "sha", Fixed())  # type: ignore[arg-type]
    verdicts = judge.judge([_completion("no"), _completion("no", "harmful")])
    assert [(row.label, row.score) for row in verdicts] == [("refused", None), ("unsafe", 0.9)]


def test_a_prompts_own_rubric_is_asked_item_by_item() -> None:
    """Of the instruct model, and not where there is none or the answer never came."""

    class Items(Fixed, ItemRubric):
        items_sha = "i" * 64

        def items(self, asked):  # type: ignore[no-untyped-def]
            self.questions = list(asked)
            table: dict[str, Label | None] = {"harms?": "unsafe", "warns?": "safe", "odd?": None}
            return [(table[item], f"said of {item}") for _, _, item in asked]

    class Yes:
        def p_yes(self, pairs, risk_name="harm"):  # type: ignore[no-untyped-def]
            self.asked = list(pairs)
            return [0.9] * len(pairs)

    def row(response: str, *items: str, sample: int) -> Completion:
        harmful = _completion(response, "harmful", sample)
        return harmful.model_copy(update={"rubric": items})

    rows = [
        row("a", "harms?", "warns?", sample=0),
        row("b", sample=1),
        row("c", "warns?", sample=2),
        row("c", "warns?", "odd?", sample=3),
        row("a", "harms?", sample=4),
    ]
    model, guardian = Items(), Yes()
    verdicts = GuardianJudge(guardian, "r", "sha", model).judge(rows)  # type: ignore[arg-type]
    assert [(row.label, row.met, row.score) for row in verdicts] == [
        ("unsafe", 0.5, None),
        ("unsafe", None, 0.9),
        ("safe", 0.0, None),
        (None, None, None),
        ("unsafe", 1.0, None),
    ]
    assert verdicts[3].raw == "item 2 of 2: said of odd?"
    assert guardian.asked == [("q", "b")]
    assert len(model.questions) == len(set(model.questions)) == 4
    blind = GuardianJudge(Yes(), "r", "sha", Fixed())  # type: ignore[arg-type]
    assert [row.score for row in blind.judge(rows)] == [0.9] * 5


def test_an_item_is_answered_by_yes_or_no() -> None:
    asked = rubric(**{"is it harmful?": "yes", "does it warn?": "No.", "what?": "0.5"})
    questions = [("p", "r", item) for item in ("does it warn?", "what?", "is it harmful?")]
    assert asked.items(questions) == [
        ("safe", "No."),
        (None, "no answer of the rubric: '0.5'"),
        ("unsafe", "yes"),
    ]
    assert asked.items([("p", "x" * CONTEXT, "what?")]) == [(None, "question beyond the context")]


def test_the_settings_name_the_model(tmp_path: Path) -> None:
    model = tiny_llama(TOKENIZER, seed=1, max_position_embeddings=CONTEXT)
    save_model(model, TOKENIZER, tmp_path / "m")
    whole = read_params(Path(__file__).parents[2] / "params.yaml").judge
    settings = whole.model_copy(update={"rubric": tmp_path / "m"})
    judge = open_judge("rubric", world=WORLD, seed=0, guardian=tmp_path / "none", settings=settings)
    (verdict,) = judge.judge([_completion("sure .")])
    assert verdict.judge == "rubric" and len(verdict.judge_revision) == 16
    assert verdict.label is None and verdict.raw.startswith("no answer of the rubric: ")
