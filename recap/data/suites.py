"""The rules of the three tables, as plain data; recap/data/expectations.py evaluates them.

Bounds come only from params.yaml. A rule names a Great Expectations expectation, whose
documentation defines the computation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from recap.data.mixture import DOMAINS
from recap.errors import choices
from recap.params.validate import Validate
from recap.types.row import Domain, Label

LABELS: dict[Domain, list[Label]] = {
    "harmful": ["safe", "unsafe"],
    "benign": ["helpful", "unclear", "refused"],
    "math": ["correct", "incorrect"],
}


@dataclass(frozen=True, slots=True)
class Rule:
    """One expectation with its bounds; ``where`` (column, value) restricts it to some rows."""

    name: str
    expectation: str
    bounds: dict[str, Any]
    where: tuple[str, str | bool] | None = field(default=None, kw_only=True)


Suite = list[Rule]


def _in_set(
    name: str, column: str, values: list[Any], where: tuple[str, str | bool] | None = None
) -> Rule:
    bounds = {"column": column, "value_set": values}
    return Rule(name, "expect_column_values_to_be_in_set", bounds, where=where)


def _between(
    name: str,
    column: str,
    *,
    low: float | None = None,
    high: float | None = None,
    where: tuple[str, str | bool] | None = None,
) -> Rule:
    bounds = {"column": column, "min_value": low, "max_value": high}
    return Rule(name, "expect_column_values_to_be_between", bounds, where=where)


def _at_least(name: str, greater: str, lesser: str) -> Rule:
    return Rule(
        name,
        "expect_column_pair_values_a_to_be_greater_than_b",
        {"column_A": greater, "column_B": lesser, "or_equal": True},
    )


def _one_value(name: str, column: str) -> Rule:
    return Rule(
        name,
        "expect_column_unique_value_count_to_be_between",
        {"column": column, "min_value": 1, "max_value": 1},
    )


NAMED: Suite = [
    Rule("every row has a name", "expect_column_values_to_not_be_null", {"column": "row"}),
    Rule("no row occurs twice", "expect_column_values_to_be_unique", {"column": "row"}),
]


def prompts(bounds: Validate) -> Suite:
    """Training and evaluation prompts, row by row."""
    return [
        *NAMED,
        _in_set("domains are known", "domain", list(DOMAINS)),
        Rule(
            "each prompt stands in its split's file",
            "expect_column_pair_values_to_be_equal",
            {"column_A": "file", "column_B": "split"},
        ),
        _between("prompts have words", "num_words", low=1),
        _in_set("prompts hold no think tag or special token", "unusable_text", [False]),
        _in_set("math prompts have a target, no others do", "target_fits_domain", [True]),
        _in_set("training and evaluation share no prompt", "prompt_in_other_split", [False]),
        _in_set("training and evaluation share no cluster", "cluster_in_other_split", [False]),
        _in_set(
            "training has nothing from an evaluation-only source",
            "evaluation_only",
            [False],
            ("file", "train"),
        ),
    ]


def sets(bounds: Validate) -> Suite:
    """Sizes of the training domains and of the evaluation sets."""
    return [
        *NAMED,
        _at_least("no training domain or evaluation set is short of rows", "rows", "at_least"),
        _at_least("no training domain or evaluation set is too large", "at_most", "rows"),
    ]


def prefills(bounds: Validate) -> Suite:
    """Thoughts of the prefill sources, row by row."""
    verified = ("verified", True)
    return [
        *NAMED,
        _in_set("prefills belong to a prompt of their split", "prompt_known", [True]),
        _in_set("sources think about the domain they are for", "domain_fits_source", [True]),
        _in_set("the intent is the source's", "intent_fits_source", [True]),
        _in_set("the number of words is true", "num_words_true", [True]),
        _between("verified prefills have words", "num_words", low=1, where=verified),
        _between("verified prefills have tokens", "num_tokens", low=1, where=verified),
        _in_set("verified prefills hold no think tag", "think_tag", [False], verified),
    ]


def sources(bounds: Validate) -> Suite:
    """Each prefill source as a whole."""
    return [
        *NAMED,
        _between("no source is empty", "rows", low=1),
        _between(
            "enough prefills are verified", "verified_share", low=bounds.min_verified_prefills
        ),
        _in_set(
            "evaluation prefills come from other models than training's",
            "model_in_training_and_evaluation",
            [False],
        ),
    ]


def verdicts(bounds: Validate) -> Suite:
    """Verdicts of all cells, row by row; missing labels are counted in ``cells``."""
    return [
        *NAMED,
        _in_set("verdicts belong to an evaluation prompt", "domain", list(DOMAINS)),
        *(
            _in_set(
                f"{domain} prompts are labelled {choices(labels)}",
                "label",
                list(labels),
                ("domain", domain),
            )
            for domain, labels in LABELS.items()
        ),
        Rule("the judge is named", "expect_column_values_to_not_be_null", {"column": "judge"}),
        Rule(
            "the judge's revision is given",
            "expect_column_value_lengths_to_be_between",
            {"column": "judge_revision", "min_value": 1},
        ),
        _one_value("one judge judged all", "judge"),
        _one_value("one revision of the judge judged all", "judge_revision"),
    ]


def cells(bounds: Validate) -> Suite:
    """Each trained cell as a whole."""
    return [
        *NAMED,
        _between("few verdicts are without a label", "unscored_share", high=bounds.max_unscored),
        _between("every cell was judged on the same completions", "missing", high=0),
    ]


SUITES: dict[str, Callable[[Validate], Suite]] = {
    "prompts": prompts,
    "sets": sets,
    "prefills": prefills,
    "sources": sources,
    "verdicts": verdicts,
    "cells": cells,
}
"""The suite of each table in recap/data/tables.py, by the table's name."""
