"""Which unit of work starts when: what it needs is done, a worker and GPUs are free, urgent first.

A unit is one stage, or several that follow one another, run by one child process. After a failure
nothing new starts, or only what does not need it (``keep_going``). Leaves out how a unit runs.
"""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

from prefect.futures import PrefectFuture

from flows.engine import show
from flows.stage_run import StageFailed, StageRun, stop_all

Future = PrefectFuture[Any]
"""Of a StageRun, or in the state Cancelled."""
Devices = list[str] | None
"""GPUs of a unit's own; ``None`` on a machine without any."""
Start = Callable[["Unit", str, list[Future], Devices], Future]


@dataclass(frozen=True, slots=True)
class Unit:
    """Stages that run one after another; ``needs`` are names of other units.

    ``devices``: the GPUs that it takes, or all where the machine has fewer.
    """

    name: str
    stages: tuple[str, ...]
    needs: frozenset[str]
    urgency: float
    devices: int = 0


class Schedule:
    """Runs units ``workers`` at a time; ``runs``, ``failed``, ``waiting`` tell how it went."""

    def __init__(
        self,
        units: Iterable[Unit],
        workers: int,
        *,
        devices: Sequence[str] = (),
        keep_going: bool = False,
    ) -> None:
        """Nothing starts yet. ``devices``: the machine's GPUs."""
        self._units = {unit.name: unit for unit in units}
        self._workers, self._keep_going = workers, keep_going
        self._devices, self._free = list(devices), list(devices)
        self._taken: dict[str, list[str]] = {}
        self.waiting = set(self._units)
        self.runs: dict[str, StageRun] = {}
        self.failed: dict[str, StageFailed] = {}

    def run(self, start: Start, ended: Callable[[Unit, StageRun], None] | None = None) -> None:
        """Start each unit by ``start(unit, place, futures of what it needs, GPUs)``, until the end.

        ``ended`` is told of each success. Raises what is neither a stage's failure nor a success,
        after stopping what runs.
        """
        running, done = dict[str, Future](), dict[str, Future]()
        events: queue.SimpleQueue[str] = queue.SimpleQueue()
        try:
            while self.waiting or running:
                short = False
                for unit in self._ready(done):
                    if len(running) >= self._workers:
                        break
                    wanted = min(unit.devices, len(self._devices))
                    short = short or wanted > len(self._free)
                    if short and wanted:
                        continue  # no less urgent one takes GPUs that this one waits for
                    self.waiting.remove(unit.name)
                    own, self._free = self._free[:wanted], self._free[wanted:]
                    self._taken[unit.name] = own
                    begun = len(done) + len(self.failed) + len(running) + 1
                    upstream = [done[needed] for needed in sorted(unit.needs)]
                    given = own if self._devices else None
                    future = start(unit, f"[{begun}/{len(self._units)}]", upstream, given)
                    running[unit.name] = future
                    future.add_done_callback(partial(_note, events, unit.name))
                if not running:
                    return
                name = events.get()
                future = running.pop(name)
                self._free += self._taken.pop(name)
                self._free.sort(key=self._devices.index)
                result = future.result(raise_on_failure=False)
                if isinstance(result, StageRun):
                    done[name], self.runs[name] = future, result
                    if ended:
                        ended(self._units[name], result)
                elif isinstance(result, StageFailed):
                    self.failed[name] = result
                    rest = f"; waiting for {', '.join(sorted(running))}" if running else ""
                    show(f"{name} failed{'' if self._keep_going else rest}")
                else:
                    raise result  # our own fault, or an interruption
        except BaseException:
            stop_all()
            raise

    def _ready(self, done: dict[str, Future]) -> list[Unit]:
        """Units that could start now, the most urgent first."""
        if self.failed and not self._keep_going:
            return []
        ready = [self._units[name] for name in self.waiting]
        return sorted(
            (unit for unit in ready if unit.needs <= done.keys()),
            key=lambda unit: (-unit.urgency, unit.name),
        )


def _note(events: queue.SimpleQueue[str], name: str, _: Future) -> None:
    events.put(name)


def duration(seconds: float) -> str:
    """Minutes and seconds, hours where there are any."""
    return str(timedelta(seconds=round(seconds))).removeprefix("0:")
