"""One digest of all dependencies of a cell, computable in a fresh clone without data.

A stage's fingerprint covers its command, its parameters, its code and the fingerprints of the
stages that it needs. Stages are functions of files and parameters, so equal fingerprints mean equal
results, up to the machine's arithmetic. DVC's digests need the data.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from recap.errors import PipelineError
from recap.pipeline.lock import digest
from recap.sweeps.design import Cell

LAST = "evaluate"
"""The stage that ends a cell."""
CELL_STAGES = ("train", "attack", "judge", LAST)
"""The stages of each cell, in order."""
DYNAMICS = "dynamics"
CODE = "recap"
EXPANSION = "matrix"
"""The list of cells does not change any cell."""

_IGNORED = re.compile(r"(^|/)(__pycache__|\..*)(/|$)|\.pyc$")


class Fingerprints:
    """Fingerprints of a project's stages; ``pipeline`` and ``params`` are its files' values."""

    def __init__(self, root: Path, pipeline: Mapping[str, Any], params: Mapping[str, Any]) -> None:
        """``root`` holds the code that ``pipeline`` declares."""
        self._root, self._params = root, params
        self._stages = dict(expanded(pipeline, params))
        self._owner = {
            out: address for address, stage in self._stages.items() for out in stage["outs"]
        }
        self._known: dict[str, str] = {}
        self._code: dict[str, str] = {}

    def cell(self, cell: Cell, *, dynamics: bool = False) -> str:
        """The fingerprint of a cell's results, including its dynamics if they are measured."""
        last = [LAST, DYNAMICS] if dynamics else [LAST]
        return digest([self.stage(f"{stage}@{cell.name}") for stage in last])

    def stage(self, address: str) -> str:
        """The fingerprint of one stage, e.g. ``train@recap-0``."""
        if address not in self._known:
            if address not in self._stages:
                raise PipelineError(f"Expected a stage {address} in dvc.yaml, found none.")
            self._known[address] = self._of(self._stages[address])
        return self._known[address]

    def _of(self, stage: Mapping[str, Any]) -> str:
        code, needed = dict[str, str](), dict[str, str]()
        for path in stage["deps"]:
            inside = [out for out in self._owner if overlap(out, path)]
            if inside:
                needed |= {out: self.stage(self._owner[out]) for out in inside}
            else:
                code[path] = self._content(path)
        params = {
            key: lookup(self._params, key)
            for key in stage["params"]
            if key.split(".")[0] != EXPANSION
        }
        return digest({"cmd": stage["cmd"], "params": params, "code": code, "needs": needed})

    def _content(self, path: str) -> str:
        if path not in self._code:
            self._code[path] = content_digest(self._root / path)
        return self._code[path]


def overlap(first: str, second: str) -> bool:
    """Whether two paths are equal, or one is inside the other."""
    return f"{first}/".startswith(f"{second}/") or f"{second}/".startswith(f"{first}/")


def content_digest(path: Path) -> str:
    """The digest of a file or of a folder's files, without caches and partly written files."""
    if path.is_file():
        return hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    if not path.is_dir():
        raise PipelineError(f"Expected {path}, which dvc.yaml declares, found none.")
    return digest({name: content_digest(path / name) for name in tracked_files(path)})


def tracked_files(folder: Path) -> list[str]:
    """Files below ``folder`` that count as its content, as relative paths in order."""
    files = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return sorted(name for name in files if not _IGNORED.search(name))


def expanded(
    pipeline: Mapping[str, Any], params: Mapping[str, Any]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every stage of dvc.yaml with its templates filled in, by address."""
    for name, spec in pipeline["stages"].items():
        axes = {
            axis: lookup(params, template[2:-1])
            for axis, template in spec.get("matrix", {}).items()
        }
        for item in _products(axes):
            yield "@".join([name, *(["-".join(item.values())] if item else [])]), filled(spec, item)


def filled(spec: Mapping[str, Any], item: Mapping[str, str]) -> dict[str, Any]:
    """A stage of dvc.yaml for one item of its matrix: its command, deps, params and outs."""
    stage: dict[str, Any] = {
        key: [_fill(entry, item) for entry in spec.get(key, ())]
        for key in ("deps", "params", "outs")
    }
    return stage | {"cmd": _fill(spec["cmd"], item)}


def _products(axes: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    if not axes:
        yield {}
        return
    (axis, values), *rest = axes.items()
    for value in values:
        for others in _products(dict(rest)):
            yield {axis: str(value), **others}


def _fill(text: str, item: Mapping[str, str]) -> str:
    return re.sub(r"\$\{item\.(\w+)\}", lambda found: item[found[1]], text)


def lookup(values: Any, key: str) -> Any:
    """A dotted key's value, or ``None`` if a part is missing, as in DVC."""
    for part in key.split("."):
        values = values.get(part) if isinstance(values, Mapping) else None
    return values
