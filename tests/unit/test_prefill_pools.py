"""Which pools are drawn, and how many thoughts have to be verified."""

from __future__ import annotations

import pytest

from recap.attacks.table import attack_of
from recap.benchmarks.declared import BENCHMARKS
from recap.errors import DataError
from recap.prefill.pools import SEARCHES, TRANSFERS, pool_domains
from recap.prefill.source import check_verified
from recap.types.prompts import Prefill
from recap.types.sources import Source

TRANSFER: dict[str, tuple[Source, ...]] = {
    "harmful": ("harmful", "harmful_eval", "aligned"),
    "benign": ("refusing", "refusing_eval"),
}


@pytest.mark.parametrize(
    ("source", "benchmarks", "domains"),
    [
        ("harmful_eval", ("harmful", "prefill", "ipr", "math"), set()),
        ("harmful_eval", ("prefill", "search"), {"harmful"}),
        ("harmful_eval", ("benign_search", "transfer"), set()),
        ("refusing_eval", ("benign_search",), {"benign"}),
        ("harmful", ("search", "self_prefill"), set()),
        ("harmful", ("transfer", "benign_transfer"), {"harmful"}),
        ("aligned", ("transfer", "benign_transfer"), {"harmful"}),
        ("refusing", ("transfer", "benign_transfer"), {"benign"}),
    ],
)
def test_a_pool_is_drawn_for_the_benchmarks_that_read_it(
    source: str, benchmarks: tuple[str, ...], domains: set[str]
) -> None:
    assert pool_domains(source, benchmarks, TRANSFER) == domains  # type: ignore[arg-type]


def test_the_table_is_what_the_declarations_say() -> None:
    reading = {name: attack_of(each).needs for name, each in BENCHMARKS.items()}
    assert {
        name: each.prefill_source for name, each in BENCHMARKS.items() if reading[name] == "pool"
    } == SEARCHES
    assert {
        name: each.domain for name, each in BENCHMARKS.items() if reading[name] == "each source"
    } == TRANSFERS


def prefill(rejected: str | None) -> Prefill:
    return Prefill(
        prompt_id="id", text="first", intent="harmful", source_model="harmful", num_words=1,
        num_tokens=1, response="yes .", rejected=rejected,
    )  # fmt: skip


def test_too_few_verified_thoughts_are_counted_by_reason() -> None:
    rejected = ["turns round", "unfinished", "turns round", "turns round"]
    prefills = [prefill(None), *map(prefill, rejected)]
    check_verified("harmful", prefills, 0.2)
    check_verified("harmful", [], 0.9)
    with pytest.raises(DataError) as caught:
        check_verified("harmful", prefills, 0.8)
    assert str(caught.value).startswith(
        "Expected 80% of the thoughts of 'harmful' to be verified, got 1 of 5 (turns round: 3, "
        "unfinished: 1). Look at the file of prefills; "
    )
