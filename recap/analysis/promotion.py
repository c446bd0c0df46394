"""The evidence of two versions -> whether one may replace the other as champion.

``version_evidence`` collects the evidence that a version carries: the outcomes of each gated
benchmark, prompt by prompt, and the conditions of comparison (digests of prompts, prefills and
attack, the judges). ``promotion_decision`` compares two versions with the gate's paired comparison.
The candidate may lie below the champion by less than ``gate.margin`` on every gated benchmark; a
check's own margin holds only against the baseline. Missing or unequal evidence refuses the
promotion. Pure functions: leaves out the registry, the flag that overrides a refusal, and the
history that records the reason (``recap.tracking.registry``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from recap.analysis.comparison import compare
from recap.analysis.gate import last_round, paired_check
from recap.params.attack import Attack
from recap.params.gate import Gate
from recap.params.seeds import derive_seed
from recap.pipeline.lock import digest
from recap.types.decisions import BenchmarkAnswers, GateCheck, GateDecision, VersionEvidence
from recap.types.verdicts import Outcome, Verdict

YES, NO, NONE = "1", "0", "?"
ATTACK = "attack"
"""Among a version's inputs, the name of the digest of attack and decoding settings."""
SAME = "the same prompts, prefills, attack and judges for both versions"


def version_evidence(
    outcomes: Sequence[Outcome],
    verdicts: Iterable[Verdict],
    files: Mapping[str, str],
    gate: Gate,
    attack: Attack,
) -> VersionEvidence:
    """The evidence of one cell on the gate's benchmarks.

    ``verdicts`` are the cell's. ``files`` maps the paths of its prompts and prefills to digests.
    Leaves out benchmarks that were not measured, so that a promotion refuses.
    """
    places = places_of(gate, outcomes)
    judged = {
        f"{row.judge} {row.judge_revision} {row.judge_prompt_sha}"
        for row in verdicts
        if (row.benchmark, row.place) in places
    }
    how = attack.model_dump(mode="json", exclude={"benchmarks", "replay"})
    gated = {benchmark for benchmark, _ in places}
    how["decoding"] = {name: own for name, own in how["decoding"].items() if name in gated}
    answers = [
        _answers([row for row in outcomes if (row.benchmark, row.place) == place])
        for place in places
    ]
    return VersionEvidence(
        inputs={**files, ATTACK: digest(how)},
        judges=sorted(judged),
        answers=[found for found in answers if found is not None],
    )


def promotion_decision(
    candidate: VersionEvidence | None,
    champion: VersionEvidence | None,
    gate: Gate,
    *,
    names: tuple[str, str],
    resamples: int,
    seed: int,
) -> GateDecision:
    """Whether ``candidate`` may replace ``champion``; ``names`` are ``version 3``, ``version 2``.

    ``None`` is a version that carries no evidence. The decision passes only if every check does.
    """
    if candidate is None or champion is None:
        without = [
            name for name, found in zip(names, (candidate, champion), strict=True) if found is None
        ]
        checks = [_refused("evidence", f"{' and '.join(without)}: none")]
    elif reasons := list(unequal(candidate, champion)):
        checks = [_refused("equal evidence", "; ".join(reasons))]
    else:
        ours, theirs = list(outcomes_of(candidate)), list(outcomes_of(champion))
        checks = [
            paired_check(
                compare(
                    benchmark,
                    at,
                    ours,
                    theirs,
                    resamples=resamples,
                    seed=derive_seed(seed, "promotion", benchmark, at),
                ),
                names[1],
                gate.margin,
                gate.min_rows,
            )
            for benchmark, at in places_of(gate, ours)
        ]
    return GateDecision(
        candidate=names[0],
        baseline=names[1],
        passed=all(check.passed for check in checks),
        checks=checks,
    )


def places_of(gate: Gate, outcomes: Sequence[Outcome]) -> list[tuple[str, int]]:
    """The gated benchmarks and rounds, each once."""
    places = (
        (check.benchmark, check.place or last_round(check.benchmark, outcomes))
        for check in gate.checks
    )
    return list(dict.fromkeys(places))


def _answers(rows: Sequence[Outcome]) -> BenchmarkAnswers | None:
    if not rows:
        return None
    return BenchmarkAnswers(
        benchmark=rows[0].benchmark,
        place=rows[0].place,
        prompts=[row.prompt_id for row in rows],
        samples=[row.sample for row in rows],
        clusters=[row.cluster for row in rows],
        success="".join({True: YES, False: NO, None: NONE}[row.success] for row in rows),
    )


def outcomes_of(found: VersionEvidence) -> Iterator[Outcome]:
    """The outcomes in the evidence; it says nothing about reflection."""
    for own in found.answers:
        for prompt, sample, cluster, mark in zip(
            own.prompts, own.samples, own.clusters, own.success, strict=True
        ):
            yield Outcome(
                prompt_id=prompt,
                benchmark=own.benchmark,
                place=own.place,
                sample=sample,
                cluster=cluster,
                success={YES: True, NO: False, NONE: None}[mark],
                reflected=None,
                reflection_position=None,
            )


def unequal(candidate: VersionEvidence, champion: VersionEvidence) -> Iterator[str]:
    """The reasons why the two are not comparable."""
    for name in sorted(candidate.inputs.keys() | champion.inputs.keys()):
        if candidate.inputs.get(name) != champion.inputs.get(name):
            yield f"{name} differs"
    for found in (candidate, champion):
        if not found.inputs.keys() - {ATTACK}:
            yield "no digest of prompts"
    if not candidate.judges or not champion.judges:
        yield "no judge is named"
    elif candidate.judges != champion.judges:
        ours, theirs = (", ".join(found.judges) for found in (candidate, champion))
        yield f"judged by {ours} against {theirs}"


def _refused(name: str, said: str) -> GateCheck:
    return GateCheck(name=name, passed=False, measured=said, required=SAME, lacking=SAME)
