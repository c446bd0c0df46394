"""The section ``report``: the content of the page."""

from __future__ import annotations

from recap.params.values import Count, Section


class Report(Section):
    """The content of the page."""

    samples_per_benchmark: Count
