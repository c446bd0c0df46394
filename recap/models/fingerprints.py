"""The digests of local origins, in files that the stages taking them depend on.

DVC sees a path in params.yaml and not what is there. So `recap run` and `recap plan` write the
digest of each local origin to ``origins/<section>/<name>``, and a folder that was mended makes its
stage stale. What its spelling pins has no file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from recap.models.origins import fingerprint, whole_fault
from recap.models.spelling import clone_of
from recap.params.whole import Params
from recap.rows import atomic_path
from recap.types.origins import RULES

FOLDER = Path("origins")


def record_fingerprints(root: Path, params: Params) -> None:
    """Bring the files below ``root`` up to the origins; one that cannot be read keeps its file."""
    clone = clone_of(root)
    sections: dict[str, dict[Any, str]] = {
        "models": dict(params.models.origins),
        "sources": dict(params.sources.origins),
    }
    for section, named in sections.items():
        folder = root / FOLDER / section
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob("[!.]*"):
            if old.name not in named:
                old.unlink()
        for name, origin in named.items():
            if origin == RULES:  # code, on which the stages that read it depend
                (folder / name).unlink(missing_ok=True)
            elif whole_fault(clone, origin) is None:
                _write(folder / name, fingerprint(clone, origin))


def _write(path: Path, text: str | None) -> None:
    if text is None:
        path.unlink(missing_ok=True)
    elif not path.is_file() or path.read_text(encoding="utf-8") != text:
        with atomic_path(path) as part:
            part.write_text(text, encoding="utf-8")
