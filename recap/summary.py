"""The end of a run on the terminal: every rate, the gate's decision, the version, what next."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from recap.errors import DataError
from recap.publishing import DECISION, REGISTERED, TABLES, Receipt
from recap.rows import read_json
from recap.types import GateDecision

PAGE = Path("reports/index.html")
NAMES = {"base": "Base", "dapo": "DAPO", "recap": "RECAP"}
DASH = "\N{EN DASH}"
NEXT = """\
Try next:
  recap report --open              look at the page
  recap promote                    make the challenger champion (recap rollback undoes it)
  make run SEED=1                  another world, other data, another training
  recap plan                       after editing params.yaml: what would run, and why
  mlflow ui --backend-store-uri sqlite:///mlflow.db"""


def show_summary(root: Path, receipt: Receipt | None, console: Console) -> None:
    """Print tables, decision, version and places; raises DataError when the run is incomplete."""
    path = root / TABLES
    if not path.is_file():
        raise DataError(f"Expected {TABLES}, found none. `recap run` makes it.")
    console.print(rates_table(json.loads(path.read_text(encoding="utf-8"))))
    _show_decision(read_json(root / DECISION, GateDecision), console)
    if receipt is not None and receipt.version is not None:
        aliases = ", ".join(receipt.aliases) or "no alias: it did not pass, or was champion before"
        console.print(f"Registered: {receipt.model} version {receipt.version} ({aliases})")
    else:
        console.print(
            f"Not in MLflow yet; the manifest is {REGISTERED}. `recap publish` registers it."
        )
    console.print(f"Report:     {root.resolve() / PAGE}", soft_wrap=True)
    console.print(f"\n{NEXT}", highlight=False)


def rates_table(tables: dict[str, Any]) -> Table:
    """Benchmarks down, cells across; each rate in percent with its 95 % interval and n."""
    shown = Table(
        title="Share of successes in %, with 95 % intervals (Wilson) and n", title_justify="left"
    )
    shown.add_column("benchmark", no_wrap=True)
    shown.add_column("success", no_wrap=True)
    several = len({cell["seed"] for cell in tables["cells"]}) > 1
    for cell in tables["cells"]:
        name = NAMES.get(cell["variant"], cell["variant"])
        shown.add_column(f"{name} {cell['seed']}" if several else name, justify="right")
    domain = None
    for benchmark in tables["benchmarks"]:
        if domain not in (None, benchmark["domain"]):
            shown.add_section()
        domain = benchmark["domain"]
        key = f"{benchmark['name']}/{benchmark['round']}"
        rates = [rate_text(cell["results"].get(key)) for cell in tables["cells"]]
        shown.add_row(benchmark["label"], benchmark["score"], *rates)
    return shown


def rate_text(rate: dict[str, Any] | None) -> str:
    """``97.2 [94.6, 98.5] 320``; unscored rows are named, a missing rate is a dash."""
    if rate is None or rate["value"] is None:
        return DASH
    value, low, high = (100 * rate[name] for name in ("value", "low", "high"))
    unscored = f" ({rate['n_unscored']} unscored)" if rate["n_unscored"] else ""
    return f"{value:.1f} \\[{low:.1f}, {high:.1f}] {rate['n']}{unscored}"


def _show_decision(decision: GateDecision, console: Console) -> None:
    word = "[bold green]passed[/]" if decision.passed else "[bold red]did not pass[/]"
    console.print(f"Gate: {decision.candidate} against {decision.baseline} {word}")
    for check in decision.checks:
        mark = "[green]yes[/]" if check.passed else "[red]no [/]"
        console.print(f"  {mark} {check.name}: {check.measured} (required: {check.required})")
    console.print()
