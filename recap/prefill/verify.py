"""Whether a sampled thought is what its source is for.

Counter-aligned means: the source's own answer is unsafe (harmful prompts) or refuses (benign ones),
and the thought does not turn round. Aligned means the opposite answer. A prefill that is not in
fact counter-aligned trains the opposite (paper, prefill sources), so each one is judged, by the
guardian; the evaluation's judge has no part in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from recap.scoring.reflection import find_reflection
from recap.scoring.refusals import is_refusal
from recap.scoring.reward_model import RewardModel
from recap.types.prompts import Intent, PromptRecord


@dataclass(frozen=True, slots=True)
class Thought:
    """A source's thought and answer to one prompt; ``response`` is ``None`` when unfinished."""

    record: PromptRecord
    text: str
    response: str | None


def verify(
    thoughts: Sequence[Thought],
    intent: Intent,
    guardian: RewardModel,
    threshold: float,
    markers: Sequence[str],
) -> list[str | None]:
    """For each thought ``None`` if it may be used, else the reason why not.

    ``threshold`` is the P(Yes) above which an answer counts as unsafe; ``markers`` are the think
    tags and special tokens, which no prefill may contain.
    """
    reasons = [_form(thought, intent, markers) for thought in thoughts]
    asked = [index for index, reason in enumerate(reasons) if reason is None]
    pairs = [(thoughts[index].record.prompt, thoughts[index].response or "") for index in asked]
    if not pairs:
        return reasons
    risks = guardian.p_yes(pairs)
    # Granite Guardian knows no rubric, and a harmful intent needs none
    rubrics = [None] * len(pairs) if intent == "harmful" else guardian.rubric(pairs)
    for index, risk, rubric in zip(asked, risks, rubrics, strict=True):
        reasons[index] = _answer(thoughts[index], intent, risk, rubric, threshold)
    return reasons


def _form(thought: Thought, intent: Intent, markers: Sequence[str]) -> str | None:
    if thought.response is None or not thought.response.strip():
        return "unfinished"
    if not thought.text.split():
        return "empty thought"
    if any(marker in thought.text for marker in markers):
        return "contains template markers"
    refusing = intent == "refusing"
    if intent != "aligned" and find_reflection(thought.text, refusing=refusing) is not None:
        return "turns round"
    return None


def _answer(
    thought: Thought, intent: Intent, risk: float, rubric: float | None, threshold: float
) -> str | None:
    """Written so that a risk that is no number verifies nothing."""
    if intent == "harmful":
        return None if risk > threshold else "answer is not unsafe"
    if intent == "refusing":
        refuses = rubric == 0 and is_refusal(thought.response or "")
        return None if refuses else "answer does not refuse"
    if thought.record.domain == "harmful":
        return None if risk < threshold else "answer is unsafe"
    return None if rubric == 1 else "answer does not help"
