"""CSV and TSV: every cell is text, and only an empty unquoted cell is null."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from usr_nb.errors import SchemaError
from usr_nb.readers.files import BOM, ByteStream
from usr_nb.readers.rows import Rows, pick_columns, show

_BLOCK = 4 << 20
_LARGEST_ROW = 64 << 20
_LARGEST_HEADER = 1 << 20
_UTF8_HINT = "Save the file as UTF-8; spreadsheets call it 'CSV UTF-8'."
_SENTINEL = "usr-nb:end-of-file"

_RAGGED = re.compile(r"Row #(\d+): Expected (\d+) columns?, got (\d+): ?(.*)", re.DOTALL)
_CELL = re.compile(r"column #(\d+): Row #(\d+): (.*)", re.DOTALL)


def open_delimited(
    path: Path,
    *,
    label: str,
    fmt: Literal["csv", "tsv"],
    columns: Sequence[str] | None = None,
    batch_rows: int = 65536,
) -> Rows:
    r"""Open a csv or tsv file; only its header is read here.

    UTF-8 with or without a byte order mark, gzip or not, any line ends, newlines inside
    quotes. A blank line is skipped in a file of several columns; in a file of one column it
    is an empty cell, unless nothing follows it. Nothing is written to disk.

    Parameters
    ----------
    path : Path
        The file.
    label : str
        Name for errors.
    fmt : {"csv", "tsv"}
        Comma or tab between cells.
    columns : sequence of str, optional
        Columns to keep, in this order; cells of others are not decoded.
    batch_rows : int
        Largest number of rows in a batch.

    Returns
    -------
    Rows
        All columns are string.

    Raises
    ------
    SchemaError
        No header, repeated or missing columns; while iterating: rows with another number of
        cells, bytes that are not UTF-8, a quote left open, a row over 64 MiB. Rows are
        1-based and do not count the header.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder) / "a.csv"
    ...     _ = path.write_text('sequence,note\nACGT,NA\n,""\n')
    ...     [b.to_pydict() for b in open_delimited(path, label="a.csv", fmt="csv")]
    [{'sequence': ['ACGT', None], 'note': ['NA', '']}]
    """
    table = _Delimited(path, label=label, delimiter="," if fmt == "csv" else "\t")
    with ByteStream(path, label=label) as stream:
        table.header = table.read_header(stream)[0]
    wanted = pick_columns(table.header, columns, label=label, hint=table.separator_hint())
    return Rows(
        schema=pa.schema([pa.field(name, pa.string()) for name in wanted]),
        label=label,
        format=fmt,
        is_text=True,
        num_rows=None,
        batches=lambda: table.batches(wanted, batch_rows),
    )


class _Delimited:
    """One file and how its cells are separated."""

    def __init__(self, path: Path, *, label: str, delimiter: str) -> None:
        self.path = path
        self.label = label
        self.delimiter = delimiter
        self.header: list[str] = []

    def read_header(self, stream: ByteStream) -> tuple[list[str], bytes]:
        """Return the column names and the bytes read beyond the header."""
        data = stream.read(64 << 10).removeprefix(BOM).lstrip(b"\r\n")
        while True:
            more = stream.read(64 << 10)
            split = split_record(data, self.delimiter.encode(), at_end=not more)
            if split is not None:
                break
            data = (data + more) if data else more.lstrip(b"\r\n")
            if len(data) > _LARGEST_HEADER:
                raise SchemaError(
                    f"{self.label}: the header is longer than 1 MiB",
                    hint="Is this a text table, and is every quote in the header closed?",
                )
            if not more:
                raise SchemaError(
                    f"{self.label}: a quote in the header is never closed",
                    hint="Close the quote, or double it if it is part of a name.",
                )
        cells, used = split
        if cells == [b""]:
            raise SchemaError(
                f"{self.label}: the file is empty, it has no header",
                hint="The first line has to name the columns, one of them `sequence`.",
            )
        try:
            names = [cell.decode("utf-8") for cell in cells]
        except UnicodeDecodeError:
            raise SchemaError(
                f"{self.label}: the header is not UTF-8 text: {show(data[:30])}", hint=_UTF8_HINT
            ) from None
        return names, data[used:] + more

    def separator_hint(self) -> str | None:
        """Say so when the header looks separated by something else."""
        others = {";": "semicolons", "\t": "tabs (--from tsv)", ",": "commas (--from csv)"}
        others.pop(self.delimiter)
        for mark, words in others.items():
            if len(self.header) == 1 and mark in self.header[0]:
                return f"The header looks separated by {words}."
        return None

    def batches(self, wanted: list[str], batch_rows: int) -> Iterator[pa.RecordBatch]:
        """Yield the data rows.

        A row must fit a block. Blocks are small, so that memory is; the rare file with a
        longer row is read again in large blocks, dropping what was handed out already.
        """
        done = 0
        for block in (_BLOCK, _LARGEST_ROW):
            skip = done
            try:
                for batch in self._rows(wanted, block):
                    fresh = batch.slice(min(skip, batch.num_rows))
                    skip -= batch.num_rows - fresh.num_rows
                    for start in range(0, fresh.num_rows, batch_rows):
                        part = fresh.slice(start, batch_rows)
                        done += part.num_rows
                        yield part
            except _RowTooLongError:
                continue
            return
        raise SchemaError(
            f"{self.label}: a row after row {done} is longer than {_LARGEST_ROW >> 20} MiB",
            hint="Is a quote left open there? If not, import long sequences as FASTA or parquet.",
        )

    def _rows(self, wanted: list[str], block: int) -> Iterator[pa.RecordBatch]:
        # include_columns=[] means all to pyarrow: read one column to count the rows by.
        rows = self._without_sentinel(self._parsed(wanted or self.header[:1], block))
        if len(self.header) == 1:
            rows = _without_trailing_nulls(rows)
        for batch in rows:
            yield batch if wanted else batch.select([])

    def _without_sentinel(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Drop the row that was put at the end; if it is not a row, a quote swallowed it."""
        held: pa.RecordBatch | None = None
        for batch in batches:
            if batch.num_rows:
                if held is not None:
                    yield held
                held = batch
        end = held.slice(held.num_rows - 1).to_pylist()[0] if held is not None else {}
        swallowed = [cell for cell in end.values() if cell != _SENTINEL]
        if held is None or swallowed:
            raise SchemaError(
                f"{self.label}: a quote in the last row is never closed: {show(swallowed[-1:])}",
                hint='Close the quote, or write "" for a quote inside a quoted cell.',
            )
        yield held.slice(0, held.num_rows - 1)

    def _parsed(self, wanted: list[str], block: int) -> Iterator[pa.RecordBatch]:
        with ByteStream(self.path, label=self.label) as stream:
            header, rest = self.read_header(stream)
            if header != self.header:
                raise SchemaError(
                    f"{self.label}: the header changed since the file was opened",
                    hint="Wait until the program that writes it is done, then open it again.",
                )
            sentinel = self.delimiter.join([_SENTINEL] * len(header)).encode()
            body = pa.PythonFile(_Body(stream, rest, sentinel), mode="r")
            try:
                # One thread is as fast here, and only then do errors carry row numbers.
                yield from pacsv.open_csv(
                    body,
                    read_options=pacsv.ReadOptions(
                        use_threads=False, block_size=block, column_names=header
                    ),
                    parse_options=pacsv.ParseOptions(
                        delimiter=self.delimiter,
                        newlines_in_values=True,
                        ignore_empty_lines=len(header) > 1,
                    ),
                    convert_options=pacsv.ConvertOptions(
                        column_types=dict.fromkeys(header, pa.string()),
                        include_columns=wanted,
                        null_values=[""],
                        strings_can_be_null=True,
                        quoted_strings_can_be_null=False,
                    ),
                )
            except (pa.ArrowException, UnicodeDecodeError) as error:
                raise self._typed(str(error)) from error

    def _typed(self, message: str) -> Exception:
        """Turn pyarrow's text into an error of ours, or the signal to try larger blocks."""
        if "straddling" in message:
            return _RowTooLongError()
        if ragged := _RAGGED.search(message):
            row, expected, got, text = ragged.groups()
            return SchemaError(
                f"{self.label}: row {row} has {got} cells, the header has {expected}: {show(text)}",
                hint="Quote cells that hold the separator or a line end.",
            )
        if cell := _CELL.search(message):
            place = int(cell[1])
            name = self.header[place] if place < len(self.header) else str(place)
            if "UTF8" in cell[3]:
                return SchemaError(
                    f"{self.label}: column {show(name)}, row {cell[2]} is not UTF-8 text",
                    hint=_UTF8_HINT,
                )
            return SchemaError(
                f"{self.label}: column {show(name)}, row {cell[2]}: {cell[3][:200]}",
                hint="Look at this row in a text editor.",
            )
        return SchemaError(
            f"{self.label}: cannot be read as delimited text: {message[:200]}",
            hint="Check the separator, the quotes and the encoding (UTF-8).",
        )


class _RowTooLongError(Exception):
    """A row does not fit the block; larger blocks may do."""


class _Body:
    """The file after its header, with one more row at the end that proves all quotes closed."""

    closed = False

    def __init__(self, stream: ByteStream, rest: bytes, sentinel: bytes) -> None:
        self._stream = stream
        self._buffer = rest
        self._sentinel: bytes | None = sentinel
        self._last = b"\n"

    def read(self, size: int) -> bytes:
        """Return up to `size` bytes."""
        if not self._buffer:
            self._buffer = self._stream.read(size)
        if not self._buffer and self._sentinel is not None:
            line_end = b"" if self._last in b"\r\n" else b"\n"
            self._buffer, self._sentinel = line_end + self._sentinel, None
        # A block that ends between \r and \n would give a blank line.
        cut = size - 1 if self._buffer[size - 1 : size] == b"\r" and size > 1 else size
        out, self._buffer = self._buffer[:cut], self._buffer[cut:]
        if out == b"\r" and not self._buffer:
            self._buffer = self._stream.read(1)
        elif out.endswith(b"\r") and not self._buffer:
            out, self._buffer = out[:-1], b"\r"
        self._last = out[-1:] or self._last
        return out

    def close(self) -> None:
        """Leave the stream to its owner."""


def _without_trailing_nulls(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Hold back nulls until a row with a value follows: blank lines at the end are no rows."""
    blank = 0
    for batch in batches:
        filled = pc.indices_nonzero(batch.column(0).is_valid())
        if not len(filled):
            blank += batch.num_rows
            continue
        while blank:
            some = min(blank, 65536)
            blank -= some
            yield pa.RecordBatch.from_arrays([pa.nulls(some, pa.string())], schema=batch.schema)
        keep = filled[-1].as_py() + 1
        blank = batch.num_rows - keep
        yield batch.slice(0, keep)


def split_record(data: bytes, delimiter: bytes, *, at_end: bool) -> tuple[list[bytes], int] | None:
    r"""Split the first record of `data` into cells, as pyarrow does.

    A quote counts only at the start of a cell; text after a closing quote is kept.

    Parameters
    ----------
    data : bytes
        Text that starts with the record.
    delimiter : bytes
        One byte.
    at_end : bool
        No more bytes follow: the end of `data` ends the record.

    Returns
    -------
    (list of bytes, int) or None
        The cells and the number of bytes used, the line end included; None when the record
        does not end in `data`.

    Examples
    --------
    >>> split_record(b'a,"b, ""c"\n1,2', b",", at_end=True)
    ([b'a', b'b, "c'], 11)
    >>> split_record(b'a,"b', b",", at_end=True) is None
    True
    """
    plain = re.compile(rb"[^\r\n" + delimiter + rb"]*")
    quoted = re.compile(rb'"((?:[^"]|"")*)"')
    cells: list[bytes] = []
    at = 0
    while True:
        text = b""
        if data[at : at + 1] == b'"':
            found = quoted.match(data, at)
            if found is None:
                return None
            text, at = found[1].replace(b'""', b'"'), found.end()
        tail = plain.match(data, at)
        if tail is not None:
            text, at = text + tail[0], tail.end()
        cells.append(text)
        mark = data[at : at + 1]
        if mark == delimiter:
            at += 1
        elif not mark:
            return (cells, at) if at_end else None
        else:
            end = at + (2 if data[at : at + 2] == b"\r\n" else 1)
            # A \r at the very end may be half of a line end.
            return (cells, end) if at_end or end < len(data) else None
