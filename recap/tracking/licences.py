"""The licences of what a version was made from: data sets, and models that were not made here."""

from __future__ import annotations

from pathlib import Path

from recap.data.sources.registry import LOADERS
from recap.models.records import NO_LICENCE, origins_taken
from recap.params.whole import Params

LICENCE = "licence."
"""Beginning of the tags of runs and versions that hold one licence each."""


def licence_tags(root: Path, params: Params) -> dict[str, str]:
    """A tag for each: ``licence.data.gsm8k`` is ``MIT``."""
    found = {
        f"{LICENCE}data.{name}": LOADERS[name].licence or NO_LICENCE
        for name in sorted(params.prepare.sources)
    }
    taken = origins_taken(root / "models", params.matrix)
    return found | {
        f"{LICENCE}model.{name}": record.licence or NO_LICENCE for name, record in taken.items()
    }
