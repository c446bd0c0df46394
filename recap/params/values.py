"""The values that parameters may have: bounded numbers, and names from closed lists."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

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
    """Base of all sections."""

    model_config = ConfigDict(frozen=True, extra="forbid")
