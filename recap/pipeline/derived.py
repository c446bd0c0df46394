"""DVC's settings for a project beside the clone's own: its remotes and its cache."""

from __future__ import annotations

import configparser
from pathlib import Path


def derived_config(root: Path, *, no_scm: bool) -> str:
    """The DVC settings of the clone in ``root`` with absolute paths; ``no_scm``: DVC uses no git.

    A stage that has run in the one project is restored in the other, since the cache is one.
    """
    config = configparser.ConfigParser(interpolation=None)
    config.read([root / ".dvc" / "config", root / ".dvc" / "config.local"], encoding="utf-8")
    for section in ("core", "cache"):
        if not config.has_section(section):
            config.add_section(section)
    config["core"]["no_scm"] = str(no_scm).lower()
    if "dir" not in config["cache"]:
        config["cache"]["dir"] = "cache"
    config["cache"]["dir"] = str((root / ".dvc" / config["cache"]["dir"]).resolve())
    for name in config.sections():
        url = config[name].get("url", "")
        if name.startswith("'remote ") and url and "://" not in url:
            config[name]["url"] = str((root / ".dvc" / url).resolve())
    lines = []
    for name in config.sections():
        lines += [f"[{name}]", *(f"    {key} = {value}" for key, value in config[name].items())]
    return "\n".join(lines) + "\n"
