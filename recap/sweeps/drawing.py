"""The style of the sweep's figures, drawn with matplotlib: size, colours, file format.

A figure is 720 pixels wide. At half the width, on a phone, letters are still nine pixels high.
Colours are those of the report, by their names in page.css. Equal numbers give equal bytes. Leaves
out the content (dials.py, curves.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from recap.rows import atomic_path
from recap.sweeps.results import Results

WIDTH, DPI = 7.2, 100
"""Width in inches, and dots per inch."""
HUES = 96
"""Number of colours in a file's palette, including shades at the edges of lines and letters."""
STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans", "font.size": 13.5, "axes.titlesize": 14, "axes.labelsize": 13,
    "xtick.labelsize": 13, "ytick.labelsize": 13, "axes.titlelocation": "left",
    "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True,
    "grid.linewidth": 0.8, "lines.linewidth": 2.2, "lines.markersize": 6, "legend.frameon": False,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Drawn:
    """A figure, its title, and its caption."""

    figure: Figure
    title: str
    caption: str


@cache
def palette() -> dict[str, str]:
    """The report's light colours by name."""
    css = (files("recap.report") / "template/page.css").read_text(encoding="utf-8")
    root = css[css.index(":root") : css.index("}")]
    return dict(re.findall(r"--([a-z0-9]+): (#[0-9a-f]{6})", root))


def blank(height: float, layout: Literal["constrained"] | None = "constrained") -> Figure:
    """An empty figure of the common width; ``height`` in inches."""
    return Figure(figsize=(WIDTH, height), dpi=DPI, layout=layout, facecolor=palette()["card"])


@contextmanager
def styled() -> Iterator[None]:
    """Draw and save in this context: matplotlib reads settings when it creates an artist."""
    hues = palette()
    colours: dict[Any, Any] = {
        "text.color": hues["ink"],
        "axes.titlecolor": hues["ink"],
        "axes.facecolor": hues["card"],
        "axes.labelcolor": hues["muted"],
        "xtick.color": hues["muted"],
        "ytick.color": hues["muted"],
        "axes.edgecolor": hues["rule"],
        "grid.color": hues["rule"],
    }
    with matplotlib.rc_context({**STYLE, **colours}):
        yield


def save(figure: Figure, path: Path) -> None:
    """Write a PNG with a palette, which has a third of the size and looks the same."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    picture = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    with atomic_path(path) as part:
        picture.quantize(HUES, dither=Image.Dither.NONE).save(part, format="PNG", optimize=True)


def role(results: Results, variant: str) -> str:
    """The colour of a variant by its role: centre, without prefills, untrained, or other."""
    if variant == results.design.around:
        return "candidate"
    if results.settings.train[variant].updates == 0:
        return "base"
    twins = {name for values in results.design.clean.values() for name in values.values()}
    return "baseline" if variant in twins | {results.settings.baseline} else "extra0"
