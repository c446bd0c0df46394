"""Files of the hub at one commit, in the cache that all clones share: the one place that asks it.

Leaves out following a branch: what it points to may change behind DVC's back.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

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
    with _told():
        from huggingface_hub import snapshot_download

        return Path(snapshot_download(**_selection(name, revision, kind, files, ignored)))


def _selection(
    name: str, revision: str, kind: Kind, files: Sequence[str], ignored: Sequence[str]
) -> dict[str, Any]:
    """The arguments of the hub's client for one selection of files."""
    return {
        "repo_id": name,
        "repo_type": kind,
        "revision": revision,
        "allow_patterns": list(files),
        "ignore_patterns": list(ignored),
    }


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """The hub may be asked within; raises DownloadError in place of its client's errors."""
    os.environ["HF_HUB_OFFLINE"] = "0"  # stages say 1, and the library reads it when imported
    import httpx
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError

    try:
        yield
    except GatedRepoError:
        raise DownloadError("its terms have to be accepted first", gated=True) from None
    except (HfHubHTTPError, httpx.HTTPError, OSError) as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise DownloadError(reason[0]) from error


def cached(
    name: str, revision: str, *, kind: Kind, files: Sequence[str], ignored: Sequence[str] = ()
) -> Path | None:
    """The folder with the files that are in the cache; ``None`` where none is."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    asked = _selection(name, revision, kind, files, ignored)
    try:
        return Path(snapshot_download(**asked, local_files_only=True))
    except LocalEntryNotFoundError:
        return None


def size_of(
    name: str, revision: str, *, kind: Kind, files: Sequence[str], ignored: Sequence[str] = ()
) -> int:
    """The bytes that ``download`` would fetch; raises DownloadError where they cannot be had."""
    with _told():
        from huggingface_hub import snapshot_download

        asked = _selection(name, revision, kind, files, ignored)
        found = snapshot_download(**asked, dry_run=True)
    if not found:
        raise DownloadError(f"it has no {' or '.join(files)}")
    return sum(file.file_size or 0 for file in found if file.will_download)
