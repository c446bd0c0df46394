"""The judges by name, and the one arrow from a name to an opened judge.

Each says about itself what it needs and which domains it knows. A judge's module loads no model
library: the oracle needs no torch, and a stage that needs none starts quickly.
"""

from __future__ import annotations

from pathlib import Path

from recap.errors import ParameterError, choices
from recap.judges.api import ApiJudge
from recap.judges.correctness import MathJudge
from recap.judges.guardian import GuardianJudge
from recap.judges.judge import Judge, Means, check_thoughts
from recap.judges.oracle import OracleJudge
from recap.judges.refusal import RefusalJudge
from recap.judges.rubric import RubricJudge
from recap.params.judge import Judge as JudgeSection
from recap.params.world import World as WorldSection

JUDGES: dict[str, type[Judge]] = {
    judge.name: judge
    for judge in (
        OracleJudge,
        GuardianJudge,
        RubricJudge,
        ApiJudge,
        RefusalJudge,
        MathJudge,
    )
}


def find_judge(name: str, key: str) -> type[Judge]:
    """The judge of that name; raises ParameterError that names ``key`` when there is none."""
    if name not in JUDGES:
        raise ParameterError(
            f"Expected a judge among {choices(JUDGES)}, got '{name}'. Correct {key}, or register "
            "the judge in recap/judges/registry.py."
        )
    return JUDGES[name]


def check_judges(settings: JudgeSection) -> None:
    """Raise ParameterError unless both judges of the section are known and can do what it asks."""
    first = find_judge(settings.judge, "judge.judge")
    if settings.thoughts:
        check_thoughts(first)
    if settings.second is not None:
        find_judge(settings.second, "judge.second")


def open_judge(
    name: str,
    *,
    world: WorldSection,
    seed: int,
    guardian: Path,
    settings: JudgeSection | None = None,
) -> Judge:
    """The judge of that name, opened with ``Means``; raises ParameterError when there is none."""
    return find_judge(name, "judge.judge").open(Means(guardian, world, seed, settings))
