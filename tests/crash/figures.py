"""Print the figures of the crash harness: ``python -m tests.crash.figures [--full] [--jobs 2]``."""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
from collections.abc import Callable
from typing import Any

from tests.crash.ops import BY_NAME, OPERATIONS
from tests.crash.plan import (
    FULL,
    SAMPLE,
    cut_power,
    errors_everywhere,
    fast_folder,
    kill_again,
    kill_everywhere,
)
from tests.crash.verdict import Case, clean

PARTS: dict[str, Callable[[Case, Any], int]] = {
    "killed at any call": lambda case, _: kill_everywhere(case),
    "killed again in recovery": kill_again,
    "EIO or ENOSPC": errors_everywhere,
    "power cut": cut_power,
}


def run(job: tuple[str, bool]) -> tuple[str, int, dict[str, tuple[int, float]], list[str]]:
    """Run all parts for one operation."""
    name, full = job
    folder = fast_folder()
    found: dict[str, tuple[int, float]] = {}
    try:
        case = Case(BY_NAME[name], folder)
        for part, check in PARTS.items():
            start = time.perf_counter()
            count = check(case, FULL if full else SAMPLE)
            found[part] = (count, time.perf_counter() - start)
        return name, len(case.attempts), found, sorted(case.problems)
    finally:
        clean(folder)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true", help="all that `make nightly` looks at")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", action="append", choices=sorted(BY_NAME), metavar="OPERATION")
    options = parser.parse_args()
    names = options.only or [o.name for o in OPERATIONS]
    start = time.perf_counter()
    with multiprocessing.get_context("spawn").Pool(options.jobs) as pool:
        results = pool.map(run, [(n, options.full) for n in names], chunksize=1)
    bad = [what for *_, problems in results for what in problems]
    print(f"{len(results)} operations, {sum(r[1] for r in results):,} calls (points)")
    for part in PARTS:
        count = sum(r[2][part][0] for r in results)
        seconds = sum(r[2][part][1] for r in results)
        print(f"  {part}: {count:,} states, {seconds:.0f} s of one process")
    print(f"violations: {len(bad)}; {time.perf_counter() - start:.0f} s in all")
    print(*(f"  {what}" for what in bad[:50]), sep="\n")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
