"""The section ``report``: what the page shows."""

from __future__ import annotations

from recap.params.values import Count, Section


class Report(Section):
    """What the page shows."""

    samples_per_benchmark: Count
