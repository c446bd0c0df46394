"""Every knob, typed: ``params.yaml`` as frozen models, one class per section.

Unknown keys and impossible values are refused with one message naming the key, what was expected
and what came. Nothing here imports torch or MLflow.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from recap.errors import ParameterError, choices

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[float, Field(gt=0.0)]
Count = Annotated[int, Field(ge=1)]

MODELS = ("policy", "guardian")
SOURCES = ("harmful", "refusing", "aligned", "harmful_eval", "refusing_eval")
TRAIN_SOURCES = ("harmful", "refusing", "aligned")
EVAL_SOURCES = ("harmful_eval", "refusing_eval")
TABLES = ("prompts", "prefills", "verdicts")
LOADERS = ("microworld", "gsm8k", "star1", "xstest", "strongreject", "math500")
BENCHMARKS = (
    "harmful", "jailbreak", "prefill", "hijack", "ipr", "benign", "benign_prefill", "math",
)  # fmt: skip


class Section(BaseModel):
    """Base of all sections."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Matrix(Section):
    """Which members of each matrix stage exist."""

    models: tuple[Literal[MODELS], ...]  # type: ignore[valid-type]
    sources: tuple[Literal[SOURCES], ...]  # type: ignore[valid-type]
    tables: tuple[Literal[TABLES], ...]  # type: ignore[valid-type]
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

    engine: Literal["torch", "vllm"]
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
    """The architecture (Llama) and how policy and guardian are obtained."""

    hidden_size: Count
    num_layers: Count
    num_heads: Count
    context: Annotated[int, Field(ge=64)]
    policy: Pretraining
    guardian: Pretraining


class Sources(Pretraining):
    """How the prefill sources are fine-tuned from the base policy."""


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

    sources: dict[Literal[LOADERS], Path | None] = Field(min_length=1)  # type: ignore[valid-type]
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
    lr_scheduler_type: str
    max_grad_norm: Positive


class Sft(Section):
    """Supervised training in place of RL (docs/sft.md): whose ``traces``, and the steps.

    ``batch_tokens`` bounds the tokens of one update, prompts included; ``attempts`` is how often
    the base policy may try a sum until it solves it.
    """

    traces: Literal["plain", "deliberative", "safechain"]
    attempts: Count
    batch_tokens: Count
    learning_rate: Positive


class Train(Section):
    """RECAP training. ``alpha`` and ``prefill_words`` (l_pre) are the method's two dials.

    ``method: sft`` reads ``updates``, ``save_updates``, ``sft`` and, for sampling solutions, the
    rollout options of ``grpo``; nothing else.
    """

    method: Literal["rl", "sft"]
    alpha: Share
    prefill_source: Literal["counter", "aligned", "none"]
    prefill_words: Count
    updates: Annotated[int, Field(ge=0)]
    prompts_per_update: Count
    epsilon_low: Share
    epsilon_high: Positive
    tau: float
    reward_epsilon: Positive
    max_refill_rounds: Annotated[int, Field(ge=0)]
    aggregation: Literal["batch_tokens", "group_tokens"]
    safety_reward: Literal["prob", "logit", "binary"]
    truncated_reward: float
    max_missing_prefills: Share
    save_updates: Count
    grpo: Grpo
    sft: Sft


class Attack(Section):
    """Evaluation generation; each benchmark's prompts and attack stand in recap/attacks."""

    prefill_words: Count
    ipr_rounds: Count
    transition: str = Field(min_length=1)
    temperature: Positive
    top_p: Annotated[float, Field(gt=0.0, le=1.0)]
    max_tokens: Count
    samples: Count
    benchmarks: tuple[Literal[BENCHMARKS], ...] = Field(min_length=1)  # type: ignore[valid-type]


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
    judge: Judge
    evaluate: Evaluate
    report: Report
    gate: Gate
    registration: Register = Field(alias="register")

    @model_validator(mode="after")
    def _names(self) -> Params:
        for name in (*self.matrix.variants, self.gate.candidate, self.gate.baseline):
            if name not in self.variants:
                raise ValueError(
                    f"unknown variant '{name}': `variants` defines {choices(self.variants)}"
                )
        for name in self.variants:
            try:
                self.for_variant(name)
            except ValidationError as error:
                fault = error.errors(include_url=False)[0]
                key = ".".join(map(str, ("variants", name, *fault["loc"])))
                raise ValueError(f"{key}: {fault['msg']}, got {fault['input']!r}") from None
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
    except yaml.YAMLError as error:
        raise ParameterError(f"{path} is not valid YAML: {error}") from None
    try:
        return Params.model_validate(values)
    except ValidationError as error:
        lines = []
        for fault in error.errors(include_url=False):
            key = ".".join(str(part) for part in fault["loc"]) or "variants"
            came = (
                "" if fault["type"] in ("missing", "value_error") else f", got {fault['input']!r}"
            )
            lines.append(f"  {key}: {fault['msg']}{came}")
        raise ParameterError(
            f"{path} has parameters that do not fit:\n" + "\n".join(lines)
        ) from None


def derive_seed(seed: int, *names: str | int) -> int:
    """A seed below 2**31 for one use, e.g. ``derive_seed(params.seed, "train", "recap", 0)``.

    Stable across machines and Python versions; different names give unrelated seeds.
    """
    text = "/".join(map(str, (seed, *names)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1
