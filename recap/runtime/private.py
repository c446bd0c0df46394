"""Folders that only their owner may enter: they hold harmful prompts, thoughts and answers.

Called by each stage that DVC runs. Leaves out what lies outside the project and what a link leads
to: those may be shared on purpose.
"""

from __future__ import annotations

import sys
from pathlib import Path

FOLDERS = ("data", "results", "reports", ".recap", ".dvc/cache")
OWNER_ALONE = 0o700


def keep_private(root: Path) -> None:
    """Make the folders in the project ``root`` where they are missing, and close them to others.

    Says which one cannot be closed, as when it belongs to somebody else.
    """
    for folder in (root / name for name in FOLDERS):
        if folder.is_symlink() or not folder.parent.is_dir():
            continue
        try:
            folder.mkdir(mode=OWNER_ALONE, exist_ok=True)
            if folder.stat().st_mode & 0o777 != OWNER_ALONE:
                folder.chmod(OWNER_ALONE)
        except PermissionError as error:
            print(
                f"{folder} holds harmful text and others may read it: {error.strerror}. Its owner "
                f"can close it with `chmod 700 {folder}`.",
                file=sys.stderr,
            )
