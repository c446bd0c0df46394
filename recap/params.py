"""Every knob, typed: ``params.yaml`` as frozen models, one class per section.

Unknown keys and impossible values are refused with one message naming the key, what was expected
and what came. Nothing here imports torch or MLflow.
"""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails

from recap.errors import ParameterError, choices
from recap.types import Domain

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[float, Field(gt=0.0)]
Count = Annotated[int, Field(ge=1)]

ModelName = Literal["policy", "guardian"]
TrainSource = Literal["harmful", "refusing", "aligned"]
EvalSource = Literal["harmful_eval", "refusing_eval"]
Source = Literal[TrainSource, EvalSource]
Table = Literal["prompts", "prefills", "verdicts"]
LoaderName = Literal["microworld", "gsm8k", "star1", "xstest", "strongreject", "math500"]
BenchmarkName = Literal[
    "harmful", "jailbreak", "prefill", "hijack", "ipr", "benign", "benign_prefill", "math"
]
TRAIN_SOURCES: tuple[TrainSource, ...] = get_args(TrainSource)
EVAL_SOURCES: tuple[EvalSource, ...] = get_args(EvalSource)
TABLES: tuple[Table, ...] = get_args(Table)

Engine = Literal["torch", "vllm"]
Method = Literal["rl", "sft"]
Scheduler = Literal[
    "linear", "cosine", "constant", "constant_with_warmup", "inverse_sqrt", "polynomial"
]
Traces = Literal["plain", "deliberative", "safechain"]
Optimizer = Literal["dapo", "grpo", "dr_grpo"]
Aggregation = Literal["batch_tokens", "group_tokens"]
AlphaMode = Literal["exact", "bernoulli"]
PrefillSource = Literal["counter", "aligned", "none", "self"]
PrefillUnit = Literal["words", "tokens"]
Subset = Literal["all", "alignment", "math"]
Refill = Literal["missing", "expected"]
Curriculum = Literal["none", "adaptive"]
SafetyReward = Literal["prob", "logit", "binary"]


class Section(BaseModel):
    """Base of all sections."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Matrix(Section):
    """Which members of each matrix stage exist."""

    models: tuple[ModelName, ...]
    sources: tuple[Source, ...]
    tables: tuple[Table, ...]
    variants: tuple[str, ...] = Field(min_length=1)
    seeds: tuple[Annotated[int, Field(ge=0)], ...] = Field(min_length=1)


class World(Section):
    """The microworld's language. ``wrong_start`` decides what plain RL learns to recover from."""

    wrong_start: Share
    wrong_start_jailbreak: Share
    turn_in_thought: Share
    turn_in_response: Share
    wrong_step: Share
    reset: Share


class Sampling(Section):
    """Which engine generates outside training."""

    engine: Engine
    batch_size: Count


class Pretraining(Section):
    """One supervised training: ``updates`` steps of ``batch_tokens`` packed tokens.

    ``muon_learning_rate`` is for the layers' matrices, ``learning_rate`` (AdamW) for the rest.
    """

    updates: Count
    batch_tokens: Count
    learning_rate: Positive
    muon_learning_rate: Positive


class Models(Section):
    """Where policy and guardian come from.

    ``origins``: a local folder, or a hub model pinned to a commit (``org/name@<40 hex digits>``);
    what is not named there is trained from scratch, with the Llama architecture below.
    """

    origins: dict[ModelName, Annotated[str, Field(min_length=1)]]
    hidden_size: Count
    num_layers: Count
    num_heads: Count
    context: Annotated[int, Field(ge=64)]
    policy: Pretraining
    guardian: Pretraining

    @model_validator(mode="after")
    def _heads(self) -> Models:
        if self.hidden_size % (2 * self.num_heads):
            raise ValueError(
                f"hidden_size has to be a multiple of 2 * num_heads ({2 * self.num_heads}), since "
                f"rotary positions turn pairs of each head's numbers; got {self.hidden_size}"
            )
        return self


class Sources(Pretraining):
    """Where the prefill sources come from.

    ``origins`` as in ``models``; what is not named there is fine-tuned from the base policy.
    """

    origins: dict[Source, Annotated[str, Field(min_length=1)]]

    @model_validator(mode="after")
    def _separate(self) -> Sources:
        """Another name for the same model does not make another source of it."""
        for name in EVAL_SOURCES:
            for other in TRAIN_SOURCES:
                if name in self.origins and _same(self.origins[name], self.origins.get(other)):
                    raise ValueError(
                        f"sources.origins.{name} is evaluation's and must be another model than "
                        f"training's {other}, got {self.origins[name]} for both"
                    )
        return self


class Mixture(Section):
    """Parts of each domain in the training prompts (paper: 1 : 1 : 3)."""

    harmful: Annotated[int, Field(ge=0)]
    benign: Annotated[int, Field(ge=0)]
    math: Annotated[int, Field(ge=0)]


class Prepare(Section):
    """Where prompts come from and how many are kept.

    ``sources`` maps a loader's name to a local directory in the hub's schema (``null`` for the
    microworld, which makes its own rows).
    """

    sources: dict[LoaderName, Path | None] = Field(min_length=1)
    mixture: Mixture
    train_prompts: Count
    eval_prompts: Count
    max_quarantined: Share
    max_words: Count

    @model_validator(mode="after")
    def _directories(self) -> Prepare:
        for name, directory in self.sources.items():
            if (directory is None) != (name == "microworld"):
                wanted = "null" if name == "microworld" else "a directory"
                raise ValueError(f"prepare.sources.{name} takes {wanted}, got {directory}")
        if self.mixture.harmful + self.mixture.benign + self.mixture.math == 0:
            raise ValueError("prepare.mixture needs at least one domain above 0")
        return self


class Validate(Section):
    """Bounds of the Great Expectations suites."""

    min_verified_prefills: Share
    max_unscored: Share


class Prefilling(Section):
    """How whole thoughts are sampled from the sources, and when one counts as flawed."""

    temperature: Positive
    top_p: Annotated[float, Field(gt=0.0, le=1.0)]
    max_tokens: Count
    attempts: Count
    guardian_threshold: Share


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
    """Supervised training in place of RL (docs/sft.md): whose ``traces``, and the steps.

    ``batch_tokens`` bounds the tokens of one update, prompts included; ``attempts`` is how often
    the base policy may try a sum until it solves it.
    """

    traces: Traces
    attempts: Count
    batch_tokens: Count
    learning_rate: Positive


class DomainShares(Section):
    """A share for each domain that is ever prefilled."""

    harmful: Share
    benign: Share


_SHARE: TypeAdapter[float] = TypeAdapter(Share)
_SHARES: TypeAdapter[DomainShares] = TypeAdapter(DomainShares)
_LENGTH: TypeAdapter[int] = TypeAdapter(Count)
_LENGTHS: TypeAdapter[tuple[int, int]] = TypeAdapter(tuple[Count, Count])


class Train(Section):
    """RECAP training. ``alpha`` and ``prefill_length`` (l_pre) are the method's two dials.

    ``refill``: a round of replacements draws as many prompts as are ``missing``, or as many as are
    ``expected`` to fill the batch; a surplus waits ``max_carry_age`` updates for its turn.
    ``method: sft`` reads ``subset``, ``updates``, ``save_updates``, ``snapshot_updates``, ``sft``
    and, for sampling solutions, the rollout options of ``grpo``; nothing else.
    """

    method: Method
    engine: Engine
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
    grpo: Grpo
    sft: Sft

    @property
    def alphas(self) -> dict[Domain, float]:
        """The share of prompts with a prefill in each domain that has any; math is never here."""
        if isinstance(self.alpha, DomainShares):
            return {"harmful": self.alpha.harmful, "benign": self.alpha.benign}
        return {"harmful": self.alpha, "benign": self.alpha}

    @property
    def prefill_lengths(self) -> tuple[int, int]:
        """The shortest and the longest prefill, in ``prefill_unit``."""
        if isinstance(self.prefill_length, tuple):
            return self.prefill_length
        return self.prefill_length, self.prefill_length

    # Before the unions, whose own errors name every member that a value failed to be.

    @field_validator("alpha", mode="before")
    @classmethod
    def _alpha(cls, value: Any) -> float | DomainShares:
        if isinstance(value, dict | DomainShares):
            return _SHARES.validate_python(value)
        return _SHARE.validate_python(value)

    @field_validator("prefill_length", mode="before")
    @classmethod
    def _prefill_length(cls, value: Any) -> int | tuple[int, int]:
        if not isinstance(value, list | tuple):
            return _LENGTH.validate_python(value)
        low, high = _LENGTHS.validate_python(value)
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


class OwnDecoding(Section):
    """What a benchmark decodes in its own way; what is left out is as in ``attack``."""

    temperature: Positive | None = None
    top_p: Annotated[float, Field(gt=0.0, le=1.0)] | None = None
    max_tokens: Count | None = None
    samples: Count | None = None


class Attack(Section):
    """Evaluation generation; each benchmark's prompts and attack stand in recap/attacks."""

    prefill_words: Count
    ipr_rounds: Count
    transition: str = Field(min_length=1)
    temperature: Positive
    top_p: Annotated[float, Field(gt=0.0, le=1.0)]
    max_tokens: Count
    samples: Count
    decoding: dict[BenchmarkName, OwnDecoding]
    benchmarks: tuple[BenchmarkName, ...] = Field(min_length=1)


class Dynamics(Section):
    """What the policy's snapshots are attacked with; decoding and judge are the evaluation's."""

    prompts: Count
    benchmarks: tuple[BenchmarkName, ...] = Field(min_length=1)


class Judge(Section):
    """Who judges the evaluation."""

    judge: Literal["oracle", "guardian"]


class Evaluate(Section):
    """How rates are computed; beyond ``max_unscored`` the stage fails."""

    max_unscored: Share
    bootstrap: Count


class Report(Section):
    """What the page shows."""

    samples_per_benchmark: Count


class Gate(Section):
    """Floors of the candidate and allowed drops against the run's own baseline."""

    candidate: str
    baseline: str
    seed: Annotated[int, Field(ge=0)]
    min_safe: Share
    max_drop: Share


class Register(Section):
    """The registered model's name in MLflow."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+$")]


class Params(Section):
    """The whole of ``params.yaml``."""

    seed: Annotated[int, Field(ge=0)]
    matrix: Matrix
    variants: dict[str, dict[str, Any]]
    world: World
    sampling: Sampling
    models: Models
    sources: Sources
    prepare: Prepare
    validation: Validate = Field(alias="validate")
    prefill: Prefilling
    train: Train
    attack: Attack
    dynamics: Dynamics
    judge: Judge
    evaluate: Evaluate
    report: Report
    gate: Gate
    registration: Register = Field(alias="register")

    @model_validator(mode="after")
    def _names(self) -> Params:
        named = [("matrix.variants", name) for name in self.matrix.variants]
        named += [("gate.candidate", self.gate.candidate), ("gate.baseline", self.gate.baseline)]
        for key, name in named:
            if name not in self.variants:
                raise ValueError(
                    f"{key}: unknown variant '{name}': `variants` defines {choices(self.variants)}"
                )
        for name in self.variants:
            if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
                raise ValueError(
                    f"variants: a name has letters, digits, _ and -, since files and stages are "
                    f"called by it; got '{name}'"
                )
            try:
                self.for_variant(name)
            except ValidationError as error:
                fault = error.errors(include_url=False)[0]
                key = ".".join(map(str, ("variants", name, *fault["loc"])))
                said = fault["msg"].removeprefix("Value error, ")
                raise ValueError(f"{key}: {said}{_came(fault)}") from None
        return self

    def for_variant(self, name: str) -> Train:
        """The ``train`` section with the variant's own values laid over it."""
        if name not in self.variants:
            raise ParameterError(
                f"Expected a variant among {choices(self.variants)}, got '{name}'. "
                "Define it under `variants` in params.yaml."
            )
        merged = _overlay(self.train.model_dump(), self.variants[name])
        return Train.model_validate(merged)


def _overlay(values: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    merged = dict(values)
    for key, value in changes.items():
        nested = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _overlay(merged[key], value) if nested else value
    return merged


def read_params(path: Path = Path("params.yaml")) -> Params:
    """Read and check the parameter file.

    Raises ParameterError naming each key at fault, what was expected and what came.
    """
    if not path.is_file():
        raise ParameterError(f"Expected the parameter file {path}, found none. Run inside a clone.")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ParameterError(f"{path} is not valid YAML: {error}") from None
    try:
        return Params.model_validate(values)
    except ValidationError as error:
        lines = []
        for fault in error.errors(include_url=False):
            key = ".".join(str(part) for part in fault["loc"])
            said = fault["msg"].removeprefix("Value error, ")
            lines.append(f"  {key}{': ' if key else ''}{said}{_came(fault)}")
        raise ParameterError(
            f"{path} has parameters that do not fit:\n" + "\n".join(lines)
        ) from None


def _same(origin: str, other: str | None) -> bool:
    """Whether two origins are one folder or one hub model, however they are spelled."""
    return other is not None and os.path.realpath(origin) == os.path.realpath(other)


def _came(fault: ErrorDetails) -> str:
    """What came instead, where the message does not say it itself."""
    return "" if fault["type"] in ("missing", "value_error") else f", got {fault['input']!r}"


def derive_seed(seed: int, *names: str | int) -> int:
    """A seed below 2**31 for one use, e.g. ``derive_seed(params.seed, "train", "recap", 0)``.

    Stable across machines and Python versions; different names give unrelated seeds.
    """
    text = "/".join(map(str, (seed, *names)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1
