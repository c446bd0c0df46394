"""A misspelt parameter is one mistake, with the nearest name that there is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from recap.errors import ParameterError
from recap.params.whole import read_params

ROOT = Path(__file__).parents[2]


def _refused(tmp_path: Path, values: dict[str, Any]) -> str:
    """What is said against a parameter file with these values."""
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(values))
    with pytest.raises(ParameterError) as caught:
        read_params(tmp_path / "params.yaml")
    return str(caught.value)


@pytest.mark.parametrize(
    ("key", "typo", "line"),
    [
        ("alpha", "alhpa", "train.alhpa: there is no such parameter; the nearest name is 'alpha'."),
        ("tau", "tauu", "train.tauu: there is no such parameter; the nearest name is 'tau'."),
    ],
)
def test_a_misspelt_parameter_is_one_mistake(
    key: str, typo: str, line: str, tmp_path: Path
) -> None:
    values = yaml.safe_load((ROOT / "params.yaml").read_text())
    values["train"][typo] = values["train"].pop(key)
    assert _refused(tmp_path, values).splitlines()[1:] == [f"  {line} Correct it"]


@pytest.mark.parametrize(
    ("section", "typo", "nearest"),
    [("judge", "judgee", "judge"), ("validate", "valdate", "validate"), ("seed", "sede", "seed")],
)
def test_a_misspelt_section_is_one_mistake(
    section: str, typo: str, nearest: str, tmp_path: Path
) -> None:
    values = yaml.safe_load((ROOT / "params.yaml").read_text())
    values[typo] = values.pop(section)
    (line,) = _refused(tmp_path, values).splitlines()[1:]
    assert line == (
        f"  {typo}: there is no such parameter; the nearest name is '{nearest}'. Correct it"
    )


def test_what_stands_under_an_unknown_key_is_not_shown(tmp_path: Path) -> None:
    values = yaml.safe_load((ROOT / "params.yaml").read_text())
    values["judge"]["api"]["kye"] = "sk-planted"
    values["models"]["polcy"] = 1
    said = _refused(tmp_path, values)
    assert "sk-planted" not in said
    assert [line.split(":")[0] for line in said.splitlines()[1:]] == [
        "  models.polcy",
        "  judge.api.kye",
    ]


def test_two_mistakes_that_have_nothing_to_do_with_each_other_stay_two(tmp_path: Path) -> None:
    values = yaml.safe_load((ROOT / "params.yaml").read_text())
    del values["train"]["tau"]
    values["train"]["wind"] = 3
    assert _refused(tmp_path, values).splitlines()[1:] == [
        "  train.tau: Field required",
        "  train.wind: there is no such parameter. Remove it",
    ]
