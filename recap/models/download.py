"""Files of the hub at one commit, in the cache that all clones share: the one place that asks it.

Leaves out following a branch: what it points to may change behind DVC's back.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

Kind = Literal["model", "dataset"]


class DownloadError(Exception):
    """Why the files cannot be had, in one line; ``gated``: only accounts that accepted may."""

    def __init__(self, reason: str, *, gated: bool = False) -> None:
        super().__init__(reason)
        self.gated = gated


def download(
    name: str,
    revision: str,
    *,
    kind: Kind,
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


def cached(
    name: str, revision: str, *, kind: Kind, files: Sequence[str], ignored: Sequence[str] = ()
) -> Path | None:
    """The folder with the files that are in the cache; ``None`` where none is."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        folder = snapshot_download(
            name,
            repo_type=kind,
            revision=revision,
            allow_patterns=list(files),
            ignore_patterns=list(ignored),
            local_files_only=True,
        )
    except LocalEntryNotFoundError:
        return None
    return Path(folder)


def size_of(
    name: str, revision: str, *, kind: Kind, files: Sequence[str], ignored: Sequence[str] = ()
) -> int | None:
    """The bytes that ``download`` would fetch, as the hub says (``None``: it does not).

    Raises DownloadError where they cannot be had.
    """
    os.environ["HF_HUB_OFFLINE"] = "0"
    import httpx
    from huggingface_hub import HfApi, get_hf_file_metadata, hf_hub_url
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError
    from huggingface_hub.utils import filter_repo_objects

    try:
        said = HfApi().repo_info(name, repo_type=kind, revision=revision, files_metadata=True)
        sizes = {each.rfilename: each.size for each in said.siblings or ()}
        patterns = {"allow_patterns": list(files), "ignore_patterns": list(ignored)}
        taken = list(filter_repo_objects(sizes, **patterns))
        if not taken:
            raise DownloadError(f"it has no {' or '.join(files)}")
        get_hf_file_metadata(hf_hub_url(name, taken[0], repo_type=kind, revision=revision))
    except GatedRepoError:
        raise DownloadError("its terms have to be accepted first", gated=True) from None
    except (HfHubHTTPError, httpx.HTTPError, OSError) as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise DownloadError(reason[0]) from error
    found = [size for name in taken if (size := sizes[name]) is not None]
    return sum(found) if len(found) == len(taken) else None
