"""The project that a run would work in, in a temporary folder: links to what is there already.

DVC and the checks write locks, digests and parameters beside the links, so that the clone stays as
it is. Leaves out outputs: DVC reads them through the links.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from recap.cli.profile import FILES, profile_folder, write_profile
from recap.models.digests import MEMORY
from recap.models.fingerprints import FOLDER
from recap.pipeline.derived import derived_config

LOCK = "dvc.lock"
OWN = (".dvc", ".git", ".recap", ".venv", FOLDER.name, LOCK, *FILES)
"""Entries of a project that are not linked."""


@contextlib.contextmanager
def mirrored(root: Path, profile: str | None, *, quick: bool) -> Iterator[Path]:
    """The project of the clone in ``root``, or of a profile, as `recap run` would find it.

    Raises ParameterError as ``write_profile`` does.
    """
    root = root.absolute()
    with tempfile.TemporaryDirectory(prefix="recap-ahead-") as name:
        clone = Path(name).resolve()
        _link(root, clone)
        if (root / MEMORY).is_file():  # large files are not read again
            (clone / MEMORY).parent.mkdir(parents=True)
            shutil.copyfile(root / MEMORY, clone / MEMORY)
        if profile is None:
            for file in (*FILES, LOCK):
                _copy(root / file, clone / file)
            _copy(root / FOLDER, clone / FOLDER)
            _configure(root, clone)
            yield clone
            return
        ours = profile_folder(clone, profile, quick=quick)
        write_profile(root, profile, quick=quick, into=ours)
        _configure(root, ours)
        theirs = profile_folder(root, profile, quick=quick)
        _link(theirs, ours)
        for entry in (LOCK, FOLDER):
            _copy(theirs / entry, ours / entry)
        yield ours


def _link(folder: Path, mirror: Path) -> None:
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.name not in OWN and not (mirror / path.name).exists():
            (mirror / path.name).symlink_to(path)


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, dirs_exist_ok=True)
    elif source.is_file() and not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)


def _configure(root: Path, mirror: Path) -> None:
    """DVC's settings: the clone's cache, and what DVC remembers of files beside the mirror."""
    config = derived_config(root, no_scm=True)
    place = f"[core]\n    site_cache_dir = {mirror / '.dvc' / 'site'}"
    assert "[core]" in config
    file = mirror / ".dvc" / "config"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(config.replace("[core]", place, 1), encoding="utf-8")
