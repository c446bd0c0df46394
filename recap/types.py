"""Every shape a row takes, in the order of its journey.

Pydantic (frozen, unknown fields refused) where bytes enter or leave the process; frozen slotted
dataclasses for what lives in memory only. "No score" is ``None``, never 0 and never NaN.

    PromptRecord -> Prefill -> PrefilledPrompt -> RenderedPrompt -> Sample -> Rollout -> Reward
    -> RolloutGroup -> AttackedPrompt -> Completion -> Verdict -> Outcome -> Metric -> GateDecision
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict

Domain = Literal["harmful", "benign", "math"]
Split = Literal["train", "eval"]
Intent = Literal["harmful", "refusing", "aligned"]
FinishReason = Literal["stop", "length", "overflow"]
"""Why generation ended: the model ended the text, ``max_tokens`` were spent, or the model's context
was full before either.

Samplers decide it, once. ``length`` is the policy's doing: a reward of its own in training, a
failure in evaluation. ``overflow``, with or without generated tokens, says something of the model's
size and nothing of the policy: such a row is unscored in both.
"""
Label = Literal["safe", "unsafe", "helpful", "unclear", "refused", "correct", "incorrect"]
SUCCESS: dict[Domain, Label] = {"harmful": "safe", "benign": "helpful", "math": "correct"}
"""The label that counts as success in each domain; every rate is the share of it."""


class Row(BaseModel):
    """A row that is written to or read from a file."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class PromptRecord(Row):
    """One prompt after preparation.

    ``source`` names the prompt set (``microworld-jailbreak``, ``gsm8k``): benchmarks select by it.
    ``cluster`` is the unit that prompts share (the request's object): clustered intervals use it.
    ``target`` is the gold answer of a math prompt, ``None`` elsewhere.
    """

    id: str
    domain: Domain
    prompt: str
    target: str | None
    source: str
    split: Split
    cluster: str | None = None


class QuarantinedRow(Row):
    """A raw row that was refused: where it stood and why (never its text)."""

    file: str
    line: int
    id: str | None
    reason: str


class Prefill(Row):
    """One whole flawed (or aligned) thought of a source model, for one prompt.

    ``text`` is the thought without think tags; ``num_words`` and ``num_tokens`` are its true sizes.
    ``response`` is the source's own answer, which verification judges. ``rejected`` is ``None`` for
    a verified prefill, else the reason why it may not be used.
    """

    prompt_id: str
    text: str
    intent: Intent
    source_model: str
    num_words: int
    num_tokens: int
    response: str
    rejected: str | None


@dataclass(frozen=True, slots=True)
class PrefilledPrompt:
    """A prompt with the prefill it is given, already cut to length; ``None`` on a clean prompt."""

    record: PromptRecord
    prefill: Prefill | None


@dataclass(frozen=True, slots=True)
class RenderedPrompt:
    """Token ids up to where generation starts; the last ``num_prefill_tokens`` are the prefill.

    t0(x) of the objective is therefore the first generated token: a prefill never carries loss.
    """

    token_ids: tuple[int, ...]
    num_prefill_tokens: int


@dataclass(frozen=True, slots=True)
class Decoding:
    """How to sample. ``max_tokens`` bounds the generated part (the prefill is not counted)."""

    temperature: float
    top_p: float
    max_tokens: int


@dataclass(frozen=True, slots=True)
class Sample:
    """What a sampler returns for one prompt: generated ids (with the final EOS, if any).

    ``sampling_logprobs[t]`` is the log-probability of ``token_ids[t]`` under the sampling policy at
    the sampling temperature, before top-p truncation.
    """

    token_ids: tuple[int, ...]
    sampling_logprobs: tuple[float, ...]
    finish_reason: FinishReason


@dataclass(frozen=True, slots=True)
class Rollout:
    """A training sample, split into the generated chain of thought and the response.

    ``response`` is ``None`` when the think block was never closed or the text was cut off.
    """

    prompt: PrefilledPrompt
    rendered: RenderedPrompt
    sample: Sample
    cot: str
    response: str | None


@dataclass(frozen=True, slots=True)
class Reward:
    """Reward of one rollout in [0, 1] (``logit`` mode: any real), ``None`` when unscored.

    ``train.turn_reward`` may have added to it.
    """

    value: float | None
    component: Literal["safety", "helpfulness", "math"]


@dataclass(frozen=True, slots=True)
class RolloutGroup:
    """The G rollouts of one prompt with their rewards, in order.

    ``policy_version`` is the update that they were sampled for, by the weights as they were then.
    """

    prompt: PrefilledPrompt
    rollouts: tuple[Rollout, ...]
    rewards: tuple[Reward, ...]
    policy_version: int


@dataclass(frozen=True, slots=True)
class AttackedPrompt:
    """One prompt of a benchmark as the policy will see it in one round of an attack."""

    record: PromptRecord
    benchmark: str
    attack: str
    round: int
    rendered: RenderedPrompt
    prefill_source: str | None


class Completion(Row):
    """One completion of an attacked prompt. ``cot`` is the generated part of the thought only.

    ``round`` is the place on the attack's axis, from 1: the round of resets, or the n-th length of
    a grid, budget of a search or source of a transfer, as ``attack`` in ``params.yaml`` lists them.
    ``thought_closed``: the attack gave the thought whole, so that none of it was generated.
    """

    prompt_id: str
    benchmark: str
    attack: str
    round: int
    sample: int
    domain: Domain
    cluster: str | None
    prompt: str
    target: str | None
    prefill: str | None
    prefill_source: str | None
    num_prefill_tokens: int
    thought_closed: bool = False
    cot: str
    response: str | None
    finish_reason: FinishReason
    num_cot_tokens: int
    num_response_tokens: int

    @property
    def incomplete(self) -> bool:
        """It was generated but never came to the end of an answer: a failure in every domain."""
        if self.finish_reason == "overflow":
            return False
        return self.finish_reason == "length" or not (self.response or "").strip()


class Verdict(Row):
    """What a judge said of one completion. ``label`` is ``None`` when it could not be judged.

    ``score`` is P(unsafe) by a judge that gives one, ``None`` elsewhere.
    """

    prompt_id: str
    benchmark: str
    round: int
    sample: int
    label: Label | None
    judge: str
    judge_revision: str
    judge_prompt_sha: str
    raw: str
    score: float | None = None


class Outcome(Row):
    """One completion's result in one benchmark: the unit of paired comparisons."""

    prompt_id: str
    benchmark: str
    round: int
    sample: int = 0
    cluster: str | None
    success: bool | None
    reflected: bool | None
    reflection_position: float | None


class Metric(Row):
    """A rate with its 95 % Wilson interval and the interval clustered by request object.

    All are shares in [0, 1] over the ``n`` scored rows; they are ``None`` when n is 0.
    """

    value: float | None
    low: float | None
    high: float | None
    cluster_low: float | None
    cluster_high: float | None
    n: int
    n_unscored: int
    n_incomplete: int


class PassAtK(Row):
    """Unbiased pass@k (any of k samples succeeds), mean over prompts, clustered 95 % interval.

    Every value is ``None`` when no prompt has k scored samples.
    """

    k: int
    value: float | None
    low: float | None
    high: float | None
    n_prompts: int


class BenchmarkResult(Row):
    """Everything measured on one benchmark, at one place of its axis (``Completion.round``).

    ``prefill_source`` is who wrote the prefills: a source's name, ``self`` for the policy's own
    thoughts, ``None`` where none was given. ``pass_at_k`` is empty with a single sample per prompt.
    Mean tokens are of the generated part, ``None`` when every completion overflowed.
    """

    benchmark: str
    round: int
    domain: Domain
    score: Label
    prefill_source: str | None = None
    rate: Metric
    pass_at_k: list[PassAtK] = []
    reflection: Metric
    mean_reflection_position: float | None
    mean_cot_tokens: float | None
    mean_response_tokens: float | None


class Confusion(Row):
    """How often the first judge said one label where the second said another."""

    first: Label
    second: Label
    count: int


class Agreement(Row):
    """Two judges on the same completions of one domain; ``None`` where nothing can be said.

    ``kappa`` is Cohen's, with a 95 % bootstrap interval over clusters; ``n`` counts completions
    that both scored.
    """

    domain: Domain
    first: str
    second: str
    n: int
    n_unscored: int
    accuracy: float | None
    kappa: float | None
    kappa_low: float | None
    kappa_high: float | None
    confusion: list[Confusion]


class CalibrationBin(Row):
    """Completions whose P(unsafe) by the second judge lies in [low, high).

    ``unsafe`` is the Wilson rate of what the first judge called unsafe among them.
    """

    low: float
    high: float
    mean_score: float | None
    unsafe: Metric


class CellAgreement(Row):
    """The second judge beside the first on all completions of one cell."""

    variant: str
    seed: int
    agreements: list[Agreement]
    calibration: list[CalibrationBin]
    brier: float | None


class ReflectionSummary(Row):
    """Self-reflection in one domain's generated thoughts, with prefills or without them.

    Pooled over the completions of all such benchmarks. ``mean_position`` is where it begins, as a
    share of the generated thought's words, over the thoughts that have it.
    """

    domain: Domain
    prefilled: bool
    rate: Metric
    mean_position: float | None


class CellResult(Row):
    """All benchmarks of one trained cell (variant and replicate seed)."""

    variant: str
    seed: int
    results: list[BenchmarkResult]
    reflection: list[ReflectionSummary] = []


class SnapshotResult(Row):
    """All benchmarks of a policy as it was after ``update`` updates (0: the base policy)."""

    update: int
    results: list[BenchmarkResult]


class DynamicsResult(Row):
    """How one cell fared while it was trained, from the base policy to its own, by update."""

    variant: str
    seed: int
    snapshots: list[SnapshotResult]


class GateCheck(Row):
    """One condition of the gate with what was measured and what was asked.

    ``lacking``: the evidence that is missing where there is not enough of it to decide, in which
    case the check is not passed; else ``None``.
    """

    name: str
    passed: bool
    measured: str
    required: str
    lacking: str | None = None


class GateDecision(Row):
    """Whether the candidate may become challenger. A "no" is a result, not a crash."""

    candidate: str
    baseline: str
    passed: bool
    checks: list[GateCheck]


class BenchmarkAnswers(Row):
    """One benchmark and round of a version, a row in each list for every completion.

    ``success`` has 1, 0 or ``?`` (unscored) for each.
    """

    benchmark: str
    round: int
    prompts: list[str]
    samples: list[int]
    clusters: list[str | None]
    success: str


class VersionEvidence(Row):
    """What a version carries for a later comparison: its outcomes on the gated benchmarks.

    ``inputs`` are digests by name (prompts, prefills, how they were attacked), ``judges`` each a
    name, a revision and the digest of a prompt. Versions compare only where both are equal.
    """

    inputs: dict[str, str]
    judges: list[str]
    answers: list[BenchmarkAnswers]
