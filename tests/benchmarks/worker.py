"""One tool in a process of its own: runs the operations it is asked for and says how long.

``python -m tests.benchmarks.worker TOOL ROWS INPUTS WORK`` reads lines ``{"op", "rep", "answer"}``
and answers each with ``{"seconds", "answer"}``. With ``--once OP`` it runs one operation and says
how long the whole process took to its end, and how much memory.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from pathlib import Path
from typing import Any

#: Only what Python itself is made of was imported before.
STARTED = time.perf_counter()


STREAMS = ("scan", "scan_two")


def make_tool(name: str, rows: int, inputs: Path, work: Path) -> Any:
    """Import one tool and no other."""
    from tests.benchmarks.data import Inputs

    scratch = work / name
    scratch.mkdir(parents=True, exist_ok=True)
    given = Inputs(inputs, rows)
    if name == "usr_nb":
        from tests.benchmarks.by_us import Us

        return Us(given, scratch)
    if name == "DuckDB":
        from tests.benchmarks.by_duckdb import DuckDB

        return DuckDB(given, scratch)
    from tests.benchmarks.by_polars import Polars

    return Polars(given, scratch)


def tables_of(tool: Any) -> list[Any]:
    """Return the parts to write, as tables in memory."""
    import pyarrow.parquet as pq

    from tests.benchmarks.data import PARTS

    return [pq.read_table(tool.inputs.p(n)) for n in range(PARTS)]


def prepare(tool: Any, op: str) -> tuple[Any, ...]:
    """Do what is not timed, and return the arguments of the call."""
    from tests.benchmarks.data import Files

    if hasattr(tool, "before"):
        tool.before(op)
    listed = json.loads((tool.out.parent / "files.json").read_text())
    files = Files(Path(listed["base"]), tuple(map(Path, listed["m"])),
                  tuple(map(Path, listed["p"])))  # fmt: skip
    extra = [tables_of(tool)] if op == "parts" else []
    gc.collect()
    return files, *extra


def peak_mib() -> float:
    """Return the most memory that this process ever held."""
    # Not ru_maxrss, which a child inherits from its parent.
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    return 0.0


def drain(given: Any) -> Any:
    """Visit every batch of a stream; anything else is returned as it is."""
    if hasattr(given, "__next__") or hasattr(given, "read_next_batch"):
        return sum(batch.num_rows for batch in given)
    return given


def whole(given: Any) -> Any:
    """Return a stream as one table."""
    import pyarrow as pa

    if hasattr(given, "__next__") or hasattr(given, "read_next_batch"):
        return pa.Table.from_batches(list(given))
    return given


def once(tool: Any, op: str) -> None:
    """Run one operation in a process that has done nothing before."""
    before = time.perf_counter()
    files, *extra = prepare(tool, op)
    untimed = time.perf_counter() - before
    drain(getattr(tool, op)(files, 0, *extra))
    seconds = time.perf_counter() - STARTED - untimed
    print(json.dumps({"seconds": seconds, "peak_mib": peak_mib()}))


def timed(tool: Any, op: str, rep: int, *, want_answer: bool) -> tuple[float, Any]:
    """Run one operation; returns (seconds, what it gave as plain values or None)."""
    files, *extra = prepare(tool, op)
    run = getattr(tool, op)
    started = time.perf_counter()
    given = drain(run(files, rep, *extra))
    seconds = time.perf_counter() - started
    if not want_answer:
        return seconds, None
    from tests.benchmarks.answers import answer

    return seconds, answer(op, whole(run(files, rep, *extra)) if op in STREAMS else given)


def serve(tool: Any) -> None:
    """Run the operations that are asked for, one line each."""
    for line in sys.stdin:
        asked = json.loads(line)
        seconds, told = timed(tool, asked["op"], asked["rep"], want_answer=asked["answer"])
        print(json.dumps({"seconds": seconds, "answer": told}), flush=True)


def main() -> None:
    """Read the command line."""
    name, rows, inputs, work, *rest = sys.argv[1:]
    tool = make_tool(name, int(rows), Path(inputs), Path(work))
    if rest:
        once(tool, rest[1])
    else:
        serve(tool)


if __name__ == "__main__":
    main()
