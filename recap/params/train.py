"""The section ``train``: the method's settings, TRL's options, and their valid combinations."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, FiniteFloat, TypeAdapter, field_validator, model_validator

from recap.params.sampling import Engine, Servers
from recap.params.values import Count, Positive, Precision, Section, Share
from recap.types.prompts import PrefillUnit
from recap.types.row import Domain

Method = Literal["rl", "sft"]
Scheduler = Literal[
    "linear", "cosine", "constant", "constant_with_warmup", "inverse_sqrt", "polynomial"
]
Traces = Literal["plain", "deliberative", "safechain"]
Optimizer = Literal["dapo", "grpo", "dr_grpo"]
Aggregation = Literal["batch_tokens", "group_tokens"]
AlphaMode = Literal["exact", "bernoulli"]
PrefillSource = Literal["counter", "aligned", "none", "self"]
Subset = Literal["all", "alignment", "math"]
Refill = Literal["missing", "expected"]
Curriculum = Literal["none", "adaptive"]
Sharding = Literal["none", "fsdp2"]
SafetyReward = Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]
"""recap/rewards/safety.py lists the valid names."""


class Grpo(Section):
    """TRL's GRPOConfig options, passed on verbatim."""

    num_generations: Annotated[int, Field(ge=2)]
    max_completion_length: Count
    steps_per_generation: Annotated[int, Field(ge=2)]
    learning_rate: Positive
    temperature: Positive
    beta: Annotated[float, Field(ge=0.0)]
    weight_decay: Annotated[float, Field(ge=0.0)]
    lr_scheduler_type: Scheduler
    max_grad_norm: Positive


class Sft(Section):
    """Supervised training in place of RL (docs/sft.md): the kind of ``traces``, and the steps.

    ``batch_tokens`` bounds the tokens of one update, prompts included. ``attempts`` is the most
    samples of the base policy for a math prompt.
    """

    traces: Traces
    attempts: Count
    batch_tokens: Count
    learning_rate: Positive


class Adapter(Section):
    """LoRA: ``rank`` r, the factor ``alpha`` / r, and the names of the layers it is added to."""

    rank: Count
    alpha: Count
    targets: Annotated[tuple[str, ...], Field(min_length=1)]


class Launch(Section):
    """The processes that train one policy together: ``processes`` on each of ``nodes`` machines.

    ``shard``: each holds the whole policy (none), or its own share of the parameters, gradients and
    optimizer states (fsdp2). More processes add up the same numbers in another order, so they
    change the last bits of a result.
    """

    processes: Count
    nodes: Count
    shard: Sharding

    @property
    def world(self) -> int:
        """All processes, on all machines."""
        return self.processes * self.nodes

    @model_validator(mode="after")
    def _shares(self) -> Launch:
        if self.shard != "none" and self.world == 1:
            raise ValueError(
                f"shard {self.shard} divides the policy between processes, got one process (set "
                "processes: 2 or more, or shard: none)"
            )
        return self


class DomainShares(Section):
    """A share for each domain that may have prefills."""

    harmful: Share
    benign: Share


_SHARE: TypeAdapter[float] = TypeAdapter(Share)
_SHARES: TypeAdapter[DomainShares] = TypeAdapter(DomainShares)
_LENGTH: TypeAdapter[int] = TypeAdapter(Count)
_LENGTHS: TypeAdapter[tuple[int, int]] = TypeAdapter(tuple[Count, Count])


class Train(Section):
    """RECAP training. ``alpha`` and ``prefill_length`` (l_pre) are the method's two main settings.

    ``refill``: a round of replacements draws as many prompts as are ``missing``, or as many as are
    ``expected`` to fill the batch. A surplus group waits at most ``max_carry_age`` updates.
    ``method: sft`` reads only ``subset``, ``updates``, ``save_updates``, ``snapshot_updates``,
    ``sft``, ``adapter``, ``checkpointing``, ``precision`` and, for sampling solutions, the rollout
    options of ``grpo``; ``launch`` has to be one process. ``precision`` is that of training's
    matrix products (docs/adapters.md).
    """

    method: Method
    engine: Engine
    servers: Servers
    optimizer: Optimizer
    subset: Subset
    alpha: float | DomainShares
    alpha_mode: AlphaMode
    prefill_source: PrefillSource
    prefill_length: int | tuple[int, int]
    prefill_unit: PrefillUnit
    self_prefill_updates: Count
    self_prefill_prompts: Count
    curriculum: Curriculum
    curriculum_target: Annotated[float, Field(gt=0.0, lt=1.0)]
    curriculum_step: Annotated[float, Field(gt=0.0, le=1.0)]
    curriculum_alpha: tuple[Annotated[float, Field(gt=0.0)], Share]
    updates: Annotated[int, Field(ge=0)]
    prompts_per_update: Count
    epsilon_low: Share
    epsilon_high: Positive
    tau: FiniteFloat
    reward_epsilon: Positive
    max_refill_rounds: Annotated[int, Field(ge=0)]
    refill: Refill
    max_carry_age: Annotated[int, Field(ge=0)]
    aggregation: Aggregation
    safety_reward: SafetyReward
    truncated_reward: FiniteFloat
    turn_reward: Annotated[FiniteFloat, Field(ge=0.0)]
    max_missing_prefills: Share
    save_updates: Count
    snapshot_updates: Count
    adapter: Adapter | None
    checkpointing: bool
    precision: Precision
    launch: Launch
    grpo: Grpo
    sft: Sft

    @property
    def alphas(self) -> dict[Domain, float]:
        """The share of prompts with a prefill in each domain that has any; math is never here."""
        if isinstance(self.alpha, DomainShares):
            return {"harmful": self.alpha.harmful, "benign": self.alpha.benign}
        return {"harmful": self.alpha, "benign": self.alpha}

    @property
    def stored_precision(self) -> Precision:
        """That of the loaded weights: an adapter's base is never written to, so it may be short."""
        return self.precision if self.adapter else "float32"

    @property
    def processes(self) -> int:
        """All processes that train the policy."""
        return self.launch.world

    @property
    def prefill_lengths(self) -> tuple[int, int]:
        """The shortest and the longest prefill, in ``prefill_unit``."""
        if isinstance(self.prefill_length, tuple):
            return self.prefill_length
        return self.prefill_length, self.prefill_length

    # These run before the unions' own checks, whose errors list every member of the union.

    @field_validator("alpha", mode="before")
    @classmethod
    def _alpha(cls, value: Any) -> float | DomainShares:
        if isinstance(value, dict | DomainShares):
            return _SHARES.validate_python(value, strict=True)
        return _SHARE.validate_python(value, strict=True)

    @field_validator("prefill_length", mode="before")
    @classmethod
    def _prefill_length(cls, value: Any) -> int | tuple[int, int]:
        if not isinstance(value, list | tuple):
            return _LENGTH.validate_python(value, strict=True)
        low, high = _LENGTHS.validate_python(tuple(value), strict=True)
        if low > high:
            raise ValueError(f"a range goes from the shorter to the longer, not {low} to {high}")
        return low, high

    @field_validator("curriculum_alpha")
    @classmethod
    def _curriculum_alpha(cls, value: tuple[float, float]) -> tuple[float, float]:
        if value[0] > value[1]:
            raise ValueError(f"the lower bound comes first, not {value[0]:g} to {value[1]:g}")
        return value

    @model_validator(mode="after")
    def _curriculum_fits(self) -> Train:
        if self.curriculum == "none":
            return self
        if self.alpha_mode != "bernoulli":
            raise ValueError(
                "curriculum adaptive moves alpha within an epoch, where an exact share has no "
                "meaning (set alpha_mode: bernoulli)"
            )
        low, high = self.curriculum_alpha
        moving = [alpha for alpha in self.alphas.values() if alpha]
        if not moving or min(moving) < low or max(moving) > high:
            raise ValueError(
                f"curriculum adaptive starts at alpha, which has to lie within curriculum_alpha, "
                f"{low:g} to {high:g} (0 for a domain that is never prefilled, not for both), got "
                + " and ".join(f"{domain} {alpha:g}" for domain, alpha in self.alphas.items())
            )
        return self

    @model_validator(mode="after")
    def _launch_fits(self) -> Train:
        if self.method == "sft" and self.launch.world > 1:
            raise ValueError(
                f"method sft trains in one process, got {self.launch.world} in launch (set "
                "launch: {processes: 1, nodes: 1, shard: none}, for this variant alone if others "
                "need more)"
            )
        if self.launch.shard != "none" and self.engine == "vllm":
            raise ValueError(
                f"launch.shard {self.launch.shard} takes its rollouts from engine torch or server: "
                "an engine inside each process would hold the whole policy a second time (set "
                "engine: server, or launch.shard: none)"
            )
        if self.launch.nodes > 1 and self.engine == "server" and not self.servers.elsewhere:
            raise ValueError(
                f"launch.nodes {self.launch.nodes} needs servers that every node reaches, and a "
                "stage's own listen on one machine alone (set servers.elsewhere: true and start "
                "them as docs/operations.md says, Servers)"
            )
        return self

    @model_validator(mode="after")
    def _fits(self) -> Train:
        if self.aggregation == "group_tokens" and self.optimizer != "dapo":
            raise ValueError(
                f"aggregation group_tokens belongs to optimizer dapo; {self.optimizer} has its own "
                "(set aggregation: batch_tokens)"
            )
        if self.aggregation == "group_tokens" and self.grpo.beta > 0:
            raise ValueError(
                "aggregation group_tokens has no KL term, so grpo.beta has to be 0, "
                f"got {self.grpo.beta} (or set aggregation: batch_tokens)"
            )
        if self.tau <= self.reward_epsilon:
            raise ValueError(
                f"tau has to be above reward_epsilon, or every group is discarded as failed or as "
                f"solved; got {self.tau} and {self.reward_epsilon}"
            )
        if self.safety_reward == "logit" and self.truncated_reward >= 0:
            raise ValueError(
                "safety_reward logit gives an unsafe answer less than 0, so truncated_reward has "
                f"to be far below 0 or silence is paid; got {self.truncated_reward} (try -10)"
            )
        return self


def overlay(values: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """``values`` overridden by ``changes``, section by section."""
    merged = dict(values)
    for key, value in changes.items():
        nested = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = overlay(merged[key], value) if nested else value
    return merged
