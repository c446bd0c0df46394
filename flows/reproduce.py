"""Flow ``reproduce``: every stale stage as a Prefect task, independent ones side by side.

The graph comes from DVC when the flow runs (flows/graph.py); what a stage is, whether it is stale
and where its result lies are DVC's business. The most urgent stage goes first, by last time's
seconds. After a failure no further stage starts; those that run may finish, because their results
are cached. Leaves out promotion (flows/promote.py).
"""

from __future__ import annotations

import json
import queue
import sys
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import FlowRun, State
from prefect.flows import Flow
from prefect.futures import PrefectFuture

from flows.graph import read_graph
from flows.mirror import Mirror
from flows.stage_run import StageFailed, StageRun, run_stage, stop_all
from recap.errors import PipelineError
from recap.locks import sole_run
from recap.params import check_pipeline, read_params
from recap.pipeline import Pipeline
from recap.rows import write_json

TIMINGS = Path(".recap/timings.json")
"""Seconds of each stage when it last ran; not an output, it differs from run to run."""

Future = PrefectFuture[StageRun]


def _may_mend(_task: Any, _run: Any, state: State) -> bool:
    """Retry kills and busy outputs; a user's error would only come again."""
    failure = state.result(raise_on_failure=False)
    return isinstance(failure, StageFailed) and failure.retryable


def _end_children(flow: Flow[..., Any], flow_run: FlowRun, state: State) -> None:
    stop_all()


@task(
    name="stage",
    task_run_name="{stage}",
    cache_policy=NO_CACHE,  # one cache: DVC's
    persist_result=False,
    result_serializer="json",
    retries=1,
    retry_delay_seconds=2,
    retry_condition_fn=_may_mend,
)
def reproduce_stage(stage: str, place: str) -> StageRun:
    """Run one stage; its lines go to the console and to Prefect's log."""
    logger = get_run_logger()

    def say(line: str) -> None:
        logger.info(line)
        _show(f"{stage} | {line}")

    _show(f"{place} {stage} starts")
    run = run_stage(stage, say)
    took = "nothing to do" if run.cached else f"done in {_duration(run.seconds)}"
    _show(f"{place} {stage} {took}")
    return run


@flow(
    name="reproduce",
    persist_result=False,
    result_serializer="json",
    on_cancellation=[_end_children],
    on_crashed=[_end_children],
)
def reproduce(workers: int = 2) -> list[str]:
    """Bring every stage up to date, ``workers`` at a time; returns the names of those that ran.

    Afterwards tracking and registry are brought up to the files; if they cannot be reached, that
    is one warning and no failure. Raises PipelineError with the first failing stage's message.
    """
    root = Path.cwd()
    check_pipeline(read_params(root / "params.yaml"))
    with sole_run(root):
        pipeline = read_graph(root)
        stale = list(pipeline.stale())
        _show(f"{len(stale)} of {len(pipeline.nodes)} stages to run, {workers} at a time")
        with Mirror() as mirror:
            return list(_run_all(pipeline, stale, workers, mirror))


def _run_all(
    pipeline: Pipeline, stale: list[str], workers: int, mirror: Mirror
) -> dict[str, StageRun]:
    """The scheduling loop; a stage starts when all it needs is done and a worker is free."""
    urgency = pipeline.urgency(_last_seconds())
    needs = {node.name: set(node.upstream) & set(stale) for node in pipeline.nodes}
    waiting, running = set(stale), dict[str, Future]()
    done, runs, failed = dict[str, Future](), dict[str, StageRun](), dict[str, StageFailed]()
    ended: queue.SimpleQueue[str] = queue.SimpleQueue()
    try:
        while waiting or running:
            ready = [] if failed else [name for name in waiting if needs[name] <= done.keys()]
            for name in sorted(ready, key=lambda name: (-urgency[name], name)):
                if len(running) >= workers:
                    break
                mirror.before(name)
                waiting.remove(name)
                place = f"[{len(done) + len(running) + 1}/{len(stale)}]"
                upstream = [done[needed] for needed in sorted(needs[name])]
                future = reproduce_stage.submit(name, place, return_state=False, wait_for=upstream)
                running[name] = future
                future.add_done_callback(partial(_note, ended, name))
            if not running:
                break
            name = ended.get()
            future = running.pop(name)
            result = future.result(raise_on_failure=False)
            if isinstance(result, StageRun):
                done[name], runs[name] = future, result
            elif isinstance(result, StageFailed):
                failed[name] = result
                rest = f"; waiting for {', '.join(sorted(running))}" if running else ""
                _show(f"{name} failed{rest}")
            else:
                raise result  # our own fault, or an interruption
    except BaseException:
        stop_all()
        raise
    finally:
        _leave_artifact(pipeline, stale, runs, failed)
        _record(runs)
    if failed:
        error = PipelineError(_explain(failed, sorted(waiting)))
        error.exit_code = max(1, next(iter(failed.values())).code)
        raise error
    return runs


def _note(ended: queue.SimpleQueue[str], name: str, _: Future) -> None:
    ended.put(name)


def _explain(failed: dict[str, StageFailed], waiting: list[str]) -> str:
    """What failed, in its own words, and what did not run for it."""
    parts = [
        f"Stage {name} failed (exit code {e.code}):\n{e.message}" for name, e in failed.items()
    ]
    if waiting:
        parts.append(f"Not run: {', '.join(waiting)}. What is done is kept; run again to go on.")
    return "\n\n".join(parts)


def _leave_artifact(
    pipeline: Pipeline, stale: list[str], runs: dict[str, StageRun], failed: dict[str, StageFailed]
) -> None:
    """The run as a Prefect artifact: a table of stages."""
    lines = ["| stage | state | seconds |", "|---|---|---:|"]
    for node in pipeline.nodes:
        run = runs.get(node.name)
        state = "up to date"
        if run is not None:
            state = "restored" if run.cached else "ran"
        elif node.name in stale:
            state = "failed" if node.name in failed else "not run"
        lines.append(f"| {node.name} | {state} | {f'{run.seconds:.1f}' if run else ''} |")
    create_markdown_artifact(key="reproduce", markdown="\n".join(lines))


def _show(line: str) -> None:
    """One write for a line: those of two stages never mix."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _last_seconds() -> dict[str, float]:
    if not TIMINGS.is_file():
        return {}
    recorded = json.loads(TIMINGS.read_text(encoding="utf-8"))
    return {name: entry["seconds"] for name, entry in recorded.items()}


def _record(runs: dict[str, StageRun]) -> None:
    """Add the stages that really ran to the timings of earlier runs."""
    recorded = json.loads(TIMINGS.read_text(encoding="utf-8")) if TIMINGS.is_file() else {}
    for name, run in runs.items():
        if not run.cached:
            recorded[name] = {"seconds": round(run.seconds, 2), "startup": round(run.startup, 2)}
    write_json(TIMINGS, recorded)


def _duration(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds))).removeprefix("0:")
