"""No attack: the policy thinks for itself. Jailbreak wrappers, if any, are part of the prompt."""

from __future__ import annotations

from recap.attacks.attack import Attack
from recap.types import Prefill, RenderedPrompt


class Direct(Attack):
    """The clean prompt."""

    uses_prefill = False

    def part(self, prefill: Prefill | None) -> None:
        """Nothing is given."""

    def open(self, prompt: str, prefill: str | None) -> RenderedPrompt:
        """The prompt with an open think block."""
        return self.renderer.prompt(prompt)
