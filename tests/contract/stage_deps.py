"""What a stage's code depends on, from the import graph: ``make deps`` prints it for dvc.yaml.

Packages of recap are named as a whole, since a package changes for one reason; single modules and
the stage's own file by their path. Imports inside functions count, those for types alone do not.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import grimp
import yaml

ROOT = Path(__file__).parents[2]
STAGES = "recap.stages"
NOT_A_STAGE = {"__init__", "process"}


@cache
def import_graph() -> grimp.ImportGraph:
    """Every import inside recap."""
    return grimp.build_graph("recap", exclude_type_checking_imports=True, cache_dir=None)


def stage_names() -> list[str]:
    """The stages that have a file."""
    files = (ROOT / "recap/stages").glob("*.py")
    return sorted(path.stem for path in files if path.stem not in NOT_A_STAGE)


def stage_modules(stage: str) -> list[str]:
    """The stage's own module, and those of recap that it imports, transitively."""
    own = f"{STAGES}.{stage}"
    return sorted({own, *import_graph().find_upstream_modules(own)} - {"recap", STAGES})


def module_path(module: str) -> str:
    """``recap.rows`` as ``recap/rows.py``."""
    path = module.replace(".", "/")
    return f"{path}/__init__.py" if (ROOT / path).is_dir() else f"{path}.py"


def stage_dependencies(stage: str) -> list[str]:
    """Packages and files that the stage has to declare in dvc.yaml."""
    found = set()
    for module in stage_modules(stage):
        _, top, *inner = module.split(".")
        package = (ROOT / "recap" / top).is_dir()
        whole = package and (inner or top != "stages") and not module.startswith(STAGES)
        found.add(f"recap/{top}" if whole else module_path(module))
    return sorted(found)


def pipeline() -> dict[str, Any]:
    """The stages of dvc.yaml."""
    stages: dict[str, Any] = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    return stages


if __name__ == "__main__":
    for name in pipeline():
        print(f"{name}:")
        print("\n".join(f"      - {path}" for path in stage_dependencies(name)))
