"""A data set of the hub at one commit -> the folder of its files, in the cache of downloads.

Only the files that a loader reads are fetched. Leaves out following a branch: what it points to may
change behind DVC's back.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from recap.errors import DataError
from recap.models.spelling import HUB

UNGATED = {"walledai/XSTest": "natolambert/xstest-v2-copy"}
"""Gated copies, and where the same rows are open."""


def fetch(source: Path, loader: str, files: Sequence[str]) -> Path:
    """The data set's folder; raises DataError when it cannot be had."""
    found = HUB.fullmatch(str(source))
    assert found is not None, "checked by in_hub"
    name, revision = found["name"], found["revision"]
    os.environ["HF_HUB_OFFLINE"] = (
        "0"  # beside recap/models/hub.py the one place that looks at the network
    )
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, LocalEntryNotFoundError

    page = f"https://huggingface.co/datasets/{name}"
    try:
        folder = snapshot_download(
            name, repo_type="dataset", revision=revision, allow_patterns=list(files)
        )
    except GatedRepoError:
        other = f" {UNGATED[name]} has the same rows and is open." if name in UNGATED else ""
        raise DataError(
            f"Expected access to {name} for the source {loader}, but it is gated. Accept its terms "
            f"on {page} and set HF_TOKEN to a token of that account.{other}"
        ) from None
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise DataError(
            f"Expected to download {name} at {revision} for the source {loader}, got: {reason} "
            f"Check name and revision on {page} and the connection, or copy the files to a folder "
            f"and name that in prepare.sources.{loader}."
        ) from error
    return Path(folder)
