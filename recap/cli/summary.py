"""The summary of a run on the terminal: rates, the gate's decision, the version, next steps."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from recap.cli.publish import DECISION, REGISTERED, TABLES, Receipt
from recap.errors import DataError
from recap.rows import read_json
from recap.runtime.locks import STATE
from recap.tracking import watch
from recap.tracking.registry import CHALLENGER, CHAMPION
from recap.types.decisions import GateDecision

PAGE = Path("reports/index.html")
NAMES = {"base": "Base", "dapo": "DAPO", "recap": "RECAP"}
DASH = "\N{EN DASH}"
NEXT = """\
Try next:
  recap report --open              look at the page
  make run SEED=1                  another world, other data, another training
  recap plan                       what an edit of params.yaml changes
  mlflow ui --backend-store-uri sqlite:///mlflow.db"""
NEXT_OF_PROFILE = """\
Try next, in the clone:
  recap report --profile {options} --open
  recap plan --profile {options}
  mlflow ui --backend-store-uri sqlite:///{store}"""
PROMOTE = "recap promote --yes              the challenger becomes champion"
ROLLBACK = "recap rollback                   the champion before this one comes back"


def show_summary(root: Path, receipt: Receipt | None, console: Console) -> None:
    """Print tables, decision, version and places; raises DataError when the run is incomplete."""
    path = root / TABLES
    if not path.is_file():
        raise DataError(f"Expected {TABLES}, found none. `recap run` makes it.")
    tables = json.loads(path.read_text(encoding="utf-8"))
    wide = rates_table(tables, wide=True)
    needed = Measurement.get(console, console.options.update(max_width=1000), wide).maximum
    console.print(wide if needed <= console.width else rates_table(tables, wide=False))
    console.print(claims_line(tables))
    _show_decision(read_json(root / DECISION, GateDecision), console)
    if receipt is not None and receipt.version is not None:
        aliases = ", ".join(receipt.aliases) or "no alias: it did not pass, or was champion before"
        console.print(f"Registered: {receipt.model} version {receipt.version} ({aliases})")
    else:
        console.print(
            f"Not in MLflow yet; the manifest is {REGISTERED}. `recap publish` registers it."
        )
    console.print(f"Report:     {root.resolve() / PAGE}", soft_wrap=True)
    if (root / watch.PAGE).is_file():
        console.print(f"Watching:   {root.resolve() / watch.PAGE}", soft_wrap=True)
    profile = _profile(root)
    if profile is not None:
        store = root.resolve() / "mlflow.db"
        console.print(f"\n{NEXT_OF_PROFILE.format(options=profile, store=store)}", highlight=False)
        return
    console.print(f"\n{NEXT}", highlight=False)
    for alias, advice in ((CHALLENGER, PROMOTE), (CHAMPION, ROLLBACK)):
        if receipt is not None and alias in receipt.aliases:
            console.print(f"  {advice}", highlight=False)


def _profile(root: Path) -> str | None:
    """What follows ``--profile`` for the project in ``root``; ``None`` for a clone."""
    folder = root.resolve()
    if folder.parent.name != STATE.name:
        return None
    name = folder.name.removesuffix("-quick")
    return name if name == folder.name else f"{name} --quick"


def rates_table(tables: dict[str, Any], *, wide: bool) -> Table:
    """Main benchmarks down, cells across; each rate in percent with its 95 % interval and n.

    A caption counts the other rates, which the page shows: attacks with an axis have dozens.
    ``wide`` has room for a rate on one line. Otherwise the interval is below the rate, and the
    success label is left out.
    """
    rows = [benchmark for benchmark in tables["benchmarks"] if benchmark["main"]]
    others = len(tables["benchmarks"]) - len(rows)
    shown = Table(
        title="Share of successes in %, with 95 % intervals (Wilson) and n",
        title_justify="left",
        caption=f"and {others} more rates, on the page" if others else None,
        caption_justify="left",
    )
    shown.add_column("benchmark", no_wrap=True)
    if wide:
        shown.add_column("success", no_wrap=True)
    several = len({cell["seed"] for cell in tables["cells"]}) > 1
    for cell in tables["cells"]:
        name = NAMES.get(cell["variant"], cell["variant"])
        header = f"{name} {cell['seed']}" if several else name
        shown.add_column(header, justify="right", no_wrap=True)
    domain = None
    for benchmark in rows:
        if domain not in (None, benchmark["domain"]):
            shown.add_section()
        domain = benchmark["domain"]
        key = f"{benchmark['name']}/{benchmark['place']}"
        rates = [rate_text(cell["results"].get(key), wide=wide) for cell in tables["cells"]]
        score = [benchmark["score"]] if wide else []
        shown.add_row(benchmark["label"], *score, *rates)
    return shown


def claims_line(tables: dict[str, Any]) -> str:
    """The number of the paper's claims that hold here; the page names them."""
    verdicts = Counter(claim["verdict"] for claim in tables["claims"])
    said = ", ".join(f"{verdict} {count}" for verdict, count in verdicts.items())
    return f"The paper's {len(tables['claims'])} claims, tested here: {said}"


def rate_text(rate: dict[str, Any] | None, *, wide: bool) -> str:
    """``97.2 [94.6, 98.5] 320``, with the number of unscored rows; a dash for a missing rate."""
    if rate is None:
        return DASH
    unscored = f" ({rate['n_unscored']} unscored)" if rate["n_unscored"] else ""
    if rate["value"] is None:
        return f"{DASH}{unscored}"
    value, low, high = (100 * rate[name] for name in ("value", "low", "high"))
    interval, n = f"\\[{low:.1f}, {high:.1f}]", f"{rate['n']}{unscored}"
    return f"{value:.1f} {interval} {n}" if wide else f"{value:.1f}  n {n}\n{interval}"


def _show_decision(decision: GateDecision, console: Console) -> None:
    word = "[bold green]passed[/]" if decision.passed else "[bold red]did not pass[/]"
    console.print(f"Gate: {decision.candidate} against {decision.baseline} {word}")
    reasons = Table.grid(padding=(0, 1))
    for check in decision.checks:
        mark = Text("  yes", "green") if check.passed else Text("  no", "red")
        wanted = "" if check.passed else f" (required: {check.required})"
        if check.lacking:
            wanted += f"; not enough evidence: needs {check.lacking}"
        reasons.add_row(mark, Text(f"{check.name}: {check.measured}{wanted}"))
    console.print(reasons, "")
