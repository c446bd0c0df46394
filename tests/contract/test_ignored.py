"""What the program writes, and what users are told to fetch, is nothing that git would take."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from recap.runtime.locks import STATE
from recap.tracking.store import local_store
from tests.contract.stage_deps import ROOT, pipeline

FETCHED = [ROOT / "docs/data.md", *sorted((ROOT / "infra/profiles").glob("*.yaml"))]
"""They say where models and data sets of others are to lie."""


def written() -> set[str]:
    """A file in each place: outputs of all stages, state, tracking, fetched models and data."""
    outs = {out.split("${")[0] for stage in pipeline().values() for out in stage["outs"]}
    fetched = {
        path for file in FETCHED for path in re.findall(r"\bhub/[\w.-]+", file.read_text("utf-8"))
    }
    assert len(outs) > 10 and len(fetched) > 10
    store = local_store(Path()).name
    tracking = {store, f"{store}-wal", "mlartifacts/x", "mlruns/0/x", f"{STATE}/x", ".venv/x"}
    return {
        *(path if "." in Path(path).name else f"{path}/x" for path in outs | fetched)
    } | tracking


def test_git_takes_none_of_it(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    shutil.copy(ROOT / ".gitignore", tmp_path)
    for path in written():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    seen = subprocess.run(
        ["git", "status", "--porcelain", "-uall"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert seen == ["??", ".gitignore"]
