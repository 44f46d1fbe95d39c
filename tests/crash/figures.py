"""Print the figures of the crash harness: ``python -m tests.crash.figures [--full] [--jobs 2]``.

It fails if a state is bad, or if fewer points and states were looked at than are promised.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
from collections.abc import Sequence
from typing import Final

from tests.crash.ops import BY_NAME, OPERATIONS
from tests.crash.plan import FULL, PARTS, SAMPLE, fast_folder
from tests.crash.verdict import Case, clean
from usr_nb.storage import parallel

#: What is promised of the sample: calls, states of kills and errors, states of power cuts.
POINTS: Final = 300
FAULTS: Final = 2_000
CUTS: Final = 5_000

Found = tuple[str, int, dict[str, tuple[int, float]], list[str]]


def run(job: tuple[str, bool]) -> Found:
    """Run all parts for one operation."""
    name, full = job
    parallel.thread_count = lambda: 1  # As in the tests.
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


def enough(results: Sequence[Found]) -> bool:
    """Say whether as many calls and states were looked at as are promised."""
    counts = {part: sum(r[2][part][0] for r in results) for part in PARTS}
    cuts = counts.pop("power cut")
    points = sum(r[1] for r in results)
    return points >= POINTS and sum(counts.values()) >= FAULTS and cuts >= CUTS


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true", help="all that `make nightly` looks at")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", action="append", choices=sorted(BY_NAME), metavar="OPERATION")
    options = parser.parse_args()
    names = options.only or [o.name for o in OPERATIONS]
    start = time.perf_counter()
    with multiprocessing.get_context("spawn").Pool(options.jobs) as pool:
        # The long ones are the last of the list: begun first, no process waits for another.
        results = pool.map(run, [(n, options.full) for n in reversed(names)], chunksize=1)
    bad = [what for *_, problems in results for what in problems]
    print(f"{len(results)} operations, {sum(r[1] for r in results):,} calls (points)")
    for part in PARTS:
        count = sum(r[2][part][0] for r in results)
        seconds = sum(r[2][part][1] for r in results)
        print(f"  {part}: {count:,} states, {seconds:.0f} s of one process")
    print(f"violations: {len(bad)}; {time.perf_counter() - start:.0f} s in all")
    print(*(f"  {what}" for what in bad[:50]), sep="\n")
    few = not options.only and not enough(results)
    if few:
        print(f"fewer than {POINTS} calls, {FAULTS:,} kills and errors, or {CUTS:,} power cuts")
    return 1 if bad or few else 0


if __name__ == "__main__":
    sys.exit(main())
