"""Chat template + think tag + prefill -> token ids, and generated ids -> thought and answer.

The prompt is rendered by the model's own template up to the open think tag; a prefill is tokenised
apart and appended, so that generation begins at t0(x) (paper, objective). What opens and closes
turns and thoughts: ``recap.turn``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from recap.errors import ModelError, RenderError
from recap.params.models import THINK, Reasoning
from recap.turn import TODAY, Turn, closes, eos_ids, template_text, turn_of
from recap.types.prompts import PrefillUnit, RenderedPrompt

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

LATER_GUARDIANS = ("<start_of_conversation>", "<confidence>", "<score>", "criteria")
"""Words of the formats of Granite Guardian 3.2 and later, whose answers mean something else."""


@dataclass(frozen=True, slots=True)
class _Parted:
    """Generated ids around the closing tag, and the texts of tokens that reach into it.

    ``over``: what the last token that is not wholly thought still says of it, before the tag;
    ``rest``: what the tag's last token says of the answer. ``said``: the ids after it.
    """

    thought: Sequence[int]
    over: str = ""
    rest: str = ""
    said: Sequence[int] = ()


class Renderer:
    """Renders prompts, attacked contexts, documents and judge questions for one tokenizer."""

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        reasoning: Reasoning = THINK,
        eos_ids: Iterable[int] = (),
    ) -> None:
        """``eos_ids``: those of the model's own files, beside the tokenizer's.

        A guardian need not open a thought, nor have the tags.
        """
        self.tokenizer = tokenizer
        self._reasoning, self._eos_ids = reasoning, tuple(eos_ids)
        pad = tokenizer.pad_token_id
        # what is padded is never read
        self.pad_id: int = (tokenizer.eos_token_id or 0) if pad is None else pad
        self.markers = self._markers()

    @classmethod
    def from_dir(cls, directory: Path, reasoning: Reasoning = THINK) -> Renderer:
        """The renderer of a model directory; raises ModelError if it holds no tokenizer."""
        from transformers import AutoTokenizer

        if not (directory / "tokenizer_config.json").is_file():
            raise ModelError(
                f"Expected a model directory with a tokenizer at {directory}, found none. "
                "Run the stage that makes it, or correct the path."
            )
        tokenizer = AutoTokenizer.from_pretrained(directory, local_files_only=True)
        return cls(tokenizer, reasoning, eos_ids(directory))

    @cached_property
    def turn(self) -> Turn:
        """How the model's turn and thought open and close."""
        return turn_of(self.tokenizer, self._reasoning, self._eos_ids)

    @cached_property
    def template(self) -> str:
        """The chat template's source."""
        return str(self.tokenizer.chat_template or "")

    def prompt(self, text: str, prefill: str | None = None) -> RenderedPrompt:
        """The prompt up to the open think tag, then the prefill, if any."""
        head = self._head(text)
        if not prefill:
            return RenderedPrompt(head, 0)
        self._refuse_markers(prefill, "prefill")
        tail = self._encode(prefill)
        return RenderedPrompt(head + tail, len(tail))

    def hijack(self, text: str, cot: str) -> RenderedPrompt:
        """The whole thought given and its block closed: the model must answer at once.

        Thought and closing are tokenised as one text, as the model was taught: the full stop and
        the line break before the tag are one token in many tokenizers.
        """
        head = self._head(text)
        self._refuse_markers(cot, "prefill")
        tail = self._encode(cot + self.turn.closing)
        return RenderedPrompt(head + tail, len(tail))

    def reset(
        self, previous: RenderedPrompt, generated: Sequence[int], transition: str, prefill: str
    ) -> RenderedPrompt:
        """The next round of an iterative prefill reset.

        Context so far, the generated thought without its closing tag and response, the transition
        sentence, the prefill again; the think block stays open.
        """
        parted = self._part(generated)
        thought = (*parted.thought, *self._encode(parted.over))
        self._refuse_markers(prefill, "prefill")
        self._refuse_markers(transition, "transition")
        again = self._encode(f" {transition} {prefill}")
        ids = previous.token_ids + thought + again
        head = len(previous.token_ids) - previous.num_prefill_tokens
        return RenderedPrompt(ids, len(ids) - head)

    def split(
        self, token_ids: Sequence[int], *, hijacked: bool = False
    ) -> tuple[str, str | None, int, int]:
        """Generated ids as ``(cot, response, num_cot_tokens, num_response_tokens)``.

        ``response`` is ``None`` when the think block was never closed or the text was cut off
        before its end; after a hijack everything is response.
        """
        parted = _Parted((), said=token_ids) if hijacked else self._part(token_ids)
        said = parted.said
        ended = bool(said) and said[-1] in self.turn.stop_ids
        said = said[:-1] if ended else said
        thought = (self._text(parted.thought) + parted.over).strip()
        response = (parted.rest + self._text(said)).strip() if ended else None
        return thought, response, len(parted.thought), len(said)

    def cut(self, text: str, length: int, unit: PrefillUnit = "words") -> tuple[str, int, int]:
        """The first ``length`` words or tokens as ``(text, num_words, num_tokens)``.

        Words are split at white space, which stays as it is, tokens are those of ``prompt``. The
        tokens of a text cut by words are the first ones of the whole: a token that reaches from the
        last word into the white space behind it is kept whole. A text cut by tokens may end inside
        a word; it never has more tokens than asked for when it is tokenised again, and has fewer
        where a token is a part of a character.
        """
        whole = text.strip()
        short = self._first_words(whole, length)
        if unit == "tokens":
            short = self._first_tokens(whole, length)
        return short, len(short.split()), len(self._encode(short))

    def document(self, prompt: str, thought: str, response: str) -> list[int]:
        """One training document: prompt, thought, closed think block, response, end of turn."""
        rendered = self.hijack(prompt, thought)
        return [*rendered.token_ids, *self._encode(response), self.turn.end_id]

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

    def _head(self, text: str) -> tuple[int, ...]:
        """Prompt ids up to the open think tag, and the line break after it, if any."""
        self._refuse_markers(text, "prompt")
        rendered = template_text(self.tokenizer, [{"role": "user", "content": text}])
        if closes(rendered, self._reasoning):
            raise RenderError(
                f"Expected a chat template that lets the model think, got one whose prompt ends "
                f"with a closed thought ({self._reasoning.close}). Use a reasoning model's own "
                "template, or name its tags in models.reasoning."
            )
        return self._encode(rendered) + self._encode(self.turn.opening)

    def _markers(self) -> tuple[str, ...]:
        """What no text may contain, the longest first: tags, special tokens, the template's own.

        Added tokens that are neither special nor the template's are text: Gemma's line breaks.
        """
        tokenizer = self.tokenizer
        added = {
            str(token)
            for token in tokenizer.added_tokens_decoder.values()
            if token.special or (str(token).strip() and str(token) in self.template)
        }
        tags = {self._reasoning.open, self._reasoning.close}
        return tuple(sorted({*tokenizer.all_special_tokens, *added, *tags}, key=len, reverse=True))

    def _part(self, generated: Sequence[int]) -> _Parted:
        """Where the first closing tag stands, if any, however its tokens were chosen."""
        turn = self.turn
        stop = next((i for i, token in enumerate(generated) if token in turn.stop_ids), None)
        ids = generated[:stop]
        end = ids.index(turn.close_id) if turn.close_id in ids else len(ids)
        if turn.close not in self._text(ids[:end]):
            return _Parted(ids[:end], said=generated[end + 1 :] if end < len(ids) else ())
        low, high = 1, end  # piece by piece: the fewest tokens that say the tag
        while low < high:
            middle = (low + high) // 2
            said = turn.close in self._text(ids[:middle])
            low, high = (low, middle) if said else (middle + 1, high)
        thought, _, rest = self._text(ids[:high]).partition(turn.close)
        first = high
        while not thought.startswith(self._text(ids[:first])):
            first -= 1
        over = thought.removeprefix(self._text(ids[:first]))
        return _Parted(ids[:first], over, rest, generated[high:])

    def _refuse_markers(self, text: str, what: str) -> None:
        found = next((marker for marker in self.markers if marker in text), None)
        if found:
            raise RenderError(
                f"Expected a {what} without template markers, got one with '{found}'. "
                "Remove the row (preparation quarantines such rows), or change the parameter."
            )

    def _encode(self, text: str) -> tuple[int, ...]:
        return tuple(self.tokenizer.encode(text, add_special_tokens=False))

    def _first_words(self, text: str, count: int) -> str:
        """The first ``count`` words, with white space that is one token with the last."""
        with_space = "".join(islice((m[0] for m in re.finditer(r"\S+\s*", text)), count))
        words = with_space.rstrip()
        whole = self._encode(text)
        for end in range(len(words), len(with_space) + 1):
            ids = self._encode(text[:end])
            if whole[: len(ids)] == ids:
                return text[:end]
        return words

    def _first_tokens(self, text: str, count: int) -> str:
        """The longest beginning of at most ``count`` tokens that ends where a token does."""
        tokens = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        for _, end in reversed(tokens["offset_mapping"][:count]):
            short = text[:end].strip()
            if len(self._encode(short)) <= count:
                return short
        return ""

    def _text(self, ids: Sequence[int]) -> str:
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=False))
