"""The gate's decision, and the evidence that a version carries."""

from __future__ import annotations

from recap.types.row import Row


class GateCheck(Row):
    """One condition of the gate, with its measured and its required value.

    ``lacking``: the missing evidence if there is too little to decide, else ``None``. Such a check
    is not passed.
    """

    name: str
    passed: bool
    measured: str
    required: str
    lacking: str | None = None


class GateDecision(Row):
    """Whether the candidate may become challenger. A "no" is a result, not a crash."""

    candidate: str
    baseline: str
    passed: bool
    checks: list[GateCheck]


class BenchmarkAnswers(Row):
    """One benchmark and round of a version, a row in each list for every completion.

    ``success`` has 1, 0 or ``?`` (unscored) for each.
    """

    benchmark: str
    place: int
    prompts: list[str]
    samples: list[int]
    clusters: list[str | None]
    success: str


class VersionEvidence(Row):
    """The evidence that a version carries for later comparisons: outcomes on the gated benchmarks.

    ``inputs`` are digests by name (prompts, prefills, attack settings). ``judges`` have a name, a
    revision and the digest of a prompt. Two versions are comparable only if both fields are equal.
    """

    inputs: dict[str, str]
    judges: list[str]
    answers: list[BenchmarkAnswers]
