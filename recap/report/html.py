"""What the HTML pages have in common: jinja2 with escaping, and the parts in ``template/``.

Autoescape escapes all text of models. Leaves out what a page shows.
"""

from __future__ import annotations

from importlib.resources import files

import jinja2

from recap.analysis.axes import source_label, variant_label
from recap.benchmarks.words import family_label

LABELS = {"variant": variant_label, "family": family_label, "source": source_label}
"""Filters that parts of the pages use."""


def environment() -> jinja2.Environment:
    """Templates by their path in ``template/``; a name that is not given is an error."""
    templates = jinja2.Environment(
        loader=jinja2.FunctionLoader(part),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters |= LABELS
    return templates


def part(name: str) -> str:
    """The text of a file in ``template/``."""
    return (files("recap.report") / "template" / name).read_text(encoding="utf-8")
