"""What an operation gave, in a form in which two tools can be compared cell by cell.

Tables become one number per column: the sum, over all rows, of a 64-bit hash of the cell together
with its row's id (or, where the order counts, its row number). Two tables have equal numbers if
and only if they hold the same cells, but for one chance in 2^64.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb

#: Results whose rows must come in base order.
ORDERED = frozenset({"import_rows", "append", "head", "get", "materialize"})
#: The instant of the import differs from tool to tool.
LEFT_OUT = frozenset({"created_at"})


def answer(op: str, given: Any) -> Any:
    """Return what an operation gave as plain values."""
    if isinstance(given, list) and given and isinstance(given[0], Path):
        return [answer(op, path) for path in given]
    if isinstance(given, dict):
        return {k: [_plain(v) for v in cells] for k, cells in sorted(given.items())
                if k not in LEFT_OUT}  # fmt: skip
    if isinstance(given, tuple | int):
        return list(given) if isinstance(given, tuple) else given
    con = duckdb.connect()
    if isinstance(given, Path) and given.suffix == ".csv":
        con.execute(
            f"CREATE VIEW t AS SELECT *, 0 AS row_no FROM read_csv('{given}', header = true, "
            "columns = {'id': 'VARCHAR', 'sequence': 'VARCHAR', 'm__x': 'DOUBLE'})"
        )
    elif isinstance(given, Path):
        con.execute(
            "CREATE VIEW t AS SELECT * EXCLUDE file_row_number, file_row_number AS row_no "
            f"FROM read_parquet('{given}', file_row_number = true)"
        )
    else:
        con.register("given", given)
        con.execute("SET threads = 1")
        con.execute("CREATE VIEW t AS SELECT *, row_number() OVER () - 1 AS row_no FROM given")
    names = [d[0] for d in con.execute("FROM t LIMIT 0").description or []]
    return _sums(con, sorted(set(names) - LEFT_OUT - {"row_no"}), by_row=op in ORDERED)


def _sums(con: duckdb.DuckDBPyConnection, names: Iterable[str], *, by_row: bool) -> dict[str, str]:
    names = list(names)
    # Sequences are unique as well.
    key = "row_no" if by_row else next(n for n in ("id", "sequence") if n in names)
    asked = [f'sum(hash({key}, "{n}")::HUGEINT)::VARCHAR' for n in names]
    found = con.execute(f"SELECT count(*)::VARCHAR, {', '.join(asked)} FROM t").fetchone() or ()
    return dict(zip(["rows", *names], found, strict=True))


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    return value


def differences(ours: Any, theirs: Any) -> list[str]:
    """Return where two answers differ; floats may differ in their last digits."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        out = [f"only one has {k}" for k in sorted(set(ours) ^ set(theirs))]
        for k in sorted(set(ours) & set(theirs)):
            out += [f"{k}: {d}" for d in differences(ours[k], theirs[k])]
        return out
    if isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        return [d for a, b in zip(ours, theirs, strict=True) for d in differences(a, b)]
    if isinstance(ours, float) and isinstance(theirs, float | int):
        return [] if abs(ours - theirs) <= 1e-9 * max(1.0, abs(ours)) else [f"{ours} {theirs}"]
    return [] if ours == theirs else [f"{ours} is not {theirs}"]
