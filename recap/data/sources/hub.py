"""A data set of the hub at one commit -> the folder of its files, in the cache of downloads.

Only the files that a loader reads are fetched.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from recap.errors import DataError
from recap.models.download import DownloadError, download
from recap.models.spelling import HUB

UNGATED = {"walledai/XSTest": "natolambert/xstest-v2-copy"}
"""Gated copies, and where the same rows are open."""


def fetch(source: Path, loader: str, files: Sequence[str]) -> Path:
    """The data set's folder; raises DataError when it cannot be had."""
    found = HUB.fullmatch(str(source))
    assert found is not None, "checked by in_hub"
    name, revision = found["name"], found["revision"]
    page = f"https://huggingface.co/datasets/{name}"
    try:
        return download(name, revision, kind="dataset", files=files)
    except DownloadError as error:
        if error.gated:
            other = f" {UNGATED[name]} has the same rows and is open." if name in UNGATED else ""
            raise DataError(
                f"Expected access to {name} for the source {loader}, but it is gated. Accept its "
                f"terms on {page} and set HF_TOKEN to a token of that account.{other}"
            ) from None
        raise DataError(
            f"Expected to download {name} at {revision} for the source {loader}, got: {error}. "
            f"Check name and revision on {page} and the connection, or copy the files to a folder "
            f"and name that in prepare.sources.{loader}."
        ) from error
