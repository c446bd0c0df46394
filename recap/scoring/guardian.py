"""A guardian from its directory: a model, or the rules."""

from __future__ import annotations

from pathlib import Path

from recap.errors import ModelError, RenderError
from recap.scoring.reward_model import RewardModel
from recap.scoring.rules import RULES_SHA, RuleGuardian
from recap.types.origins import RULES_FILE


def load_guardian(directory: Path) -> RewardModel:
    """The rules, or model, tokenizer and template together.

    Raises ModelError when something is missing, or when the template is another generation's.
    """
    if (directory / RULES_FILE).is_file():
        return RuleGuardian()
    from recap.models.weights import load_scorer
    from recap.render import Renderer
    from recap.scoring.yes_no import Guardian

    model, renderer = load_scorer(directory), Renderer.from_dir(directory)
    try:
        renderer.refuse_other_guardians()
    except RenderError as error:
        raise ModelError(f"{directory}: {error}") from None
    return Guardian(model, renderer)


def rules_revision(directory: Path) -> str | None:
    """The digest of the rules; ``None`` where a model is the guardian."""
    return RULES_SHA if (directory / RULES_FILE).is_file() else None
