"""All loaders by the name they have in ``prepare.sources``."""

from __future__ import annotations

from recap.data.sources import gsm8k, math500, microworld, star1, strongreject, xstest
from recap.data.sources.rawrow import Loader

LOADERS: dict[str, Loader] = {
    module.LOADER.name: module.LOADER
    for module in (microworld, gsm8k, star1, xstest, strongreject, math500)
}
