"""Rows and columns of a Parquet file from its footer, without pyarrow.

Listing a root needs two numbers per dataset. Importing pyarrow takes longer than everything else
that ``usr ls`` does, so the few bytes of Thrift (compact protocol) that hold them are read here.
Only the schema's head and ``num_rows`` are decoded; whoever reads values uses ``storage.parquet``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from usr_nb.errors import StorageError

_MAGIC: Final = b"PAR1"
_TAIL: Final = 8
_SCHEMA, _NUM_ROWS, _NUM_CHILDREN = 2, 3, 5
_TRUE, _FALSE, _BYTE, _DOUBLE, _BINARY, _LIST, _SET, _STRUCT = 1, 2, 3, 7, 8, 9, 10, 12
_VARINTS: Final = frozenset({4, 5, 6})
_DEEPEST: Final = 32


def read_counts(path: Path) -> tuple[int, int]:
    """Return (rows, top-level columns) of a Parquet file.

    Raises
    ------
    FileNotFoundError
        It is gone.
    StorageError
        It is no readable Parquet file.
    """
    try:
        with path.open("rb") as f:
            size = f.seek(0, 2)
            f.seek(max(0, size - _TAIL))
            tail = f.read(_TAIL)
            length = int.from_bytes(tail[:4], "little")
            if tail[4:] != _MAGIC or length + _TAIL > size:
                raise StorageError(f"{path} is not a readable Parquet file: no footer")
            f.seek(size - _TAIL - length)
            return _Compact(f.read(length)).counts()
    except FileNotFoundError:
        raise
    except (OSError, ValueError, IndexError, RecursionError) as error:
        raise StorageError(f"{path} is not a readable Parquet file: {error}") from None


class _Compact:
    """A reader of Thrift's compact protocol that skips whatever it is not asked for."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def counts(self) -> tuple[int, int]:
        """Return (rows, top-level columns) of a ``FileMetaData``."""
        rows = columns = None
        for field, kind in self.fields():
            if field == _SCHEMA:
                columns = self.first_of_schema()
            elif field == _NUM_ROWS:
                rows = self.zigzag()
            else:
                self.skip(kind)
            if rows is not None and columns is not None:
                return rows, columns
        raise ValueError("its footer has no schema or row count")

    def first_of_schema(self) -> int:
        """Return the children of the first element of the schema, and pass over the others."""
        kind, n = self.list_head()
        children = 0
        for i in range(n):
            if i:
                self.skip(kind)
                continue
            for field, inner in self.fields():
                if field == _NUM_CHILDREN:
                    children = self.zigzag()
                else:
                    self.skip(inner)
        return children

    def fields(self) -> _Fields:
        """Iterate over the (id, kind) of a struct's fields; each value must be read or skipped."""
        return _Fields(self)

    def byte(self) -> int:
        """Read one byte."""
        self.at += 1
        return self.data[self.at - 1]

    def varint(self) -> int:
        """Read an unsigned number."""
        value = shift = 0
        while True:
            b = self.byte()
            value |= (b & 0x7F) << shift
            if b < 0x80:
                return value
            shift += 7
            if shift > 63:
                raise ValueError("a number in its footer is too long")

    def zigzag(self) -> int:
        """Read a signed number."""
        n = self.varint()
        return (n >> 1) ^ -(n & 1)

    def list_head(self) -> tuple[int, int]:
        """Read the kind and number of a list's elements."""
        head = self.byte()
        n = head >> 4
        return head & 0x0F, self.varint() if n == 15 else n

    def skip(self, kind: int, depth: int = 0) -> None:
        """Pass over one value."""
        if depth > _DEEPEST:
            raise ValueError("its footer is nested too deeply")
        if kind in _VARINTS:
            self.varint()
        elif kind == _BINARY:
            length = self.varint()
            self.at += length
        elif kind == _DOUBLE:
            self.at += 8
        elif kind == _BYTE:
            self.at += 1
        elif kind in (_LIST, _SET):
            inner, n = self.list_head()
            for _ in range(n):
                # A boolean in a list takes a byte, as a field none.
                self.skip(_BYTE if inner in (_TRUE, _FALSE) else inner, depth + 1)
        elif kind == _STRUCT:
            for _, inner in self.fields():
                self.skip(inner, depth + 1)
        elif kind not in (_TRUE, _FALSE):
            raise ValueError(f"its footer holds an unknown kind {kind}")
        if self.at > len(self.data):
            raise ValueError("its footer ends too early")


class _Fields:
    """The fields of one struct."""

    def __init__(self, source: _Compact) -> None:
        self.source = source
        self.last = 0

    def __iter__(self) -> _Fields:
        return self

    def __next__(self) -> tuple[int, int]:
        head = self.source.byte()
        if head == 0:
            raise StopIteration
        delta = head >> 4
        self.last = self.last + delta if delta else self.source.zigzag()
        return self.last, head & 0x0F
