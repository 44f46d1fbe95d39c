"""Makes the datasets that the operations start from, and lists the files that peers read."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tests.benchmarks.by_us import Us, files_of
from tests.benchmarks.data import Inputs
from tests.benchmarks.worker import tables_of


def prepare(inputs: Inputs, work: Path) -> None:
    """Build the roots and write ``files.json``."""
    (work / "usr_nb").mkdir(parents=True, exist_ok=True)
    us = Us(inputs, work / "usr_nb")
    us.build(tables_of(us))
    files = files_of(us.roots / "full")
    listed = {"base": str(files.base), "m": [str(f) for f in files.m],
              "p": [str(f) for f in files.p]}  # fmt: skip
    (work / "files.json").write_text(json.dumps(listed))


if __name__ == "__main__":
    rows, folder, place = sys.argv[1:]
    prepare(Inputs(Path(folder), int(rows)), Path(place))
