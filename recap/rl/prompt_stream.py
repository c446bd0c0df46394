"""The endless stream of training prompts: epoch after epoch, each in its own order.

Prefills are drawn anew for each epoch, so that a prompt is met clean and prefilled. The stream's
whole state is one integer, the cursor: everything else follows from the seed, which DAPO and RECAP
share, so that in one world both meet the same prompts in the same order.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from recap.errors import DataError
from recap.params import derive_seed
from recap.prefill.inject import inject
from recap.render import Renderer
from recap.types import Prefill, PrefilledPrompt, PromptRecord


class PromptStream:
    """``take(n)`` gives the next n prompts; ``cursor`` counts all that were ever taken."""

    def __init__(
        self,
        records: Sequence[PromptRecord],
        prefills: Mapping[str, Prefill],
        *,
        alpha: float,
        words: int,
        renderer: Renderer,
        seed: int,
    ) -> None:
        """``prefills``: the verified ones, by prompt id. Raises DataError without any prompt."""
        if not records:
            raise DataError(
                "Expected training prompts, got an empty table. "
                "Raise prepare.train_prompts or check prepare.mixture."
            )
        self._records, self._prefills = records, prefills
        self._alpha, self._words, self._renderer = alpha, words, renderer
        self._seed = seed
        self._epoch: tuple[int, list[PrefilledPrompt]] | None = None
        self.cursor = 0

    @property
    def epoch(self) -> float:
        """How often the data has been gone through."""
        return self.cursor / len(self._records)

    def take(self, count: int) -> list[PrefilledPrompt]:
        """The next ``count`` prompts, with prefills for a share ``alpha`` of harmful and benign."""
        taken = []
        for position in range(self.cursor, self.cursor + count):
            epoch, index = divmod(position, len(self._records))
            taken.append(self._shuffled(epoch)[index])
        self.cursor += count
        return taken

    def _shuffled(self, epoch: int) -> list[PrefilledPrompt]:
        if self._epoch is None or self._epoch[0] != epoch:
            prompts = inject(
                self._records,
                self._prefills,
                self._alpha,
                self._words,
                self._renderer,
                derive_seed(self._seed, "prefills"),
                epoch,
            )
            random.Random(derive_seed(self._seed, "order", epoch)).shuffle(prompts)
            self._epoch = (epoch, prompts)
        return self._epoch[1]
