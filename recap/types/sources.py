"""The prefill sources: what each is for, said once; whether evaluation or training uses it too.

``Source`` names them for ``params.yaml``, ``SOURCES`` says the rest. Leaves out how a source is
asked (``recap.prefill.source``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from recap.types.prompts import Intent, Split
from recap.types.row import Domain

Source = Literal["harmful", "refusing", "aligned", "harmful_eval", "refusing_eval"]


@dataclass(frozen=True, slots=True)
class SourceRole:
    """What a source thinks like, whose prompts it is for, and in which domains."""

    intent: Intent
    split: Split
    domains: tuple[Domain, ...]

    @property
    def label(self) -> str:
        """How it is written for readers."""
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
TRAIN_SOURCES = tuple(name for name, role in SOURCES.items() if role.split == "train")
EVAL_SOURCES = tuple(name for name, role in SOURCES.items() if role.split == "eval")
EXEMPT_SOURCES = (*TRAIN_SOURCES, SELF)
"""Whose prefills mark a row of results: those of sources that train policies, and its own."""
