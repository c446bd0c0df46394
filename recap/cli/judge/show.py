"""A judged file on the terminal, or as one JSON object."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from recap.cli.judge.work import Comparison
from recap.types.results import Confusion
from recap.types.verdicts import Verdict


def summary(
    given: Sequence[Verdict], comparison: Comparison | None, n_unopened: int
) -> dict[str, Any]:
    """The object that ``--json`` prints; ``None`` for undefined values (no scored row, one label).

    ``n_unopened``: rows with ``</think>`` but without ``<think>``.
    """
    first = given[0]
    shared: dict[str, Any] = {
        "n_unopened": n_unopened,
        "judge": first.judge,
        "judge_revision": first.judge_revision,
        "judge_prompt_sha": first.judge_prompt_sha,
    }
    if comparison is None:
        counts = Counter(verdict.label for verdict in given if verdict.label is not None)
        return {
            **shared,
            "n": sum(counts.values()),
            "n_unscored": len(given) - sum(counts.values()),
            "labels": dict(sorted(counts.items())),
        }
    labels, binary = comparison.labels, comparison.binary
    return {
        **shared,
        "n": labels.n,
        "n_unscored": comparison.n_unscored,
        "n_unlabelled": comparison.n_unlabelled,
        "accuracy": labels.accuracy,
        "binary_accuracy": binary.accuracy,
        "kappa": labels.kappa,
        "kappa_low": labels.low,
        "kappa_high": labels.high,
        "binary_kappa": binary.kappa,
        "binary_kappa_low": binary.low,
        "binary_kappa_high": binary.high,
        "confusion": _nested(labels.confusion),
    }


def _nested(confusion: Sequence[Confusion]) -> dict[str, dict[str, int]]:
    """Label of the file -> label of the judge -> rows."""
    nested: dict[str, dict[str, int]] = {}
    for cell in confusion:
        nested.setdefault(cell.first, {})[cell.second] = cell.count
    return nested


def show(said: dict[str, Any], column: str | None, console: Console) -> None:
    """Print the values of ``summary`` as tables."""
    console.print(f"Judge {said['judge']}, revision {said['judge_revision']}", highlight=False)
    if column is None:
        counts = Table("label", "rows")
        for label, count in said["labels"].items():
            counts.add_row(label, str(count))
        counts.add_row("unscored", str(said["n_unscored"]))
        console.print(counts)
        return
    numbers = Table("number", "value", "95 % interval")
    numbers.add_row("accuracy", _share(said["accuracy"]), "")
    numbers.add_row("success or not", _share(said["binary_accuracy"]), "")
    for name, key in (("kappa", "kappa"), ("kappa, success or not", "binary_kappa")):
        ends = said[f"{key}_low"], said[f"{key}_high"]
        interval = "" if None in ends else f"[{ends[0]:.3f}, {ends[1]:.3f}]"
        numbers.add_row(name, _number(said[key]), interval)
    for key in ("n", "n_unscored", "n_unlabelled"):
        numbers.add_row(key, str(said[key]), "")
    console.print(numbers)
    confusion = said["confusion"]
    judged = sorted({label for row in confusion.values() for label in row})
    table = Table(f"{column} \\ judge", *judged, title="Rows by label", title_justify="left")
    for label, row in confusion.items():
        table.add_row(label, *(str(row.get(name, 0)) for name in judged))
    if confusion:
        console.print(table)


def _share(value: float | None) -> str:
    return "no value" if value is None else f"{100 * value:.1f} %"


def _number(value: float | None) -> str:
    return "no value" if value is None else f"{value:.3f}"
