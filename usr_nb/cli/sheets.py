"""From what the library returns (Arrow tables, dicts) to rows that can be shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import pyarrow as pa

from usr_nb.cli import render
from usr_nb.cli.render import Sheet
from usr_nb.dataset.values import plain

#: Essential columns that a narrow terminal can do without, the least telling first.
DROP_FIRST: Final = ("source", "created_at", "alphabet", "bio_type")
PICK: Final = "--columns shows them"


def of_arrow(table: pa.Table, *, asked: bool = False, tall: bool = False) -> Sheet:
    """Return an Arrow table as a sheet; `asked` columns are never left out."""
    columns = [c.to_pylist() for c in table.columns]
    rows = [list(row) for row in zip(*columns, strict=True)] if columns else []
    return Sheet(
        table.column_names, rows, tall=tall, drop_first=None if asked else DROP_FIRST, see=PICK
    )


def of_dicts(items: Sequence[Mapping[str, Any]], names: Sequence[str], *, tall: bool = False,
             asked: bool = False) -> Sheet:  # fmt: skip
    """Return named fields of dicts as a sheet."""
    rows = [[item.get(n) for n in names] for item in items]
    return Sheet(list(names), rows, tall=tall, drop_first=None if asked else ())


def records(sheet: Sheet) -> list[dict[str, Any]]:
    """Return the rows of a sheet as dicts of values that strict JSON knows."""
    return [dict(zip(sheet.columns, map(plain, row), strict=True)) for row in sheet.rows]


def show(sheet: Sheet, fmt: str) -> None:
    """Show a sheet in any format; as JSON it is a list of objects."""
    render.emit(fmt, records(sheet) if render.resolved(fmt) == "json" else None, sheet)
