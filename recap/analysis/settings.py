"""The settings in which variants differ: finds the cells of alpha and length curves and ablations.

Finds a variant by its resolved ``train`` section, never by its name, so that a project may name its
cells freely.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from recap.params.train import Train


@dataclass(frozen=True)
class Settings:
    """Every variant's training as resolved from the parameters; ``measured`` are in the matrix."""

    train: Mapping[str, Train]
    measured: tuple[str, ...]
    candidate: str
    baseline: str

    def twin(self, of: str, **changes: Any) -> str | None:
        """The variant that differs from ``of`` only in ``changes``; prefers measured variants."""
        wanted = self.train[of].model_copy(update=changes)
        names = [name for name, train in self.train.items() if train == wanted]
        return next((name for name in names if name in self.measured), next(iter(names), None))

    def sweep(self, field: str) -> dict[float, str]:
        """Measured variants that differ from the candidate in only one number, by that number.

        Leaves out ranges of lengths and shares by domain, which have no place on the axis. A
        variant that never prefills (alpha 0) has no length; only the curve over alpha has it.
        """
        reference = self.train[self.candidate]
        found: dict[float, str] = {}
        for name in self.measured:
            value = getattr(self.train[name], field)
            if not isinstance(value, int | float):
                continue
            same = self.train[name].model_copy(update={field: getattr(reference, field)})
            if same == reference:
                found.setdefault(float(value), name)
        return dict(sorted(found.items()))
