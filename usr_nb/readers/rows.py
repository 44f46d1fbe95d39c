"""What every reader hands back: one stream of Arrow record batches, and where it came from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

import pyarrow as pa

from usr_nb.contract.progress import tracked
from usr_nb.errors import SchemaError, SequencesError, did_you_mean, join_hints, some

Format = Literal["csv", "tsv", "jsonl", "parquet", "xlsx", "fasta", "table"]
FORMATS: tuple[Format, ...] = get_args(Format)

# Wide tables are legitimate; a header or object with more names than this is an attack or a
# transposed file, and each column costs every batch.
MAX_COLUMNS = 20_000


@dataclass(frozen=True)
class Rows:
    """A source opened for reading: iterate it to get record batches of one schema.

    Nothing is written to disk. Files and tables can be iterated again; a stream that can be
    read only once (an iterator, a ``RecordBatchReader``) raises
    :class:`~usr_nb.errors.SequencesError` on the second iteration.

    Attributes
    ----------
    schema : pyarrow.Schema
        Schema of every batch. Types are plain: no dictionary, large or view types.
    label : str
        The path as given, or ``"<table>"``; errors start with it.
    format : str
        One of :data:`FORMATS`.
    is_text : bool
        True for csv, tsv and xlsx: every column is string, null is an empty unquoted cell.
    num_rows : int or None
        Number of rows, if known without reading.
    extra : mapping
        Facts of the format. FASTA: ``line_width`` (int, or None for one-line sequences),
        ``newline``, ``final_newline`` and ``exact`` (True when
        :func:`~usr_nb.readers.fasta.format_fasta` with these facts gives the very same file).
        FASTA facts describe the start of the file until one iteration has run to its end.

    Examples
    --------
    >>> from usr_nb.readers import open_rows
    >>> rows = open_rows([{"sequence": "ACGT", "score": 1}, {"sequence": "TTTT"}])
    >>> rows.schema.names, rows.num_rows
    (['sequence', 'score'], 2)
    >>> [batch.num_rows for batch in rows]
    [2]
    """

    schema: pa.Schema
    label: str
    format: Format
    is_text: bool
    num_rows: int | None
    batches: Callable[[], Iterator[pa.RecordBatch]] = field(repr=False)
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        """Yield record batches of :attr:`schema`, in the source's row order."""
        if self.num_rows is None:
            # Readers of text files report the bytes that they have read.
            return self.batches()
        return tracked(self.batches(), "reading", total=self.num_rows)


def renamed(rows: Rows, names: Mapping[str, str]) -> Rows:
    """Return the rows with other names for some columns.

    Raises
    ------
    SchemaError
        If a column is not there, two would have one name, or the source is FASTA.

    Examples
    --------
    >>> from usr_nb.readers import open_rows
    >>> rows = open_rows([{"Seq": "ACGT"}])
    >>> renamed(rows, {"Seq": "sequence"}).schema.names
    ['sequence']
    """
    have = rows.schema.names
    for name in names:
        if name not in have:
            raise SchemaError(
                f"{rows.label}: no column '{name}' to rename",
                hint=join_hints(did_you_mean(name, have), f"Columns there: {some(have, 12)}."),
            )
    if rows.format == "fasta" and names:
        raise SchemaError(
            f"{rows.label}: a FASTA file has no columns to rename",
            hint="Its letters are `sequence`; keep= stores name, description and header.",
        )
    after = [names.get(n, n) for n in have]
    twice = next((n for n in after if after.count(n) > 1), None)
    if twice is not None:
        raise SchemaError(
            f"{rows.label}: two columns would be called '{twice}'", hint="Choose another name."
        )
    fields = zip(after, rows.schema, strict=True)
    schema = pa.schema([f.with_name(n) for n, f in fields], metadata=rows.schema.metadata)

    def batches() -> Iterator[pa.RecordBatch]:
        return (pa.RecordBatch.from_arrays(b.columns, schema=schema) for b in rows.batches())

    return replace(rows, schema=schema, batches=batches)


def only_once(
    batches: Iterator[pa.RecordBatch], *, label: str
) -> Callable[[], Iterator[pa.RecordBatch]]:
    """Wrap a one-shot stream so that a second iteration is an error, never an empty result."""
    left = [batches]

    def take() -> Iterator[pa.RecordBatch]:
        if not left:
            raise SequencesError(
                f"{label}: this stream was read already and cannot be read twice",
                hint="Collect it into a pyarrow.Table first, or open the source again.",
            )
        return left.pop()

    return take


def show(value: object) -> str:
    """Return the repr of `value`, cut to 40 characters.

    Examples
    --------
    >>> show("A" * 100)
    "'AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA..."
    """
    if isinstance(value, bytes):
        value = value[:60].decode("utf-8", "backslashreplace")
    # A chromosome's repr would be built in full only to be cut.
    text = repr(value[:60] if isinstance(value, str) else value)
    return text if len(text) <= 40 else text[:39] + "..."


def cell_error(
    label: str, *, column: str, row: int, value: object, problem: str, hint: str
) -> SchemaError:
    """Return the error for one cell: label, column, 1-based row, value, problem, hint."""
    return SchemaError(
        f"{label}: column {show(column)}, row {row}: {show(value)} {problem}", hint=hint
    )


def pick_columns(
    names: Sequence[str],
    columns: Sequence[str] | None,
    *,
    label: str,
    hint: str | None = None,
) -> list[str]:
    """Return the columns to read, in the order asked for (all of them for None).

    Parameters
    ----------
    names : sequence of str
        The columns that the source has.
    columns : sequence of str or None
        The columns wanted; repeats are folded.
    label : str
        Source, for errors.
    hint : str, optional
        Added to the hint when a column is missing.

    Raises
    ------
    SchemaError
        A name appears twice in the source, a wanted column is missing, or there are more
        than :data:`MAX_COLUMNS` columns.

    Examples
    --------
    >>> pick_columns(["id", "sequence"], ["sequence"], label="a.csv")
    ['sequence']
    """
    if len(names) > MAX_COLUMNS:
        raise SchemaError(
            f"{label}: {len(names)} columns, more than {MAX_COLUMNS}",
            hint="Is the table transposed? Put long vectors into one list column.",
        )
    if twice := repeated(names):
        raise SchemaError(
            f"{label}: column names appear more than once: {some(map(show, twice))}",
            hint="Rename or drop the repeated columns.",
        )
    if columns is None:
        return list(names)
    known = set(names)
    missing = [c for c in dict.fromkeys(columns) if c not in known]
    if missing:
        raise SchemaError(
            f"{label}: no column {some(map(show, missing))}; "
            f"it has {some(map(show, names), limit=20) or 'no columns'}",
            hint=join_hints(did_you_mean(missing[0], names), hint)
            or "Check the header, or name other columns.",
        )
    return list(dict.fromkeys(columns))


def repeated(names: Iterable[str]) -> list[str]:
    """Return the names that appear more than once, each once, in order.

    Examples
    --------
    >>> repeated(["a", "b", "a"])
    ['a']
    """
    seen: set[str] = set()
    twice: dict[str, None] = {}
    for name in names:
        if name in seen:
            twice[name] = None
        seen.add(name)
    return list(twice)
