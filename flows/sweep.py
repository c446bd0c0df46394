"""Flow ``sweep``: every cell of the ablation that is not recorded, side by side.

Stages that cells share run once, each by itself; a cell is one child that runs its stages one after
another. A cell that fails stops no other: the end names it, and the next run does just that one.
Each finished cell is recorded at once (recap/sweeps/ledger.py), so that a sweep goes on where it
stood, on another machine too. Leaves out which cells there are (recap/sweeps/design.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from prefect.client.schemas.objects import State

from flows.book import Book, cost
from flows.declared import Axes, Seeds, Workers, recap_flow, stage_task, unless_stopped
from flows.devices import taken, visible
from flows.engine import end_with_worker, show
from flows.graph import read_graph
from flows.mirror import Mirror
from flows.schedule import Devices, Future, Schedule, Unit, duration
from flows.stage_run import StageRun, run_stage
from recap.cli.preflight import prepare_run
from recap.errors import PipelineError
from recap.params.whole import Params
from recap.pipeline.graph import Pipeline
from recap.runtime.locks import sole_run
from recap.sweeps.design import Cell
from recap.sweeps.ledger import LEDGER, Ledger
from recap.sweeps.plan import Plan, computed_cells, make_plan
from recap.sweeps.project import Project, read_project, write_project

SHARED = 1e9
"""Urgency of a stage that cells share: before any cell."""


@stage_task("cell", "{name}")
def run_unit(
    name: str, stages: tuple[str, ...], folder: str, place: str, devices: Devices
) -> StageRun | State[StageRun]:
    """Run a cell's stages, or a shared stage, in the sweep's project."""

    def run() -> StageRun:
        return run_stage(
            name,
            lambda line: show(f"{name} | {line}"),
            stages=stages,
            folder=Path(folder),
            devices=devices,
        )

    show(f"{place} {name} starts")
    return unless_stopped(run)


@recap_flow("sweep")
def sweep(workers: Workers = 2, axes: Axes = (), seeds: Seeds = ()) -> list[str]:
    """Bring the ledger up to the design; returns the names of the cells that were added.

    Raises PipelineError at the end, naming what failed in its own words.

    Args:
        workers: Number of cells in parallel.
        axes: Axes of the sweep whose cells are run; none means all.
        seeds: Training seeds whose cells are run; none means all.

    """
    end_with_worker()
    root = Path.cwd()
    prepare_run(root)
    project, ledger = read_project(root), Ledger(root / LEDGER)
    cells = project.design.cells(axes, seeds)
    if not make_plan(project, ledger, cells, ()).left():
        show(f"All {len(cells)} cells are recorded.")
        return []
    project.folder.mkdir(parents=True, exist_ok=True)
    with sole_run(project.folder):
        write_project(project)
        pipeline = read_graph(project.folder)
        stale = pipeline.stale()
        plan = make_plan(project, ledger, cells, computed_cells(project, stale))
        book = Book(project)
        added = [p.cell for p in plan.left() if p.state == "computed"]
        for cell in added:
            book.record(cell)
            show(f"{cell.name} was computed already: recorded")
        with Mirror("sweep", "publish") as mirror:
            schedule = _run_cells(project, book, pipeline, plan, workers, mirror)
    if schedule.failed:
        raise _failure(schedule)
    return [cell.name for cell in added] + list(schedule.runs)


def _run_cells(
    project: Project, book: Book, pipeline: Pipeline, plan: Plan, workers: int, mirror: Mirror
) -> Schedule:
    left = {planned.cell.name: planned for planned in plan.left() if planned.state == "to do"}
    units = _units(project, pipeline, [planned.cell for planned in left.values()])
    shared = sum(unit.name not in left for unit in units)
    estimate = plan.seconds(workers)
    about = f", about {duration(estimate)}" if estimate else ""
    if left:
        show(f"{shared} shared stages and {len(left)} cells to run, {workers} at a time{about}")
    schedule = Schedule(units, workers, devices=visible(), keep_going=True)

    def start(unit: Unit, place: str, upstream: list[Future], devices: Devices) -> Future:
        mirror.before(unit.stages[0].rpartition(":")[2])
        return run_unit.submit(
            unit.name, unit.stages, str(project.folder), place, devices, return_state=False,
            wait_for=upstream,
        )  # fmt: skip

    def ended(unit: Unit, run: StageRun) -> None:
        if planned := left.get(unit.name):
            book.record(planned.cell, cost(unit.stages, run))
        over = {*schedule.runs, *schedule.failed}
        remaining = sum(name not in over for name in left)
        took = "restored" if run.cached else "done"
        until = _until([run for name, run in schedule.runs.items() if name in left], remaining)
        show(f"{unit.name} {took} in {duration(run.seconds)}; {remaining} cells left{until}")

    def _until(runs: Sequence[StageRun], remaining: int) -> str:
        """The time left, by the cells of this run so far."""
        took = [run.seconds for run in runs if not run.cached]
        if not took or not remaining:
            return ""
        seconds = sum(took) / len(took) * remaining / min(workers, remaining)
        return f", about {duration(seconds)}"

    schedule.run(start, ended)
    return schedule


def _units(project: Project, pipeline: Pipeline, cells: Sequence[Cell]) -> list[Unit]:
    """A unit for each cell, and for each stale stage that they need; cells in the plan's order."""
    stale, nodes = pipeline.stale(), {node.name: node for node in pipeline.nodes}
    own = {stage: cell.name for cell in cells for stage in project.stages(cell)}
    wanted, shared = list(own), dict[str, None]()
    while wanted:
        for needed in nodes[wanted.pop()].upstream:
            if needed in stale and needed not in own and needed not in shared:
                shared[needed] = None
                wanted.append(needed)

    def needs(stages: Sequence[str]) -> frozenset[str]:
        return frozenset(
            needed for stage in stages for needed in nodes[stage].upstream if needed in shared
        )

    params = Params.model_validate(dict(project.params))

    def gpus(stages: Sequence[str], variant: str = "") -> int:
        kinds = [stage.rpartition(":")[2].partition("@")[0] for stage in stages]
        return max(taken(params, kind, variant) for kind in kinds)

    urgency = pipeline.urgency({})
    units = [
        Unit(name, (name,), needs([name]), SHARED + urgency[name], gpus([name])) for name in shared
    ]
    for place, cell in enumerate(cells):
        own_stages = tuple(project.stages(cell))
        devices = gpus(own_stages, cell.variant)
        units.append(Unit(cell.name, own_stages, needs(own_stages), -float(place), devices))
    return units


def _failure(schedule: Schedule) -> PipelineError:
    parts = [
        f"{name} failed (exit code {error.code}):\n{error.message}"
        for name, error in schedule.failed.items()
    ]
    if schedule.waiting:
        parts.append(f"Not run: {', '.join(sorted(schedule.waiting))}.")
    parts.append("All other cells are recorded; run again to do just these.")
    error = PipelineError("\n\n".join(parts))
    error.exit_code = max(1, next(iter(schedule.failed.values())).code)
    return error
