"""Every shape a row takes, in the order of its journey.

Pydantic (frozen, unknown fields refused) where bytes enter or leave the process; frozen slotted
dataclasses for what lives in memory only. "No score" is ``None``, never 0 and never NaN.

    PromptRecord -> Prefill -> PrefilledPrompt -> RenderedPrompt -> Sample -> Rollout -> Reward
    -> RolloutGroup -> AttackedPrompt -> Completion -> Verdict -> Outcome -> Metric -> GateDecision

Each file holds one part of the journey, so that a stage depends on the part it reads.
"""
