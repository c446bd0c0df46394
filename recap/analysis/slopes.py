"""The slopes of J_beta = (1 - beta) J_clean + beta J_pre (paper, v1's theory) as plain values.

Leaves out the statistics (``recap.analysis.objective``) and the lines (``recap.report.beta``).
"""

from __future__ import annotations

from collections.abc import Mapping

from recap.analysis.axes import Key
from recap.analysis.evidence import Evidence
from recap.analysis.settings import Settings

PAIRS: tuple[tuple[str, Key, Key], ...] = (
    ("Harmful requests", ("harmful", 1), ("prefill", 1)),
    ("Benign requests", ("benign", 1), ("benign_prefill", 1)),
)
"""Title, clean and prefilled benchmark of each kind of prompts."""


def slope_tables(evidence: Evidence, settings: Settings) -> list[Mapping[str, object]]:
    """The same as plain values, for ``tables.json``."""
    return [
        {
            "variant": variant,
            "clean": clean[0],
            "prefilled": prefilled[0],
            "value": slope.value,
            "low": slope.low,
            "high": slope.high,
            "n": slope.n,
        }
        for _, clean, prefilled in PAIRS
        for variant in settings.measured
        for slope in evidence.slopes(variant, clean, prefilled)
    ]
