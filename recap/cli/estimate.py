"""``recap estimate``: whether training fits into a device, how long it takes, what it costs.

Prints two tables and raises ParameterError where the training of a variant does not fit, with the
least changes after which it would.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from recap.cli.profile import PROFILES, profile_values
from recap.errors import ParameterError
from recap.estimate.hardware import Hardware, read_hardware
from recap.estimate.memory import (
    RESERVE,
    Models,
    engine_lacks,
    longest_row,
    parts,
    room,
    smaller,
)
from recap.estimate.reading import checked
from recap.estimate.sampling import Sampling, refused, sampled, written
from recap.estimate.shape import Shape, shape_of
from recap.estimate.work import Assumed, Work, devices_of, training_work
from recap.params.train import Train
from recap.params.whole import Params, read_params
from recap.types.origins import RULES, SERVED_GUARDIAN

GB = 1e9
NOT_MEASURED = (
    "Worked out, not measured; no sharded training has run on a GPU. Start-up, scoring, judges and "
    "dynamics are not counted."
)


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked; ``price`` is of one device for an hour."""

    hardware: str
    length: float | None
    kept: float
    price: float | None


def print_estimate(
    root: Path, profile: str | None, asked: Request, console: Console, *, quick: bool = False
) -> None:
    """Print the estimate of a profile, or of params.yaml; ``quick``: of the profile's short run.

    Raises ParameterError where a model's sizes or the hardware are unknown, or training does not
    fit.
    """
    params = _params(root, profile, quick)
    hardware = read_hardware(root, asked.hardware)
    models = _models(root, params)
    if address := _served(params):
        said = f"The guardian is asked at {address} ({SERVED_GUARDIAN}): it is not counted."
        console.print(said, markup=False)
    trains = {name: params.for_variant(name) for name in params.matrix.variants}
    trained = {name: train for name, train in trains.items() if train.updates}
    if not trained:
        raise ParameterError(
            "Expected a variant with updates in matrix.variants, got none: nothing is trained."
        )
    for name, train in trained.items():
        _check_devices(name, train, hardware)
    needs = {name: parts(train, models, hardware.device) for name, train in trained.items()}
    largest = max(needs, key=lambda name: (sum(needs[name].values()), longest_row(trained[name])))
    console.print(_memory(largest, trained[largest], needs[largest], hardware))
    console.print(_work(params, trained, models.policy, hardware, asked))
    sources = {str(name): shape_of(root, origin) for name, origin in params.sources.origins.items()}
    stages = sampled(params, models.policy, sources, models.scorers)
    console.print(_sampling(params, stages, hardware))
    console.print(NOT_MEASURED)
    faults = []
    if sum(needs[largest].values()) > room(hardware.device):
        faults.append(_refusal(largest, trained[largest], needs[largest], models, hardware))
    engine = engine_lacks(trained[largest], models.policy, hardware.device)
    faults += [f"Training of {largest}: {engine}."] if engine else []
    faults += refused(params, stages, hardware)
    if faults:
        raise ParameterError("\n".join(faults))


def _sampling(params: Params, stages: list[Sampling], hardware: Hardware) -> Table:
    table = Table()
    sampling, many = params.sampling, "one "
    if sampling.engine == "server":
        many = f"{sampling.servers.count * sampling.servers.tensor_parallel}x"
    table.add_column(f"on {many}{hardware.name}, {sampling.engine}")
    for column in ("runs", "written", "hours"):
        table.add_column(column, justify="right")
    policies = len(params.matrix.variants) * len(params.matrix.seeds)
    for each in written(params, stages, hardware.device, policies):
        hours = each.times * each.seconds / 3600
        table.add_row(each.stage, f"{each.times}", _count(each.times * each.tokens), f"{hours:.1f}")
    return table


def _check_devices(name: str, train: Train, hardware: Hardware) -> None:
    """Raise ParameterError unless each process and each server of training has its devices."""
    launch, needed, servers = train.launch, devices_of(train), ""
    where = f" on each of {launch.nodes} nodes" if launch.nodes > 1 else ""
    if train.engine == "server":
        servers = (
            f" and {train.servers.tensor_parallel} for each of {train.servers.count} vLLM servers"
        )
    if needed > hardware.count:
        raise ParameterError(
            f"Expected a device for each process of {name}, {launch.processes}{where}"
            f"{servers}, got {hardware.count}x{hardware.name}. Ask with "
            f"--hardware {needed}x{hardware.name}, or lower train.launch"
            f"{' or train.servers' if servers else ''}."
        )


def _params(root: Path, profile: str | None, quick: bool) -> Params:
    if profile is None:
        return read_params(root / "params.yaml")
    values = profile_values(root, profile, quick=quick)
    return checked(Params, values, PROFILES / f"{profile}.yaml")


def _models(root: Path, params: Params) -> Models:
    origins = params.models.origins
    if "policy" not in origins:
        raise ParameterError(
            "Expected models.origins.policy, got none: the default world's models have less than a "
            "million parameters and fit anywhere. Name a profile: `recap estimate --profile paper`."
        )
    named = [None if _served(params) else origins.get("guardian"), origins.get("rubric")]
    scorers = tuple(shape_of(root, origin) for origin in named if origin and origin != RULES)
    return Models(shape_of(root, origins["policy"]), scorers)


def _served(params: Params) -> str | None:
    """Where the guardian is asked, if it is a model that a server has."""
    if params.models.origins.get("guardian") in (None, RULES):
        return None
    return os.environ.get(SERVED_GUARDIAN)


def _memory(name: str, train: Train, needed: dict[str, int], hardware: Hardware) -> Table:
    device, total = hardware.device, sum(needed.values())
    table = Table()
    table.add_column(f"memory of a process, {name}, rows of {longest_row(train)} tokens")
    table.add_column("GB", justify="right")
    for part, size in sorted(needed.items(), key=lambda item: -item[1]):
        table.add_row(part, f"{size / GB:.1f}")
    table.add_section()
    table.add_row("all", f"{total / GB:.1f}")
    table.add_row(
        f"room on one {hardware.name}, {RESERVE:.0%} left for fragments", f"{room(device) / GB:.1f}"
    )
    return table


def _work(
    params: Params, trained: dict[str, Train], policy: Shape, hardware: Hardware, asked: Request
) -> Table:
    table = Table()
    busy = max(devices_of(train) for train in trained.values())
    idle = f", {hardware.count - busy} idle" if hardware.count > busy else ""
    table.add_column(f"on {hardware.count}x{hardware.name}{idle}")
    columns = ["trainings", "tokens a row", "written", "trained on", "rollouts", "updates", "hours"]
    for column in [*columns, *(["cost"] if asked.price is not None else [])]:
        table.add_column(column, justify="right")
    seeds, hours = len(params.matrix.seeds), 0.0
    for name, train in trained.items():
        length = asked.length or train.grpo.max_completion_length / 2
        used = Hardware(train.processes, hardware.name, hardware.device)
        work = training_work(train, policy, used, Assumed(length, asked.kept))
        hours += seeds * work.seconds / 3600
        table.add_row(name, f"{seeds}", f"{length:.0f}", *_row(work, seeds, hardware, asked.price))
    if len(trained) > 1:
        table.add_section()
        cost = [] if asked.price is None else [_money(hours, hardware, asked.price)]
        table.add_row("all", f"{seeds * len(trained)}", "", "", "", "", "", f"{hours:.1f}", *cost)
    return table


def _row(work: Work, seeds: int, hardware: Hardware, price: float | None) -> list[str]:
    hours = seeds * work.seconds / 3600
    return [
        _count(seeds * work.written),
        _count(seeds * work.trained),
        f"{seeds * work.rollout_seconds / 3600:.1f} h",
        f"{seeds * work.training_seconds / 3600:.1f} h",
        f"{hours:.1f}",
        *([] if price is None else [_money(hours, hardware, price)]),
    ]


def _money(hours: float, hardware: Hardware, price: float) -> str:
    return f"{hours * hardware.count * price:,.2f}"


def _count(tokens: float) -> str:
    return f"{tokens / 1e6:.1f} M" if tokens >= 1e6 else f"{tokens / 1e3:.0f} k"


def _refusal(
    name: str, train: Train, needed: dict[str, int], models: Models, hardware: Hardware
) -> str:
    total, limit = sum(needed.values()), room(hardware.device)
    said = (
        f"Expected the training of {name} to fit into {limit / GB:.1f} GB of one {hardware.name}, "
        f"got {total / GB:.1f} GB. "
    )
    changes: dict[str, str] = {}  # the last value of each key
    for change, less in smaller(train, models, hardware.device):
        changes[change.partition(":")[0]] = change
        if (size := sum(parts(less, models, hardware.device).values())) <= limit:
            return f"{said}It fits ({size / GB:.1f} GB) with {'; '.join(changes.values())}."
    return (
        f"{said}No change of train makes it fit: take devices with more memory, or a smaller model."
    )
