"""Which records a filter keeps: over a dataset batch by batch, or over a table in memory."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any, Final
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from usr_nb.contract.names import namespace_of
from usr_nb.contract.progress import tracked
from usr_nb.errors import ValidationError
from usr_nb.filter.bind import MAYBE, bind, needed
from usr_nb.filter.compute import Mask, Values, mask_from, values_of
from usr_nb.filter.feature import Feature
from usr_nb.filter.motif import rows_with_hit
from usr_nb.filter.tree import (
    And,
    Condition,
    Filter,
    In,
    IsNaN,
    IsNull,
    Motif,
    Not,
    Or,
    Range,
    Regex,
    Text,
)
from usr_nb.filter.values import Value
from usr_nb.overlay.base import BATCH_ROWS
from usr_nb.overlay.merge import Merged
from usr_nb.storage.parallel import in_order

Int = npt.NDArray[np.int64]
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_PER_SECOND: Final = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


# Over a dataset -----------------------------------------------------------------------------------


def evaluate(where: Filter, merged: Merged, *, batch_rows: int = BATCH_ROWS) -> Mask:
    """Return which rows of the base a filter keeps.

    Only the columns that it names are read, one batch at a time. Nothing is written.

    Parameters
    ----------
    where : Filter
        The filter; its columns may be of any namespace, whatever `merged` includes.
    merged : Merged
        The dataset at one instant.
    batch_rows : int
        Rows of the base per batch.

    Returns
    -------
    numpy.ndarray of bool, shape (rows of the base,)
        Tombstoned rows are judged like all others: combine it with ``merged.live_mask()``.

    Raises
    ------
    SchemaError
        If the filter does not fit the columns there are.
    """
    out = np.zeros(merged.base_rows, bool)
    start = 0
    batches = _batches(where.features(), [where], merged, batch_rows)
    for mask in in_order(lambda batch: mask_of(where, batch), batches):
        out[start : start + len(mask)] = mask
        start += len(mask)
    return out


def visible(merged: Merged, where: Filter | None) -> Mask:
    """Return which rows of the base a read shows that asks for `where`.

    Tombstoned rows only show if `merged` includes them.
    """
    shown = np.ones(merged.base_rows, bool) if where is None else evaluate(where, merged)
    live = None if merged.include_deleted else merged.live_mask()
    return shown if live is None else shown & live


def filtered_batches(
    merged: Merged,
    where: Filter | None,
    columns: Sequence[str] | None = None,
    *,
    batch_rows: int = BATCH_ROWS,
) -> Iterator[pa.RecordBatch]:
    """Yield the merged table's rows that a filter keeps, in base order.

    Parameters
    ----------
    merged : Merged
        The dataset at one instant.
    where : Filter, optional
        All rows by default.
    columns : sequence of str, optional
        The columns to yield; the filter may name others.
    batch_rows : int
        Rows of the base per batch.
    """
    if where is None:
        yield from merged.batches(columns, batch_rows=batch_rows)
        return
    names = merged.check_columns(columns)
    keep = evaluate(where, merged)
    live = None if merged.include_deleted else merged.live_mask()
    shown = keep if live is None else keep[live]
    start = 0
    for batch in merged.batches(names, batch_rows=batch_rows):
        rows = shown[start : start + batch.num_rows]
        start += batch.num_rows
        if rows.all():
            yield batch
        elif rows.any():
            yield batch.filter(pa.array(rows))


def whole(merged: Merged) -> Merged:
    """Return the merged table of the same instant with every overlay and tombstoned row."""
    found = _WHOLE.get(merged)
    if found is None:
        found = Merged(
            merged.view, merged.registry, include_overlays=True, include_deleted=True,
            use_caches=merged.use_caches,
        )  # fmt: skip
        _WHOLE[merged] = found
    return found


#: One for each, so that the ids of the base are read once and not once per filter.
_WHOLE: WeakKeyDictionary[Merged, Merged] = WeakKeyDictionary()


def dataset_schema(everything: Merged, features: Sequence[Feature]) -> pa.Schema:
    """Return name and type of the columns that some features are read from.

    Only the namespaces that are named are looked at, so that a damaged one does not disturb; an
    unknown column raises with what there is.
    """
    fields = []
    for name in needed(features):
        if name in MAYBE and not _is_there(everything, name):
            continue
        everything.check_columns([name])
        fields.append(everything.field(name))
    return pa.schema(fields)


def _is_there(everything: Merged, name: str) -> bool:
    """Say whether a column of record state or tombstones is held by any file."""
    if name in everything.base_schema.names:
        return True
    ns = namespace_of(name) or ""
    return ns in everything.view.overlays and any(name in p.columns for p in everything.parts(ns))


def feature_batches(
    features: Sequence[Feature], merged: Merged, *, batch_rows: int = BATCH_ROWS
) -> Iterator[pa.RecordBatch]:
    """Yield the columns that some features are read from, for all rows of the base."""
    yield from _batches(features, [], merged, batch_rows)


def _batches(
    features: Sequence[Feature], filters: Sequence[Filter], merged: Merged, batch_rows: int
) -> Iterator[pa.RecordBatch]:
    if batch_rows < 1:
        raise ValidationError("batch_rows must be at least 1")
    everything = whole(merged)
    schema = dataset_schema(everything, features)
    for where in filters:
        bind(where, schema)
    # A batch needs a column to have rows.
    names = schema.names or ["id"]
    batches = everything.batches(names, batch_rows=batch_rows)
    yield from tracked(batches, "filtering", total=merged.base_rows)


# Over a batch -------------------------------------------------------------------------------------


def mask_of(where: Filter, batch: pa.RecordBatch) -> Mask:
    """Return which rows of a batch a filter keeps.

    Parameters
    ----------
    where : Filter
        The filter.
    batch : pyarrow.RecordBatch
        Some rows with the columns that the filter names; those of record state and tombstones
        may be missing.

    Returns
    -------
    numpy.ndarray of bool, shape (rows of the batch,)

    Raises
    ------
    SchemaError
        If the filter does not fit the columns.

    Examples
    --------
    >>> from usr_nb.filter.build import F
    >>> batch = pa.RecordBatch.from_pydict({"a__x": [1, 5, None]})
    >>> mask_of(F["a__x"] > 2, batch).tolist(), mask_of(~(F["a__x"] > 2), batch).tolist()
    ([False, True, False], [True, False, True])
    """
    bind(where, batch.schema)
    return _Batch(batch).mask(where)


class _Batch:
    """The features of one batch, each computed once."""

    def __init__(self, batch: pa.RecordBatch) -> None:
        self.batch = batch
        self.known: dict[Feature, Values] = {}

    def values(self, feature: Feature) -> Values:
        if feature not in self.known:
            self.known[feature] = values_of(feature, self.batch)
        return self.known[feature]

    def mask(self, node: Filter) -> Mask:
        if isinstance(node, Not):
            return ~self.mask(node.inner)
        if isinstance(node, And | Or):
            out = np.full(self.batch.num_rows, isinstance(node, And))
            for child in node.of:
                found = self.mask(child)
                out = out & found if isinstance(node, And) else out | found
            return out
        if isinstance(node, Condition):
            return condition_mask(node, self.values(node.feature))
        raise ValidationError(f"A {type(node).__name__} is no filter that can be evaluated")


def condition_mask(node: Condition, values: Values) -> Mask:
    """Return where a test holds, given its feature; `bind` has checked that it fits."""
    array = values.array
    if isinstance(node, IsNull):
        return np.asarray(array.is_null().to_numpy(zero_copy_only=False), bool)
    if isinstance(node, IsNaN):
        return mask_from(pc.is_nan(array))
    if isinstance(node, Text):
        test = {
            "contains": pc.match_substring, "startswith": pc.starts_with, "endswith": pc.ends_with,
        }[node.how]  # fmt: skip
        return mask_from(test(array, node.text, ignore_case=not node.case))
    if isinstance(node, Regex):
        return mask_from(pc.match_substring_regex(array, node.pattern, ignore_case=not node.case))
    if isinstance(node, Motif):
        return rows_with_hit(array, node.search())
    if isinstance(node, In):
        return _in(node, values)
    if isinstance(node, Range):
        return _range(node, values)
    raise ValidationError(f"A {type(node).__name__} is no test that can be evaluated")


def _in(node: In, values: Values) -> Mask:
    array = values.array
    if isinstance(node.values[0], bool):
        wanted = [mask_from(array if v else pc.invert(array)) for v in node.values]
        return np.asarray(np.logical_or.reduce(wanted), bool)
    if isinstance(node.values[0], str):
        return mask_from(pc.is_in(array, value_set=pa.array(node.values, array.type)))
    numbers, there = numbers_of(values)
    if numbers.dtype.kind == "f":
        these: Any = [rounded(v, values.dtype) for v in node.values]
    else:
        exact = [_in_unit(v, values.dtype) for v in node.values]
        info = np.iinfo(numbers.dtype)
        these = [int(v) for v in exact if info.min <= v <= info.max and v == int(v)]
    return np.isin(numbers, np.array(these, numbers.dtype)) & there


def _range(node: Range, values: Values) -> Mask:
    return range_mask(node, values.dtype, *numbers_of(values))


def range_mask(node: Range, dtype: pa.DataType, numbers: npt.NDArray[Any], there: Mask) -> Mask:
    """Return which numbers lie in a range; `numbers` and `there` as :func:`numbers_of` gives."""
    inside = there.copy()
    # No comparison with NaN is true.
    if numbers.dtype.kind == "f":
        if node.low is not None:
            low = rounded(node.low, dtype)
            inside &= numbers > low if node.low_open else numbers >= low
        if node.high is not None:
            high = rounded(node.high, dtype)
            inside &= numbers < high if node.high_open else numbers <= high
        return there & ~inside & ~np.isnan(numbers) if node.outside else inside
    low, high = _whole_ends(node, dtype)
    info = np.iinfo(numbers.dtype)
    if low > info.max or high < info.min or low > high:
        inside[:] = False
    else:
        inside &= numbers >= numbers.dtype.type(max(low, info.min))
        inside &= numbers <= numbers.dtype.type(min(high, info.max))
    return there & ~inside if node.outside else inside


def numbers_of(values: Values) -> tuple[npt.NDArray[Any], Mask]:
    """Return numbers or times as int64, uint64 or float64, and where there is one.

    Where there is none, the number means nothing.
    """
    array = values.array
    if pa.types.is_timestamp(array.type):
        array = array.cast(pa.int64())
    there = np.asarray(array.is_valid().to_numpy(zero_copy_only=False), bool)
    plain = array.fill_null(0).to_numpy(zero_copy_only=False)
    kind: Any = {"f": np.float64, "i": np.int64, "u": np.uint64}[plain.dtype.kind]
    return plain.astype(kind, copy=False), there


def rounded(value: Value, dtype: pa.DataType) -> float:
    """Return a number as the column's float type holds it, so that 0.1 finds a single 0.1.

    A number too great for the type stays as it is.

    Examples
    --------
    >>> rounded(0.1, pa.float32()) == float(np.float32(0.1)), rounded(1e300, pa.float32())
    (True, 1e+300)
    """
    number = float(value)  # type: ignore[arg-type]  # a number, as bind has checked
    kind: Any = {16: np.float16, 32: np.float32}.get(dtype.bit_width, np.float64)
    with np.errstate(over="ignore"):
        near = float(kind(number))
    return number if math.isinf(near) else near


def _in_unit(value: Value, dtype: pa.DataType) -> Fraction | float | int:
    """Return a number, or a time in the unit of a column, without loss."""
    if isinstance(value, datetime):
        past = value - _EPOCH
        micros = (past.days * 86_400 + past.seconds) * 10**6 + past.microseconds
        return Fraction(micros * _PER_SECOND[dtype.unit], 10**6)
    if isinstance(value, float):
        return Fraction(value) if math.isfinite(value) else value
    return int(value)


def _whole_ends(node: Range, dtype: pa.DataType) -> tuple[float, float]:
    """Return the ends of a range of whole numbers, both included; exact for any size."""
    low: Any = -math.inf
    high: Any = math.inf
    if node.low is not None:
        low = _in_unit(node.low, dtype)
        if low not in (math.inf, -math.inf):
            low = math.floor(low) + 1 if node.low_open else math.ceil(low)
    if node.high is not None:
        high = _in_unit(node.high, dtype)
        if high not in (math.inf, -math.inf):
            high = math.ceil(high) - 1 if node.high_open else math.floor(high)
    return low, high


# What each chip does ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Chip:
    """One of the tests that must all hold.

    Attributes
    ----------
    where : Filter
        The test.
    line : str
        The same, readable.
    alone : int
        Records that it keeps by itself.
    without : int
        Records that all other chips keep together.
    """

    where: Filter
    line: str
    alone: int
    without: int


@dataclass(frozen=True)
class Explanation:
    """How many records a filter keeps, and what each of its chips has to do with it.

    Attributes
    ----------
    total : int
        Records there are; tombstoned ones only count if the reader includes them.
    kept : int
        Records that the whole filter keeps.
    chips : tuple of Chip
        In the order of the filter.
    strictest : int or None
        If nothing is left: the chip that keeps the fewest records by itself, and among equals
        the one whose loss would bring back the most; as a place in `chips`.
    """

    total: int
    kept: int
    chips: tuple[Chip, ...]
    strictest: int | None


def explain(where: Filter, merged: Merged, *, batch_rows: int = BATCH_ROWS) -> Explanation:
    """Count what each chip of a filter keeps, in one pass.

    Raises
    ------
    SchemaError
        If the filter does not fit the columns there are.
    """
    chips = where.chips
    alone = np.zeros(len(chips), np.int64)
    only = np.zeros(len(chips), np.int64)
    total = kept = start = 0
    live = None if merged.include_deleted else merged.live_mask()
    for batch in _batches(where.features(), [where], merged, batch_rows):
        rows = slice(start, start + batch.num_rows)
        start += batch.num_rows
        shown = np.ones(batch.num_rows, bool) if live is None else live[rows]
        computed = _Batch(batch)
        held = [computed.mask(c) & shown for c in chips]
        total += int(shown.sum())
        failed = np.zeros(batch.num_rows, np.int64)
        for i, mask in enumerate(held):
            alone[i] += int(mask.sum())
            failed += ~mask
        kept += int((shown & (failed == 0)).sum())
        for i, mask in enumerate(held):
            only[i] += int((shown & ~mask & (failed == 1)).sum())
    found = tuple(
        Chip(c, c.as_line(), int(alone[i]), kept + int(only[i])) for i, c in enumerate(chips)
    )
    strictest = None
    if found and kept == 0:
        strictest = min(range(len(found)), key=lambda i: (found[i].alone, -found[i].without))
    return Explanation(total, kept, found, strictest)
