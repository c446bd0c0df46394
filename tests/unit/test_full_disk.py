"""Wherever a full disk shows, in the words of whatever library, it is one message and code 28."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from recap.errors import SpaceError
from recap.models.weights import save_model
from recap.runtime.stage import run_stage


class Saves:
    """A model or a tokenizer that writes a file, or fails in the words of safetensors."""

    def __init__(self, error: Exception | None = None) -> None:
        self._error = error

    def save_pretrained(self, folder: Path) -> None:
        (folder / "half").write_text("half")
        if self._error:
            raise self._error


def test_the_libraries_in_rust(tmp_path: Path) -> None:
    words = "Error while serializing: I/O error: No space left on device (os error 28)"
    model = tmp_path / "models" / "policy"
    save_model(Saves(), Saves(), model)  # type: ignore[arg-type]  # all that is called
    for error, seen in ((Exception(words), SpaceError), (ValueError("no tensor"), ValueError)):
        with pytest.raises(seen):
            save_model(Saves(), Saves(error), model)  # type: ignore[arg-type]
        assert [path.name for path in model.parent.iterdir()] == ["policy"]


@pytest.mark.parametrize(
    ("error", "code"), [(errno.ENOSPC, 28), (errno.EDQUOT, 28), (errno.EACCES, None)]
)
def test_any_stage(
    error: int, code: int | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def main() -> None:
        raise OSError(error, "said the system", "data/x.jsonl")

    monkeypatch.setattr("sys.argv", ["stage"])
    monkeypatch.setattr("recap.runtime.stage.die_with_parent", lambda: None)
    with pytest.raises((SystemExit, PermissionError)) as left:
        run_stage(main)
    assert getattr(left.value, "code", None) == code
    said = capsys.readouterr().err
    assert said.count("SpaceError: The disk is full: ") == (code == 28)
