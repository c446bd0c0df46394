"""Takes a model that is not made here: small files are copied, weights stay where they are.

The folder appears complete or not at all. Leaves out following a branch of the hub: what it points
to may change behind DVC's back.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from recap.errors import ModelError
from recap.models.digests import sha256_of
from recap.models.download import DownloadError, download
from recap.models.gguf_header import read_header
from recap.models.licences import card_licence, package_licence
from recap.models.origins import fingerprint, folder_fault, origin_fault, taken
from recap.models.places import convert
from recap.models.spelling import (
    CARD,
    FILES,
    INDEX,
    SECOND_COPIES,
    Folder,
    Gguf,
    Hub,
    clone_of,
    read_origin,
)
from recap.params.models import Reasoning
from recap.render import Renderer
from recap.rows import atomic_directory, write_json
from recap.types.origins import PROVENANCE, RULES, RULES_FILE, OriginFile, Provenance


def obtain(origin: str, out: Path, reasoning: Reasoning | None) -> None:
    """Put the model of ``origin`` at ``out``, with a record of where its weights lie.

    ``reasoning``: the tags between which it has to think, ``None`` where it need not. Raises
    ModelError when the origin cannot be had or is not such a model, RenderError when its template
    cannot be rendered; ``out`` is then as before.
    """
    clone = clone_of(Path.cwd())
    _refuse(origin_fault(clone, origin, reasoning))
    found = read_origin(clone, origin)
    folder = _whole_folder(found, clone)
    _refuse(folder_fault(folder, origin, reasoning))  # a hub model, and what a file was made into
    with atomic_directory(out) as part:
        for path in taken(folder):
            if path.suffix != ".safetensors" and path.name != INDEX:
                shutil.copyfile(path, part / path.name)
        write_json(part / PROVENANCE, _record(origin, found, folder, clone))
        if reasoning is not None:
            Renderer.from_dir(part, reasoning).prompt("what is this ?")


def stand_in(out: Path) -> None:
    """Put a directory at ``out`` that says: the rules are the guardian."""
    with atomic_directory(out) as part:
        write_json(part / RULES_FILE, {"guardian": RULES})


def _refuse(fault: str | None) -> None:
    if fault:
        raise ModelError(f"{fault[0].upper()}{fault[1:]}. Mend the model, or name another origin.")


def _whole_folder(found: Hub | Gguf | Folder, clone: Path) -> Path:
    """Where the model lies, downloaded or converted if need be."""
    if isinstance(found, Gguf):
        return convert(found, sha256_of(found.path, clone), clone)
    return found.path if isinstance(found, Folder) else _download(found)


def _record(origin: str, found: Hub | Gguf | Folder, folder: Path, clone: Path) -> Provenance:
    if isinstance(found, Gguf):
        sha256 = sha256_of(found.path, clone)
        file = OriginFile(name=found.path.name, size=found.path.stat().st_size, sha256=sha256)
        licence = read_header(found.path).licence or package_licence(found.package)
        return Provenance(origin=origin, revision=sha256, licence=licence, files=(file,))
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
    licence = card_licence(folder)
    return Provenance(origin=origin, revision=revision, licence=licence, files=files)


def _download(hub: Hub) -> Path:
    """The model in the cache of downloaded models, which all clones share."""
    try:
        return download(
            hub.name, hub.revision, kind="model", files=(*FILES, CARD), ignored=SECOND_COPIES
        )
    except DownloadError as error:
        advice = "Check name, revision and connection"
        if error.gated:
            advice = f"Accept them on https://huggingface.co/{hub.name} and set HF_TOKEN"
        raise ModelError(
            f"Expected to download {hub.name} at {hub.revision} from the hub, got: {error}. "
            f"{advice}, or copy the model to a folder and name that."
        ) from error
