"""The prefill sources: names, roles, and whether training or evaluation uses them.

``Source`` has the names in ``params.yaml``, ``SOURCES`` the roles. Leaves out the sampling of a
source's thoughts (``recap.prefill.source``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from recap.types.prompts import Intent, Split
from recap.types.row import Domain

Source = Literal["harmful", "refusing", "aligned", "harmful_eval", "refusing_eval"]


@dataclass(frozen=True, slots=True)
class SourceRole:
    """A source's manner of thinking, and the split and domains of its prompts."""

    intent: Intent
    split: Split
    domains: tuple[Domain, ...]

    @property
    def label(self) -> str:
        """The source's name for readers."""
        use = {"train": "training", "eval": "evaluation"}[self.split]
        return f"the {self.intent} source of {use}"


SOURCES: dict[str, SourceRole] = {
    "harmful": SourceRole("harmful", "train", ("harmful",)),
    "refusing": SourceRole("refusing", "train", ("benign",)),
    "aligned": SourceRole("aligned", "train", ("harmful", "benign")),
    "harmful_eval": SourceRole("harmful", "eval", ("harmful",)),
    "refusing_eval": SourceRole("refusing", "eval", ("benign",)),
}
SELF = "self"
"""``prefill_source`` of the policy's own thoughts."""
KEPT = "kept"
"""``prefill_source`` of a thought in a file of kept attacks, and the source of its prompt."""
TRAIN_SOURCES = tuple(name for name, role in SOURCES.items() if role.split == "train")
EVAL_SOURCES = tuple(name for name, role in SOURCES.items() if role.split == "eval")
EXEMPT_SOURCES = (*TRAIN_SOURCES, SELF)
"""Sources whose prefills mark a row of results: training sources, and the policy itself."""
