"""`usr ls` on 50 datasets and `usr --help` against importing pyarrow.parquet, in the same run.

Processor time, the least of several runs: wall time says more about the machine's other work.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

from tests.cli.conftest import ROOT

RUNS = 5
USR = ["-m", "usr_nb.cli.main"]


def seconds(*argv: str) -> float:
    least = float("inf")
    for _ in range(RUNS):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(
            [sys.executable, *argv], cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
            check=True, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        least = min(least, sum(after[:2]) - sum(before[:2]))
    return least


def test_ls_and_help_start_fast(root: Path):
    for i in range(48):
        shutil.copytree(root / "lab" / "other", root / f"ns{i % 5}" / f"d{i}")
    unit = seconds("-c", "import pyarrow.parquet")
    assert seconds(*USR, "ls", "--root", str(root), "--format", "json") <= 1.3 * unit
    assert seconds(*USR, "--help") <= 0.8 * unit
