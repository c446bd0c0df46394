"""``recap run --dry-run``: what a run would do and need, printed; nothing is started or written.

Raises ParameterError with each thing that is missing and how to get it, so that the command ends
with exit code 2. Leaves out the work of the checks themselves.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path, PurePath
from typing import TextIO

from rich.console import Console
from rich.table import Table

from recap.cli.ahead.materials import Material, data, in_bytes, models
from recap.cli.ahead.mirror import LOCK, mirrored
from recap.cli.ahead.options import Asked
from recap.cli.ahead.space import Space, spaces
from recap.cli.ahead.stages import File, StageAhead, stages_ahead
from recap.cli.estimate import Request, print_estimate
from recap.cli.preflight import absent, check_launch, check_settings
from recap.cli.profile import profile_folder
from recap.errors import ParameterError
from recap.judges.api import api_key
from recap.models.fingerprints import record_fingerprints
from recap.params.sampling import Sampling
from recap.params.train import Train
from recap.params.whole import Params
from recap.pipeline.graph import read_pipeline
from recap.runtime.endpoint import check_endpoint, check_private, key_of
from recap.runtime.locks import STATE, holder
from recap.sampling.given_servers import addresses
from recap.sampling.vllm_sampler import check_installed
from recap.scoring.guardian import KEY as GUARDIAN_KEY
from recap.tracking.store import store_name
from recap.types.origins import SERVED_GUARDIAN

WIDTH = 80
PREFECT = "PREFECT_API_URL"


def print_ahead(root: Path, asked: Asked, stream: TextIO) -> None:
    """Print the stages, models, data, servers and disk of a run.

    Raises ParameterError where parameters do not fit, something is missing, or, with hardware,
    training does not fit into memory.
    """
    console = Console(file=stream, width=WIDTH)
    with mirrored(root, asked.profile, quick=asked.quick) as here:
        place = here if asked.profile else root  # the clone's own paths begin there
        params = check_settings(place)
        faults = dict(absent(place, params))
        if (here / LOCK).is_file():  # else everything runs, whatever the origins hold
            record_fingerprints(here, params)
        pipeline = read_pipeline(here)
        stages = stages_ahead(here, params, pipeline)
        taken = [*models(place, params, faults), *data(place, params, faults)]
    project = (
        profile_folder(root, asked.profile, quick=asked.quick) if asked.profile else root.absolute()
    )
    console.print(_stages(stages))
    console.print(_materials("model or data set", taken))
    for line in servers(params, project):
        console.print(line, soft_wrap=True, highlight=False)
    disk = spaces(root, project, params, stages, taken)
    for space in disk:
        console.print(str(space), soft_wrap=True, highlight=False)
    missing = [f"{key}: {fault}" for key, fault in faults_of(taken, faults)]
    missing += [*_lacking(params, project, pipeline.stale()), *_full(disk)]
    if asked.hardware is not None and "policy" not in params.models.origins:
        console.print("memory: the default world's models fit anywhere")
    elif asked.hardware is not None:
        request = Request(asked.hardware, None, 0.5, None)
        try:
            print_estimate(root, asked.profile, request, console, quick=asked.quick)
        except ParameterError as error:
            missing.append(f"memory: {error}")
    if missing:
        raise ParameterError(
            f"Expected all that the run needs, got {len(missing)} thing"
            f"{'s' if len(missing) > 1 else ''} missing:\n"
            + "\n".join(f"  {number}. {each}" for number, each in enumerate(missing, start=1))
        )
    console.print("Nothing is missing: the run could start.")


def faults_of(taken: Sequence[Material], faults: dict[str, str]) -> Iterator[tuple[str, str]]:
    """The fault of each model and data set, then those of other keys."""
    for row in taken:
        if row.fault:
            yield row.key, row.fault
    shown = {row.key for row in taken}
    yield from ((key, fault) for key, fault in faults.items() if key not in shown)


def _stages(stages: Sequence[StageAhead]) -> Table:
    table = Table(show_lines=True)
    table.add_column("stage", no_wrap=True)
    table.add_column("what it does", ratio=1, overflow="fold")
    for stage in stages:
        many = f" x{len(stage.members)}" if len(stage.members) > 1 else ""
        said = [
            f"[bold]{stage.state}[/]. {stage.work}",
            stage.command,
            f"reads {_listed(stage.reads)}",
            f"writes {_listed(stage.writes)}",
        ]
        table.add_row(f"{stage.name}{many}", "\n".join(said))
    return table


def _listed(files: Iterable[File]) -> str:
    """The files in words, those of one folder and ending together; sizes where they are there."""
    groups: dict[tuple[str, str], list[File]] = {}
    for file in files:
        path = PurePath(file.path)
        groups.setdefault((str(path.parent), path.suffix), []).append(file)
    said = []
    for (folder, suffix), members in groups.items():
        names = [PurePath(file.path).stem for file in members]
        name = names[0] if len(names) == 1 else f"{{{','.join(names)}}}"
        size = sum(file.size or 0 for file in members)
        whole = PurePath(folder, f"{name}{suffix}")
        said.append(f"{whole}{f' ({in_bytes(size)})' if size else ''}")
    return ", ".join(said) or "nothing"


def _materials(heading: str, rows: Sequence[Material]) -> Table:
    table = Table()
    for column in (heading, "licence", "revision", "state"):
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(f"{row.key}: {row.origin}", row.licence, row.revision, row.state)
    return table


def servers(params: Params, project: Path) -> Iterator[str]:
    """The servers that a run asks or starts, with their addresses."""
    named = {params.judge.judge, params.judge.second}
    if "api" in named:
        key = params.judge.api.key
        yield f"judge: {params.judge.api.base_url}" + (f", key in {key}" if key else ", no key")
    if served := os.environ.get(SERVED_GUARDIAN):
        yield f"guardian: {served}, key in {GUARDIAN_KEY}"
    address = os.environ.get(PREFECT)
    yield f"Prefect: {address or 'a server of the run, 127.0.0.1 at a free port'}"
    store = store_name(project)
    yield f"tracking: {'mlflow.db of the project, no server' if store == 'local' else store}"


def _lacking(params: Params, project: Path, stale: dict[str, tuple[str, ...]]) -> Iterator[str]:
    """What else would stop the run: keys, engines, launchers, another run."""
    checks: list[Callable[[], object]] = [lambda: check_launch(params, stale)]
    trained = [params.for_variant(name) for name in params.matrix.variants]
    engines: list[Sampling | Train] = [params.sampling, *(t for t in trained if t.updates)]
    if any(e.engine == "vllm" or _started(e) for e in engines):
        checks.append(check_installed)
    found = {e.servers for e in engines if e.engine == "server" and e.servers.elsewhere}
    checks += [partial(addresses, servers) for servers in found]
    if "api" in {params.judge.judge, params.judge.second}:
        api = params.judge.api
        checks += [lambda: check_endpoint(api.base_url, api.hosts, lambda _: [])]
        checks += [lambda: api_key(api)]
    if served := os.environ.get(SERVED_GUARDIAN):
        checks += [lambda: check_private(served, SERVED_GUARDIAN)]
        checks += [lambda: key_of(GUARDIAN_KEY, "the guardian", f", or unset {SERVED_GUARDIAN}")]
    for check in checks:
        try:
            check()
        except ParameterError as error:
            yield str(error)
    if pid := holder(project / STATE / "run.lock"):
        yield f"Expected no other run in {project}, but process {pid} is at it. Wait for it."


def _started(section: Sampling | Train) -> bool:
    """Whether a stage starts servers of its own."""
    return section.engine == "server" and not section.servers.elsewhere


def _full(disk: Sequence[Space]) -> Iterator[str]:
    for space in disk:
        if space.free < space.needed:
            yield (
                f"Expected {in_bytes(space.needed)} free in {space.place}, got "
                f"{in_bytes(space.free)}. Free some space, or work on a larger disk."
            )
