"""A parameter that a message, a docstring or a document names is one that params.yaml has.

What is looked at is every ``section.key`` whose first word is a section: in the texts of the code,
and between backticks in documents. Files (``judge.py``) and what users make up are no parameters.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args, get_origin

import pytest
from pydantic import BaseModel

from recap.params.whole import Params
from recap.sweeps.section import Sweep
from tests.contract.stage_deps import ROOT

SECTIONS = {field.alias or name: field.annotation for name, field in Params.model_fields.items()}
SECTIONS |= {"sweep": Sweep}
CODE = sorted(path for top in ("recap", "flows") for path in (ROOT / top).rglob("*.py"))
GUIDES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")]
DOCUMENTS = [*GUIDES, *sorted((ROOT / "docs").glob("*.md"))]
HISTORY = {"LOG.md"}
"""What was measured under names that may have changed since."""
FILES = {"py", "json", "jsonl", "yaml", "md", "safetensors", "html", "csv", "png"}


def known(name: str) -> bool:
    """Whether a dotted name leads to a parameter."""
    first, *rest = name.split(".")
    kind: Any = SECTIONS[first]
    for part in rest:
        if get_origin(kind) in (dict, Mapping):
            kind = get_args(kind)[1]
            continue
        section = _section(kind)
        if section is None:
            return kind is Any  # a variant's own settings are not described any further
        fields = {field.alias or key: field for key, field in section.model_fields.items()}
        if part not in fields:
            return False
        kind = fields[part].annotation
    return True


def _section(kind: Any) -> type[BaseModel] | None:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return kind
    return next((found for part in get_args(kind) if (found := _section(part))), None)


NAME = re.compile(
    rf"(?<![\w./`-])`{{0,2}}((?:{'|'.join(SECTIONS)})(?:\.[a-z_][a-z_0-9]*)+)(?![\w(/*{{])"
)


def named(text: str) -> Iterator[str]:
    """The parameters that a text names."""
    for found in NAME.finditer(text):
        name = found[1]
        if name.rsplit(".", 1)[1] not in FILES:
            yield name


def texts(path: Path) -> Iterator[str]:
    """Every text of a module, what is filled into it left open."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


@pytest.mark.parametrize(
    ("name", "there"),
    [
        ("prefill.attempts", True),
        ("prefill.pool", False),  # once advised
        ("attack.decoding.math.samples", True),
        ("attack.decoding.math.sample", False),
        ("train.grpo.beta", True),
        ("train.alpha.harmful", True),
        ("variants.recap.alpha", True),
        ("sweep.axes.alpha", True),
        ("validate.max_unscored", True),
    ],
)
def test_what_a_name_leads_to(name: str, there: bool) -> None:
    assert known(name) == there


@pytest.mark.parametrize("path", CODE, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_messages_name_parameters_that_exist(path: Path) -> None:
    assert [name for text in texts(path) for name in named(text) if not known(name)] == []


def test_messages_do_name_parameters() -> None:
    assert sum(len(list(named(text))) for path in CODE for text in texts(path)) > 60


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_documents_name_parameters_that_exist(path: Path) -> None:
    if path.name in HISTORY:
        return
    spans = re.findall(r"`[^`\n]+`", path.read_text(encoding="utf-8"))
    assert [name for span in spans for name in named(span) if not known(name)] == []
