"""report: every cell's results -> one self-contained HTML page and ``tables.json``.

Iterates the matrix of the parameters, never a folder, so a removed variant's files do not count.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import BaseModel

from recap.params import read_params
from recap.report.curves import read_curve, read_metrics
from recap.report.page import Artefact, Run, render
from recap.report.samples import draw
from recap.report.tables import tables
from recap.rows import RowFile, atomic_path, read_json, write_json
from recap.stages.process import run_stage
from recap.types import (
    SUCCESS,
    CellResult,
    Completion,
    DynamicsResult,
    GateDecision,
    Verdict,
)


def main(
    rates: Annotated[Path, typer.Option(help="folder of <variant>-<seed>.json")],
    completions: Annotated[Path, typer.Option(help="folder of <variant>-<seed>.jsonl")],
    verdicts: Annotated[Path, typer.Option(help="folder of <variant>-<seed>.jsonl")],
    metrics: Annotated[Path, typer.Option(help="folder of <variant>-<seed>.jsonl")],
    dynamics: Annotated[Path, typer.Option(help="folder of <variant>-<seed>.json")],
    decision: Annotated[Path, typer.Option(help="the gate's decision")],
    page: Annotated[Path, typer.Option(help="where the page goes")],
    tables_path: Annotated[Path, typer.Option("--tables", help="where the table goes")],
    curve: Annotated[Path | None, typer.Option(help="measured curve of worlds")] = None,
) -> None:
    """Write the page and the table of all rates."""
    params = read_params()
    matrix, seeds = params.matrix, params.matrix.seeds
    names = [(variant, seed) for variant in matrix.variants for seed in seeds]
    untrained = frozenset(v for v in matrix.variants if params.for_variant(v).updates == 0)
    trained = [(variant, seed) for variant, seed in names if variant not in untrained]
    cells = [read_json(rates / f"{v}-{s}.json", CellResult) for v, s in names]
    shown = [(v, f"{v}-{seeds[0]}.jsonl") for v in matrix.variants]
    inputs = [("gate decision", decision), *([("curve of worlds", curve)] if curve else [])]
    for what, folder, suffix in (
        ("rates", rates, "json"),
        ("completions", completions, "jsonl"),
        ("verdicts", verdicts, "jsonl"),
    ):
        inputs += [(what, folder / f"{v}-{s}.{suffix}") for v, s in names]
    inputs += [("training metrics", metrics / f"{v}-{s}.jsonl") for v, s in trained]
    inputs += [("training dynamics", dynamics / f"{v}-{s}.json") for v, s in trained]
    html = render(
        Run(
            candidate=params.gate.candidate,
            baseline=params.gate.baseline,
            cells=cells,
            untrained=untrained,
            metrics={(v, s): read_metrics(metrics / f"{v}-{s}.jsonl") for v, s in trained},
            dynamics=[read_json(dynamics / f"{v}-{s}.json", DynamicsResult) for v, s in trained],
            decision=read_json(decision, GateDecision),
            cards=draw(
                {v: RowFile(completions / name, Completion) for v, name in shown},
                {v: RowFile(verdicts / name, Verdict) for v, name in shown},
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
            lineage=[Artefact(what, path.as_posix(), _md5(path)) for what, path in inputs],
            wrong_start=params.world.wrong_start,
            curve=read_curve(curve) if curve else (),
        )
    )
    write_json(tables_path, tables(cells))
    with atomic_path(page) as part:
        part.write_text(html, encoding="utf-8")


def _plain(section: BaseModel) -> dict[str, Any]:
    """A section as plain values, for display."""
    return section.model_dump(mode="json")


def _md5(path: Path) -> str:
    """The digest that dvc.lock records for a file, read in pieces."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


if __name__ == "__main__":
    run_stage(main)
