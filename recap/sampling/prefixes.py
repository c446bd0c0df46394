"""What a conversation's last call has read and written: keys and values, for its next call.

A prompt that goes on from a row of the last call (its prompt, then some of what it generated) reads
only what is new. Keys and values belong to the weights that made them, so this is for fixed weights
alone; and they belong to one conversation, so that what a call gives depends on nothing before it.

Shapes: L layers, K key-value heads, N positions, D head size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile

from torch import Tensor

MAX_BYTES = 256 * 2**20
"""Memory for the rows of one call; rows beyond it are read again."""


@dataclass(frozen=True, slots=True)
class Prefix:
    """The first ``length`` positions of a prompt, already read."""

    length: int
    keys: Tensor
    values: Tensor
    """[L, K, N, D] with N >= length."""


@dataclass(frozen=True, slots=True)
class _Row:
    tokens: tuple[int, ...]
    keys: Tensor
    values: Tensor


class PrefixMemory:
    """Rows of the last call, found by the prompt that they continued."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        """``max_bytes`` bounds the keys and values of one call."""
        self._max_bytes = max_bytes
        self._bytes = 0
        self._last: dict[tuple[int, ...], list[_Row]] = {}
        self._present: dict[tuple[int, ...], list[_Row]] = {}

    def find(self, prompt: tuple[int, ...]) -> Prefix | None:
        """The longest beginning that the last call left; one token is always left to read."""
        found: Prefix | None = None
        for length in {len(start) for start in self._last}:
            for row in self._last.get(prompt[:length], ()):
                common = _common(prompt[:-1], row.tokens)
                if common > (found.length if found else 0):
                    found = Prefix(common, row.keys, row.values)
        return found

    def add(
        self, prompt: tuple[int, ...], generated: Sequence[int], keys: Tensor, values: Tensor
    ) -> None:
        """Keep a row that has ended in the present call, unless its memory is spent.

        Its last token was not read, or not in its place.
        """
        self._bytes += keys.nbytes + values.nbytes
        if self._bytes <= self._max_bytes:
            tokens = (*prompt, *generated[:-1])
            self._present.setdefault(prompt, []).append(_Row(tokens, keys, values))

    def turn(self) -> None:
        """The present call has ended: its rows are now the last call's."""
        self._last, self._present, self._bytes = self._present, {}, 0


def _common(ids: tuple[int, ...], other: tuple[int, ...]) -> int:
    pairs = zip(ids, other, strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
