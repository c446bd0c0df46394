"""The digests of local models, data sets and kept attacks, in files that the stages depend on.

DVC sees a path in params.yaml and not what is there. So `recap run` and `recap plan` write the
digest of each local path to ``origins/<section>/<name>``, and a folder that was mended makes the
stages that read it stale. What its spelling pins has no file.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from recap.benchmarks.words import REPLAYED
from recap.models.digests import folder_digest, sha256_of, sha256_of_all
from recap.models.origins import fingerprint, whole_fault
from recap.models.spelling import clone_of, in_hub
from recap.params.whole import Params
from recap.rows import atomic_path
from recap.types.origins import RULES

FOLDER = Path("origins")


def record_fingerprints(root: Path, params: Params) -> None:
    """Bring the files below ``root`` up to what the paths hold.

    A path that is missing or cannot be read keeps its file: the stage that reads it says what is
    wrong.
    """
    warm = params.models.warm_start
    sections: dict[str, Mapping[str, str | Path | None]] = {
        "models": {
            **{str(name): origin for name, origin in params.models.origins.items()},
            **{f"warm_start.{name}": place for name, place in (warm.data if warm else {}).items()},
        },
        "sources": {str(name): origin for name, origin in params.sources.origins.items()},
        "prepare": dict(params.prepare.sources),
        "attack": _kept(root, params, params.attack.benchmarks),
        "dynamics": _kept(root, params, params.dynamics.benchmarks),
    }
    for section, named in sections.items():
        folder = root / FOLDER / section
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob("[!.]*"):
            if old.name not in named:
                old.unlink()
        for name, place in named.items():
            if isinstance(place, str):
                _record_model(folder / name, root, place)
            else:
                _record_path(folder / name, root, place)


def _record_model(file: Path, root: Path, origin: str) -> None:
    clone = clone_of(root)
    if origin == RULES:  # code, on which the stages that read it depend
        file.unlink(missing_ok=True)
    elif whole_fault(clone, origin) is None:
        _write(file, fingerprint(clone, origin))


def _kept(root: Path, params: Params, benchmarks: Sequence[str]) -> dict[str, Path]:
    """The file of kept attacks, if a benchmark replays it."""
    file = params.attack.replay
    if file is None or not set(benchmarks) & set(REPLAYED):
        return {}
    return {"replay": clone_of(root) / file}


def _record_path(file: Path, root: Path, place: Path | None) -> None:
    """A file's digest, or that of all files in a folder but hidden ones; links are followed."""
    found = root / place if place is not None else None
    with contextlib.suppress(PermissionError):
        if found is not None and found.is_file():
            _write(file, sha256_of(found, clone_of(root)))
        elif found is not None and found.is_dir():
            files = dict(_files(found))
            digests = sha256_of_all(files.values(), clone_of(root))
            _write(file, folder_digest({name: digests[path] for name, path in files.items()}))
        elif place is None or in_hub(place):
            file.unlink(missing_ok=True)


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    """The files below a folder by their relative names; a folder that is met twice counts once."""
    met: set[str] = set()
    for parent, folders, names in os.walk(folder, followlinks=True, onerror=_raise):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        if os.path.realpath(parent) in met:
            folders.clear()
            continue
        met.add(os.path.realpath(parent))
        for name in sorted(names):
            path = Path(parent, name)
            if not name.startswith(".") and path.is_file():
                yield path.relative_to(folder).as_posix(), path


def _raise(error: OSError) -> None:
    raise error


def _write(path: Path, text: str | None) -> None:
    if text is None:
        path.unlink(missing_ok=True)
    elif not path.is_file() or path.read_text(encoding="utf-8") != text:
        with atomic_path(path) as part:
            part.write_text(text, encoding="utf-8")
