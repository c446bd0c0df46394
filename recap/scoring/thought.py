"""Where a completion's text parts into thought and answer.

A sampled completion is parted by token ids (recap/render.py); this is for text from elsewhere. A
thought opens with the tag, or the model's template opened it and only the closing tag is there. A
tag further on is the answer's own: it must not hide what stands before it.
"""

from __future__ import annotations

from dataclasses import dataclass

from recap.params.models import THINK

OPEN, CLOSE = THINK.open, THINK.close


@dataclass(frozen=True, slots=True)
class Parts:
    """``response`` is ``None`` where there is none, for the reason in ``nothing``.

    ``unopened``: the thought was closed by a tag that nothing opened.
    """

    cot: str
    response: str | None
    nothing: str | None = None
    unopened: bool = False


def part(text: str) -> Parts:
    """Thought and answer of a completion's text."""
    opened = text.lstrip().startswith(OPEN)
    head, closed, response = text.lstrip().removeprefix(OPEN).partition(CLOSE)
    if not opened and (not closed or OPEN in head):
        return Parts("", text)
    if not closed:
        return Parts(head, None, "the thought never ended")
    if not response.strip():
        return Parts(head, None, "no response", unopened=not opened)
    return Parts(head, response, unopened=not opened)
