"""SIGKILL at random moments of the stage ``train``, and whether it ends as if nothing had been.

A third of the kills falls anywhere between taking the lock and leaving, a third into the writing of
a state, a third into the writing of the outputs: uniform moments would hardly ever hit those.
"""

from __future__ import annotations

import random
import shutil
import time
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
    until,
)

Kind = Literal["anywhere", "state", "outputs"]
KINDS: tuple[Kind, ...] = ("state", "anywhere", "outputs")
STATE_SECONDS, OUTPUT_SECONDS = 0.02, 0.05
"""About how long a state and the outputs take to write."""


@dataclass(frozen=True, slots=True)
class Kill:
    """``seconds`` after its occasion: the lock, the writing of state ``update``, of the outputs."""

    kind: Kind
    update: int
    seconds: float

    def __str__(self) -> str:
        when = f"state {self.update}" if self.kind == "state" else self.kind
        return f"{when} + {1000 * self.seconds:.1f} ms"


def draw(rng: random.Random, kind: Kind, training_seconds: float) -> Kill:
    """A random moment of this kind."""
    span = {"anywhere": training_seconds, "state": STATE_SECONDS, "outputs": OUTPUT_SECONDS}
    update = SAVE * rng.randrange(1, UPDATES // SAVE + 1)
    return Kill(kind, update, rng.uniform(0.0, span[kind]))


def measure(project: Path) -> float:
    """Run the stage undisturbed; seconds from taking the lock to the end."""
    stage = start_stage(project)
    until(lambda: holder(project) == stage.pid, unless=lambda: stage.poll() is not None)
    begin = time.monotonic()
    _, said = stage.communicate()
    assert stage.returncode == 0, said
    return time.monotonic() - begin


def strike(project: Path, kill: Kill) -> str | None:
    """Start the stage and kill it at that moment: what it left, ``None`` if it was over before."""
    stage = start_stage(project)

    def over() -> bool:
        return stage.poll() is not None

    def begun() -> bool:
        if kill.kind == "anywhere":
            return (project / LOCK).exists() and holder(project) == stage.pid
        if kill.kind == "outputs":
            return (project / OUT.with_name(f".{OUT.name}.part")).exists()
        name = f"update-{kill.update:06d}"
        states = (project / SCRATCH).glob("recap-0-*")
        return any((s / name).exists() or (s / f".{name}.part").exists() for s in states)

    try:
        if until(begun, unless=over):
            time.sleep(kill.seconds)
    finally:
        stage.kill()
    _, said = stage.communicate()
    if stage.returncode == 0:
        return None
    assert stage.returncode == -9, said
    rest = [path.rsplit("/", 1)[-1] for path in leftovers(project) if path.endswith(".part")]
    return f"after {live_lines(project)} updates, left {', '.join(rest) or 'nothing half-written'}"


def survives(project: Path, expected: dict[str, bytes], kills: list[Kill]) -> list[str]:
    """Kill the stage at each moment in turn, let it finish, compare; what each kill left.

    Raises AssertionError when the outputs differ or something is left beside them.
    """
    left = []
    for kill in kills:
        found = strike(project, kill)
        left.append(f"{kill}: {found or 'too late, it had ended'}")
    finish(project)
    assert outputs(project) == expected, left
    # A metrics file that was on its way keeps its name of one use; DVC ignores it.
    rest = [path for path in leftovers(project) if "jsonl" not in path]
    assert rest == [], left
    numbers = [f'"update": {n},' for n in range(1, UPDATES + 1)]
    live = (project / SCRATCH / "recap-0.live.jsonl").read_text(encoding="utf-8").splitlines()
    assert all(number in line for number, line in zip(numbers, live, strict=True)), live
    return left


def copy_inputs(project: Path, folder: Path) -> Path:
    """The project as it was before its first run."""
    skipped = shutil.ignore_patterns("trained", "results", ".recap")
    return Path(shutil.copytree(project, folder, ignore=skipped))
