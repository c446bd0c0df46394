"""``params.yaml`` as plain values, by the parser that DVC itself uses; conflict markers are named.

One parser, so that what DVC compares, what a stage reads and what a sweep overlays are the same
value. PyYAML's differ: to it ``3e-4`` and ``1.5e6`` are texts, ``017`` is 15, ``no`` is false.
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
"""Lines that git leaves in a file it could not merge; none of them can stand in sound YAML."""
MADE = "dvc.lock"


def read_document(path: Path) -> Any:
    """The file's values.

    Raises ParameterError when there is none or it cannot be read as YAML, DataError when git left
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
    "Take one side whole (`git checkout --theirs {path}`, then `git add {path}`), or remove the "
    "file: `recap run` restores from the cache what is there and writes it anew."
)
_DECIDE = "Edit the file so that one side is left, then `git add {path}`."
