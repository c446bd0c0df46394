"""The recorded cells of a sweep's design: current, stale and missing ones.

Iterates over the design, never over the folder. A recorded cell is current if it was made with the
present code and parameters. Otherwise it is stale, left out and listed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from recap.analysis.axes import Axes, Key, attack_axes
from recap.analysis.claims import Claims
from recap.analysis.evidence import Evidence
from recap.analysis.parts import Claim
from recap.analysis.settings import Settings
from recap.errors import ParameterError, choices
from recap.params.whole import Params
from recap.pipeline.lock import digest
from recap.sweeps.design import Cell, Design
from recap.sweeps.ledger import LEDGER, Ledger, Measured, evidence
from recap.sweeps.project import read_project
from recap.types.verdicts import Outcome


@dataclass(frozen=True, slots=True)
class Results:
    """``measured`` are the current cells, in the design's order; ``digest`` covers all of them.

    ``params``: the sweep's parameters, with the overlay. ``evidence``: the outcomes of each prompt.
    ``settings``: each variant's training settings.
    """

    design: Design
    measured: Sequence[Measured]
    missing: Sequence[Cell]
    stale: Sequence[Cell]
    digest: str
    params: Params
    evidence: Evidence
    settings: Settings

    @property
    def axes(self) -> Axes:
        """The values on the attacks' axes."""
        return attack_axes(self.params.attack)

    def claims(self) -> list[Claim]:
        """The paper's claims, tested on the measured cells."""
        dynamics = [cell.dynamics for cell in self.measured if cell.dynamics]
        return Claims(self.evidence, self.settings, self.axes, dynamics).all()


def asked(params: Params, design: Design) -> list[Claim]:
    """The claims without measurements, for the conditions of their parts."""
    rounds = [("ipr", place + 1) for place in range(params.attack.ipr_rounds)]
    cells: dict[tuple[str, int], dict[Key, list[Outcome]]] = {
        (name, seed): {key: [] for key in rounds}
        for name in design.variants
        for seed in design.seeds
    }
    nothing = Evidence(cells, {}, resamples=1, seed=0)
    return Claims(nothing, _settings(params, design, ()), attack_axes(params.attack), ()).all()


def _settings(params: Params, design: Design, measured: tuple[str, ...]) -> Settings:
    return Settings(
        train={name: params.for_variant(name) for name in design.variants},
        measured=measured,
        candidate=design.around,
        baseline=params.gate.baseline,
    )


def read_results(root: Path) -> Results:
    """The design's cells in the ledger.

    Raises ParameterError if the sweep has no baseline, and DataError for a broken file.
    """
    project, ledger = read_project(root), Ledger(root / LEDGER)
    params, design = Params.model_validate(project.params), project.design
    if params.gate.baseline not in design.variants:
        raise ParameterError(
            f"Expected gate.baseline, with which the sweep's variants are compared, among them "
            f"({choices(design.variants)}), got '{params.gate.baseline}'. Put it into "
            "sweep.variants or name another one."
        )
    prints = project.fingerprints()
    records = {cell: ledger.read(cell) for cell in design.cells()}
    measured = [
        record for cell, record in records.items() if record and record.fingerprint == prints[cell]
    ]
    kept = {record.cell for record in measured}
    names = {record.variant for record in measured}
    return Results(
        design=design,
        measured=measured,
        missing=[cell for cell, record in records.items() if record is None],
        stale=[cell for cell, record in records.items() if record and cell not in kept],
        digest=digest({cell.name: prints[cell] for cell in sorted(kept)}),
        params=params,
        evidence=evidence(measured, ledger, resamples=params.evaluate.bootstrap, seed=params.seed),
        settings=_settings(params, design, tuple(n for n in design.variants if n in names)),
    )
