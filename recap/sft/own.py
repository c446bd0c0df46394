"""An instruct model's own thoughts and answers, by which it learns to think before it answers.

The model is asked twice: for a thought about the request, then for the answer. Kept are answers
that do not refuse; a text that was cut off ends with its last whole sentence. Leaves out whether
thought and answer fit together.
"""

from __future__ import annotations

import math
import re
import sys
from collections import Counter
from collections.abc import Sequence

from recap.params.seeds import derive_seed
from recap.render import Renderer
from recap.runtime.progress import Progress
from recap.sampling.sampler import Sampler
from recap.scoring.refusals import is_refusal
from recap.scoring.rules import is_loop
from recap.types.prompts import RenderedPrompt
from recap.types.rollouts import Decoding, Sample
from recap.types.traces import TraceRow, TraceSet

ASK = (
    "{prompt}\n\nDo not answer yet. First think aloud, in two or three short sentences: what is "
    "asked, and how will you answer it?"
)
THOUGHT = Decoding(0.7, 0.95, 64)
ANSWER = Decoding(0.7, 0.95, 96)
FEWEST_WORDS = 5
SENTENCES = re.compile(r".*[.!?:](?=\s|$)", re.DOTALL)
AT_ONCE = 32
"""Prompts between two lines of progress."""
SPARE = 1.25
"""How many more are asked than are missing: some answers are left out."""


def own_traces(
    prompts: Sequence[tuple[str, str]],
    name: TraceSet,
    wanted: int,
    sampler: Sampler,
    renderer: Renderer,
    seed: int,
) -> list[TraceRow]:
    """Up to ``wanted`` traces about (id, prompt), in the prompts' order.

    Prompts are asked until there are enough; what is left out is counted on stderr.
    """
    kept: list[TraceRow] = []
    reasons = Counter[str]()
    progress = Progress("own trace", wanted)
    first = 0
    while first < len(prompts) and len(kept) < wanted:
        count = min(AT_ONCE, math.ceil(SPARE * (wanted - len(kept))))
        part = prompts[first : first + count]
        thoughts = _say(part, ASK, THOUGHT, sampler, renderer, derive_seed(seed, name, first, "t"))
        answers = _say(
            part, "{prompt}", ANSWER, sampler, renderer, derive_seed(seed, name, first, "a")
        )
        for (prompt_id, prompt), thought, answer in zip(part, thoughts, answers, strict=True):
            reason = _fault(thought, answer)
            if reason:
                reasons[reason] += 1
            else:
                kept.append(
                    TraceRow(
                        set=name, id=prompt_id, prompt=prompt, thought=thought, response=answer
                    )
                )
        first += count
        progress.step(min(len(kept), wanted))
    if reasons:
        said = ", ".join(f"{reason} {count}" for reason, count in reasons.most_common())
        print(f"{name}: left out {said}", file=sys.stderr)
    return kept[:wanted]


def _say(
    prompts: Sequence[tuple[str, str]],
    question: str,
    decoding: Decoding,
    sampler: Sampler,
    renderer: Renderer,
    seed: int,
) -> list[str]:
    """One answer of the instruct model to each question, in whole sentences."""
    asked = [
        RenderedPrompt(tuple(renderer.message(question.format(prompt=prompt))), 0)
        for _, prompt in prompts
    ]
    drawn = sampler.sample(asked, decoding, num_samples=1, seed=seed)
    return [_sentences(sample, renderer) for (sample,) in drawn]


def _sentences(sample: Sample, renderer: Renderer) -> str:
    ended = sample.finish_reason == "stop"
    ids = sample.token_ids[:-1] if ended else sample.token_ids
    text = str(renderer.tokenizer.decode(list(ids), skip_special_tokens=True)).strip()
    if ended:
        return text
    found = SENTENCES.match(text)
    return found[0].strip() if found else ""


def _fault(thought: str, answer: str) -> str | None:
    """Why a trace is left out; ``None`` if it is kept."""
    if len(thought.split()) < FEWEST_WORDS or len(answer.split()) < FEWEST_WORDS:
        return "too short"
    if is_refusal(thought) or is_refusal(answer):
        return "refuses"
    return "loop" if is_loop(thought) or is_loop(answer) else None
