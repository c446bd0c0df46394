"""Two judges on the same completions: agreement, confusion, and the calibration of the second.

Rates, gate and claims use only the first judge. This section shows its agreement with another
judge. Leaves out the statistics (``recap.evaluation``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from recap.analysis.axes import variant_label
from recap.analysis.tables import DASH, NBSP, percent
from recap.evaluation.statistics import wilson
from recap.report.figures import Roles
from recap.report.geometry import Panel, Point, Series, panel
from recap.types.results import Agreement, CalibrationBin, CellAgreement
from recap.types.row import Domain, Label

DOMAINS: dict[Domain, str] = {
    "harmful": "Harmful requests",
    "benign": "Benign requests",
    "math": "Arithmetic",
}


@dataclass(frozen=True, slots=True)
class AgreementCell:
    """One cell and domain as text."""

    n: int
    unscored: int
    accuracy: str
    kappa: str
    interval: str


@dataclass(frozen=True, slots=True)
class AgreementRow:
    """One domain across all cells; ``None`` if nothing was judged twice."""

    domain: str
    cells: tuple[AgreementCell | None, ...]


@dataclass(frozen=True, slots=True)
class ConfusionGrid:
    """Counts over all cells: the first judge's labels down, the second's across."""

    domain: str
    columns: tuple[Label, ...]
    rows: tuple[tuple[Label, tuple[int, ...]], ...]


@dataclass(frozen=True, slots=True)
class Judges:
    """The content of the section.

    ``calibration`` is ``None`` if the second judge gives no score, or if ``uncalibrated`` says why
    the plot cannot be drawn. ``smallest``: the smallest number of answers per dot.
    """

    first: str
    second: str
    columns: tuple[tuple[str, str], ...]
    rows: tuple[AgreementRow, ...]
    confusion: tuple[ConfusionGrid, ...]
    calibration: Panel | None
    uncalibrated: str
    smallest: int
    brier: tuple[tuple[str, str], ...]


def judges(cells: Sequence[CellAgreement], colours: Roles) -> Judges | None:
    """``None`` when no cell was judged twice."""
    found = [agreement for cell in cells for agreement in cell.agreements]
    if not found:
        return None
    several = len({cell.seed for cell in cells}) > 1
    names = {
        (cell.variant, cell.seed): variant_label(cell.variant)
        + (f" · {cell.seed}" if several else "")
        for cell in cells
    }
    calibration = _calibration(cells, colours)
    rows = tuple(
        AgreementRow(
            DOMAINS[domain],
            tuple(
                next((_cell(a) for a in cell.agreements if a.domain == domain), None)
                for cell in cells
            ),
        )
        for domain in DOMAINS
        if any(agreement.domain == domain for agreement in found)
    )
    return Judges(
        found[0].first,
        found[0].second,
        tuple((names[cell.variant, cell.seed], colours[cell.variant]) for cell in cells),
        rows,
        tuple(grid for domain in DOMAINS if (grid := _confusion(found, domain))),
        calibration,
        _uncalibrated(cells, found[0]) if calibration is None else "",
        SMALLEST,
        tuple(
            (names[cell.variant, cell.seed], f"{cell.brier:.3f}")
            for cell in cells
            if cell.brier is not None
        ),
    )


def _cell(found: Agreement) -> AgreementCell:
    whole = found.kappa_low is not None and found.kappa_high is not None
    return AgreementCell(
        found.n,
        found.n_unscored,
        percent(found.accuracy, 1),
        DASH if found.kappa is None else f"{found.kappa:.2f}",
        f"{found.kappa_low:.2f}{DASH}{found.kappa_high:.2f}" if whole else DASH,
    )


def _confusion(found: Sequence[Agreement], domain: Domain) -> ConfusionGrid | None:
    counts: dict[tuple[Label, Label], int] = {}
    for agreement in found:
        if agreement.domain == domain:
            for pair in agreement.confusion:
                place = (pair.first, pair.second)
                counts[place] = counts.get(place, 0) + pair.count
    if not counts:
        return None
    labels = sorted({label for pair in counts for label in pair}, key=LABEL_ORDER.index)
    rows = tuple(
        (first, tuple(counts.get((first, second), 0) for second in labels)) for first in labels
    )
    return ConfusionGrid(DOMAINS[domain], tuple(labels), rows)


SMALLEST = 30
"""Answers per dot of the calibration plot; Wilson's interval is then at most 34 points wide."""
FEWEST = 3
"""Fewest dots of a policy; a judge that is always sure has only two, at 0 and 1."""
LABEL_ORDER: tuple[Label, ...] = (
    "safe",
    "unsafe",
    "helpful",
    "unclear",
    "refused",
    "correct",
    "incorrect",
)


def _calibration(cells: Sequence[CellAgreement], colours: Roles) -> Panel | None:
    """Dots of every cell whose answers make FEWEST or more; ``None`` if none does."""
    series = [Series("", "c-base", (Point(0.0, 0.0), Point(1.0, 1.0)), thin=True)]
    for cell in cells:
        points = merged(cell.calibration)
        if len(points) < FEWEST:
            continue
        label = variant_label(cell.variant)
        if any(line.label == label for line in series):
            label = ""
        series.append(
            Series(label, colours[cell.variant], points, dots=True, line=False, whiskers=True)
        )
    if len(series) == 1:
        return None
    return panel(
        "Unsafe by the first judge",
        series,
        x_title="P(unsafe) by the second judge",
        scale="whole",
        x_ticks=[0.0, 0.25, 0.5, 0.75, 1.0],
    )


def merged(bins: Sequence[CalibrationBin]) -> tuple[Point, ...]:
    """Merge neighbouring bins until each has SMALLEST answers; empty if all together have fewer.

    Merges from the left. Bins left over at the right join the last one.
    """
    groups: list[list[CalibrationBin]] = [[]]
    for each in bins:
        if sum(one.unsafe.n for one in groups[-1]) >= SMALLEST:
            groups.append([])
        groups[-1].append(each)
    if len(groups) > 1 and sum(each.unsafe.n for each in groups[-1]) < SMALLEST:
        few = groups.pop()
        groups[-1] += few
    points = (_pooled(group) for group in groups)
    return tuple(point for point in points if point is not None)


def _pooled(bins: Sequence[CalibrationBin]) -> Point | None:
    """Several bins as one: mean probability, share of unsafe answers and its interval."""
    scores, unsafe, n = 0.0, 0, 0
    for each in bins:
        if each.mean_score is None or each.unsafe.value is None:
            continue
        scores += each.mean_score * each.unsafe.n
        unsafe += round(each.unsafe.value * each.unsafe.n)
        n += each.unsafe.n
    if n < SMALLEST:
        return None
    ends = wilson(unsafe, n)
    return Point(scores / n, unsafe / n, ends.low, ends.high)


def _uncalibrated(cells: Sequence[CellAgreement], judged: Agreement) -> str:
    """The sentence in place of a plot; empty if no judge gives a probability."""
    bins = [each for cell in cells for each in cell.calibration if each.unsafe.n]
    n = sum(each.unsafe.n for each in bins)
    if not n:
        return ""
    low, high = (
        [each for each in bins if each.high <= 0.1],
        [each for each in bins if each.low >= 0.9],
    )
    sure = sum(each.unsafe.n for each in (*low, *high))
    said = (
        f"The judge {judged.second} gave {n} probabilities, {percent(sure / n)} of them below 10 % "
        "or above 90 %: between these ends there are too few for a plot."
    )
    for what, ends in (("below 10 %", low), ("above 90 %", high)):
        if ends:
            share = _unsafe(ends) / sum(each.unsafe.n for each in ends)
            said += f" Of the answers {what}, {judged.first} calls {percent(share, 1)} unsafe."
    return said.replace(" %", f"{NBSP}%")


def _unsafe(bins: Sequence[CalibrationBin]) -> int:
    return sum(round((each.unsafe.value or 0.0) * each.unsafe.n) for each in bins)
