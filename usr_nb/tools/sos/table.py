"""The library as a table: its columns, its CSV text, and the way back."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
from pyarrow import csv as pa_csv

from usr_nb.errors import PathNotFound, SchemaError

LIBRARY_SCHEMA: Final = pa.schema(
    [
        ("name", pa.string()),
        ("sequence", pa.string()),
        ("length", pa.int64()),
        ("minus35", pa.string()),
        ("minus35_start", pa.int64()),
        ("minus10", pa.string()),
        ("minus10_start", pa.int64()),
        ("spacer", pa.int64()),
        ("up", pa.string()),
        ("ext10", pa.bool_()),
        ("tf", pa.string()),
        ("lexa_box", pa.string()),
        ("lexa_start", pa.int64()),
        ("lexa_strand", pa.string()),
        ("cpxr_box", pa.string()),
        ("cpxr_start", pa.int64()),
        ("cpxr_strand", pa.string()),
        ("background", pa.string()),
        ("gc_class", pa.string()),
        ("batch", pa.string()),
        ("strand", pa.string()),
        ("planted", pa.string()),
    ]
)
"""Columns of the library.

Starts are 0-based offsets into ``sequence`` as stored, null where there is no such box.
``strand`` is ``rev`` where the promoter points the other way: what stands at the starts is
then the reverse complement of the named hexamer. Boxes have a strand of their own.
"""


def compute_ids(sequences: Iterable[str]) -> list[str]:
    """Compute the record ids of DNA sequences (contract REC-2).

    Parameters
    ----------
    sequences : iterable of str
        Trimmed DNA, case as stored.

    Returns
    -------
    list of str
        40 hexadecimal digits each.

    Examples
    --------
    >>> compute_ids(["ACGT"])[0][:8]
    'ee93db67'
    """
    return [
        hashlib.sha1(f"dna|{sequence}".encode(), usedforsecurity=False).hexdigest()
        for sequence in sequences
    ]


def library_csv(library: pa.Table) -> str:
    """Render a library as CSV text, the same on every machine.

    Parameters
    ----------
    library : pyarrow.Table
        Columns of ``LIBRARY_SCHEMA``.

    Returns
    -------
    str
        A header and one line per design, ended by a line feed; null is an empty cell.
        Nothing is written to disk.

    Examples
    --------
    >>> library_csv(LIBRARY_SCHEMA.empty_table())[:20]
    'name,sequence,length'
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(LIBRARY_SCHEMA.names)
    columns = [_texts(library.column(name).to_pylist()) for name in LIBRARY_SCHEMA.names]
    writer.writerows(zip(*columns, strict=True))
    return out.getvalue()


def _texts(cells: list[Any]) -> list[str]:
    return [
        "" if cell is None else str(cell).lower() if isinstance(cell, bool) else str(cell)
        for cell in cells
    ]


def read_library(path: str | Path) -> pa.Table:
    """Read a library back from the CSV of :func:`library_csv`, plain or gzipped (``.gz``).

    Parameters
    ----------
    path : str or pathlib.Path
        The file.

    Returns
    -------
    pyarrow.Table
        Columns and types of ``LIBRARY_SCHEMA``.

    Raises
    ------
    PathNotFound
        There is no such file.
    SchemaError
        It is not a library: a column is missing or a cell cannot be read as its type.

    Examples
    --------
    >>> read_library("nowhere.csv.gz")
    Traceback (most recent call last):
    ...
    usr_nb.errors.PathNotFound: No library file at nowhere.csv.gz
    Hint: Write it with `python demo_material/make_sos.py`.
    """
    source = Path(path)
    if not source.is_file():
        raise PathNotFound(
            f"No library file at {source}",
            hint="Write it with `python demo_material/make_sos.py`.",
        )
    options = pa_csv.ConvertOptions(
        column_types=LIBRARY_SCHEMA,
        include_columns=LIBRARY_SCHEMA.names,
        null_values=[""],
        strings_can_be_null=False,
    )
    try:
        table = pa_csv.read_csv(str(source), convert_options=options)
    except (pa.ArrowException, OSError) as error:
        raise _not_a_library(f"{source} cannot be read: {error}") from error
    return table.cast(LIBRARY_SCHEMA).combine_chunks()


def as_library(table: pa.Table) -> pa.Table:
    """Give a table the columns and types of a library; text cells are parsed.

    Parameters
    ----------
    table : pyarrow.Table
        Holds at least the columns of ``LIBRARY_SCHEMA``, typed or as text.

    Returns
    -------
    pyarrow.Table
        Exactly those columns, in that order.

    Raises
    ------
    SchemaError
        A column is missing or a cell cannot be read as its type.

    Examples
    --------
    >>> as_library(LIBRARY_SCHEMA.empty_table()).num_columns == len(LIBRARY_SCHEMA)
    True
    """
    missing = [name for name in LIBRARY_SCHEMA.names if name not in table.column_names]
    if missing:
        raise _not_a_library(f"The library has no column {', '.join(missing)}")
    columns: list[Any] = []
    for field in LIBRARY_SCHEMA:
        column = table.column(field.name)
        try:
            columns.append(_blank_to_null(column, field.type).cast(field.type))
        except pa.ArrowException as error:
            raise _not_a_library(
                f"Column {field.name} cannot be read as {field.type}: {error}"
            ) from error
    return pa.table(columns, schema=LIBRARY_SCHEMA)


def _blank_to_null(column: pa.ChunkedArray, target: pa.DataType) -> pa.ChunkedArray:
    """Numbers have no empty text, so in a column of text cells it stands for null."""
    if not pa.types.is_string(column.type) or pa.types.is_string(target):
        return column
    return pa.chunked_array([[cell or None for cell in column.to_pylist()]], type=pa.string())


def _not_a_library(message: str) -> SchemaError:
    return SchemaError(
        message, hint="Pass the table of design_library() or of read_library(), unchanged."
    )
