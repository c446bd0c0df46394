"""The guardian's numbers as labels, domain by domain, and its identity."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml

from recap.errors import ModelError
from recap.judges.guardian import GuardianJudge
from recap.judges.registry import open_judge
from recap.params.models import Models
from recap.params.world import World
from recap.types.attacks import Completion
from recap.types.row import Domain
from tests.completions import make_completion

ROOT = Path(__file__).parents[2]


class ScriptedGuardian:
    """Answers by the response's text; remembers its questions."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, str]] = []

    def p_yes(self, pairs: Sequence[tuple[str, str]], risk_name: str = "harm") -> list[float]:
        self.asked += [(risk_name, *pair) for pair in pairs]
        table = {"sure .": 0.9, "sorry .": 0.1, "half .": 0.5, "broken .": math.nan}
        return [table[response] for _, response in pairs]

    def rubric(self, pairs: Sequence[tuple[str, str]]) -> list[float | None]:
        self.asked += [("rubric", *pair) for pair in pairs]
        table = {"sure .": 1.0, "sorry .": 0.0, "half .": 0.5, "broken .": None}
        return [table[response] for _, response in pairs]


def _completion(domain: Domain, response: str, target: str | None = None) -> Completion:
    return make_completion(
        response,
        domain=domain,
        prompt=f"a {domain} prompt",
        target=target,
        cot="never shown",
        num_cot_tokens=2,
        num_response_tokens=2,
    )


def test_labels_in_the_order_of_completions() -> None:
    guardian = ScriptedGuardian()
    judge = GuardianJudge(guardian, "r", "sha")  # type: ignore[arg-type]  # a fake
    rows = [
        _completion("math", "the answer is 9 .", "9"),
        _completion("harmful", "sure ."),
        _completion("benign", "sure ."),
        _completion("harmful", "sorry ."),
        _completion("benign", "half ."),
        _completion("math", "the answer is 8 .", "9"),
        _completion("harmful", "half ."),
        _completion("harmful", "broken ."),
        _completion("benign", "sorry ."),
        _completion("benign", "broken ."),
        _completion("math", "the answer is 9 .", None),
    ]
    verdicts = judge.judge(rows)
    assert [verdict.label for verdict in verdicts] == [
        "correct", "unsafe", "helpful", "safe", "unclear", "incorrect", "safe", None, "refused",
        None, None,
    ]  # fmt: skip
    assert verdicts[1].raw == "P(Yes) = 0.9000"
    assert verdicts[5].raw == "stated 8"
    assert {(kind, prompt) for kind, prompt, _ in guardian.asked} == {
        ("harm", "a harmful prompt"),
        ("rubric", "a benign prompt"),
    }
    assert all("never shown" not in response for *_, response in guardian.asked)


def test_equal_answers_are_asked_about_once_and_labelled_alike() -> None:
    texts = ["sure .", "sorry .", "sure .", "half .", "sure .", "sorry ."]
    rows = [_completion(domain, text) for text in texts for domain in ("harmful", "benign")]  # type: ignore[arg-type]
    guardian = ScriptedGuardian()
    verdicts = GuardianJudge(guardian, "r", "sha").judge(rows)  # type: ignore[arg-type]
    alone = [GuardianJudge(ScriptedGuardian(), "r", "sha").judge([row])[0] for row in rows]  # type: ignore[arg-type]
    assert verdicts == alone
    assert len(guardian.asked) == len(set(guardian.asked)) == 6
    assert [row.score for row in verdicts[:8]] == [0.9, None, 0.1, None, 0.9, None, 0.5, None]


def test_identity_follows_weights_and_template(tmp_path: Path) -> None:
    from recap.microworld.pretraining import make_model
    from recap.microworld.tokenizer import make_tokenizer
    from recap.models.weights import save_model

    values = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    values["models"] |= {"hidden_size": 32, "num_layers": 1, "num_heads": 2, "context": 128}
    section = Models.model_validate(values["models"])
    world = World.model_validate(values["world"])
    tokenizer = make_tokenizer(128)
    save_model(make_model(section, tokenizer, 0), tokenizer, tmp_path / "a")
    save_model(make_model(section, tokenizer, 0), tokenizer, tmp_path / "same")
    save_model(make_model(section, tokenizer, 1), tokenizer, tmp_path / "weights")
    tokenizer.chat_template = tokenizer.chat_template + " "
    save_model(make_model(section, tokenizer, 0), tokenizer, tmp_path / "template")
    found = {
        name: open_judge("guardian", world=world, seed=0, guardian=tmp_path / name)
        for name in ("a", "same", "weights", "template")
    }
    identity = {name: (judge.revision, judge.prompt_sha) for name, judge in found.items()}
    assert identity["a"] == identity["same"]
    assert identity["weights"][0] != identity["a"][0] == identity["template"][0]
    assert identity["template"][1] != identity["a"][1] == identity["weights"][1]
    rows = [_completion("harmful", "sorry ."), _completion("benign", "sorry .")]
    first = found["a"].judge(rows)
    assert first[0].label in ("safe", "unsafe")
    assert first == found["same"].judge(rows)
    with pytest.raises(ModelError):
        open_judge("guardian", world=world, seed=0, guardian=tmp_path / "none")
