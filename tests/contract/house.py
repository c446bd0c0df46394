"""The picture in docs/architecture.md, from the imports: ``make house`` writes it there.

A room is a package of recap, or a module at its top. An arrow means "imports". Arrows that follow
from others are left out, so that the picture shows the order of the rooms and can be read.
"""

from __future__ import annotations

import re
from pathlib import Path

import grimp
import networkx as nx

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/architecture.md"
WINGS = {
    "runs and shows": (
        "experiments", "flows", "cli", "estimate", "stages", "services", "sweeps", "report",
        "tracking",
    ),
    "decides": ("analysis",),
    "changes numbers": (
        "sft", "rl", "attacks", "data", "evaluation", "judges", "prefill", "rewards", "benchmarks",
        "microworld", "sampling", "scoring",
    ),
    "foundations": (
        "models", "processes", "render", "turn", "pipeline", "runtime", "params", "rows", "types",
        "errors",
    ),
}  # fmt: skip
PACKAGES = ("recap", "flows", "experiments")
BLOCK = re.compile(r"(?s)(?<=```mermaid\n).*?(?=```\n)")


def room_of(module: str) -> str | None:
    """``recap.rl.trainer`` as ``rl``; ``None`` for the entry points."""
    package, _, inner = module.partition(".")
    if package != "recap":
        return package
    return inner.split(".")[0] if inner and inner != "__main__" else None


def arrows() -> nx.DiGraph:
    """Rooms and what each imports, at run time, as a graph without circles."""
    graph = grimp.build_graph(*PACKAGES, exclude_type_checking_imports=True, cache_dir=None)
    rooms = nx.DiGraph()
    for module in graph.modules:
        own = room_of(module)
        for needed in graph.find_modules_directly_imported_by(module):
            other = room_of(needed)
            if own and other and own != other:
                rooms.add_edge(own, other)
    return rooms


def picture() -> str:
    """The rooms by wing, in Mermaid's language."""
    rooms = arrows()
    lines = ["flowchart TD"]
    for number, (wing, members) in enumerate(WINGS.items()):
        lines.append(f'  subgraph w{number} ["{wing}"]')
        lines += [f"    {room}" for room in members if room in rooms]
        lines.append("  end")
    for room, needed in sorted(nx.transitive_reduction(rooms).edges):
        lines.append(f"  {room} --> {needed}")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(BLOCK.sub(lambda _: picture(), text, count=1), encoding="utf-8")
