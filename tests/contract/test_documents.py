"""Documents and configuration say what is there: README's tree, make targets, pinned packages."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.stage_deps import ROOT

DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("**/*.md"))]


def test_readme_tree_is_the_tree() -> None:
    shown = set(tree_paths((ROOT / "README.md").read_text(encoding="utf-8")))
    assert {path for path in shown if not (ROOT / path).exists()} == set()
    packages = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "recap").iterdir()
        if path.is_dir() and not path.name.startswith("__")
    }
    assert packages - shown == set()


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_documents_name_only_targets_and_commands_that_exist(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    assert set(re.findall(r"`make ([a-z]+)", text)) <= targets
    cli = (ROOT / "recap/cli.py").read_text(encoding="utf-8")
    commands = set(re.findall(r"@app\.command\(\)\ndef (\w+)", cli))
    assert set(re.findall(r"`recap ([a-z]+)", text)) <= commands


def test_every_direct_dependency_is_pinned_and_explained() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    project = tomllib.loads(text)["project"]
    direct = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    names = {normal(re.split(r"[<>=]", entry)[0]) for entry in direct}
    pinned = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    lines = [line for line in pinned.splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+", line) for line in lines)
    assert names <= {normal(line.split("==")[0]) for line in lines}
    for entry in direct:
        assert re.search(rf'"{re.escape(entry)}", +# \w', text), f"{entry} has no reason beside it"


def tree_paths(readme: str) -> Iterator[str]:
    """Paths named in the fenced block that shows ``recap/``, by indentation."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", readme, re.MULTILINE | re.DOTALL)
    block = next(found for found in blocks if re.search(r"^recap/\s*$", found, re.MULTILINE))
    parents: list[tuple[int, str]] = []
    for line in block.splitlines():
        if not line.strip():
            continue
        indent = len(line) - len(line.lstrip())
        while parents and parents[-1][0] >= indent:
            parents.pop()
        names = re.split(r"\s{2,}", line.strip())[0].split()
        above = parents[-1][1] if parents else ""
        for name in names:
            yield f"{above}{name}".rstrip("/")
        if names[-1].endswith("/"):
            parents.append((indent, f"{above}{names[-1]}"))


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
