"""The whole page: the followed rows as Markdown, one chapter per step."""

from __future__ import annotations

from recap.analysis.axes import variant_label
from recap.report.journey.evaluation import completions, decision, metrics, verdicts
from recap.report.journey.rows import Story
from recap.report.journey.shared import prefills, records, rendered
from recap.report.journey.training import groups, prefilled, weights

MAP = """```text
train   RawRow → PromptRecord → Prefill → PrefilledPrompt → RenderedPrompt
               → Rollout → Reward → RolloutGroup → advantages → weights
eval    RawRow → PromptRecord → Prefill → AttackedPrompt
               → Completion → Verdict → Outcome → Metric → GateDecision
```"""


def tell(story: Story) -> str:
    """The whole page."""
    train_records = [row.group.prompt.record for row in story.trained]
    eval_records = [row.record for row in story.evaluated]
    parts = [
        "# A row's journey",
        "This page follows three rows of a real run through every step, from raw row to gate: a "
        "harmful request, a benign request that only sounds harmful, and a sum. Each heading names "
        "types of `recap/types/`. The world and its dangers are invented.",
        "`python -m recap.report.journey --out docs/a-rows-journey.md` makes this page from the "
        "files of a run. The same run gives the same page.",
        MAP,
        "# In training",
        records("`RawRow` → `PromptRecord`", "train", story, train_records),
        prefills(
            [row.whole for row in story.trained],
            "A prefill is another model's whole thought about this prompt. It is used only if it "
            "is *counter-aligned*: the source's own answer is unsafe (or, for a benign prompt, a "
            "refusal). Math is never prefilled.",
        ),
        prefilled(story),
        rendered(
            story.renderer,
            [row.group.rollouts[0].rendered for row in story.trained],
            "`RenderedPrompt`",
            "The rendered prompt is the chat template up to the open think tag, then the prefill, "
            "as token ids. The loss starts at **t0**: the policy did not write the tokens before "
            "it.",
        ),
        groups(story),
        weights(story),
        "# In evaluation",
        "Evaluation uses other rows than training. In each domain the page shows the first row on "
        f"which {variant_label(story.candidate)} succeeds and {variant_label(story.baseline)} does "
        "not, if there is one.",
        records("`RawRow` → `PromptRecord`", "eval", story, eval_records),
        prefills(
            [row.whole for row in story.evaluated],
            "The attacker's prefills come from models that training never uses.",
        ),
        rendered(
            story.renderer,
            [row.rendered for row in story.evaluated],
            "`AttackedPrompt`",
            "As in training, the planted words open the thought, and the policy continues it.",
        ),
        completions(story),
        verdicts(story),
        metrics(story),
        decision(story),
    ]
    return "\n\n".join(parts) + "\n"
