"""Stage ``report``: all cells' results -> one HTML page, Markdown, tables, metrics for DVC.

Iterates over the matrix in the parameters, never over a folder, so a removed variant does not
count.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import BaseModel

from recap.analysis.axes import attack_axes
from recap.analysis.claims import TOKENS
from recap.analysis.curves import read_metrics, read_worlds
from recap.analysis.evidence import Evidence, by_key, lengths
from recap.analysis.findings import find, findings_tables
from recap.analysis.settings import Settings
from recap.analysis.tables import tables
from recap.models.records import origins_taken
from recap.params.whole import read_params
from recap.report.dvc_files import bars, main_rates, rewards
from recap.report.figures import shown
from recap.report.markdown import markdown
from recap.report.materials import materials
from recap.report.page import Artefact, Run, render
from recap.report.people import people
from recap.report.samples import draw
from recap.rows import RowFile, atomic_path, iter_rows, read_json, read_rows, write_json
from recap.runtime.stage import run_stage
from recap.types.attacks import Completion
from recap.types.datasets import SourceCount
from recap.types.decisions import GateDecision
from recap.types.judged import HumanAgreement
from recap.types.results import CellAgreement, CellResult, DynamicsResult
from recap.types.row import SUCCESS
from recap.types.verdicts import Outcome, Verdict


def main(
    rates: Annotated[Path, typer.Option(help="folder of <variant>-<seed>.json")],
    outcomes: Annotated[Path, typer.Option(help="folder of <variant>-<seed>.jsonl")],
    agreement: Annotated[Path, typer.Option(help="folder of <variant>-<seed>.json")],
    completions: Annotated[Path, typer.Option(help="folder of <variant>-<seed>.jsonl")],
    verdicts: Annotated[Path, typer.Option(help="folder of <variant>-<seed>.jsonl")],
    metrics: Annotated[Path, typer.Option(help="folder of <variant>-<seed>.jsonl")],
    dynamics: Annotated[Path, typer.Option(help="folder of <variant>-<seed>.json")],
    decision: Annotated[Path, typer.Option(help="the gate's decision")],
    counts: Annotated[Path, typer.Option(help="each source's rows by fate")],
    models: Annotated[Path, typer.Option(help="folder of <model>")],
    page: Annotated[Path, typer.Option(help="Output file of the page.")],
    tables_path: Annotated[Path, typer.Option("--tables", help="Output file of the table.")],
    markdown_path: Annotated[Path, typer.Option("--markdown", help="Output file of the Markdown.")],
    percent: Annotated[Path, typer.Option(help="Output folder for `dvc metrics show`.")],
    plots: Annotated[Path, typer.Option(help="Output folder for `dvc plots show`.")],
    worlds: Annotated[Path | None, typer.Option(help="Measured worlds.")] = None,
    labels: Annotated[Path | None, typer.Option(help="Judges against people's labels.")] = None,
) -> None:
    """Write the page, its Markdown, the table of all rates, and DVC's files."""
    params = read_params()
    matrix, seeds = params.matrix, params.matrix.seeds
    names = [(variant, seed) for variant in matrix.variants for seed in seeds]
    train = {variant: params.for_variant(variant) for variant in params.variants}
    untrained = frozenset(v for v in matrix.variants if train[v].updates == 0)
    trained = [(variant, seed) for variant, seed in names if variant not in untrained]
    first = {v: f"{v}-{seeds[0]}.jsonl" for v in matrix.variants}
    cells = [read_json(rates / f"{v}-{s}.json", CellResult) for v, s in names]
    curves = [read_json(dynamics / f"{v}-{s}.json", DynamicsResult) for v, s in trained]
    decided = read_json(decision, GateDecision)
    settings = Settings(train, matrix.variants, params.gate.candidate, params.gate.baseline)
    axes = attack_axes(params.attack)
    evidence = Evidence(
        outcomes={
            (v, s): by_key(iter_rows(outcomes / f"{v}-{s}.jsonl", Outcome)) for v, s in names
        },
        lengths={
            (v, s): lengths(RowFile(completions / f"{v}-{s}.jsonl", Completion), TOKENS)
            for v, s in names
            if v in (settings.candidate, settings.baseline)
        },
        resamples=params.evaluate.bootstrap,
        seed=params.seed,
    )
    updates = {(v, s): read_metrics(metrics / f"{v}-{s}.jsonl") for v, s in trained}
    findings = find(cells, curves, evidence, settings, axes)
    html = render(
        Run(
            settings=settings,
            axes=axes,
            evidence=evidence,
            findings=findings,
            agreement=[read_json(agreement / f"{v}-{s}.json", CellAgreement) for v, s in names],
            cells=cells,
            untrained=untrained,
            metrics=updates,
            dynamics=curves,
            decision=decided,
            cards=draw(
                {v: RowFile(completions / name, Completion) for v, name in first.items()},
                {v: RowFile(verdicts / name, Verdict) for v, name in first.items()},
                SUCCESS,
                count=params.report.samples_per_benchmark,
                seed=params.seed,
            ),
            parameters={
                "matrix": {"seed": params.seed, **_plain(matrix)},
                "variants": params.variants,
                "world": _plain(params.world),
                "models": _plain(params.models),
                "sources": _plain(params.sources),
                "prepare": _plain(params.prepare),
                "prefill": _plain(params.prefill),
                "train": _plain(params.train),
                "sampling": _plain(params.sampling),
                "attack": _plain(params.attack),
                "dynamics": _plain(params.dynamics),
                "judge": _plain(params.judge),
                "evaluate": _plain(params.evaluate),
                "gate": _plain(params.gate),
            },
            people=people(
                next(iter_rows(verdicts / first[matrix.variants[0]], Verdict)),
                read_rows(labels, HumanAgreement) if labels else (),
            ),
            materials=materials(read_rows(counts, SourceCount), origins_taken(models, matrix)),
            lineage=[
                Artefact("gate decision", decision.as_posix(), _md5(decision)),
                *([Artefact("measured worlds", worlds.as_posix(), _md5(worlds))] if worlds else []),
                *([Artefact("people's labels", labels.as_posix(), _md5(labels))] if labels else []),
                *_artefacts("rates", rates, "json", names),
                *_artefacts("outcomes", outcomes, "jsonl", names),
                *_artefacts("two judges", agreement, "json", names),
                *_artefacts("completions", completions, "jsonl", names),
                *_artefacts("verdicts", verdicts, "jsonl", names),
                *_artefacts("training metrics", metrics, "jsonl", trained),
                *_artefacts("training dynamics", dynamics, "json", trained),
            ],
            turn=params.world.turn_in_response,
            worlds=read_worlds(worlds) if worlds else (),
        )
    )
    write_json(tables_path, {**tables(cells, axes), **findings_tables(findings)})
    percents = main_rates(cells)
    for benchmark, named in percents.items():
        write_json(percent / f"{benchmark}.json", named)
    write_json(plots / "rates.json", bars(percents))
    write_json(plots / "rewards.json", rewards(updates))
    text = markdown(findings, shown(cells, untrained), decided, settings, axes)
    for path, content in ((markdown_path, text), (page, html)):
        with atomic_path(path) as part:
            part.write_text(content, encoding="utf-8")


def _artefacts(
    what: str, folder: Path, suffix: str, names: list[tuple[str, int]]
) -> list[Artefact]:
    """One input of each cell."""
    paths = [folder / f"{variant}-{seed}.{suffix}" for variant, seed in names]
    return [Artefact(what, path.as_posix(), _md5(path)) for path in paths]


def _plain(section: BaseModel) -> dict[str, Any]:
    """A section as plain values, for display."""
    return section.model_dump(mode="json")


def _md5(path: Path) -> str:
    """The digest that dvc.lock records for a file; reads the file in pieces."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


if __name__ == "__main__":
    run_stage(main)
