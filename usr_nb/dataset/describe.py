"""One exact pass over all rows: what is in every column (contract GET-4)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from usr_nb.contract.names import namespace_of
from usr_nb.contract.progress import tracked
from usr_nb.contract.types import type_text
from usr_nb.dataset.context import Context
from usr_nb.errors import ValidationError

EXACT_DISTINCT: Final = 1_000_000
_SKETCH: Final = 1 << 16


def describe(
    ctx: Context,
    *,
    columns: Sequence[str] | None,
    sample: int,
    include_deleted: bool,
) -> list[dict[str, Any]]:
    """Return one dict per column; see :meth:`Dataset.describe`."""
    if sample < 1:
        raise ValidationError("sample must be at least 1")
    with ctx.merged(include_deleted=include_deleted) as merged:
        names = merged.check_columns(columns)
        sample = min(sample, merged.base_rows)
        stats = [ColumnStats(n, merged.field(n).type, sample) for n in names]
        for batch in tracked(merged.batches(names), "reading", total=merged.base_rows):
            for i, s in enumerate(stats):
                s.add(batch.column(i))
    return [s.result() for s in stats]


class ColumnStats:
    """Statistics of one column, batch by batch, in bounded memory."""

    def __init__(self, name: str, dtype: pa.DataType, sample: int) -> None:
        self.name, self.dtype = name, dtype
        self.rows = self.nulls = 0
        self.example: Any = None
        self._left = sample
        numeric = pa.types.is_integer(dtype) or pa.types.is_floating(dtype)
        ranged = numeric or pa.types.is_timestamp(dtype)
        is_list = pa.types.is_list(dtype) or pa.types.is_fixed_size_list(dtype)
        self.range = Range(numeric=numeric) if ranged else None
        self.lengths = Range(numeric=True) if is_list else None
        self.distinct = Distinct() if pa.types.is_string(dtype) else None
        self.trues = 0 if pa.types.is_boolean(dtype) else None

    def add(self, values: pa.Array) -> None:
        """Take in one batch."""
        self.rows += len(values)
        self.nulls += values.null_count
        if self.example is None and self._left > 0:
            looked = values.slice(0, self._left).drop_null()
            self.example = looked[0].as_py() if len(looked) else None
            self._left -= len(values)
        if self.range is not None:
            self.range.add(values)
        if self.lengths is not None:
            self.lengths.add(pc.list_value_length(values))
        if self.distinct is not None:
            self.distinct.add(values)
        if self.trues is not None:
            self.trues += pc.sum(values).as_py() or 0

    def result(self) -> dict[str, Any]:
        """Return the statistics as plain values; what does not apply is None."""
        out: dict[str, Any] = {
            "column": self.name,
            "namespace": namespace_of(self.name),
            "type": type_text(self.dtype),
            "rows": self.rows,
            "non_null": self.rows - self.nulls,
            "null_pct": round(100 * self.nulls / self.rows, 4) if self.rows else 0.0,
            "example": self.example,
        }
        low, mean, high = self.range.result() if self.range else (None, None, None)
        if self.trues is not None and self.rows > self.nulls:
            mean = self.trues / (self.rows - self.nulls)
        out |= {"min": low, "mean": mean, "max": high}
        low, mean, high = self.lengths.result() if self.lengths else (None, None, None)
        out |= {"len_min": low, "len_mean": mean, "len_max": high}
        count, exact = self.distinct.result() if self.distinct else (None, None)
        return out | {"distinct": count, "distinct_exact": exact}


class Range:
    """Least, mean and greatest value; NaN takes no part."""

    def __init__(self, *, numeric: bool) -> None:
        self.numeric = numeric
        self.low: Any = None
        self.high: Any = None
        self.total: Any = 0
        self.count = 0

    def add(self, values: pa.Array) -> None:
        """Take in one batch."""
        if pa.types.is_floating(values.type):
            values = values.cast(pa.float64()) if pa.types.is_float16(values.type) else values
            values = values.filter(pc.invert(pc.is_nan(values)))
        values = values.drop_null()
        if len(values) == 0:
            return
        ends = pc.min_max(values).as_py()
        self.low = ends["min"] if self.low is None else min(self.low, ends["min"])
        self.high = ends["max"] if self.high is None else max(self.high, ends["max"])
        self.count += len(values)
        if self.numeric:
            floating = pa.types.is_floating(values.type)
            part = values.cast(pa.float64()) if floating else values
            self.total += pc.sum(part).as_py() if floating else _whole_sum(part)

    def result(self) -> tuple[Any, float | None, Any]:
        """Return (min, mean, max)."""
        mean = self.total / self.count if self.numeric and self.count else None
        return self.low, mean, self.high


def _whole_sum(values: pa.Array) -> int:
    """Sum integers without wrapping around at 64 bits."""
    numbers = values.to_numpy(zero_copy_only=False)
    high = int(np.abs(numbers.astype(np.float64)).max())
    if high * len(numbers) < 2**62:
        return int(numbers.astype(np.int64).sum())
    return sum(numbers.tolist())


class Distinct:
    """Number of distinct strings: exact up to a million, then estimated from the smallest hashes.

    The estimate is that of Bar-Yossef et al. (RANDOM 2002) with k = 65,536: about 0.4 % off.
    """

    def __init__(self) -> None:
        self.exact: pa.Array | None = pa.array([], pa.string())
        self._pending: list[pa.Array] = []
        self._pending_rows = 0
        self.smallest = np.zeros(0, np.uint64)

    def add(self, values: pa.Array) -> None:
        """Take in one batch."""
        unique = pc.unique(values).drop_null()
        if self.exact is None:
            self._sketch(unique)
            return
        self._pending.append(unique)
        self._pending_rows += len(unique)
        if self._pending_rows > len(self.exact):
            self._fold()

    def _fold(self) -> None:
        assert self.exact is not None  # noqa: S101 - only called while exact
        together = pc.unique(pa.concat_arrays([self.exact, *self._pending]))
        self._pending, self._pending_rows = [], 0
        self.exact = together
        if len(together) > EXACT_DISTINCT:
            self.exact = None
            self._sketch(together)

    def _sketch(self, values: pa.Array) -> None:
        from pandas.util import hash_array

        hashes = hash_array(values.to_numpy(zero_copy_only=False), categorize=False)
        both = np.unique(np.concatenate([self.smallest, hashes]))
        self.smallest = both[:_SKETCH]

    def result(self) -> tuple[int, bool]:
        """Return (number, whether it is exact)."""
        if self.exact is not None:
            self._fold()
        if self.exact is not None:
            return len(self.exact), True
        share = float(self.smallest[-1]) / 2.0**64
        return round((len(self.smallest) - 1) / share), False
