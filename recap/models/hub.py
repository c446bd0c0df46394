"""Takes a model that is not made here: small files are copied, weights stay where they are.

The folder appears complete or not at all. Leaves out following a branch of the hub: what it points
to may change behind DVC's back.
"""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
from pathlib import Path

from recap.errors import ModelError
from recap.models.digests import sha256_of
from recap.models.gguf_header import read_header
from recap.models.origins import INDEX, fingerprint, folder_fault, origin_fault, taken
from recap.models.places import convert, snapshot
from recap.models.spelling import CARD, Folder, Gguf, Hub, clone_of, read_origin
from recap.render import Renderer
from recap.rows import atomic_directory, write_json
from recap.types.origins import PROVENANCE, OriginFile, Provenance


def obtain(origin: str, out: Path, *, reasons: bool) -> None:
    """Put the model of ``origin`` at ``out``, with a record of where its weights lie.

    ``reasons``: its template has to open a think block. Raises ModelError when the origin cannot be
    had or is incomplete, RenderError when it is no reasoning model; ``out`` is then as before.
    """
    clone = clone_of(Path.cwd())
    if fault := origin_fault(clone, origin, reasons=False):
        raise ModelError(f"{fault[0].upper()}{fault[1:]}. Correct the origin in params.yaml.")
    folder, record = _take(origin, clone)
    with atomic_directory(out) as part:
        for path in taken(folder):
            if path.suffix != ".safetensors" and path.name != INDEX:
                shutil.copyfile(path, part / path.name)
        write_json(part / PROVENANCE, record)
        if reasons:
            Renderer.from_dir(part).prompt("what is this ?")


def _take(origin: str, clone: Path) -> tuple[Path, Provenance]:
    """The whole folder of a model, and the record of its origin."""
    found = read_origin(clone, origin)
    if isinstance(found, Gguf):
        sha256 = sha256_of(found.path, clone)
        file = OriginFile(name=found.path.name, size=found.path.stat().st_size, sha256=sha256)
        licence = read_header(found.path).licence or _package_licence(found.package)
        record = Provenance(origin=origin, revision=sha256, licence=licence, files=(file,))
        return convert(found, sha256, clone), record
    folder = found.path if isinstance(found, Folder) else _download(found)
    if fault := folder_fault(folder, origin):  # of a folder it is known already
        raise ModelError(
            f"{fault[0].upper()}{fault[1:]}. Name another model, or convert its weights."
        )
    files = tuple(
        OriginFile(
            name=path.name,
            size=path.stat().st_size,
            sha256=sha256_of(path, clone) if isinstance(found, Folder) else None,
        )
        for path in taken(folder)
        if path.suffix == ".safetensors"
    )
    revision = found.revision if isinstance(found, Hub) else fingerprint(clone, origin)
    assert revision is not None, "a folder has a fingerprint"
    licence = _card_licence(folder / CARD)
    return folder, Provenance(origin=origin, revision=revision, licence=licence, files=files)


def _download(hub: Hub) -> Path:
    """The model in the cache of downloaded models, which all clones share."""
    os.environ["HF_HUB_OFFLINE"] = "0"  # the one place that may look at the network
    from huggingface_hub.errors import HfHubHTTPError

    try:
        return snapshot(hub)
    except (HfHubHTTPError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ModelError(
            f"Expected to download {hub.name} at {hub.revision} from the hub, got: {reason} Check "
            "name, revision and connection, or copy the model to a folder and name that."
        ) from error


def _card_licence(card: Path) -> str | None:
    """The licence in the head of a model card."""
    if not card.is_file():
        return None
    head = re.match(r"---\n(.*?)\n---", card.read_text(encoding="utf-8"), re.DOTALL)
    said = re.search(r"^license: *[\"']?([^\s\"']+)", head[1], re.MULTILINE) if head else None
    return said[1] if said else None


def _package_licence(package: str | None) -> str | None:
    if package is None:
        return None
    metadata = importlib.metadata.metadata(package)
    fields = (field for field in ("License-Expression", "License") if field in metadata)
    return next((metadata[field] for field in fields), None)
