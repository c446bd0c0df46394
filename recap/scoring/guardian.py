"""A guardian from its directory."""

from __future__ import annotations

from pathlib import Path

from recap.errors import ModelError, RenderError
from recap.models.weights import load_scorer
from recap.render import Renderer
from recap.scoring.yes_no import Guardian


def load_guardian(directory: Path) -> Guardian:
    """Model, tokenizer and template together.

    Raises ModelError when something is missing, or when the template is another generation's.
    """
    model, renderer = load_scorer(directory), Renderer.from_dir(directory)
    try:
        renderer.refuse_other_guardians()
    except RenderError as error:
        raise ModelError(f"{directory}: {error}") from None
    return Guardian(model, renderer)
