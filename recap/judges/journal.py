"""Answers that a judge has given, kept on disk: a killed run asks only what is still open.

One JSON line per answer, on the disk before its verdict counts. Several processes append to one
journal: a lock keeps lines whole, what a killed writer left torn is skipped, and of two answers to
one question the first counts for all. Plain JSON, no pickle; folder 0700, since answers may quote.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Answer:
    """What the judge said, the tokens it took, and why it ended (``None``: not told)."""

    text: str
    prompt_tokens: int
    completion_tokens: int
    finish_reason: str | None = None


def key(*parts: str | Sequence[object] | Mapping[str, object]) -> str:
    """SHA-256 of everything that an answer depends on."""
    return hashlib.sha256(json.dumps(parts, ensure_ascii=False).encode()).hexdigest()


class AnswerJournal:
    """The answers of one file; safe for threads and for processes at once."""

    def __init__(self, path: Path) -> None:
        """Read what is there."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.parent.chmod(0o700)
        self._path = path
        self._lock = threading.Lock()
        self._answers: dict[str, Answer] = {}
        self._seen = 0
        path.touch(mode=0o600)
        with self._lock:
            self._read_new()

    def get(self, name: str) -> Answer | None:
        """The answer to a question, also if another process has just got it."""
        with self._lock:
            if name not in self._answers and self._path.stat().st_size > self._seen:
                self._read_new()
            return self._answers.get(name)

    def put(self, name: str, answer: Answer) -> Answer:
        """Keep an answer; returns the one that counts, which another process may have got first."""
        line = json.dumps(
            {
                "key": name,
                "text": answer.text,
                "prompt_tokens": answer.prompt_tokens,
                "completion_tokens": answer.completion_tokens,
                "finish_reason": answer.finish_reason,
            },
            ensure_ascii=False,
        )
        with self._lock, self._path.open("r+b") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            end = stream.seek(0, os.SEEK_END)
            if end:
                stream.seek(end - 1)
                if stream.read(1) != b"\n":  # torn by a kill: its line ends here
                    stream.write(b"\n")
            stream.write(line.encode() + b"\n")
            stream.flush()
            os.fsync(stream.fileno())
            self._read_new()
            return self._answers[name]

    def _read_new(self) -> None:
        """Take in complete lines that have come; the last may still be on its way."""
        with self._path.open("rb") as stream:
            stream.seek(self._seen)
            data = stream.read()
        whole = data[: data.rfind(b"\n") + 1]
        self._seen += len(whole)
        for line in whole.splitlines():
            try:
                found = json.loads(line)
                name = found.pop("key")
                self._answers.setdefault(name, Answer(**found))
            except (ValueError, KeyError, TypeError, AttributeError):
                continue  # a torn line: its question is asked again
