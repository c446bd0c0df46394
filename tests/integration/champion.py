"""A clone whose champion is a real model that only DVC's cache holds. Not a test."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from recap.cli import publish as publishing
from recap.microworld.tokenizer import make_tokenizer
from recap.models.weights import save_model
from recap.runtime.child import environment
from tests.integration.registry_project import ROOT, make_registry_project, register
from tests.integration.test_registry import promote
from tests.tiny import tiny_llama

MODEL = Path("models/trained/recap-0")
WEIGHTS = MODEL / "model.safetensors"


def dvc(root: Path, *arguments: str) -> None:
    command = [sys.executable, "-m", "dvc", *arguments]
    subprocess.run(command, cwd=root, env=environment(), check=True, capture_output=True)


def make_champion(folder: Path, store: Path) -> Path:
    """The clone at ``folder``; ``store`` is an empty MLflow database to copy."""
    (folder / ".dvc").mkdir(parents=True)
    shutil.copy(ROOT / ".dvc/config", folder / ".dvc")
    shutil.copy(store, folder / "mlflow.db")
    make_registry_project(folder)
    shutil.rmtree(folder / MODEL)
    tokenizer = make_tokenizer(128)
    policy = tiny_llama(
        tokenizer,
        hidden_size=64,
        intermediate_size=64,
        num_hidden_layers=2,
        max_position_embeddings=128,
        initializer_range=0.3,
    )
    save_model(policy, tokenizer, folder / MODEL)
    dvc(folder, "add", str(MODEL))
    register(folder, weights=None)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        publishing.publish(folder)
        promote(folder)
    return folder
