"""The values that parameters may have: bounded numbers, and names from closed lists."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, field_validator

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[float, Field(gt=0.0)]
Count = Annotated[int, Field(ge=1)]

ModelName = Literal["policy", "guardian"]
TrainSource = Literal["harmful", "refusing", "aligned"]
EvalSource = Literal["harmful_eval", "refusing_eval"]
Source = Literal[TrainSource, EvalSource]
Table = Literal["prompts", "prefills", "verdicts"]
LoaderName = Literal["microworld", "gsm8k", "star1", "xstest", "strongreject", "math500"]
JudgeName = Literal["oracle", "guardian", "rubric", "api", "refusal", "math"]
TokenParameter = Literal["max_tokens", "max_completion_tokens"]
BenchmarkName = Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]
"""Which there are is for recap/attacks/benchmarks.py to say, so that declaring another touches no
parameter class, on which every stage depends; the stages that attack refuse a name it lacks."""
PrefilledDomain = Literal["harmful", "benign"]
"""Math is never prefilled."""
SelectorName = Literal["guardian"]
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
    """Base of all sections: no unknown key, no infinite number, no name twice in a list."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @field_validator("*")
    @classmethod
    def _once(cls, value: Any) -> Any:
        if isinstance(value, tuple) and all(isinstance(name, str) for name in value):
            check_once(value, "name")
        return value


def check_once(values: Sequence[object], noun: str) -> None:
    """Raise ValueError if one of them stands there twice."""
    twice = [value for value in dict.fromkeys(values) if values.count(value) > 1]
    if twice:
        listed = ", ".join(map(str, twice))
        raise ValueError(f"takes each {noun} once, got {listed} more than once")
