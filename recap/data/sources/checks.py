"""Checks of texts that enter training or evaluation, and their normal form for comparison.

Refuses think tags and special tokens of any chat template (with them, a prompt could speak as the
model), control characters, invalid Unicode, empty texts, and texts of more than
``prepare.max_words`` words. Folds full-width and invisible look-alikes first, because a tokenizer
may fold them too.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from recap.types.prompts import PromptRecord

THINK_TAG = re.compile(r"<\s*/?\s*think(ing)?\s*/?\s*>", re.IGNORECASE)
SPECIAL_TOKEN = re.compile(
    r"<\|[^\s<>|]{1,60}\|>"  # <|im_start|>, <|eot_id|>, DeepSeek's after folding
    r"|</?s>|<<?/?SYS>>?|\[/?INST\]|<(?:start|end)_of_turn>"
    r"|</?(?:bos|eos|pad|unk|mask|sep|cls|user|assistant|system|guard)>",
    re.IGNORECASE,
)
PLAIN_NAME = re.compile(r"[\w./:+-]{1,160}", re.ASCII)
_WORDS_OR_OPERATORS = re.compile(r"\w+|[^\w\s.,;:!?'\"\u2019\u201c\u201d]")
_WORDS = re.compile(r"\w+")


def _fold(text: str) -> str:
    """NFKC without invisible format characters (zero-width spaces, joiners, direction marks)."""
    folded = unicodedata.normalize("NFKC", text)
    if folded.isascii():
        return folded
    return "".join(c for c in folded if unicodedata.category(c) != "Cf")


def normalise(text: str) -> str:
    """The normal form, which is equal for equal prompts: lower case, words and operators.

    Drops punctuation and spacing. Keeps signs such as + - =, because they distinguish sums.
    """
    return " ".join(_WORDS_OR_OPERATORS.findall(_fold(text).casefold()))


def words(text: str) -> list[str]:
    """Lower-case words, for n-grams."""
    return _WORDS.findall(_fold(text).casefold())


def has_think_tag(text: str) -> bool:
    """Whether ``text`` contains an opening or closing think tag."""
    return THINK_TAG.search(_fold(text)) is not None


def has_special_token(text: str) -> bool:
    """Whether ``text`` contains a control token of a chat template."""
    return SPECIAL_TOKEN.search(_fold(text)) is not None


def is_unicode(text: str) -> bool:
    """Whether ``text`` can be written as UTF-8 (no lone surrogates)."""
    return not any("\ud800" <= c <= "\udfff" for c in text)


def text_fault(text: str, max_words: int, tags: Sequence[str] = ()) -> str | None:
    """The reason why a text may not be used, or ``None``.

    ``tags``: those of the models, beside ``<think>``.
    """
    if not is_unicode(text):
        return "not valid Unicode"
    if "\0" in text:
        return "NUL character"
    if any(unicodedata.category(c) == "Cc" and c not in "\n\r\t" for c in text):
        return "control character"
    if not _fold(text).strip():
        return "empty"
    if len(text.split()) > max_words:
        return f"over {max_words} words"
    if has_think_tag(text) or any(tag in text for tag in tags):
        return "think tag"
    if has_special_token(text):
        return "special token"
    return None


def record_fault(record: PromptRecord, max_words: int, tags: Sequence[str] = ()) -> str | None:
    """The reason why a record may not be used, or ``None``; names the column, never its text."""
    for column, name in {"id": record.id, "source": record.source}.items():
        if not PLAIN_NAME.fullmatch(name):
            return f"{column} is not a plain name"
    if (record.target is not None) != (record.domain == "math"):
        return "target: math prompts have one and no others do"
    texts = {"prompt": record.prompt, "target": record.target, "cluster": record.cluster}
    for column, text in texts.items():
        fault = None if text is None else text_fault(text, max_words, tags)
        if fault:
            return f"{column}: {fault}"
    return None
