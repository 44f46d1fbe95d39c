"""Writing records for other programs: csv, jsonl, parquet (contract GET, STA-3)."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal, get_args

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv

from usr_nb.contract.columns import Columns, as_yaml
from usr_nb.contract.progress import tracked
from usr_nb.dataset.context import Context
from usr_nb.dataset.fasta import fasta_bytes, naming
from usr_nb.dataset.ids import find_shown
from usr_nb.dataset.safecsv import harmless
from usr_nb.dataset.values import json_text
from usr_nb.errors import ValidationError, did_you_mean
from usr_nb.filter.kept import Where
from usr_nb.filter.order import By
from usr_nb.filter.sorted import chosen_rows
from usr_nb.overlay.merge import Merged
from usr_nb.readers import guess_format
from usr_nb.storage import columnsfile, door
from usr_nb.storage.door import Sink
from usr_nb.storage.inside import check_output
from usr_nb.storage.layout import user_path
from usr_nb.storage.parallel import in_order
from usr_nb.storage.parquet import with_metadata, write_batches

ExportFormat = Literal["csv", "jsonl", "parquet", "fasta"]
EXPORT_FORMATS: Final[tuple[str, ...]] = get_args(ExportFormat)


@dataclass(frozen=True)
class ExportResult:
    """What was exported: rows in all, and how many of them are masked or failed QC (STA-3).

    ``hidden`` is how many tombstoned rows were left out, ``unpicked`` how many live ones were
    because of a filter or ``top``.
    """

    path: str
    rows: int
    masked: int
    failed: int
    hidden: int = 0
    unpicked: int = 0


def export(
    ctx: Context,
    fmt: str | None,
    out: str | os.PathLike[str],
    *,
    columns: Sequence[str] | None,
    include_deleted: bool,
    names: str | None = None,
    safe_csv: bool = False,
    where: Where | None = None,
    column_info: bool = False,
    order_by: By | Sequence[By] = (),
    top: int | None = None,
    ids: Iterable[str] | None = None,
) -> ExportResult:
    """Write the merged records to a file, which appears whole or not at all."""
    writers: dict[str, Callable[[Any, pa.Schema, Iterable[pa.RecordBatch]], int]] = {
        "csv": partial(write_csv, safe=safe_csv),
        "jsonl": write_jsonl,
        "parquet": _write_parquet,
    }
    if fmt is None:
        fmt = format_of(out)
    if fmt not in EXPORT_FORMATS:
        raise ValidationError(
            f"Export format {str(fmt)[:40]!r} is not known",
            hint=did_you_mean(str(fmt), EXPORT_FORMATS)
            or f"Use one of {', '.join(EXPORT_FORMATS)}.",
        )
    if safe_csv and fmt != "csv":
        raise ValidationError(
            f"safe_csv is for csv; {fmt} holds no formulas", hint="Leave --safe-csv out."
        )
    if names is not None and fmt != "fasta":
        raise ValidationError(
            f"names= is for fasta; {fmt} has columns", hint="Leave --names out, or use --columns."
        )
    path = check_output(user_path(out))
    with ctx.merged(include_deleted=include_deleted) as found:
        rows = None if ids is None else find_shown(found, ids)
        merged = chosen_rows(found, where, order_by=order_by, top=top, rows=rows)
        chosen = merged.check_columns(["id"] if fmt == "fasta" else columns)
        infos = columnsfile.load(ctx.root)
        schema = pa.schema([_told(merged.field(n), infos) for n in chosen])
        counted = Counted(merged)
        # Before the file is there: after that nothing may stop it.
        live = None if include_deleted else found.live_mask()
        hidden = 0 if live is None else int((~live).sum())
        shown = found.base_rows - hidden
        if fmt == "fasta":
            named = naming(merged, names)
            for _ in counted.batches(chosen):
                pass
        if column_info:
            _write_beside(path, {n: infos[n] for n in chosen if n in infos})
        with door.replaced_file(path) as file, _packed(file, path, fmt) as sink:
            if fmt == "fasta":
                for piece in fasta_bytes(merged, named):
                    sink.write(piece)
            else:
                writers[fmt](sink, schema, counted.batches(chosen))
    return ExportResult(
        str(path), counted.rows, counted.masked, counted.failed, hidden, shown - counted.rows
    )


def format_of(out: str | os.PathLike[str]) -> str:
    """Return the format that a file's name asks for, ``.gz`` left out.

    Raises
    ------
    ValidationError
        If its suffix is that of none.

    Examples
    --------
    >>> format_of("picked.fa"), format_of("all.csv.gz")
    ('fasta', 'csv')
    """
    name = os.fspath(out).removesuffix(".gz")
    try:
        found: str = guess_format(name)
    except ValidationError:
        found = ""
    if found not in EXPORT_FORMATS:
        raise ValidationError(
            f"{os.fspath(out)}: its name says no format that is exported",
            hint=f"Say --fmt {'|'.join(EXPORT_FORMATS)}, or end it in .csv, .jsonl, .parquet, .fa.",
        )
    return found


def _told(field: pa.Field, infos: Columns) -> pa.Field:
    """Return a field with what is known of its column; Parquet files keep it."""
    return field.with_metadata(infos[field.name].as_plain()) if field.name in infos else field


def _write_beside(path: Path, infos: Columns) -> None:
    beside = check_output(path.with_name(f"{path.name}.columns.yaml"))
    with door.replaced_file(beside) as sink:
        sink.write(as_yaml(infos).encode())


@contextlib.contextmanager
def _packed(sink: Sink, path: Path, fmt: str) -> Iterator[Any]:
    """Compress text formats on their way into a file named ``.gz``; no time is stored in it."""
    if fmt == "parquet" or path.suffix.lower() != ".gz":
        yield sink
        return
    with door.gzipped(sink) as packed:
        yield packed


class Counted:
    """The batches of an export, and counts of what passed."""

    def __init__(self, merged: Merged) -> None:
        self.merged = merged
        self.rows = self.masked = self.failed = 0

    def batches(self, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Yield the named columns; state columns are read along and counted."""
        state = {"usr_state__masked", "usr_state__qc_status"} & set(self.merged.schema.names)
        extra = sorted(state - set(names))
        batches = self.merged.batches([*names, *extra])
        for batch in tracked(batches, "exporting", total=self.merged.base_rows):
            self.rows += batch.num_rows
            if "usr_state__masked" in state:
                self.masked += int(np.sum(_equal(batch, "usr_state__masked", True)))
            if "usr_state__qc_status" in state:
                self.failed += int(np.sum(_equal(batch, "usr_state__qc_status", "fail")))
            yield batch.select(list(names))


def _equal(batch: pa.RecordBatch, name: str, value: object) -> np.ndarray[Any, Any]:
    return np.array([v == value for v in batch.column(name).to_pylist()], bool)


def write_csv(
    sink: Sink, schema: pa.Schema, batches: Iterable[pa.RecordBatch], *, safe: bool = False
) -> int:
    """Write CSV: null is an empty cell, an empty string is ``""``, nested values are JSON.

    With `safe`, cells and headers that a spreadsheet would run get an apostrophe in front.
    """
    heads = pa.array(schema.names, pa.string())
    flat = pa.schema(
        [
            pa.field(name, pa.string() if _needs_text(f.type) else f.type)
            for name, f in zip(
                (harmless(heads) if safe else heads).to_pylist(), schema, strict=True
            )
        ]
    )
    rows = 0
    sink.write(_csv_bytes(flat.empty_table(), header=True))

    def text(batch: pa.RecordBatch) -> tuple[int, pa.Buffer]:
        columns = [_flat(c) for c in batch.columns]
        columns = [harmless(c) for c in columns] if safe else columns
        return batch.num_rows, _csv_bytes(pa.RecordBatch.from_arrays(columns, schema=flat))

    for n, data in in_order(text, batches):
        sink.write(data)
        rows += n
    return rows


def _csv_bytes(rows: pa.RecordBatch | pa.Table, *, header: bool = False) -> pa.Buffer:
    """Return rows as text; whether text is quoted hangs on its type alone, so pieces fit."""
    out = pa.BufferOutputStream()
    options = pacsv.WriteOptions(include_header=header, quoting_style="needed")
    pacsv.write_csv(rows, out, write_options=options)
    return out.getvalue()


def _needs_text(dtype: pa.DataType) -> bool:
    return bool(pa.types.is_nested(dtype) or pa.types.is_timestamp(dtype))


def _flat(values: pa.Array) -> pa.Array:
    if not _needs_text(values.type):
        return values
    if pa.types.is_timestamp(values.type):
        return pa.array([json_text(v, bare=True) for v in values.to_pylist()], pa.string())
    return pa.array([json_text(v) for v in values.to_pylist()], pa.string())


def write_jsonl(sink: Sink, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> int:
    """Write one strict JSON object per row with every column; NaN and infinities are null."""
    rows = 0
    for batch in batches:
        lines = [json_text(row) or "null" for row in batch.select(schema.names).to_pylist()]
        sink.write(("\n".join(lines) + "\n").encode("utf-8", errors="backslashreplace"))
        rows += batch.num_rows
    return rows


def _write_parquet(sink: Sink, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> int:
    return write_batches(sink, with_metadata(schema, {}), batches)
