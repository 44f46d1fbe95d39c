"""JSON lines: one object per line, typed by a first pass over the file."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa

from usr_nb.contract.progress import tracked
from usr_nb.errors import SchemaError
from usr_nb.readers.build import build_array
from usr_nb.readers.files import BOM, ByteStream
from usr_nb.readers.rows import MAX_COLUMNS, Rows, pick_columns, show
from usr_nb.readers.shapes import SPARSE, Shape, check_name

_LONGEST_LINE = 64 << 20
_BLOCK = 4 << 20
_CHUNK_TEXT = 16 << 20
_CHUNK_CELLS = 2_000_000


def open_jsonl(
    path: Path,
    *,
    label: str,
    columns: Sequence[str] | None = None,
    types: Mapping[str, pa.DataType] | None = None,
    batch_rows: int = 65536,
) -> Rows:
    r"""Open a JSON lines file; it is read once here for its columns and types.

    The columns are the union of the keys. Whole numbers become int64 (uint64 when they need
    it), float64 beside floats; NaN and Infinity are floats; blank lines are skipped; gzip and
    a byte order mark are fine. Nothing is written to disk.

    Parameters
    ----------
    path : Path
        The file.
    label : str
        Name for errors.
    columns : sequence of str, optional
        Columns to keep, in this order.
    types : mapping of str to pyarrow.DataType, optional
        Types wanted for columns. A list or struct column that holds only text stays string.
    batch_rows : int
        Largest number of rows in a batch.

    Returns
    -------
    Rows
        ``num_rows`` is known from the first pass.

    Raises
    ------
    SchemaError
        A line (named by its number) is no JSON object, repeats a key, is longer than 64 MiB
        or nested too deeply; the values of a column do not go together (two rows are named)
        or cannot be of the type wanted (row and value are named).

    Examples
    --------
    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder) / "a.jsonl"
    ...     _ = path.write_text('{"sequence": "ACGT", "n": 1}\n{"n": 2.5}\n')
    ...     [b.to_pydict() for b in open_jsonl(path, label="a.jsonl")]
    [{'sequence': ['ACGT', None], 'n': [1.0, 2.5]}]
    """
    wanted = None if columns is None else set(columns)
    shapes: dict[str, Shape] = {}
    num_rows = 0
    chunks = _chunks(path, label, 1, batch_rows, strict=True)
    for chunk in tracked(chunks, "looking at types", size=len):
        look_at(chunk, shapes, first_row=num_rows + 1, label=label, only=wanted)
        num_rows += len(chunk)
    names = pick_columns(list(shapes), columns, label=label)
    wishes = types or {}
    schema = pa.schema([(name, shapes[name].arrow_type(wishes.get(name))) for name in names])

    def batches() -> Iterator[pa.RecordBatch]:
        row = 1
        for chunk in _chunks(path, label, len(shapes), batch_rows, strict=False):
            yield build_batch(chunk, schema, label=label, row=row)
            row += len(chunk)

    return Rows(
        schema=schema,
        label=label,
        format="jsonl",
        is_text=False,
        num_rows=num_rows,
        batches=batches,
    )


def look_at(
    chunk: Sequence[Mapping[str, Any]],
    shapes: dict[str, Shape],
    *,
    first_row: int,
    label: str,
    only: set[str] | None = None,
) -> None:
    """Add the columns and values of `chunk` to `shapes`.

    Parameters
    ----------
    chunk : sequence of dict
        Rows.
    shapes : dict
        Column name to shape; changed in place.
    first_row : int
        1-based row of ``chunk[0]``.
    label : str
        Source, for errors.
    only : set of str, optional
        Columns whose values matter; others get an empty shape, only their name counts.

    Raises
    ------
    SchemaError
        See :meth:`usr_nb.readers.shapes.Shape.look`.

    Examples
    --------
    >>> shapes = {}
    >>> look_at([{"a": 1}, {"a": 2.5}], shapes, first_row=1, label="t")
    >>> shapes["a"].arrow_type()
    DataType(double)
    """
    if not shapes.keys() >= set(chain.from_iterable(chunk)):
        for at, row in enumerate(chunk):
            for name in row:
                if name not in shapes:
                    check_name(name, label=label, column=None, row=first_row + at)
                    shapes[name] = Shape(label, name)
    if len(shapes) > MAX_COLUMNS:
        raise SchemaError(
            f"{label}: more than {MAX_COLUMNS} different keys by row {first_row + len(chunk) - 1}",
            hint="Put long vectors into one list, and varying keys into one column.",
        )
    cells = len(shapes) * len(chunk)
    if cells > SPARSE and sum(map(len, chunk)) * 100 < cells:
        raise SchemaError(
            f"{label}: the rows around {first_row} share hardly any of {len(shapes)} keys",
            hint="Put varying keys into one column of lists or text.",
        )
    for name, shape in shapes.items():
        if only is None or name in only:
            shape.look([row.get(name) for row in chunk], lambda at: first_row + at)


def build_batch(
    chunk: Sequence[Mapping[str, Any]], schema: pa.Schema, *, label: str, row: int
) -> pa.RecordBatch:
    """Return the rows of `chunk` as a batch of `schema`; a missing key is null.

    Examples
    --------
    >>> build_batch([{"a": 1}, {}], pa.schema([("a", "int8")]), label="t", row=1).to_pydict()
    {'a': [1, None]}
    """
    arrays = [
        build_array(
            [line.get(field.name) for line in chunk],
            field.type,
            label=label,
            column=field.name,
            row=row,
        )
        for field in schema
    ]
    if not arrays:
        return pa.record_batch({"": pa.nulls(len(chunk))}).select([])
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


class _RepeatedKeyError(ValueError):
    """A JSON object holds a key twice."""


def _no_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise _RepeatedKeyError(f"the key {show(name)} appears twice")
            seen.add(name)
    return found


_STRICT = json.JSONDecoder(object_pairs_hook=_no_repeats)
_FAST = json.JSONDecoder()


def _chunks(
    path: Path, label: str, width: int, batch_rows: int, *, strict: bool
) -> Iterator[list[dict[str, Any]]]:
    """Yield lists of objects, bounded in rows, text and cells; `strict` looks for repeated keys."""
    limit = max(1, min(batch_rows, _CHUNK_CELLS // max(1, width)))
    decode = (_STRICT if strict else _FAST).raw_decode
    chunk: list[dict[str, Any]] = []
    size = 0
    for number, line in _lines(path, label):
        text = line.strip(" \t\r")
        if not text:
            continue
        try:
            value, end = decode(text)
        except (ValueError, RecursionError):
            value, end = None, -1
        if end != len(text) or type(value) is not dict:
            # The same again, slowly, for an error that says what is wrong.
            value = _parsed(line, f"{label}: line {number}")
        chunk.append(value)
        size += len(text)
        if len(chunk) >= limit or size >= _CHUNK_TEXT:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def _lines(path: Path, label: str) -> Iterator[tuple[int, str]]:
    """Yield the 1-based number and the text of each line."""
    number = 1
    with ByteStream(path, label=label) as stream:
        while data := stream.read(_BLOCK):
            data += stream.readline(_LONGEST_LINE + 1)
            if number == 1:
                data = data.removeprefix(BOM)
            lines = data.removesuffix(b"\n").split(b"\n")
            for at, line in enumerate(lines, start=number):
                if len(line) > _LONGEST_LINE:
                    raise SchemaError(
                        f"{label}: line {at} is longer than {_LONGEST_LINE >> 20} MiB",
                        hint="Put one object on each line, or import parquet.",
                    )
                try:
                    yield at, line.decode("utf-8")
                except UnicodeDecodeError:
                    raise SchemaError(
                        f"{label}: line {at} is not UTF-8 text: {show(line[:40])}",
                        hint="Save the file as UTF-8.",
                    ) from None
            number += len(lines)


def _parsed(line: str, place: str) -> dict[str, Any]:
    try:
        value = _STRICT.decode(line)
    except json.JSONDecodeError as error:
        raise SchemaError(
            f"{place}: {error.msg} at character {error.pos + 1}: {show(line[:60])}",
            hint="Each line has to hold one complete JSON object.",
        ) from None
    except _RepeatedKeyError as error:
        raise SchemaError(f"{place}: {error}", hint="Keep one of them.") from None
    except ValueError as error:
        raise SchemaError(
            f"{place}: {str(error)[:120]}", hint="Store numbers of that size as text."
        ) from None
    except RecursionError:
        raise SchemaError(f"{place} is nested too deeply", hint="Flatten the value.") from None
    if not isinstance(value, dict):
        raise SchemaError(
            f"{place} is no object: {show(line[:60])}",
            hint='Each line has to hold one JSON object, like {"sequence": "ACGT"}.',
        )
    return value
