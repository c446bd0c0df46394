"""A disk that is full for DVC alone: its copy into the cache fails, the stage's work is whole."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from flows.stage_run import StageFailed, run_stage
from tests.faults.namespace import in_a_namespace
from tests.integration.flow_project import ROOT, child_environment

QUOTA = "[Errno 122] Disk quota exceeded: 'a' -> 'b'"


def test_dvc_has_no_room_for_its_own_copy(tmp_path: Path) -> None:
    namespace = in_a_namespace()
    if namespace is None:
        pytest.skip("this system lets users mount nothing (unshare --user --mount)")
    done = subprocess.run(
        [*namespace, sys.executable, "-m", "tests.faults.full_cache"],
        cwd=ROOT,
        env=child_environment(tmp_path),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert seen["code"] == 28
    assert seen["message"].startswith("SpaceError: The disk is full: [Errno 28] No space left on ")
    assert seen["message"].endswith(". Free some space and run again.")
    assert seen["message"].count("Errno") == 1
    assert not any("Errno" in line for line in seen["lines"])


@pytest.mark.parametrize(
    ("lines", "code", "message"),
    [
        (
            [
                f"ERROR: failed to transfer 'x' - {QUOTA}",
                f"ERROR: failed to reproduce 's': {QUOTA}",
            ],
            28,
            f"SpaceError: The disk is full: {QUOTA}. Free some space and run again.",
        ),
        (
            ["DataError: no row", f"ERROR: {QUOTA}", "ERROR: failed ... exited with 2"],
            2,
            f"DataError: no row\nERROR: {QUOTA}\nERROR: failed ... exited with 2",
        ),
        (["ERROR: [Errno 13] Permission denied"], 255, "ERROR: [Errno 13] Permission denied"),
    ],
)
def test_the_words_of_dvc(
    lines: list[str], code: int, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(_: list[str], folder: Path) -> subprocess.Popen[str]:
        script = f"import sys; print(*{lines!r}, sep='\\n'); sys.exit(255)"
        return subprocess.Popen(
            [sys.executable, "-c", script], cwd=folder, stdout=subprocess.PIPE, text=True
        )

    monkeypatch.setattr("flows.stage_run.start", start)
    said: list[str] = []
    with pytest.raises(StageFailed) as failed:
        run_stage("s", said.append)
    assert (failed.value.code, failed.value.message) == (code, message)
    assert not failed.value.retryable
