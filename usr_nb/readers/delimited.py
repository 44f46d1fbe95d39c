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
from usr_nb.readers.rows import MAX_COLUMNS, Rows, pick_columns, show

_BLOCK = 4 << 20
# A block holds up to twice this, and is copied three times while it is parsed.
_LARGEST_ROW = 32 << 20
_LARGEST_HEADER = 1 << 20
_UTF8_HINT = "Save the file as UTF-8; spreadsheets call it 'CSV UTF-8'."

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
        cells, bytes that are not UTF-8, a quote left open, a row over 32 MiB. Rows are
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
            # Twice as much each time: the header is split anew from its start.
            more = stream.read(max(64 << 10, len(data)))
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
        """Yield the data rows."""
        rows = self._rows(wanted)
        if len(self.header) == 1:
            rows = _without_trailing_nulls(rows)
        for batch in rows:
            kept = batch if wanted else batch.select([])
            for start in range(0, kept.num_rows, batch_rows):
                yield kept.slice(start, batch_rows)

    def _rows(self, wanted: list[str]) -> Iterator[pa.RecordBatch]:
        done = 0
        with ByteStream(self.path, label=self.label) as stream:
            header, rest = self.read_header(stream)
            if header != self.header:
                raise SchemaError(
                    f"{self.label}: the header changed since the file was opened",
                    hint="Wait until the program that writes it is done, then open it again.",
                )
            records = self._records(stream, rest)
            while True:
                try:
                    block = next(records, None)
                except _RecordError as error:
                    raise error.at_row(done + 1, self.label) from None
                stream.tell_progress(at_end=block is None)
                if block is None:
                    return
                for batch in self._parsed(block, wanted, done).to_batches():
                    done += batch.num_rows
                    yield batch

    def _records(self, stream: ByteStream, rest: bytes) -> Iterator[bytes]:
        """Yield blocks of whole records; a record longer than a block makes its block longer."""
        data = rest
        while True:
            # Twice as much each time, so that a long record is not searched again and again.
            more = stream.read(max(_BLOCK, len(data)))
            data += more
            if not more and data and not data.endswith((b"\n", b"\r")):
                data += b"\n"
            end = records_end(data, self.delimiter.encode(), at_end=not more)
            if end:
                yield data[:end]
            data = data[end:]
            if not more:
                break
            if len(data) > _LARGEST_ROW:
                raise _RecordError(
                    f"is longer than {_LARGEST_ROW >> 20} MiB",
                    "Is a quote left open? If not, import long sequences as FASTA or parquet.",
                )
        if data:
            # Records before the open quote were yielded, so this is the one that opens it.
            raise _RecordError(
                f"opens a quote that is never closed: {show(data[:60])}",
                'Close the quote, or write "" for a quote inside a quoted cell.',
            )

    def _parsed(self, block: bytes, wanted: list[str], done: int) -> pa.Table:
        # In Arrow's own memory, parsed before this returns: pyarrow's streaming reader over a
        # Python file reads ahead in threads, and aborts a process that ends before they do.
        memory = pa.allocate_buffer(len(block))
        memoryview(memory).cast("B")[:] = block
        try:
            return pacsv.read_csv(
                pa.BufferReader(memory),
                # One thread: only then do errors carry row numbers.
                read_options=pacsv.ReadOptions(
                    use_threads=False, block_size=len(block) + 1, column_names=self.header
                ),
                parse_options=pacsv.ParseOptions(
                    delimiter=self.delimiter,
                    newlines_in_values=True,
                    ignore_empty_lines=len(self.header) > 1,
                ),
                convert_options=pacsv.ConvertOptions(
                    column_types=dict.fromkeys(self.header, pa.string()),
                    # An empty list means all columns: read one to count the rows by.
                    include_columns=wanted or self.header[:1],
                    null_values=[""],
                    strings_can_be_null=True,
                    quoted_strings_can_be_null=False,
                ),
            )
        except (pa.ArrowException, UnicodeDecodeError, MemoryError) as error:
            raise self._typed(str(error), done) from error

    def _typed(self, message: str, done: int) -> SchemaError:
        """Turn pyarrow's text, which counts rows from the block's first, into an error of ours."""
        if ragged := _RAGGED.search(message):
            row, expected, got, text = ragged.groups()
            return SchemaError(
                f"{self.label}: row {done + int(row)} has {got} cells, the header has {expected}: "
                f"{show(text)}",
                hint="Quote cells that hold the separator or a line end.",
            )
        if cell := _CELL.search(message):
            place, row = int(cell[1]), done + int(cell[2])
            name = self.header[place] if place < len(self.header) else str(place)
            utf8 = "UTF8" in cell[3]
            problem = " is not UTF-8 text" if utf8 else f": {cell[3][:200]}"
            return SchemaError(
                f"{self.label}: column {show(name)}, row {row}{problem}",
                hint=_UTF8_HINT if utf8 else "Look at this row in a text editor.",
            )
        return SchemaError(
            f"{self.label}: after row {done}: cannot be read as delimited text: {message[:200]}",
            hint="Check the separator, the quotes and the encoding (UTF-8).",
        )


class _RecordError(Exception):
    """A record that has no end; its row is known to who counts the rows."""

    def __init__(self, problem: str, hint: str) -> None:
        super().__init__(problem)
        self.problem = problem
        self.hint = hint

    def at_row(self, row: int, label: str) -> SchemaError:
        return SchemaError(f"{label}: row {row} {self.problem}", hint=self.hint)


def records_end(data: bytes, delimiter: bytes, *, at_end: bool) -> int:
    r"""Return where the last whole record in `data` ends; 0 when there is none.

    Quotes count as pyarrow counts them: only at the start of a cell.

    Parameters
    ----------
    data : bytes
        Text that starts with a record.
    delimiter : bytes
        One byte.
    at_end : bool
        Nothing follows; otherwise a ``\r`` at the very end may be half of a line end.

    Returns
    -------
    int
        Number of bytes, line end included.

    Examples
    --------
    >>> records_end(b'a,b\n"x\ny', b",", at_end=True)
    4
    """
    if b'"' not in data:
        end = data.rfind(b"\n") + 1
        if not end:
            end = data.rfind(b"\r", 0, None if at_end else -1) + 1
        # What follows the last \n may hold lone \r; they are line ends as well.
        return len(data) if at_end and data.endswith(b"\r") else end
    # Possessive throughout: linear in time, and an open quote matches nothing.
    cell = rb'(?:"(?:[^"]++|"")*+"|(?!"))[^\r\n' + delimiter + rb"]*+"
    line_end = rb"(?:\r\n|\n|\r(?!\n))" if at_end else rb"(?:\r\n|\n|\r(?!\n|\Z))"
    found = re.match(rb"(?:(?:" + cell + delimiter + rb")*+" + cell + line_end + rb")*+", data)
    return found.end() if found else 0


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
    # Possessive: giving back half of a doubled quote would close a cell that stays open.
    quoted = re.compile(rb'"((?:[^"]++|"")*+)"')
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
        if len(cells) > MAX_COLUMNS:
            return cells, at  # Far too many already; who asked will say so.
        mark = data[at : at + 1]
        if mark == delimiter:
            at += 1
        elif not mark:
            return (cells, at) if at_end else None
        else:
            end = at + (2 if data[at : at + 2] == b"\r\n" else 1)
            # A \r at the very end may be half of a line end.
            return (cells, end) if at_end or end < len(data) else None
