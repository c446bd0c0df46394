"""The stage graph as DVC tells it: what is stale and why, what follows from it, what goes first.

Pure functions over a snapshot. Leaves out how DVC is asked: ``flows/graph.py``, which runs as a
child process because nothing here may import DVC.
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
"""How ``flows.graph`` ends when DVC's locks are taken."""


class Node(Row):
    """A stage, the stages it needs, and why it is stale by itself (empty: it is not)."""

    name: str
    upstream: tuple[str, ...]
    reasons: tuple[str, ...]


class Pipeline(Row):
    """All stages, each after those it needs."""

    nodes: tuple[Node, ...]

    def changed(self) -> tuple[str, ...]:
        """What is stale by itself and will run for certain."""
        return tuple(node.name for node in self.nodes if node.reasons)

    def stale(self) -> dict[str, tuple[str, ...]]:
        """What may have to run, in order, with the reasons.

        A follower runs only if what it needs comes out otherwise than last time.
        """
        found: dict[str, tuple[str, ...]] = {}
        for node in self.nodes:
            after = tuple(f"if {name} changes" for name in node.upstream if name in found)
            if node.reasons or after:
                found[node.name] = node.reasons or after
        return found

    def urgency(self, seconds: Mapping[str, float]) -> dict[str, float]:
        """Length of the longest path from each stage's start to the end of everything.

        ``seconds`` is what stages took last time; an unknown one counts as one second, which
        leaves the longest chain first.
        """
        longest: dict[str, float] = {node.name: 0.0 for node in self.nodes}
        for node in reversed(self.nodes):
            longest[node.name] += seconds.get(node.name, 1.0)
            for name in node.upstream:
                longest[name] = max(longest[name], longest[node.name])
        return longest


def read_pipeline(root: Path) -> Pipeline:
    """Ask DVC, in a child process, for the graph and the state of the project in ``root``.

    Raises DataError where git left conflict markers, else PipelineError with DVC's own words when
    it cannot answer, and BusyError while another process of DVC is at work.
    """
    refuse_conflicts(root)
    child = start(["-m", "flows.graph"], cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    out, err = child.communicate()
    if child.returncode == BUSY:
        raise BusyError(
            "Expected no other DVC process at work in this clone, but there is one:\n"
            f"{err.strip()}\nWait for it, or end it; `recap doctor` names what was left over."
        )
    if child.returncode != 0:
        raise PipelineError(
            f"Expected DVC to read dvc.yaml and dvc.lock, got:\n{err.strip()}\n"
            "`recap doctor` looks for the usual causes."
        )
    return Pipeline.model_validate_json(out)
