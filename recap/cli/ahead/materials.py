"""The models and data sets that a run takes: licence, revision, and whether they can be had.

What the hub has is asked of the hub. Leaves out what the run makes itself.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from recap.cli.ahead.known import DATA, MODELS, how
from recap.data.sources.registry import LOADERS
from recap.errors import choices
from recap.models.download import DownloadError, Kind, cached
from recap.models.download import size_of as hub_size
from recap.models.gguf_header import read_header
from recap.models.licences import card_licence, package_licence
from recap.models.origins import folder_fault, taken
from recap.models.records import NO_LICENCE
from recap.models.spelling import (
    CARD,
    FILES,
    HUB,
    SECOND_COPIES,
    Gguf,
    Hub,
    OriginError,
    in_hub,
    read_origin,
)
from recap.params.whole import Params
from recap.types.origins import RULES

DIGITS = 12
"""Of a revision, as shown."""


@dataclass(frozen=True, slots=True)
class Material:
    """One model or data set. ``fetched``: bytes that are still to be downloaded.

    ``fault``: what is missing and how to get it; empty if nothing is. ``gated``: its terms have to
    be accepted.
    """

    key: str
    origin: str
    licence: str
    revision: str
    state: str
    fetched: int = 0
    fault: str = ""


def models(root: Path, params: Params, faults: Mapping[str, str]) -> list[Material]:
    """Every origin of models and sources; ``faults`` of preflight, by key."""
    named = {f"models.origins.{name}": each for name, each in params.models.origins.items()}
    named |= {f"sources.origins.{name}": each for name, each in params.sources.origins.items()}
    if params.judge.rubric is not None and "judge.rubric" in faults:
        named["judge.rubric"] = str(params.judge.rubric)
    return [_model(root, key, origin, faults.get(key, "")) for key, origin in named.items()]


def _model(root: Path, key: str, origin: str, fault: str) -> Material:
    if origin == RULES:
        return Material(key, origin, "the project's own", "the code's", "here")
    hub = HUB.fullmatch(origin)
    name = (hub["name"] if hub else origin).rpartition("/")[2].casefold()
    known = MODELS.get(name)
    licence = known.licence if known and known.licence else NO_LICENCE
    try:
        found = read_origin(root, origin)
    except OriginError as error:
        state = "gated" if known and known.gated else "missing"
        said = str(error)  # for a package it says how to install it
        if not origin.startswith("package:"):
            said = f"expected {origin}, found none; {how(known, origin)}"
        return Material(key, origin, licence, "-", state, fault=said)
    if isinstance(found, Hub):
        return _hub_model(key, origin, found, licence)
    if isinstance(found, Gguf):
        header = "" if fault else read_header(found.path).licence
        licence = header or package_licence(found.package) or licence
        revision = found.sha256[:DIGITS] if found.sha256 else "the file's"
        return _here(key, origin, licence, revision, found.path.stat().st_size, fault)
    size = sum(path.stat().st_size for path in taken(found.path))
    licence = card_licence(found.path) or licence
    return _here(key, origin, licence, _fetched_at(found.path), size, fault)


def _here(key: str, origin: str, licence: str, revision: str, size: int, fault: str) -> Material:
    state = "does not fit" if fault else "here"
    return Material(key, origin, licence, revision, f"{state}, {in_bytes(size)}", fault=fault)


def _fetched_at(folder: Path) -> str:
    """The commit that the hub's client fetched the folder at, where it says so."""
    record = folder / ".cache/huggingface/download/config.json.metadata"
    lines = record.read_text(encoding="utf-8").splitlines() if record.is_file() else []
    return lines[0][:DIGITS] if lines else "its files'"


def _hub_model(key: str, origin: str, hub: Hub, licence: str) -> Material:
    files = (*FILES, CARD)
    folder = cached(hub.name, hub.revision, kind="model", files=files, ignored=SECOND_COPIES)
    revision = hub.revision[:DIGITS]
    if folder is not None and folder_fault(folder, origin) is None:
        size = sum(path.stat().st_size for path in taken(folder))
        return _here(key, origin, card_licence(folder) or licence, revision, size, "")
    return _asked(
        Material(key, hub.name, licence, revision, ""), "model", hub, files, SECOND_COPIES
    )


def data(root: Path, params: Params, faults: Mapping[str, str]) -> list[Material]:
    """Every data set of ``prepare.sources``, and of a warm start."""
    warm = params.models.warm_start
    named = [(f"prepare.sources.{name}", name, at) for name, at in params.prepare.sources.items()]
    named += [
        (f"models.warm_start.data.{name}", name, at)
        for name, at in (warm.data if warm else {}).items()
    ]
    return [_data(root, *each, faults) for each in named]


def _data(
    root: Path, key: str, loader: str, place: Path | None, faults: Mapping[str, str]
) -> Material:
    files, known = LOADERS[loader].files, DATA.get(loader)
    licence = LOADERS[loader].licence or NO_LICENCE
    if place is None:
        return Material(key, "the microworld", licence, "the seed", "made here")
    if in_hub(place):
        return _hub_data(key, loader, str(place), licence)
    folder = root / place
    got = [path for pattern in files for path in folder.glob(pattern) if path.is_file()]
    if folder.is_dir() and got:
        size = sum(path.stat().st_size for path in set(got))
        return _here(key, str(place), licence, _fetched_at(folder), size, faults.get(key, ""))
    state = "gated" if known and known.gated else "missing"
    where = os.path.relpath(folder) if folder.is_relative_to(Path.cwd()) else str(place)
    said = f"expected {choices(files)} in {where}, found none; {how(known, where, data=True)}"
    return Material(key, where, licence, "-", state, fault=said)


def _hub_data(key: str, loader: str, place: str, licence: str) -> Material:
    spelled = HUB.fullmatch(place)
    assert spelled is not None, "checked by in_hub"
    hub, files = Hub(spelled["name"], spelled["revision"]), LOADERS[loader].files
    folder = cached(hub.name, hub.revision, kind="dataset", files=files)
    got = [path for each in files for path in folder.glob(each)] if folder else []
    if got:
        size = sum(path.stat().st_size for path in got)
        return _here(key, hub.name, licence, hub.revision[:DIGITS], size, "")
    row = Material(key, hub.name, licence, hub.revision[:DIGITS], "")
    return _asked(row, "dataset", hub, files)


def _asked(
    row: Material, kind: Kind, hub: Hub, files: tuple[str, ...], ignored: tuple[str, ...] = ()
) -> Material:
    """The row with what the hub says of files that are not here."""
    page = f"https://huggingface.co/{'datasets/' if kind == 'dataset' else ''}{hub.name}"
    try:
        size = hub_size(hub.name, hub.revision, kind=kind, files=files, ignored=ignored)
    except DownloadError as error:
        advice = f"accept them on {page} and set HF_TOKEN"
        if not error.gated:
            advice = f"check {page} and the connection, or copy it to a folder and name that"
        fault = f"expected {hub.name} on the hub, got: {error}; {advice}"
        return _with(row, "gated" if error.gated else "not to be had", fault=fault)
    return _with(row, f"to download, {in_bytes(size)}", fetched=size)


def _with(row: Material, state: str, *, fetched: int = 0, fault: str = "") -> Material:
    return Material(row.key, row.origin, row.licence, row.revision, state, fetched, fault)


def in_bytes(size: float) -> str:
    """``16.1 GB``."""
    for unit, name in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if size >= unit:
            return f"{size / unit:.1f} {name}"
    return f"{size:.0f} B"
