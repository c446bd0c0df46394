"""``make portable``: a small pipeline where the last bits differ, and under another Python.

The whole pipeline, every stage in its own process, runs on tiny models by each instruction set that
torch can be told to use and would not use by itself, and so do the tests whose numbers depend on
it: what it would use, the default world and all tests run by. Another Python installs the project
in a folder of its own and trains. What is looked for: that everything ends. Leaves out the figures;
those of the default world are the acceptance tests'.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from tests.portable.pythons import other_python
from tests.portable.small import SmallError, make_small, run

ROOT = Path(__file__).parents[2]
PYTHON = Path(sys.executable)
CAPABILITIES = {"default": "DEFAULT", "avx2": "AVX2"}
"""Values of ATEN_CPU_CAPABILITY, and what torch then says of itself."""
BESIDE = {"default": {"MKL_CBWR": "COMPATIBLE"}}
"""What else tells a processor's instructions apart: MKL's matrix products, the same everywhere."""
TESTS = (
    "tests/unit/test_sampling_*.py",
    "tests/unit/test_scoring_edge.py",
    "tests/unit/test_scoring_guardian.py",
    "tests/unit/test_rl_shared_prompt.py",
    "tests/unit/test_rl_collection.py",
    "tests/golden/test_render_guardian.py",
    "tests/golden/test_rl_objective.py",
    "tests/golden/test_rl_stock.py",
    "tests/golden/test_rl_steps.py",
    "tests/golden/test_rl_run.py",
    "tests/golden/test_sft.py",
    "tests/integration/test_attack_journal.py",
    "tests/integration/test_evaluation_stages.py",
)
"""Tests of sampler, trainer and attack: those that add up in an order the processor chooses."""
WORKERS = 2
"""Jobs at a time; each takes one core."""
TRAINED = "train@recap-0"
ASK = "import torch; print(torch.backends.cpu.get_cpu_capability())"


def main() -> None:
    """Run all, two at a time; exit code 1 if one of them does not end well."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", choices=[*CAPABILITIES, "python"])
    only = parser.parse_args().only or [*CAPABILITIES, "python"]
    own = computes_by()
    jobs: dict[str, Callable[[Path], str]] = {}
    for value in (value for value in CAPABILITIES if value in only):
        name = f"ATEN_CPU_CAPABILITY={value}"
        if CAPABILITIES[value] == own:
            print(f"portable: {name}: this machine's own, make run and make test compute by it")
        elif (got := computes_by(**variables_of(value))) != CAPABILITIES[value]:
            print(f"portable: {name}: skipped: torch computes by {got} whatever it is told")
        else:
            jobs[f"{name}, small pipeline"] = partial(pipeline_by, value)
            jobs[f"{name}, tests"] = partial(tests_by, value)
    if "python" in only:
        jobs["another Python"] = by_python
    with (
        tempfile.TemporaryDirectory(prefix="recap-portable-") as here,
        ThreadPoolExecutor(WORKERS) as pool,
    ):
        results = list(pool.map(partial(told, Path(here)), jobs, jobs.values()))
    sys.exit(0 if all(results) else 1)


def told(here: Path, name: str, job: Callable[[Path], str]) -> bool:
    """Do the job in a folder of its own and print how it ended and how long it took."""
    begin = time.monotonic()
    try:
        said, well = job(here), True
    except SmallError as error:
        said, well = str(error), False
    mark = "ended well" if well else "FAILED"
    print(f"portable: {name}: {mark} in {time.monotonic() - begin:.0f} s: {said}", flush=True)
    return well


def variables_of(capability: str) -> dict[str, str]:
    """What has torch compute by one instruction set."""
    return {"ATEN_CPU_CAPABILITY": capability, **BESIDE.get(capability, {})}


def computes_by(**variables: str) -> str:
    """What torch says it computes by on this machine."""
    said = run([str(PYTHON), "-c", ASK], ROOT, PYTHON, **variables)
    return said.strip().splitlines()[-1]


def pipeline_by(capability: str, here: Path) -> str:
    """The small pipeline, by one instruction set."""
    project = make_small(here / capability)
    run(["dvc", "repro", "-q"], project, PYTHON, **variables_of(capability))
    done = project / "results/registered.json"
    if not done.is_file():
        raise SmallError(f"Expected {done.name} at the end of the small pipeline, got none.")
    return "every stage"


def tests_by(capability: str, _: Path) -> str:
    """The tests whose numbers depend on it, by one instruction set."""
    files = [str(path) for pattern in TESTS for path in sorted(ROOT.glob(pattern))]
    command = [str(PYTHON), "-m", "pytest", "-p", "no:xdist", *files]
    said = run(command, ROOT, PYTHON, **variables_of(capability))
    return said.strip().splitlines()[-1]


def by_python(here: Path) -> str:
    """Installation by another Python and the small pipeline up to a policy trained by RL."""
    other = other_python()
    if other is None:
        return "skipped: found no Python 3.11, 3.12 or 3.13 beside this one"
    path, version = other
    project = make_small(here / "python")
    run(["make", "install", f"PYTHON={path}"], project, path)
    own = project / ".venv/bin/python"
    run(["dvc", "repro", "-q", TRAINED], project, own)
    if not (project / "models/trained/recap-0/model.safetensors").is_file():
        raise SmallError(f"Expected {TRAINED} to leave a policy, got none.")
    return f"Python {version} installs and trains ({TRAINED})"


if __name__ == "__main__":
    os.environ.pop("ATEN_CPU_CAPABILITY", None)
    main()
