"""``python -m recap.cli.watch``: attack the champion again; what ``recap watch`` starts.

Its verified weights, the clone's evaluation prompts and thoughts, and a new seed: other prompts of
a subset, other draws, another search. All of it lies in ``.recap/watch``; no stage's output is
written. Equal numbers are one attack: the second call gives the first one's answer. Leaves out
schedule and message (flows/watch.py, infra/prefect.yaml).
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from recap.analysis.watch import alarms
from recap.errors import DataError, GateError, TrackingError
from recap.params.document import read_document
from recap.params.whole import Params, read_params
from recap.rows import atomic_path, read_json, read_rows
from recap.runtime.locks import STATE, sole_run
from recap.runtime.stage import PARAMS, run_stage
from recap.tracking.history import me, now
from recap.tracking.manifest import Manifest
from recap.tracking.pull import pull, registered
from recap.tracking.runs import open_store
from recap.tracking.watch import Watched, draw_curve, remember, watched
from recap.types.results import CellResult
from recap.types.verdicts import Outcome

FOLDER = STATE / "watch"
DAY = 86400
NEEDED = ("data/prompts/eval.jsonl", "data/prompts/train.jsonl", "data/prefills", "data/pools")


def main(
    target: Annotated[str, typer.Argument(help="Version number, alias or address.")] = "champion",
    number: Annotated[
        int | None, typer.Option(min=1, help="Seed and number of the attack. Default: today's.")
    ] = None,
) -> None:
    """Attack a registered version anew and compare with its registration."""
    root, params = Path(), read_params()
    number = int(time.time() // DAY) if number is None else number
    if missing := [name for name in NEEDED if not (root / name).exists()]:
        raise DataError(
            f"Expected prompts and thoughts of a finished run, found no {missing[0]}. Run "
            "`recap run` or `dvc pull` first."
        )
    version, manifest = registered(root, target)
    name = params.registration.name
    with sole_run(root):
        known = [
            line
            for line in watched(root, name)
            if (line.fingerprint, line.number) == (manifest.fingerprint, number)
        ]
        line = known[-1] if known else _attacked(root, params, version, manifest, number)
        if not known:
            remember(root, name, line)
    try:
        with open_store(root) as client:
            draw_curve(client, root, name, watched(root, name))
    except TrackingError as error:
        print(f"The curve is in the file, but not in MLflow. {error}", file=sys.stderr)
    told = f"attack {number} on version {version}: {len(line.results)} rates measured"
    if line.alarms:
        raise GateError(
            f"Expected version {version} to be as it was registered, got in attack {number}:\n"
            + "\n".join(f"  {alarm}." for alarm in line.alarms)
            + "\nLook at judge, engine and data first, then `recap rollback`."
        )
    print(f"{told}, no alarm")


def _attacked(root: Path, params: Params, version: str, manifest: Manifest, number: int) -> Watched:
    """Attack, judge and evaluate the version; the judge's world stays that of the run."""
    from recap.stages import attack, evaluate, judge

    folder = (root / FOLDER / f"{manifest.fingerprint}-{number}").resolve()
    here, guardian = root.resolve(), (root / "models/guardian").resolve()
    for left in folder.parent.glob("*"):  # of attacks that were killed; this one's goes on
        if left != folder:
            shutil.rmtree(left)
    folder.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(folder / "policy", ignore_errors=True)
    pull(root, version, folder / "policy")
    values = attack_values(root, number)
    with atomic_path(folder / PARAMS) as part:
        part.write_text(json.dumps(values, indent=1, default=str), encoding="utf-8")  # YAML as well
    files = {
        name: folder / f"{name}.jsonl" for name in ("completions", "verdicts", "second", "outcomes")
    }
    with _inside(folder):
        attack.main(
            policy=folder / "policy",
            guardian=guardian,
            prompts=here / "data/prompts/eval.jsonl",
            train=here / "data/prompts/train.jsonl",
            prefills=here / "data/prefills",
            pools=here / "data/pools",
            out=files["completions"],
        )
    judge.main(files["completions"], guardian, files["verdicts"], files["second"])
    variant, _, seed = manifest.candidate.rpartition("-")
    rates, agreement = folder / "rates.json", folder / "agreement.json"
    evaluate.main(
        completions=files["completions"],
        verdicts=files["verdicts"],
        second=files["second"],
        variant=variant,
        seed=int(seed),
        rates=rates,
        outcomes_out=files["outcomes"],
        agreement=agreement,
    )
    results = read_json(rates, CellResult).results
    found = alarms(
        results,
        {_key(key): rate.value for key, rate in manifest.rates.items()},
        read_rows(files["outcomes"], Outcome),
        params.gate,
        name=manifest.candidate,
        resamples=params.evaluate.bootstrap,
        seed=params.seed,
    )
    shutil.rmtree(folder)  # harmful text, and weights that DVC has
    return Watched(
        at=now(),
        by=me(),
        version=version,
        fingerprint=manifest.fingerprint,
        number=number,
        results=tuple(results),
        alarms=tuple(found),
    )


def attack_values(root: Path, number: int) -> dict[str, Any]:
    """The clone's parameters with the attack's seed; the file of kept attacks stays where it is."""
    values: dict[str, Any] = read_document(root / PARAMS) | {"seed": number}
    kept = values["attack"].get("replay")
    if kept is not None:
        values["attack"] = {**values["attack"], "replay": str((root / kept).resolve())}
    return values


@contextmanager
def _inside(folder: Path) -> Iterator[None]:
    """The folder as the working directory meanwhile: stages read params.yaml there."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def _key(text: str) -> tuple[str, int]:
    name, _, place = text.rpartition("/")
    return name, int(place)


if __name__ == "__main__":
    run_stage(main)
