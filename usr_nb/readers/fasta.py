"""FASTA in and out: headers verbatim, sequences joined, the same file again afterwards."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from usr_nb.errors import SchemaError, ValidationError
from usr_nb.readers.files import BOM, ByteStream
from usr_nb.readers.rows import Rows, pick_columns, show

COLUMNS = ("sequence", "name", "description", "header")
_CHUNK = 4 << 20
_PEEK = 64 << 10
# Twice the longest chromosome known in one piece would still fit a string column (2 GiB).
_LONGEST_RECORD = 512 << 20
_BATCH_BYTES = 64 << 20
# Only space and tab part words: other white space belongs to the name.
_HEADER = re.compile(r"[ \t]*([^ \t]*)[ \t]?(.*)", re.DOTALL)


def open_fasta(
    path: Path,
    *,
    label: str,
    columns: Sequence[str] | None = None,
    batch_rows: int = 65536,
) -> Rows:
    r"""Open a FASTA file; only its first 64 KiB are read here.

    Columns are ``sequence`` (lines joined, case kept, "" for a record without lines),
    ``name`` (first word of the header), ``description`` (what follows the white space after
    it) and ``header`` (the line after ``>``, verbatim). Blank lines are skipped; ``\r\n``
    and gzip are fine; a file without records has no rows. Nothing is written to disk.

    Parameters
    ----------
    path : Path
        The file.
    label : str
        Name for errors.
    columns : sequence of str, optional
        Columns to keep, in this order.
    batch_rows : int
        Largest number of rows in a batch.

    Returns
    -------
    Rows
        ``extra`` says how to write the same file again, see :class:`~usr_nb.readers.Rows`.

    Raises
    ------
    SchemaError
        Text before the first ``>``, a ``;`` comment line, text that is not UTF-8, a header
        with a lone carriage return, a record over 512 MiB. Records and lines are 1-based.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder) / "a.fa"
    ...     _ = path.write_text(">one of two\nAC\nGT\n>two\nTT\n")
    ...     rows = open_fasta(path, label="a.fa", columns=["sequence", "name", "description"])
    ...     [batch.to_pydict() for batch in rows], rows.extra["line_width"], rows.extra["exact"]
    ([{'sequence': ['ACGT', 'TT'], 'name': ['one', 'two'], 'description': ['of two', '']}], 2, True)
    """
    wanted = pick_columns(COLUMNS, columns, label=label)
    schema = pa.schema([(name, pa.string()) for name in wanted])
    facts = _Facts()
    with ByteStream(path, label=label) as stream:
        next(_Reader(stream, label, facts).blocks(_PEEK), None)
    extra = facts.as_dict()

    def batches() -> Iterator[pa.RecordBatch]:
        found = _Facts()
        with ByteStream(path, label=label) as stream:
            reader = _Reader(stream, label, found)
            for heads, bodies, first in _regrouped(reader.blocks(_CHUNK), batch_rows):
                yield _batch(heads, bodies, schema, label=label, first=first)
                stream.tell_progress()
            stream.tell_progress(at_end=True)
        extra.update(found.as_dict())

    return Rows(
        schema=schema,
        label=label,
        format="fasta",
        is_text=False,
        num_rows=None,
        batches=batches,
        extra=extra,
    )


def format_fasta(
    headers: Iterable[str],
    sequences: Iterable[str],
    *,
    width: int | None = None,
    newline: str = "\n",
) -> Iterator[bytes]:
    r"""Yield the bytes of each FASTA record.

    A record is ``>`` and the header verbatim, then the sequence on one line or wrapped at
    `width` letters; an empty sequence has no line. Nothing is written to disk.

    Parameters
    ----------
    headers, sequences : iterable of str
        As many of one as of the other.
    width : int, optional
        Letters per line, at least 1; None for one line.
    newline : str
        Line end.

    Raises
    ------
    ValidationError
        A header or sequence holds a line end (it would forge records), `width` is not
        positive, or the numbers of headers and sequences differ.

    Examples
    --------
    >>> b"".join(format_fasta(["a b", "c"], ["ACGTAC", "TT"], width=4))
    b'>a b\nACGT\nAC\n>c\nTT\n'
    """
    if width is not None and width < 1:
        raise ValidationError(f"the line width is {width}, not a positive number")
    pairs = zip(headers, sequences, strict=True)
    for row in _count_up():
        try:
            pair = next(pairs, None)
        except ValueError:
            raise ValidationError(
                f"headers and sequences differ in number after record {row - 1}",
                hint="Give one header for each sequence.",
            ) from None
        if pair is None:
            return
        for what, text in zip(("header", "sequence"), pair, strict=True):
            if "\n" in text or "\r" in text:
                raise ValidationError(
                    f"record {row}: the {what} holds a line end: {show(text)}",
                    hint="Replace line ends before writing FASTA.",
                )
        yield _record(*pair, width, newline).encode("utf-8")


def _count_up() -> Iterator[int]:
    row = 0
    while True:
        row += 1
        yield row


def _record(header: str, sequence: str, width: int | None, newline: str) -> str:
    step = width or max(1, len(sequence))
    lines = [sequence[i : i + step] for i in range(0, len(sequence), step)]
    return newline.join([">" + header, *lines, ""])


@dataclass
class _Facts:
    """How the file is laid out, as far as it was read."""

    width: int | None = None
    newline: bytes | None = None
    final_newline: bool = True
    exact: bool = True
    longest_line: int = 0

    def as_dict(self) -> dict[str, Any]:
        return {
            "line_width": self.width,
            "newline": (self.newline or b"\n").decode(),
            "final_newline": self.final_newline,
            "exact": self.exact,
        }

    def found_width(self, width: int) -> None:
        """Take the length of the first line of the first wrapped record."""
        self.width = width or None
        self.exact = self.exact and bool(width) and self.longest_line <= width

    def learn(self, block: bytes, heads: list[bytes], seqs: list[bytes]) -> None:
        """Compare whole records with what :func:`format_fasta` would write for them."""
        if not self.exact:
            return
        end, step = self.newline or b"\n", self.width
        if step is None:
            self.longest_line = max(self.longest_line, *map(len, seqs))
        lines: list[bytes] = []
        for head, seq in zip(heads, seqs, strict=True):
            lines.append(b">" + head)
            if step is None or len(seq) <= step:
                lines += [seq] if seq else []
            else:
                lines += [seq[i : i + step] for i in range(0, len(seq), step)]
        same = end.join([*lines, b""])
        self.exact = block in (same, same.removesuffix(end))


class _Reader:
    """Cuts a stream into blocks of whole records."""

    def __init__(self, stream: ByteStream, label: str, facts: _Facts) -> None:
        self._stream = stream
        self._label = label
        self._facts = facts
        self._line = 1
        self._record = 0

    def blocks(self, chunk: int) -> Iterator[tuple[list[bytes], list[bytes]]]:
        """Yield headers and sequences."""
        pending: list[bytes] = []
        size = 0
        for data in self._lines(chunk):
            if size > _LONGEST_RECORD:
                raise SchemaError(
                    f"{self._label}: record {self._record + 1} is longer than "
                    f"{_LONGEST_RECORD >> 20} MiB",
                    hint="Is this a FASTA file? Each record starts with a line `>name`.",
                )
            cut = data.rfind(b"\n>") + 1
            if not cut and not data.startswith(b">"):
                pending.append(data)
                size += len(data)
                continue
            pending.append(data[:cut])
            if done := b"".join(pending):
                yield self._split(done)
            pending, size = [data[cut:]], len(data) - cut
        if done := b"".join(pending):
            self._facts.final_newline = done.endswith(b"\n")
            yield self._split(done)

    def _lines(self, chunk: int) -> Iterator[bytes]:
        """Yield pieces that end with a line end; the first starts with ``>``."""
        started = False
        while data := self._stream.read(chunk):
            data += self._stream.readline(_LONGEST_RECORD)
            if self._facts.newline is None and (at := data.find(b"\n")) >= 0:
                self._facts.newline = b"\r\n" if data[:at].endswith(b"\r") else b"\n"
            if not started:
                data = self._skip_to_first(data)
                started = bool(data)
            if data:
                yield data

    def _skip_to_first(self, data: bytes) -> bytes:
        rest = data.removeprefix(BOM) if self._line == 1 else data
        text = rest.lstrip(b" \t\r\n")
        if len(text) != len(data):
            self._facts.exact = False
        self._line += rest[: len(rest) - len(text)].count(b"\n")
        if text and not text.startswith(b">"):
            raise SchemaError(
                f"{self._label}: line {self._line} comes before the first record: "
                f"{show(text.splitlines()[0][:40])}",
                hint="A FASTA file starts with a line `>name`; comments with `;` are not read.",
            )
        return text

    def _split(self, block: bytes) -> tuple[list[bytes], list[bytes]]:
        first = self._record + 1
        heads: list[bytes] = []
        seqs: list[bytes] = []
        for record in block[1:].removesuffix(b"\n").split(b"\n>"):
            head, _, body = record.partition(b"\n")
            heads.append(head.removesuffix(b"\r"))
            if b"\n" in body:
                if self._facts.width is None:
                    self._facts.found_width(len(body[: body.index(b"\n")].removesuffix(b"\r")))
                body = _joined(body)
            elif body[-1:] in (b"\r", b" ", b"\t"):
                body = _joined(body)
            seqs.append(body)
        self._refuse(block, heads, first)
        self._facts.learn(block, heads, seqs)
        self._line += block.count(b"\n")
        self._record += len(heads)
        return heads, seqs

    def _refuse(self, block: bytes, heads: list[bytes], first: int) -> None:
        if (at := block.find(b"\n;")) >= 0:
            line = self._line + block.count(b"\n", 0, at + 1)
            record = first + block.count(b"\n>", 0, at)
            raise SchemaError(
                f"{self._label}: line {line} (record {record}) is a comment of the old format: "
                f"{show(block[at + 1 : at + 41])}",
                hint="Delete the lines that start with `;`.",
            )
        for at, head in enumerate(heads):
            if b"\r" in head:
                raise SchemaError(
                    f"{self._label}: record {first + at}: a carriage return inside the header: "
                    f"{show(head[:40])}",
                    hint="Convert the line ends, e.g. with `tr '\\r' '\\n'`.",
                )


def _joined(body: bytes) -> bytes:
    """Return the lines of a record in one piece; blank lines are nothing."""
    lines = (line.removesuffix(b"\r") for line in body.split(b"\n"))
    return b"".join(line for line in lines if not line.isspace())


def _regrouped(
    blocks: Iterator[tuple[list[bytes], list[bytes]]], batch_rows: int
) -> Iterator[tuple[list[bytes], list[bytes], int]]:
    """Make batches of blocks, bounded in rows and bytes, with the number of the first record."""
    heads: list[bytes] = []
    seqs: list[bytes] = []
    size, first = 0, 1
    for new_heads, new_seqs in blocks:
        at = 0
        while at < len(new_seqs):
            end = at + batch_rows - len(seqs)
            heads += new_heads[at:end]
            seqs += new_seqs[at:end]
            size += sum(map(len, new_seqs[at:end]))
            at = end
            if len(seqs) == batch_rows or size >= _BATCH_BYTES:
                yield heads, seqs, first
                first += len(seqs)
                heads, seqs, size = [], [], 0
    if seqs:
        yield heads, seqs, first


def _batch(
    heads: list[bytes], seqs: list[bytes], schema: pa.Schema, *, label: str, first: int
) -> pa.RecordBatch:
    columns: dict[str, Any] = {"sequence": _text("sequence", seqs, label, first)}
    columns["header"] = _text("header", heads, label, first)
    if {"name", "description"} & set(schema.names):
        words = [_words(header) for header in columns["header"].to_pylist()]
        columns["name"] = pa.array([name for name, _ in words], pa.string())
        columns["description"] = pa.array([rest for _, rest in words], pa.string())
    if not schema.names:
        return pa.record_batch({"": columns["header"]}).select([])
    return pa.RecordBatch.from_arrays([columns[name] for name in schema.names], schema=schema)


def _words(header: str) -> tuple[str, str]:
    found = _HEADER.match(header)
    return (found[1], found[2]) if found else ("", "")


def _text(what: str, values: list[bytes], label: str, first: int) -> pa.Array:
    try:
        return pa.array(values, pa.binary()).cast(pa.string())
    except pa.ArrowInvalid:
        for at, value in enumerate(values):
            try:
                value.decode("utf-8")
            except UnicodeDecodeError:
                raise SchemaError(
                    f"{label}: record {first + at}: the {what} is not UTF-8 text: "
                    f"{show(value[:40])}",
                    hint="Save the file as UTF-8. Is it perhaps a binary file?",
                ) from None
        raise
