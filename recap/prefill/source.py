"""Whole thoughts of one source, sampled for its prompts until verified.

What each source is asked: pi_harm the harmful prompts, pi_refuse the benign ones, the aligned model
both; evaluation's sources the evaluation prompts. Its pool are further thoughts about evaluation
prompts, for attacks that search among them or compare sources; training never reads it. Thoughts
are kept whole: training and attacks cut them to their own length.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Collection, Sequence

from recap.errors import DataError, ParameterError, choices
from recap.params.prefill import Prefilling
from recap.params.seeds import derive_seed
from recap.prefill.verify import Thought, verify
from recap.render import Renderer
from recap.runtime.progress import Progress, Redraws
from recap.sampling.sampler import Sampler
from recap.scoring.reward_model import RewardModel
from recap.types.prompts import Intent, Prefill, PromptRecord
from recap.types.rollouts import Decoding
from recap.types.row import Domain
from recap.types.sources import SOURCES, SourceRole

NEVER_PREFILLED = ("jailbreak", "jailbreak-benign", "fortress", "fortress_or")
"""Endings of the evaluation sets that no benchmark attacks with a prefill."""


def find_source(name: str) -> SourceRole:
    """The source of that name; raises ParameterError if there is none."""
    if name not in SOURCES:
        raise ParameterError(
            f"Expected a prefill source among {choices(SOURCES)}, got '{name}'. "
            "Correct the name in matrix.sources or on the command line."
        )
    return SOURCES[name]


def fits(source: SourceRole, record: PromptRecord) -> bool:
    """Whether it may be asked about the prompt, of whichever split."""
    unused = record.split == "eval" and record.source.endswith(NEVER_PREFILLED)
    return record.domain in source.domains and not unused


def sample_prefills(
    name: str,
    records: Sequence[PromptRecord],
    sampler: Sampler,
    renderer: Renderer,
    guardian: RewardModel,
    section: Prefilling,
    seed: int,
) -> list[Prefill]:
    """One prefill for each record that the source is asked about, in the records' order.

    A thought that fails verification is drawn again, ``section.attempts`` draws in all; the last
    one is kept with the reason in ``rejected``.
    """
    source = find_source(name)
    asked = [r for r in records if r.split == source.split and fits(source, r)]
    return sample_thoughts(name, source.intent, asked, sampler, renderer, guardian, section, seed)


def check_verified(name: str, prefills: Sequence[Prefill], least: float) -> None:
    """Raise DataError, with the reasons counted, if too small a share is verified.

    ``least`` is ``validate.min_verified_prefills``. A source that is asked nothing passes.
    """
    rejected = Counter(each.rejected for each in prefills if each.rejected is not None)
    verified = len(prefills) - rejected.total()
    if prefills and round(verified / len(prefills), 4) < least:
        reasons = ", ".join(f"{reason}: {count}" for reason, count in rejected.most_common())
        raise DataError(
            f"Expected {least:.0%} of the thoughts of '{name}' to be verified, got {verified} of "
            f"{len(prefills)} ({reasons}). Look at the file of prefills; name another model under "
            "sources.origins, or change prefill.attempts or validate.min_verified_prefills."
        )


def sample_pool(
    name: str,
    records: Sequence[PromptRecord],
    sampler: Sampler,
    renderer: Renderer,
    guardian: RewardModel,
    section: Prefilling,
    seed: int,
    *,
    domains: Collection[Domain],
    prompts: int,
    thoughts: int,
) -> list[Prefill]:
    """Further thoughts about evaluation prompts, prompt by prompt in the records' order.

    ``domains``: the prompts about which some benchmark reads them; none are drawn about others.
    An evaluation source thinks ``thoughts`` times about ``prompts`` of its prompts, drawn by the
    seed: the first of these is the prefill that it has anyway, the rest are here. A training source
    thinks once about each of its domains' evaluation prompts.
    """
    source = find_source(name)
    asked = [r for r in records if r.split == "eval" and r.domain in domains and fits(source, r)]
    if source.split == "eval":
        generator = random.Random(derive_seed(seed, "pool", name))
        places = sorted(generator.sample(range(len(asked)), min(prompts, len(asked))))
        asked = [asked[place] for place in places for _ in range(thoughts - 1)]
    again = derive_seed(seed, "pool")
    return sample_thoughts(name, source.intent, asked, sampler, renderer, guardian, section, again)


def sample_thoughts(
    name: str,
    intent: Intent,
    asked: Sequence[PromptRecord],
    sampler: Sampler,
    renderer: Renderer,
    guardian: RewardModel,
    section: Prefilling,
    seed: int,
) -> list[Prefill]:
    """One thought of the model called ``name`` about each prompt, verified for ``intent``.

    A record that stands in ``asked`` more than once gets as many. Attempts and what is kept of
    them: as in ``sample_prefills``.
    """
    decoding = Decoding(section.temperature, section.top_p, section.max_tokens)
    progress, draws = Progress("thought", len(asked)), Redraws(section.attempts)
    prefills: dict[int, Prefill] = {}
    todo = list(range(len(asked)))
    for attempt in range(section.attempts):
        if not todo:
            break
        drawn = sampler.sample(
            [renderer.prompt(asked[place].prompt) for place in todo],
            decoding,
            num_samples=1,
            seed=derive_seed(seed, "prefill", name, attempt),
        )
        thoughts = []
        for place, (sample,) in zip(todo, drawn, strict=True):
            text, response, _, _ = renderer.split(sample.token_ids)
            thoughts.append(Thought(asked[place], text, response))
        reasons = verify(thoughts, intent, guardian, section.guardian_threshold, renderer.markers)
        for place, thought, reason in zip(todo, thoughts, reasons, strict=True):
            prefills[place] = _prefill(thought, reason, name, intent, renderer)
        failed = [place for place, reason in zip(todo, reasons, strict=True) if reason]
        effort = draws.after_round(len(todo), len(failed))
        todo = failed
        note = f"verified, attempt {attempt + 1}"
        progress.step(len(asked) - len(todo), note, effort=effort)
    return [prefills[place] for place in range(len(asked))]


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
