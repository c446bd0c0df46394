"""What several files share for the whole session, for it takes many seconds to start or to make.

Folders are made once for all test processes: the first that needs one makes it, others wait.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from filelock import FileLock

from recap.tracking.runs import open_store
from tests.integration.flow_project import prefect_api
from tests.integration.registry_project import copied
from tests.integration.sweep_project import make_sweep_project, recap


@pytest.fixture(scope="session")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One Prefect API for all flows that are not killed."""
    with prefect_api(tmp_path_factory.mktemp("api")) as url:
        yield url


def once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """A folder of this run of the suite that ``make`` has filled, in whichever test process."""
    base = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:  # each test process has its folder in the run's
        base = base.parent
    folder, made = base / f"once-{name}", base / f"once-{name}.made"
    with FileLock(base / f"once-{name}.lock"):
        if not made.exists():
            shutil.rmtree(folder, ignore_errors=True)  # of one that failed half-way
            folder.mkdir()
            make(folder)
            made.touch()
    return folder


@pytest.fixture(scope="session")
def begun(tmp_path_factory: pytest.TempPathFactory, api: str) -> tuple[Path, str]:
    """A sweep whose first seed is recorded, for copies, and what the command said."""

    def make(folder: Path) -> None:
        project = make_sweep_project(folder / "project")
        said = recap(project, "sweep", "run", "--seeds", "0", PREFECT_API_URL=api)
        (folder / "said.txt").write_text(said)

    folder = once(tmp_path_factory, "begun", make)
    return folder / "project", (folder / "said.txt").read_text()


@pytest.fixture(scope="session")
def finished(begun: tuple[Path, str], tmp_path_factory: pytest.TempPathFactory, api: str) -> Path:
    """A finished sweep with a store; for copies."""

    def make(folder: Path) -> None:
        project = copied(begun[0], folder / "project")
        said = recap(project, "sweep", "run", PREFECT_API_URL=api)
        assert "tracking | MLflow holds 4 cells of the sweep" in said

    return once(tmp_path_factory, "finished", make) / "project"


@pytest.fixture(scope="session")
def fresh_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated, empty store to copy: making one takes seconds."""

    def make(folder: Path) -> None:
        with open_store(folder):
            pass

    return once(tmp_path_factory, "store", make) / "mlflow.db"


@pytest.fixture(scope="session")
def champion(tmp_path_factory: pytest.TempPathFactory, fresh_store: Path) -> Path:
    """A clone whose champion is a real model that only DVC's cache holds; for copies."""

    def make(folder: Path) -> None:
        from tests.integration.champion import make_champion  # loads torch

        make_champion(folder / "clone", fresh_store)

    return once(tmp_path_factory, "champion", make) / "clone"


@pytest.fixture
def clone(champion: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it as the working directory."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    folder = copied(champion, tmp_path / "a clone")
    monkeypatch.chdir(folder)
    return folder
