"""What all flows and their tasks have in common, declared once: tags, results, retries, ends.

Prefect keeps no result: DVC has what a stage makes, MLflow has what is promoted, and a second copy
would go stale. Leaves out deployments, whose tags and schedules stand in infra/prefect.yaml.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any, ParamSpec, TypeVar

from prefect import Flow, Task, flow, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import FlowRun, State
from prefect.states import Cancelled
from pydantic import Field

from flows.stage_run import StageFailed, StageRun, stop_all

P = ParamSpec("P")
R = TypeVar("R")
TAGS = ["recap"]
RETRIES, RETRY_AFTER = 1, 2.0
"""How often a stage that ``may_mend`` is tried again, and after how many seconds."""
SERIALIZER = "json"
"""Nothing of ours is pickled."""

# The form in the UI takes types and limits from here, descriptions from a docstring's "Args:".
Workers = Annotated[int, Field(ge=1)]
Axes = Sequence[str]
Seeds = Sequence[int]
Version = Annotated[int, Field(ge=1)]
Reason = Annotated[str, Field(pattern=r"\S")]
Hours = Annotated[float, Field(gt=0, le=168)]


def recap_flow(name: str) -> Callable[[Callable[P, R]], Flow[P, R]]:
    """``@flow``: nothing that the flow started outlives it."""
    return flow(
        name=name,
        persist_result=False,
        result_serializer=SERIALIZER,
        on_cancellation=[end_children],
        on_crashed=[end_children],
    )


def stage_task(name: str, run_name: str) -> Callable[[Callable[P, R]], Task[P, R]]:
    """``@task`` for one child process of DVC; ``run_name`` may name parameters in braces."""
    return task(
        name=name,
        task_run_name=run_name,
        tags=TAGS,
        cache_policy=NO_CACHE,  # one cache: DVC's
        persist_result=False,
        result_serializer=SERIALIZER,
        retries=RETRIES,
        retry_delay_seconds=RETRY_AFTER,
        retry_condition_fn=may_mend,
    )


def may_mend(_task: Any, _run: Any, state: State) -> bool:
    """Retry kills and busy outputs; a user's error would only come again."""
    failure = state.result(raise_on_failure=False)
    return isinstance(failure, StageFailed) and failure.retryable


def end_children(flow: Flow[..., Any], flow_run: FlowRun, state: State) -> None:
    """Nothing outlives its flow."""
    stop_all()


def unless_stopped(run: Callable[[], StageRun]) -> StageRun | State[StageRun]:
    """What ``run`` returns; as the state Cancelled where the whole run was stopped meanwhile."""
    try:
        return run()
    except StageFailed as failed:
        if not failed.stopped:
            raise
        return Cancelled(message=f"The run was stopped: {failed}. Run again to go on.")
