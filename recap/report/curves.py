"""Two figures: training metrics by update, and results in other worlds.

Reads the trainer's metrics by update, and the measured worlds that determined
``world.turn_in_response``. Metrics are free-form JSON objects; the page leaves out missing keys.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from recap.analysis.axes import variant_label
from recap.analysis.curves import UPDATE, WorldPoint
from recap.benchmarks.words import family_label
from recap.report.geometry import Panel, Point, Scale, Series, panel, smoothed


@dataclass(frozen=True, slots=True)
class Logged:
    """A metric of the trainer to draw: ``key``, divided by the key ``per`` if given."""

    title: str
    key: str
    per: str | None = None
    scale: Scale = "unit"


TRAINING_PANELS = (
    Logged("Reward", "reward"),
    Logged("Reward on harmful prompts", "reward_harmful"),
    Logged("Reward on benign prompts", "reward_benign"),
    Logged("Reward on math prompts", "reward_math"),
    Logged("Groups kept by dynamic sampling", "groups_kept", per="groups_drawn", scale="whole"),
    Logged("Groups already solved", "groups_solved", per="groups_drawn", scale="whole"),
    Logged("Ratios clipped from above", "clip_high", scale="share"),
    Logged("Ratios clipped from below", "clip_low", scale="share"),
    Logged("Generated tokens per rollout", "completion_tokens", scale="number"),
    Logged("Rollouts cut off", "share_truncated", scale="share"),
    Logged("Entropy per token (nats)", "entropy", scale="number"),
    Logged("Gradient norm", "grad_norm", scale="number"),
    Logged("Supervised loss, harmful prompts", "loss_harmful", scale="number"),
    Logged("Supervised loss, benign prompts", "loss_benign", scale="number"),
    Logged("Supervised loss, math prompts", "loss_math", scale="number"),
)


def training_panels(
    metrics: Mapping[tuple[str, int], Sequence[Mapping[str, Any]]], colours: Mapping[str, str]
) -> list[Panel]:
    """A panel per metric, with a line for each trained cell."""
    panels = []
    for logged in TRAINING_PANELS:
        series: list[Series] = []
        for (variant, _), updates in metrics.items():
            points = tuple(Point(update[UPDATE], _value(update, logged)) for update in updates)
            if all(point.y is None for point in points):
                continue
            colour, label = colours[variant], variant_label(variant)
            named = any(line.label == label and not line.thin for line in series)
            series.append(Series(label, colour, points, thin=True))
            series.append(Series("" if named else label, colour, smoothed(points)))
        drawn = panel(logged.title, series, x_title="update", scale=logged.scale)
        if drawn:
            panels.append(drawn)
    return panels


def _value(update: Mapping[str, Any], logged: Logged) -> float | None:
    """The number to draw; ``None`` leaves a gap."""
    value = _finite(update.get(logged.key))
    if value is None or logged.per is None:
        return value
    whole = _finite(update.get(logged.per))
    return value / whole if whole else None


def _finite(value: object) -> float | None:
    """The number, or ``None`` if it is missing, null or not finite."""
    if isinstance(value, int | float) and math.isfinite(value):
        return float(value)
    return None


def world_panels(
    points: Sequence[WorldPoint], colours: Mapping[str, str], turn: float
) -> list[Panel]:
    """A panel per benchmark: lines for means, dots for seeds, a rule for the chosen world.

    None if all points stand at one place: then there is no curve.
    """
    panels: list[Panel] = []
    turns = sorted({point.turn_in_response for point in points})
    if len(turns) < 2:
        return panels
    for benchmark in dict.fromkeys(point.benchmark for point in points):
        series = []
        for variant in dict.fromkeys(point.variant for point in points):
            mine = [p for p in points if (p.benchmark, p.variant) == (benchmark, variant)]
            seeds = tuple(Point(p.turn_in_response, p.value) for p in mine)
            means = tuple(
                Point(at, fmean(values))
                for at in turns
                if (values := [s.y for s in seeds if s.x == at and s.y is not None])
            )
            label, colour = variant_label(variant), colours.get(variant, "c-extra0")
            series.append(Series(label, colour, means))
            series.append(Series(label, colour, seeds, thin=True, dots=True, line=False))
        drawn = panel(
            family_label(benchmark),
            series,
            x_title="how often the base corrects a wrong thought (commonest family)",
            scale="whole",
            x_ticks=sorted({*turns, turn}),
            x_share=True,
            rule=(turn, "this world"),
        )
        if drawn:
            panels.append(drawn)
    return panels
