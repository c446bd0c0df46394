"""Pydantic's errors in a section -> one line for each mistake of the user.

For a misspelt key pydantic reports an unknown and a missing key. This module reports one mistake,
with the nearest valid name. It does not show the value of an unknown key, which may be a secret.
"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

Place = tuple[int | str, ...]


def faults(error: ValidationError, kind: type[BaseModel]) -> list[tuple[str, str]]:
    """Each mistake as (dotted key, message); ``kind`` is the type that was read."""
    found = error.errors(include_url=False)
    missing = [fault["loc"] for fault in found if fault["type"] == "missing"]
    said: list[tuple[str, str]] = []
    meant: set[Place] = set()
    for fault in found:
        if fault["type"] == "extra_forbidden":
            nearest = _nearest(fault["loc"], missing, kind)
            meant.add((*fault["loc"][:-1], nearest or ""))
    for fault in found:
        key = ".".join(map(str, fault["loc"]))
        if fault["type"] == "extra_forbidden":
            said.append((key, _unknown(_nearest(fault["loc"], missing, kind))))
        elif fault["type"] != "missing" or fault["loc"] not in meant:
            said.append((key, f"{fault['msg'].removeprefix('Value error, ')}{_came(fault)}"))
    return said


def _came(fault: ErrorDetails) -> str:
    """The given value, if the message does not contain it."""
    return "" if fault["type"] in ("missing", "value_error") else f", got {fault['input']!r}"


def _unknown(nearest: str | None) -> str:
    if nearest is None:
        return "there is no such parameter. Remove it"
    return f"there is no such parameter; the nearest name is '{nearest}'. Correct it"


def _nearest(place: Place, missing: Sequence[Place], kind: type[BaseModel]) -> str | None:
    """The name nearest to an unknown key; prefers the names that are missing beside it."""
    *above, name = place
    absent = [str(loc[-1]) for loc in missing if list(loc[:-1]) == above]
    for names in (absent, _names(kind, above)):
        found = get_close_matches(str(name), names, n=1)
        if found:
            return found[0]
    return None


def _names(kind: Any, place: Sequence[int | str]) -> list[str]:
    """The keys of the section at ``place``; empty if there is no section."""
    for part in place:
        kind = get_args(kind)[1] if get_origin(kind) is dict else _field(kind, str(part))
    section = _section(kind)
    return [] if section is None else list(_fields(section))


def _field(kind: Any, name: str) -> Any:
    section = _section(kind)
    return None if section is None else _fields(section).get(name)


def _fields(section: type[BaseModel]) -> dict[str, Any]:
    fields = section.model_fields.items()
    return {field.alias or name: field.annotation for name, field in fields}


def _section(kind: Any) -> type[BaseModel] | None:
    """The section in an annotation, which may be a union."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return kind
    return next((found for part in get_args(kind) if (found := _section(part))), None)
