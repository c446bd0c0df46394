"""How a model's turn and its thought open and close: the one place that decides it.

Read from the tokenizer, its chat template, the model's EOS ids and ``models.reasoning``. Which
families of templates this holds for: docs/templates.md. Leaves out tool calls and templates of our
own: what a model expects is what its template says.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from recap.errors import ModelError
from recap.params.models import Reasoning

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

THINKING = {"enable_thinking": True, "thinking": True}
"""What Qwen3's, Granite's and DeepSeek's later templates ask before they let the model think."""
TODAY = datetime(2024, 12, 18)
"""What templates are told the date is, where they ask: no token id may depend on the day."""


@dataclass(frozen=True, slots=True)
class Turn:
    """How one model's turn and thought open and close.

    ``opened``: the template's generation prompt opens the thought; else we do, as the model would.
    ``line``: the line break that follows the tags, or nothing. ``end_id`` ends an answer in the
    template; generation ends at any of ``stop_ids``, of which it is one. ``close_id``: the closing
    tag, if one token.
    """

    open: str
    close: str
    opened: bool
    line: str
    close_id: int | None
    end_id: int
    stop_ids: tuple[int, ...]

    @property
    def opening(self) -> str:
        """What follows the rendered prompt, so that a thought is open."""
        return "" if self.opened else self.open + self.line

    @property
    def closing(self) -> str:
        """What closes a thought, up to the answer."""
        return f"{self.line}{self.close}{2 * self.line}"


def turn_of(
    tokenizer: PreTrainedTokenizerBase, reasoning: Reasoning, eos_ids: Iterable[int]
) -> Turn:
    """The turn of the model that ``tokenizer`` belongs to; ``eos_ids``: those of its own files.

    Raises ModelError where nothing says what ends a turn.
    """
    question = {"role": "user", "content": "question"}
    prompt = template_text(tokenizer, [question])
    end = _end(tokenizer, question)
    known = {end, tokenizer.eos_token_id, *eos_ids} - {None}
    if not known:
        raise ModelError(
            "Expected a model that says what ends its turn, got none in tokenizer_config.json and "
            "generation_config.json. Name its eos_token in one of them."
        )
    own = min(known) if tokenizer.eos_token_id is None else tokenizer.eos_token_id
    close = tokenizer.encode(reasoning.close, add_special_tokens=False)
    return Turn(
        open=reasoning.open,
        close=reasoning.close,
        opened=opens(prompt, reasoning),
        line="\n" if breaks_line(prompt, str(tokenizer.chat_template), reasoning) else "",
        close_id=close[0] if len(close) == 1 else None,
        end_id=own if end is None else end,
        stop_ids=tuple(sorted(known)),
    )


def _end(tokenizer: PreTrainedTokenizerBase, question: dict[str, str]) -> int | None:
    """The special token that the template writes right after an answer, if it does."""
    said = {"role": "assistant", "content": "answer"}
    _, found, rest = template_text(tokenizer, [question, said], prompted=False).rpartition("answer")
    ids = tokenizer.encode(rest, add_special_tokens=False) if found else []
    added = tokenizer.added_tokens_decoder
    return ids[0] if ids and ids[0] in added and added[ids[0]].special else None


def template_text(
    tokenizer: PreTrainedTokenizerBase, messages: list[dict[str, str]], *, prompted: bool = True
) -> str:
    """Messages by the model's own template, which may think; ``prompted``: up to its turn."""
    text: str = tokenizer.apply_chat_template(
        messages,
        add_generation_prompt=prompted,
        tokenize=False,
        strftime_now=TODAY.strftime,
        **THINKING,
    )
    return text


def opens(prompt: str, reasoning: Reasoning) -> bool:
    """Whether a rendered prompt ends with an open thought."""
    return prompt.rstrip().endswith(reasoning.open)


def closes(prompt: str, reasoning: Reasoning) -> bool:
    """Whether a rendered prompt ends with a closed thought: its model is told not to think."""
    return prompt.rstrip().endswith(reasoning.close)


def breaks_line(prompt: str, template: str, reasoning: Reasoning) -> bool:
    """Whether a line break follows the tag, in the prompt or, where we open it, in the template."""
    if opens(prompt, reasoning):
        return prompt.endswith("\n")
    return f"{reasoning.open}\n" in template or f"{reasoning.open}\\n" in template


def eos_ids(directory: Path) -> tuple[int, ...]:
    """All EOS ids of ``generation_config.json``, else of ``config.json``; none without either."""
    for name in ("generation_config.json", "config.json"):
        file = directory / name
        found = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
        ids = found.get("eos_token_id")
        if ids is not None:
            return tuple(ids) if isinstance(ids, list) else (ids,)
    return ()
