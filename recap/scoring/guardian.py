"""A guardian from its directory."""

from __future__ import annotations

from pathlib import Path

from recap.render import Renderer
from recap.scoring.yes_no import Guardian
from recap.weights import load_model


def load_guardian(directory: Path) -> Guardian:
    """Model, tokenizer and template together; raises ModelError when something is missing."""
    return Guardian(load_model(directory), Renderer.from_dir(directory))
