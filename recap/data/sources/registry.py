"""All loaders by their name in ``prepare.sources``."""

from __future__ import annotations

from recap.data.sources import benign, gsm8k, math500, microworld, star1, strongreject, xstest
from recap.data.sources.rawrow import Loader
from recap.errors import ParameterError, choices
from recap.params.prepare import Prepare

LOADERS: dict[str, Loader] = {
    module.LOADER.name: module.LOADER
    for module in (
        microworld,
        gsm8k,
        star1,
        xstest,
        strongreject,
        math500,
        benign,
    )
}


def check_loaders(section: Prepare) -> None:
    """Raise ParameterError if ``prepare.sources`` names an unknown loader."""
    unknown = set(section.sources) - set(LOADERS)
    if unknown:
        raise ParameterError(
            f"Expected loaders among {choices(LOADERS)} in prepare.sources, got {choices(unknown)}."
            " Correct the name, or register the loader in recap/data/sources/registry.py."
        )
