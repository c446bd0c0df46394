"""How many training prompts are near an evaluation prompt, by runs of one, two and three words.

The table of docs/decisions/0023-near-duplicates.md, on the data sets in the folder that
``RECAP_REAL_DATA`` names and our own benign prompts.

    python -m tests.bench.near_duplicates
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from recap.data import decontaminate
from recap.data.load import load
from recap.data.sources.rawrow import Request
from recap.data.sources.registry import LOADERS
from recap.params.whole import read_params

ROOT = Path(__file__).parents[2]
SETS = ("gsm8k", "star1", "xstest", "strongreject", "math500")
MAX_WORDS = 2000


def main() -> None:
    """Print the prompts found and the seconds of CPU for each length of a run."""
    world = read_params(ROOT / "params.yaml").world
    folders = {name: Path(os.environ["RECAP_REAL_DATA"]) / name for name in SETS}
    folders["benign"] = ROOT / "infra/profiles/data"
    records = [
        located.record
        for name, folder in folders.items()
        for located in load(LOADERS[name], Request(folder, world, 0, 0, 0), MAX_WORDS).records
    ]
    train = [record for record in records if record.split == "train"]
    evaluation = [record for record in records if record.split == "eval"]
    print(f"{len(train)} training prompts, {len(evaluation)} evaluation prompts")
    for length in (1, 2, 3):
        decontaminate.RUN = length
        start = time.process_time()
        found = decontaminate.near_duplicates(train, evaluation)
        seconds = time.process_time() - start
        print(f"runs of {length}: {len(found)} found, {seconds:.0f} s: {', '.join(sorted(found))}")


if __name__ == "__main__":
    main()
