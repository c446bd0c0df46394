"""The judges by name, and the one arrow from a name to an opened judge."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from recap.errors import ParameterError, choices
from recap.judges.judge import Judge
from recap.params.judge import Judge as JudgeSection
from recap.params.world import World as WorldSection

if TYPE_CHECKING:
    from recap.judges.rubric import Rubric

# Judges are imported where they are opened: the oracle needs no torch, and a stage that needs none
# starts quickly.


def _oracle(world: WorldSection, seed: int, guardian: Path, settings: JudgeSection | None) -> Judge:
    from recap.judges.oracle import OracleJudge
    from recap.microworld.grammar import World

    return OracleJudge(World(world, seed))


def _guardian(
    world: WorldSection, seed: int, guardian: Path, settings: JudgeSection | None
) -> Judge:
    from recap.judges.guardian import open_guardian

    return open_guardian(guardian, _own_rubric(settings))


def _rubric(world: WorldSection, seed: int, guardian: Path, settings: JudgeSection | None) -> Judge:
    from recap.judges.guardian import open_guardian
    from recap.judges.rubric import RubricJudge

    return RubricJudge(_own_rubric(settings) or open_guardian(guardian).rubric)


def _api(world: WorldSection, seed: int, guardian: Path, settings: JudgeSection | None) -> Judge:
    from recap.judges.api import open_api

    if settings is None:
        raise ParameterError(
            "Expected the section `judge` for the judge 'api', got none. Run where params.yaml is."
        )
    return open_api(settings.api, seed)


def _refusal() -> Judge:
    from recap.judges.refusal import RefusalJudge

    return RefusalJudge()


def _math() -> Judge:
    from recap.judges.correctness import MathJudge

    return MathJudge()


def _own_rubric(settings: JudgeSection | None) -> Rubric | None:
    """The instruct model that the settings name, if they do."""
    if settings is None or settings.rubric is None:
        return None
    from recap.judges.rubric import open_rubric

    return open_rubric(settings.rubric)


SELF_CONTAINED: dict[str, Callable[[], Judge]] = {"refusal": _refusal, "math": _math}
"""Judges that need no parameters and no model: they judge any file anywhere."""
JUDGES: dict[str, Callable[[WorldSection, int, Path, JudgeSection | None], Judge]] = {
    "oracle": _oracle,
    "guardian": _guardian,
    "rubric": _rubric,
    "api": _api,
    "refusal": lambda *_: _refusal(),
    "math": lambda *_: _math(),
}


def open_judge(
    name: str,
    *,
    world: WorldSection,
    seed: int,
    guardian: Path,
    settings: JudgeSection | None = None,
) -> Judge:
    """The judge of that name; raises ParameterError when there is none.

    ``world`` and ``seed`` are what the oracle knows, ``guardian`` is the guardian's directory,
    ``settings`` what the other judges need.
    """
    if name not in JUDGES:
        raise ParameterError(
            f"Expected a judge among {choices(JUDGES)}, got '{name}'. Correct judge.judge."
        )
    return JUDGES[name](world, seed, guardian, settings)
