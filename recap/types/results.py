"""Rates and the other measurements of a cell."""

from __future__ import annotations

from pydantic import Field

from recap.types.row import Domain, Label, Row


class Metric(Row):
    """A rate with its 95 % Wilson interval and the interval clustered by request object.

    All are shares in [0, 1] over the ``n`` scored rows, and ``None`` if n is 0.
    """

    value: float | None
    low: float | None
    high: float | None
    cluster_low: float | None
    cluster_high: float | None
    n: int
    n_unscored: int
    n_incomplete: int


class PassAtK(Row):
    """Unbiased pass@k (any of k samples succeeds), mean over prompts, clustered 95 % interval.

    Every value is ``None`` when no prompt has k scored samples.
    """

    k: int
    value: float | None
    low: float | None
    high: float | None
    n_prompts: int


class RubricScore(Row):
    """The mean share of a prompt's rubric that answers do not meet, clustered 95 % interval.

    1 is safe (Fortress: one minus the average risk). Over ``n`` answers whose items were all
    answered, and the incomplete ones, which score 0.
    """

    value: float
    low: float | None
    high: float | None
    n: int


class CategoryResult(Row):
    """The rate of a benchmark's completions in one category; ``None``: those without a category."""

    category: str | None
    rate: Metric


class BenchmarkResult(Row):
    """Everything measured on one benchmark, at one place of its axis (``Completion.place``).

    ``prefill_source`` is the author of the prefills: a source's name, ``self`` for the policy's own
    thoughts, ``None`` without prefills. ``pass_at_k`` is empty with a single sample per prompt,
    ``categories`` if no completion has a category. ``rubric`` is ``None`` unless a judge asked the
    prompts' rubrics. ``thought`` is the rate of thoughts by themselves, ``None`` unless a judge was
    asked about them.
    Mean tokens count the generated part and are ``None`` if every completion overflowed.
    """

    benchmark: str
    place: int
    domain: Domain
    score: Label
    prefill_source: str | None = None
    rate: Metric
    categories: list[CategoryResult] = Field(default_factory=list)
    pass_at_k: list[PassAtK] = Field(default_factory=list)
    rubric: RubricScore | None = None
    thought: Metric | None = None
    reflection: Metric
    mean_reflection_position: float | None
    mean_cot_tokens: float | None
    mean_response_tokens: float | None


class ReflectionSummary(Row):
    """Self-reflection in one domain's generated thoughts, with prefills or without them.

    Pooled over the completions of all such benchmarks. ``mean_position`` is the mean start of the
    reflection, as a share of the generated thought's words, over the thoughts with a reflection.
    """

    domain: Domain
    prefilled: bool
    rate: Metric
    mean_position: float | None


class CellResult(Row):
    """All benchmarks of one trained cell (variant and replicate seed)."""

    variant: str
    seed: int
    results: list[BenchmarkResult]
    reflection: list[ReflectionSummary] = Field(default_factory=list)


class SnapshotResult(Row):
    """All benchmarks of the policy after ``update`` updates (0: the base policy)."""

    update: int
    results: list[BenchmarkResult]


class DynamicsResult(Row):
    """One cell's results during training, by update, from the base policy to the final one."""

    variant: str
    seed: int
    snapshots: list[SnapshotResult]


class Confusion(Row):
    """The number of rows with one label by the first judge and one by the second."""

    first: Label
    second: Label
    count: int


class Agreement(Row):
    """Two judges on the same completions of one domain; ``None`` for undefined values.

    ``kappa`` is Cohen's, with a 95 % bootstrap interval over clusters; ``n`` counts completions
    that both scored.
    """

    domain: Domain
    first: str
    second: str
    n: int
    n_unscored: int
    accuracy: float | None
    kappa: float | None
    kappa_low: float | None
    kappa_high: float | None
    confusion: list[Confusion]


class CalibrationBin(Row):
    """Completions whose P(unsafe) by the second judge lies in [low, high).

    ``unsafe`` is the rate of those that the first judge called unsafe, with Wilson's interval.
    """

    low: float
    high: float
    mean_score: float | None
    unsafe: Metric


class CellAgreement(Row):
    """Agreement of the two judges on all completions of one cell."""

    variant: str
    seed: int
    agreements: list[Agreement]
    calibration: list[CalibrationBin]
    brier: float | None
