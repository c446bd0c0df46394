"""The page: one self-contained HTML file, the same bytes for the same inputs.

All model text is escaped (``recap.report.html``). A content security policy allows only the page's
own script (by its hash) and no requests. Leaves out times, commits and registry versions, so that
the page is a function of the run's files and parameters.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from recap.analysis.axes import (
    Axes,
    exempt,
    lower_first,
)
from recap.analysis.claim_words import claim_words
from recap.analysis.curves import WorldPoint
from recap.analysis.evidence import Evidence
from recap.analysis.findings import Findings
from recap.analysis.overtaking import overtaking
from recap.analysis.paper import MODELS
from recap.analysis.settings import Settings
from recap.analysis.tables import DASH, percent, signed
from recap.analysis.verdicts import trainings
from recap.benchmarks.words import ATTACKS, COSTS
from recap.report.adversaries import grid_panels, reset_panels, search_panels
from recap.report.beta import betas
from recap.report.brittleness import matrices
from recap.report.budget import token_groups
from recap.report.categories import categories
from recap.report.curves import training_panels, world_panels
from recap.report.dynamics import dynamics_panels
from recap.report.figures import (
    bar_groups,
    cell_label,
    reflections,
    roles,
    shown,
    table_rows,
)
from recap.report.html import environment, part
from recap.report.judges import judges
from recap.report.materials import Materials
from recap.report.pareto import pareto
from recap.report.people import People
from recap.report.samples import Card
from recap.report.seeds import seed_rows
from recap.report.sweeps import sweep_panels
from recap.types.decisions import GateDecision
from recap.types.results import CellAgreement, CellResult, DynamicsResult


@dataclass(frozen=True, slots=True)
class Artefact:
    """One input of the page: its kind, its path, and its MD5 as in ``dvc.lock``."""

    what: str
    path: str
    md5: str


@dataclass(frozen=True, slots=True)
class Run:
    """The data of the page. ``metrics`` maps variant and seed to updates.

    ``settings`` names candidate and baseline; ``untrained`` are the variants of zero updates;
    ``worlds`` is empty if none was given, ``agreement`` if there is no second judge.
    """

    settings: Settings
    axes: Axes
    evidence: Evidence
    findings: Findings
    agreement: Sequence[CellAgreement]
    cells: Sequence[CellResult]
    untrained: frozenset[str]
    metrics: Mapping[tuple[str, int], Sequence[Mapping[str, Any]]]
    dynamics: Sequence[DynamicsResult]
    decision: GateDecision
    cards: Sequence[Card]
    parameters: Mapping[str, Mapping[str, Any]]
    people: People | None
    materials: Materials
    lineage: Sequence[Artefact]
    turn: float
    worlds: Sequence[WorldPoint]


def render(run: Run) -> str:
    """The page as HTML."""
    templates = environment()
    templates.filters |= {
        "percent": percent,
        "signed": signed,
        "trainings": trainings,
        "lower_first": lower_first,
    }
    script = part("page.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    settings, axes = run.settings, run.axes
    colours = roles(run.cells, settings.candidate, settings.baseline, run.untrained)
    cells = shown(run.cells, run.untrained)
    figures = itertools.count(1)
    templates.globals |= {"dash": DASH, "colours": colours, "figure": lambda: next(figures)}
    return templates.get_template("page.html.j2").render(
        run=run,
        style=part("page.css"),
        script=script,
        script_hash=f"sha256-{digest}",
        headline=run.findings.headline,
        seeds=list(dict.fromkeys(cell.seed for cell in run.cells)),
        columns=[(cell_label(cell, cells), colours[cell.variant]) for cell in cells],
        rows=table_rows(cells, axes),
        attacks=bar_groups(cells, ATTACKS, colours, axes),
        categories=categories(cells, settings.baseline, colours, axes),
        resets=reset_panels(cells, colours, axes),
        searches=search_panels(cells, colours, axes),
        grids=grid_panels(cells, colours, axes),
        brittleness=matrices(cells, axes),
        costs=bar_groups(cells, COSTS, colours, axes),
        pareto=pareto(cells, run.evidence, colours, axes),
        tokens=token_groups(cells, colours, axes),
        claims=[claim_words(claim) for claim in run.findings.claims],
        models=MODELS,
        betas=betas(run.evidence, settings, colours, run.untrained),
        sweeps=sweep_panels(cells, settings),
        replicates=seed_rows(run.findings.replicates, colours, axes),
        reflections=reflections(cells, colours, axes),
        judges=judges(run.agreement, colours),
        people=run.people,
        materials=run.materials,
        training=training_panels(run.metrics, colours),
        dynamics=dynamics_panels(run.dynamics, colours),
        overtaking=overtaking(run.dynamics, settings.candidate, settings.baseline).text,
        world=world_panels(run.worlds, colours, run.turn),
        exempt=exempt,
        parameters={
            name: "".join(_line(key, value) for key, value in section.items())
            for name, section in run.parameters.items()
        },
    )


def _line(key: str, value: object) -> str:
    """One parameter, written as in ``params.yaml``."""
    listed = yaml.safe_dump([value], sort_keys=False, default_flow_style=True, width=4096)
    return f"{key}: {listed.strip()[1:-1]}\n"
