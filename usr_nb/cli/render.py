"""Rows of a result as plain text, JSON or CSV; the tables of terminals are in ``pretty``."""

from __future__ import annotations

import csv
import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from usr_nb.cli import lazy, say

OUTPUT_VERSION: Final = 1
NULL: Final = "–"
_SHORT_LIST: Final = 3
_PAD: Final = 60


@dataclass(frozen=True)
class Sheet:
    """A table to show: names of columns, rows of values; `tall` shows one value per line.

    ``drop_first`` names columns that may be left out first where a terminal is narrow; None
    means that all columns were asked for by name. Columns in ``whole`` are not cut as long as
    another can be left out. ``see`` says how to get at those.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    tall: bool = False
    drop_first: Sequence[str] | None = field(default=())
    whole: Sequence[str] = ()
    see: str = "--format json shows them"


def resolved(fmt: str) -> str:
    """Return the format that ``auto`` stands for here."""
    if fmt != "auto":
        return fmt
    return "rich" if sys.stdout.isatty() else "plain"


def emit(fmt: str, data: Any, sheet: Sheet) -> None:
    """Show a result: `data` (plain values) as JSON, `sheet` in every other format."""
    kind = resolved(fmt)
    if kind == "json":
        emit_json(data)
    elif kind == "csv":
        emit_csv(sheet)
    elif kind == "rich":
        lazy.load("pretty", "show")(sheet)
    else:
        emit_plain(sheet)


def emit_json(data: Any) -> None:
    """Print the envelope of strict JSON (GET-1)."""
    envelope = {"usr_output_version": OUTPUT_VERSION, "data": data}
    say.result(json.dumps(envelope, ensure_ascii=False, allow_nan=False))


def emit_csv(sheet: Sheet) -> None:
    """Print CSV: null is an empty cell, nested values are JSON."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(sheet.columns)
    writer.writerows([_csv_cell(v) for v in row] for row in sheet.rows)


def _csv_cell(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return stamp(value)
    return json.dumps(value, default=str) if isinstance(value, list | dict) else value


def emit_plain(sheet: Sheet) -> None:
    """Print aligned columns without boxes; text is whole, long vectors are shortened."""
    cells = [[cell(v, shorten=False) for v in row] for row in sheet.rows]
    if sheet.tall:
        for line in tall_lines(sheet.columns, cells):
            say.result(line)
    else:
        widths = [
            min(_PAD, max([len(name), *(len(row[i]) for row in cells)]))
            for i, name in enumerate(sheet.columns)
        ]
        for row in [list(sheet.columns), *cells]:
            line = "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True))
            say.result(line.rstrip())
    if any(_is_long(v) for row in sheet.rows for v in row):
        say.note("Long vectors are shortened; --format json has them whole.")


def tall_lines(names: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return one line per value, records apart by an empty line."""
    width = max(map(len, names), default=0)
    blocks = [[f"{n.ljust(width)}  {c}" for n, c in zip(names, row, strict=True)] for row in rows]
    return [line for i, block in enumerate(blocks) for line in ([""] if i else []) + block]


def _is_long(value: Any) -> bool:
    return isinstance(value, list) and len(value) > _SHORT_LIST


def stamp(value: datetime) -> str:
    """Return a time as UTC text to the second.

    Examples
    --------
    >>> stamp(datetime(2026, 1, 2, 3, 4, 5, 600, tzinfo=UTC))
    '2026-01-02T03:04:05Z'
    """
    at = value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    return f"{at:%Y-%m-%dT%H:%M:%S}Z"


def to_second(text: str | None) -> str | None:
    """Return a text timestamp without its fraction of a second.

    Examples
    --------
    >>> to_second("2026-01-02T03:04:05.000006Z")
    '2026-01-02T03:04:05Z'
    """
    return f"{text[:19]}Z" if text else None


def cell(value: Any, *, shorten: bool = True) -> str:
    """Return a value as text for people; `shorten` allows less than a whole string.

    Examples
    --------
    >>> cell(None), cell(""), cell(True), cell(20_000), cell([0.5] * 512)
    ('–', '""', 'true', '20,000', 'vec[512] [0.5, 0.5, 0.5, ..]')
    """
    if isinstance(value, list | tuple):
        return _vector(list(value))
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{k}: {cell(v)}" for k, v in value.items()) + "}"
    return _single(value, shorten=shorten)


def _single(value: Any, *, shorten: bool) -> str:
    if value is None:
        return NULL
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, float):
        return number(value) if shorten else repr(value).replace("nan", "NaN")
    if isinstance(value, int) and shorten:
        return f"{value:,}"
    return stamp(value) if isinstance(value, datetime) else str(value)


def number(value: float) -> str:
    """Return a number with four significant digits; an exponent only outside 1e-3 to 1e6.

    Examples
    --------
    >>> [number(v) for v in (0.1 + 0.2, 43.0, 12345.678, 1e6, 1e7, 0.00012, math.nan)]
    ['0.3', '43', '12,346', '1,000,000', '1e+07', '0.00012', 'NaN']
    """
    size = abs(value)
    if math.isnan(value):
        return "NaN"
    if 1e4 <= size <= 1e6:
        return f"{value:,.0f}"
    return f"{value:.4g}"


def whole(value: Any) -> str:
    """Return a value in full: text as it is, null as nothing, lists and structs as JSON.

    Examples
    --------
    >>> whole("ACGT"), whole(None), whole([1, None])
    ('ACGT', '', '[1, null]')
    """
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, datetime):
        return stamp(value)
    return json.dumps(value, default=str, ensure_ascii=False)


def _text(value: str) -> str:
    """Return text that cannot move the cursor: escapes stand for what does not print."""
    if not value:
        return '""'
    return value if value.isprintable() else value.encode("unicode_escape").decode("ascii")


def _vector(values: list[Any]) -> str:
    shown = ", ".join(cell(v) for v in values[:_SHORT_LIST])
    if len(values) <= _SHORT_LIST:
        return f"[{shown}]"
    numeric = all(v is None or isinstance(v, int | float) for v in values)
    return f"{'vec' if numeric else 'list'}[{len(values)}] [{shown}, ..]"


def size_text(n: int | None) -> str | None:
    """Return a number of bytes as people say it.

    Examples
    --------
    >>> size_text(999), size_text(1536), size_text(5 << 20)
    ('999 B', '1.5 KiB', '5.0 MiB')
    """
    if n is None:
        return None
    value, unit = float(n), "B"
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if value < 1024 or unit == "TiB":
            break
        value /= 1024
    return f"{n} B" if unit == "B" else f"{value:.1f} {unit}"
