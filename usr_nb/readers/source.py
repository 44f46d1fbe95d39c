"""One function opens any source; the format comes from its name or from the caller."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from usr_nb.errors import ValidationError, did_you_mean, join_hints
from usr_nb.readers.delimited import open_delimited
from usr_nb.readers.excel import open_excel
from usr_nb.readers.fasta import open_fasta
from usr_nb.readers.files import check_file
from usr_nb.readers.frames import open_frame
from usr_nb.readers.jsonl import open_jsonl
from usr_nb.readers.parquet import open_parquet
from usr_nb.readers.rows import FORMATS, Format, Rows, show
from usr_nb.readers.tables import is_pandas_frame, open_table

_SUFFIXES: dict[str, Format] = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".xlsx": "xlsx",
    ".fa": "fasta",
    ".fasta": "fasta",
    ".fna": "fasta",
    ".faa": "fasta",
}
_BINARY = ("parquet", "xlsx")


def guess_format(path: str | os.PathLike[str]) -> Format:
    """Return the format that the file's suffix names; text formats may end in ``.gz`` too.

    Raises
    ------
    ValidationError
        The suffix is unknown; the error lists the formats.

    Examples
    --------
    >>> guess_format("runs/a.FASTA.gz")
    'fasta'
    """
    path = Path(path)
    packed = path.suffix.lower() == ".gz"
    suffix = (Path(path.stem).suffix if packed else path.suffix).lower()
    fmt = _SUFFIXES.get(suffix)
    if fmt is None or (packed and fmt in _BINARY):
        raise ValidationError(
            f"{path}: the format of {show(suffix + '.gz' * packed)} files is not known",
            hint=f"Formats are {', '.join(f for f in FORMATS if f != 'table')}, by the end of the "
            "name; `usr import` can be told with --from.",
        )
    return fmt


def open_rows(
    source: Any,
    *,
    fmt: str | None = None,
    columns: Sequence[str] | None = None,
    types: Mapping[str, pa.DataType] | None = None,
    batch_rows: int = 65536,
) -> Rows:
    """Open a file or a table in memory as one stream of Arrow record batches.

    Parameters
    ----------
    source : object
        Path of a file; pandas or Polars frame; Arrow table, batch or reader; any object with
        ``__arrow_c_stream__``; list, tuple or iterator of dicts or of strings (which become
        the column ``sequence``).
    fmt : str, optional
        One of :data:`FORMATS`; guessed from the suffix when not given. Only ``"table"`` fits
        a table in memory.
    columns : sequence of str, optional
        Columns to keep, in this order; others are not decoded where the format allows that.
    types : mapping of str to pyarrow.DataType, optional
        Types wanted for columns of JSON lines, dicts and pandas object columns. Formats with
        types of their own, and text formats, ignore it.
    batch_rows : int
        Largest number of rows in a batch.

    Returns
    -------
    Rows
        Schema, facts and the batches. Nothing is written to disk.

    Raises
    ------
    PathNotFound
        The file does not exist or is a folder.
    ValidationError
        The format is unknown, or the source is nothing that can be read.
    SchemaError
        The content is damaged, or columns are missing or repeated. What stands further down in
        a file is found while iterating.
    StorageError
        The disk refused.

    Examples
    --------
    >>> rows = open_rows(["ACGT", None])
    >>> [batch.to_pydict() for batch in rows]
    [{'sequence': ['ACGT', None]}]
    """
    if batch_rows < 1:
        raise ValidationError(f"batch_rows is {batch_rows}, not a positive number")
    if isinstance(columns, str):
        raise ValidationError("columns is text, not a list of names", hint=f"Use [{columns!r}].")
    if fmt is not None and fmt not in FORMATS:
        raise ValidationError(
            f"the format {show(fmt)} is not known",
            hint=join_hints(did_you_mean(str(fmt), FORMATS), f"Formats: {', '.join(FORMATS)}."),
        )
    if isinstance(source, str | os.PathLike):
        return _open_file(source, fmt=fmt, columns=columns, types=types, batch_rows=batch_rows)
    if fmt not in (None, "table"):
        raise ValidationError(
            f"the format {fmt!r} is for files, the source is a {type(source).__name__}",
            hint="Leave the format out for tables in memory.",
        )
    opened = open_frame if is_pandas_frame(source) else open_table
    return opened(source, columns=columns, types=types, batch_rows=batch_rows)


def _open_file(
    source: str | os.PathLike[str],
    *,
    fmt: str | None,
    columns: Sequence[str] | None,
    types: Mapping[str, pa.DataType] | None,
    batch_rows: int,
) -> Rows:
    path, label = Path(source), str(source)
    # Before the suffix is judged: a folder has none, and the better error is that it is one.
    check_file(path, label=label)
    kind = fmt or guess_format(path)
    if kind in ("csv", "tsv"):
        return open_delimited(
            path,
            label=label,
            fmt="csv" if kind == "csv" else "tsv",
            columns=columns,
            batch_rows=batch_rows,
        )
    if kind == "jsonl":
        return open_jsonl(path, label=label, columns=columns, types=types, batch_rows=batch_rows)
    if kind == "table":
        raise ValidationError(
            f"{label}: 'table' is for tables in memory, not for files",
            hint=f"Formats of files: {', '.join(f for f in FORMATS if f != 'table')}.",
        )
    opened = {"parquet": open_parquet, "xlsx": open_excel, "fasta": open_fasta}[kind]
    return opened(path, label=label, columns=columns, batch_rows=batch_rows)
