"""Every cell of an input that its column cannot hold, not the first one alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

import pyarrow as pa

from usr_nb.contract.types import parse_type
from usr_nb.errors import SequencesError
from usr_nb.overlay.attach import Wish
from usr_nb.overlay.cast import cast_column

#: Of a column that is wrong throughout a few cells say it.
MAX_BAD_CELLS: Final = 8


@dataclass(frozen=True)
class BadCell:
    """A cell that the type of its column cannot hold.

    Attributes
    ----------
    column : str
        The column that it would become.
    row : int
        1-based row of the input.
    value : str
        The cell, shortened.
    why : str
        What it is not.
    """

    column: str
    row: int
    value: str
    why: str


def bad_cells(values: pa.ChunkedArray, wish: Wish, *, name: str, type_: str) -> Iterator[BadCell]:
    """Yield cells of a column that do not fit its type, at most a few, in row order.

    Parameters
    ----------
    values : pyarrow.ChunkedArray
        The column of the input.
    name, type_ : str
        What it becomes.
    """
    for row in islice(_rows(values, parse_type(type_), wish, 0), MAX_BAD_CELLS):
        shown = repr(values[row].as_py())
        shown = shown if len(shown) <= 60 else f"{shown[:57]}..."
        yield BadCell(name, row + 1, shown, f"not a {type_}")


def _rows(values: pa.ChunkedArray, kind: Any, wish: Wish, start: int) -> Iterator[int]:
    """Yield rows that do not cast: halves that do are passed over whole."""
    try:
        cast_column(values, kind, name="?", parse_json=wish.parse_json, where="?")
    except SequencesError:
        if len(values) == 1:
            yield start
            return
        half = len(values) // 2
        yield from _rows(values.slice(0, half), kind, wish, start)
        yield from _rows(values.slice(half), kind, wish, start + half)
