"""A merged table of which some rows are read in another order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa

from usr_nb.errors import ValidationError
from usr_nb.filter.engine import visible
from usr_nb.filter.kept import Where, as_filter, kept
from usr_nb.filter.order import By, Int, sort_keys, sorted_rows
from usr_nb.overlay.base import BATCH_ROWS
from usr_nb.overlay.merge import Merged


class Chosen(Merged):
    """Some rows of a merged table in some order; everything else is as in that table.

    Parameters
    ----------
    merged : Merged
        The table; its caches are shared.
    rows : numpy.ndarray of int64
        Base rows (0-based), each at most once.
    """

    def __init__(self, merged: Merged, rows: Int) -> None:
        self.__dict__.update(merged.__dict__)
        self.all = merged
        self.rows = rows

    def batches(
        self,
        columns: Sequence[str] | None = None,
        *,
        batch_rows: int = BATCH_ROWS,
        limit_base: int | None = None,
    ) -> Iterator[pa.RecordBatch]:
        """Yield the rows in their order; see :meth:`Merged.batches`."""
        rows = self.rows if limit_base is None else self.rows[self.rows < limit_base]
        for low in range(0, len(rows), batch_rows):
            yield from self.all.take(rows[low : low + batch_rows], columns).to_batches()


def chosen_rows(
    merged: Merged,
    where: Where | None,
    *,
    order_by: By | Sequence[By] = (),
    top: int | None = None,
    rows: Int | None = None,
) -> Merged:
    """Return the rows that a filter keeps, sorted, the first `top` of them.

    With `rows` (of the base, 0-based) only these, in their order where nothing sorts them.

    Raises
    ------
    ValidationError, SchemaError
        If `top` is negative, or filter or order do not fit the columns there are.
    """
    if top is not None and (isinstance(top, bool) or top < 0):
        raise ValidationError("top must not be negative")
    keys = sort_keys(order_by)
    if not keys and top is None and rows is None:
        return kept(merged, where)
    shown = visible(merged, as_filter(where))
    if rows is None:
        rows = np.flatnonzero(shown).astype(np.int64)
    else:
        rows = rows[shown[rows]]
        rows = np.sort(rows) if keys else rows
    return Chosen(merged, (sorted_rows(merged, rows, keys) if keys else rows)[:top])
