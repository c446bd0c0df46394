"""``params.yaml`` as plain values, read as DVC reads it: a number is a number, a key stands once.

PyYAML by itself takes ``3e-4`` for a text and the last of two equal keys for the only one; DVC,
whose reader is another, takes the first for a number and refuses the second in words of its own.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from recap.errors import ParameterError


class _Loader(yaml.SafeLoader):
    """Plain values, numbers in exponents too, no key twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        lines: dict[str, int] = {}
        for key, _ in node.value:
            line = key.start_mark.line + 1
            if key.value in lines:
                raise ParameterError(
                    f"Expected each key once, got '{key.value}' in line {lines[key.value]} and "
                    f"again in line {line}. Remove one of them."
                )
            lines[key.value] = line
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9]+[eE][-+]?[0-9]+"), list("-+0123456789")
)


def read_document(path: Path) -> Any:
    """The file's values; raises ParameterError when there is none or it cannot be read as YAML."""
    if not path.is_file():
        raise ParameterError(f"Expected the parameter file {path}, found none. Run inside a clone.")
    try:
        return yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except ParameterError as error:
        raise ParameterError(f"{path}: {error}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ParameterError(f"{path} is not valid YAML: {error}") from None
