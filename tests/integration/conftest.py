"""What several files share for the whole session, for it takes many seconds to start or to make."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from recap.tracking.runs import open_store
from tests.integration.flow_project import prefect_api
from tests.integration.registry_project import copied
from tests.integration.sweep_project import make_sweep_project, recap


@pytest.fixture(scope="session")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One Prefect API for all flows that are not killed."""
    with prefect_api(tmp_path_factory.mktemp("api")) as url:
        yield url


@pytest.fixture(scope="session")
def begun(tmp_path_factory: pytest.TempPathFactory, api: str) -> tuple[Path, str]:
    """A sweep whose first seed is recorded, for copies, and what the command said."""
    folder = make_sweep_project(tmp_path_factory.mktemp("begun") / "project")
    return folder, recap(folder, "sweep", "run", "--seeds", "0", PREFECT_API_URL=api)


@pytest.fixture(scope="session")
def finished(begun: tuple[Path, str], tmp_path_factory: pytest.TempPathFactory, api: str) -> Path:
    """A finished sweep with a store; for copies."""
    folder = copied(begun[0], tmp_path_factory.mktemp("sweep") / "project")
    said = recap(folder, "sweep", "run", PREFECT_API_URL=api)
    assert "tracking | MLflow holds 4 cells of the sweep" in said
    return folder


@pytest.fixture(scope="session")
def fresh_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated, empty store to copy: making one takes seconds."""
    folder = tmp_path_factory.mktemp("store")
    with open_store(folder):
        pass
    return folder / "mlflow.db"


@pytest.fixture(scope="session")
def champion(tmp_path_factory: pytest.TempPathFactory, fresh_store: Path) -> Path:
    """A clone whose champion is a real model that only DVC's cache holds; for copies."""
    from tests.integration.champion import make_champion  # loads torch

    return make_champion(tmp_path_factory.mktemp("champion") / "clone", fresh_store)


@pytest.fixture
def clone(champion: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it as the working directory."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    folder = copied(champion, tmp_path / "a clone")
    monkeypatch.chdir(folder)
    return folder
