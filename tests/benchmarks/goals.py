"""What is measured, and what counts as good enough.

A goal is a ratio to the best of the peers in the same run: times move up to twofold between runs
and machines, ratios hardly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

#: Below this many rows head and get count as met when they take less than `QUICK` seconds.
SMALL: Final = 100_000
QUICK: Final = 0.005
#: MiB at up to a million rows, and beyond.
MEMORY: Final = (800, 2048)


@dataclass(frozen=True)
class Op:
    """One operation.

    Attributes
    ----------
    name : str
        The method of each tool.
    title : str
        For people.
    ratio : float or None
        The goal: our time over that of the best peer.
    seconds : float or None
        The goal where there is no peer.
    tables : bool
        Whether it is given the tables of the parts.
    """

    name: str
    title: str
    ratio: float | None = None
    seconds: float | None = None
    tables: bool = False


OPS: Final[tuple[Op, ...]] = (
    Op("import_rows", "import", ratio=0.85),
    Op("append", "append 1 %", ratio=0.3),
    Op("attach", "attach m", ratio=1.2),
    Op("parts", "write 20 parts", ratio=0.45, tables=True),
    Op("head", "head(5)", ratio=0.05),
    Op("get", "get(id)", ratio=0.05),
    Op("scan", "scan, all columns", ratio=0.5),
    Op("scan_two", "scan, 2 columns", ratio=0.3),
    Op("grep", "grep", ratio=1.2),
    Op("grep_iupac", "grep, IUPAC, both strands", ratio=1.2),
    Op("describe", "describe", ratio=0.6),
    Op("validate", "validate --strict", ratio=1.3),
    Op("tombstone", "tombstone 1,000 ids", seconds=0.02),
    Op("export_csv", "export csv, 3 columns", ratio=0.75),
    Op("materialize", "materialize", ratio=0.35),
    Op("compact", "compact 20 parts", ratio=0.95),
)
#: Operations that only usr_nb has.
OURS_ALONE: Final = frozenset({"tombstone"})
LS: Final = Op("ls", "`usr ls`, a process", ratio=1.3)


def met(op: Op, row: dict[str, Any], rows: int) -> bool:
    """Say whether one measured row meets its goal."""
    if op.seconds is not None:
        return bool(row["usr_nb"] <= op.seconds)
    if op.name in ("head", "get") and rows <= SMALL and row["usr_nb"] < QUICK:
        return True
    # Where no peer came to its end, ours did.
    return op.ratio is None or "ratio" not in row or bool(row["ratio"] <= op.ratio)


def memory_goal(rows: int) -> int:
    """Return the most memory that any operation may take, in MiB."""
    return MEMORY[0] if rows <= 1_000_000 else MEMORY[1]
