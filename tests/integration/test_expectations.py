"""Stage validate with the real Great Expectations, on the microworld's rows.

1. Sound tables pass; result and pages are equal bytes between runs.
2. Each violated rule fails the stage and names the rows; result and pages are there to look at.
3. No text reaches the result or the pages, and the pages ask nothing of the network.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from recap.data import suites
from recap.data.expectations import validate as run_suites
from recap.data.tables import Table
from recap.data.validation import Validation
from recap.errors import DataError, ExpectationError, ParameterError
from recap.params.whole import Params, read_params
from recap.rows import read_json, read_rows, write_rows
from recap.stages import prepare, validate
from recap.types.prompts import Prefill, PromptRecord
from recap.types.row import Row
from recap.types.verdicts import Verdict

ROOT = Path(__file__).parents[2]
THOUGHT = "i should say something that nobody may read ."
CELLS = ("base-0", "recap-0")
SUCCESS = {"harmful": "safe", "benign": "helpful", "math": "correct"}
USES = {
    "harmful": ("harmful", "harmful", "train"),
    "refusing": ("benign", "refusing", "train"),
    "harmful_eval": ("harmful", "harmful", "eval"),
}


def read_small_params(folder: Path) -> Params:
    values = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    values["prepare"] |= {
        "sources": {"microworld": None},
        "mixture": {"harmful": 1, "benign": 1, "math": 3},
        "train_prompts": 50,
        "eval_prompts": 12,
    }
    values["validate"] = {"min_verified_prefills": 0.8, "max_unscored": 0.05}
    values["matrix"] |= {"sources": list(USES), "variants": ["base", "recap"], "seeds": [0]}
    (folder / "params.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    return read_params(folder / "params.yaml")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with sound prompts, prefills and verdicts, as the current directory."""
    monkeypatch.chdir(tmp_path)
    read_small_params(tmp_path)
    data = Path("data/prompts")
    outs = ("train.jsonl", "eval.jsonl", "quarantine.jsonl", "sources.jsonl")
    prepare.main(*(data / name for name in outs))
    records = {
        split: read_rows(data / f"{split}.jsonl", PromptRecord) for split in ("train", "eval")
    }
    for source, (domain, intent, split) in USES.items():
        rows = [
            Prefill(
                prompt_id=record.id,
                text=THOUGHT,
                intent=intent,
                source_model=source,  # type: ignore[arg-type]
                num_words=9,
                num_tokens=9,
                response="sure .",
                rejected=None,
            )
            for record in records[split]
            if record.domain == domain
        ]
        write_rows(Path(f"data/prefills/{source}.jsonl"), rows)
    for cell in CELLS:
        verdicts = [
            Verdict(
                prompt_id=record.id,
                benchmark=record.source,
                place=1,
                sample=0,
                label=SUCCESS[record.domain],
                judge="oracle",
                judge_revision="1",  # type: ignore[arg-type]
                judge_prompt_sha="-",
                raw=THOUGHT,
            )
            for record in records["eval"]
        ]
        write_rows(Path(f"data/verdicts/{cell}.jsonl"), verdicts)
    return tmp_path


def check(table: str) -> Validation:
    out = Path(f"data/validated/{table}.json")
    validate.main(
        table,
        Path("data/prompts"),
        Path("data/prefills"),
        Path("data/verdicts"),
        out,
        Path(f"data/docs/{table}"),
    )
    return read_json(out, Validation)


def change(path: str, row_type: type[Row], edit: Callable[[list[Any]], object]) -> None:
    rows: list[Any] = list(read_rows(Path(path), row_type))
    edit(rows)
    write_rows(Path(path), rows)


def update(number: int, **values: object) -> Callable[[list[Any]], object]:
    def edit(rows: list[Any]) -> None:
        rows[number] = rows[number].model_copy(update=values)

    return edit


def files(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.*")}


@pytest.mark.parametrize(
    ("table", "pages", "rules"),
    [
        ("prompts", {"prompts", "sets"}, 14),
        ("prefills", {"prefills", "sources"}, 14),
        ("verdicts", {"verdicts", "cells"}, 14),
    ],
)
def test_sound_tables_pass_and_leave_equal_bytes(
    project: Path, table: str, pages: set[str], rules: int
) -> None:
    result = check(table)
    assert result.passed and result.failures() == []
    assert sum(len(suite.rules) for suite in result.suites) == rules
    first = files(project / "data/docs") | files(project / "data/validated")
    assert set(first) == {f"{table}/{page}.html" for page in pages | {"index"}} | {f"{table}.json"}
    (project / f"data/docs/{table}/stale.html").write_text("from a removed suite")
    check(table)
    assert files(project / "data/docs") | files(project / "data/validated") == first

    texts = [r.prompt for r in read_rows(Path("data/prompts/eval.jsonl"), PromptRecord)]
    for name, content in first.items():
        shown = content.decode()
        assert not re.search(r"https?:|//[a-z]|<script|<link|<img|@import|url\(", shown), name
        assert not re.search(r"20\d\d-?[01]\d-?[0-3]\dT", shown), f"{name} has a time"
        assert str(project) not in shown
        for text in (THOUGHT, "sure .", *texts):
            assert text not in shown, name
    assert "<style>" in first[f"{table}/index.html"].decode()
    assert "Evaluated Expectations" in first[f"{table}/{table}.html"].decode()


P, F, V = "data/prompts/train.jsonl", "data/prefills/harmful.jsonl", "data/verdicts/recap-0.jsonl"
VIOLATIONS = [
    ("prompts", P, PromptRecord, lambda rows: rows.append(rows[0]),
     r"no row occurs twice .*: 2 of \d+ rows: microworld-\w+-train-\d+"),
    ("prompts", P, PromptRecord, update(0, prompt="open it </think>"),
     r"hold no think tag or special token .*: 1 of \d+ rows: microworld-\w+-train-\d+"),
    ("prompts", P, PromptRecord, update(0, source="strongreject"),
     r"nothing from an evaluation-only source .*: 1 of 50 rows"),
    ("prompts", P, PromptRecord, update(0, split="eval"), r"in its split's file .*: 1 of"),
    ("prompts", P, PromptRecord, lambda rows: rows.pop(), r"short of rows .*: 1 of 7 rows: train"),
    ("prompts", "data/prompts/eval.jsonl", PromptRecord, lambda rows: rows.pop(),
     r"short of rows .*: 1 of 7 rows: eval microworld-math"),
    ("prefills", F, Prefill, update(3, text="say </think> something that nobody may read now x"),
     r"verified prefills hold no think tag .*: 1 of \d+ rows: harmful:microworld-"),
    ("prefills", F, Prefill, update(0, num_tokens=0), r"verified prefills have tokens .*: 1 of"),
    ("prefills", F, Prefill, update(0, prompt_id="gone"), r"prompt of their split .*harmful:gone"),
    ("prefills", F, Prefill, update(0, source_model="harmful_eval"),
     r"other models than training's .*: 2 of 3 rows: harmful, harmful_eval"),
    ("prefills", F, Prefill, lambda rows: [update(n, rejected="turned")(rows) for n in range(3)],
     r"enough prefills are verified .*: 1 of 3 rows: harmful"),
    ("prefills", F, Prefill, lambda rows: rows.clear(), r"no source is empty .*: 1 of 3 rows"),
    ("verdicts", V, Verdict, update(0, label="correct"),
     r"harmful prompts are labelled safe or unsafe .*: 1 of 48 rows: recap-0:microworld-harmful"),
    ("verdicts", V, Verdict, lambda rows: [update(n, label=None)(rows) for n in range(4)],
     r"without a label .*: 1 of 2 rows: recap-0"),
    ("verdicts", V, Verdict, update(5, judge="other"), r"one judge judged all .*: observed 2"),
    ("verdicts", V, Verdict, update(5, judge_revision=""), r"revision is given .*: 1 of 96 rows"),
    ("verdicts", V, Verdict, lambda rows: rows.pop(), r"same completions .*: 1 of 2 rows: recap-0"),
    ("verdicts", V, Verdict, lambda rows: rows.append(rows[0]), r"no row occurs twice .*: 2 of 97"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("table", "path", "row_type", "edit", "message"),
    VIOLATIONS,
    ids=[f"{v[0]}-{number}" for number, v in enumerate(VIOLATIONS)],
)
def test_a_violated_rule_fails_the_stage_and_names_the_rows(
    project: Path,
    table: str,
    path: str,
    row_type: type[Row],
    edit: Callable[[list[Any]], object],
    message: str,
) -> None:
    change(path, row_type, edit)
    with pytest.raises(ExpectationError, match=message):
        check(table)
    result = read_json(Path(f"data/validated/{table}.json"), Validation)
    assert not result.passed
    assert "rules violated" in Path(f"data/docs/{table}/index.html").read_text()
    for name, content in files(project / f"data/docs/{table}").items():
        for text in (THOUGHT, "nobody may read", "</think>"):
            assert text not in content.decode(), name


def test_a_missing_member_of_the_matrix_is_an_error(project: Path) -> None:
    Path("data/prefills/refusing.jsonl").unlink()
    with pytest.raises(DataError, match=r"Expected the row file data/prefills/refusing\.jsonl"):
        check("prefills")
    with pytest.raises(ParameterError, match=r"Expected a table among .* got 'thoughts'"):
        check("thoughts")


def test_a_page_names_a_row_and_never_the_value(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tables hold no text (recap/data/tables.py); if one did, its page would not show it."""
    suite = [suites._in_set("texts are short", "text", ["short"])]
    monkeypatch.setitem(suites.SUITES, "own", lambda bounds: suite)
    rows: list[dict[str, Any]] = [{"row": "a", "text": "short"}, {"row": "b", "text": THOUGHT}]
    bounds = read_params(ROOT / "params.yaml").validation
    result = run_suites("own", [Table("own", rows)], bounds, tmp_path / "docs")
    assert result.failures() == [
        "own: texts are short (expect_column_values_to_be_in_set on text): 1 of 2 rows: b"
    ]
    shown = files(tmp_path / "docs")
    assert set(shown) == {"own.html", "index.html"}
    assert not [name for name, content in shown.items() if "nobody may read" in content.decode()]
