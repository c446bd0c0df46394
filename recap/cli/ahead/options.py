"""The options of ``recap run --dry-run``, from the command to the process that answers it."""

from __future__ import annotations

from dataclasses import dataclass

from recap.errors import ParameterError


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked; ``hardware`` as for `recap estimate`."""

    profile: str | None
    quick: bool
    hardware: str | None
    seed: int | None = None
    dry_run: bool = True


def arguments(asked: Asked) -> list[str]:
    """Those of ``python -m recap.cli.ahead``; raises ParameterError for options that do not fit."""
    if not asked.dry_run:
        raise ParameterError("Expected --dry-run with --hardware, got --hardware alone.")
    if asked.seed is not None:
        raise ParameterError(
            "Expected --dry-run without --seed, which writes params.yaml. Set the seed there."
        )
    if asked.profile == "debug":
        raise ParameterError("Expected --dry-run with a profile of whole stages, got debug.")
    if asked.quick and asked.profile is None:
        raise ParameterError("Expected --profile NAME with --quick, got --quick alone.")
    found = [f"--profile={asked.profile}"] if asked.profile is not None else []
    found += ["--quick"] if asked.quick else []
    return [*found, *([f"--hardware={asked.hardware}"] if asked.hardware is not None else [])]
