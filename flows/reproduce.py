"""Flow ``reproduce``: every stale stage as a Prefect task, independent ones side by side.

The graph comes from DVC when the flow runs (flows/graph.py); what a stage is, whether it is stale
and where its result lies are DVC's business. The most urgent stage goes first, by last time's
seconds. After a failure no further stage starts; those that run may finish, because their results
are cached. Leaves out promotion (flows/promote.py).
"""

from __future__ import annotations

import json
from pathlib import Path

from prefect.artifacts import create_markdown_artifact
from prefect.client.schemas.objects import State

from flows.declared import Workers, recap_flow, stage_task, unless_stopped
from flows.devices import taken, visible
from flows.engine import end_with_worker, show
from flows.graph import read_graph
from flows.mirror import Mirror
from flows.schedule import Devices, Future, Schedule, Unit, duration
from flows.stage_run import StageFailed, StageRun, run_stage
from recap.cli.preflight import prepare_run
from recap.errors import PipelineError
from recap.params.whole import read_params
from recap.pipeline.graph import Pipeline
from recap.rows import write_json
from recap.runtime.locks import sole_run

TIMINGS = Path(".recap/timings.json")
"""Seconds of each stage when it last ran; not an output, it differs from run to run."""


@stage_task("stage", "{stage}")
def reproduce_stage(stage: str, place: str, devices: Devices) -> StageRun | State[StageRun]:
    """Run one stage; its lines go to the console and to Prefect's log."""
    show(f"{place} {stage} starts")
    run = unless_stopped(
        lambda: run_stage(stage, lambda line: show(f"{stage} | {line}"), devices=devices)
    )
    if not isinstance(run, StageRun):
        return run
    took = "nothing to do" if run.cached else f"done in {duration(run.seconds)}"
    show(f"{place} {stage} {took}")
    return run


@recap_flow("reproduce")
def reproduce(workers: Workers = 2) -> list[str]:
    """Bring every stage up to date; returns the names of those that ran.

    Afterwards tracking and registry are brought up to the files; if they cannot be reached, that
    is one warning and no failure. Raises PipelineError with the first failing stage's message.

    Args:
        workers: Number of stages in parallel.

    """
    end_with_worker()
    root = Path.cwd()
    prepare_run(root)
    with sole_run(root):
        pipeline = read_graph(root)
        stale = list(pipeline.stale())
        show(f"{len(stale)} of {len(pipeline.nodes)} stages to run, {workers} at a time")
        with Mirror("publish") as mirror:
            return list(_run_all(pipeline, stale, workers, mirror))


def _run_all(
    pipeline: Pipeline, stale: list[str], workers: int, mirror: Mirror
) -> dict[str, StageRun]:
    """All stale stages, the most urgent first."""
    urgency = pipeline.urgency(last_seconds())
    waits = {node.name: frozenset(node.upstream) & set(stale) for node in pipeline.nodes}
    params = read_params()

    def gpus(name: str) -> int:
        stage, _, member = name.partition("@")
        return taken(params, stage, member.rpartition("-")[0])

    units = [Unit(name, (name,), waits[name], urgency[name], gpus(name)) for name in stale]
    schedule = Schedule(units, workers, devices=visible())

    def start(unit: Unit, place: str, upstream: list[Future], devices: Devices) -> Future:
        mirror.before(unit.name)
        return reproduce_stage.submit(
            unit.name, place, devices, return_state=False, wait_for=upstream
        )

    try:
        schedule.run(start)
    finally:
        _leave_artifact(pipeline, stale, schedule.runs, schedule.failed)
        _record(schedule.runs)
    if schedule.failed:
        error = PipelineError(_explain(schedule.failed, sorted(schedule.waiting)))
        error.exit_code = max(1, next(iter(schedule.failed.values())).code)
        raise error
    return schedule.runs


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


def last_seconds() -> dict[str, float]:
    """What each stage took when it last ran."""
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
