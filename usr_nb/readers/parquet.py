"""Parquet: streamed in batches, page checksums verified, types made plain."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from usr_nb.errors import SchemaError, StorageError
from usr_nb.readers.files import check_file
from usr_nb.readers.plain import plain_batch, plain_schema
from usr_nb.readers.rows import Rows, pick_columns
from usr_nb.storage.parquet import check_footer

# What a damaged or forged parquet file makes pyarrow raise.
_DAMAGE = (pa.ArrowException, OSError, ValueError, TypeError, OverflowError, MemoryError)
_BATCH_BYTES = 64 << 20
# Far above what honest footers hold; without limits a forged length allocates gigabytes.
_FOOTER_STRING = 32 << 20
_FOOTER_ITEMS = 5_000_000


def open_parquet(
    path: Path,
    *,
    label: str,
    columns: Sequence[str] | None = None,
    batch_rows: int = 65536,
) -> Rows:
    """Open a parquet file; only its footer is read here.

    Dictionary columns are decoded and large and view types become plain. Page checksums are
    verified where the file has them. Nothing is written to disk.

    Parameters
    ----------
    path : Path
        The file.
    label : str
        Name for errors.
    columns : sequence of str, optional
        Top-level columns to keep, in this order; others are not decoded.
    batch_rows : int
        Largest number of rows in a batch; fewer when rows are long.

    Returns
    -------
    Rows
        ``num_rows`` comes from the footer.

    Raises
    ------
    SchemaError
        The file is damaged or no parquet, names repeat or are missing.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder) / "a.parquet"
    ...     pq.write_table(pa.table({"sequence": ["ACGT"], "n": [1]}), path)
    ...     rows = open_parquet(path, label="a.parquet", columns=["n"])
    ...     rows.num_rows, [b.to_pydict() for b in rows]
    (1, [{'n': [1]}])
    """
    check_file(path, label=label)
    with _opened(path, label) as file:
        try:
            whole = plain_schema(file.schema_arrow, label=label)
        except _DAMAGE as error:
            raise _damaged(label, error) from error
        num_rows = file.metadata.num_rows
    wanted = pick_columns(whole.names, columns, label=label)
    schema = pa.schema([whole.field(name) for name in wanted])

    def batches() -> Iterator[pa.RecordBatch]:
        with _opened(path, label) as file:
            rows = _fitting_rows(file.metadata, batch_rows)
            stream = _streamed(file, rows, wanted)
            count = 0
            while True:
                try:
                    batch = next(stream, None)
                    if batch is None:
                        break
                    # Strings are not checked while decoding; others rely on them being UTF-8.
                    batch.validate(full=True)
                except _DAMAGE as error:
                    raise _damaged(label, error, row=count + 1) from error
                out = plain_batch(batch, schema, label=label, row=count + 1)
                count += batch.num_rows
                yield out
            if count != num_rows:
                raise _damaged(label, f"{count} rows found, the footer says {num_rows}")

    return Rows(
        schema=schema,
        label=label,
        format="parquet",
        is_text=False,
        num_rows=num_rows,
        batches=batches,
    )


def _opened(path: Path, label: str) -> pq.ParquetFile:
    try:
        file = pq.ParquetFile(
            path,
            page_checksum_verification=True,
            thrift_string_size_limit=_FOOTER_STRING,
            thrift_container_size_limit=_FOOTER_ITEMS,
        )
    except PermissionError as error:
        raise StorageError(
            f"{label}: cannot be opened: {error.strerror}", hint="Check its permissions."
        ) from error
    except _DAMAGE as error:
        raise _damaged(label, error) from error
    try:
        check_footer(file.metadata, path.stat().st_size)
    except _DAMAGE as error:
        file.close()
        raise _damaged(label, error) from error
    return file


def _streamed(file: pq.ParquetFile, rows: int, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Yield batches of at most `rows` rows, some row groups at a time.

    What one iterator of pyarrow has read it holds until its end: of a long file, all of it.
    """
    run: list[int] = []
    held = 0
    for g in range(file.num_row_groups):
        run.append(g)
        held += file.metadata.row_group(g).num_rows
        if held >= rows or g == file.num_row_groups - 1:
            yield from file.iter_batches(
                batch_size=rows, row_groups=run, columns=columns, use_threads=True
            )
            run, held = [], 0


def _fitting_rows(footer: pq.FileMetaData, batch_rows: int) -> int:
    """Return how many rows make a batch of a bounded size (bytes as encoded, a lower bound)."""
    widest = 1
    for g in range(footer.num_row_groups):
        group = footer.row_group(g)
        widest = max(widest, group.total_byte_size // max(1, group.num_rows))
    return max(1, min(batch_rows, _BATCH_BYTES // widest))


def _damaged(label: str, error: object, *, row: int | None = None) -> SchemaError:
    place = f" near row {row}" if row else ""
    return SchemaError(
        f"{label}: damaged or not a parquet file{place}: {str(error)[:300]}",
        hint="Copy the file again, or check which program wrote it.",
    )
