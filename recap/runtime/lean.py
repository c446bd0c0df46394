"""A stage's process imports less: a fifth of the imports' processor time of ``train``.

transformers imports scikit-learn and scipy where they are installed, for assisted generation and
for losses of object detection, which no stage uses. transformers and trl each read the metadata of
every installed package. Nothing is hidden from our own code. Leaves out what a stage itself
imports late (recap/stages).
"""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

ASKED = "transformers.utils.import_utils"
"""The module that tells the rest of transformers which packages there are."""
UNUSED = ("scipy", "sklearn")


class _WithoutUnused:
    """Finds ASKED, once, and has it tell that UNUSED are not there."""

    @staticmethod
    def find_spec(
        name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != ASKED:
            return None
        sys.meta_path.remove(_WithoutUnused)
        spec = importlib.util.find_spec(name)
        assert spec is not None and spec.loader is not None
        loader: Any = spec.loader
        run = loader.exec_module

        def exec_module(module: ModuleType) -> None:
            run(module)
            for package in UNUSED:
                setattr(module, f"is_{package}_available", lambda: False)

        loader.exec_module = exec_module
        return spec


def import_less() -> None:
    """Call before anything imports transformers; afterwards it has no effect."""
    importlib.metadata.packages_distributions = functools.cache(
        importlib.metadata.packages_distributions
    )
    if ASKED not in sys.modules:
        sys.meta_path.insert(0, _WithoutUnused)
