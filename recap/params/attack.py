"""The section ``attack``: how evaluation attacks and decodes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import Field, model_validator

from recap.params.values import Count, Positive, Section, Share
from recap.types.sources import Source

BenchmarkName = Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]
"""recap/benchmarks/declared.py lists the valid names. A new benchmark therefore changes no
parameter class, on which every stage depends. The attacking stages refuse unknown names."""
PrefilledDomain = Literal["harmful", "benign"]
"""Math is never prefilled."""
SelectorName = Literal["guardian"]


class OwnDecoding(Section):
    """A benchmark's own decoding; ``attack`` gives the values that are left out."""

    temperature: Positive | None = None
    top_p: Annotated[float, Field(gt=0.0, le=1.0)] | None = None
    max_tokens: Count | None = None
    samples: Count | None = None


class Attack(Section):
    """Attacks and generation in evaluation; recap/attacks has each benchmark's prompts and attack.

    ``selector`` ranks answers for the adversary and is never ``judge.judge``; ``null``: no search.
    ``max_missing_prefills``: prompts without a verified prefill are left out; this share of a
    benchmark is an error. ``replay``: the file of attacks that are kept (`recap keep`), from the
    project's root; ``null``: none.
    """

    prefill_words: Count
    grid_words: tuple[Count, ...] = Field(min_length=1)
    ipr_rounds: Count
    transition: str = Field(min_length=1)
    selector: SelectorName | None
    search_budgets: tuple[Count, ...] = Field(min_length=1)
    search_prompts: Count
    self_samples: Count
    transfer_sources: dict[PrefilledDomain, Annotated[tuple[Source, ...], Field(min_length=1)]]
    max_missing_prefills: Share
    replay: Path | None = None
    secondary_prompts: Count
    temperature: Positive
    top_p: Annotated[float, Field(gt=0.0, le=1.0)]
    max_tokens: Count
    samples: Count
    decoding: dict[BenchmarkName, OwnDecoding]
    benchmarks: tuple[BenchmarkName, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _axes(self) -> Attack:
        """Values of an axis must increase."""
        for name, places in (
            ("grid_words", self.grid_words),
            ("search_budgets", self.search_budgets),
        ):
            if list(places) != sorted(set(places)):
                raise ValueError(f"{name} go up, each once; got {list(places)}")
        for domain in get_args(PrefilledDomain):
            names = self.transfer_sources.get(domain, ())
            if not names or len(set(names)) < len(names):
                raise ValueError(
                    f"transfer_sources.{domain} names each source once and at least one, got "
                    f"{list(names)}"
                )
        return self
