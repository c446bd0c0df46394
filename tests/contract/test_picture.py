"""docs/pipeline.md is the graph as DVC draws it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.contract.stage_deps import ROOT, stage_names


@pytest.mark.slow
def test_the_picture_is_the_graph() -> None:
    drawn = subprocess.run(
        [sys.executable, "-m", "dvc", "dag", "--md", "--collapse-foreach-matrix"],
        cwd=ROOT,
        env={**os.environ, "DVC_NO_ANALYTICS": "1"},
        text=True,
        capture_output=True,
        check=True,
    ).stdout
    assert all(f'["{stage}"]' in drawn for stage in stage_names())
    written = (ROOT / "docs/pipeline.md").read_text(encoding="utf-8")
    assert written.endswith(f"\n\n{drawn}"), "docs/pipeline.md is another graph: make dag"
