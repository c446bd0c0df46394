"""The page: one self-contained HTML file, the same bytes for the same inputs.

Everything a model wrote passes through jinja2's autoescape, and a content security policy lets
only the page's own script run (by its hash) and nothing be fetched. Leaves out times, commits and
registry versions: the page is a function of the run's files and parameters.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import jinja2
import yaml

from recap.report.curves import CurvePoint, training_panels, world_panels
from recap.report.dynamics import dynamics_panels, overtaking
from recap.report.figures import (
    ATTACKS,
    COSTS,
    bar_groups,
    cell_label,
    reset_panel,
    roles,
    shown,
    table_rows,
)
from recap.report.headline import headline
from recap.report.samples import Card
from recap.report.tables import DASH, family_label, variant_label
from recap.types import CellResult, DynamicsResult, GateDecision


@dataclass(frozen=True, slots=True)
class Artefact:
    """One input of the page: what it is, where it lies, and its MD5 as in ``dvc.lock``."""

    what: str
    path: str
    md5: str


@dataclass(frozen=True, slots=True)
class Run:
    """Everything the page is made from. ``metrics`` goes from variant and seed to updates.

    ``candidate`` and ``baseline`` are the variants compared, ``untrained`` those of zero updates;
    ``curve`` is empty when none was passed.
    """

    candidate: str
    baseline: str
    cells: Sequence[CellResult]
    untrained: frozenset[str]
    metrics: Mapping[tuple[str, int], Sequence[Mapping[str, Any]]]
    dynamics: Sequence[DynamicsResult]
    decision: GateDecision
    cards: Sequence[Card]
    parameters: Mapping[str, Mapping[str, Any]]
    lineage: Sequence[Artefact]
    wrong_start: float
    curve: Sequence[CurvePoint]


def render(run: Run) -> str:
    """The page as HTML."""
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_part),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"variant": variant_label, "family": family_label}
    script = _part("page.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    colours = roles(run.cells, run.candidate, run.baseline, run.untrained)
    cells = shown(run.cells, run.untrained)
    names = list(dict.fromkeys((*ATTACKS, *COSTS)))
    return environment.get_template("page.html.j2").render(
        run=run,
        dash=DASH,
        style=_part("page.css"),
        script=script,
        script_hash=f"sha256-{digest}",
        colours=colours,
        headline=headline(run.cells, run.candidate, run.baseline),
        seeds=list(dict.fromkeys(cell.seed for cell in run.cells)),
        columns=[(cell_label(cell, cells), colours[cell.variant]) for cell in cells],
        rows=table_rows(cells),
        attacks=bar_groups(cells, ATTACKS, colours),
        costs=bar_groups(cells, COSTS, colours),
        resets=reset_panel(cells, colours),
        reflections=bar_groups(cells, names, colours, "reflection"),
        training=training_panels(run.metrics, colours),
        dynamics=dynamics_panels(run.dynamics, colours),
        overtaking=overtaking(run.dynamics, run.candidate, run.baseline),
        world=world_panels(run.curve, colours, run.wrong_start),
        parameters={
            name: "".join(_line(key, value) for key, value in section.items())
            for name, section in run.parameters.items()
        },
    )


def _line(key: str, value: object) -> str:
    """One parameter as it would stand in ``params.yaml``."""
    return yaml.safe_dump({key: value}, sort_keys=False, default_flow_style=None, width=4096)


def _part(name: str) -> str:
    return (files("recap.report") / name).read_text(encoding="utf-8")
