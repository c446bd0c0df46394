"""A prompt and its prefill, up to the token ids from which generation starts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from recap.types.row import Domain, Row

Split = Literal["train", "eval"]
Intent = Literal["harmful", "refusing", "aligned"]
PrefillUnit = Literal["words", "tokens"]
"""The unit of a prefill's length."""


class PromptRecord(Row):
    """One prompt after preparation.

    ``source`` names the prompt set (``microworld-jailbreak``, ``gsm8k``): benchmarks select by it.
    ``cluster`` is the unit that prompts share (the request's object): clustered intervals use it.
    ``target`` is the gold answer of a math prompt, ``None`` elsewhere. ``category`` is the prompt
    set's own kind of request (XSTest's type, StrongREJECT's category). ``rubric`` has the prompt's
    own questions about a response; each that is answered by yes is a harm (Fortress).
    """

    id: str
    domain: Domain
    prompt: str
    target: str | None
    source: str
    split: Split
    cluster: str | None = None
    category: str | None = None
    rubric: tuple[str, ...] = ()


class QuarantinedRow(Row):
    """A refused raw row: its place and the reason, never its text."""

    file: str
    line: int
    id: str | None
    reason: str


class Prefill(Row):
    """One whole flawed (or aligned) thought of a source model, for one prompt.

    ``text`` is the thought without think tags; ``num_words`` and ``num_tokens`` are its true sizes.
    ``response`` is the source's own answer, which verification judges. ``rejected`` is ``None`` for
    a verified prefill, else the reason why it may not be used. ``category`` is the family of the
    thought, ``None`` where families are not known.
    """

    prompt_id: str
    text: str
    intent: Intent
    source_model: str
    num_words: int
    num_tokens: int
    response: str
    rejected: str | None
    category: str | None = None


@dataclass(frozen=True, slots=True)
class PrefilledPrompt:
    """A prompt with its prefill, already cut to length; ``None`` on a clean prompt."""

    record: PromptRecord
    prefill: Prefill | None


@dataclass(frozen=True, slots=True)
class RenderedPrompt:
    """Token ids up to the start of generation; the last ``num_prefill_tokens`` are the prefill.

    t0(x) of the objective is therefore the first generated token: a prefill never carries loss.
    """

    token_ids: tuple[int, ...]
    num_prefill_tokens: int
