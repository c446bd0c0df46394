"""``recap judge`` as its user meets it: real processes, files of every kind."""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from sklearn.metrics import cohen_kappa_score

from recap.cli.judge.__main__ import main
from recap.errors import DataError, RecapError
from recap.rows import read_rows
from recap.types.judged import HumanAgreement
from recap.types.verdicts import Verdict
from tests.integration.flow_project import ROOT, call

HELP, REFUSAL = "Wash it twice.", "I'm sorry, but I can't assist with that."
ROWS = [
    (HELP, "1_full_compliance"),
    (REFUSAL, "2_full_refusal"),
    (f"{REFUSAL}\r\nHe is a fictional character.", "3_partial_refusal"),
    (REFUSAL, "1_full_compliance"),
    (HELP, "1_full_compliance"),
    ("", "2_full_refusal"),
]


@pytest.fixture
def csv(tmp_path: Path) -> Path:
    """With a byte order mark, CRLF, a field of two lines and a column that nobody asked for."""
    path = tmp_path / "rows.csv"
    lines = ["final_label,note,completion,prompt"]
    lines += [f'{label},x,"{said}",how {place} ?' for place, (said, label) in enumerate(ROWS)]
    path.write_bytes(("\ufeff" + "\r\n".join(lines) + "\r\n").encode())
    return path


def test_agreement_with_labels(csv: Path) -> None:
    done = call(csv.parent, "-m", "recap", "judge", "--judge", "refusal", "rows.csv",
                "--label", "final_label", "--json")  # fmt: skip
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert (said["n"], said["n_unscored"], said["judge"]) == (5, 1, "refusal")
    assert said["accuracy"] == said["binary_accuracy"] == pytest.approx(0.8)
    expected = cohen_kappa_score([0, 1, 2, 0, 0], [0, 1, 2, 1, 0])
    assert said["kappa"] == pytest.approx(expected)
    assert said["kappa_low"] <= expected <= said["kappa_high"]
    assert said["confusion"]["helpful"] == {"helpful": 2, "refused": 1}
    verdicts = read_rows(csv.parent / "rows.csv.verdicts.jsonl", Verdict)
    assert Path(said["verdicts"]).name == "rows.csv.verdicts.jsonl"
    assert [verdict.label for verdict in verdicts] == [
        "helpful",
        "refused",
        "unclear",
        "refused",
        "helpful",
        None,
    ]
    assert verdicts[2].prompt_id == "line-4" and verdicts[3].prompt_id == "line-6"


def test_the_agreement_is_kept_by_judge_revision_and_labels(csv: Path) -> None:
    arguments = ("-m", "recap", "judge", "--judge", "refusal", "rows.csv", "--json")
    named = ("--label", "final_label", "--record", "kept/judges.jsonl")
    done = call(csv.parent, *arguments, *named)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    (kept,) = read_rows(csv.parent / "kept/judges.jsonl", HumanAgreement)
    assert (kept.judge, kept.judge_revision) == ("refusal", said["judge_revision"])
    assert (kept.file, kept.column) == (f"{csv.parent.name}/rows.csv", "final_label")
    assert kept.file_sha256 == hashlib.sha256(csv.read_bytes()).hexdigest()
    assert (kept.n, kept.n_unscored, kept.accuracy) == (5, 1, said["binary_accuracy"])
    assert kept.kappa == said["binary_kappa"]
    refused = call(csv.parent, *arguments, *named[2:])
    assert refused.returncode == 2 and "--record with --label COLUMN" in refused.stderr


def test_tables_for_people(csv: Path) -> None:
    done = call(csv.parent, "-m", "recap", "judge", "--judge", "refusal", "rows.csv",
                "--label", "final_label", "--out", "mine/verdicts.jsonl")  # fmt: skip
    assert done.returncode == 0, done.stderr
    for text in ("accuracy", "80.0 %", "kappa", "n_unscored", "final_label \\ judge", "refused"):
        assert text in done.stdout
    assert "Verdicts: mine/verdicts.jsonl" in done.stdout
    assert len(read_rows(csv.parent / "mine/verdicts.jsonl", Verdict)) == 6


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("rows.csv", "prompt,response,id\nhow ?,Wash it twice.,a\n"),
        ("rows.jsonl", '{"id": "a", "prompt": "how ?", "response": "Wash it twice."}\n'),
        (
            "rows.jsonl",
            '{"prompt": "how ?", "response": "No.", "completion": "Wash it twice."}\n',
        ),
    ],
)
def test_a_completion_may_be_called_response(
    name: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name).write_text(text)
    main(Path(name), "refusal")
    assert [row.label for row in read_rows(Path(f"{name}.verdicts.jsonl"), Verdict)] == ["helpful"]


@pytest.mark.parametrize(
    ("held", "said"),
    [
        ("verdict", r"verdicts of the judge 'refusal' or nothing at .*, got those of 'math'"),
        ("a text of mine\n", r"got something else\. Nothing was judged; name another place"),
        ("", "got something else"),
    ],
)
def test_verdicts_of_another_judge_stay(
    held: str, said: str, csv: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(csv.parent)
    main(Path("rows.csv"), "refusal")
    place = Path("rows.csv.verdicts.jsonl")
    own = place.read_text()
    main(Path("rows.csv"), "refusal")  # its own are written anew
    assert place.read_text() == own
    other = own.replace('"refusal"', '"math"') if held == "verdict" else held
    place.write_text(other)
    with pytest.raises(DataError, match=said):
        main(Path("rows.csv"), "refusal")
    assert place.read_text() == other
    main(Path("rows.csv"), "refusal", out=Path("elsewhere.jsonl"))
    assert Path("elsewhere.jsonl").read_text() == own


def test_without_labels_there_are_counts(
    csv: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(csv.parent)
    main(Path("rows.csv"), "refusal", as_json=True)
    counts = json.loads(capsys.readouterr().out)
    assert (counts["n"], counts["n_unscored"]) == (5, 1)
    assert counts["labels"] == {"helpful": 2, "refused": 2, "unclear": 1}


def test_math_in_json_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        {"prompt": "p", "completion": "The answer is \\boxed{0.5}.", "target": "\\frac12", "l": 1},
        {"prompt": "q", "completion": "#### 8", "target": 7, "l": 0},
        {"prompt": "r", "completion": "\\boxed{3} or \\boxed{4}", "target": "3", "l": "correct"},
        {"prompt": "s", "completion": "9", "target": None, "l": "correct"},
    ]
    (tmp_path / "sums.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    main(Path("sums.jsonl"), "math", "l", as_json=True)
    said = json.loads(capsys.readouterr().out)
    assert (said["n"], said["n_unscored"]) == (3, 1)
    assert said["accuracy"] == pytest.approx(2 / 3)
    assert said["confusion"] == {
        "correct": {"correct": 1, "incorrect": 1},
        "incorrect": {"incorrect": 1},
    }


def test_an_error_is_one_message_and_leaves_nothing(csv: Path) -> None:
    before = csv.read_bytes()
    done = call(csv.parent, "-m", "recap", "judge", "--judge", "math", "rows.csv")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr and done.stderr.count("Error: ") == 1
    assert re.search("rows.csv:1: .* missing: target", done.stderr)
    assert [path.name for path in csv.parent.iterdir()] == ["rows.csv"]
    assert csv.read_bytes() == before


@pytest.mark.parametrize(
    ("judge", "options", "message"),
    [
        ("vibes", {}, "judge among api, guardian, math, oracle, refusal or rubric, got 'vibes'"),
        ("refusal", {"file": Path("none.csv")}, "found none"),
        ("refusal", {"label": "human"}, "missing: human"),
        ("refusal", {"label": "note"}, "rows.csv:2: expected as `note` one of .* got 'x'"),
        ("refusal", {"out": Path("rows.csv")}, "a file of its own"),
        ("refusal", {"out": Path("rows.csv/verdicts.jsonl")}, "not allowed"),
        ("oracle", {}, "params.yaml, found none"),
    ],
)
def test_what_cannot_be_judged_is_refused(
    csv: Path,
    monkeypatch: pytest.MonkeyPatch,
    judge: str,
    options: dict[str, Any],
    message: str,
) -> None:
    monkeypatch.chdir(csv.parent)
    with pytest.raises(RecapError, match=message):
        main(**{"file": Path("rows.csv"), "judge": judge, **options})
    assert [path.name for path in csv.parent.iterdir()] == ["rows.csv"]


def test_the_oracle_refuses_prompts_of_another_world(
    csv: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (csv.parent / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    monkeypatch.chdir(csv.parent)
    with pytest.raises(DataError, match=r"microworld for the oracle, got line-2"):
        main(Path("rows.csv"), "oracle")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_beside_a_file_in_a_closed_folder_nothing_is_written(csv: Path, tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir()
    (closed / "rows.csv").write_bytes(csv.read_bytes())
    closed.chmod(0o500)
    done = call(tmp_path, "-m", "recap", "judge", "--judge", "refusal", "closed/rows.csv")
    closed.chmod(0o700)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "rows.csv.verdicts.jsonl").is_file()


def test_a_thought_that_nothing_opened_is_counted_and_warned_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    said = f'prompt,completion\nhow ?,"I could explain it.\n</think>\n\n{REFUSAL}"\nhow ?,{HELP}\n'
    Path("rows.csv").write_text(said, encoding="utf-8")
    main(Path("rows.csv"), "refusal", as_json=True)
    printed = capsys.readouterr()
    counts = json.loads(printed.out)
    assert (counts["n_unopened"], counts["labels"]) == (1, {"helpful": 1, "refused": 1})
    assert "1 of 2 completions have </think> without <think>" in printed.err
