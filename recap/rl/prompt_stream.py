"""The endless stream of training prompts: epoch after epoch, each in its own order.

Prefills are drawn anew for each epoch, so that a prompt is met clean and prefilled. The stream's
state is one integer, the cursor: everything else follows from the seed, which DAPO and RECAP share,
so that in one world both meet the same prompts in the same order. Where prefills are the policy's
own (``recap.rl.self_prefill``), the thoughts found so far, ``own``, are state too; where a
curriculum moves alpha and length (``recap.rl.curriculum``), so is ``injection``.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence

from recap.errors import DataError
from recap.params.seeds import derive_seed
from recap.prefill.inject import Injection, choose, cut
from recap.render import Renderer
from recap.types.prompts import Prefill, PrefilledPrompt, PromptRecord


class PromptStream:
    """``take(n)`` gives the next n prompts; ``cursor`` counts all that were ever taken."""

    def __init__(
        self,
        records: Sequence[PromptRecord],
        prefills: Mapping[str, Prefill] | None,
        *,
        injection: Injection,
        renderer: Renderer,
        seed: int,
    ) -> None:
        """``prefills``: the verified ones, by prompt id; ``None``: those that come into ``own``.

        Raises DataError without any prompt.
        """
        if not records:
            raise DataError(
                "Expected training prompts, got an empty table. "
                "Raise prepare.train_prompts or check prepare.mixture and train.subset."
            )
        self.own: dict[str, Prefill] = {}
        self._records = records
        self._prefills = self.own if prefills is None else prefills
        # Whoever has no thought yet may have one by the time its turn comes.
        self._eligible = {record.id for record in records} if prefills is None else set(prefills)
        self.injection, self._renderer = injection, renderer
        self._seed, self._prefill_seed = seed, derive_seed(seed, "prefills")
        self._epoch: tuple[int, Injection] | None = None
        self._prompts: list[tuple[PromptRecord, bool]] = []
        self.cursor = 0

    @property
    def length(self) -> int:
        """Prompts in one pass over the data."""
        return len(self._records)

    @property
    def epoch(self) -> float:
        """How often the data has been gone through."""
        return self.cursor / len(self._records)

    def take(self, count: int) -> list[PrefilledPrompt]:
        """The next ``count`` prompts, with prefills for a share ``alpha`` of harmful and benign.

        A prompt that was chosen but has no prefill (as yet) is clean.
        """
        taken = []
        for position in range(self.cursor, self.cursor + count):
            epoch, (record, chosen) = self._at(position)
            prefill = self._prefills.get(record.id) if chosen else None
            if prefill is not None:
                prefill = cut(
                    prefill,
                    record.domain,
                    self.injection,
                    self._renderer,
                    self._prefill_seed,
                    epoch,
                )
            taken.append(PrefilledPrompt(record, prefill))
        self.cursor += count
        return taken

    def chosen(self, start: int, stop: int) -> Iterator[PromptRecord]:
        """The prompts at these places of the stream that are to be prefilled, in their order."""
        for position in range(start, stop):
            _, (record, chosen) = self._at(position)
            if chosen:
                yield record

    def _at(self, position: int) -> tuple[int, tuple[PromptRecord, bool]]:
        epoch, index = divmod(position, len(self._records))
        return epoch, self._shuffled(epoch)[index]

    def _shuffled(self, epoch: int) -> list[tuple[PromptRecord, bool]]:
        if self._epoch != (epoch, self.injection):
            chosen = choose(
                self._records, self._eligible, self.injection, self._prefill_seed, epoch
            )
            self._prompts = [(record, record.id in chosen) for record in self._records]
            random.Random(derive_seed(self._seed, "order", epoch)).shuffle(self._prompts)
            self._epoch = (epoch, self.injection)
        return self._prompts
