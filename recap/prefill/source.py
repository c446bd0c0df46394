"""Whole thoughts of one source, sampled for its prompts until verified.

What each source is asked: pi_harm the harmful prompts, pi_refuse the benign ones, the aligned model
both; evaluation's sources the evaluation prompts. Thoughts are kept whole: training and attacks cut
them to their own length.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from recap.errors import ParameterError, choices
from recap.params import Prefilling, derive_seed
from recap.prefill.verify import Thought, verify
from recap.progress import Progress
from recap.render import Renderer
from recap.sampling.sampler import Sampler
from recap.scoring.yes_no import Guardian
from recap.types import Decoding, Domain, Intent, Prefill, PromptRecord, Split

NEVER_PREFILLED = "-jailbreak"
"""Ending of the evaluation sets that no benchmark attacks with a prefill."""


@dataclass(frozen=True, slots=True)
class Source:
    """What a source model is for."""

    intent: Intent
    split: Split
    domains: tuple[Domain, ...]

    def asks(self, record: PromptRecord) -> bool:
        """Whether this source thinks about the prompt."""
        unused = record.split == "eval" and record.source.endswith(NEVER_PREFILLED)
        return record.domain in self.domains and record.split == self.split and not unused


SOURCES = {
    "harmful": Source("harmful", "train", ("harmful",)),
    "refusing": Source("refusing", "train", ("benign",)),
    "aligned": Source("aligned", "train", ("harmful", "benign")),
    "harmful_eval": Source("harmful", "eval", ("harmful",)),
    "refusing_eval": Source("refusing", "eval", ("benign",)),
}


def find_source(name: str) -> Source:
    """The source of that name; raises ParameterError if there is none."""
    if name not in SOURCES:
        raise ParameterError(
            f"Expected a prefill source among {choices(SOURCES)}, got '{name}'. "
            "Correct the name in matrix.sources or on the command line."
        )
    return SOURCES[name]


def sample_prefills(
    name: str,
    records: Sequence[PromptRecord],
    sampler: Sampler,
    renderer: Renderer,
    guardian: Guardian,
    section: Prefilling,
    seed: int,
) -> list[Prefill]:
    """One prefill for each record that the source is asked about, in the records' order.

    A thought that fails verification is drawn again, ``section.attempts`` draws in all; the last
    one is kept with the reason in ``rejected``.
    """
    source = find_source(name)
    asked = [record for record in records if source.asks(record)]
    return sample_thoughts(name, source.intent, asked, sampler, renderer, guardian, section, seed)


def sample_thoughts(
    name: str,
    intent: Intent,
    asked: Sequence[PromptRecord],
    sampler: Sampler,
    renderer: Renderer,
    guardian: Guardian,
    section: Prefilling,
    seed: int,
) -> list[Prefill]:
    """One thought of the model called ``name`` about each prompt, verified for ``intent``.

    Attempts and what is kept of them: as in ``sample_prefills``.
    """
    decoding = Decoding(section.temperature, section.top_p, section.max_tokens)
    progress = Progress("thought", len(asked))
    prefills: dict[str, Prefill] = {}
    todo = asked
    for attempt in range(section.attempts):
        if not todo:
            break
        drawn = sampler.sample(
            [renderer.prompt(record.prompt) for record in todo],
            decoding,
            num_samples=1,
            seed=derive_seed(seed, "prefill", name, attempt),
        )
        thoughts = []
        for record, (sample,) in zip(todo, drawn, strict=True):
            text, response, _, _ = renderer.split(sample.token_ids)
            thoughts.append(Thought(record, text, response))
        reasons = verify(thoughts, intent, guardian, section.guardian_threshold, renderer.markers)
        for thought, reason in zip(thoughts, reasons, strict=True):
            prefills[thought.record.id] = _prefill(thought, reason, name, intent, renderer)
        todo = [t.record for t, reason in zip(thoughts, reasons, strict=True) if reason]
        progress.step(len(asked) - len(todo), f"verified, attempt {attempt + 1}")
    return [prefills[record.id] for record in asked]


def _prefill(
    thought: Thought, reason: str | None, name: str, intent: Intent, renderer: Renderer
) -> Prefill:
    # A rejected thought may hold markers; broken up, it can do no harm in any file.
    text, num_words, num_tokens = renderer.cut(renderer.escape(thought.text), len(thought.text))
    return Prefill(
        prompt_id=thought.record.id,
        text=text,
        intent=intent,
        source_model=name,
        num_words=num_words,
        num_tokens=num_tokens if num_words else 0,
        response=renderer.escape(thought.response or ""),
        rejected=reason,
    )
