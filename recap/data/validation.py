"""The result of a validation as plain rows: counts and row names, never values of the data.

Contains no times and random ids, so that equal data give equal files.
"""

from __future__ import annotations

from recap.types.row import Row

SHOWN_ROWS = 10


class RuleResult(Row):
    """One expectation: ``violations`` of ``rows`` values, or the one ``observed`` figure.

    ``row_names`` are the first violating rows. ``applies_to`` is the condition, if there is one.
    """

    rule: str
    expectation: str
    column: str
    applies_to: str | None
    passed: bool
    rows: int | None
    violations: int | None
    observed: float | int | None
    row_names: list[str]

    def sentence(self) -> str:
        """``ids are unique (expect_column_values_to_be_unique on row): 2 of 10 rows: a, b``."""
        start = f"{self.rule} ({self.expectation} on {self.column})"
        if self.violations is None:
            return f"{start}: observed {self.observed}"
        more = ", ..." if len(self.row_names) == SHOWN_ROWS < self.violations else ""
        return f"{start}: {self.violations} of {self.rows} rows: {', '.join(self.row_names)}{more}"


class SuiteResult(Row):
    """All expectations of one table of rows."""

    suite: str
    passed: bool
    rows: int
    rules: list[RuleResult]


class Validation(Row):
    """The result of stage ``validate`` for one of its tables."""

    table: str
    passed: bool
    suites: list[SuiteResult]

    def failures(self) -> list[str]:
        """A sentence for each violated expectation."""
        return [
            f"{suite.suite}: {rule.sentence()}"
            for suite in self.suites
            for rule in suite.rules
            if not rule.passed
        ]
