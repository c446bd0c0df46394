"""The stage graph according to DVC: stale stages with reasons, their followers, the order to run.

Pure functions over a snapshot. Leaves out the query to DVC: ``flows/graph.py`` runs as a child
process, because recap must not import DVC.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

from recap.errors import BusyError, PipelineError
from recap.params.document import refuse_conflicts
from recap.runtime.child import start
from recap.types.row import Row

BUSY = BusyError.exit_code
"""Exit code of ``flows.graph`` if another process holds DVC's locks."""


class Node(Row):
    """A stage, the stages it needs, and the reasons why it is stale (empty: it is not)."""

    name: str
    upstream: tuple[str, ...]
    reasons: tuple[str, ...]


class Pipeline(Row):
    """All stages, each after those it needs."""

    nodes: tuple[Node, ...]

    def changed(self) -> tuple[str, ...]:
        """The stages that are stale themselves and will certainly run."""
        return tuple(node.name for node in self.nodes if node.reasons)

    def stale(self) -> dict[str, tuple[str, ...]]:
        """The stages that may have to run, in order, with the reasons.

        A follower runs only if the outputs that it needs change.
        """
        found: dict[str, tuple[str, ...]] = {}
        for node in self.nodes:
            after = tuple(f"if {name} changes" for name in node.upstream if name in found)
            if node.reasons or after:
                found[node.name] = node.reasons or after
        return found

    def urgency(self, seconds: Mapping[str, float]) -> dict[str, float]:
        """Length of the longest path from each stage's start to the end of the pipeline.

        ``seconds`` are the stages' last durations. An unknown one counts as one second, so that
        the longest chain comes first.
        """
        longest: dict[str, float] = {node.name: 0.0 for node in self.nodes}
        for node in reversed(self.nodes):
            longest[node.name] += seconds.get(node.name, 1.0)
            for name in node.upstream:
                longest[name] = max(longest[name], longest[node.name])
        return longest


def read_pipeline(root: Path) -> Pipeline:
    """Ask DVC, in a child process, for the graph and the state of the project in ``root``.

    Raises DataError if git left conflict markers, PipelineError with DVC's message if DVC fails,
    and BusyError while another DVC process runs.
    """
    refuse_conflicts(root)
    child = start(["-m", "flows.graph"], cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    out, err = child.communicate()
    if child.returncode == BUSY:
        raise BusyError(
            "Expected no other DVC process at work in this clone, but there is one:\n"
            f"{err.strip()}\nWait for it, or end it; `recap doctor` lists leftover processes."
        )
    if child.returncode != 0:
        raise PipelineError(
            f"Expected DVC to read dvc.yaml and dvc.lock, got:\n{err.strip()}\n"
            "`recap doctor` looks for the usual causes."
        )
    return Pipeline.model_validate_json(out)
