"""The whole page: from the followed rows to Markdown, one chapter per step."""

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
        "Three rows of a real run, at every step from raw row to gate: a harmful request, a "
        "benign one that only sounds harmful, and a sum. Each heading names a type of "
        "`recap/types.py`. The world is made up, and so are its dangers.",
        "Made by `python -m recap.report.journey --out docs/a-rows-journey.md` from the files of "
        "the run; the same run gives the same page.",
        MAP,
        "# In training",
        records("`RawRow` → `PromptRecord`", "train", story, train_records),
        prefills(
            [row.whole for row in story.trained],
            "Another model's whole thought, for this prompt. It is used only if it is "
            "*counter-aligned*: the source's own answer is unsafe (or, for a benign prompt, a "
            "refusal). Math is never prefilled.",
        ),
        prefilled(story),
        rendered(
            story.renderer,
            [row.group.rollouts[0].rendered for row in story.trained],
            "`RenderedPrompt`",
            "The chat template up to the open think tag, then the prefill, as token ids. Loss "
            "starts at **t0**: whatever stands before it was not written by the policy.",
        ),
        groups(story),
        weights(story),
        "# In evaluation",
        "Three other rows: nothing is measured on what was trained on. Where there is one, the "
        f"first row is taken on which {variant_label(story.candidate)} succeeds and "
        f"{variant_label(story.baseline)} does not.",
        records("`RawRow` → `PromptRecord`", "eval", story, eval_records),
        prefills(
            [row.whole for row in story.evaluated],
            "The attacker's material comes from models that training never saw.",
        ),
        rendered(
            story.renderer,
            [row.rendered for row in story.evaluated],
            "`AttackedPrompt`",
            "As in training, the planted words open the thought; the policy has to go on.",
        ),
        completions(story),
        verdicts(story),
        metrics(story),
        decision(story),
    ]
    return "\n\n".join(parts) + "\n"
