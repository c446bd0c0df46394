"""Agreement of the second judge with the first on one cell, by domain, and its calibration.

Only completions that both judges were asked about count. A rule labels incomplete and overflowed
completions, so counting them would inflate the agreement. Rates, gate and claims use only the first
judge.
"""

from __future__ import annotations

from collections.abc import Sequence

from recap.errors import DataError
from recap.evaluation.agreement import agreement
from recap.evaluation.calibration import brier, calibration
from recap.params.evaluate import Evaluate
from recap.params.seeds import derive_seed
from recap.types.attacks import Completion
from recap.types.results import Agreement, CellAgreement
from recap.types.row import SUCCESS
from recap.types.verdicts import Verdict, answer_key

Pair = tuple[Completion, Verdict, Verdict]
"""A completion with the first and the second judge's verdict on it."""


def cell_agreement(
    pairs: Sequence[Pair],
    *,
    variant: str,
    replicate: int,
    settings: Evaluate,
    seed: int,
) -> CellAgreement:
    """Agreement in each domain, and the calibration of the second judge's P(unsafe)."""
    agreements = []
    for domain in SUCCESS:
        rows = [pair for pair in pairs if pair[0].domain == domain]
        if not rows:
            continue
        found = agreement(
            [first.label for _, first, _ in rows],
            [second.label for _, _, second in rows],
            [_cluster(row) for row, _, _ in rows],
            resamples=settings.bootstrap,
            seed=derive_seed(seed, "agreement", domain),
        )
        agreements.append(
            Agreement(
                domain=domain,
                first=rows[0][1].judge,
                second=rows[0][2].judge,
                n=found.n,
                n_unscored=found.n_unscored,
                accuracy=found.accuracy,
                kappa=found.kappa,
                kappa_low=found.low,
                kappa_high=found.high,
                confusion=list(found.confusion),
            )
        )
    scored = [
        (second.score, first.label == "unsafe", _cluster(row))
        for row, first, second in pairs
        if row.domain == "harmful" and first.label is not None and second.score is not None
    ]
    scores, unsafe = [score for score, _, _ in scored], [known for _, known, _ in scored]
    bins = calibration(
        scores,
        unsafe,
        [cluster for _, _, cluster in scored],
        resamples=settings.bootstrap,
        seed=derive_seed(seed, "calibration"),
    )
    return CellAgreement(
        variant=variant,
        seed=replicate,
        agreements=agreements,
        calibration=bins if scored else [],
        brier=brier(scores, unsafe),
    )


def paired(
    completions: Sequence[Completion], first: Sequence[Verdict], second: Sequence[Verdict]
) -> list[Pair]:
    """The completions that both judges were asked about, in their order.

    The second judge may know only some domains. Raises DataError if it lacks a verdict in one of
    these, or has a verdict on another completion.
    """
    ours, theirs = {answer_key(row): row for row in first}, {answer_key(row): row for row in second}
    domains = {row.domain for row in completions if answer_key(row) in theirs}
    owed = {answer_key(row) for row in completions if row.domain in domains}
    if owed != set(theirs) or len(theirs) != len(second):
        raise DataError(
            f"Expected one verdict of the second judge for each of {len(owed)} completions, got "
            f"{len(second)} with {len(owed & set(theirs))} in common. Run the judge stage again."
        )
    return [
        (row, ours[answer_key(row)], theirs[answer_key(row)])
        for row in completions
        if row.domain in domains and not row.incomplete and row.finish_reason != "overflow"
    ]


def _cluster(row: Completion) -> str:
    return row.cluster or row.prompt_id
