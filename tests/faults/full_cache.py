"""A stage whose output fits on the disk, but not a second time into DVC's cache.

Run by test_full_cache.py in a mount namespace; prints as JSON how the stage ended.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from flows.stage_run import StageFailed, run_stage
from tests.integration.flow_project import make_project

STAGES = """\
stages:
  big:
    cmd: head -c 9000000 /dev/zero > big.bin
    outs:
      - big.bin
"""


def main() -> None:
    """Run the stage on 16 MB."""
    mount = Path(tempfile.mkdtemp())
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", mount], check=True)
    os.chdir(make_project(mount / "project", STAGES))
    lines: list[str] = []
    try:
        run_stage("big", lines.append)
    except StageFailed as failed:
        print(json.dumps({"code": failed.code, "message": failed.message, "lines": lines}))


if __name__ == "__main__":
    sys.exit(main())
