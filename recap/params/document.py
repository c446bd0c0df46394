"""Reads ``params.yaml`` as plain values, with DVC's own parser, and reports conflict markers.

With one parser, DVC, the stages and sweeps get the same values. PyYAML reads other values:
``3e-4`` and ``1.5e6`` as text, ``017`` as 15, ``no`` as false.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import YAMLError

from recap.errors import DataError, ParameterError

CONFLICT = re.compile(r"^(<{7}|={7}|>{7}|\|{7})( .*)?$", re.MULTILINE)
"""Lines that git leaves in a file that it could not merge; valid YAML contains none of them."""
MADE = "dvc.lock"


def read_document(path: Path) -> Any:
    """The file's values.

    Raises ParameterError if the file is missing or is not valid YAML, and DataError if git left
    conflict markers in it.
    """
    if not path.is_file():
        raise ParameterError(f"Expected the parameter file {path}, found none. Run inside a clone.")
    refuse_conflicts(path.parent, [path.name])
    try:
        return YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    except DuplicateKeyError as error:
        key = str(error.problem).split('"')[1]
        raise ParameterError(
            f"{path}: Expected each key once, got '{key}' again in line "
            f"{error.problem_mark.line + 1}. Remove one of them."
        ) from None
    except (YAMLError, UnicodeDecodeError) as error:
        raise ParameterError(f"{path} is not valid YAML: {error}") from None


def refuse_conflicts(root: Path, names: Sequence[str] = ("params.yaml", "dvc.yaml", MADE)) -> None:
    """Raise DataError where git left conflict markers in one of the files that DVC reads."""
    for name in names:
        path = root / name
        text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
        if found := CONFLICT.search(text):
            line = text.count("\n", 0, found.start()) + 1
            raise DataError(
                f"Expected {path} without conflict markers, got '{found.group()}' in line {line}. "
                + (_TAKE_ONE if name == MADE else _DECIDE).format(path=path)
            )


_TAKE_ONE = (
    "Take one side (`git checkout --theirs {path}`, then `git add {path}`), or remove the "
    "file: `recap run` restores cached outputs and writes the file anew."
)
_DECIDE = "Edit the file so that one side is left, then `git add {path}`."
