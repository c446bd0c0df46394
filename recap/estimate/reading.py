"""Values of a file as a section, or one message with each mistake."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from recap.errors import ParameterError
from recap.params.faults import faults
from recap.params.values import Checked, strictly


def checked(kind: type[Checked], values: Any, file: Path) -> Checked:
    """The values of ``file``; raises ParameterError with each wrong key."""
    try:
        return strictly(kind, values)
    except ValidationError as error:
        lines = [f"  {key}{': ' if key else ''}{said}" for key, said in faults(error, kind)]
        raise ParameterError(f"{file} has values that do not fit:\n" + "\n".join(lines)) from None
