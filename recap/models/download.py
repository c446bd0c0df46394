"""Files of the hub at one commit, in the cache that all clones share: the one place that asks it.

Leaves out following a branch: what it points to may change behind DVC's back.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal


class DownloadError(Exception):
    """Why the files cannot be had, in one line; ``gated``: only accounts that accepted may."""

    def __init__(self, reason: str, *, gated: bool = False) -> None:
        super().__init__(reason)
        self.gated = gated


def download(
    name: str,
    revision: str,
    *,
    kind: Literal["model", "dataset"],
    files: Sequence[str],
    ignored: Sequence[str] = (),
) -> Path:
    """The folder with the files that match ``files``, downloaded unless they are in the cache."""
    os.environ["HF_HUB_OFFLINE"] = "0"  # stages say 1, and the library reads it when imported
    import httpx
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError

    try:
        folder = snapshot_download(
            name,
            repo_type=kind,
            revision=revision,
            allow_patterns=list(files),
            ignore_patterns=list(ignored),
        )
    except GatedRepoError:
        raise DownloadError("its terms have to be accepted first", gated=True) from None
    except (HfHubHTTPError, httpx.HTTPError, OSError) as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise DownloadError(reason[0]) from error
    return Path(folder)
