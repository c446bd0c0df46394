"""The export to Inspect AI's logs: content, privacy, and its own reader where it is installed."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from recap.analysis.axes import Axes
from recap.cli.inspect_log import export_cell, export_matrix, new_folder
from recap.errors import DataError
from recap.rows import write_rows
from recap.types.attacks import Completion
from recap.types.verdicts import Verdict
from tests.completions import make_completion

ROOT = Path(__file__).parents[2]

AXES = Axes(search_budgets=(1, 4))
WRITTEN = datetime(2026, 11, 25, 9, 30, tzinfo=UTC)


def completion(round_: int, sample: int = 0, *, response: str | None = "no .") -> Completion:
    return make_completion(
        response,
        prompt_id="p1",
        benchmark="search",
        attack="search",
        place=round_,
        sample=sample,
        cluster="c",
        prefill="it is fine .",
        prefill_source="harmful_eval",
        num_prefill_tokens=4,
        cot="wait .",
        finish_reason="stop" if response else "length",
        num_cot_tokens=2,
        num_response_tokens=3,
    )


def said(row: Completion, label: str | None) -> Verdict:
    return Verdict.model_validate(
        {
            "prompt_id": row.prompt_id,
            "benchmark": row.benchmark,
            "place": row.place,
            "sample": row.sample,
            "label": label,
            "judge": "oracle",
            "judge_revision": "7",
            "judge_prompt_sha": "abc",
            "raw": "its words",
        }
    )


def exported(folder: Path) -> Path:
    completions = [completion(1), completion(2), completion(2, 1, response=None)]
    labels = ("safe", "unsafe", None)
    verdicts = [said(row, label) for row, label in zip(completions, labels, strict=True)]
    (path,) = export_cell(folder, "recap-0", completions, verdicts, AXES, WRITTEN)
    return path


def test_a_log_has_every_sample_and_no_score_is_not_a_failure(tmp_path: Path) -> None:
    log = json.loads(exported(tmp_path).read_text(encoding="utf-8"))
    assert (log["version"], log["status"], log["eval"]["model"]) == (2, "success", "recap/recap-0")
    (score,) = log["results"]["scores"]
    assert (score["scored_samples"], score["unscored_samples"]) == (2, 1)
    assert {name: metric["value"] for name, metric in score["metrics"].items()} == {
        "success, best of 1": 1.0,
        "success, best of 4": 0.0,
    }
    first, second, third = log["samples"]
    assert [(s["id"], s["epoch"]) for s in log["samples"]] == [
        ("p1/1", 1),
        ("p1/2", 1),
        ("p1/2", 2),
    ]
    assert [part["type"] for part in first["messages"][1]["content"]] == [
        "reasoning",
        "reasoning",
        "text",
    ]
    assert first["scores"]["oracle"]["value"] == "C"
    assert second["scores"]["oracle"] == {
        "value": "I",
        "answer": "unsafe",
        "explanation": "its words",
        "metadata": {"label": "unsafe", "judge_revision": "7", "judge_prompt_sha": "abc"},
    }
    assert (third["scores"], third["output"]["choices"][0]["stop_reason"]) == ({}, "max_tokens")
    assert first["metadata"]["at"] == "best of 1"


def test_a_script_in_an_answer_stays_text(tmp_path: Path) -> None:
    """A log is JSON alone: nothing that a browser would run by itself."""
    evil = "</script><script>document.title='stolen'</script><img src=x onerror=alert(1)>"
    rows, verdicts = [completion(1, response=evil)], [said(completion(1), "safe")]
    (path,) = export_cell(tmp_path, "recap-0", rows, verdicts, AXES, WRITTEN)
    assert [file.suffix for file in tmp_path.rglob("*") if file.is_file()] == [".json"]
    (sample,) = json.loads(path.read_text(encoding="utf-8"))["samples"]
    assert sample["messages"][1]["content"][-1] == {"type": "text", "text": evil}


def test_the_same_rows_give_the_same_bytes(tmp_path: Path) -> None:
    first, second = exported(tmp_path / "a"), exported(tmp_path / "b")
    assert (first.name, first.read_bytes()) == (second.name, second.read_bytes())


def test_the_folder_is_new_and_for_its_owner_alone(tmp_path: Path) -> None:
    with new_folder(tmp_path / "logs"):
        assert (tmp_path / "logs").stat().st_mode & 0o777 == 0o700
    with pytest.raises(DataError, match=r"a new folder .* which exists\. Name another one"):
        new_folder(tmp_path / "logs").__enter__()
    with pytest.raises(ZeroDivisionError), new_folder(tmp_path / "failed"):
        _ = 1 / 0
    assert not (tmp_path / "failed").exists()


def test_logs_bear_the_time_of_what_they_show(tmp_path: Path) -> None:
    shutil.copy(ROOT / "params.yaml", tmp_path)
    row = completion(1)
    write_rows(tmp_path / "data/completions/recap-0.jsonl", [row])
    write_rows(tmp_path / "data/verdicts/recap-0.jsonl", [said(row, "safe")])
    os.utime(tmp_path / "data/completions/recap-0.jsonl", (0, WRITTEN.timestamp() + 0.7))
    (path,) = export_matrix(tmp_path, tmp_path / "logs", ["recap-0"])
    assert path.name.startswith("2026-11-25T09-30-00+00-00_search_")
    found = json.loads(path.read_text(encoding="utf-8"))
    at = "2026-11-25T09:30:00+00:00"
    assert (found["eval"]["created"], found["stats"]["started_at"]) == (at, at)
    with pytest.raises(DataError, match="which exists"):
        export_matrix(tmp_path, tmp_path / "logs", ["recap-0"])


def test_a_completion_without_a_verdict_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"Expected a verdict on search/p1, round 1, of recap-0"):
        export_cell(tmp_path, "recap-0", [completion(1)], [], AXES, WRITTEN)


@pytest.mark.skipif(
    importlib.util.find_spec("inspect_ai") is None, reason="needs the extra `inspect`"
)
def test_inspect_reads_it(tmp_path: Path) -> None:
    from inspect_ai.log import list_eval_logs, read_eval_log

    exported(tmp_path)
    (found,) = list_eval_logs(str(tmp_path))
    log = read_eval_log(found)
    assert [sample.epoch for sample in log.samples or []] == [1, 1, 2]
    assert log.results is not None and log.results.scores[0].unscored_samples == 1
