"""All loaders by their name in ``prepare.sources``."""

from __future__ import annotations

from recap.data.sources import (
    aime2024,
    beavertails,
    benign,
    fortress,
    gsm8k,
    hendrycks_math,
    math500,
    microworld,
    star1,
    star_benign,
    strongreject,
    wildjailbreak,
    xstest,
)
from recap.data.sources.rawrow import Loader
from recap.errors import ParameterError, choices
from recap.params.prepare import Prepare

LOADERS: dict[str, Loader] = {
    loader.name: loader
    for loader in (
        microworld.LOADER,
        gsm8k.LOADER,
        star1.LOADER,
        xstest.LOADER,
        strongreject.LOADER,
        math500.LOADER,
        benign.LOADER,
        beavertails.LOADER,
        star_benign.LOADER,
        hendrycks_math.LOADER,
        aime2024.LOADER,
        wildjailbreak.LOADER,
        fortress.LOADER,
        fortress.OVERREFUSAL,
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
