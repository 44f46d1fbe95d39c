"""A merged table of which a filter keeps some rows: read like any other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from usr_nb.errors import ValidationError
from usr_nb.filter.engine import filtered_batches, visible
from usr_nb.filter.line import parse_filter
from usr_nb.filter.tree import Filter
from usr_nb.overlay.base import BATCH_ROWS
from usr_nb.overlay.merge import Merged

Where = Filter | str


def as_filter(where: Where | None) -> Filter | None:
    """Return a filter from a tree or a line; None stays None.

    Raises
    ------
    ValidationError
        If it is neither, or the line is malformed.

    Examples
    --------
    >>> as_filter("gc > 0.5").as_line()
    'gc > 0.5'
    """
    if where is None or isinstance(where, Filter):
        return where
    if not isinstance(where, str):
        raise ValidationError(
            f"where= is a filter or a line, not a {type(where).__name__}",
            hint='Such as F["evo2__llr"] > 3.5, or "evo2__llr > 3.5".',
        )
    return parse_filter(where)


class Kept(Merged):
    """The rows of a merged table that a filter keeps; everything else is as in that table.

    Parameters
    ----------
    merged : Merged
        The table; its caches are shared.
    where : Filter
        Which rows of it; the filter may name columns that `merged` leaves out.
    """

    def __init__(self, merged: Merged, where: Filter) -> None:
        self.__dict__.update(merged.__dict__)
        self.all = merged
        self.where = where

    def batches(
        self,
        columns: Sequence[str] | None = None,
        *,
        batch_rows: int = BATCH_ROWS,
        limit_base: int | None = None,
    ) -> Iterator[pa.RecordBatch]:
        """Yield the rows that the filter keeps, in base order; see :meth:`Merged.batches`."""
        if limit_base is not None:
            rows = self.rows()
            found = self.all.take(rows[rows < limit_base], columns)
            yield from found.to_batches(max_chunksize=batch_rows)
            return
        yield from filtered_batches(self.all, self.where, columns, batch_rows=batch_rows)

    def rows(self) -> npt.NDArray[np.int64]:
        """Return the base rows (0-based, ascending) that are kept and shown."""
        return np.flatnonzero(visible(self.all, self.where)).astype(np.int64)

    def first(self, n: int, columns: Sequence[str] | None = None) -> pa.Table:
        """Return the first `n` rows that are kept; only their cells are read."""
        return self.all.take(self.rows()[:n], columns)


def kept(merged: Merged, where: Where | None) -> Merged:
    """Return the rows of a merged table that a filter (or its line) keeps; all without one."""
    found = as_filter(where)
    return merged if found is None else Kept(merged, found)
