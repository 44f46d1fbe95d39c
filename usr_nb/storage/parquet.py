"""Parquet with the house's options: zstd, page checksums, small row groups.

``docs/format.md`` has the reasons. Everything here writes into a sink of the one door.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from usr_nb.contract.progress import report
from usr_nb.errors import PathNotFound, StorageError
from usr_nb.storage import splice
from usr_nb.storage.door import Sink
from usr_nb.storage.parallel import in_order, thread_count

#: What no honest row group does: expand to more than this, and a thousandfold.
BOMB_BYTES: Final = 256 << 20
BOMB_RATIO: Final = 1000
_Data = TypeVar("_Data", pa.RecordBatch, pa.Table, pa.ChunkedArray, pa.Array)
ROW_GROUP_ROWS: Final = 8192
WRITE_ROWS: Final = 8 * ROW_GROUP_ROWS
#: Fewer rows are encoded by one thread.
_SHARED_ROWS: Final = 3 * ROW_GROUP_ROWS
#: Columns whose texts hardly repeat.
NO_DICTIONARY: Final = frozenset({"id", "sequence", "sequence_norm", "sequence_ci"})


def _leaves(name: str, dtype: pa.DataType) -> Iterator[tuple[str, pa.DataType]]:
    if pa.types.is_struct(dtype):
        for i in range(dtype.num_fields):
            f = dtype.field(i)
            yield from _leaves(f"{name}.{f.name}", f.type)
    elif pa.types.is_list(dtype) or pa.types.is_fixed_size_list(dtype):
        yield from _leaves(f"{name}.list.element", dtype.value_type)
    else:
        yield name, dtype


def _options(schema: pa.Schema) -> dict[str, Any]:
    leaves = [leaf for f in schema for leaf in _leaves(f.name, f.type)]
    floats = [p for p, t in leaves if pa.types.is_float32(t) or pa.types.is_float64(t)]
    plain = NO_DICTIONARY | set(floats)
    return {
        "compression": "zstd",
        "compression_level": 1,
        "write_page_checksum": True,
        "use_dictionary": [p for p, _ in leaves if p not in plain],
        "use_byte_stream_split": floats,
    }


@contextlib.contextmanager
def writer(sink: Sink | pa.BufferOutputStream, schema: pa.Schema) -> Iterator[pq.ParquetWriter]:
    """Open a Parquet writer into `sink`; the footer is written on leaving without an error."""
    w = pq.ParquetWriter(sink, schema, **_options(schema))
    try:
        yield w
    except BaseException:
        # Closing would write a footer, and so make a whole file of a half one.
        w.is_open = False
        raise
    w.close()


def write_batches(
    sink: Sink,
    schema: pa.Schema,
    batches: Iterable[pa.RecordBatch | pa.Table],
    *,
    total: int | None = None,
) -> int:
    """Write batches in full row groups and return the number of rows.

    More than one piece of `WRITE_ROWS` is encoded by several threads at once.
    With `total`, the rows that there will be, it reports how many are written.
    """
    rows = 0
    if total is not None:
        report("writing", 0, total)
    pieces = regroup(batches, schema, _piece_rows(total))
    first = list(islice(pieces, 2))
    if len(first) < 2:
        with writer(sink, schema) as w:
            for table in first:
                w.write_table(table, row_group_size=ROW_GROUP_ROWS)
                rows = table.num_rows
    else:
        out = assembly(sink, schema)
        for laid in in_order(encoded, chain(first, pieces)):
            for group in laid.groups:
                out.add(group)
            rows = out.rows
            if total is not None:
                report("writing", rows, total)
        out.finish()
    if total is not None:
        report("writing", rows, rows)
    return rows


def _piece_rows(total: int | None) -> int:
    """Return how many rows are encoded at a time: of few rows, what makes a piece per thread."""
    if total is None or not _SHARED_ROWS < total < thread_count() * WRITE_ROWS:
        return WRITE_ROWS
    return ROW_GROUP_ROWS * -(-total // (thread_count() * ROW_GROUP_ROWS))


def packed_bytes(table: pa.Table) -> int:
    """Return about how many bytes a table takes as a file, from its first rows; writes nothing."""
    some = table.slice(0, ROW_GROUP_ROWS)
    sink = pa.BufferOutputStream()
    with writer(sink, table.schema) as w:
        w.write_table(some, row_group_size=ROW_GROUP_ROWS)
    size = sink.getvalue().size
    return int(size * table.num_rows / some.num_rows) if some.num_rows else size


def encoded(table: pa.Table, sizes: Sequence[int] | None = None) -> splice.Laid:
    """Encode a table as row groups in memory, with the house's options.

    Parameters
    ----------
    table : pyarrow.Table
        The rows.
    sizes : sequence of int, optional
        Rows of each group; by default all but the last have `ROW_GROUP_ROWS`.
    """
    buffer = pa.BufferOutputStream()
    with writer(buffer, table.schema) as w:
        if sizes is None:
            w.write_table(table, row_group_size=ROW_GROUP_ROWS)
        start = 0
        for rows in sizes or ():
            w.write_table(table.slice(start, rows), row_group_size=max(1, rows))
            start += rows
    return splice.lay_out(splice.BufferSource(buffer.getvalue()))


def assembly(sink: Sink, schema: pa.Schema) -> splice.Assembly:
    """Begin a file of encoded row groups, with a schema and its key-value metadata."""
    empty = pa.BufferOutputStream()
    with writer(empty, schema):
        pass
    return splice.Assembly(sink, empty.getvalue())


def regroup(
    batches: Iterable[pa.RecordBatch | pa.Table], schema: pa.Schema, rows: int = WRITE_ROWS
) -> Iterator[pa.Table]:
    """Yield the same rows in tables of `rows` rows, the last one smaller."""
    held: list[pa.Table] = []
    n = 0
    for batch in batches:
        table = batch if isinstance(batch, pa.Table) else pa.Table.from_batches([batch])
        if table.num_rows == 0:
            continue
        held.append(table.cast(schema) if table.schema != schema else table)
        n += table.num_rows
        while n >= rows:
            whole = pa.concat_tables(held)
            yield whole.slice(0, rows)
            rest = whole.slice(rows)
            held, n = ([rest], rest.num_rows) if rest.num_rows else ([], 0)
    if n:
        yield pa.concat_tables(held)


@dataclass(frozen=True)
class _Footer:
    """What was parsed of a footer, and what it was parsed from."""

    metadata: pq.FileMetaData
    starts: npt.NDArray[np.int64]
    identity: tuple[Any, ...]


class Opened(pq.ParquetFile):  # type: ignore[misc]  # pyarrow has no types
    """A Parquet file that is open, and the bytes it is read from.

    Reading from several threads at once needs a :meth:`twin` for each. A column chunk that ends
    early, which pyarrow passes over, is an error: a result is never short.
    """

    def __init__(
        self,
        source: pa.OSFile,
        metadata: pq.FileMetaData | None = None,
        *,
        footer: _Footer | None = None,
        coded: Sequence[str] = (),
    ) -> None:
        known = metadata if footer is None else footer.metadata
        super().__init__(
            source, metadata=known, page_checksum_verification=True, read_dictionary=list(coded)
        )
        self.bytes = source
        self._footer = footer

    def read(self, *args: Any, **options: Any) -> pa.Table:
        """Read as pyarrow does; ArrowInvalid if rows are missing."""
        return _whole(super().read(*args, **options), self.metadata.num_rows)

    def read_row_group(self, i: int, *args: Any, **options: Any) -> pa.Table:
        """Read as pyarrow does; ArrowInvalid if rows are missing."""
        wanted = self.metadata.row_group(i).num_rows
        return _whole(super().read_row_group(i, *args, **options), wanted)

    def read_row_groups(self, row_groups: Iterable[int], *args: Any, **options: Any) -> pa.Table:
        """Read as pyarrow does; ArrowInvalid if rows are missing."""
        groups = list(row_groups)
        wanted = sum(self.metadata.row_group(g).num_rows for g in groups)
        return _whole(super().read_row_groups(groups, *args, **options), wanted)

    def twin(self, *, coded: Sequence[str] = ()) -> Opened:
        """Return another reader of the same open file; it costs 12 us, no footer is parsed.

        Columns of strings named in `coded` come as dictionaries.
        """
        return Opened(self.bytes, self.metadata, footer=self._footer, coded=coded)

    def group_starts(self) -> npt.NDArray[np.int64]:
        """Return the first row of each row group, and after them the number of rows."""
        if self._footer is not None:
            return self._footer.starts
        sizes = [self.metadata.row_group(i).num_rows for i in range(self.num_row_groups)]
        return np.cumsum([0, *sizes], dtype=np.int64)

    def identity(self) -> list[Any]:
        """Return inode, size, mtime in ns and SHA-256 of the footer: what a cache goes by."""
        if self._footer is not None:
            return list(self._footer.identity)
        st = os.fstat(self.bytes.fileno())
        end = self.bytes.read_at(8, st.st_size - 8)
        length = int.from_bytes(end[:4], "little")
        footer = self.bytes.read_at(length, st.st_size - 8 - length)
        return [st.st_ino, st.st_size, st.st_mtime_ns, hashlib.sha256(footer).hexdigest()]


def _whole(found: pa.Table, wanted: int) -> pa.Table:
    if found.num_rows != wanted:
        raise pa.ArrowInvalid(f"{found.num_rows} rows found, the footer says {wanted}")
    return found


#: Footers that are kept at most, in bytes as they lie in the files.
FOOTER_BYTES: Final = 16 << 20
#: A file that changed so short a time ago may change again without another mtime.
SETTLED_NS: Final = 2_000_000_000
_Stamp = tuple[int, int, int, int]
_footers: OrderedDict[_Stamp, _Footer] = OrderedDict()
_footers_lock = threading.Lock()


def _kept_footer(stamp: _Stamp) -> _Footer | None:
    with _footers_lock:
        found = _footers.get(stamp)
        if found is not None:
            _footers.move_to_end(stamp)
    return found


def _keep_footer(stamp: _Stamp, file: Opened) -> None:
    """Keep what was parsed, unless the file is so young that its mtime says too little."""
    if not 0 <= stamp[3] <= time.time_ns() - SETTLED_NS:
        return
    found = _Footer(file.metadata, file.group_starts(), tuple(file.identity()))
    with _footers_lock:
        _footers[stamp] = found
        while sum(f.metadata.serialized_size for f in _footers.values()) > FOOTER_BYTES:
            _footers.popitem(last=False)


def forget_footers() -> None:
    """Let go of all footers that are kept."""
    with _footers_lock:
        _footers.clear()


def open_parquet(path: Path, *, use_kept: bool = False) -> Opened:
    """Open a Parquet file, page checksums verified as pages are read.

    Parameters
    ----------
    path : Path
        The file.
    use_kept : bool
        Whether a footer may be one that this process parsed before from the same file: device,
        inode, size and mtime are those it had. For who reads often; who validates or writes
        looks at the file.

    Raises
    ------
    FileNotFoundError
        If it is gone (a reader's view decides what that means).
    StorageError
        If it is no readable Parquet file.
    """
    try:
        # As bytes: a path need not be UTF-8.
        source = pa.OSFile(os.fsencode(path), "rb")
    except (FileNotFoundError, NotADirectoryError) as error:
        raise FileNotFoundError(errno.ENOENT, "No such file", str(path)) from error
    except OSError as error:
        raise StorageError(f"Cannot read {path}: {error}") from None
    try:
        stamp = None
        if use_kept:
            st = os.fstat(source.fileno())
            stamp = st.st_dev, st.st_ino, st.st_size, st.st_mtime_ns
            footer = _kept_footer(stamp)
            if footer is not None:
                return Opened(source, footer=footer)
        file = Opened(source)
        check_footer(file.metadata, source.size())
        if stamp is not None:
            _keep_footer(stamp, file)
    except (pa.ArrowException, OSError, ValueError) as error:
        source.close()
        raise damaged(path, error) from None
    return file


def check_footer(footer: pq.FileMetaData, size: int) -> None:
    """Raise ValueError for what a footer says that cannot be true, before anything is decoded.

    Costs 0.2 ms for a million rows in 123 row groups. Column chunks are not looked at:
    ``row_group(g).column(c)`` ends the whole process on some forged footers (pyarrow 26 lets a
    C++ exception through), where reading raises properly.

    Parameters
    ----------
    footer : pyarrow.parquet.FileMetaData
        Of the file.
    size : int
        Of the file, in bytes.
    """
    counts = []
    for g in range(footer.num_row_groups):
        group = footer.row_group(g)
        counts.append(group.num_rows)
        if group.total_byte_size > max(BOMB_BYTES, BOMB_RATIO * size):
            raise ValueError(
                f"a row group would expand to {group.total_byte_size:,} bytes "
                f"from a file of {size:,}"
            )
    if min(counts, default=0) < 0 or sum(counts) != footer.num_rows:
        raise ValueError(f"row groups hold {sum(counts)} rows, the footer says {footer.num_rows}")


def check_names(schema: pa.Schema, where: Path | str) -> pa.Schema:
    """Return a schema whose names, nested ones and of time zones too, are text.

    Raises
    ------
    StorageError
        If one is not; pyarrow says so only when it is asked for that name.
    """
    try:
        for field in schema:
            _touch(field)
    except UnicodeDecodeError as error:
        raise damaged(where, error) from None
    return schema


def _touch(field: pa.Field) -> None:
    """Ask for every name in a field."""
    dtype = field.type
    _ = field.name
    if pa.types.is_timestamp(dtype):
        _ = dtype.tz
    elif pa.types.is_nested(dtype):
        for i in range(dtype.num_fields):
            _touch(dtype.field(i))


def damaged(path: Path | str, error: Exception) -> StorageError:
    """Build the error for a file whose bytes cannot be decoded."""
    first = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
    return StorageError(
        f"{path} is not a readable Parquet file: {first}",
        hint="Run `usr validate`; restore the file from a snapshot or another copy.",
    )


def sound(data: _Data) -> _Data:
    """Return a batch, table or array whose offsets lie in their buffers and whose texts are UTF-8.

    pyarrow does not look while it decodes; without page checksums, or with forged ones, whoever
    uses such a value crashes. Costs 12 ms per million texts of 60 letters.

    Raises
    ------
    pyarrow.ArrowInvalid
        What :func:`reading` turns into an error that names the file.
    """
    data.validate(full=True)
    return data


@contextlib.contextmanager
def reading(path: Path | str) -> Iterator[None]:
    """Turn decoding errors of pyarrow into a :class:`StorageError` that names the file."""
    try:
        yield
    except (pa.ArrowException, OSError, OverflowError, MemoryError) as error:
        raise damaged(path, error) from error


def file_metadata(file: pq.ParquetFile) -> dict[bytes, bytes]:
    """Return the key-value metadata of the footer."""
    return dict(file.metadata.metadata or {})


def with_metadata(schema: pa.Schema, metadata: Mapping[bytes, bytes]) -> pa.Schema:
    """Return the schema with this file metadata; keys that describe a lost form are left out."""
    kept = {k: v for k, v in metadata.items() if k not in (b"ARROW:schema", b"pandas")}
    return schema.with_metadata(kept)


def require_file(path: Path) -> Path:
    """Return `path` if it is a file, else raise :class:`PathNotFound`."""
    if not path.is_file():
        what = "is a folder, not a file" if path.is_dir() else "does not exist"
        raise PathNotFound(f"{path} {what}", hint="Check the path.")
    return path


def rewrite_footer(sink: Sink, source: Path, metadata: Mapping[bytes, bytes]) -> None:
    """Copy a Parquet file byte for byte under other key-value metadata (no row group is decoded).

    Parameters
    ----------
    sink : door.Sink
        Receives the new file.
    source : Path
        The file whose row groups are copied.
    metadata : mapping of bytes to bytes
        The new key-value metadata, complete.
    """
    old = open_parquet(source)
    with old:
        schema = with_metadata(old.schema_arrow, metadata)
        empty = pa.BufferOutputStream()
        with writer(empty, schema):
            pass
        merged = pq.read_metadata(pa.BufferReader(empty.getvalue()))
        if merged.schema != old.metadata.schema:
            # Another writer's physical schema (INT96, other list names): the plain way is right.
            write_batches(sink, schema, (old.read_row_group(i) for i in range(old.num_row_groups)))
            return
        merged.append_row_groups(old.metadata)
    footer = pa.BufferOutputStream()
    merged.write_metadata_file(footer)
    with source.open("rb") as f:
        f.seek(-8, 2)
        body = f.tell() - int.from_bytes(f.read(4), "little")
        f.seek(0)
        left = body
        while left:
            block = f.read(min(left, 1 << 20))
            sink.write(block)
            left -= len(block)
    # write_metadata_file puts the magic in front; the body has its own.
    sink.write(footer.getvalue().to_pybytes()[4:])
