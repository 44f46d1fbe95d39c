"""``python -m tests.fuzz.figures [--inputs N] [--only A,B] [--seed S]``: all, with counts."""

from __future__ import annotations

import argparse
import sys

from tests.fuzz.pool import Pool
from tests.fuzz.targets import TARGETS


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--inputs", type=int, default=1000)
    parser.add_argument("--only", default="")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0)
    args = parser.parse_args()
    pool = Pool(args.seed)
    bad = total = 0
    try:
        for name in args.only.split(",") if args.only else TARGETS:
            found = pool.run(name, args.inputs, args.first)
            bad, total = bad + len(found.faults), total + found.inputs
            print(found.text(), f"longest {found.longest:.2f} s", flush=True)
    finally:
        pool.close()
    print(f"{total:,} inputs, {bad:,} faults")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
