"""Looking into files as they are, inside a dataset or not: for ``head``, ``cols`` and ``cell``."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from usr_nb.contract.types import type_text
from usr_nb.dataset.reading import Hits
from usr_nb.errors import PathNotFound, RecordNotFound, ValidationError
from usr_nb.filter.engine import mask_of
from usr_nb.filter.kept import Where
from usr_nb.filter.line import parse_filter
from usr_nb.filter.tree import Filter
from usr_nb.readers import open_rows
from usr_nb.storage.intents import dataset_exists
from usr_nb.storage.layout import RECORDS, TXN, Layout, real_path, user_path
from usr_nb.storage.parquet import reading

PathLike = str | os.PathLike[str]


def preview(path: PathLike, *, n: int = 10, columns: Sequence[str] | None = None) -> pa.Table:
    r"""Return the first `n` rows of a file, without asking the contract's opinion of it.

    Parameters
    ----------
    path : path
        Parquet, or any format that can be imported.
    n : int
        At most this many rows.
    columns : sequence of str, optional
        Columns in the order wanted; all by default.

    Raises
    ------
    PathNotFound
        There is no such file.
    SchemaError, StorageError
        It cannot be decoded, or has no such column.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder) / "a.csv"
    ...     _ = path.write_text("name,score\nx,1\ny,2\n")
    ...     preview(path, n=1).to_pylist()
    [{'name': 'x', 'score': '1'}]
    """
    if n < 0:
        raise ValidationError("n must not be negative")
    with reading(os.fspath(path)):
        rows = open_rows(path, columns=columns, batch_rows=max(1, min(n, 65_536)))
        return first_rows(rows, n, schema=rows.schema)


def find_rows(
    path: PathLike, where: Where, *, n: int = 10, columns: Sequence[str] | None = None
) -> Hits:
    r"""Return the first `n` rows of a file that a filter keeps, and how many it keeps.

    Parameters
    ----------
    path : path
        Parquet, or any format that can be imported; in text files every column is text.
    where : Filter or str
        The filter; it may name columns that are not shown.
    n, columns
        As in :func:`preview`.

    Raises
    ------
    PathNotFound
        There is no such file.
    SchemaError, StorageError
        It cannot be decoded, or filter or `columns` name what it does not have.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder) / "a.csv"
    ...     _ = path.write_text("name,score\nx,1\ny,2\n")
    ...     hits = find_rows(path, "score == '2'", columns=["name"])
    >>> hits.table.to_pylist(), hits.matches, hits.searched
    ([{'name': 'y'}], 1, 2)
    """
    if n < 0:
        raise ValidationError("n must not be negative")
    wanted = where if isinstance(where, Filter) else parse_filter(where)
    with reading(os.fspath(path)):
        rows = open_rows(path)
        names = open_rows(path, columns=columns).schema.names if columns else rows.schema.names
        schema = pa.schema([rows.schema.field(name) for name in names])
        held: list[pa.RecordBatch] = []
        matches = searched = 0
        for batch in rows:
            searched += batch.num_rows
            found = batch.filter(pa.array(mask_of(wanted, batch)))
            held.append(found.select(names).slice(0, max(0, n - matches)))
            matches += found.num_rows
        return Hits(pa.Table.from_batches(held, schema=schema), matches, searched)


def columns_of(path: PathLike) -> list[dict[str, str]]:
    """Return ``[{name, type}]`` of a file; types are written as in the registry.

    Raises
    ------
    PathNotFound, SchemaError, StorageError
        The file is missing or cannot be decoded.
    """
    with reading(os.fspath(path)):
        return fields_of(open_rows(path).schema)


def cell_of(path: PathLike, *, row: int, col: str) -> Any:
    """Return one cell of a file as a plain value; `row` is 0-based.

    Raises
    ------
    RecordNotFound
        The file has fewer rows.
    PathNotFound, SchemaError, StorageError
        The file or the column is missing, or it cannot be decoded.
    """
    with reading(os.fspath(path)):
        return cell_at(open_rows(path, columns=[col]), row, where=str(path))


def fields_of(schema: pa.Schema) -> list[dict[str, str]]:
    """Return ``[{name, type}]`` of an Arrow schema."""
    return [{"name": f.name, "type": type_text(f.type)} for f in schema]


def first_rows(
    batches: Iterable[pa.RecordBatch], n: int, *, schema: pa.Schema | None = None
) -> pa.Table:
    """Return the first `n` rows of a stream of batches; later batches are not asked for.

    Examples
    --------
    >>> stream = (pa.record_batch({"a": [i, i + 1]}) for i in range(0, 100, 2))
    >>> first_rows(stream, 3).to_pydict()
    {'a': [0, 1, 2]}
    """
    held: list[pa.RecordBatch] = []
    left = n
    for batch in batches:
        schema = schema or batch.schema
        held.append(batch.slice(0, left))
        left -= held[-1].num_rows
        if left <= 0:
            break
    if schema is None:
        return pa.table({})
    return pa.Table.from_batches(held, schema=schema)


def cell_at(batches: Iterable[pa.RecordBatch], row: int, *, where: str) -> Any:
    """Return the cell of the first column in a 0-based row of a stream.

    Raises
    ------
    RecordNotFound
        The stream has fewer rows.
    """
    seen = 0
    for batch in batches if row >= 0 else ():
        if row < seen + batch.num_rows:
            return batch.column(0)[row - seen].as_py()
        seen += batch.num_rows
    if row < 0:
        raise ValidationError(f"Row {row} is negative", hint="Rows count from 0.")
    last = f"rows 0 to {seen - 1:,}" if seen else "no rows"
    raise RecordNotFound(
        f"{where}: there is no row {row:,}; it has {last}", hint="Rows count from 0."
    )


def parquet_files(folder: PathLike, *, pattern: str | None = None) -> list[Path]:
    """Return the files in a folder that match (``*.parquet`` by default), sorted; never ``_txn/``.

    A pattern with ``/`` or ``**`` looks into folders below.

    Raises
    ------
    PathNotFound
        The folder is missing, or nothing in it matches.
    ValidationError
        The pattern is not one.
    """
    base = user_path(folder)
    if not base.is_dir():
        raise PathNotFound(f"{base} is not a folder", hint="Check the path.")
    wanted = pattern or "*.parquet"
    try:
        found = sorted(p for p in base.glob(wanted) if p.is_file())
    except (ValueError, NotImplementedError) as error:
        raise ValidationError(
            f"Pattern {wanted[:60]!r} is not allowed: {error}", hint="Write it like '*.parquet'."
        ) from None
    found = [p for p in found if TXN not in p.relative_to(base).parts]
    if not found:
        raise PathNotFound(
            f"No file in {base} matches {wanted}",
            hint="Give a file, or another pattern with --glob.",
        )
    return found


def dataset_folder(path: PathLike) -> Path | None:
    """Return the folder of the dataset that a file or folder lies in, or None."""
    full = real_path(path)
    for folder in (full, *full.parents):
        if (folder / RECORDS).is_file() and dataset_exists(Layout(folder)):
            return folder
    return None
