"""The run's findings as a short Markdown text, for a pull request: ``reports/report.md``.

It has only numbers and verdicts, never a prompt or a completion. Leaves out figures.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from recap.analysis.axes import Axes, benchmark_label, variant_label
from recap.analysis.claim_words import claim_words
from recap.analysis.findings import Findings
from recap.analysis.relative import Changes
from recap.analysis.settings import Settings
from recap.analysis.tables import DASH, NBSP, benchmarks, index, interval, main_keys, signed
from recap.analysis.verdicts import Verdict, trainings
from recap.report.figures import cell_label
from recap.types.decisions import GateCheck, GateDecision
from recap.types.results import BenchmarkResult, CellResult, Metric, RubricScore

MARKS: dict[Verdict, str] = {
    "holds": "✔",
    "seen in two trainings": "(✔)",
    "seen in one training": "(✔)",
    "does not hold": "✘",
    "cannot tell": "?",
    "not measured": DASH,
}


def markdown(
    findings: Findings,
    cells: Sequence[CellResult],
    decision: GateDecision,
    settings: Settings,
    axes: Axes,
) -> str:
    """Headline, table, gate, claims and the paper's averages, in this order."""
    candidate, baseline = variant_label(settings.candidate), variant_label(settings.baseline)
    passed = "passed" if decision.passed else "not passed"
    parts = [
        f"## {findings.headline.title}",
        *findings.headline.points,
        f"**Gate: {passed}** ({candidate} against {baseline})",
        table(
            ["Condition", "Measured", "Asked", ""],
            [[c.name, c.measured, c.required, met(c)] for c in decision.checks],
        ),
        "### Rates",
        "Percent of scored prompts with 95 % Wilson intervals; "
        f"{DASH} is not measured, never zero.",
        _rates(cells, axes),
        "### The paper's claims",
        f"By paired 95 % intervals in {trainings(findings.trainings)}; what one or two show was "
        "seen there and does not hold yet. Directions compare, levels do not.",
        _claims(findings),
    ]
    if findings.aggregates:
        parts += ["### Two ways to average", _aggregates(findings)]
    return "\n\n".join(parts).replace(NBSP, " ") + "\n"


def _rates(cells: Sequence[CellResult], axes: Axes) -> str:
    main = main_keys(cells)
    rows = []
    for result in benchmarks(cells):
        key = (result.benchmark, result.place)
        if key in main:
            measured = [index(cell).get(key) for cell in cells]
            rates = [_rate(found.rate if found else None) for found in measured]
            rows.append([benchmark_label(*key, axes), result.score, *rates])
            if result.pass_at_k:
                rows.append(
                    [
                        f"{benchmark_label(*key, axes)}, any of {result.pass_at_k[-1].k}",
                        result.score,
                        *(_any_of(found) for found in measured),
                    ]
                )
            if any(found is not None and found.rubric for found in measured):
                scores = [found.rubric if found else None for found in measured]
                label = f"{benchmark_label(*key, axes)}, by rubric"
                rows.append([label, "items not met", *(_rate(score) for score in scores)])
            if any(found is not None and found.thought for found in measured):
                thoughts = [found.thought if found else None for found in measured]
                label = f"{benchmark_label(*key, axes)}, the thought by itself"
                rows.append([label, result.score, *(_rate(each) for each in thoughts)])
    return table(["Benchmark", "Success", *(cell_label(cell, cells) for cell in cells)], rows)


def _rate(rate: Metric | RubricScore | None) -> str:
    if rate is None or rate.value is None:
        return DASH
    return f"{100 * rate.value:.1f} [{interval(rate.low, rate.high)}]"


def _any_of(found: BenchmarkResult | None) -> str:
    """pass@k of all samples."""
    at = found.pass_at_k[-1] if found is not None and found.pass_at_k else None
    if at is None or at.value is None:
        return DASH
    return f"{100 * at.value:.1f} [{interval(at.low, at.high)}]"


def _claims(findings: Findings) -> str:
    rows = []
    for claim in map(claim_words, findings.claims):
        shown = [
            f"{part.what}: {part.here}" for part in claim.parts if part.verdict != "not measured"
        ]
        measured = "<br>".join([*shown, *([claim.needs] if claim.needs else [])])
        verdict = f"{MARKS[claim.verdict]} {claim.verdict}"
        rows.append([str(claim.number), claim.text, verdict, measured])
    return table(["", "Claim", "Verdict", "Measured here (points)"], rows)


def _aggregates(findings: Findings) -> str:
    rows = []
    for each in findings.aggregates:
        relative = each.changes.mean_relative
        rows.append(
            [
                each.family,
                each.where,
                signed(100 * each.changes.mean_difference),
                DASH if relative is None else f"{signed(100 * relative)} %{_over(each.changes)}",
            ]
        )
    return table(
        ["Over", "Where", "Difference of means (points)", "Mean of relative changes"], rows
    )


def met(check: GateCheck) -> str:
    """Whether a condition was met, and the missing evidence if it cannot be decided."""
    if check.passed:
        return "met"
    return f"**not enough evidence**: {check.lacking}" if check.lacking else "**missed**"


def _over(changes: Changes) -> str:
    """The number of benchmarks in a relative change, if it is not all of them."""
    if changes.num_relative == changes.num_benchmarks:
        return ""
    return f" ({changes.num_relative} of {changes.num_benchmarks})"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; escapes characters that would end a cell."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(map(_escaped, line)) + " |" for line in lines)


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
