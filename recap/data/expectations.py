"""Great Expectations over the three tables: suites in code, a checkpoint run, Data Docs.

This is the only module that imports great_expectations, which takes seconds, so import the module
where it is used. Its tables (recap/data/tables.py) hold no text, and its context stays in memory.
Leaves out GX's stores, profilers and cloud.
"""

from __future__ import annotations

import datetime
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import great_expectations as gx
import pandas
from great_expectations.checkpoint import Checkpoint, UpdateDataDocsAction
from great_expectations.core.run_identifier import RunIdentifier
from great_expectations.data_context.types.base import ProgressBarsConfig
from great_expectations.expectations.expectation_configuration import ExpectationConfiguration
from great_expectations.expectations.row_conditions import Column

from recap.data.docs_page import index_page, offline_page
from recap.data.suites import SUITES, Rule, Suite
from recap.data.tables import Table
from recap.data.validation import SHOWN_ROWS, RuleResult, SuiteResult, Validation
from recap.errors import DataError
from recap.params.validate import Validate

RUN = RunIdentifier("validate", datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC))
"""A fixed run name, because outputs contain no times."""

RESULT_FORMAT = {
    "result_format": "SUMMARY",
    "unexpected_index_column_names": ["row"],
    "exclude_unexpected_values": True,
    "partial_unexpected_count": SHOWN_ROWS,
}
"""Results name violating rows without values; GX's default copies values into its pages."""


def validate(table: str, tables: Sequence[Table], bounds: Validate, docs: Path) -> Validation:
    """Run each table's suite and write its pages to the folder ``docs``, which is replaced.

    Raises DataError if an expectation cannot be evaluated. The result lists violated expectations.
    """
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    with tempfile.TemporaryDirectory() as site:
        backend = {"class_name": "TupleFilesystemStoreBackend", "base_directory": site}
        context.add_data_docs_site(table, {"class_name": "SiteBuilder", "store_backend": backend})
        suites = [_run(context, each, SUITES[each.name](bounds), table) for each in tables]
        result = Validation(table=table, passed=all(s.passed for s in suites), suites=suites)
        _write_docs(Path(site), docs, result)
    return result


def _run(context: Any, table: Table, rules: Suite, site: str) -> SuiteResult:
    """Run one checkpoint over one table; also writes its page into ``site``."""
    asset = context.data_sources.add_pandas(table.name).add_dataframe_asset(table.name)
    suite = gx.ExpectationSuite(table.name, expectations=[_expectation(rule) for rule in rules])
    definition = gx.ValidationDefinition(
        name=table.name,
        data=asset.add_batch_definition_whole_dataframe("rows"),
        suite=context.suites.add(suite),
    )
    checkpoint = Checkpoint(
        name=table.name,
        validation_definitions=[context.validation_definitions.add(definition)],
        actions=[UpdateDataDocsAction(name="docs", site_names=[site])],
        result_format=RESULT_FORMAT,
    )
    run = context.checkpoints.add(checkpoint).run(
        batch_parameters={"dataframe": pandas.DataFrame(table.rows)}, run_id=RUN
    )
    (found,) = run.run_results.values()
    by_name = {result.expectation_config.meta["rule"]: result for result in found.results}
    return SuiteResult(
        suite=table.name,
        passed=bool(found.success),
        rows=len(table.rows),
        rules=[_result(rule, by_name[rule.name]) for rule in rules],
    )


def _expectation(rule: Rule) -> Any:
    kwargs = dict(rule.bounds)
    if rule.where is not None:
        column, value = rule.where
        kwargs["row_condition"] = Column(column) == value
    return ExpectationConfiguration(
        type=rule.expectation,
        kwargs=kwargs,
        meta={"rule": rule.name},
        notes=rule.name[0].upper() + rule.name[1:] + ".",
    ).to_domain_obj()


def _result(rule: Rule, found: Any) -> RuleResult:
    outcome, trouble = found.result, found.exception_info
    if "raised_exception" not in trouble or trouble["raised_exception"]:
        raise DataError(
            f"Expected the rule '{rule.name}' ({rule.expectation}) to be evaluated, but Great "
            f"Expectations failed: {trouble}. Install the versions in constraints.txt."
        )
    names: list[str] = []
    for entry in outcome.get("partial_unexpected_index_list") or []:
        names += entry["row"] if isinstance(entry["row"], list) else [entry["row"]]
    observed = outcome.get("observed_value")
    where = rule.where
    return RuleResult(
        rule=rule.name,
        expectation=rule.expectation,
        column=" and ".join(v for k, v in rule.bounds.items() if k.startswith("column")),
        applies_to=f"{where[0]} = {where[1]}" if where else None,
        passed=bool(found.success),
        rows=outcome.get("element_count"),
        violations=outcome.get("unexpected_count"),
        observed=None if observed is None else int(observed),
        row_names=list(dict.fromkeys(names))[:SHOWN_ROWS],
    )


def _write_docs(site: Path, docs: Path, result: Validation) -> None:
    """Write GX's result pages, made self-contained, and an index page."""
    if docs.exists():
        shutil.rmtree(docs)
    docs.mkdir(parents=True)
    for suite in result.suites:
        (page,) = (site / "validations" / suite.suite).rglob("*.html")
        html = offline_page(page.read_text(encoding="utf-8"), f"Suite {suite.suite}")
        (docs / f"{suite.suite}.html").write_text(html, encoding="utf-8")
    (docs / "index.html").write_text(index_page(result), encoding="utf-8")
