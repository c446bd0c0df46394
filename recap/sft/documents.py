"""Traces as token ids, and the endless stream of training batches.

A document is a prompt, which carries no loss, and the target: thought, closing tag, response and
end of text, which all carry loss. The stream's whole state is one integer, the cursor.
"""

from __future__ import annotations

import random
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from recap.errors import DataError
from recap.params.seeds import derive_seed
from recap.render import Renderer
from recap.sft.traces import Trace
from recap.types.row import Domain


@dataclass(frozen=True, slots=True)
class Document:
    """Token ids of a prompt up to its open think tag, and of the target."""

    domain: Domain
    prompt_ids: tuple[int, ...]
    answer_ids: tuple[int, ...]

    @property
    def length(self) -> int:
        """All tokens."""
        return len(self.prompt_ids) + len(self.answer_ids)


def render(traces: Iterable[Trace], renderer: Renderer, context: int) -> list[Document]:
    """One document for each trace that fits the model's ``context``; reports and leaves out others.

    Raises RenderError for a text with template markers, and DataError for a domain without any
    trace that fits.
    """
    documents: list[Document] = []
    too_long = Counter[Domain]()
    for trace in traces:
        head = renderer.prompt(trace.record.prompt).token_ids
        ids = tuple(renderer.document(trace.record.prompt, trace.thought, trace.response))
        assert ids[: len(head)] == head
        if len(ids) > context:
            too_long[trace.record.domain] += 1
            continue
        documents.append(Document(trace.record.domain, head, ids[len(head) :]))
    if too_long:
        print(f"left out {too_long.total()} traces of more than {context} tokens", file=sys.stderr)
    for domain in too_long.keys() - {document.domain for document in documents}:
        raise DataError(
            f"Expected {domain} traces that fit the policy's context of {context} tokens, got none "
            f"of {too_long[domain]}. Lower prefill.max_tokens, or train a policy with more context."
        )
    return documents


class DocumentStream:
    """``take(n)`` gives the next documents of at most n tokens; ``cursor`` counts all taken."""

    def __init__(self, documents: Sequence[Document], seed: int) -> None:
        """Raises DataError without any document."""
        if not documents:
            raise DataError("Expected documents to train on, got none. Check prepare.mixture.")
        self._documents, self._seed = documents, seed
        self._epoch: tuple[int, list[Document]] | None = None
        self.cursor = 0

    @property
    def epoch(self) -> float:
        """The number of passes over the documents."""
        return self.cursor / len(self._documents)

    def take(self, tokens: int) -> list[Document]:
        """The next documents: as many as fit into ``tokens``, but at least one."""
        batch = next(split(self._following(), tokens))
        self.cursor += len(batch)
        return batch

    def _following(self) -> Iterator[Document]:
        position = self.cursor
        while True:
            epoch, index = divmod(position, len(self._documents))
            yield self._shuffled(epoch)[index]
            position += 1

    def _shuffled(self, epoch: int) -> list[Document]:
        if self._epoch is None or self._epoch[0] != epoch:
            order = list(self._documents)
            random.Random(derive_seed(self._seed, "order", epoch)).shuffle(order)
            self._epoch = (epoch, order)
        return self._epoch[1]


def split(documents: Iterable[Document], tokens: int) -> Iterator[list[Document]]:
    """Consecutive runs of documents, each of at most ``tokens`` tokens or a single document."""
    run: list[Document] = []
    used = 0
    for document in documents:
        if run and used + document.length > tokens:
            yield run
            run, used = [], 0
        run.append(document)
        used += document.length
    if run:
        yield run
