"""Chat template + think tag + prefill -> token ids: the only place that touches templates.

The prompt is rendered by the model's own template up to the open think tag; a prefill is tokenised
apart and appended, so that generation begins at t0(x) (paper, objective). Leaves out any template
of our own: what a model expects is what its tokenizer says.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from recap.errors import ModelError, RenderError
from recap.types.prompts import PrefillUnit, RenderedPrompt

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

OPEN, CLOSE = "<think>", "</think>"
TODAY = datetime(2024, 12, 18)
"""What judges' templates are told the date is, where they ask: a verdict must not depend on it."""
LATER_GUARDIANS = ("<start_of_conversation>", "<confidence>", "<score>", "criteria")
"""Words of the formats of Granite Guardian 3.2 and later, whose answers mean something else."""


class Renderer:
    """Renders prompts, attacked contexts, documents and judge questions for one tokenizer."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        """Think tags are looked for when a thought is rendered: a guardian need not have them."""
        self.tokenizer = tokenizer
        self.eos_id: int = tokenizer.eos_token_id
        pad = tokenizer.pad_token_id
        self.pad_id: int = self.eos_id if pad is None else pad  # what is padded is never read
        known = {*tokenizer.all_special_tokens, *tokenizer.get_added_vocab(), OPEN, CLOSE}
        self.markers = tuple(sorted(known, key=len, reverse=True))

    @classmethod
    def from_dir(cls, directory: Path) -> Renderer:
        """The renderer of a model directory; raises ModelError if it holds no tokenizer."""
        from transformers import AutoTokenizer

        if not (directory / "tokenizer_config.json").is_file():
            raise ModelError(
                f"Expected a model directory with a tokenizer at {directory}, found none. "
                "Run the stage that makes it, or correct the path."
            )
        return cls(AutoTokenizer.from_pretrained(directory, local_files_only=True))

    @cached_property
    def open_id(self) -> int:
        """Token that opens a thought; raises RenderError if it is not a single one."""
        return self._single(OPEN)

    @cached_property
    def close_id(self) -> int:
        """Token that closes a thought; raises RenderError if it is not a single one."""
        return self._single(CLOSE)

    @cached_property
    def template(self) -> str:
        """The chat template's source."""
        return str(self.tokenizer.chat_template or "")

    def prompt(self, text: str, prefill: str | None = None) -> RenderedPrompt:
        """The prompt up to the open think tag, then the prefill, if any."""
        head, newline = self._head(text)
        if not prefill:
            return RenderedPrompt(head, 0)
        self._refuse_markers(prefill, "prefill")
        tail = self._encode(self._spaced(prefill, newline))
        return RenderedPrompt(head + tail, len(tail))

    def hijack(self, text: str, cot: str) -> RenderedPrompt:
        """The whole thought given and its block closed: the model must answer at once."""
        opened = self.prompt(text, cot)
        newline = self._head(text)[1]
        closing = self._encode(f"\n{CLOSE}\n\n" if newline else f" {CLOSE}")
        return RenderedPrompt(opened.token_ids + closing, opened.num_prefill_tokens + len(closing))

    def reset(
        self, previous: RenderedPrompt, generated: Sequence[int], transition: str, prefill: str
    ) -> RenderedPrompt:
        """The next round of an iterative prefill reset.

        Context so far, the generated thought without its closing tag and response, the transition
        sentence, the prefill again; the think block stays open.
        """
        thought = self._thought(generated)
        self._refuse_markers(prefill, "prefill")
        self._refuse_markers(transition, "transition")
        again = self._encode(f" {transition} {prefill}")
        ids = previous.token_ids + tuple(thought) + again
        head = len(previous.token_ids) - previous.num_prefill_tokens
        return RenderedPrompt(ids, len(ids) - head)

    def split(
        self, token_ids: Sequence[int], *, hijacked: bool = False
    ) -> tuple[str, str | None, int, int]:
        """Generated ids as ``(cot, response, num_cot_tokens, num_response_tokens)``.

        ``response`` is ``None`` when the think block was never closed or the text was cut off
        before its end; after a hijack everything is response.
        """
        thought = [] if hijacked else self._thought(token_ids)
        rest = list(token_ids) if hijacked else list(token_ids[len(thought) + 1 :])
        ended = bool(rest) and rest[-1] == self.eos_id
        said = rest[:-1] if ended else rest
        response = self._decode(said) if ended else None
        return self._decode(thought), response, len(thought), len(said)

    def cut(self, text: str, length: int, unit: PrefillUnit = "words") -> tuple[str, int, int]:
        """The first ``length`` words or tokens as ``(text, num_words, num_tokens)``.

        Words are split at spaces, tokens are those of ``prompt``: where the template breaks the
        line after the think tag, no space comes first. A text cut by tokens may end inside a word;
        it never has more tokens than asked for when it is tokenised again, and has fewer where a
        token is a part of a character.
        """
        words = text.split()
        short = " ".join(words[:length] if unit == "words" else words)
        if unit == "tokens":
            short = self._first_tokens(short, length)
        return short, len(short.split()), len(self._encode(self._spaced(short, self._newline)))

    def document(self, prompt: str, thought: str, response: str) -> list[int]:
        """One training document: prompt, thought, closed think block, response, end of text."""
        rendered = self.hijack(prompt, thought)
        newline = self._head(prompt)[1]
        said = self._encode(self._spaced(response, newline))
        return [*rendered.token_ids, *said, self.eos_id]

    def judge(self, prompt: str, response: str, risk_name: str) -> list[int]:
        """The guardian's question about a response, rendered by the guardian's own template.

        Markers inside either text are broken up, so that a response cannot speak as the judge.
        Raises RenderError if the template does not know the risk.
        """
        messages = [
            {"role": "user", "content": self.escape(prompt)},
            {"role": "assistant", "content": self.escape(response)},
        ]
        return list(self._chat(messages, guardian_config={"risk_name": risk_name}))

    def message(self, text: str) -> list[int]:
        """One message to an instruct model, up to where it answers."""
        return list(self._chat([{"role": "user", "content": self.escape(text)}]))

    def refuse_other_guardians(self) -> None:
        """Raise RenderError unless the template asks as Granite Guardian 3.1's does."""
        later = [word for word in LATER_GUARDIANS if word in self.template]
        if later or "guardian_config" not in self.template or "risk_name" not in self.template:
            found = f"one with '{later[0]}'" if later else "one that does not read it"
            raise RenderError(
                "Expected a guardian's chat template that takes guardian_config.risk_name and "
                f"asks for Yes or No, got {found}. Pin Granite Guardian 3.1: 3.2 and later are "
                "asked, and answer, in another way."
            )

    def escape(self, text: str) -> str:
        """The text with every template marker broken up by a space."""
        for marker in self._spoken:
            text = text.replace(marker, f"{marker[0]} {marker[1:]}")
        return text

    # -- internals --------------------------------------------------------------------------------

    @cached_property
    def _spoken(self) -> tuple[str, ...]:
        """All markers, and those that the template writes as plain words (``<end_of_turn>``)."""
        written = re.findall(r"</?[^\s<>'\"{}]{1,60}>", self.template)
        return tuple(sorted({*self.markers, *written}, key=len, reverse=True))

    def _chat(self, messages: list[dict[str, str]], **options: object) -> tuple[int, ...]:
        """Messages rendered up to where the answer begins."""
        from jinja2 import TemplateError

        try:
            text = self.tokenizer.apply_chat_template(
                messages,
                add_generation_prompt=True,
                tokenize=False,
                strftime_now=TODAY.strftime,
                **options,
            )
        except TemplateError as error:
            raise RenderError(
                f"Expected a chat template that takes {options or 'one message'}, but it says: "
                f"{error}. Use a model whose template does, or another judge."
            ) from None
        return self._encode(text)

    def _head(self, text: str) -> tuple[tuple[int, ...], bool]:
        """Prompt ids up to the open think tag, and whether a newline follows the tag."""
        self._refuse_markers(text, "prompt")
        rendered = self.tokenizer.apply_chat_template(
            [{"role": "user", "content": text}], add_generation_prompt=True, tokenize=False
        )
        ids = self._encode(rendered)
        bos = self.tokenizer.bos_token_id
        if ids.count(self.open_id) != 1 or self.close_id in ids or ids.count(bos) != 1:
            raise RenderError(
                "Expected a chat template that gives one BOS and one open think tag, got "
                f"{ids.count(bos)} BOS, {ids.count(self.open_id)} open and "
                f"{ids.count(self.close_id)} closing tags. Use a reasoning model's own template."
            )
        return ids, rendered.endswith("\n")

    @cached_property
    def _newline(self) -> bool:
        """Whether the template breaks the line after the think tag, whatever the prompt."""
        return self._head("")[1]

    def _spaced(self, text: str, newline: bool) -> str:
        """A text as it follows a tag: after a space, unless a line break comes first."""
        return text if newline else f" {text}"

    def _thought(self, generated: Sequence[int]) -> Sequence[int]:
        for index, token in enumerate(generated):
            if token == self.close_id or token == self.eos_id:
                return generated[:index]
        return generated

    def _single(self, text: str) -> int:
        ids = self._encode(text)
        if len(ids) != 1:
            raise RenderError(
                f"Expected {text} to be one token, got {len(ids)}. "
                "Use a tokenizer that has the think tags as tokens."
            )
        return ids[0]

    def _refuse_markers(self, text: str, what: str) -> None:
        found = next((marker for marker in self.markers if marker in text), None)
        if found:
            raise RenderError(
                f"Expected a {what} without template markers, got one with '{found}'. "
                "Remove the row (preparation quarantines such rows), or change the parameter."
            )

    def _encode(self, text: str) -> tuple[int, ...]:
        return tuple(self.tokenizer.encode(text, add_special_tokens=False))

    def _first_tokens(self, text: str, count: int) -> str:
        """The longest beginning of at most ``count`` tokens that ends where a token does."""
        spaced = self._spaced(text, self._newline)
        tokens = self.tokenizer(spaced, add_special_tokens=False, return_offsets_mapping=True)
        for _, end in reversed(tokens["offset_mapping"][:count]):
            short = spaced[:end].strip()
            if len(self._encode(self._spaced(short, self._newline))) <= count:
                return short
        return ""

    def _decode(self, ids: Sequence[int]) -> str:
        return self.tokenizer.decode(list(ids), skip_special_tokens=False).strip()
