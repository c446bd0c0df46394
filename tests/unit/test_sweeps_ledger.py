"""Measured cells as files: what goes in comes out, and evidence from them is that of full rows."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recap.analysis.axes import Key
from recap.analysis.claims import TOKENS
from recap.analysis.evidence import Evidence, by_key, lengths
from recap.errors import DataError
from recap.rows import write_json, write_rows
from recap.sweeps.design import Cell
from recap.sweeps.ledger import Cost, Ledger, Measured, evidence, measure, outcomes
from recap.types.attacks import Completion
from recap.types.rollouts import FinishReason
from recap.types.verdicts import Outcome
from tests.completions import make_completion
from tests.unit.sweep_ledger import ORIGIN, UNKNOWN, asked, measured
from tests.unit.test_report_numbers import cell, rate, result

PREFILL: Key = ("prefill", 1)
RECAP = Cell("recap", 0)
Flag = bool | None


def outcome(key: Key, prompt: int, success: Flag, reflected: Flag, sample: int = 0) -> Outcome:
    return Outcome(
        prompt_id=f"p{prompt:03}",
        benchmark=key[0],
        place=key[1],
        sample=sample,
        cluster=None if prompt == 1 else f"c{prompt // 2}",
        success=success,
        reflected=reflected,
        reflection_position=0.5 if reflected else None,
    )


def completion(row: Outcome, tokens: int, finish: FinishReason) -> Completion:
    return make_completion(
        "no .",
        prompt_id=row.prompt_id,
        benchmark=row.benchmark,
        place=row.place,
        sample=row.sample,
        cluster=row.cluster,
        cot="so .",
        finish_reason=finish,
        num_cot_tokens=tokens,
        num_response_tokens=3,
    )


def finish(
    project: Path,
    at: Cell,
    rows: Iterable[Outcome],
    completions: Iterable[Completion],
    updates: Iterable[Mapping[str, Any]] = (),
) -> None:
    """Write what a finished cell leaves in the sweep's project."""
    write_rows(project / f"results/outcomes/{at.name}.jsonl", rows)
    write_rows(project / f"data/completions/{at.name}.jsonl", completions)
    rates = cell(at.variant, result("prefill", rate(0.5)), seed=at.seed)
    write_json(project / f"results/rates/{at.name}.json", rates.model_dump(mode="json"))
    curve = project / f"results/train/{at.name}.jsonl"
    curve.parent.mkdir(parents=True, exist_ok=True)
    curve.write_text("".join(f"{json.dumps(update)}\n" for update in updates))


def taken(project: Path, at: Cell = RECAP, cost: Cost = UNKNOWN) -> Measured:
    """Measure the cell, keep it beside the project, read it again."""
    ledger = Ledger(project / "ledger")
    settings = {"seed": "0"}
    ledger.write(
        *measure(project, at, fingerprint="f", settings=settings, cost=cost, origin=ORIGIN)
    )
    found = ledger.read(at)
    assert found is not None
    return found


def test_a_cell_by_hand(tmp_path: Path) -> None:
    math: Key = ("math", 1)
    rows = [
        outcome(math, 3, True, None),
        outcome(PREFILL, 2, None, True),
        outcome(PREFILL, 0, True, False),
        outcome(PREFILL, 0, False, False, sample=1),
        outcome(("ipr", 2), 1, False, True),
    ]
    spent: list[tuple[int, FinishReason]] = [
        (7, "stop"),
        (8, "overflow"),
        (5, "length"),
        (6, "stop"),
        (9, "stop"),
    ]
    completions = [completion(row, *each) for row, each in zip(rows, spent, strict=True)]
    updates = [
        {"update": 1, "reward": 0.123456, "reward_prefilled": None, "loss": 3.0},
        {"update": 2, "reward": 1.0, "reward_prefilled": 0.25, "loss": 2.0},
    ]
    finish(tmp_path, RECAP, rows, completions, updates)
    cost = Cost(seconds={"train": 61.5, "attack": 9.0}, cpu_seconds=70.0)
    found = taken(tmp_path, cost=cost)
    assert [(a.benchmark, a.place, a.success, a.reflected, a.tokens) for a in found.answers] == [
        ("ipr", 2, "0", "1", None),  # no claim compares its tokens
        ("math", 1, "1", "?", [10]),
        ("prefill", 1, "10?", "001", [8, 9, None]),  # p000 twice, then p002, which overflowed
    ]
    assert found.curve == {"reward": [0.1235, 1.0], "reward_prefilled": [None, 0.25]}
    assert (found.cell, found.fingerprint, found.settings) == (RECAP, "f", {"seed": "0"})
    assert (found.cost, found.dynamics) == (cost, None)
    questions = Ledger(tmp_path / "ledger").questions(found.questions)
    assert [(q.prompt_id, q.sample, q.cluster) for q in questions.asked["prefill/1"]] == [
        ("p000", 0, "c0"),
        ("p000", 1, "c0"),
        ("p002", 0, "c1"),
    ]
    again = outcomes(found, questions)
    assert again[PREFILL] == [
        rows[2],
        rows[3],
        rows[1].model_copy(update={"reflection_position": None}),
    ]
    assert list(again) == [("ipr", 2), math, PREFILL]


flags = st.sampled_from([True, False, None])
answers = st.tuples(flags, flags, st.integers(0, 60), st.sampled_from(["stop", "overflow"]))
KEYS: tuple[Key, ...] = (*TOKENS, ("ipr", 1), ("ipr", 3))


@settings(max_examples=10)
@given(
    cells=st.lists(
        st.lists(st.lists(answers, min_size=6, max_size=6), min_size=7, max_size=7),
        min_size=2,
        max_size=2,
    ),
    data=st.data(),
)
def test_evidence_is_that_of_full_rows(cells: list[Any], data: st.DataObject) -> None:
    """Whatever the cells say, in whatever order their rows lie."""
    full: dict[tuple[str, int], dict[Key, list[Outcome]]] = {}
    tokens: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        records = []
        for at, blocks in zip((Cell("recap", 0), Cell("dapo", 0)), cells, strict=True):
            rows, completions = [], []
            for key, block in zip(KEYS, blocks, strict=True):
                for place, (success, reflected, spent, end) in enumerate(block):
                    rows.append(outcome(key, place // 2, success, reflected, place % 2))
                    completions.append(completion(rows[-1], spent, end))
            mixed = data.draw(st.permutations(range(len(rows))))
            finish(folder, at, [rows[n] for n in mixed], completions)
            records.append(taken(folder, at))
            full[at.variant, at.seed] = by_key(rows)
            tokens[at.variant, at.seed] = lengths(completions, TOKENS)
        kept = evidence(records, Ledger(folder / "ledger"), resamples=50, seed=0)
    whole = Evidence(full, tokens, resamples=50, seed=0)
    pair = ("recap", "dapo")
    for key in KEYS:
        assert kept.difference(*pair, key) == whole.difference(*pair, key)
        reflected = {"reflected": True}
        assert kept.difference(*pair, key, **reflected) == whole.difference(*pair, key, **reflected)
    resets: tuple[Key, Key] = (("ipr", 1), ("ipr", 3))
    assert kept.fall("dapo", *resets) == whole.fall("dapo", *resets)
    assert kept.gap_change(*pair, *resets) == whole.gap_change(*pair, *resets)
    assert {v: dict(own) for v, own in kept.lengths.items()} == tokens
    for mine, theirs in zip(kept.length_change(*pair), whole.length_change(*pair), strict=True):
        assert (mine.value, mine.n) == (pytest.approx(theirs.value), theirs.n)


def test_every_training_has_its_lengths(tmp_path: Path) -> None:
    records = []
    for seed in (1, 0):
        at, row = Cell("recap", seed), outcome(PREFILL, 0, True, False)
        finish(tmp_path, at, [row], [completion(row, 10 * (seed + 1), "stop")])
        records.append(taken(tmp_path, at))
    found = evidence(records, Ledger(tmp_path / "ledger"), resamples=10, seed=0)
    assert [own[PREFILL, "p000"].tokens for own in found.lengths.values()] == [23, 13]
    assert list(found.outcomes) == [("recap", 1), ("recap", 0)]


def test_files_change_by_the_line_and_questions_are_written_once(tmp_path: Path) -> None:
    ledger, at = Ledger(tmp_path), {PREFILL: "10"}
    path = ledger.write(measured(RECAP, at, "f"), asked(at))
    lines = path.read_text().splitlines()
    assert (lines[0], lines[1], lines[-1]) == ("{", ' "variant": "recap",', "}")
    assert len(lines) == len(Measured.model_fields) + 2
    (questions,) = tmp_path.glob("questions-*.json")
    assert questions.name == f"questions-{asked(at).digest}.json"
    before = questions.stat().st_mtime_ns
    ledger.write(measured(Cell("dapo", 0), at, "f"), asked(at))
    assert questions.stat().st_mtime_ns == before
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "dapo-0.json",
        questions.name,
        "recap-0.json",
    ]


def kept(folder: Path) -> tuple[Ledger, Path, Path]:
    """A ledger of one cell, the cell's file, and the questions'."""
    ledger, at = Ledger(folder), {PREFILL: "10"}
    path = ledger.write(measured(RECAP, at, "f"), asked(at))
    (questions,) = folder.glob("questions-*.json")
    return ledger, path, questions


def read(ledger: Ledger) -> Evidence:
    found = ledger.read(RECAP)
    assert found is not None
    return evidence([found], ledger, resamples=10, seed=0)


def test_a_cell_that_is_not_there_is_none(tmp_path: Path) -> None:
    assert Ledger(tmp_path).read(RECAP) is None


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("{", "", r"recap-0\.json"),
        ('"seed": 0', '"seed": "zero"', r"recap-0\.json: .*seed"),
        ('"curve": {}', '"curve": {}, "more": 1', r"recap-0\.json: .*more"),
        ('"success":"10"', '"success":"12"', r"Expected 1, 0 or \? as an answer, got '2'"),
        ('"success":"10"', '"success":"1"', r"2 answers of recap-0 to prefill 1, got 1\. Restore"),
        ('"reflected":"??"', '"reflected":"???"', r"Expected 2 answers of recap-0 to prefill 1"),
        ('"place":1', '"place":2', r"Expected 0 answers of recap-0 to prefill 2, got 2"),
    ],
)
def test_a_broken_file_is_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    ledger, path, _ = kept(tmp_path)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(DataError, match=message):
        read(ledger)


def test_questions_that_are_missing_or_others_are_named(tmp_path: Path) -> None:
    ledger, _, questions = kept(tmp_path)
    text = questions.read_text()
    questions.write_text(text.replace("p1", "p7"))
    with pytest.raises(DataError, match=r"questions-\w+\.json to match its digest"):
        read(ledger)
    questions.unlink()
    with pytest.raises(DataError, match=r"questions-\w+\.json, .*, found none\. Restore it from"):
        read(ledger)


def test_a_cell_that_is_not_finished_cannot_be_measured(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"outcomes/recap-0\.jsonl, found none"):
        taken(tmp_path)
    row = outcome(PREFILL, 0, True, None)
    finish(tmp_path, RECAP, [row], [completion(row, 5, "stop")])
    curve = tmp_path / "results/train/recap-0.jsonl"
    curve.write_text("{")
    with pytest.raises(DataError, match=r"train/recap-0\.jsonl:1: expected a JSON object"):
        taken(tmp_path)
    curve.unlink()
    with pytest.raises(DataError, match=r"train/recap-0\.jsonl, found none"):
        taken(tmp_path)
    (tmp_path / "results/rates/recap-0.json").unlink()
    with pytest.raises(DataError, match=r"rates/recap-0\.json"):
        taken(tmp_path)
