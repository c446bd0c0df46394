"""Data sets from a hub that answers on loopback: pinned, gated, missing, and only what is read."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.integration.hub_server import REVISION, serving_hub
from tests.parameters import ROOT

pytestmark = pytest.mark.integration
FILES = {
    "test.jsonl": b'{"problem": "Find 1 .", "answer": "1", "unique_id": "test/a/1.json"}\n',
    "data/other.parquet": b"nobody reads it",
    "README.md": b"a card",
}


@pytest.fixture
def hub() -> Iterator[tuple[str, list[str]]]:
    """One open data set and a gated one: the address, and the paths asked for."""
    with serving_hub("datasets", "org/math", FILES) as served:
        yield served


def prepare(folder: Path, endpoint: str, source: str) -> subprocess.CompletedProcess[str]:
    """The stage as DVC runs it, with the microworld's training prompts."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["prepare"]["sources"] = {"microworld": None, "math500": source}
    params["prepare"] |= {"train_prompts": 10, "eval_prompts": 4}
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    outs = [f"--{name}={name}.jsonl" for name in ("train", "eval", "quarantine", "counts")]
    return subprocess.run(
        [sys.executable, "-m", "recap.stages.prepare", *outs],
        cwd=folder,
        env={
            "PYTHONPATH": str(ROOT),
            "PATH": "/usr/bin:/bin",
            "HOME": str(folder),
            "HF_ENDPOINT": endpoint,
            "HF_HUB_OFFLINE": "1",
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_pinned_data_set_is_fetched_as_far_as_it_is_read(
    hub: tuple[str, list[str]], tmp_path: Path
) -> None:
    endpoint, asked = hub
    done = prepare(tmp_path, endpoint, f"org/math@{REVISION}")
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in (tmp_path / "eval.jsonl").read_text().splitlines()]
    assert [row["id"] for row in rows if row["source"] == "math500"] == ["math500-test/a/1.json"]
    fetched = {path.split(f"{REVISION}/")[1] for path in asked if "/resolve/" in path}
    assert fetched == {"test.jsonl"}
    asked.clear()
    again = prepare(tmp_path, "http://127.0.0.1:9", f"org/math@{REVISION}")  # nobody answers there
    assert again.returncode == 0, again.stderr


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "org/gated",
            "gated. Accept its terms on https://huggingface.co/datasets/org/gated and set HF_TOKEN",
        ),
        ("org/none", "Check name and revision on https://huggingface.co/datasets/org/none"),
    ],
)
def test_what_is_refused_is_one_message(
    hub: tuple[str, list[str]], tmp_path: Path, name: str, said: str
) -> None:
    done = prepare(tmp_path, hub[0], f"{name}@{REVISION}")
    assert done.returncode == 2
    assert said in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "eval.jsonl").exists()


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:9", "http://no-such-host.invalid"])
def test_a_hub_that_does_not_answer_is_one_message(tmp_path: Path, endpoint: str) -> None:
    done = prepare(tmp_path, endpoint, f"org/math@{REVISION}")
    assert done.returncode == 2, done.stderr
    assert f"Expected to download org/math at {REVISION} for the source math500" in done.stderr
    assert "Traceback" not in done.stderr
