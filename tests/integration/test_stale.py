"""What an edit of the code makes stale, as DVC itself says, in the project's own pipeline.

Locks: 1. a change in recap/runtime leaves every stage up to date; 2. a change in one judge makes
the stages stale that judge, and no other; 3. a new name in the list of one section makes the stages
of that section stale, and no other; 4. another fingerprint of an origin makes the stages of its
section stale, and no other. Outputs are stand-ins: only the code and the graph are real.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from recap.params.document import read_document
from recap.pipeline.graph import Pipeline, read_pipeline
from recap.sweeps.fingerprint import expanded
from tests.integration.flow_project import ROOT, call, make_project


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone of the working tree in which every output is there, and DVC takes all as done."""
    text = (ROOT / "dvc.yaml").read_text(encoding="utf-8")
    root = make_project(tmp_path_factory.mktemp("stale") / "clone", text)
    for name in ("recap", "experiments"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    for section in ("models", "sources", "prepare", "attack"):
        (root / "origins" / section).mkdir(parents=True)
    pipeline, params = read_document(root / "dvc.yaml"), read_document(root / "params.yaml")
    for address, stage in expanded(pipeline, params):
        for out in stage["outs"]:
            path = root / out
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.suffix:
                path.write_text(f"{address}\n")
            else:
                path.mkdir()
                (path / "file").write_text(f"{address}\n")
    done = call(root, "-m", "dvc", "commit", "--force", "--quiet")
    assert done.returncode == 0, done.stdout + done.stderr
    assert read_pipeline(root).stale() == {}
    return root


def stages(names: Iterable[str]) -> set[str]:
    """Stages without their matrix members."""
    return {name.partition("@")[0] for name in names}


@contextmanager
def edited(project: Path, *files: str) -> Iterator[Pipeline]:
    """The pipeline as DVC sees it while the files end with one more line."""
    texts = {project / file: (project / file).read_text(encoding="utf-8") for file in files}
    for path, text in texts.items():
        path.write_text(f"{text}\n", encoding="utf-8")
    try:
        yield read_pipeline(project)
    finally:
        for path, text in texts.items():
            path.write_text(text, encoding="utf-8")


def test_what_runs_records_and_shows_makes_nothing_stale(project: Path) -> None:
    quiet = (
        "recap/runtime/child.py",
        "recap/runtime/stage.py",
        "recap/params/whole.py",
        "recap/tracking/registry.py",
        "recap/cli/main.py",
        "recap/sweeps/page.py",
    )
    with edited(project, *quiet) as pipeline:
        assert pipeline.stale() == {}


def test_a_judge_makes_stale_what_judges_and_what_reads_the_verdicts(project: Path) -> None:
    with edited(project, "recap/judges/rubric.py") as pipeline:
        assert stages(pipeline.changed()) == {"judge", "dynamics"}
        follow = {"evaluate", "validate", "gate", "report", "register"}
        assert stages(pipeline.stale()) == {"judge", "dynamics"} | follow
        validated = [name for name in pipeline.stale() if name.startswith("validate")]
        assert validated == ["validate@verdicts"]


def test_each_file_makes_its_own_stages_stale(project: Path) -> None:
    expected = {
        "recap/params/gate.py": {"gate", "report", "register"},
        "recap/params/validate.py": {"validate", "prefill"},
        "recap/rewards/turning.py": {"train"},
        "recap/report/template/page.css": {"report"},
    }
    with edited(project, *expected) as pipeline:
        found = {
            file: stages(node.name for node in pipeline.nodes if file in " ".join(node.reasons))
            for file in expected
        }
    assert found == expected


@pytest.mark.parametrize(
    ("file", "stale"),
    [
        ("sources/harmful", {"sources"}),
        ("models/warm_start.gsm8k", {"models"}),
        ("prepare/xstest", {"prepare"}),
        ("attack/replay", {"attack", "dynamics"}),
    ],
)
def test_a_mended_origin_makes_the_stages_of_its_section_stale(
    file: str, stale: set[str], project: Path
) -> None:
    path = project / "origins" / file
    path.write_text("another digest")
    try:
        changed = read_pipeline(project).changed()
    finally:
        path.unlink()
    assert stages(changed) == stale
    assert read_pipeline(project).changed() == ()
