"""``python -m recap.cli.watch``: attack the champion again; what ``recap watch`` starts.

Its verified weights on the prompts and thoughts of its registration, with new draws and another
search, read by the same judge. The answers lie in ``.recap/watch`` meanwhile; no stage's output is
written. Equal numbers are one attack: the second call gives the first one's answer. Leaves out
schedule and message (flows/watch.py, infra/prefect.yaml).
"""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from recap.analysis.axes import attack_axes
from recap.analysis.promotion import ATTACK, unequal, version_evidence
from recap.analysis.watch import watch_gated
from recap.errors import DataError, GateError, TrackingError
from recap.params.whole import Params, read_params
from recap.pipeline.lock import digest, file_md5
from recap.report.watch import watch_page
from recap.rows import atomic_path, read_json, read_rows
from recap.runtime.locks import STATE, sole_run
from recap.runtime.private import keep_private
from recap.runtime.stage import run_stage
from recap.tracking.history import me, now
from recap.tracking.manifest import wordless
from recap.tracking.pull import Registered, pull, registered
from recap.tracking.runs import open_store
from recap.tracking.watch import PAGE, draw_curve, remember, watched
from recap.types.decisions import VersionEvidence
from recap.types.results import BenchmarkResult, CellResult
from recap.types.verdicts import Outcome, Verdict
from recap.types.watch import Gated, Watched

FOLDER = STATE / "watch"
DAY = 86400


def main(
    target: Annotated[str, typer.Argument(help="Version number, alias or address.")] = "champion",
    number: Annotated[
        int | None, typer.Option(min=1, help="Number of the attack, the seed of its draws.")
    ] = None,
) -> None:
    """Attack a registered version anew and compare with its registration.

    The number is by default that of the day, counted from 1970-01-01.
    """
    root, params = Path(), read_params()
    number = int(time.time() // DAY) if number is None else number
    version = registered(root, target)
    name, fingerprint = params.registration.name, version.manifest.fingerprint
    settings = digest(params.model_dump(mode="json"))
    with sole_run(root):
        keep_private(root)
        every = watched(root, name)
        asked = (fingerprint, number, settings)
        line = next((x for x in every if (x.fingerprint, x.number, x.settings) == asked), None)
        if line is None:
            results, gated = _attacked(root, params, version, number)
            line = Watched(
                at=now(),
                by=me(),
                version=version.number,
                fingerprint=fingerprint,
                number=number,
                settings=settings,
                results=results,
                gated=gated,
                alarms=tuple(alarm for each in gated for alarm in each.alarms),
            )
            remember(root, name, line)
            every.append(line)
        with atomic_path(root / PAGE) as part:
            part.write_text(watch_page(every, attack_axes(params.attack)), encoding="utf-8")
    try:
        with open_store(root) as client:
            own = [each for each in every if each.fingerprint == fingerprint]
            draw_curve(client, root, name, own)
    except TrackingError as error:
        print(f"The rates are in the file, but not in MLflow. {error}", file=sys.stderr)
    if line.alarms:
        raise GateError(
            f"Expected version {version.number} to be as it was registered, got in attack "
            f"{number}:\n"
            + "\n".join(f"  {alarm}." for alarm in line.alarms)
            + f"\nLook at {PAGE}, "
            "at judge, engine and data first, then `recap rollback`."
        )
    print(f"page: {(root / PAGE).resolve()}")
    print(f"attack {number} on version {version.number}: {len(line.results)} rates, no alarm")


def _attacked(
    root: Path, params: Params, version: Registered, number: int
) -> tuple[tuple[BenchmarkResult, ...], tuple[Gated, ...]]:
    """What attack, judge and evaluate find of the version, and its gated benchmarks."""
    from recap.stages import attack, evaluate, judge

    then = VersionEvidence.model_validate_json(version.evidence)
    files = _files(root, then)
    planned = version_evidence((), (), files, params.gate, params.attack)
    # The judge is known by its verdicts alone; all else is checked before the work.
    _check_comparable(planned.model_copy(update={"judges": then.judges}), then, version.number)
    folder, guardian = root / FOLDER, root / "models/guardian"
    folder.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(folder / "policy", ignore_errors=True)  # of an attack that was killed
    pull(root, version, folder / "policy")
    completions, verdicts = folder / "watch.jsonl", folder / "verdicts.jsonl"
    second, outcomes, rates = (folder / f"{x}.json" for x in ("second", "outcomes", "rates"))
    attack.main(
        policy=folder / "policy",
        guardian=guardian,
        prompts=root / "data/prompts/eval.jsonl",
        train=root / "data/prompts/train.jsonl",
        prefills=root / "data/prefills",
        pools=root / "data/pools",
        out=completions,
        draws=number,
    )
    judge.main(completions, guardian, verdicts, second)
    variant, _, seed = version.manifest.candidate.rpartition("-")
    evaluate.main(
        completions=completions,
        verdicts=verdicts,
        second=second,
        variant=variant,
        seed=int(seed),
        rates=rates,
        outcomes_out=outcomes,
        agreement=folder / "agreement.json",
    )
    found = wordless(
        version_evidence(
            read_rows(outcomes, Outcome),
            read_rows(verdicts, Verdict),
            files,
            params.gate,
            params.attack,
        )
    )
    _check_comparable(found, then, version.number)
    gated = watch_gated(
        found, then, params.gate, resamples=params.evaluate.bootstrap, seed=params.seed
    )
    measured = tuple(read_json(rates, CellResult).results), tuple(gated)
    shutil.rmtree(folder)  # harmful text, and weights that DVC has
    return measured


def _files(root: Path, then: VersionEvidence) -> dict[str, str]:
    """Digests of the prompts and thoughts of registration as they are now."""
    names = sorted(then.inputs.keys() - {ATTACK})
    if lost := [name for name in names if not (root / name).is_file()]:
        raise DataError(
            f"Expected the prompts and thoughts of registration, found no {lost[0]}. Run "
            "`recap run` or `dvc pull` first."
        )
    return {name: file_md5(root / name) for name in names}


def _check_comparable(found: VersionEvidence, then: VersionEvidence, number: str) -> None:
    if reasons := list(unequal(found, then)):
        raise GateError(
            f"Expected the data, attacks and judge with which version {number} was registered, "
            f"got others: {'; '.join(reasons)}. Rates of the two cannot be compared: bring these "
            "back (`git checkout`, `dvc checkout`), or register and promote a version measured "
            "with the new ones."
        )


if __name__ == "__main__":
    run_stage(main)
