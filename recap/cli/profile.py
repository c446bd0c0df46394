"""Profiles: complete sets of parameters that run in a project of their own: ``.recap/NAME``.

The project has the clone's code as it is, the profile as params.yaml, and outputs, lock file and
registry of its own; the clone's cache is shared. A profile may be laid over another one, which its
key ``extends`` names. ``NAME.quick.yaml`` is laid over it for a short run. Leaves out running:
`recap` does that in the project's folder.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from recap.errors import ParameterError, choices
from recap.models.spelling import in_hub
from recap.params.document import read_document
from recap.params.train import overlay
from recap.params.whole import read_params
from recap.pipeline.derived import derived_config
from recap.rows import atomic_path
from recap.runtime.locks import STATE, exclusive

PROFILES = Path("infra/profiles")
PARTIAL = ("debug",)
"""Files that are laid over params.yaml and are no profiles of their own."""
QUICK = ".quick"
EXTENDS = "extends"
"""The key with the name of the profile that this one is laid over."""
CODE = ("recap", "flows", PROFILES)
FILES = (
    "dvc.yaml",
    ".dvcignore",
    "experiments/records/worlds.json",
    "experiments/records/judges.jsonl",
)
"""What a project has of the clone, besides its code."""
DATA = ("prepare.sources.", "models.warm_start.data.", "judge.rubric.")
"""Keys of folders that begin in the clone."""
ORIGINS = ("models.origins.", "sources.origins.")
"""Keys of models; those that are files of the clone begin there too."""
VARIABLE = re.compile(r"\$(?P<name>[A-Z][A-Z0-9_]*)(?P<rest>/.*)?")
"""A value that begins with an environment variable: ``$RECAP_REAL_DATA/star1``."""


def profile_names(root: Path) -> list[str]:
    """The profiles of the clone, in order."""
    names = {path.stem for path in (root / PROFILES).glob("*.yaml")}
    return sorted(name for name in names if name not in PARTIAL and not name.endswith(QUICK))


def profile_values(root: Path, name: str, *, quick: bool = False) -> dict[str, Any]:
    """The parameters of a profile; ``quick``: of its short run.

    Raises ParameterError for an unknown name, or where there is no short run.
    """
    names = profile_names(root)
    if name not in names:
        raise ParameterError(
            f"Expected a profile among {choices(names)}, got '{name}'. `recap profile list` shows "
            f"them; they are the files in {PROFILES}."
        )
    values = _whole(root, name)
    if not quick:
        return values
    short = root / PROFILES / f"{name}{QUICK}.yaml"
    if not short.is_file():
        raise ParameterError(
            f"Expected a short run of the profile '{name}' in {short.relative_to(root)}, found no "
            "such file. Leave --quick out, or write it."
        )
    return overlay(values, read_document(short))


def _whole(root: Path, name: str) -> dict[str, Any]:
    """The profile laid over the one that it extends, which extends none."""
    values: dict[str, Any] = read_document(root / PROFILES / f"{name}.yaml")
    if EXTENDS not in values:
        return values
    other = values.pop(EXTENDS)
    names = [each for each in profile_names(root) if each != name]
    base = read_document(root / PROFILES / f"{other}.yaml") if other in names else {}
    if not base or EXTENDS in base:
        raise ParameterError(
            f"Expected {EXTENDS} in {PROFILES}/{name}.yaml to name a whole profile among "
            f"{choices(names)}, got '{other}'"
            f"{', which extends another one' if base else ''}. Correct it."
        )
    return overlay(base, values)


def resolved(values: dict[str, Any], root: Path) -> dict[str, Any]:
    """The parameters with environment variables replaced, and data folders found in the clone.

    Raises ParameterError with each key whose variable is not set.
    """
    unset = {key: value for key, value in _leaves(values) if _of_environment(value) is None}
    if unset:
        raise ParameterError(
            "The profile names data by an environment variable that is not set:\n"
            + "\n".join(sorted(f"  {key}: {value}" for key, value in unset.items()))
            + _HOW_TO_NAME
        )
    replaced: dict[str, Any] = _replaced(values, root.absolute(), "")
    return replaced


_HOW_TO_NAME = (
    "\nSet it to the folder that holds these data sets; docs/data.md (Where the data come from) "
    "lists each one's files, origin and licence. For instance: export RECAP_REAL_DATA=/path/to/data"
)


def profile_folder(root: Path, name: str, *, quick: bool = False) -> Path:
    """Where the project of a profile is."""
    return (root / STATE / (f"{name}-quick" if quick else name)).absolute()


def write_profile(root: Path, name: str, *, quick: bool = False, into: Path | None = None) -> Path:
    """Bring the project of a profile, or the folder ``into``, up to the clone's files; returns it.

    Outputs of earlier runs stay. Raises ParameterError for parameters that do not fit.
    """
    values = resolved(profile_values(root, name, quick=quick), root)
    folder = into or profile_folder(root, name, quick=quick)
    with exclusive(folder.with_name(f"{folder.name}.lock")):
        for code in CODE:
            _copy(root / code, folder / code)
        for file in FILES:
            _write(folder / file, (root / file).read_bytes())
        (folder / "origins").mkdir(exist_ok=True)
        _write(folder / ".dvc" / "config", derived_config(root, no_scm=True).encode())
        text = yaml.safe_dump(values, sort_keys=False, width=1000)
        _write(folder / "params.yaml", text.encode())
        read_params(folder / "params.yaml")
    return folder


def differences(first: dict[str, Any], second: dict[str, Any]) -> list[tuple[str, str, str]]:
    """The keys whose values differ, with both values; ``-`` where there is none."""
    ours, theirs = dict(_leaves(first)), dict(_leaves(second))
    return [
        (key, _shown(ours, key), _shown(theirs, key))
        for key in dict.fromkeys([*ours, *theirs])
        if _shown(ours, key) != _shown(theirs, key)
    ]


def _shown(leaves: dict[str, Any], key: str) -> str:
    return "-" if key not in leaves else str(leaves[key])


def _leaves(values: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(values, dict) and values:
        for key, value in values.items():
            yield from _leaves(value, f"{path}.{key}" if path else str(key))
    else:
        yield path, values


def _of_environment(value: Any) -> Any:
    """The value with its variable replaced; ``None`` where the variable is not set."""
    found = VARIABLE.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        return value if value is not None else ""
    folder = os.environ.get(found["name"])
    return str(Path(folder).absolute()) + (found["rest"] or "") if folder else None


def _replaced(values: Any, root: Path, path: str) -> Any:
    if isinstance(values, dict):
        return {key: _replaced(value, root, f"{path}{key}.") for key, value in values.items()}
    if not isinstance(values, str):
        return values
    value = _of_environment(values)
    if path.startswith(DATA) and not value.startswith(str(PROFILES)) and not in_hub(Path(value)):
        return str(root / value)
    if path.startswith(ORIGINS) and (root / value).exists():
        return str(root / value)
    return value


def _copy(source: Path, target: Path) -> None:
    """Copy the files of a folder, and delete those that are gone from it."""
    wanted = {
        path.relative_to(source)
        for path in source.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    for path in wanted:
        _write(target / path, (source / path).read_bytes())
    for path in list(target.rglob("*")):
        known = path.relative_to(target) in wanted or "__pycache__" in path.parts
        if path.is_file() and not known:
            path.unlink()


def _write(path: Path, content: bytes) -> None:
    """Write only if the content differs, because DVC reads a file again if its date changes."""
    if not path.is_file() or path.read_bytes() != content:
        with atomic_path(path) as part:
            part.write_bytes(content)


def use_profile(root: Path, name: str, *, force: bool = False) -> None:
    """Make a profile the clone's params.yaml, with environment variables replaced.

    A profile that extends another one is written whole, without their comments. Raises
    ParameterError where changes of params.yaml would be lost, or a variable is not set.
    """
    resolved(profile_values(root, name), root)
    place = root / "params.yaml"
    texts = [_text(root, each) for each in profile_names(root)]
    known = [each for text in texts for each in (text.encode(), _set_in(text))]
    if place.is_file() and not force and place.read_bytes() not in [*known, _committed(root)]:
        raise ParameterError(
            "Expected a params.yaml as committed or as in a profile, got one with changes of "
            "yours, which would be lost. Commit or copy them, or add --force."
        )
    with atomic_path(place) as part:
        part.write_bytes(_set_in(_text(root, name)))


def _text(root: Path, name: str) -> str:
    """A profile's file, or the parameters that it comes to where it extends another one."""
    text = (root / PROFILES / f"{name}.yaml").read_text(encoding="utf-8")
    if re.search(rf"^{EXTENDS}:", text, re.MULTILINE) is None:
        return text
    return yaml.safe_dump(_whole(root, name), sort_keys=False, width=1000)


def _set_in(text: str) -> bytes:
    """The text with the variables that are set replaced by their folders."""

    def folder(found: re.Match[str]) -> str:
        value = os.environ.get(found["name"])
        return f"{Path(value).absolute()}/" if value else found[0]

    return re.sub(r"\$(?P<name>[A-Z][A-Z0-9_]*)/", folder, text).encode()


def _committed(root: Path) -> bytes:
    """params.yaml as git has it; nothing without git."""
    import subprocess

    try:
        done = subprocess.run(
            ["git", "show", "HEAD:./params.yaml"], cwd=root, capture_output=True, check=False
        )
    except OSError:
        return b""
    return done.stdout
