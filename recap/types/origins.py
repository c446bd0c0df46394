"""What the models stage writes beside a model that was not made here: whose it is, what was taken.

A model directory with this file has no weights of its own: they stay where the origin has them.
"""

from __future__ import annotations

from recap.types.row import Row

PROVENANCE = "origin.json"
RULES = "rules"
"""The origin of a guardian that is no model but the rules (recap/scoring/rules.py)."""
RULES_FILE = "rules.json"
"""What marks the directory of such a guardian."""
SERVED_GUARDIAN = "RECAP_GUARDIAN"
"""Environment variable: the address of a server that has the guardian (http://node3:8000)."""
RUBRIC_FOLDER = "rubric"
"""The folder in a guardian's directory with the model that reads benign answers."""


class OriginFile(Row):
    """A file of weights; ``sha256`` is ``None`` where the revision says what is in it."""

    name: str
    size: int
    sha256: str | None


class Provenance(Row):
    """One origin as it was taken.

    ``revision``: a hub model's commit, a GGUF file's sha256, a folder's digest of all its files.
    ``licence``: as the model card, the GGUF header or the package names it; ``None``: none does.
    """

    origin: str
    revision: str
    licence: str | None
    files: tuple[OriginFile, ...]
