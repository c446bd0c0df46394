"""A whole training run: updates one after another, states to go on from, live numbers.

Killed at any moment, the next call continues from the last complete state and ends bit-equal to an
undisturbed run. SIGTERM lets the update finish, saves and exits with 143; Ctrl-C likewise, with
130. Leaves out what an update is (``recap.rl.trainer``) and where its numbers are shown.
"""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Protocol

from recap import processes
from recap.models.weights import snapshot_directory
from recap.rl.checkpoint import CheckpointFolder, TrainingState
from recap.rl.metrics import Metrics, Speed, with_speed
from recap.rows import atomic_path
from recap.runtime.progress import Progress

MAX_EMPTY_UPDATES = 10
"""Updates in a row without one informative group after which there is nothing left to learn."""


class Trainer(Protocol):
    """What a run needs of ``RecapTrainer`` or of supervised training's."""

    def update(self, number: int) -> tuple[Metrics, Speed]:
        """Make one update; weights change in place."""
        ...

    def snapshot(self, update: int, metrics: list[Metrics]) -> TrainingState:
        """Everything the rest of the run depends on, whole in the main process; all call."""
        ...

    def restore(self, state: TrainingState) -> None:
        """Go back to a state."""
        ...

    def save(self, directory: Path) -> None:
        """Write the trained policy's model directory in the main process; all call."""
        ...


def run_updates(
    trainer: Trainer,
    checkpoints: CheckpointFolder,
    live: Path,
    *,
    updates: int,
    save_updates: int,
    snapshot_updates: int,
) -> list[Metrics]:
    """Train to the end and return the metrics of all updates, in order.

    ``live`` receives one JSON line for each update as it ends, with its speed. Every
    ``snapshot_updates`` updates, but for the last, the policy is kept beside the states. Raises
    SystemExit with 143 after SIGTERM and 130 after SIGINT (to any process); the state is then
    saved. Of several processes all train and only the main one writes.
    """
    metrics: list[Metrics] = []
    with processes.main_first():  # it may set broken states aside
        saved = checkpoints.load()
    if saved is not None:
        trainer.restore(saved)
        metrics = list(saved.metrics)
    main = processes.is_main()
    if main:
        if saved is not None:
            print(f"continuing after update {saved.update}", file=sys.stderr)
            before = saved.progress.get("processes", 1)  # supervised training has one
            if before != processes.count():
                print(
                    f"the updates before were of {before} processes, these are of "
                    f"{processes.count()}: the result differs from either's by rounding",
                    file=sys.stderr,
                )
        _rewind(live, len(metrics))
    progress = Progress("update", updates, done=len(metrics))
    with _stop_requests() as stop:
        while len(metrics) < updates and _empty_at_end(metrics) < MAX_EMPTY_UPDATES:
            number = len(metrics) + 1
            line, speed = trainer.update(number)
            metrics.append(line)
            if main:
                fast = with_speed(line, speed)
                with live.open("a", encoding="utf-8") as stream:
                    stream.write(json.dumps(fast) + "\n")
                progress.step(number, _note(fast))
            if number % snapshot_updates == 0 and number < updates:
                # before the state: a run that is killed in between makes the update again
                trainer.save(snapshot_directory(checkpoints.snapshots, number))
            stopping = processes.any_of(bool(stop))
            if stopping or number == updates or number % save_updates == 0:
                state = trainer.snapshot(number, metrics)
                if main:
                    checkpoints.save(state)
                processes.together()  # none leaves while another writes: a launcher would end it
            if stopping:
                raise SystemExit(128 + (stop[0] if stop else signal.SIGTERM))
    if main and len(metrics) < updates:
        print(
            f"stopped after update {len(metrics)}: no informative group in {MAX_EMPTY_UPDATES} "
            "updates in a row",
            file=sys.stderr,
        )
    return metrics


@contextmanager
def _stop_requests() -> Iterator[list[int]]:
    """A list of the SIGTERMs and SIGINTs that came; they do nothing else meanwhile.

    A second SIGINT does: who presses Ctrl-C twice does not want to wait for the update.
    """
    requests: list[int] = []

    def note(number: int, _: FrameType | None) -> None:
        requests.append(number)
        if number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    before = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield requests
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _rewind(live: Path, updates: int) -> None:
    """Keep the live lines of the updates that are not run again.

    In one rename: a kill in here must not lose lines, nor leave half of one.
    """
    live.parent.mkdir(parents=True, exist_ok=True)
    lines = live.read_text(encoding="utf-8").splitlines(keepends=True) if live.exists() else []
    with atomic_path(live) as part:
        part.write_text("".join(lines[:updates]), encoding="utf-8")


def _empty_at_end(metrics: list[Metrics]) -> int:
    empty = 0
    for line in reversed(metrics):
        if line.get("groups_kept", 1):  # a supervised update has no groups
            break
        empty += 1
    return empty


def _note(line: Metrics) -> str:
    tokens = line["tokens_per_second"]
    speed = "no tok/s" if tokens is None else f"{tokens:,.0f} tok/s"
    if "reward" not in line:
        loss = line["loss"]
        return f"loss {'none' if loss is None else f'{loss:.3f}'}  {speed}"
    reward = line["reward"]
    shown = "none" if reward is None else f"{reward:.2f}"
    return f"reward {shown}  {line['groups_kept']}/{line['groups_drawn']} groups  {speed}"
