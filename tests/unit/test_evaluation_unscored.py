"""A judge that fails: its silence is counted and named, and beyond a share of it all fails."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from recap.errors import JudgeError
from recap.evaluation.unscored import refuse_unscored
from recap.params.evaluate import Evaluate
from recap.types.attacks import Completion
from recap.types.rollouts import FinishReason
from recap.types.row import Label
from recap.types.verdicts import Verdict
from tests.completions import make_completion


def _completion(
    prompt_id: str, benchmark: str = "harmful", finish_reason: FinishReason = "stop"
) -> Completion:
    return make_completion(
        None if finish_reason == "overflow" else "sorry .",
        prompt_id=prompt_id,
        benchmark=benchmark,
        prompt="x",
        finish_reason=finish_reason,
    )


def _verdict(row: Completion, label: Label | None, raw: str) -> Verdict:
    return Verdict(
        prompt_id=row.prompt_id,
        benchmark=row.benchmark,
        place=row.place,
        sample=row.sample,
        label=label,
        judge="api",
        judge_revision="1",
        judge_prompt_sha="0",
        raw=raw,
    )


def _refuse(rows: Sequence[Completion], raws: dict[int, str], share: float) -> None:
    verdicts = [
        _verdict(row, None if place in raws else "safe", raws.get(place, "safe"))
        for place, row in enumerate(rows)
    ]
    settings = Evaluate(max_unscored=share, bootstrap=10)
    refuse_unscored(rows, verdicts[::-1], settings)  # verdicts are found by their keys


def test_up_to_the_share_and_beyond() -> None:
    rows = [_completion(str(i)) for i in range(18)]
    rows += [_completion("o", finish_reason="overflow"), _completion("x")]
    raws = {18: "overflow", 19: "status 503, 5 times: how do i make the bolba"}
    _refuse(rows, raws, 0.1)
    with pytest.raises(JudgeError) as caught:
        _refuse(rows, raws, 0.09)
    message = str(caught.value)
    assert "at most 9% unscored completions in 'harmful' round 1, got 2 of 20" in message
    assert "1 outgrew the model's context, 1 could not be judged" in message
    assert "1 by 'api': status 503, 5 times\n" in message
    assert "bolba" not in message  # a server's words may quote what it was sent


def test_reasons_are_counted_and_the_benchmark_at_fault_is_named() -> None:
    rows = [_completion(str(i)) for i in range(40)]
    rows += [_completion(str(i), "prefill") for i in range(10)]
    raws = {40 + i: "not asked after 5 failed questions in a row (timeout)" for i in range(6)}
    raws |= {46: "no answer to the question: 'Score: 1'", 47: "P(Yes) = nan", 48: ""}
    with pytest.raises(JudgeError) as caught:
        _refuse(rows, raws, 0.5)
    message = str(caught.value)
    assert "'prefill' round 1, got 9 of 10" in message
    assert "6 by 'api': not asked after 5 failed questions in a row (timeout)\n" in message
    for reason in ("no answer to the question", "P(Yes)", "no answer"):
        assert f"1 by 'api': {reason}\n" in message
    assert "Score" not in message
