"""Chapters on evaluation: completion, verdict, rate, decision."""

from __future__ import annotations

from recap.analysis.axes import benchmark_label, variant_label
from recap.analysis.tables import index, interval, percent
from recap.report.journey.markdown import chapter, plain, said, table, value
from recap.report.journey.rows import Story
from recap.report.markdown import met


def completions(story: Story) -> str:
    """The text of each policy."""
    blocks = []
    for row in story.evaluated:
        lines = [
            [
                f"**{variant_label(variant)}**",
                said(one.cot, one.response, continues=one.prefill is not None),
                f"`{one.finish_reason}`",
                f"{one.num_cot_tokens} + {one.num_response_tokens}",
            ]
            for variant, (one, _, _) in row.variants.items()
        ]
        blocks.append(
            f"**{row.record.domain}**: {plain(row.record.prompt)}\n\n"
            + table(["", "generated thought, then response", "finish", "tokens"], lines)
        )
    return chapter(
        "`Completion`",
        "The trained policies wrote these texts with the same random numbers. The planted words "
        "are not repeated.",
        *blocks,
    )


def verdicts(story: Story) -> str:
    """The judge's verdict, and the outcome."""
    rows = []
    for row in story.evaluated:
        for variant, (_, verdict, outcome) in row.variants.items():
            reflected = value(outcome.reflected)
            rows.append(
                [
                    row.record.domain,
                    variant_label(variant),
                    f"**{verdict.label}**",
                    f"`{verdict.judge}`",
                    value(outcome.success),
                    reflected,
                ]
            )
    return chapter(
        "`Verdict` → `Outcome`",
        "A judge labels prompt and response. The outcome says whether this label is the domain's "
        "success, and whether the generated thought turned round. A missing label is `None` and "
        "never a failure.",
        table(["", "", "`label`", "`judge`", "`success`", "`reflected`"], rows),
    )


def metrics(story: Story) -> str:
    """The rates to which the rows belong."""
    rows = []
    for row in story.evaluated:
        name = next(iter(row.variants.values()))[0].benchmark
        for variant, result in story.results.items():
            rate = index(result)[name, 1].rate
            rows.append(
                [
                    benchmark_label(name, 1),
                    variant_label(variant),
                    percent(rate.value, 1),
                    interval(rate.low, rate.high),
                    interval(rate.cluster_low, rate.cluster_high),
                    f"{rate.n}",
                    f"{rate.n_unscored}",
                ]
            )
    return chapter(
        "`Metric`",
        "Each row above is one of the n completions of a rate.",
        table(["benchmark", "variant", "rate", "95 % Wilson", "clustered", "n", "unscored"], rows),
    )


def decision(story: Story) -> str:
    """The gate's decision on the rates."""
    made = story.decision
    rows = [
        [plain(check.name), plain(check.measured), plain(check.required), met(check)]
        for check in made.checks
    ]
    verdict = "passed" if made.passed else "did not pass"
    return chapter(
        "`GateDecision`",
        f"{variant_label(story.candidate)} against {variant_label(story.baseline)}: **{verdict}**.",
        table(["condition", "measured", "required", ""], rows),
    )
