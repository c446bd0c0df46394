"""A stand-in for any stage of a sweep: it writes outputs of the right form in no time.

Run as ``python -P recap/work.py STAGE [VARIANT SEED]`` in a project of sweep_project.py. It logs
its start and end to ``$RUN_LOG``, waits while ``$HOLD/STAGE@CELL`` exists and fails where
``$HOLD/fail-…`` does; ``train`` computes for ``$BURN`` seconds. It starts in a moment.
"""

import json
import os
import sys
import time
from pathlib import Path

from recap.runtime.child import die_with_dvc, die_with_parent

PROMPTS = ("a", "b", "c", "d")
RATE = {
    "value": 0.75,
    "low": 0.3006,
    "high": 0.9544,
    "cluster_low": 0.3,
    "cluster_high": 0.95,
    "n": 4,
    "n_unscored": 0,
    "n_incomplete": 0,
}


def main() -> None:
    die_with_parent()  # as every stage does
    die_with_dvc()
    stage, *cell = sys.argv[1:]
    name = "-".join(cell)
    place = f"{stage}@{name}" if name else stage
    hold = Path(os.environ["HOLD"])
    note(f"start {place}")
    if (hold / f"fail-{place}").exists():
        print("DataError: Expected a row, got none. Add one.", file=sys.stderr)
        sys.exit(2)
    while (hold / place).exists():
        time.sleep(0.05)
    for path, text in outputs(stage, name, cell):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(text)
    note(f"end {place}")


def compute(seconds: float, live: Path) -> list[dict[str, object]]:
    """Burn a core for so long; an update for each half second, in the live file with its speed."""
    live.parent.mkdir(parents=True, exist_ok=True)
    reward, updates = float(os.environ.get("REWARD", "0.5")), []
    with live.open("w") as stream:
        for number in range(1, int(2 * seconds) + 2):
            updates.append({"update": number, "reward": reward, "tokens": 64})
            stream.write(json.dumps(updates[-1] | {"tokens_per_second": 9.0}) + "\n")
            stream.flush()
            until = time.process_time() + 0.5
            while number <= 2 * seconds and time.process_time() < until:
                sum(range(10_000))
    return updates


def note(line: str) -> None:
    with Path(os.environ["RUN_LOG"]).open("a") as log:
        log.write(f"{line} {Path.cwd()}\n")


def outputs(stage: str, name: str, cell: list[str]) -> list[tuple[str, str]]:
    shared = {
        "models": "models/policy/weights",
        "sources": "models/sources/weights",
        "prepare": "data/prompts/train.jsonl",
        "validate": "data/validated/prompts.json",
        "prefill": "data/prefills/harmful.jsonl",
    }
    if stage in shared:
        return [(shared[stage], f"{stage}\n")]
    if stage == "train":
        seconds, live = float(os.environ.get("BURN", "0")), Path(f".recap/train/{name}.live.jsonl")
        return [
            (f"models/trained/{name}/weights", f"{name}\n"),
            (f"results/train/{name}.jsonl", rows(compute(seconds, live))),
        ]
    if stage == "attack":
        return [(f"data/completions/{name}.jsonl", rows(completion(each) for each in PROMPTS))]
    if stage == "judge":
        return [(f"data/verdicts/{name}.jsonl", rows({"label": "safe"} for _ in PROMPTS))]
    assert stage == "evaluate"
    variant, seed = cell
    result = {
        "benchmark": "prefill",
        "place": 1,
        "domain": "harmful",
        "score": "safe",
        "rate": RATE,
        "reflection": RATE,
        "mean_reflection_position": None,
        "mean_cot_tokens": 2.0,
        "mean_response_tokens": 2.0,
    }
    cell_result = {"variant": variant, "seed": int(seed), "results": [result]}
    return [
        (f"results/rates/{name}.json", json.dumps(cell_result)),
        (f"results/outcomes/{name}.jsonl", rows(outcome(each) for each in PROMPTS)),
    ]


def completion(prompt: str) -> dict[str, object]:
    return {
        "prompt_id": prompt, "benchmark": "prefill", "attack": "prefill", "place": 1, "sample": 0,
        "domain": "harmful", "cluster": prompt, "prompt": "how ?", "target": None, "prefill": "i",
        "prefill_source": "harmful", "num_prefill_tokens": 1, "cot": "no .", "response": "no .",
        "finish_reason": "stop", "num_cot_tokens": 2, "num_response_tokens": 2,
    }  # fmt: skip


def outcome(prompt: str) -> dict[str, object]:
    return {
        "prompt_id": prompt,
        "benchmark": "prefill",
        "place": 1,
        "sample": 0,
        "cluster": prompt,
        "success": prompt != "d",
        "reflected": False,
        "reflection_position": None,
    }


def rows(values) -> str:  # type: ignore[no-untyped-def]  # starts without typing's import
    return "".join(json.dumps(value) + "\n" for value in values)


if __name__ == "__main__":
    main()
