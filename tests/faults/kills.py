"""SIGKILL at random moments of the stage ``train``, and whether it ends as if nothing had been.

Kills fall in turn into an update, the writing of a state, the writing of the outputs, and the time
from taking the lock to the first update's end: uniform moments would hardly ever hit most of those.
A kill that came too late for its kind is none; it is drawn again, in a project of its own.
"""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tests.faults.train_project import (
    LOCK,
    OUT,
    SAVE,
    SCRATCH,
    UPDATES,
    finish,
    holder,
    leftovers,
    live_lines,
    outputs,
    start_stage,
)
from tests.waiting import CLOSELY, until

Kind = Literal["update", "state", "outputs", "start"]
KINDS: tuple[Kind, ...] = ("update", "state", "outputs", "start")
STATE_SECONDS, OUTPUT_SECONDS = 0.02, 0.05
"""About how long a state and the outputs take to write."""
TRIES = 10
"""Redraws after which the moments are drawn wrongly, not unluckily."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds of an undisturbed run: from the lock to the first update's end, and of an update."""

    start: float
    update: float


@dataclass(frozen=True, slots=True)
class Kill:
    """``seconds`` after its occasion: the end of the update before ``update``, the writing of the
    state after ``update``, the writing of the outputs, the taking of the lock.
    """

    kind: Kind
    update: int
    seconds: float

    def __str__(self) -> str:
        when = f"{self.kind} {self.update}" if self.kind in ("update", "state") else self.kind
        return f"{when} + {1000 * self.seconds:.1f} ms"


def draw(rng: random.Random, kind: Kind, pace: Pace, done: int) -> Kill:
    """A random moment of this kind, of a stage of which ``done`` updates' lines are there."""
    spans = {"update": pace.update, "state": STATE_SECONDS, "outputs": OUTPUT_SECONDS}
    update = 0
    if kind == "update":
        update = rng.randrange(done + 2, UPDATES + 1)
    if kind == "state":
        update = SAVE * rng.randrange(done // SAVE + 1, UPDATES // SAVE + 1)
    return Kill(kind, update, rng.uniform(0.0, spans.get(kind, pace.start)))


def measure(project: Path) -> Pace:
    """Run the stage undisturbed."""
    stage = start_stage(project)

    def over() -> bool:
        return stage.poll() is not None

    until(lambda: holder(project) == stage.pid, unless=over, pause=CLOSELY)
    begin = time.monotonic()
    until(lambda: live_lines(project) >= 1, unless=over, pause=CLOSELY)
    first = time.monotonic()
    until(lambda: live_lines(project) == UPDATES, unless=over, pause=CLOSELY)
    last = time.monotonic()
    _, said = stage.communicate()
    assert stage.returncode == 0, said
    return Pace(first - begin, (last - first) / (UPDATES - 1))


def strike(project: Path, kill: Kill) -> str | None:
    """Start the stage and kill it at that moment: what it left, ``None`` if it was past its kind.

    An update is struck if it has no line, while the state due before it is complete.
    """
    before = live_lines(project)
    stage = start_stage(project)

    def over() -> bool:
        return stage.poll() is not None

    def begun() -> bool:
        if kill.kind == "start":
            return (project / LOCK).exists() and holder(project) == stage.pid
        if kill.kind == "update":
            return live_lines(project) >= kill.update - 1
        if kill.kind == "outputs":
            return (project / OUT.with_name(f".{OUT.name}.part")).exists()
        name = f"update-{kill.update:06d}"
        states = (project / SCRATCH).glob("recap-0-*")
        return any((s / name).exists() or (s / f".{name}.part").exists() for s in states)

    try:
        if until(begun, unless=over, pause=CLOSELY):
            time.sleep(kill.seconds)
    finally:
        stage.kill()
    _, said = stage.communicate()
    if stage.returncode == 0:
        return None
    assert stage.returncode == -9, said
    done = live_lines(project)
    rest = [path.rsplit("/", 1)[-1] for path in leftovers(project) if path.endswith(".part")]
    saved = sorted(path.name for path in (project / SCRATCH).glob("recap-0-*/update-*"))
    due = [f"update-{done // SAVE * SAVE:06d}"] if done >= SAVE else []
    if kill.kind == "start" and done != before:
        return None
    if kill.kind == "update" and (done == UPDATES or rest or saved[-1:] != due):
        return None
    return f"after {done} updates, left {', '.join(rest) or 'nothing half-written'}"


def kill_in_turn(
    whole: Path, folder: Path, kinds: Sequence[Kind], rng: random.Random, pace: Pace
) -> tuple[Path, list[str]]:
    """A project whose stage was killed once in each way, and what each kill left.

    ``whole`` holds the inputs; each try is made in a folder of its own below ``folder``.
    """
    for number in range(TRIES):
        project = copy_inputs(whole, folder / f"try-{number}")
        left: list[str] = []
        for kind in kinds:
            kill = draw(rng, kind, pace, live_lines(project))
            found = strike(project, kill)
            if found is None:
                break
            left.append(f"{kill}: {found}")
        if len(left) == len(kinds):
            return project, left
    raise AssertionError(f"no kill of the kinds {kinds} struck in {TRIES} tries; {pace}")


def survives(project: Path, expected: dict[str, bytes]) -> None:
    """Let a killed stage finish.

    Raises AssertionError when the outputs differ or something is left beside them.
    """
    finish(project)
    assert outputs(project) == expected
    # A metrics file that was on its way keeps its name of one use; DVC ignores it.
    assert [path for path in leftovers(project) if "jsonl" not in path] == []
    numbers = [f'"update": {n},' for n in range(1, UPDATES + 1)]
    live = (project / SCRATCH / "recap-0.live.jsonl").read_text(encoding="utf-8").splitlines()
    assert all(number in line for number, line in zip(numbers, live, strict=True)), live


def copy_inputs(project: Path, folder: Path) -> Path:
    """The project as it was before its first run."""
    skipped = shutil.ignore_patterns("trained", "results", ".recap")
    return Path(shutil.copytree(project, folder, ignore=skipped))
