"""Which prefills a variant trains with, and which it must not."""

from __future__ import annotations

import pytest

from recap.errors import DataError, ParameterError
from recap.rl.prefill_source import check_coverage, training_prefills, training_records
from recap.rows import write_rows
from recap.types.prompts import Prefill, PromptRecord


def record(name, domain):
    return PromptRecord(
        id=name, domain=domain, prompt="x", target=None, source="microworld", split="train"
    )


def prefill(name, source, rejected=None):
    return Prefill(
        prompt_id=name,
        text=f"thought of {source}",
        intent={"harmful": "harmful", "refusing": "refusing"}.get(source, "aligned"),
        source_model=source,
        num_words=3,
        num_tokens=3,
        response="y",
        rejected=rejected,
    )


RECORDS = [record("h", "harmful"), record("b", "benign"), record("m", "math")]


@pytest.fixture
def directory(tmp_path):
    for source in ("harmful", "refusing", "aligned"):
        write_rows(tmp_path / f"{source}.jsonl", [prefill(r.id, source) for r in RECORDS])
    return tmp_path


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("counter", {"h": "harmful", "b": "refusing"}),
        ("aligned", {"h": "aligned", "b": "aligned"}),
        ("none", {}),
        ("self", {}),
    ],
)
def test_each_domain_has_its_source(directory, source, expected):
    found = training_prefills(source, directory, RECORDS)
    assert {name: p.source_model for name, p in found.items()} == expected


def test_rejected_and_foreign_prefills_are_left_out(directory):
    rows = [prefill("h", "harmful", rejected="safe answer"), prefill("elsewhere", "harmful")]
    write_rows(directory / "harmful.jsonl", rows)
    assert set(training_prefills("counter", directory, RECORDS)) == {"b"}


def test_evaluation_sources_are_refused(directory):
    write_rows(directory / "harmful.jsonl", [prefill("h", "harmful_eval")])
    with pytest.raises(ParameterError, match="'harmful_eval', which is kept for evaluation"):
        training_prefills("counter", directory, RECORDS)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"harmful\.jsonl"):
        training_prefills("counter", tmp_path, RECORDS)


@pytest.mark.parametrize(("max_missing", "raises"), [(0.5, False), (0.49, True), (0.0, True)])
def test_too_many_prompts_without_a_prefill(max_missing, raises):
    prefills = {"h": prefill("h", "harmful")}
    if raises:
        with pytest.raises(DataError, match="1 have none"):
            check_coverage(RECORDS[:2], prefills, max_missing)
    else:
        check_coverage(RECORDS[:2], prefills, max_missing)


def test_no_prompt_that_may_get_a_prefill_lacks_none():
    check_coverage([], {}, 0.0)


@pytest.mark.parametrize(
    ("subset", "expected"), [("all", "hbm"), ("alignment", "hb"), ("math", "m")]
)
def test_a_subset_is_of_whole_domains(subset, expected):
    assert [one.id for one in training_records(subset, RECORDS)] == list(expected)
