"""Documents and configuration say what is there: README's tree, make targets, pinned packages."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from recap.params import check_pipeline, read_params
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


def test_the_settings_for_real_data_fit_together(tmp_path: Path) -> None:
    text = (ROOT / "docs/data.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"<!-- settings for real data.*?-->\n```yaml\n(.*?)```", text, re.DOTALL)
    values = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    for section, changes in yaml.safe_load(block).items():
        values[section] |= changes
    file = tmp_path / "params.yaml"
    file.write_text(yaml.safe_dump(values), encoding="utf-8")
    params = read_params(file)
    check_pipeline(params)
    named = params.attack.benchmarks + params.dynamics.benchmarks
    assert "jailbreak" not in named and params.judge.judge != "oracle"
    assert "microworld" not in params.prepare.sources and params.prepare.mixture.benign == 0
    assert params.sources.origins.keys() == set(params.matrix.sources)


@pytest.mark.parametrize(
    ("version", "code"), [("3.10.12", 2), ("3.9.1", 2), ("3.11.0", 0), ("3.12.4", 0)]
)
def test_make_refuses_a_python_that_is_too_old(version: str, code: int, tmp_path: Path) -> None:
    """A stub stands for the interpreter: it answers as one of that version would."""
    pretend = f"import sys; sys.version_info = {tuple(map(int, version.split('.')))}"
    stub = tmp_path / "python"
    stub.write_text(
        f'#!/bin/sh\n[ "$1" = --version ] && echo "Python {version}" && exit 0\n'
        f'[ "$1" = -c ] && exec {sys.executable} -c "{pretend}; exec(sys.argv[1])" "$2"\n'
        # the environment is asked for next; the stub makes none, and its pip is the stub itself
        'mkdir -p "$4/bin" && printf "#!/bin/sh\\n" > "$4/bin/python" && chmod +x "$4/bin/python"\n'
    )
    stub.chmod(0o755)
    for name in ("Makefile", "constraints.txt", "pyproject.toml"):
        (tmp_path / name).write_text((ROOT / name).read_text(encoding="utf-8"))
    done = subprocess.run(
        ["make", "install", f"PYTHON={stub}"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == code, done.stderr
    expected = f"Expected Python 3.11 or later, got Python {version} from {stub}. Install it"
    assert done.stderr.count(expected) == bool(code)
    assert (tmp_path / ".venv").exists() == (code == 0)


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
