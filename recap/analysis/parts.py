"""The parts of a claim: one statistic each, with its condition, its value and the paper's value.

``Tester`` makes parts from a run's evidence. ``recap.analysis.claims`` puts the parts together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from recap.analysis.axes import Axes, Key, benchmark_label, lower_first
from recap.analysis.evidence import Evidence
from recap.analysis.settings import Settings
from recap.analysis.verdicts import Asked, Estimate, Verdict, together, verdict

MARGIN = 0.03
"""Three points. A smaller loss counts as "no less". A part is not refuted for a gain that could not
reach three points, because the baseline was too high (or too low)."""
TOKEN_MARGIN = 0.25
"""Up to a quarter more or less is "a comparable token budget" (the paper has 49 % to -5 %)."""


@dataclass(frozen=True, slots=True)
class Part:
    """One statistic of a claim. ``paper``: the paper's values in points, one for each model it has.

    ``estimates``: one for each training seed. ``relative``: changes in percent, not points.
    ``needs`` names the cells to run if nothing was measured.
    """

    what: str
    asked: Asked
    estimates: tuple[Estimate, ...]
    verdict: Verdict
    paper: tuple[float, ...] = ()
    relative: bool = False
    needs: str | None = None
    said: str | None = None


@dataclass(frozen=True, slots=True)
class Claim:
    """One claim of the paper with its parts and the verdict on all of them."""

    number: int
    text: str
    parts: tuple[Part, ...]

    @property
    def verdict(self) -> Verdict:
        """The verdict on all parts together."""
        return together([part.verdict for part in self.parts])

    @property
    def needs(self) -> list[str]:
        """The cells to run for the parts that were not measured."""
        return list(dict.fromkeys(part.needs for part in self.parts if part.needs))


@dataclass(frozen=True)
class Tester:
    """Makes parts from the evidence of a run."""

    evidence: Evidence
    settings: Settings
    axes: Axes

    def against(self, asked: Asked, key: Key, paper: Sequence[float]) -> Part:
        """Candidate against baseline on one benchmark."""
        found = self.evidence.difference(self.settings.candidate, self.settings.baseline, key)
        label = lower_first(benchmark_label(*key, self.axes))
        return self.part(label, asked, found, paper, needs=f"the benchmark {key[0]}")

    def pair(
        self,
        what: str,
        first: str | None,
        second: str | None,
        key: Key,
        paper: Sequence[float],
        needs: str,
    ) -> Part:
        """One variant above another; both have to be defined and measured."""
        if first is None or second is None:
            return self.part(what, "more", (), paper, needs=needs)
        missing = [name for name in (first, second) if name not in self.settings.measured]
        if missing:
            plural = "s" if len(missing) > 1 else ""
            needs = f"the variant{plural} {' and '.join(missing)} in matrix.variants"
            return self.part(what, "more", (), paper, needs=needs)
        found = self.evidence.difference(first, second, key)
        return self.part(what, "more", found, paper, needs=f"the benchmark {key[0]}")

    def part(
        self,
        what: str,
        asked: Asked,
        estimates: Sequence[Estimate],
        paper: Sequence[float] = (),
        *,
        relative: bool = False,
        needs: str | None = None,
    ) -> Part:
        """The part with its verdict; ``needs`` counts only where nothing was measured."""
        said = verdict(asked, estimates, TOKEN_MARGIN if relative else MARGIN)
        return Part(
            what,
            asked,
            tuple(estimates),
            said,
            tuple(paper),
            relative,
            needs if said == "not measured" else None,
        )
