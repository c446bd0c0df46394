"""``python -m recap.report.journey --out docs/a-rows-journey.md``, in the folder of a run."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from recap.errors import RecapError
from recap.params.whole import read_params
from recap.rows import atomic_path, read_rows
from recap.types.prompts import PromptRecord


def main(
    out: Annotated[Path, typer.Option(help="The Markdown page.")],
    models: Annotated[Path, typer.Option(help="Folder of the models.")] = Path("models"),
    data: Annotated[Path, typer.Option(help="Folder of prompts and completions.")] = Path("data"),
    results: Annotated[Path, typer.Option(help="Folder of rates.")] = Path("results"),
) -> None:
    """Write the journey of three rows through the run in this folder."""
    params = read_params()
    read_rows(data / "prompts" / "train.jsonl", PromptRecord)  # no run is told before the imports
    import torch

    from recap.report.journey.gather import Files, story
    from recap.report.journey.page import tell

    torch.set_num_threads(1)
    page = tell(story(params, Files(models, data, results)))
    with atomic_path(out) as part:
        part.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    try:
        typer.run(main)
    except RecapError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
