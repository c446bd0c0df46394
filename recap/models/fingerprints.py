"""The digests of local models, data sets and kept attacks, in files that the stages depend on.

DVC sees a path in params.yaml and not what is there. So `recap run` and `recap plan` write the
digest of each local path to ``origins/<section>/<name>``, and a folder that was mended makes the
stages that read it stale. What its spelling pins has no file.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

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
    warm, replay = params.models.warm_start, params.attack.replay
    sections: dict[str, Mapping[str, str | Path | None]] = {
        "models": {
            **{str(name): origin for name, origin in params.models.origins.items()},
            **{f"warm_start.{name}": place for name, place in (warm.data if warm else {}).items()},
        },
        "sources": {str(name): origin for name, origin in params.sources.origins.items()},
        "prepare": dict(params.prepare.sources),
        "attack": {"replay": clone_of(root) / replay} if replay else {},
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


def _files(folder: Path, above: tuple[str, ...] = ()) -> Iterator[tuple[str, Path]]:
    """The files below a folder by their relative names, in order; no folder inside itself."""
    real = os.path.realpath(folder)
    if real in above:
        return
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_dir():
            for name, file in _files(path, (*above, real)):
                yield f"{path.name}/{name}", file
        elif path.is_file():
            yield path.name, path


def _write(path: Path, text: str | None) -> None:
    if text is None:
        path.unlink(missing_ok=True)
    elif not path.is_file() or path.read_text(encoding="utf-8") != text:
        with atomic_path(path) as part:
            part.write_text(text, encoding="utf-8")
