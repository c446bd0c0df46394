"""``make faults``: the stage ``train`` is killed twenty times, to end bit-equal each time."""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from pathlib import Path

from tests.faults.kills import KINDS, kill_in_turn, measure, survives
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
        pace = measure(whole)
        expected = outputs(whole)
        print(f"undisturbed: {pace}, {len(expected)} files", flush=True)
        begin = time.monotonic()
        for number in range(1, chosen.kills + 1):
            kinds = [KINDS[number % len(KINDS)]]
            project, left = kill_in_turn(whole, folder / f"kill-{number}", kinds, rng, pace)
            survives(project, expected)
            print(f"{number:3d}  {left[0]}; bit-equal", flush=True)
    seconds = time.monotonic() - begin
    print(f"{chosen.kills} of {chosen.kills} ended bit-equal, in {seconds:.0f} s")


if __name__ == "__main__":
    main()
