"""A mount namespace of one's own, where a small file system may be mounted."""

from __future__ import annotations

import subprocess


def in_a_namespace() -> list[str] | None:
    """How to run something that may mount a small file system, without being root."""
    command = ["unshare", "--user", "--map-root-user", "--mount"]
    try:
        works = subprocess.run([*command, "mount", "-t", "tmpfs", "x", "/mnt"], capture_output=True)
    except FileNotFoundError:
        return None
    return command if works.returncode == 0 else None
