"""What a feature is for every row of a batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from usr_nb.filter.bind import COMPUTED_TYPES, MAYBE, SOURCES, check_feature
from usr_nb.filter.feature import Feature
from usr_nb.filter.letters import Int, gc_shares

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Values:
    """A feature over some rows, and the type that it counts as (half floats are held wider)."""

    array: pa.Array
    dtype: pa.DataType

    def __len__(self) -> int:
        return len(self.array)


def values_of(feature: Feature, batch: pa.RecordBatch) -> Values:
    """Return a feature for every row of a batch that holds the columns it is read from.

    Columns of record state and tombstones may be missing: they are null.

    Parameters
    ----------
    feature : Feature
        Checked against the batch's schema (:func:`~usr_nb.filter.bind.bind`).
    batch : pyarrow.RecordBatch
        Some rows.

    Examples
    --------
    >>> batch = pa.RecordBatch.from_pydict({"a__x": [[3, 1], [], None]})
    >>> values_of(Feature("a__x", reducer="min"), batch).array.to_pylist()
    [1, None, None]
    """
    dtype = check_feature(feature, batch.schema)
    if feature.computed:
        return Values(_computed(feature.name, batch), dtype)
    array = _column(feature.name, batch)
    for step in feature.path:
        array = _item(array, step) if isinstance(step, int) else _field(array, step)
    if feature.reducer == "len":
        return Values(_lengths(array), dtype)
    if feature.reducer is not None:
        return Values(_reduced(array, feature.reducer), dtype)
    return Values(wider(array), dtype)


def wider(array: pa.Array) -> pa.Array:
    """Return half floats as single ones, which compute functions know; all else as it is."""
    return array.cast(pa.float32()) if pa.types.is_float16(array.type) else array


def mask_from(values: Any) -> Mask:
    """Return an Arrow array of booleans as a mask; null is False."""
    return np.asarray(pc.fill_null(values, False).to_numpy(zero_copy_only=False), bool)


def _column(name: str, batch: pa.RecordBatch) -> pa.Array:
    if name in batch.schema.names:
        return batch.column(name)
    return pa.nulls(batch.num_rows, MAYBE[name])


def _computed(name: str, batch: pa.RecordBatch) -> pa.Array:
    if name == "gc":
        shares = gc_shares(batch.column("sequence"))
        lacking = np.isnan(shares)
        if "bio_type" in batch.schema.names:
            lacking |= mask_from(pc.equal(batch.column("bio_type"), "protein"))
        return pa.array(shares, mask=lacking)
    array = _column(SOURCES[name][0], batch).cast(COMPUTED_TYPES[name])
    return array.fill_null(False) if pa.types.is_boolean(array.type) else array


def _field(array: pa.StructArray, name: str) -> pa.Array:
    at = array.type.get_field_index(name)
    # Flattened, so that a field of a null struct is null.
    return array.flatten()[at]


# Lists --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Runs:
    """A list column as runs of its items: row i is ``items[starts[i]:starts[i] + sizes[i]]``."""

    items: pa.Array
    starts: Int
    sizes: Int
    there: Mask


def _runs(array: pa.Array) -> _Runs:
    there = np.asarray(array.is_valid().to_numpy(zero_copy_only=False), bool)
    n = len(array)
    if pa.types.is_fixed_size_list(array.type):
        size = array.type.list_size
        starts = (array.offset + np.arange(n, dtype=np.int64)) * size
        return _Runs(array.values, starts, np.full(n, size, np.int64), there)
    offsets = np.asarray(array.offsets.to_numpy(zero_copy_only=False)).astype(np.int64)
    return _Runs(array.values, offsets[:-1], np.diff(offsets), there)


def _item(array: pa.Array, place: int) -> pa.Array:
    runs = _runs(array)
    at = runs.starts + (place if place >= 0 else runs.sizes + place)
    inside = runs.there & ((place < runs.sizes) if place >= 0 else (-place <= runs.sizes))
    return runs.items.take(pa.array(np.where(inside, at, 0), mask=~inside))


def _lengths(array: pa.Array) -> pa.Array:
    if not pa.types.is_nested(array.type):
        return pc.utf8_length(array).cast(pa.int64())
    runs = _runs(array)
    return pa.array(runs.sizes, mask=~runs.there)


def _reduced(array: pa.Array, how: str) -> pa.Array:
    runs = _runs(array)
    rows = len(array)
    sizes = np.where(runs.there, runs.sizes, 0)
    row = np.repeat(np.arange(rows), sizes)
    first = np.cumsum(sizes) - sizes
    at = np.repeat(runs.starts - first, sizes) + np.arange(len(row))
    items = wider(runs.items.take(pa.array(at)))
    numbers = items.fill_null(0).to_numpy(zero_copy_only=False)
    counts = np.asarray(items.is_valid().to_numpy(zero_copy_only=False), bool)
    if numbers.dtype.kind == "f":
        counts &= ~np.isnan(numbers)
    numbers, row = numbers[counts], row[counts]
    many = np.bincount(row, minlength=rows)
    has = many > 0
    if how == "mean":
        # Added one after the other in order, so that the sum does not hang on the batch.
        total = np.bincount(row, weights=numbers.astype(np.float64), minlength=rows)
        out = np.zeros(rows)
        np.divide(total, many, out=out, where=has)
        return pa.array(out, mask=~has)
    found = np.zeros(rows, numbers.dtype)
    if has.any():
        reduce = np.minimum if how == "min" else np.maximum
        found[has] = reduce.reduceat(numbers, (np.cumsum(many) - many)[has])
    return pa.array(found, mask=~has)
