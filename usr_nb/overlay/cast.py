"""Cells into the registered type, when no information is lost (contract ATT-2, ATT-4)."""

from __future__ import annotations

import ast
import json
import math
import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from usr_nb.contract.types import same_type, type_text
from usr_nb.errors import SchemaError

_TRUE: Final = frozenset({"true", "t", "yes", "1"})
_FALSE: Final = frozenset({"false", "f", "no", "0"})
_MAX_CELL: Final = 16 << 20
_INFINITE: Final = r"^[+-]?(?i:inf|infinity)$"
_INSTANT: Final = re.compile(
    r"(\d{4}-\d{2}-\d{2})(?:[T ](\d{2}:\d{2}(?::\d{2})?)(?:[.,](\d{1,9}))?)?"
    r" ?(?:Z|UTC|([+-]\d{2}):?(\d{2})?)?\Z",
    re.ASCII | re.IGNORECASE,
)
_PER_SECOND: Final = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


def cast_column(
    values: pa.ChunkedArray, target: pa.DataType, *, name: str, parse_json: bool, where: str
) -> pa.ChunkedArray:
    """Return a column in its registered type.

    Parameters
    ----------
    values : pyarrow.ChunkedArray
        The cells as they were read.
    target : pyarrow.DataType
        The registered type.
    name : str
        The registered column, for messages.
    parse_json : bool
        Whether text that begins with ``[`` or ``{`` may become a list or struct.
    where : str
        The source, for messages.

    Raises
    ------
    SchemaError
        Naming column, 1-based row, value and registered type of the first cell that does not fit.
    """
    source = values.type
    fail = _Fail(name, target, where)
    if pa.types.is_null(source):
        return pa.chunked_array([pa.nulls(len(values), target)])
    if pa.types.is_dictionary(source):
        values = values.cast(source.value_type)
        source = values.type
    if same_type(source, target):
        return values.cast(target)
    if pa.types.is_string(source) or pa.types.is_large_string(source):
        return _from_text(values.cast(pa.string()), target, parse_json=parse_json, fail=fail)
    if pa.types.is_string(target):
        if pa.types.is_nested(source) or pa.types.is_binary(source):
            raise fail(values, 0)
        return values.cast(target)
    return _from_values(values, target, fail)


class _Fail:
    """Builds the error for one cell."""

    def __init__(self, name: str, target: pa.DataType, where: str) -> None:
        self.name, self.target, self.where = name, target, where

    def __call__(self, values: pa.ChunkedArray, row: int, why: str = "") -> SchemaError:
        cell = values[row].as_py() if row < len(values) else None
        return self.cell(cell, row, why)

    def cell(self, cell: object, row: int, why: str = "") -> SchemaError:
        shown = repr(cell)
        shown = shown if len(shown) <= 60 else shown[:57] + "..."
        return SchemaError(
            f"{self.where}: column '{self.name}', row {row + 1}: {shown} is not a "
            f"{type_text(self.target)}{f' ({why})' if why else ''}",
            hint="Change the value, or register the column with a type that holds it.",
        )


# From text --------------------------------------------------------------------------------------


def _from_text(
    text: pa.ChunkedArray, target: pa.DataType, *, parse_json: bool, fail: _Fail
) -> pa.ChunkedArray:
    if pa.types.is_nested(target):
        return _parse_nested(text, target, parse_json=parse_json, fail=fail)
    trimmed = pc.utf8_trim_whitespace(text)
    if pa.types.is_boolean(target):
        return _per_cell(trimmed, target, _bool, fail)
    if pa.types.is_timestamp(target):
        return _per_cell(trimmed, target, lambda v: _instant(v, target), fail)
    if pa.types.is_integer(target):
        try:
            return trimmed.cast(target)
        except pa.ArrowException:
            # A spreadsheet or pandas wrote 12 as 12.0.
            return _per_cell(trimmed, target, _whole, fail)
    try:
        out = trimmed.cast(target)
    except pa.ArrowException:
        out = _per_cell(trimmed, target, lambda v: _float(_number(v), target), fail)
    _check_infinite(trimmed, out, fail)
    return out


def _check_infinite(text: pa.ChunkedArray, out: pa.ChunkedArray, fail: _Fail) -> None:
    """Raise where a finite number became infinite: it does not fit."""
    wide = out.cast(pa.float64()) if pa.types.is_float16(out.type) else out
    lost = pc.and_(pc.is_inf(wide), pc.invert(pc.match_substring_regex(text, _INFINITE)))
    rows = np.flatnonzero(pc.fill_null(lost, False).to_numpy())
    if len(rows):
        raise fail(text, int(rows[0]), "too large")


def _number(cell: str) -> float:
    if "_" in cell:
        raise ValueError("not a number")
    return float(cell)


def _float(value: float, target: pa.DataType) -> Any:
    """Return a number as `target` holds it; a finite one that becomes infinite is a ValueError."""
    with np.errstate(over="ignore"):
        out = target.to_pandas_dtype()(value)
    if math.isinf(float(out)) and not math.isinf(value):
        raise ValueError("too large")
    return out if pa.types.is_float16(target) else float(value)


def _bool(cell: str) -> bool:
    low = cell.lower()
    if low in _TRUE:
        return True
    if low in _FALSE:
        return False
    raise ValueError("write true or false")


def _whole(cell: str) -> int:
    try:
        if "_" not in cell:
            return int(cell)
        raise ValueError(cell)
    except ValueError:
        number = _number(cell)
        if not number.is_integer() or abs(number) > 2**53:
            raise ValueError("not a whole number") from None
        return int(number)


def _instant(cell: str, target: pa.DataType) -> int:
    found = _INSTANT.match(cell.strip())
    if found is None:
        raise ValueError("write times as 2026-01-31T12:00:00Z")
    day, clock, fraction, hours, minutes = found.groups()
    at = datetime.fromisoformat(f"{day}T{clock or '00:00'}").replace(tzinfo=UTC)
    shift = 60 * int(hours or 0) + int(f"{(hours or '+')[0]}{minutes or 0}")
    whole = round(at.timestamp()) - 60 * shift
    part = int((fraction or "0").ljust(9, "0"))
    value, finer = divmod(whole * 10**9 + part, 10**9 // _PER_SECOND[target.unit])
    if finer:
        raise ValueError(f"finer than {target.unit}")
    return value


def _per_cell(
    text: pa.ChunkedArray, target: pa.DataType, read: Any, fail: _Fail
) -> pa.ChunkedArray:
    out: list[Any] = []
    for row, cell in enumerate(text.to_pylist()):
        if cell is None or cell == "":
            out.append(None)
            continue
        try:
            out.append(read(cell))
            pa.scalar(out[-1], target)
        except (ValueError, OverflowError, pa.ArrowException) as error:
            raise fail.cell(cell, row, str(error)[:60]) from None
    return pa.chunked_array([pa.array(out, target)])


def _parse_nested(
    text: pa.ChunkedArray, target: pa.DataType, *, parse_json: bool, fail: _Fail
) -> pa.ChunkedArray:
    out: list[Any] = []
    for row, cell in enumerate(text.to_pylist()):
        if cell is None or cell.strip() == "":
            out.append(None)
            continue
        if not parse_json:
            raise fail.cell(cell, row, "text is not parsed with parse_json=False")
        try:
            out.append(fit(parse_literal(cell), target))
        except (ValueError, TypeError, OverflowError, pa.ArrowException) as error:
            raise fail.cell(cell, row, str(error)[:60]) from None
    try:
        return pa.chunked_array([pa.array(out, target)])
    except (OverflowError, UnicodeEncodeError, pa.ArrowException):
        _raise_first_unfit(text, out, target, fail)
        raise


def _raise_first_unfit(
    text: pa.ChunkedArray, parsed: list[Any], target: pa.DataType, fail: _Fail
) -> None:
    for row, value in enumerate(parsed):
        try:
            pa.scalar(value, target)
        except (OverflowError, UnicodeEncodeError, pa.ArrowException) as error:
            raise fail(text, row, str(error)[:60]) from None


def parse_literal(cell: str) -> Any:
    """Read a JSON list or object, or a Python one with single quotes; nothing is ever run.

    Raises
    ------
    ValueError
        If it is neither.

    Examples
    --------
    >>> parse_literal("[1, 2.5]"), parse_literal("['a', None]")
    ([1, 2.5], ['a', None])
    """
    text = cell.strip()
    if text[:1] not in ("[", "{", "(") or len(text) > _MAX_CELL:
        raise ValueError("neither a JSON list nor an object")
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
        raise ValueError("neither a JSON list nor an object") from None


def fit(value: Any, target: pa.DataType) -> Any:  # noqa: C901, PLR0912 - one branch per kind of type
    """Return a parsed value as Arrow builds it in `target`; loss is a ValueError.

    Decimal text becomes the nearest float, as it does for a plain column.
    """
    if value is None:
        return None
    if pa.types.is_struct(target):
        if not isinstance(value, dict):
            raise ValueError("not an object")
        known = {target.field(i).name: target.field(i).type for i in range(target.num_fields)}
        if extra := set(value) - set(known):
            raise ValueError(f"unknown field {min(map(str, extra))!r}")
        return {k: fit(value.get(k), t) for k, t in known.items()}
    if pa.types.is_list(target) or pa.types.is_fixed_size_list(target):
        if not isinstance(value, list | tuple):
            raise ValueError("not a list")
        if pa.types.is_fixed_size_list(target) and len(value) != target.list_size:
            raise ValueError(f"has {len(value)} entries, not {target.list_size}")
        return [fit(v, target.value_type) for v in value]
    if isinstance(value, bool) != pa.types.is_boolean(target):
        raise ValueError("not of that type")
    if pa.types.is_string(target) != isinstance(value, str):
        if isinstance(value, str) and pa.types.is_timestamp(target):
            return _instant(value, target)
        raise ValueError("not of that type")
    if pa.types.is_integer(target) and isinstance(value, float):
        if not value.is_integer():
            raise ValueError("not a whole number")
        return int(value)
    if pa.types.is_floating(target):
        return _float(value, target)
    return value


# From typed values -------------------------------------------------------------------------------


def _from_values(values: pa.ChunkedArray, target: pa.DataType, fail: _Fail) -> pa.ChunkedArray:
    out, _ = _try_cast(values, target)
    if out is not None:
        return out
    for row in _suspects(values, target):
        kept, why = _try_cast(values.slice(row, 1), target)
        if kept is None:
            raise fail(values, row, why)
    raise fail(values, 0)


def _try_cast(values: pa.ChunkedArray, target: pa.DataType) -> tuple[pa.ChunkedArray | None, str]:
    """Return the cast column, or None and the reason where something would be lost."""
    why = "it would lose precision"
    try:
        out = values.cast(target, safe=True)
    except pa.ArrowNotImplementedError:
        # Arrow's words name types as its readers spell them, which are not the file's.
        return None, "no value of the column's type can be"
    except pa.ArrowException as error:
        # How a reader calls the items of a list means nothing to people.
        why = re.sub(r"<(?:item|element): ", "<", str(error).splitlines()[0])[:60]
        try:
            # Arrow refuses integers beyond 2**53 as floats, also those that fit exactly.
            out = values.cast(target, safe=False)
        except pa.ArrowException:
            return None, why
    return (out, "") if lossless(values, out) else (None, why)


def _suspects(values: pa.ChunkedArray, target: pa.DataType) -> Iterable[int]:
    """Yield the rows of the first block of 4,096 that does not cast, to name one cheaply."""
    for start in range(0, len(values), 4096):
        block = values.slice(start, 4096)
        if _try_cast(block, target)[0] is not None:
            continue
        yield from range(start, start + len(block))


def lossless(before: pa.ChunkedArray, after: pa.ChunkedArray) -> bool:
    """Say whether two columns hold the same values, whatever their types; NaN equals NaN.

    Fields of structs are compared by name; one that only `after` has is a null field.
    """
    kept = dict(_leaves(after))
    for path, a in _leaves(before):
        b = kept.get(path)
        if b is None and _is_blank(path, a):
            continue
        if b is None or a.null_count != b.null_count or len(a) != len(b) or not _same_leaf(a, b):
            return False
    return True


def _is_blank(path: str, leaf: pa.Array) -> bool:
    """Say whether a field that has no place in the target holds nothing but nulls."""
    if path.endswith("?"):
        return not pc.any(leaf).as_py()
    if path.endswith("#"):
        return bool(pc.all(pc.equal(leaf, -1)).as_py())
    return bool(leaf.null_count == len(leaf))


def _same_leaf(a: pa.Array, b: pa.Array) -> bool:
    if a.null_count == len(a):
        # As many nulls as `b` has: of whatever type, there is nothing to lose.
        return True
    if pa.types.is_decimal(a.type):
        return _same_decimals(a.drop_null(), b.drop_null())
    if pa.types.is_timestamp(a.type) or pa.types.is_date(a.type):
        return bool(b.cast(a.type, safe=False).equals(a))
    if pa.types.is_floating(a.type) or pa.types.is_floating(b.type):
        return _same_numbers(a.drop_null(), b.drop_null())
    try:
        return bool(b.cast(a.type).equals(a))
    except pa.ArrowException:
        return False


def _same_decimals(a: pa.Array, b: pa.Array) -> bool:
    """Compare decimals with numbers; a float is right if its shortest text is the decimal."""
    if not (pa.types.is_integer(b.type) or pa.types.is_floating(b.type)):
        return False
    numbers = b.to_numpy(zero_copy_only=False)
    return all(x == Decimal(str(y)) for x, y in zip(a.to_pylist(), numbers, strict=True))


def _same_numbers(a: pa.Array, b: pa.Array) -> bool:
    x, y = a.to_numpy(zero_copy_only=False), b.to_numpy(zero_copy_only=False)
    if x.dtype.kind in "iu" or y.dtype.kind in "iu":
        # Through Python's exact comparison only where a float cannot hold the integer.
        ints = x if x.dtype.kind in "iu" else y
        if len(ints) and (np.abs(ints.astype(np.float64)) >= 2.0**53).any():
            return bool(all(i == f for i, f in zip(x.tolist(), y.tolist(), strict=True)))
    wide = np.result_type(x.dtype, y.dtype, np.float64)
    return bool(np.array_equal(x.astype(wide), y.astype(wide), equal_nan=True))


def _leaves(values: pa.ChunkedArray, path: str = "") -> Iterator[tuple[str, pa.Array]]:
    """Yield the flat arrays that a column is made of, each under its path."""
    whole = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    if isinstance(whole, pa.ChunkedArray):
        whole = pa.concat_arrays(whole.chunks) if whole.num_chunks else pa.array([], whole.type)
    dtype = whole.type
    if pa.types.is_struct(dtype):
        yield f"{path}?", whole.is_valid()
        for i, child in enumerate(whole.flatten()):
            yield from _leaves(child, f"{path}.{dtype.field(i).name}")
    elif (
        pa.types.is_list(dtype)
        or pa.types.is_large_list(dtype)
        or pa.types.is_fixed_size_list(dtype)
    ):
        yield f"{path}#", pc.fill_null(pc.list_value_length(whole).cast(pa.int64()), -1)
        yield from _leaves(whole.flatten(), f"{path}[]")
    else:
        yield path, whole
