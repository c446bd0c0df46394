"""The judges by name, and the one arrow from a name to an opened judge."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from recap import params
from recap.errors import ParameterError, choices
from recap.judges.judge import Judge


def _oracle(world: params.World, seed: int, guardian: Path) -> Judge:
    from recap.judges.oracle import OracleJudge
    from recap.microworld.grammar import World

    return OracleJudge(World(world, seed))


def _guardian(world: params.World, seed: int, guardian: Path) -> Judge:
    # imported here: the oracle needs no torch, and a stage that needs none starts quickly
    from recap.judges.guardian import open_guardian

    return open_guardian(guardian)


def _refusal() -> Judge:
    from recap.judges.refusal import RefusalJudge

    return RefusalJudge()


def _math() -> Judge:
    from recap.judges.correctness import MathJudge

    return MathJudge()


SELF_CONTAINED: dict[str, Callable[[], Judge]] = {"refusal": _refusal, "math": _math}
"""Judges that need no parameters and no model: they judge any file anywhere."""
JUDGES: dict[str, Callable[[params.World, int, Path], Judge]] = {
    "oracle": _oracle,
    "guardian": _guardian,
    "refusal": lambda *_: _refusal(),
    "math": lambda *_: _math(),
}


def open_judge(name: str, *, world: params.World, seed: int, guardian: Path) -> Judge:
    """The judge of that name; raises ParameterError when there is none.

    ``world`` and ``seed`` are what the oracle knows, ``guardian`` is the guardian's directory.
    """
    if name not in JUDGES:
        raise ParameterError(
            f"Expected a judge among {choices(JUDGES)}, got '{name}'. Correct judge.judge."
        )
    return JUDGES[name](world, seed, guardian)
