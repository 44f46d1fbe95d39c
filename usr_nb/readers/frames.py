"""pandas frames: NaN, None, NaT and NA are missing cells; whole numbers stay whole."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from usr_nb.errors import SchemaError
from usr_nb.readers.build import build_array
from usr_nb.readers.plain import plain_array, plain_type
from usr_nb.readers.rows import Rows, pick_columns, show
from usr_nb.readers.shapes import EXACT_FLOAT, Shape, kind_of
from usr_nb.readers.tables import LABEL

_REFUSED = (pa.ArrowException, TypeError, ValueError, OverflowError, NotImplementedError)


def open_frame(
    frame: Any,
    *,
    columns: Sequence[str] | None = None,
    types: Mapping[str, pa.DataType] | None = None,
    batch_rows: int = 65536,
) -> Rows:
    """Open a pandas DataFrame; its index is not read.

    Parameters
    ----------
    frame : pandas.DataFrame
        The rows.
    columns : sequence of str, optional
        Columns to keep, in this order.
    types : mapping of str to pyarrow.DataType, optional
        Types wanted for object columns.
    batch_rows : int
        Largest number of rows in a batch.

    Returns
    -------
    Rows
        Missing cells are null, also NaN in float columns.

    Raises
    ------
    SchemaError
        Repeated or missing columns, a column of several levels, values that do not go
        together or that Arrow has no type for.

    Examples
    --------
    >>> import pandas as pd
    >>> rows = open_frame(pd.DataFrame({"n": pd.Series([1, None, 2], dtype=object)}))
    >>> [batch.to_pydict() for batch in rows]
    [{'n': [1, None, 2]}]
    """
    names = [_name(name) for name in frame.columns]
    wanted = pick_columns(names, columns, label=LABEL)
    series = {name: frame.iloc[:, names.index(name)] for name in wanted}
    readers = [_Column(name, series[name], (types or {}).get(name), batch_rows) for name in wanted]
    schema = pa.schema([(reader.name, reader.dtype) for reader in readers])
    height = len(frame)

    def batches() -> Iterator[pa.RecordBatch]:
        for start in range(0, height, batch_rows):
            arrays = [reader.read(start, batch_rows) for reader in readers]
            if arrays:
                yield pa.RecordBatch.from_arrays(arrays, schema=schema)
            else:
                rows = min(batch_rows, height - start)
                yield pa.record_batch({"": pa.nulls(rows)}).select([])

    return Rows(
        schema=schema,
        label=LABEL,
        format="table",
        is_text=False,
        num_rows=height,
        batches=batches,
    )


def _name(name: object) -> str:
    if isinstance(name, tuple):
        raise SchemaError(
            f"{LABEL}: the column {show(name)} has several levels",
            hint="Join the levels into one name: `frame.columns = ['_'.join(c) for c in ...]`.",
        )
    return str(name)


class _Column:
    """One column of a frame and the Arrow type it gets."""

    def __init__(self, name: str, series: Any, wish: pa.DataType | None, batch_rows: int) -> None:
        self.name = name
        self._series = series
        self._is_object = series.dtype == object
        self._ints = False
        self.dtype = self._look(wish, batch_rows) if self._is_object else self._declared()

    def _declared(self) -> pa.DataType:
        empty = self._arrow(self._series.iloc[:0], 1)
        try:
            return plain_type(empty.type)
        except ValueError as error:
            raise self._error(error) from error

    def _look(self, wish: pa.DataType | None, batch_rows: int) -> pa.DataType:
        """Find the type of an object column, chunk by chunk, so that nothing is copied."""
        shape = Shape(LABEL, self.name)
        whole = True
        for start in range(0, len(self._series), batch_rows):
            values = self._values(start, batch_rows)
            shape.look(values, partial(int.__add__, start + 1))
            whole = whole and all(
                v.is_integer() and abs(v) <= EXACT_FLOAT for v in values if isinstance(v, float)
            )
        self._ints = wish is None and whole and set(shape.kinds) - {"null"} == {"int", "float"}
        return pa.int64() if self._ints else shape.arrow_type(wish)

    def _values(self, start: int, rows: int) -> list[Any]:
        cells = self._series.iloc[start : start + rows].tolist()
        return [None if kind_of(type(v)) == "float" and v != v else v for v in cells]  # noqa: PLR0124

    def read(self, start: int, rows: int) -> pa.Array:
        """Return rows `start` to ``start + rows`` as an array of :attr:`dtype`."""
        if self._is_object:
            return build_array(
                self._values(start, rows), self.dtype, label=LABEL, column=self.name, row=start + 1
            )
        array = self._arrow(self._series.iloc[start : start + rows], start + 1)
        try:
            array = plain_array(array, self.dtype)
        except _REFUSED as error:
            raise self._error(error, row=start + 1) from error
        if pa.types.is_floating(self.dtype):
            missing = pc.is_nan(array)
            array = pc.if_else(missing, pa.scalar(None, self.dtype), array)
        return array

    def _arrow(self, part: Any, row: int) -> pa.Array:
        try:
            array = pa.array(part, from_pandas=True)
        except _REFUSED as error:
            raise self._error(error, row=row) from error
        if isinstance(array, pa.ChunkedArray):
            return pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], array.type)
        return array

    def _error(self, error: Exception, *, row: int | None = None) -> SchemaError:
        place = f", from row {row}" if row else ""
        return SchemaError(
            f"{LABEL}: column {show(self.name)}{place} ({self._series.dtype}): {str(error)[:200]}",
            hint="Convert the column to text, numbers, timestamps or lists first.",
        )
