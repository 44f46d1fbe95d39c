"""Arrow arrays out of Python values whose :class:`~usr_nb.readers.shapes.Shape` is known."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from usr_nb.contract.types import type_text
from usr_nb.errors import SchemaError
from usr_nb.readers.rows import cell_error
from usr_nb.readers.shapes import kind_of

_PLAIN_CLASSES = frozenset((type(None), bool, int, float, str, bytes, list, tuple, dict))
_REFUSED = (pa.ArrowException, ValueError, TypeError, OverflowError, MemoryError)


class _UnfitError(ValueError):
    """A value cannot be of the type; the text says why."""


def build_array(
    values: Sequence[Any], dtype: pa.DataType, *, label: str, column: str, row: int
) -> pa.Array:
    """Return `values` as an array of `dtype`.

    Whole floats become integers where those are wanted, ISO text becomes timestamps and dates
    (without an offset it is UTC), numpy scalars and arrays count as numbers and lists.

    Parameters
    ----------
    values : sequence
        Python values, None for null.
    dtype : pyarrow.DataType
        Type wanted.
    label, column : str
        Place, for errors.
    row : int
        1-based row of the first value, for errors.

    Raises
    ------
    SchemaError
        A value cannot be of this type without loss; the error names its row.

    Examples
    --------
    >>> build_array([1.0, None], pa.int8(), label="t", column="n", row=1).to_pylist()
    [1, None]
    """
    try:
        return _array(values, dtype)
    except _REFUSED as error:
        for i, value in enumerate(values):
            try:
                _array([value], dtype)
            except _REFUSED as reason:
                why = f" ({reason})" if isinstance(reason, _UnfitError) else ""
                raise cell_error(
                    label,
                    column=column,
                    row=row + i,
                    value=value,
                    problem=f"cannot be {type_text(dtype)}{why}",
                    hint="Correct the value, or choose another type for the column.",
                ) from reason
        raise SchemaError(
            f"{label}: column {column!r}, rows {row} to {row + len(values) - 1} cannot be "
            f"{type_text(dtype)}: {str(error)[:200]}",
            hint="Give the rows in smaller batches.",
        ) from error


def _array(values: Sequence[Any], dtype: pa.DataType) -> pa.Array:
    if set(map(type, values)) - _PLAIN_CLASSES:
        values = [_plain(v) for v in values]
    convert = _converter(dtype, values)
    if convert is not None:
        values = [None if v is None else convert(v) for v in values]
    array = pa.array(values, dtype)
    _check_overflow(array, values)
    return array


def _plain(value: Any) -> Any:
    if kind_of(type(value)) == "null":
        return None
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    return value


def _converter(dtype: pa.DataType, values: Sequence[Any]) -> Callable[[Any], Any] | None:
    """Return what a value must go through first, None when pyarrow alone does it right.

    pyarrow truncates 1.5 to 1 where integers are wanted, takes True for 1.0, drops keys that
    a struct does not have, and knows no text for times.
    """
    kinds = pa.types
    classes = set(map(type, values))
    if kinds.is_integer(dtype):
        return _whole if any(kind_of(c) == "float" for c in classes) else None
    if kinds.is_timestamp(dtype) or kinds.is_date(dtype):
        return (lambda v: _time(v, dtype)) if classes - {type(None)} else None
    if kinds.is_list(dtype) or kinds.is_fixed_size_list(dtype):
        inner = dtype.value_type
        if _simple(inner):
            return None
        return lambda v: _each(v, inner)
    if kinds.is_struct(dtype):
        fields = {f.name: f.type for f in dtype}
        return lambda v: {n: _one(v.get(n), t) for n, t in fields.items()}
    return None


def _simple(dtype: pa.DataType) -> bool:
    """Tell whether list items of this type need no look at each."""
    kinds = pa.types
    return bool(
        kinds.is_floating(dtype)
        or kinds.is_string(dtype)
        or kinds.is_boolean(dtype)
        or kinds.is_null(dtype)
    )


def _each(value: Any, inner: pa.DataType) -> Any:
    items = value.tolist() if isinstance(value, np.ndarray) else list(value)
    convert = _converter(inner, items)
    return items if convert is None else [None if v is None else convert(v) for v in items]


def _one(value: Any, dtype: pa.DataType) -> Any:
    return None if value is None else _each([_plain(value)], dtype)[0]


def _whole(value: Any) -> Any:
    if kind_of(type(value)) != "float":
        return value
    if not value.is_integer():
        raise _UnfitError("not a whole number")
    return int(value)


def _time(value: Any, dtype: pa.DataType) -> Any:
    """Return `value` as pyarrow takes it for `dtype`; text goes through pyarrow's ISO parser."""
    if isinstance(value, str):
        zone = getattr(dtype, "tz", None)
        text = pa.scalar(value.strip())
        if zone is None:
            return text.cast(dtype).as_py() if _is_coarse(dtype) else text.cast(dtype).value
        try:
            return text.cast(dtype).value
        except pa.ArrowInvalid:
            return text.cast(pa.timestamp(dtype.unit)).value
    if isinstance(value, dt.datetime) and pa.types.is_timestamp(dtype):
        if value.tzinfo is None and dtype.tz is not None:
            return value.replace(tzinfo=dt.UTC)
        if value.tzinfo is not None and dtype.tz is None:
            raise _UnfitError("it has a time zone, the column has none")
        return value
    if type(value) is dt.date:
        return value if pa.types.is_date(dtype) else dt.datetime.combine(value, dt.time())
    raise _UnfitError("neither a time nor ISO text")


def _is_coarse(dtype: pa.DataType) -> bool:
    return bool(pa.types.is_date(dtype))


def _check_overflow(array: pa.Array, values: Sequence[Any]) -> None:
    """Raise for a finite number that became infinite in a narrow float."""
    leaf = array
    while pa.types.is_list(leaf.type) or pa.types.is_fixed_size_list(leaf.type):
        leaf = leaf.flatten()
    narrow = pa.types.is_float16(leaf.type) or pa.types.is_float32(leaf.type)
    if narrow and pc.any(pc.is_inf(leaf.cast(pa.float32()))).as_py():
        stack: list[Any] = list(values)
        given = 0
        while stack:
            value = stack.pop()
            if isinstance(value, list | tuple | np.ndarray):
                stack.extend(value)
            elif isinstance(value, float) and np.isinf(value):
                given += 1
        if given != pc.sum(pc.is_inf(leaf.cast(pa.float32()))).as_py():
            raise _UnfitError("too large")
