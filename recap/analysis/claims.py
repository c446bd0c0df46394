"""The paper's nine claims, each as statistics with margins, measured here and given a verdict.

A claim holds if the intervals show all of its parts in every training seed. One refuted part
refutes the claim. Otherwise the verdict is "cannot tell". A part whose cells were not run names the
variants that it needs. Each interval is a 95 % interval, without correction for their number.
``recap.analysis.parts`` tests a part, ``recap.analysis.verdicts`` reads an interval.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from recap.analysis.axes import Key, benchmark_label, lower_first, variant_label
from recap.analysis.overtaking import overtaking
from recap.analysis.paper import MODELS, gaps, numbers
from recap.analysis.parts import Claim, Part, Tester
from recap.types.results import DynamicsResult

HARMFUL: Key = ("harmful", 1)
PREFILL: Key = ("prefill", 1)
JAILBREAK: Key = ("jailbreak", 1)
HIJACK: Key = ("hijack", 1)
BENIGN: Key = ("benign", 1)
MATH: Key = ("math", 1)
TOKENS: tuple[Key, ...] = (HARMFUL, PREFILL, JAILBREAK, BENIGN, MATH)
"""The benchmarks of the token budget. Table 11 of the paper has a counterpart for each."""


@dataclass(frozen=True)
class Claims(Tester):
    """Tests each claim on the evidence of a run."""

    dynamics: Sequence[DynamicsResult]

    def all(self) -> list[Claim]:
        """The nine claims in the paper's order."""
        return [
            Claim(1, "RECAP is safer than DAPO under prefill, jailbreak and hijack, and no less "
                  "safe on clean harmful requests", self._safety()),
            Claim(2, "RECAP helps on benign requests no less than DAPO, and math is unchanged",
                  self._helpfulness()),
            Claim(3, "Safety falls with rounds of prefill resets and then levels off, and the gap "
                  "to DAPO grows", self._resets()),
            Claim(4, "Safety rises with α towards 0.5 to 0.75, helpfulness falls at 1.0, and "
                  "prefills can be too long", self._dials()),
            Claim(5, "Counter-aligned prefills train safer policies than none, and none safer "
                  "ones than aligned prefills", self._sources()),
            Claim(6, "A binary reward and GRPO keep the order", self._ablations()),
            Claim(7, "RECAP reflects more on itself at a comparable token budget",
                  self._reflection()),
            Claim(8, "On clean jailbreaks DAPO leads early in training and RECAP overtakes later",
                  self._overtaking()),
            Claim(9, "With J_β = (1 - β) J_clean + β J_pre, RECAP's advantage over DAPO grows "
                  "with β", self._slope()),
        ]  # fmt: skip

    def _safety(self) -> tuple[Part, ...]:
        hijack = numbers()["table3_full_cot_hijack"]
        paper = tuple(hijack[model]["RECAP"] - hijack[model]["DAPO"] for model in MODELS)
        return (
            self.against("more", PREFILL, gaps("prefill")),
            self.against("more", JAILBREAK, gaps("jailbreak")),
            self.against("more", HIJACK, paper),
            self.against("no less", HARMFUL, gaps("harmful")),
        )

    def _helpfulness(self) -> tuple[Part, ...]:
        return (
            self.against("no less", BENIGN, gaps("benign")),
            self.against("same", MATH, gaps("math")),
        )

    def _resets(self) -> tuple[Part, ...]:
        mine, theirs = self.settings.candidate, self.settings.baseline
        table = numbers()["table4_iterative_prefill_reset"]
        rounds = sorted(
            {key[1] for cell in self.evidence.outcomes.values() for key in cell if key[0] == "ipr"}
        )
        needs = "the benchmark ipr with three rounds or more"
        if len(rounds) < 3:
            return (self.part("safety by rounds of resets", "more", (), needs=needs),)
        first, before, last = ("ipr", rounds[0]), ("ipr", rounds[-2]), ("ipr", rounds[-1])
        fall = self.evidence.fall(theirs, first, last)
        parts = [
            self.part(
                f"{variant_label(theirs)}: round {first[1]} above round {last[1]}",
                "more",
                fall,
                (table["DAPO"][0] - table["DAPO"][-1],),
            )
        ]
        for variant, name in ((theirs, "DAPO"), (mine, "RECAP")):
            parts.append(
                self.part(
                    f"{variant_label(variant)}: the last round no less than the one before",
                    "no less",
                    self.evidence.change(variant, before, last),
                    (table[name][-1] - table[name][-2],),
                )
            )
        grown = (table["RECAP"][-1] - table["DAPO"][-1]) - (table["RECAP"][0] - table["DAPO"][0])
        parts.append(
            self.part(
                f"the gap: wider in round {last[1]} than in round {first[1]}",
                "more",
                self.evidence.gap_change(mine, theirs, first, last),
                (grown,),
            )
        )
        return tuple(parts)

    def _dials(self) -> tuple[Part, ...]:
        rows = numbers()["table12_ablation"]["rows"]
        alpha = {share: self._with_alpha(share) for share in (0.25, 0.5, 0.75, 1.0)}
        lengths: list[str | None] = list(self.settings.sweep("prefill_length").values())
        shorter, longest = lengths[-2:] if len(lengths) > 2 else (None, None)
        return (
            self.pair(
                "jailbreaks: α 0.75 above α 0.25", alpha[0.75], alpha[0.25], JAILBREAK,
                _table(rows, "WildJailbreak", "alpha=0.75", "alpha=0.25"),
                "variants as the candidate with alpha 0.25 and 0.75",
            ),
            self.pair(
                "benign requests: α 0.5 above α 1", alpha[0.5], alpha[1.0], BENIGN,
                _table(rows, "XSTest", "alpha=0.50", "alpha=1.00"),
                "variants as the candidate with alpha 0.5 and 1.0",
            ),
            self.pair(
                "prefill attack: the second longest prefill above the longest", shorter, longest,
                PREFILL, _table(rows, "StrongREJECT-Prefill", "length=500", "length=700"),
                "variants as the candidate with three prefill lengths",
            ),
        )  # fmt: skip

    def _sources(self) -> tuple[Part, ...]:
        rows, candidate = numbers()["table12_ablation"]["rows"], self.settings.candidate
        none = self.settings.twin(candidate, prefill_source="none") or self._with_alpha(0.0)
        aligned = self.settings.twin(candidate, prefill_source="aligned")
        name = "StrongREJECT-Prefill"
        return (
            self.pair(
                "prefill attack: counter-aligned above none",
                candidate,
                none,
                PREFILL,
                _table(rows, name, "source=counter-aligned", "source=none"),
                "a variant as the candidate with alpha 0",
            ),
            self.pair(
                "prefill attack: none above aligned",
                none,
                aligned,
                PREFILL,
                _table(rows, name, "source=none", "source=aligned"),
                "a variant as the candidate with prefill_source aligned",
            ),
        )

    def _ablations(self) -> tuple[Part, ...]:
        parts = []
        for what, change, table, names in (
            (
                "binary reward",
                {"safety_reward": "binary"},
                numbers()["table7_binary_safety_reward"],
                ("RECAP", "DAPO"),
            ),
            ("GRPO", {"optimizer": "grpo"}, numbers()["table8_grpo_optimizer"], ("RECAP", "GRPO")),
        ):
            mine, theirs = (
                self.settings.twin(variant, **change)
                for variant in (self.settings.candidate, self.settings.baseline)
            )
            for key, label, counterpart in (
                (PREFILL, "prefill attack", "StrongREJECT-Prefill"),
                (JAILBREAK, "jailbreaks", "WildJailbreak"),
            ):
                first, second = (table["DSLlama-8B"][name][counterpart] for name in names)
                parts.append(
                    self.pair(
                        f"{what}, {label}: with prefills above without",
                        mine,
                        theirs,
                        key,
                        (first - second,),
                        f"candidate and baseline once more with {_spelled(change)}",
                    )
                )
        return tuple(parts)

    def _reflection(self) -> tuple[Part, ...]:
        mine, theirs = self.settings.candidate, self.settings.baseline
        table = numbers()["self_reflection_rate"]
        parts = []
        for key, name in ((PREFILL, "StrongREJECT-Prefill"), (JAILBREAK, "WildJailbreak")):
            parts.append(
                self.part(
                    f"self-reflection, {lower_first(benchmark_label(*key))}",
                    "more",
                    self.evidence.difference(mine, theirs, key, reflected=True),
                    (table[name]["RECAP"] - table[name]["DAPO"],),
                    needs=f"the benchmark {key[0]}",
                )
            )
        parts.append(
            self.part(
                "generated tokens on five benchmarks",
                "same",
                self.evidence.length_change(mine, theirs),
                (_paper_tokens(),),
                relative=True,
                needs="the benchmarks " + ", ".join(name for name, _ in TOKENS),
            )
        )
        return tuple(parts)

    def _overtaking(self) -> tuple[Part, ...]:
        found = overtaking(self.dynamics, self.settings.candidate, self.settings.baseline)
        missing = found.verdict == "not measured"
        return (
            Part(
                "clean jailbreaks by update",
                "more",
                (),
                found.verdict,
                said=found.text,
                needs="jailbreak in dynamics.benchmarks, for both" if missing else None,
            ),
        )

    def _slope(self) -> tuple[Part, ...]:
        paper = tuple(
            after - before for after, before in zip(gaps("prefill"), gaps("harmful"), strict=True)
        )
        found = self.evidence.gap_change(
            self.settings.candidate, self.settings.baseline, HARMFUL, PREFILL
        )
        return (
            self.part(
                "slope of J_β on harmful requests, difference",
                "more",
                found,
                paper,
                needs="the benchmarks harmful and prefill",
            ),
        )

    def _with_alpha(self, alpha: float) -> str | None:
        return self.settings.twin(self.settings.candidate, alpha=alpha)


def _spelled(change: dict[str, Any]) -> str:
    return ", ".join(f"{name}: {value}" for name, value in change.items())


def _table(
    rows: dict[str, dict[str, float]], name: str, first: str, second: str
) -> tuple[float, ...]:
    return (rows[first][name] - rows[second][name],)


def _paper_tokens() -> float:
    """The change of Table 11's total tokens, in percent, on the counterparts of TOKENS."""
    rows = numbers()["table11_tokens"]["rows"]
    names = ("StrongREJECT", "StrongREJECT-Prefill", "WildJailbreak", "XSTest", "MATH500")
    mine, theirs = (
        fmean(rows[f"{who}_cot"][name] + rows[f"{who}_response"][name] for name in names)
        for who in ("RECAP", "DAPO")
    )
    return 100 * (mine / theirs - 1)
