"""A guardian from its directory: the rules, a guardian model here or served, or an instruct model.

The directory may hold a second model, ``rubric``, that reads benign answers: Granite Guardian, the
paper's, was never taught a rubric (paper, rewards: Llama-3.1-8B-Instruct has it).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from recap.errors import ModelError, RenderError
from recap.scoring.reward_model import RewardModel
from recap.scoring.rules import RULES_SHA, RuleGuardian
from recap.types.origins import RUBRIC_FOLDER, RULES_FILE, SERVED_GUARDIAN

KEY = "RECAP_GUARDIAN_KEY"
"""Environment variable: the key that it asks for."""


@dataclass(frozen=True, slots=True)
class WithRubric:
    """``RewardModel`` of two: ``guardian`` reads harm, ``helper`` reads benign answers."""

    guardian: RewardModel
    helper: RewardModel

    @property
    def template(self) -> str:
        """What both ask with."""
        return f"{self.guardian.template}\n{self.helper.template}"

    def p_yes(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """The guardian's."""
        return self.guardian.p_yes(pairs)

    def log_odds(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """The guardian's."""
        return self.guardian.log_odds(pairs)

    def rubric(self, pairs: Sequence[tuple[str, str]]) -> list[float | None]:
        """The helper's."""
        return self.helper.rubric(pairs)


def load_guardian(directory: Path) -> RewardModel:
    """The guardian of a directory, with its rubric's model where it has one.

    Raises ModelError when something is missing, or when the template is another generation's.
    """
    guardian = RuleGuardian() if (directory / RULES_FILE).is_file() else _guardian(directory)
    rubric = directory / RUBRIC_FOLDER
    return WithRubric(guardian, _model(rubric)) if rubric.is_dir() else guardian


def _guardian(directory: Path) -> RewardModel:
    """The guardian's model in this process, or behind the server that the environment names."""
    address = os.environ.get(SERVED_GUARDIAN)
    if not address:
        return _model(directory)
    from recap.render import Renderer
    from recap.scoring.served_guardian import served_guardian

    renderer = Renderer.from_dir(directory)
    try:
        renderer.refuse_other_guardians()
    except RenderError as error:
        raise ModelError(
            f"{directory}: {error} Other models cannot be asked behind {SERVED_GUARDIAN}; unset it."
        ) from None
    return served_guardian(directory, address, renderer)


def _model(directory: Path) -> RewardModel:
    """A model: asked by its own guardian's template where it has one, else in words."""
    from recap.models.weights import load_scorer
    from recap.render import Renderer
    from recap.scoring.instruct import Instruct
    from recap.scoring.yes_no import Guardian

    model, renderer = load_scorer(directory), Renderer.from_dir(directory)
    if renderer.template and "guardian_config" not in renderer.template:
        return Instruct(model, renderer)
    try:
        renderer.refuse_other_guardians()
    except RenderError as error:
        raise ModelError(f"{directory}: {error}") from None
    return Guardian(model, renderer)


def rules_revision(directory: Path) -> str | None:
    """The digest of the rules; ``None`` where a model is the guardian."""
    return RULES_SHA if (directory / RULES_FILE).is_file() else None
