"""Cells of a few rows, asked for again and again: what a panel that scrolls needs.

Where each row's value lies is worked out once per column, or read from a cache; then a page costs
the reading of the row groups that it touches, and those of the last pages are kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import pyarrow as pa

from usr_nb.contract.names import namespace_of
from usr_nb.overlay.column import RowReader
from usr_nb.overlay.lookup import Int
from usr_nb.overlay.merge import Merged

#: Bytes of decoded row groups that are kept for the next page.
KEPT_BYTES: Final = 48 << 20


class Cells:
    """Random access to one merged table.

    Memory: 4 to 8 bytes per base row for each overlay column that was asked for (shared by columns
    that the same parts hold), and at most :data:`KEPT_BYTES` of decoded row groups.

    Parameters
    ----------
    merged : Merged
        The table; its view stays open as long as this is used.
    """

    def __init__(self, merged: Merged) -> None:
        self.merged = merged
        self._known: set[str] = set()
        self._reader = RowReader(KEPT_BYTES)

    def take(self, rows: Int, columns: Sequence[str]) -> pa.Table:
        """Return the merged cells of base rows (0-based, in the order given), as `take` would.

        Raises
        ------
        SchemaError
            If a column does not exist.
        """
        names = self.merged.check_columns(columns)
        found = self.merged.rows_of(np.asarray(rows, np.int64), names, self._reader)
        self._known.update(names)
        return found

    @property
    def kept_bytes(self) -> int:
        """What is kept of decoded row groups, in bytes."""
        return self._reader.kept_bytes

    def is_ready(self, columns: Sequence[str]) -> bool:
        """Say whether the places of these columns are known, so that a page of them is quick."""
        base = set(self.merged.base_schema.names)
        return all(c in self._known or (c in base and not namespace_of(c)) for c in columns)
