"""``recap sweep report``: docs/results/microworld.md with its pictures, and docs/results/claims.md.

The page is a function of the ledger, the parameters and the code, so the same cells give the same
bytes. The page lists missing and stale cells and leaves them out. Leaves out measuring
(flows/sweep.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from recap.analysis.parts import Claim
from recap.rows import atomic_path
from recap.sweeps.claims import TRAININGS, Causes, claims_page, findings, read_causes, verdicts
from recap.sweeps.costs import costs
from recap.sweeps.design import Cell
from recap.sweeps.ledger import LEDGER
from recap.sweeps.pictures import Picture, draw
from recap.sweeps.results import Results, asked, read_results
from recap.sweeps.tables import Tables

PAGE = Path("docs/results/microworld.md")
CLAIMS = PAGE.parent / "claims.md"
CAUSES = LEDGER.parent / "causes.yaml"
COMMAND = "recap sweep report"


def write_page(root: Path) -> Path:
    """Write the page, its figures and the claims' conditions; returns the path of the page.

    Raises ParameterError for an invalid sweep, and DataError for a broken ledger file or a cause
    of an unknown claim.
    """
    results = read_results(root)
    claims = results.claims()
    causes = read_causes(root / CAUSES, {claim.number for claim in claims})
    tables = Tables(results)
    pictures = draw(results, tables, (root / PAGE).with_suffix(""))
    page = _page(results, claims, causes, tables, pictures)
    for path, text in ((CLAIMS, claims_page(asked(results.params, results.design))), (PAGE, page)):
        with atomic_path(root / path) as part:
            part.write_text(text, encoding="utf-8")
    return root / PAGE


def _page(
    results: Results,
    claims: Sequence[Claim],
    causes: Causes,
    tables: Tables,
    pictures: Mapping[str, Picture],
) -> str:
    parts = [
        "# The paper's ablation on the microworld",
        f"Written by `{COMMAND}` from the measured cells in `{LEDGER.as_posix()}/`; edited by "
        "hand it would not last. The world is another than the paper's (about a million "
        "parameters, a language of its own): directions compare, levels do not.",
        *_standing(results),
        *verdicts(claims),
        "## How far α, length and source carry",
        *_shown(pictures, "dials"),
        "## Tables in the paper's form",
        _legend(results),
        *tables.as_published(),
        *tables.beyond(),
        *tables.further(),
        "## Every training by itself",
        *tables.trainings(),
        *([causes[TRAININGS]] if TRAININGS in causes else []),
        *_shown(pictures, "trainings"),
        "## Against the centre",
        *tables.differences(),
        "## Training",
        *_shown(pictures, "rewards"),
        "## The claims, part by part",
        "Differences in points with 95 % intervals, one for each training seed, in their order.",
        *findings(claims, results.design.seeds, causes),
        *_shown(pictures, "time"),
        "## Cost",
        *costs(results.measured),
        "## Where it comes from",
        *_provenance(results),
    ]
    return "\n\n".join(parts) + "\n"


def _standing(results: Results) -> list[str]:
    design, every = results.design, results.design.cells()
    return [
        f"{len(results.measured)} of {len(every)} cells are measured: {len(design.variants)} "
        f"variants, training seeds {', '.join(map(str, design.seeds))}."
        + (" The rest is named [below](#where-it-comes-from)." if _incomplete(results) else "")
    ]


def _incomplete(results: Results) -> bool:
    return bool(results.missing or results.stale)


def _legend(results: Results) -> str:
    return (
        "Percent safe, helpful or correct: mean ± standard deviation over the trainings (by seeds "
        "less one); below it a 95 % interval of the mean that resamples request objects and whole "
        "trainings, with these few trainings rather too narrow where they disagree (their own "
        "values stand [below](#every-training-by-itself)); in italics the paper's number, of "
        "DSLlama-8B on the benchmark in italics. The paper's continuous reward, of a mapping that "
        "it does not publish, stands at `prob`. Resets are shown after the last of "
        f"{results.params.attack.ipr_rounds} rounds."
    )


def _shown(pictures: Mapping[str, Picture], name: str) -> list[str]:
    found = pictures.get(name)
    return [f"![{found.title}]({found.path.name})", found.caption] if found else []


def _provenance(results: Results) -> list[str]:
    cells = len(results.design.cells())
    lines = [
        f"- Command: `{COMMAND}`; the cells themselves: `recap sweep run`.",
        f"- Cells that count: {len(results.measured)} of {cells}; digest of their fingerprints "
        f"(code, parameters and all that they need): `{results.digest}`.",
        f"- Missing, not measured yet: {_names(results.missing)}.",
        f"- Stale, recorded with other code or parameters and left out: {_names(results.stale)}.",
    ]
    lines += [
        f"- Left out of the design: `{one.name}`, {one.reason}" for one in results.design.left_out
    ]
    return ["\n".join(lines)]


def _names(cells: Sequence[Cell]) -> str:
    return ", ".join(f"`{cell.name}`" for cell in cells) or "none"
