"""`recap keep` on a measured cell, and the attack stage that replays what it kept."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from recap.data.tables import verdict_tables
from recap.pipeline.lock import file_md5
from recap.rows import read_json, read_rows, write_rows
from recap.types.attacks import Completion, KeptAttack
from recap.types.prompts import PromptRecord
from recap.types.results import CellResult
from recap.types.verdicts import Verdict
from tests.integration.evaluation_project import (
    ROOT,
    make_evaluation_project,
    measure_cell,
    set_params,
)

FILE = "kept/attacks.jsonl"


def keep(cell: str) -> subprocess.CompletedProcess[str]:
    """The command in the current folder."""
    return subprocess.run(
        [sys.executable, "-m", "recap.cli.keep", cell],
        env={"PYTHONPATH": str(ROOT), "PATH": "", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def answer(folder: Path, cell: str, response: str) -> None:
    """Let the cell's policy answer every attack by prefill and hijack with one sentence."""
    rows = read_rows(folder / f"completions/{cell}.jsonl", Completion)
    said = {"response": response, "finish_reason": "stop"}
    answered = [
        row.model_copy(update=said) if row.benchmark in ("prefill", "hijack") else row
        for row in rows
    ]
    write_rows(folder / f"data/completions/{cell}.jsonl", answered)


def record_judged(folder: Path, cell: str) -> None:
    """The entry of dvc.lock that the judge's stage leaves."""
    paths = [f"data/{kind}/{cell}.jsonl" for kind in ("completions", "verdicts")]
    read, written = ({"path": path, "md5": file_md5(folder / path)} for path in paths)
    stages = {f"judge@{cell}": {"cmd": "judge", "deps": [read], "outs": [written]}}
    (folder / "dvc.lock").write_text(yaml.safe_dump({"stages": stages}), encoding="utf-8")


def test_what_succeeded_is_kept_and_replayed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = make_evaluation_project(tmp_path)
    monkeypatch.chdir(here)
    set_params(here, attack={"benchmarks": ["prefill", "hijack", "ipr"]})
    measure_cell(here, "base")
    missing = keep("base-0")
    assert missing.returncode == 2
    assert "Expected attack.replay in params.yaml to name the file" in missing.stderr
    named = {"benchmarks": ["prefill", "hijack", "ipr"], "replay": FILE}
    set_params(here, attack=named)
    answer(here, "base-0", "sure .")
    verdicts = [
        row.model_copy(update={"label": "unsafe"})
        for row in read_rows(here / "verdicts/base-0.jsonl", Verdict)
    ]
    write_rows(here / "data/verdicts/base-0.jsonl", verdicts)
    unjudged = keep("base-0")
    assert "completions/base-0.jsonl as the last run's judge left it" in unjudged.stderr
    record_judged(here, "base-0")

    first = keep("base-0")
    assert first.returncode == 0, first.stderr
    assert first.stdout.splitlines() == [
        "hijack: 12 attacks succeeded against base-0",
        "prefill: 12 attacks succeeded against base-0",
        f"{here / FILE}: 24 attacks added, 0 were there, 24 in all",
    ]
    content = (here / FILE).read_bytes()
    again = keep("base-0")
    assert again.stdout.splitlines()[-1] == (
        f"{here / FILE}: 0 attacks added, 24 were there, 24 in all"
    )
    assert (here / FILE).read_bytes() == content
    write_rows(here / "data/verdicts/base-0.jsonl", verdicts[:-1])
    stale = keep("base-0")
    assert "verdicts/base-0.jsonl as the last run's judge left it, got another" in stale.stderr
    wrong = keep("recap-7")
    assert wrong.returncode != 0 and "got 'recap-7'" in wrong.stderr

    set_params(here, attack={"benchmarks": ["harmful", "replay"], "replay": FILE})
    shutil.rmtree(here / ".recap", ignore_errors=True)
    measure_cell(here, "recap")
    kept = read_rows(here / FILE, KeptAttack)
    found = [
        row
        for row in read_rows(here / "completions/recap-0.jsonl", Completion)
        if row.benchmark == "replay"
    ]
    assert [(row.prompt_id, row.prompt, row.prefill, row.thought_closed) for row in found] == [
        (each.id, each.prompt, each.prefill, each.thought_closed) for each in kept
    ]
    evaluation = read_rows(here / "eval.jsonl", PromptRecord)
    verdicts = read_rows(here / "verdicts/recap-0.jsonl", Verdict)
    table, _ = verdict_tables({"recap-0": verdicts}, evaluation)
    assert {row["domain"] for row in table.rows} == {"harmful"}
    stranger = verdicts[-1].model_copy(update={"prompt_id": "kept-somewhere"})
    table, _ = verdict_tables({"recap-0": [stranger]}, evaluation)
    assert [row["domain"] for row in table.rows] == ["unknown"]
    (_, result) = read_json(here / "rates/recap-0.json", CellResult).results
    assert (result.benchmark, result.rate.n, result.prefill_source) == ("replay", 24, "kept")
    assert [(each.category, each.rate.n) for each in result.categories] == [
        ("hijack", 12),
        ("prefill", 12),
    ]
