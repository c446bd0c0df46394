"""Judge, evaluate, gate and report against the number of completions: seconds and peak memory.

    python -m tests.bench.rows [--rows 10000 20000 50000 100000] [--words 0 600] [--write]

Completions are spoken by the microworld's grammar, so that the oracle judges them; each stage is a
process of its own with the command of dvc.yaml. Judge and evaluate have one cell of so many rows;
the gate compares, and the report shows, two of them: the second holds the same completions. No
model runs, and nothing of a finished run is needed. ``--write`` puts the result into
docs/performance.md.
"""

from __future__ import annotations

import argparse
import os
import random
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from recap.microworld.grammar import World
from recap.params.seeds import derive_seed
from recap.params.whole import read_params
from recap.rows import write_rows
from recap.types.attacks import Completion
from recap.types.row import Domain
from tests.bench.page import Table, Target, replace_between_markers, summary

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/performance.md"
MARKERS = ("<!-- rows bench -->", "<!-- /rows bench -->")
CELLS = ("recap", "dapo")
BENCHMARKS: tuple[tuple[str, str, Domain, str | None, int], ...] = (
    ("harmful", "direct", "harmful", None, 1),
    ("jailbreak", "direct", "harmful", None, 1),
    ("prefill", "prefill", "harmful", "harmful_eval", 1),
    ("hijack", "hijack", "harmful", "harmful_eval", 1),
    ("ipr", "ipr", "harmful", "harmful_eval", 3),
    ("benign", "direct", "benign", None, 1),
    ("benign_prefill", "prefill", "benign", "refusing_eval", 1),
    ("math", "direct", "math", None, 1),
)
"""Benchmark, attack, domain, source of prefills, rounds."""
SAMPLES = 4
PER_PROMPT = SAMPLES * sum(rounds for *_, rounds in BENCHMARKS)
"""Completions for each prompt of a set."""
MEMORY = 2 * 2**30
SLACK = 1.2
"""Rows ten times as many may take 12 times as long: a quadratic step would take 100 times."""


@dataclass(frozen=True, slots=True)
class Cost:
    """One process: wall-clock and processor seconds, largest resident set in bytes."""

    seconds: float
    cpu: float
    memory: int


def completions(world: World, rows: int, words: int) -> Iterator[Completion]:
    """About ``rows`` completions, ordered as the attack stage orders them.

    Prompts grow with the rows, samples do not. Thoughts have at least ``words`` words. One in a
    hundred overflowed, as many were cut off.
    """
    for name, attack, domain, source, rounds in BENCHMARKS:
        for number in range(1, rounds + 1):
            for prompt in range(rows // PER_PROMPT):
                rng = random.Random(derive_seed(world.seed, "bench", domain, prompt))
                speaker = random.Random(derive_seed(world.seed, name, number, prompt))
                for sample in range(SAMPLES):
                    text, target, cluster, thought, response = _spoken(world, domain, rng, speaker)
                    while words and len(thought.split()) < words:
                        thought = f"{thought} {thought}"
                    fate = speaker.random()
                    yield Completion(
                        prompt_id=f"{domain}-{prompt:06d}",
                        benchmark=name,
                        attack=attack,
                        place=number,
                        sample=sample,
                        domain=domain,
                        cluster=cluster,
                        prompt=text,
                        target=target,
                        prefill="sure , this is easy ." if source else None,
                        prefill_source=source,
                        num_prefill_tokens=6 if source else 0,
                        cot="" if fate < 0.01 or attack == "hijack" else thought,
                        response=None if fate < 0.02 else response,
                        finish_reason=(
                            "overflow" if fate < 0.01 else "length" if fate < 0.02 else "stop"
                        ),
                        num_cot_tokens=0 if fate < 0.01 else len(thought.split()),
                        num_response_tokens=0 if fate < 0.02 else len(response.split()),
                    )


def _spoken(
    world: World, domain: Domain, rng: random.Random, speaker: random.Random
) -> tuple[str, str | None, str | None, str, str]:
    """Prompt, target, cluster, thought and response; ``rng`` decides the prompt alone."""
    state = rng.getstate()
    if domain == "math":
        text, steps = world.sum(rng, split="eval")
        rng.setstate(state)
        thought, result = world.solution(speaker, steps)
        left, sign, right = steps[-1]
        target = str(left + right if sign == "plus" else left - right)
        return text, target, None, thought, f"the answer is {result} ."
    request = world.request(rng, split="eval", dangerous=domain == "harmful", wrapped=False)
    rng.setstate(state)
    spoken = world.answer(speaker, request, world.manner())
    return request.text, None, request.thing, spoken.thought, spoken.response


def make_project(folder: Path, rows: int, words: int) -> int:
    """Parameters and completions of both cells in ``folder``; returns the rows of one cell."""
    values = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    values["matrix"] |= {"variants": list(CELLS), "seeds": [0]}
    values["variants"] |= {cell: {"updates": 0} for cell in CELLS}  # nothing to draw of training
    values["judge"] |= {"judge": "oracle"} | (
        {"second": None} if "second" in values["judge"] else {}
    )
    (folder / "params.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    (folder / "docs").symlink_to(ROOT / "docs")
    params = read_params(folder / "params.yaml")
    path = folder / f"data/completions/{CELLS[0]}-0.jsonl"
    count = write_rows(path, completions(World(params.world, params.seed), rows, words))
    path.with_name(f"{CELLS[1]}-0.jsonl").hardlink_to(path)
    return count


def run_stage(folder: Path, name: str, variant: str = "") -> Cost:
    """Run a stage in ``folder`` as dvc.yaml does."""
    command = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"][name]["cmd"]
    command = command.replace("${item.variant}", variant).replace("${item.seed}", "0")
    arguments = [sys.executable, *shlex.split(command)[1:]]
    environment = dict(os.environ, PYTHONPATH=str(ROOT), OMP_NUM_THREADS="1")
    start = time.perf_counter()
    with (folder / "stage.log").open("wb") as log:
        process = subprocess.Popen(
            arguments, cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT
        )
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{name} failed:\n{(folder / 'stage.log').read_text()}")
    return Cost(
        time.perf_counter() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024
    )


def measure(rows: int, words: int) -> tuple[int, dict[str, Cost]]:
    """The costs of each stage with about so many rows in a cell, and how many they were."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        count = make_project(folder, rows, words)
        costs = {}
        for cell in reversed(CELLS):
            for name in ("judge", "evaluate"):
                costs[name] = run_stage(folder, name, cell)
        for name in ("gate", "report"):
            costs[name] = run_stage(folder, name)
    return count, costs


def _step(found: dict[int, dict[str, Cost]], stage: str, sizes: list[int]) -> float:
    """Processor seconds of ten thousand more rows between two sizes: start-up is not in it."""
    few, many = sizes
    return 1e4 * (found[many][stage].cpu - found[few][stage].cpu) / (many - few)


def main() -> None:
    """Measure, print, and write the page if asked to."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.rows", description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 20_000, 50_000, 100_000])
    parser.add_argument("--words", type=int, nargs="+", default=[0, 600], help="in a thought")
    parser.add_argument("--write", action="store_true", help=f"into {PAGE.relative_to(ROOT)}")
    options = parser.parse_args()
    parts: list[Table | str] = []
    targets = []
    for words in options.words:
        found = dict(measure(rows, words) for rows in sorted(options.rows))
        few, many = min(found), max(found)
        length = f"at least {words} words" if words else "the microworld's length"
        sizes = list(found)
        lines = [
            [
                name,
                *(f"{found[size][name].cpu:.1f}" for size in sizes),
                f"{found[many][name].cpu / found[few][name].cpu:.1f}",
                f"{_step(found, name, sizes[:2]):.2f}",
                f"{_step(found, name, sizes[-2:]):.2f}",
                *(f"{found[size][name].memory / 2**20:.0f}" for size in sizes),
            ]
            for name in found[few]
        ]
        columns = [
            *(f"{size} rows, CPU s" for size in sizes),
            f"x {many / few:.1f} rows",
            "s per 10k rows, first step",
            "last step",
            *(f"{size} rows, MiB" for size in sizes),
        ]
        parts.append(Table(f"Thoughts of {length}", ("stage", *columns), lines))
        worst = max(found[many][name].cpu / found[few][name].cpu for name in found[few])
        targets.append(Target(f"time, {length}, by rows", worst / (many / few), at_most=SLACK))
        peak = max(cost.memory for cost in found[many].values()) / MEMORY
        targets.append(Target(f"memory, {length}, by 2 GiB", peak, at_most=1.0))
    from tests.bench import machine  # torch in this process would count as the children's memory

    parts.insert(0, machine.describe())
    text = "\n\n".join(map(str, [*parts, f"At the end: {machine.load()}", summary(targets)]))
    print(text)
    if options.write:
        replace_between_markers(PAGE, text, MARKERS)


if __name__ == "__main__":
    main()
