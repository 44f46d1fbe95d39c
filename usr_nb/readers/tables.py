"""Tables in memory: Arrow streams, pandas and Polars frames, dicts and strings.

Neither pandas nor Polars is imported: a frame tells by its class what it is, and works only
where its package is loaded anyway.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Any

import pyarrow as pa

from usr_nb.errors import SchemaError, ValidationError
from usr_nb.readers.jsonl import build_batch, look_at
from usr_nb.readers.plain import plain_batch, plain_schema
from usr_nb.readers.rows import Rows, only_once, pick_columns, show
from usr_nb.readers.shapes import Shape, kind_of

LABEL = "<table>"
_TAKES = (
    "Give a path, a pandas or Polars frame, an Arrow table or stream, a list of dicts, or a "
    "list of strings."
)


def open_table(
    source: Any,
    *,
    columns: Sequence[str] | None = None,
    types: Mapping[str, pa.DataType] | None = None,
    batch_rows: int = 65536,
) -> Rows:
    """Open a table in memory.

    Parameters
    ----------
    source : object
        pyarrow Table, RecordBatch or RecordBatchReader, any object with
        ``__arrow_c_stream__``, Polars DataFrame or LazyFrame, list, tuple or iterator of dicts
        or of strings (which become the column ``sequence``). (pandas frames go to
        :func:`usr_nb.readers.frames.open_frame`.)
    columns : sequence of str, optional
        Columns to keep, in this order.
    types : mapping of str to pyarrow.DataType, optional
        Types wanted for columns of dicts.
    batch_rows : int
        Largest number of rows in a batch.

    Returns
    -------
    Rows
        Iterators and readers can be iterated once. The columns and types of an iterator of
        dicts are those of its first `batch_rows` rows; what does not fit later is an error.

    Raises
    ------
    ValidationError
        `source` is nothing that can be read.
    SchemaError
        Repeated or missing columns, values that do not go together (rows are named).

    Examples
    --------
    >>> [batch.to_pydict() for batch in open_table(["ACGT", "TTTT"])]
    [{'sequence': ['ACGT', 'TTTT']}]
    """
    if isinstance(source, pa.Table | pa.RecordBatch):
        table = pa.table(source)
        return _from_arrow(
            table.schema,
            lambda: iter(table.to_batches(max_chunksize=batch_rows)),
            num_rows=table.num_rows,
            columns=columns,
            batch_rows=batch_rows,
        )
    if _is_from("polars", source):
        return _from_polars(source, columns=columns, batch_rows=batch_rows)
    if hasattr(source, "__arrow_c_stream__"):
        reader = _stream(source)
        return _from_arrow(
            reader.schema,
            only_once(iter(reader), label=LABEL),
            num_rows=None,
            columns=columns,
            batch_rows=batch_rows,
        )
    if isinstance(source, list | tuple):
        return _from_rows(source, columns=columns, types=types or {}, batch_rows=batch_rows)
    unordered = isinstance(source, Mapping | set | frozenset | bytes | bytearray | memoryview)
    if unordered or not isinstance(source, Iterator) or hasattr(source, "read"):
        raise ValidationError(f"{type(source).__name__} cannot be read as a table", hint=_TAKES)
    return _from_iterator(source, columns=columns, types=types or {}, batch_rows=batch_rows)


def _is_from(package: str, source: object) -> bool:
    """Tell whether `source` is of a class of `package`, without importing it."""
    return any(cls.__module__.partition(".")[0] == package for cls in type(source).__mro__)


def is_pandas_frame(source: object) -> bool:
    """Tell whether `source` is a pandas DataFrame (or a subclass), without importing pandas.

    Examples
    --------
    >>> is_pandas_frame([])
    False
    """
    return _is_from("pandas", source) and hasattr(source, "iloc") and hasattr(source, "columns")


def _stream(source: Any) -> pa.RecordBatchReader:
    try:
        return pa.RecordBatchReader.from_stream(source)
    except (pa.ArrowException, TypeError, ValueError, RuntimeError) as error:
        raise SchemaError(
            f"{LABEL}: {type(source).__name__} is no table: {str(error)[:200]}",
            hint='A single column has to become a table first, e.g. `.to_frame("sequence")`.',
        ) from error


def _from_arrow(
    arrow_schema: pa.Schema,
    batches: Callable[[], Iterator[pa.RecordBatch]],
    *,
    num_rows: int | None,
    columns: Sequence[str] | None,
    batch_rows: int,
) -> Rows:
    names = pick_columns(arrow_schema.names, columns, label=LABEL)
    picked = pa.schema([arrow_schema.field(name) for name in names])
    schema = plain_schema(picked, label=LABEL)

    def plain() -> Iterator[pa.RecordBatch]:
        row = 1
        for batch in _guarded(batches()):
            kept = batch.select(names)
            for start in range(0, kept.num_rows, batch_rows):
                part = kept.slice(start, batch_rows)
                yield plain_batch(_checked(part, row), schema, label=LABEL, row=row)
                row += part.num_rows

    return Rows(
        schema=schema, label=LABEL, format="table", is_text=False, num_rows=num_rows, batches=plain
    )


def _guarded(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Pass batches on; what a foreign producer raises through Arrow becomes a typed error."""
    while True:
        try:
            batch = next(batches, None)
        except (pa.ArrowException, OSError) as error:
            raise SchemaError(
                f"{LABEL}: the stream broke off: {str(error)[:200]}",
                hint="Check the program that makes this stream.",
            ) from error
        if batch is None:
            return
        yield batch


def _checked(batch: pa.RecordBatch, row: int) -> pa.RecordBatch:
    # Producers are not bound to check their strings; everything after here relies on UTF-8.
    try:
        batch.validate(full=True)
    except (pa.ArrowException, MemoryError) as error:
        raise SchemaError(
            f"{LABEL}: rows {row} to {row + batch.num_rows - 1} are damaged: {str(error)[:200]}",
            hint="Check the program that made this data.",
        ) from error
    return batch


def _from_polars(source: Any, *, columns: Sequence[str] | None, batch_rows: int) -> Rows:
    if not hasattr(source, "collect_schema"):
        raise ValidationError(
            f"a Polars {type(source).__name__} cannot be read as a table",
            hint='Make it a frame, e.g. `series.to_frame("sequence")`.',
        )
    lazy = hasattr(source, "collect")
    names = pick_columns(list(_foreign(source.collect_schema)), columns, label=LABEL)
    frame = _foreign(lambda: source.select(names))
    empty = _foreign(lambda: frame.limit(0).collect() if lazy else frame.limit(0))

    def batches() -> Iterator[pa.RecordBatch]:
        if not lazy:
            yield from _stream(frame)
            return
        parts = iter(_foreign(lambda: frame.collect_batches(chunk_size=batch_rows)))
        while (part := _foreign(lambda: next(parts, None))) is not None:
            yield from _stream(part)

    return _from_arrow(
        _stream(empty).schema,
        batches,
        num_rows=None if lazy else source.height,
        columns=names,
        batch_rows=batch_rows,
    )


def _foreign(call: Callable[[], Any]) -> Any:
    """Run a step of Polars, whose exceptions cannot be named without importing it."""
    try:
        return call()
    except Exception as error:
        if not _is_from("polars", error):
            raise
        raise SchemaError(
            f"{LABEL}: Polars could not compute the rows: {str(error)[:200]}",
            hint="Run the query alone (`.collect()`) to see what is wrong.",
        ) from error


def _from_rows(
    source: Sequence[Any],
    *,
    columns: Sequence[str] | None,
    types: Mapping[str, pa.DataType],
    batch_rows: int,
) -> Rows:
    """Read a list: all of it is looked at for its types, then built batch by batch."""
    text = bool(source) and _is_text(source[0])
    shapes: dict[str, Shape] = {}
    only = None if columns is None else set(columns)
    for start in range(0, len(source), batch_rows):
        chunk = _as_dicts(source[start : start + batch_rows], text=text, row=start + 1)
        look_at(chunk, shapes, first_row=start + 1, label=LABEL, only=only)
    schema = _schema(shapes, columns, types)

    def batches() -> Iterator[pa.RecordBatch]:
        for start in range(0, len(source), batch_rows):
            chunk = _as_dicts(source[start : start + batch_rows], text=text, row=start + 1)
            yield build_batch(chunk, schema, label=LABEL, row=start + 1)

    return Rows(
        schema=schema,
        label=LABEL,
        format="table",
        is_text=False,
        num_rows=len(source),
        batches=batches,
    )


def _from_iterator(
    source: Iterator[Any],
    *,
    columns: Sequence[str] | None,
    types: Mapping[str, pa.DataType],
    batch_rows: int,
) -> Rows:
    """Read an iterator: the first batch decides on columns and types, for nothing is kept."""
    first = list(islice(source, batch_rows))
    text = bool(first) and _is_text(first[0])
    shapes: dict[str, Shape] = {}
    look_at(_as_dicts(first, text=text, row=1), shapes, first_row=1, label=LABEL)
    known = set(shapes)
    schema = _schema(shapes, columns, types)

    def batches() -> Iterator[pa.RecordBatch]:
        row = 1
        for part in chain([first], iter(lambda: list(islice(source, batch_rows)), [])):
            chunk = _as_dicts(part, text=text, row=row)
            if row > 1:
                _require(chunk, schema, known, row)
            if chunk:
                yield build_batch(chunk, schema, label=LABEL, row=row)
            row += len(chunk)

    return Rows(
        schema=schema,
        label=LABEL,
        format="table",
        is_text=False,
        num_rows=None,
        batches=only_once(batches(), label=LABEL),
    )


def _require(chunk: list[Mapping[str, Any]], schema: pa.Schema, known: set[str], row: int) -> None:
    """Raise for a later row of an iterator that the first batch's columns cannot take."""
    shapes: dict[str, Shape] = {}
    look_at(chunk, shapes, first_row=row, label=LABEL)
    for name, shape in shapes.items():
        if name not in known:
            at = next(i for i, line in enumerate(chunk) if name in line)
            raise SchemaError(
                f"{LABEL}: row {row + at} has a column {show(name)}, the first rows have not",
                hint="An iterator's columns are those of its first rows: give a list instead.",
            )
        if name in schema.names:
            shape.require(schema.field(name).type)


def _schema(
    shapes: Mapping[str, Shape],
    columns: Sequence[str] | None,
    types: Mapping[str, pa.DataType],
) -> pa.Schema:
    names = pick_columns(list(shapes), columns, label=LABEL)
    return pa.schema([(name, shapes[name].arrow_type(types.get(name))) for name in names])


def _is_text(value: object) -> bool:
    return value is None or isinstance(value, str)


def _as_dicts(part: Iterable[Any], *, text: bool, row: int) -> list[Mapping[str, Any]]:
    """Return rows as dicts; strings (and None among them) become the column ``sequence``."""
    rows: list[Mapping[str, Any]] = []
    for at, value in enumerate(part):
        good = _is_text(value) if text else isinstance(value, Mapping)
        if not good:
            expected = "text" if text else "a dict"
            raise SchemaError(
                f"{LABEL}: row {row + at} is {show(value)}, not {expected}"
                + ("" if kind_of(type(value)) != "string" else " like the first row"),
                hint=_TAKES,
            )
        rows.append({"sequence": value} if text else value)
    return rows
