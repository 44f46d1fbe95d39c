"""One page of rows, as a person reads it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa

from usr_nb.analysis.explore import Mask, column_of, numeric_columns


def page_count(mask: Mask, *, page_size: int) -> int:
    """Return the number of pages of matching rows, at least 1.

    Examples
    --------
    >>> page_count(np.array([True] * 11), page_size=10)
    2
    """
    return max(1, -(-int(mask.sum()) // page_size))


def page_rows(table: pa.Table, mask: Mask, *, page: int, page_size: int) -> pa.Table:
    """Return one page of the matching rows; page 1 is the first.

    Examples
    --------
    >>> table = pa.table({"n": [1, 2, 3]})
    >>> page_rows(table, np.array([True, False, True]), page=2, page_size=1)["n"].to_pylist()
    [3]
    """
    rows = np.flatnonzero(mask)[(page - 1) * page_size : page * page_size]
    return table.take(pa.array(rows))


_LAST: Final = ("bio_type", "alphabet", "source", "created_at")


def display_order(columns: Iterable[str]) -> list[str]:
    """Put first what tells records apart: id, sequence, length, then the derived columns.

    Examples
    --------
    >>> display_order(["id", "bio_type", "sequence", "length", "created_at", "mock__score"])
    ['id', 'sequence', 'length', 'mock__score', 'bio_type', 'created_at']
    """
    return sorted(columns, key=lambda name: _LAST.index(name) + 1 if name in _LAST else 0)


def for_display(table: pa.Table, columns: Sequence[str] | None = None) -> dict[str, list[Any]]:
    """Return the cells as a person reads them: numbers as they are, the rest as short text.

    Null is ``–`` in text and None among numbers, empty text ``""``, a vector ``vec[16]``, a
    list its items, a time ``2026-01-31 12:00:00``, an id its first eight letters.

    Examples
    --------
    >>> for_display(pa.table({"names": [["a", "b"], None], "note": ["", "x"]}))
    {'names': ['a, b', '–'], 'note': ['""', 'x']}
    """
    shown: dict[str, list[Any]] = {}
    for name in columns if columns is not None else table.column_names:
        column = column_of(table, name)
        cells = column.to_pylist()
        if name in numeric_columns(table.schema):
            shown[name] = cells
        elif name == "id":
            shown[name] = [_text(cell)[:8] for cell in cells]
        else:
            shown[name] = [_text(cell, column.type) for cell in cells]
    return shown


def _text(cell: Any, dtype: pa.DataType | None = None) -> str:
    if cell is None:
        return "–"
    if isinstance(cell, dict):
        return " ".join(f"{key}={_text(value)}" for key, value in cell.items())
    if isinstance(cell, list):
        if dtype is not None and _is_list(dtype) and pa.types.is_floating(dtype.value_type):
            return f"vec[{len(cell)}]"
        return ", ".join(_text(item) for item in cell) if cell else "[]"
    if dtype is not None and pa.types.is_timestamp(dtype):
        return str(cell)[:19]
    return str(cell) or '""'


def _is_list(dtype: pa.DataType) -> bool:
    return bool(pa.types.is_list(dtype) or pa.types.is_fixed_size_list(dtype))
