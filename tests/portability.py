"""The tests that compare floats of models, once for each set of instructions of a processor.

    python -m tests.portability default avx2

Last bits differ between them as they do between processors, so a figure that hangs on last bits
falls here. ``default`` also takes the matrix products of MKL that are the same everywhere. Ends
with 1 if a set fails. Not collected by pytest.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
FILES = (
    "tests/unit/test_sampling_edge.py",
    "tests/unit/test_sampling_torch.py",
    "tests/unit/test_sampling_prefixes.py",
    "tests/unit/test_scoring_edge.py",
    "tests/unit/test_scoring_guardian.py",
    "tests/unit/test_rl_shared_prompt.py",
    "tests/unit/test_rl_collection.py",
    "tests/golden/test_render_guardian.py",
    "tests/golden/test_rl_objective.py",
    "tests/golden/test_rl_stock.py",
    "tests/golden/test_rl_steps.py",
    "tests/golden/test_rl_run.py",
    "tests/golden/test_sft.py",
    "tests/integration/test_evaluation_stages.py",
)
ENVIRONMENTS = {
    "default": {"ATEN_CPU_CAPABILITY": "default", "MKL_CBWR": "COMPATIBLE"},
    "avx2": {"ATEN_CPU_CAPABILITY": "avx2"},
    "avx512": {"ATEN_CPU_CAPABILITY": "avx512"},
}


def main(names: list[str]) -> int:
    """Run the files once for each name; 0 if all passed."""
    failed = []
    for name in names:
        print(f"instructions: {name}", flush=True)
        command = [sys.executable, "-m", "pytest", *FILES]
        if subprocess.run(command, cwd=ROOT, env=os.environ | ENVIRONMENTS[name]).returncode:
            failed.append(name)
    if failed:
        print(f"failed with: {', '.join(failed)}")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or ["default", "avx2"]))
