"""Parquet files put together from column chunks that are encoded already.

A column chunk is a run of bytes that knows nothing of its place; only the footer says where it
lies. So a file can be made of chunks of other files, copied as they are, under a new footer. This
is how rows are appended, aligned overlays are materialized, and row groups encoded by several
threads come into one file. The new footer is built and checked (parsed by pyarrow, compared with
the schema wanted) before a byte is written; whoever asks for something unusual gets
:class:`Unfit` and writes the plain way.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from usr_nb.contract.progress import report
from usr_nb.errors import StorageError
from usr_nb.storage import thrift
from usr_nb.storage.door import Sink, typed
from usr_nb.storage.thrift import Field

MAGIC: Final = b"PAR1"
_BLOCK: Final = 1 << 20
_AT_ONCE: Final = 16
# FileMetaData, SchemaElement, RowGroup, ColumnChunk, ColumnMetaData of parquet.thrift.
_SCHEMA, _ROWS, _GROUPS = 2, 3, 4
_KNOWN: Final = frozenset({1, 2, 3, 4, 5, 6, 7})
_NAME, _CHILDREN = 4, 5
_COLUMNS, _GROUP_BYTES, _GROUP_ROWS, _GROUP_AT, _GROUP_PACKED, _ORDINAL = 1, 2, 3, 5, 6, 7
_CHUNK_AT, _META = 2, 3
_GROUP_KNOWN: Final = frozenset({2, 3, 5, 6, 7})
#: Offsets of page indexes, which lie elsewhere: left out, readers do without.
_CHUNK_KNOWN: Final = frozenset({2, 3, 4, 5, 6, 7})
_UNPACKED, _PACKED, _DATA_AT, _INDEX_AT, _DICTIONARY_AT = 6, 7, 9, 10, 11
_BLOOM: Final = frozenset({14, 15})
_MOST_ORDINAL: Final = 2**15


class Unfit(StorageError):
    """These chunks cannot be put together by copying; write the plain way."""


class Source(Protocol):
    """Where chunks lie: a file or a buffer."""

    def blocks(self, start: int, end: int) -> Iterator[bytes | memoryview]:
        """Yield the bytes of a range."""


Range = tuple[Source, int, int]


class FileSource:
    """An open file; it stays the same file, whatever happens to its name.

    Parameters
    ----------
    path : Path
        Its name, for messages.
    fd : int
        It, open for reading.
    told : str, optional
        The SHA-256 that it must have if anything of it is to be copied.
    """

    def __init__(self, path: Path, fd: int, told: str | None = None) -> None:
        self.path, self.fd, self.told = path, fd, told
        self.size = os.fstat(fd).st_size

    def blocks(self, start: int, end: int) -> Iterator[bytes]:
        """Yield the bytes of a range."""
        while start < end:
            with typed(self.path, "read"):
                block = os.pread(self.fd, min(_BLOCK, end - start), start)
                if not block:
                    raise OSError(f"it ends at byte {start}")
            start += len(block)
            yield block

    def sha256(self) -> str:
        """Return the digest of the whole file."""
        sha = hashlib.sha256()
        for block in self.blocks(0, self.size):
            sha.update(block)
        return sha.hexdigest()

    def tail(self, n: int) -> bytes:
        """Return the last bytes."""
        return b"".join(self.blocks(max(0, self.size - n), self.size))


class BufferSource:
    """Bytes in memory."""

    def __init__(self, data: pa.Buffer) -> None:
        self.data = memoryview(data)
        self.size = len(self.data)

    def blocks(self, start: int, end: int) -> Iterator[memoryview]:
        """Yield the bytes of a range."""
        yield self.data[start:end]

    def tail(self, n: int) -> bytes:
        """Return the last bytes."""
        return bytes(self.data[max(0, self.size - n) :])


@dataclass(frozen=True)
class Chunk:
    """One column of one row group, encoded.

    Attributes
    ----------
    source : Source
        Where it lies.
    start, end : int
        Its bytes there.
    meta : dict of int to Field
        Its ColumnMetaData.
    is_plain : bool
        Whether nothing is told of it that would have to be left out of another file.
    """

    source: Source
    start: int
    end: int
    meta: dict[int, Field]
    is_plain: bool = False

    def moved(self, at: int) -> bytes:
        """Return its ColumnChunk for a file in which it begins at byte `at`."""
        shift = at - self.start
        meta = {k: v for k, v in self.meta.items() if k not in _BLOOM}
        for k in (_DATA_AT, _INDEX_AT, _DICTIONARY_AT):
            if k in meta:
                value = thrift.number(meta[k])
                # Some writers say 0 for none.
                meta[k] = thrift.encoded(value + shift if value else 0)
        return thrift.struct(
            {_CHUNK_AT: thrift.encoded(0), _META: (thrift.STRUCT, thrift.struct(meta))}
        )


@dataclass(frozen=True)
class Group:
    """One row group: how many rows, and a chunk per leaf column.

    Attributes
    ----------
    stays : bytes or None
        Its RowGroup, good for any file in which it has the same place and number.
    number : int
        Of the group in its file, 0-based.
    """

    rows: int
    chunks: tuple[Chunk, ...]
    stays: bytes | None = None
    number: int = -1

    def is_at(self, at: int) -> bool:
        """Say whether its chunks lie one after the other from byte `at` on."""
        for chunk in self.chunks:
            if chunk.start != at:
                return False
            at = chunk.end
        return bool(self.chunks)


@dataclass(frozen=True)
class Laid:
    """What lies in an encoded file.

    Attributes
    ----------
    columns : dict of str to tuple of (bytes, range)
        Top-level column → its schema elements, and the numbers of its leaves.
    groups : list of Group
        Its row groups.
    """

    columns: dict[str, tuple[bytes, range]]
    groups: list[Group]

    def select(self, names: Sequence[str], group: int) -> tuple[Chunk, ...]:
        """Return the chunks of some top-level columns in one row group."""
        chunks = self.groups[group].chunks
        return tuple(chunks[i] for n in names for i in self.columns[n][1])


def lay_out(source: FileSource | BufferSource) -> Laid:
    """Take the footer of an encoded file apart.

    Raises
    ------
    Unfit
        If there is anything in it that is not understood, or encrypted.
    """
    try:
        end = source.tail(8)
        length = int.from_bytes(end[:4], "little")
        if end[4:] != MAGIC or length + 12 > source.size:
            raise Unfit("no footer")
        inside = {
            _SCHEMA: thrift.each(_element),
            _GROUPS: thrift.each(lambda data, at: _group(source, data, at)),
        }
        content, read, _ = thrift.fields(source.tail(8 + length)[:length], 0, inside)
        if not set(content) <= _KNOWN:
            raise Unfit("a footer of another form")
        columns = _columns(read[_SCHEMA])
        leaves = max((r.stop for _, r in columns.values()), default=0)
        groups = [replace(g, number=i) for i, g in enumerate(read[_GROUPS])]
        _check(groups, leaves, source.size - 8 - length)
    except (ValueError, IndexError, KeyError, RecursionError) as error:
        raise Unfit(str(error)) from error
    return Laid(columns, groups)


def _element(data: bytes, at: int) -> tuple[tuple[dict[int, Field], bytes], int]:
    content, _, end = thrift.fields(data, at)
    return (content, data[at:end]), end


def _columns(schema: list[tuple[dict[int, Field], bytes]]) -> dict[str, tuple[bytes, range]]:
    """Return, for each top-level column, its schema elements and its leaves."""
    parsed = [content for content, _ in schema]

    def past(i: int) -> tuple[int, int]:
        """Return (the element after a subtree, its leaves)."""
        children = thrift.number(parsed[i][_CHILDREN]) if _CHILDREN in parsed[i] else 0
        leaves = 0 if children else 1
        at = i + 1
        for _ in range(children):
            at, n = past(at)
            leaves += n
        return at, leaves

    out: dict[str, tuple[bytes, range]] = {}
    at, leaf = 1, 0
    while at < len(schema):
        end, leaves = past(at)
        text = thrift.text(parsed[at][_NAME])
        if text in out:
            raise Unfit("two columns have one name")
        out[text] = (b"".join(e for _, e in schema[at:end]), range(leaf, leaf + leaves))
        at, leaf = end, leaf + leaves
    return out


def _group(source: FileSource | BufferSource, data: bytes, at: int) -> tuple[Group, int]:
    inside = {_COLUMNS: thrift.each(lambda data, at: _chunk(source, data, at))}
    content, read, end = thrift.fields(data, at, inside)
    chunks = tuple(read[_COLUMNS])
    is_plain = set(content) <= _GROUP_KNOWN and all(c.is_plain for c in chunks)
    stays = data[at:end] if is_plain else None
    return Group(thrift.number(content[_GROUP_ROWS]), chunks, stays), end


def _chunk(source: FileSource | BufferSource, data: bytes, at: int) -> tuple[Chunk, int]:
    content, read, stop = thrift.fields(data, at, {_META: thrift.one(_meta)})
    if not set(content) <= _CHUNK_KNOWN:
        raise Unfit("a column chunk in another file, or encrypted")
    meta = read[_META]
    places = [thrift.number(meta[k]) for k in (_DATA_AT, _INDEX_AT, _DICTIONARY_AT) if k in meta]
    start = min(p for p in places if p)
    end = start + thrift.number(meta[_PACKED])
    is_plain = set(content) <= {_CHUNK_AT} and not _BLOOM & set(meta)
    return Chunk(source, start, end, meta, is_plain), stop


def _meta(data: bytes, at: int) -> tuple[dict[int, Field], int]:
    content, _, end = thrift.fields(data, at)
    return content, end


def _check(groups: list[Group], leaves: int, body: int) -> None:
    """Raise unless all groups are whole and lie within the data."""
    for group in groups:
        if len(group.chunks) != leaves or group.rows < 0:
            raise Unfit("a row group lacks columns")
        if any(not len(MAGIC) <= c.start < c.end <= body for c in group.chunks):
            raise Unfit("a column chunk lies outside of the data")


class Splicer:
    """Lays out a file of chunks: :meth:`add` row groups, :meth:`footer` ends it.

    Parameters
    ----------
    template : pyarrow.Buffer
        A file without rows whose schema and key-value metadata the new file gets.
    """

    def __init__(self, template: pa.Buffer) -> None:
        source = BufferSource(template)
        length = int.from_bytes(source.tail(8)[:4], "little")
        self._schema = pq.read_metadata(pa.BufferReader(template)).schema
        footer = source.tail(8 + length)[:length]
        self._content, _, _ = thrift.fields(footer)
        _, read, _ = thrift.fields(footer, 0, {_SCHEMA: thrift.each(_element)})
        self.columns = _columns(read[_SCHEMA])
        self.leaves = max((r.stop for _, r in self.columns.values()), default=0)
        self._groups: list[bytes] = []
        self.rows = 0
        self.at = len(MAGIC)

    def fits(self, laid: Laid, names: Iterable[str]) -> bool:
        """Say whether these columns lie in `laid` exactly as the schema wants them."""
        return all(n in laid.columns and laid.columns[n][0] == self.columns[n][0] for n in names)

    def add(self, group: Group) -> list[Range]:
        """Lay out one more row group; returns the ranges of bytes to be copied, in order."""
        if len(group.chunks) != self.leaves:
            raise Unfit("a row group of other columns")
        if group.stays and group.number == len(self._groups) and group.is_at(self.at):
            return self._stay(group)
        begin, unpacked = self.at, 0
        columns, ranges = [], []
        for chunk in group.chunks:
            columns.append(chunk.moved(self.at))
            self.at += chunk.end - chunk.start
            unpacked += thrift.number(chunk.meta[_UNPACKED])
            ranges.append((chunk.source, chunk.start, chunk.end))
        content = {
            _COLUMNS: thrift.listed(columns),
            _GROUP_BYTES: thrift.encoded(unpacked),
            _GROUP_ROWS: thrift.encoded(group.rows),
            _GROUP_AT: thrift.encoded(begin),
            _GROUP_PACKED: thrift.encoded(self.at - begin),
        }
        if len(self._groups) < _MOST_ORDINAL:
            content[_ORDINAL] = thrift.encoded(len(self._groups), thrift.I16)
        self._groups.append(thrift.struct(content))
        self.rows += group.rows
        return ranges

    def _stay(self, group: Group) -> list[Range]:
        """Take over a row group of the same place and number as it is."""
        first, last = group.chunks[0], group.chunks[-1]
        self._groups.append(group.stays or b"")
        self.rows += group.rows
        self.at = last.end
        return [(first.source, first.start, last.end)]

    def footer(self) -> bytes:
        """Return what follows the chunks: footer, its length, magic.

        Raises
        ------
        Unfit
            If pyarrow would not read the schema and the rows that were wanted.
        """
        content = dict(self._content)
        content[_ROWS] = thrift.encoded(self.rows)
        content[_GROUPS] = thrift.listed(self._groups)
        data = thrift.struct(content)
        footer = data + len(data).to_bytes(4, "little") + MAGIC
        read = pq.read_metadata(pa.BufferReader(MAGIC + footer))
        if read.num_rows != self.rows or not read.schema.equals(self._schema):
            raise Unfit("the new footer is not read as it was meant")
        return footer


@contextlib.contextmanager
def source_of(path: Path, told: str | None = None) -> Iterator[FileSource]:
    """Open a file to copy chunks from; see :class:`FileSource`."""
    with path.open("rb", buffering=0) as file:
        yield FileSource(path, file.fileno(), told)


def contiguous(ranges: Iterable[Range]) -> Iterator[Range]:
    """Join ranges that follow one another in the same source."""
    held: Range | None = None
    for source, start, end in ranges:
        if held is not None and held[0] is source and held[2] == start:
            held = (source, held[1], end)
            continue
        if held is not None:
            yield held
        held = (source, start, end)
    if held is not None:
        yield held


class Assembly:
    """A file that is put together from encoded row groups.

    Parameters
    ----------
    sink : door.Sink
        Receives the file; nothing must have been written to it.
    template : pyarrow.Buffer
        A file without rows whose schema and key-value metadata the new file gets.
    """

    def __init__(self, sink: Sink, template: pa.Buffer) -> None:
        self._sink = sink
        self._splicer = Splicer(template)

    @property
    def rows(self) -> int:
        """Rows so far."""
        return self._splicer.rows

    def fits(self, laid: Laid, names: Iterable[str]) -> bool:
        """Say whether these columns of an encoded file can be copied as they are."""
        return self._splicer.fits(laid, names)

    def add(self, group: Group) -> None:
        """Copy one row group."""
        self._copy(self._splicer.add(group))

    def finish(self) -> None:
        """Write the footer."""
        self._copy([])
        self._sink.write(self._splicer.footer())

    def whole(self, groups: Iterable[Group]) -> None:
        """Copy all row groups and write the footer.

        Raises
        ------
        Unfit
            If that cannot be. Nothing was written then.
        """
        laid = [self._splicer.add(g) for g in groups]
        footer = self._splicer.footer()
        total = self.rows
        done = 0
        report("writing", 0, total)
        # A few groups at a time: what follows one another in a file is copied as one.
        for i in range(0, len(laid), _AT_ONCE):
            self._copy([r for ranges in laid[i : i + _AT_ONCE] for r in ranges])
            done = min(total, done + total * _AT_ONCE // len(laid))
            report("writing", done, total)
        self._copy([])
        self._sink.write(footer)
        report("writing", total, total)

    def head(self, source: FileSource, groups: Sequence[Group]) -> None:
        """Begin with leading row groups of a file, as the leading bytes that they are there.

        The file is read once: its digest and that of the new file begin alike.

        Raises
        ------
        Unfit
            If they can't stay as they are, or the file is not the one that was told of. What was
            written is of no use then.
        """
        for group in groups:
            if len(self._splicer.add(group)) != 1 or not group.stays:
                raise Unfit("row groups that can't stay where they are")
        if self._sink.copy_head(source.path, source.fd, self._splicer.at) != source.told:
            raise Unfit("not the file that its commit told of")

    def _copy(self, ranges: Iterable[Range]) -> None:
        if not self._sink.size:
            self._sink.write(MAGIC)
        for source, start, end in contiguous(ranges):
            for block in source.blocks(start, end):
                self._sink.write(block)
