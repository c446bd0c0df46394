"""The types of a row at every step, in order.

Types that are read or written are pydantic models (frozen, unknown fields refused). Types that
exist only in memory are frozen slotted dataclasses. "No score" is ``None``, never 0 and never NaN.

    PromptRecord -> Prefill -> PrefilledPrompt -> RenderedPrompt -> Sample -> Rollout -> Reward
    -> RolloutGroup -> AttackedPrompt -> Completion -> Verdict -> Outcome -> Metric -> GateDecision

Each file has one part of these steps, so that a stage depends only on the part that it reads.
"""
