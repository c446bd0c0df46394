"""The judges without a model on public data: human labels of refusals, gold answers of math.

Reads the folder that RECAP_REAL_DATA names; in CI its absence is a failure, elsewhere a skip.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from recap.cli.judge.__main__ import main
from recap.judges.correctness import MathJudge
from recap.rows import read_rows
from recap.types.judged import HumanAgreement
from tests.completions import make_completion

RECORDS = Path(__file__).parents[2] / "experiments/records/judges.jsonl"

DATASETS = {"gsm8k": 1319, "math500": 500, "aime2024": 30}
# "final answer is", boxed, and the data sets' own ways
FORMS = (
    "The answer is \\boxed{{{}}}.",
    "So we are done.\n#### {}",
    "The final answer is ${}$.",
    "**Answer:** ${}$",
    "Answer: {}",
    "The answer is {}.",
    "Therefore the result is\n$${}$$",
    "\\[ \\boxed{{ {} }} \\]",
    "\\fbox{{{}}}",
    "{}",
    "We get \\({}\\).",
    "The final answer is:\n\n\\[{}\\]",
)


@pytest.fixture(scope="module")
def data() -> Path:
    folder = os.environ.get("RECAP_REAL_DATA", "")
    if not (Path(folder) / "xstest").is_dir() or not folder:
        message = f"RECAP_REAL_DATA names no folder with real data: '{folder}'"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return Path(folder).resolve()


@pytest.mark.parametrize(
    ("model", "machine", "three_classes"), [("gpt4", 0.938, 0.96), ("llama2orig", 0.893, 0.86)]
)
def test_refusal_beats_the_published_machines(
    data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    model: str,
    machine: float,
    three_classes: float,
) -> None:
    """``machine``: the better of string matching and GPT-4, as published with the labels."""
    path = data / "xstest" / f"completions_{model}.csv"
    main(path, "refusal", "final_label", tmp_path / "verdicts.jsonl", as_json=True)
    said = json.loads(capsys.readouterr().out)
    assert (said["n"], said["n_unscored"]) == (450, 0)
    assert said["binary_accuracy"] > machine + 0.02
    assert said["accuracy"] > three_classes
    assert said["kappa_low"] > 0.7
    records = read_rows(RECORDS, HumanAgreement)
    (kept,) = [each for each in records if each.file == f"xstest/{path.name}"]
    assert kept.file_sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    recorded = (kept.n, kept.accuracy, kept.kappa, kept.kappa_low, kept.kappa_high)
    names = ("n", "binary_accuracy", "binary_kappa", "binary_kappa_low", "binary_kappa_high")
    assert recorded == pytest.approx(tuple(said[name] for name in names), abs=1e-9)


def test_arithmetic_is_no_refusal(data: Path, tmp_path: Path) -> None:
    rows = [json.loads(line) for line in _lines(data / "gsm8k" / "test.jsonl")]
    path = tmp_path / "sums.csv"
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["prompt", "completion"])
        writer.writerows([row["question"], row["answer"]] for row in rows)
    out = tmp_path / "verdicts.jsonl"
    main(path, "refusal", out=out)
    labels = {json.loads(line)["label"] for line in _lines(out)}
    assert labels == {"helpful"}


@dataclass(frozen=True)
class Gold:
    dataset: str
    answer: str
    own: str
    """The data set's own solution."""


def _lines(path: Path) -> list[str]:
    return [line for line in path.read_text(encoding="utf-8").split("\n") if line.strip()]


@pytest.fixture(scope="module")
def golds(data: Path) -> list[Gold]:
    found = []
    for name, size in DATASETS.items():
        rows = [json.loads(line) for line in _lines(data / name / "test.jsonl")]
        assert len(rows) == size
        for row in rows:
            answer, own = str(row["answer"]), row.get("solution")
            if name == "gsm8k":
                answer, own = row["answer"].rpartition("####")[2].strip(), row["answer"]
            found.append(Gold(name, answer, own))
    return found


def _judged(pairs: list[tuple[str, str]]) -> list[str | None]:
    """Labels of (response, target)."""
    rows = [
        make_completion(
            response,
            prompt_id=str(place),
            benchmark="math",
            domain="math",
            prompt="p",
            target=target,
        )
        for place, (response, target) in enumerate(pairs)
    ]
    return [verdict.label for verdict in MathJudge().judge(rows)]


@pytest.mark.parametrize("form", FORMS)
def test_every_gold_answer_verifies_itself(golds: list[Gold], form: str) -> None:
    labels = _judged([(form.format(gold.answer), gold.answer) for gold in golds])
    assert [g.answer for g, label in zip(golds, labels, strict=True) if label != "correct"] == []


def test_every_solution_of_the_data_sets_verifies(golds: list[Gold]) -> None:
    labels = _judged([(gold.own, gold.answer) for gold in golds])
    wrong = [
        (gold.dataset, gold.answer)
        for gold, label in zip(golds, labels, strict=True)
        if label != "correct"
    ]
    assert wrong == []


def test_another_value_does_not_verify(golds: list[Gold]) -> None:
    """Each gold answer changed by one to three ways that it allows, drawn by a fixed seed."""
    draw = random.Random(0)
    pairs = []
    for answer in dict.fromkeys(gold.answer for gold in golds):
        changed = list(dict.fromkeys(text for text in changes(answer) if text != answer))
        assert changed, f"no way to change {answer}"
        most = 3 if answer.lstrip("-").isdigit() else 2
        for text in draw.sample(changed, min(most, len(changed))):
            pairs.append((f"The answer is \\boxed{{{text}}}.", answer))
    labels = _judged(pairs)
    wrong = [
        (*pair, label) for pair, label in zip(pairs, labels, strict=True) if label != "incorrect"
    ]
    assert wrong == []
    assert len(pairs) > 1000


def changes(answer: str) -> Iterator[str]:
    """The answer with another value: each number + 1, tenfold, signs, ends, order, words."""
    for found in re.finditer(r"\d+", answer):
        before, digits, after = answer[: found.start()], found[0], answer[found.end() :]
        if digits[-1] != "9":  # the last digit up by one: keeps leading zeros and thousands
            yield f"{before}{digits[:-1]}{int(digits[-1]) + 1}{after}"
        else:
            yield f"{before}{digits[:-1]}8{after}"
        fraction = before.endswith(".")
        grouped = re.search(r",(\\!)?\s*$", before) or re.match(r",(\\!)?\s*\d{3}", after)
        if int(digits) and not fraction and not grouped and not after.startswith("."):
            yield f"{before}{digits}0{after}"
    if re.fullmatch(r"-?[1-9]\d*(\.\d+)?", answer):
        yield answer[1:] if answer.startswith("-") else f"-{answer}"
        yield f"2 \\cdot ({answer})"
        yield rf"\frac{{{answer}}}{{3}}"
    if pair := re.fullmatch(r"\((-?[^,()]+),\s*(-?[^,()]+)\)", answer):
        yield f"({pair[2]}, {pair[1]})"
        yield f"({pair[1]}, {pair[2]}, 0)"
    if half := re.fullmatch(r"\\d?frac\{(\d+)\}\{(\d+)\}", answer):
        yield rf"\frac{{{half[2]}}}{{{half[1]}}}"
        yield rf"-\frac{{{half[1]}}}{{{half[2]}}}"
    if r"\infty)" in answer or r"\infty," in answer:  # the end that is a number
        yield re.sub(r"\((?!-\\infty)", "[", answer) if "]" not in answer else answer[:-1] + ")"
    if r"\in [" in answer:
        yield answer.replace("[", "(")
    if r"\cup" in answer:
        yield answer.partition(r"\cup")[0].strip()
    if r"\pm" in answer:
        yield answer.replace(r"\pm", "+")
    if r"\text{" in answer and not re.search(r"\d", answer):
        yield r"\text{another}"
        yield r"\text{(D)}"
    for old, new in ((" + ", " - "), (" - ", " + "), (r"\pi", "3"), (r"\cot", r"\tan"), ("k", "m")):
        if old in answer:
            yield answer.replace(old, new, 1)
