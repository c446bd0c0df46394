"""The stage graph and its state, read from DVC at run time; no edge is declared here.

``python -m flows.graph`` prints it as JSON for recap/pipeline/graph.py. One process answers what
``dvc status --json`` and ``dvc dag`` answer in two.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import networkx as nx
import yaml
from dvc.exceptions import DvcException
from dvc.lock import LockError
from dvc.repo import Repo

from recap.params.document import refuse_conflicts
from recap.pipeline.graph import BUSY, Node, Pipeline

LISTED = 4
"""Changed files or parameters named in one reason; the rest are counted."""


def read_graph(root: Path) -> Pipeline:
    """The project's stages in topological order, each with its reasons to run.

    Waits for another DVC process that holds the lock. Raises DataError where git left conflict
    markers, DvcException when dvc.yaml or dvc.lock cannot be read.
    """
    refuse_conflicts(root)
    # Seen from another folder, DVC puts the path of dvc.yaml before every stage's name.
    with contextlib.chdir(root), Repo(".", _wait_for_lock=True) as repo:
        graph = repo.index.graph  # edges point from a stage to what it needs
        state = repo.status()
        lock = Path("dvc.lock")
        recorded = yaml.safe_load(lock.read_text(encoding="utf-8")) if lock.is_file() else {}
        known = (recorded or {}).get("stages", {})
        ordered = nx.lexicographical_topological_sort(
            graph.reverse(copy=False), key=lambda stage: stage.addressing
        )
        nodes = []
        for stage in ordered:
            name = stage.addressing
            faults = state.get(name, [])
            reasons = ("never ran",) if faults and name not in known else tuple(_reasons(faults))
            upstream = tuple(sorted(needed.addressing for needed in graph.successors(stage)))
            nodes.append(Node(name=name, upstream=upstream, reasons=reasons))
    return Pipeline(nodes=tuple(nodes))


def _reasons(faults: list[Any]) -> Iterator[str]:
    """DVC's status entries of one stage, in words."""
    for fault in faults:
        if isinstance(fault, str):  # "changed command", "always changed"
            yield fault
            continue
        for kind, entries in fault.items():
            noun = "output" if kind == "changed outs" else ""
            words = list(_changes(entries))
            listed = ", ".join(words[:LISTED])
            more = f" and {len(words) - LISTED} more" if len(words) > LISTED else ""
            yield f"{noun} {listed}{more}".strip()


def _changes(entries: dict[str, Any]) -> Iterator[str]:
    for path, change in entries.items():
        if isinstance(change, dict):  # a parameter file: the keys in it
            yield from (f"{key} {how}" for key, how in change.items())
        else:
            yield f"{path} {change}"


if __name__ == "__main__":
    try:
        print(read_graph(Path.cwd()).model_dump_json())
    except (DvcException, OSError) as error:  # OSError: a folder that cannot be written to
        print(error, file=sys.stderr)
        sys.exit(BUSY if isinstance(error, LockError) else 2)
