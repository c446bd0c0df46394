"""What a stage's code depends on, module by module, from the import graph.

``make deps`` writes it into dvc.yaml. Imports inside functions count, those for types alone do not.
Two things are not followed. ``recap.runtime`` changes no output. ``recap.params.whole`` reads every
section: a stage depends on the files of the sections that it declares, and on the parser.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import grimp
import yaml

ROOT = Path(__file__).parents[2]
STAGES = "recap.stages"
NOT_FOLLOWED = ("recap.runtime", "recap.params.whole")
PARSER = "recap.params.document"
SECTION_FILES = {"seed": None, "variants": "train"}
"""Keys of params.yaml whose file has another name than they, or none."""
DATA = {
    "recap.analysis.paper": ("recap/analysis/paper_numbers.json",),
    "recap.report.html": ("recap/report/template/**/*.*",),
    "recap.report.watch": ("recap/report/watch.html.j2",),
}
"""Files that a module reads beside its code, as patterns."""


@cache
def import_graph() -> grimp.ImportGraph:
    """The imports inside recap that are followed."""
    graph = grimp.build_graph("recap", exclude_type_checking_imports=True, cache_dir=None)
    for module in sorted(graph.modules):
        if module.startswith(NOT_FOLLOWED):
            for needed in sorted(graph.find_modules_directly_imported_by(module)):
                graph.remove_import(importer=module, imported=needed)
    return graph


def stage_names() -> list[str]:
    """The stages that have a file."""
    files = (ROOT / "recap/stages").glob("*.py")
    return sorted(path.stem for path in files if path.stem != "__init__")


def stage_modules(stage: str) -> set[str]:
    """The modules of recap that the stage's output depends on; packages are empty and left out."""
    own = f"{STAGES}.{stage}"
    found = {own, PARSER, *import_graph().find_upstream_modules(own)}
    for key in pipeline()[stage].get("params", []):
        section = str(key).split(".")[0]
        file = SECTION_FILES.get(section, section)
        if file is not None:
            module = f"recap.params.{file}"
            found |= {module, *import_graph().find_upstream_modules(module)}
    return {
        module
        for module in found
        if not module.startswith(NOT_FOLLOWED) and module_path(module).is_file()
    }


def module_path(module: str) -> Path:
    """``recap.rows`` as ``recap/rows.py``."""
    return ROOT / f"{module.replace('.', '/')}.py"


def stage_dependencies(stage: str) -> list[str]:
    """The files that the stage has to declare in dvc.yaml."""
    modules = stage_modules(stage)
    files = {module_path(module).relative_to(ROOT).as_posix() for module in modules}
    return sorted(files.union(*(data_files(module) for module in modules)))


def data_files(module: str) -> set[str]:
    """The files that a module reads beside its code."""
    found = (path for pattern in DATA.get(module, ()) for path in ROOT.glob(pattern))
    return {path.relative_to(ROOT).as_posix() for path in found}


@cache
def pipeline() -> dict[str, Any]:
    """The stages of dvc.yaml."""
    stages: dict[str, Any] = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    return stages


def with_dependencies(text: str) -> str:
    """The text of dvc.yaml with every stage's code dependencies as they have to be."""
    head, *stages = re.split(r"(?m)^(?=  \w+:$)", text)
    return head + "".join(_declared(stage) for stage in stages)


def _declared(text: str) -> str:
    """One stage's text; its code stands last among its dependencies."""
    name = text.split(":", 1)[0].strip()
    before, deps, after = re.split(r"(?m)^    deps:\n((?:      - .*\n)*)", f"{text}")[:3]
    data = [line for line in deps.splitlines() if not line.startswith("      - recap/")]
    code = [f"      - {path}" for path in stage_dependencies(name)]
    return f"{before}    deps:\n" + "\n".join([*data, *code]) + f"\n{after}"


if __name__ == "__main__":
    path = ROOT / "dvc.yaml"
    path.write_text(with_dependencies(path.read_text(encoding="utf-8")), encoding="utf-8")
