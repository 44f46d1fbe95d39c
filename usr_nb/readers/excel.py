"""xlsx: the first sheet as text, formulas as their text, never computed."""

from __future__ import annotations

import datetime as dt
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa

from usr_nb.errors import SchemaError, SequencesError, StorageError, ValidationError
from usr_nb.readers.files import check_file
from usr_nb.readers.rows import MAX_COLUMNS, Rows, pick_columns, show

_LARGEST = 512 << 20
# Sheets compress 10 to 50 fold. A bomb compresses 1000 fold; below this size none matters.
_RATIO, _RATIO_FROM = 200, 10 << 20
_LAST_ROW = 1_048_576
_ROWS_AT_ONCE = 500


def open_excel(
    path: Path,
    *,
    label: str,
    columns: Sequence[str] | None = None,
    batch_rows: int = 65536,
) -> Rows:
    """Open the first sheet of an xlsx file; its first row is the header.

    All cells become text as in csv: whole numbers without a point, dates and times in ISO
    form, ``true`` and ``false``, a formula as its text. An empty cell is null; rows without
    any cell count as rows, except at the end. Nothing is written to disk.

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
        All columns are string.

    Raises
    ------
    ValidationError
        openpyxl is not installed.
    SchemaError
        The file is damaged, expands to more than 512 MiB, has no sheet or header, repeated
        or missing columns, or a cell outside of the header's columns. Rows are 1-based and
        do not count the header.

    Examples
    --------
    >>> import pathlib, tempfile, openpyxl
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder) / "a.xlsx"
    ...     book = openpyxl.Workbook()
    ...     book.active.append(["sequence", "n"])
    ...     book.active.append(["=1+1", 12.0])
    ...     book.save(path)
    ...     [batch.to_pydict() for batch in open_excel(path, label="a.xlsx")]
    [{'sequence': ['=1+1'], 'n': ['12']}]
    """
    _guard_zip(path, label)
    with _sheet(path, label) as rows:
        header = next(rows, [])
    if not header:
        raise SchemaError(
            f"{label}: the first row of the first sheet is empty, it has no header",
            hint="The first row has to name the columns, one of them `sequence`.",
        )
    names = [name or "" for name in header]
    wanted = pick_columns(names, columns, label=label)
    schema = pa.schema([(name, pa.string()) for name in wanted])

    def batches() -> Iterator[pa.RecordBatch]:
        with _sheet(path, label) as rows:
            next(rows, None)
            yield from _batched(rows, names, schema, label=label, batch_rows=batch_rows)

    return Rows(
        schema=schema, label=label, format="xlsx", is_text=True, num_rows=None, batches=batches
    )


def _batched(
    rows: Iterator[list[str | None]],
    names: list[str],
    schema: pa.Schema,
    *,
    label: str,
    batch_rows: int,
) -> Iterator[pa.RecordBatch]:
    places = [names.index(name) for name in schema.names]
    cells: list[list[str | None]] = [[] for _ in places]
    count = held = 0
    row = 0
    blank: list[str | None] = [None] * len(names)
    for found in rows:
        row += 1
        if not found:
            # Formatted but empty rows at the end of a sheet are no rows.
            held += 1
            continue
        if len(found) > len(names):
            raise SchemaError(
                f"{label}: row {row} has {len(found)} cells, the header has {len(names)}: "
                f"{show(found[-1])}",
                hint="Name that column in the header, or clear the cell.",
            )
        full = found + blank[len(found) :]
        for line in [*([blank] * held), full]:
            for column, place in zip(cells, places, strict=True):
                column.append(line[place])
            count += 1
            if count == batch_rows:
                yield _batch(cells, schema, count)
                cells, count = [[] for _ in places], 0
        held = 0
    if count:
        yield _batch(cells, schema, count)


def _batch(cells: list[list[str | None]], schema: pa.Schema, count: int) -> pa.RecordBatch:
    if not cells:
        return pa.record_batch({"": pa.nulls(count)}).select([])
    return pa.RecordBatch.from_arrays([pa.array(c, pa.string()) for c in cells], schema=schema)


def _guard_zip(path: Path, label: str) -> None:
    """Refuse what is no zip, or a zip that would expand beyond all measure."""
    packed = check_file(path, label=label)
    with _typed(label), zipfile.ZipFile(path) as archive:
        # The reader of an entry stops at the size stated here, so it cannot lie downwards.
        size = sum(entry.file_size for entry in archive.infolist())
    if size > _LARGEST or size > max(_RATIO_FROM, _RATIO * packed):
        raise SchemaError(
            f"{label}: expands from {packed} to {size} bytes, too much for a sheet",
            hint="Save the sheet as csv and read that.",
        )


@contextmanager
def _typed(label: str) -> Iterator[None]:
    """Turn whatever a damaged file makes zipfile, expat or openpyxl raise into one error."""
    try:
        with warnings.catch_warnings():
            # openpyxl warns of styles and extensions that do not touch the cells.
            warnings.simplefilter("ignore")
            yield
    except (SequencesError, GeneratorExit):
        raise
    except PermissionError as error:
        raise StorageError(
            f"{label}: cannot be opened: {error.strerror}", hint="Check its permissions."
        ) from error
    except Exception as error:
        raise SchemaError(
            f"{label}: damaged or not an xlsx file ({type(error).__name__}: {str(error)[:200]})",
            hint="Open it in a spreadsheet and save it as xlsx again, or as csv.",
        ) from error


@contextmanager
def _sheet(path: Path, label: str) -> Iterator[Iterator[list[str | None]]]:
    """Open the first sheet and give its rows as text, without the empty cells at their ends."""
    try:
        import openpyxl
    except ImportError as error:
        raise ValidationError(
            f"{label}: reading xlsx needs openpyxl, which is not installed",
            hint="pip install 'usr-nb[xlsx]'",
        ) from error
    with ExitStack() as stack:
        with _typed(label):
            # Opened here: given a path, openpyxl refuses any suffix that it does not know.
            file = stack.enter_context(path.open("rb"))
            book = openpyxl.load_workbook(file, read_only=True, data_only=False, keep_links=False)
        stack.callback(book.close)
        if not book.worksheets:
            raise SchemaError(f"{label}: has no sheet", hint="Save the table as the first sheet.")
        yield _text_rows(book.worksheets[0], label)


def _text_rows(sheet: Any, label: str) -> Iterator[list[str | None]]:
    with _typed(label):
        # The stated dimensions may claim 16384 columns, and would pad every row to them.
        sheet.reset_dimensions()
        rows = sheet.iter_rows(values_only=True)
    number = 0
    while True:
        # Many rows per guard: setting one up costs more than reading a row.
        with _typed(label):
            part = list(islice(rows, _ROWS_AT_ONCE))
        if not part:
            return
        for row in part:
            number += 1
            if number > _LAST_ROW or len(row) > MAX_COLUMNS:
                raise SchemaError(
                    f"{label}: sheet row {number} lies beyond the limits of a sheet",
                    hint="Open it in a spreadsheet and save it as xlsx again, or as csv.",
                )
            cells = [_text(value) for value in row]
            while cells and cells[-1] is None:
                cells.pop()
            yield cells


def _text(value: Any) -> str | None:
    """Return a cell as csv would hold it, None for an empty one."""
    if value is None or value == "":
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        whole = value.is_integer() and abs(value) < 1e15
        return str(int(value)) if whole else repr(value)
    if isinstance(value, dt.datetime):
        # A date without a time of day is stored as midnight.
        return (value.date() if value.time() == dt.time() else value).isoformat()
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    # Array formulas are objects that carry their text.
    text = getattr(value, "text", value)
    return str(text)
