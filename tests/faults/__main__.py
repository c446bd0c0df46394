"""``make faults``: the stage ``train`` is killed twenty times, to end bit-equal each time."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

from tests.faults.kills import KINDS, copy_inputs, draw, measure, strike, survives
from tests.faults.train_project import make_train_project, outputs


def main() -> None:
    """Kill, continue, compare; exits with 1 at the first difference."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 2**32)
    chosen = parser.parse_args()
    print(f"seed {chosen.seed}", flush=True)
    rng = random.Random(chosen.seed)
    with tempfile.TemporaryDirectory(prefix="recap-faults-") as name:
        folder = Path(name)
        whole = make_train_project(folder / "undisturbed")
        seconds = measure(whole)
        expected = outputs(whole)
        print(f"undisturbed: {seconds:.1f} s of work, {len(expected)} files", flush=True)
        for number in range(1, chosen.kills + 1):
            kind = KINDS[number % len(KINDS)]
            while True:  # a moment after the end is no kill: draw another
                project = copy_inputs(whole, folder / f"kill-{number}")
                kill = draw(rng, kind, seconds)
                if (left := strike(project, kill)) is not None:
                    break
                project.rename(folder / f"late-{number}-{time.time_ns()}")
            survives(project, expected, [])
            print(f"{number:3d}  {kill}: {left}; bit-equal", flush=True)
    print(f"{chosen.kills} of {chosen.kills} ended bit-equal", file=sys.stdout)


if __name__ == "__main__":
    main()
