"""The sections of ``params.yaml`` but ``train``: world, models, data, evaluation, in order."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import Field, field_validator, model_validator

from recap.params.values import (
    EVAL_SOURCES,
    TRAIN_SOURCES,
    BenchmarkName,
    Count,
    Engine,
    JudgeName,
    LoaderName,
    ModelName,
    Positive,
    PrefilledDomain,
    Section,
    SelectorName,
    Share,
    Source,
    Table,
    TokenParameter,
    check_once,
)


class Matrix(Section):
    """Which members of each matrix stage exist."""

    models: tuple[ModelName, ...]
    sources: tuple[Source, ...]
    tables: tuple[Table, ...]
    variants: tuple[str, ...] = Field(min_length=1)
    seeds: tuple[Annotated[int, Field(ge=0)], ...] = Field(min_length=1)

    @field_validator("seeds")
    @classmethod
    def _each_once(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        check_once(value, "seed")
        return value


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
        """Another name for the same model, or a link to it, makes no other source of it."""
        for name in EVAL_SOURCES:
            for other in TRAIN_SOURCES:
                if self._places(name) & self._places(other):
                    raise ValueError(
                        f"sources.origins.{name} is evaluation's and must be another model than "
                        f"training's {other}, got {self._said(name)} and {self._said(other)}"
                    )
        return self

    def _places(self, name: Source) -> set[str]:
        """Where a source's weights lie: in its own folder, and where they are taken from."""
        return {os.path.realpath(place) for place in (f"models/{name}", self._said(name))}

    def _said(self, name: Source) -> str:
        return self.origins.get(name, f"models/{name}")


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


class OwnDecoding(Section):
    """What a benchmark decodes in its own way; what is left out is as in ``attack``."""

    temperature: Positive | None = None
    top_p: Annotated[float, Field(gt=0.0, le=1.0)] | None = None
    max_tokens: Count | None = None
    samples: Count | None = None


class Attack(Section):
    """Evaluation generation; each benchmark's prompts and attack stand in recap/attacks.

    ``selector`` is the adversary's own eye, never ``judge.judge``; ``null`` where nothing searches.
    """

    prefill_words: Count
    grid_words: tuple[Count, ...] = Field(min_length=1)
    ipr_rounds: Count
    transition: str = Field(min_length=1)
    selector: SelectorName | None
    search_budgets: tuple[Count, ...] = Field(min_length=1)
    search_prompts: Count
    self_samples: Count
    transfer_sources: dict[PrefilledDomain, Annotated[tuple[Source, ...], Field(min_length=1)]]
    secondary_prompts: Count
    temperature: Positive
    top_p: Annotated[float, Field(gt=0.0, le=1.0)]
    max_tokens: Count
    samples: Count
    decoding: dict[BenchmarkName, OwnDecoding]
    benchmarks: tuple[BenchmarkName, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _axes(self) -> Attack:
        """An axis is read from left to right."""
        for name, places in (
            ("grid_words", self.grid_words),
            ("search_budgets", self.search_budgets),
        ):
            if list(places) != sorted(set(places)):
                raise ValueError(f"{name} go up, each once; got {list(places)}")
        for domain in get_args(PrefilledDomain):
            names = self.transfer_sources.get(domain, ())
            if not names or len(set(names)) < len(names):
                raise ValueError(
                    f"transfer_sources.{domain} names each source once and at least one, got "
                    f"{list(names)}"
                )
        return self


class Dynamics(Section):
    """What the policy's snapshots are attacked with; decoding and judge are the evaluation's."""

    prompts: Count
    benchmarks: tuple[BenchmarkName, ...] = Field(min_length=1)


class JudgeApi(Section):
    """The server of the judge ``api``, which speaks OpenAI's chat completions.

    ``base_url`` ends before ``/chat/completions``; ``hosts`` may be asked beside this machine, over
    https alone. ``revision`` names the model's state, for the record, ``key`` the environment
    variable with the server's key (``null``: none). ``breaker``: failed questions in a row after
    which no more are asked. ``token_parameter`` is what the server calls the bound ``max_tokens``;
    ``temperature: null`` sends none, for models that have their own. Prices are per million tokens
    (``null``: unknown).
    """

    base_url: str
    hosts: tuple[str, ...]
    model: Annotated[str, Field(min_length=1)]
    revision: Annotated[str, Field(min_length=1)]
    key: str | None
    concurrency: Annotated[int, Field(ge=1, le=256)]
    timeout_s: Positive
    attempts: Count
    breaker: Count
    max_tokens: Count
    token_parameter: TokenParameter
    temperature: Annotated[float, Field(ge=0.0)] | None
    prompt_price: Annotated[float, Field(ge=0.0)] | None
    completion_price: Annotated[float, Field(ge=0.0)] | None

    @field_validator("base_url")
    @classmethod
    def _plain(cls, value: str) -> str:
        if not re.fullmatch(r"https?://[^\s/@?#]+(/[^\s@?#]*)?", value):
            raise ValueError(  # without the value, which may hold a password
                "takes http:// or https://, host and path, without user, password or query"
            )
        return value

    @field_validator("key")
    @classmethod
    def _name(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"[A-Z][A-Z0-9_]*", value):
            raise ValueError(  # without the value: somebody may have written the key itself
                "takes the name of an environment variable in capitals, never the key"
            )
        return value


class Judge(Section):
    """Who judges the evaluation, and who is compared with it (``null``: nobody).

    ``rubric``: directory of the instruct model that reads benign answers (``null``: the guardian).
    """

    judge: JudgeName
    second: JudgeName | None
    rubric: Path | None
    api: JudgeApi

    @model_validator(mode="after")
    def _two(self) -> Judge:
        if self.second == self.judge:
            raise ValueError(
                f"judge.second has to be another judge than judge.judge, or null for none: a judge "
                f"agrees with itself; got {self.judge} for both"
            )
        return self


class Evaluate(Section):
    """How rates are computed; beyond ``max_unscored`` the stage fails."""

    max_unscored: Share
    bootstrap: Count


class Report(Section):
    """What the page shows."""

    samples_per_benchmark: Count


class Check(Section):
    """One condition of the gate on one benchmark, at its last round unless ``round`` names one.

    ``floor``: the rate's interval lies at or above ``floor``. ``non_inferior``: the candidate is at
    most the margin below ``against``, by the interval of the paired difference. ``superior``: that
    interval lies above 0. ``margin`` and ``against`` are the gate's where not given.
    """

    benchmark: BenchmarkName
    kind: Literal["floor", "non_inferior", "superior"]
    floor: Share | None = None
    margin: Share | None = None
    round: Count | None = None
    against: str | None = None

    @model_validator(mode="after")
    def _fits(self) -> Check:
        if (self.kind == "floor") != (self.floor is not None):
            wanted = "a `floor`" if self.kind == "floor" else "no `floor`"
            raise ValueError(
                f"a check of kind {self.kind} on {self.benchmark} takes {wanted}, got {self.floor}"
            )
        if self.kind == "floor" and self.against:
            raise ValueError(
                f"a floor compares with nobody: against {self.against} on {self.benchmark} takes "
                "the kind non_inferior or superior"
            )
        return self


class Gate(Section):
    """Who is compared with whom, and on what.

    ``margin``: a loss below it is none, for checks without one of their own, and on every gated
    benchmark for promotion, which compares with the champion. Fewer than ``min_rows`` scored rows,
    or pairs, decide nothing.
    """

    candidate: str
    baseline: str
    seed: Annotated[int, Field(ge=0)]
    margin: Annotated[float, Field(gt=0.0, lt=1.0)]
    min_rows: Count
    checks: tuple[Check, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _each_once(self) -> Gate:
        said = [
            (check.benchmark, check.kind, check.round, check.against or self.baseline)
            for check in self.checks
        ]
        for check in said:
            if said.count(check) > 1:
                raise ValueError(f"checks name each condition once, got {check[1]} on {check[0]} "
                                 "twice")  # fmt: skip
        return self

    def margin_of(self, check: Check) -> float:
        """What the check allows."""
        return self.margin if check.margin is None else check.margin


class Register(Section):
    """The registered model's name in MLflow."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+$")]
