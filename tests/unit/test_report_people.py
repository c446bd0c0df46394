"""The judge that decides, against people's labels: of its present revision and prompt alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from recap.cli.judge.record import keep
from recap.judges.refusal import RefusalJudge
from recap.report.people import PeopleRow, people
from recap.rows import read_rows
from recap.types.judged import HumanAgreement
from recap.types.verdicts import Verdict

ROOT = Path(__file__).parents[2]


def found(**changes: Any) -> HumanAgreement:
    values = {
        "judge": "refusal",
        "judge_revision": "r1",
        "judge_prompt_sha": "p1",
        "file": "xstest/gpt4.csv",
        "file_sha256": "f1",
        "column": "final_label",
        "n": 450,
        "n_unscored": 2,
        "accuracy": 0.98666,
        "kappa": 0.9733,
        "kappa_low": 0.951,
        "kappa_high": 0.991,
        **changes,
    }
    return HumanAgreement.model_validate(values)


def verdict(judge: str = "refusal") -> Verdict:
    return Verdict(
        prompt_id="p",
        benchmark="benign",
        place=1,
        sample=0,
        label="helpful",
        judge=judge,
        judge_revision="r1",
        judge_prompt_sha="p1",
        raw="",
    )


def test_only_figures_of_this_revision_are_shown() -> None:
    kept = [
        found(),
        found(judge_revision="r0"),
        found(judge_prompt_sha="p0"),
        found(judge="api"),
        found(file="own/few.csv", n=1, accuracy=None, kappa=None, kappa_low=None, kappa_high=None),
    ]
    shown = people(verdict(), kept)
    assert shown is not None
    assert shown.rows == (
        PeopleRow(
            "xstest/gpt4.csv",
            "final_label",
            450,
            2,
            "98.7\N{NO-BREAK SPACE}%",
            "0.97",
            "0.95\N{EN DASH}0.99",
        ),
        PeopleRow("own/few.csv", "final_label", 1, 2, "\N{EN DASH}", "\N{EN DASH}", ""),
    )
    assert (shown.judge, shown.revision, shown.older) == ("refusal", "r1", 2)


def test_a_judge_without_figures_says_so_and_the_oracle_needs_none() -> None:
    shown = people(verdict("guardian"), [found()])
    assert shown is not None and (shown.rows, shown.older) == ((), 0)
    assert people(verdict("oracle"), [found(judge="oracle")]) is None


def test_the_same_labels_again_replace_the_older_figure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "kept/judges.jsonl"
    for each in (found(n=3), found(judge_revision="r0"), found(file_sha256="f0"), found(n=4)):
        keep(path, each)
    kept = read_rows(path, HumanAgreement)
    assert [(each.judge_revision, each.file_sha256, each.n) for each in kept] == [
        ("r0", "f1", 450),
        ("r1", "f0", 450),
        ("r1", "f1", 4),
    ]


def test_the_kept_figures_are_of_the_present_rules() -> None:
    """After a change of the rules, measure again: docs/evaluation.md, Checking a judge.

    tests/integration/test_judges_real_data.py compares the figures.
    """
    kept = read_rows(ROOT / "experiments/records/judges.jsonl", HumanAgreement)
    now = [each for each in kept if each.judge_revision == RefusalJudge.revision]
    assert {each.file for each in now} == {
        "xstest/completions_gpt4.csv",
        "xstest/completions_llama2orig.csv",
    }
