"""What an attack is: how a prompt is opened, and how each further round follows from the last.

To add one: a small file with a subclass, a line in ``registry.py``, a benchmark that names it.
Leaves out sampling (``rounds.py``) and the choice of prompts and prefills (``benchmarks.py``).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from recap import params
from recap.render import Renderer
from recap.types import Prefill, RenderedPrompt, Sample


class Attack(ABC):
    """One way of attacking a prompt, in one or more rounds."""

    uses_prefill: ClassVar[bool] = True
    closes_thought: ClassVar[bool] = False
    """The thought is given whole, so that the policy generates a response and nothing else."""

    def __init__(self, renderer: Renderer, settings: params.Attack) -> None:
        """``settings``: the lengths, the number of rounds and the transition sentence."""
        self.renderer = renderer
        self.settings = settings

    @property
    def rounds(self) -> int:
        """How many rounds follow one another."""
        return 1

    @abstractmethod
    def part(self, prefill: Prefill | None) -> str | None:
        """The part of the source's thought that this attack gives; ``None``: none of it."""

    @abstractmethod
    def open(self, prompt: str, prefill: str | None) -> RenderedPrompt:
        """The context of round 1; ``prefill`` is what ``part`` returned."""

    def follow(
        self, previous: RenderedPrompt, sample: Sample, prefill: str | None
    ) -> RenderedPrompt:
        """The context of the next round: the previous one, what the policy made of it, and more."""
        raise AssertionError(f"{type(self).__name__} has a single round")
