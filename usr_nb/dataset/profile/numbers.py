"""Statistics of numbers and times, batch by batch."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from usr_nb.dataset.profile.bins import Bins
from usr_nb.dataset.profile.model import Histogram, Numbers

QUANTILES: Final = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
#: Values of one column that are kept for exact quantiles.
EXACT_VALUES: Final = 2_000_000
_BLOCK: Final = 1 << 15
_WIDE: Final = 2**62


class NumberTally:
    """Least, mean and greatest value, and if asked for spread, quantiles and histogram.

    Parameters
    ----------
    dtype : pyarrow.DataType
        An integer, floating or timestamp type.
    full : bool
        False: only what ``describe`` shows.
    """

    def __init__(self, dtype: pa.DataType, *, full: bool) -> None:
        self.dtype, self.full = dtype, full
        self.is_time = pa.types.is_timestamp(dtype)
        self.floating = pa.types.is_floating(dtype)
        self.low: Any = None
        self.high: Any = None
        self.total: Any = 0
        self.count = self.nan = self.infinite = 0
        self.spread = _Spread()
        self.bins = Bins(whole=not self.floating)
        self._kept: list[npt.NDArray[Any]] | None = []
        self._kept_values = 0

    def add(self, values: pa.Array) -> None:
        """Take in one batch; it may hold nulls."""
        numbers = self._numbers(values)
        if self.floating:
            nan = np.isnan(numbers)
            if nan.any():
                self.nan += int(nan.sum())
                numbers = numbers[~nan]
        if len(numbers) == 0:
            return
        low, high = numbers.min().item(), numbers.max().item()
        self.low = low if self.low is None else min(self.low, low)
        self.high = high if self.high is None else max(self.high, high)
        self.count += len(numbers)
        self.total += self._sum(numbers, low, high)
        if self.full:
            self._add_finite(numbers, low, high)

    def _numbers(self, values: pa.Array) -> npt.NDArray[Any]:
        if self.is_time:
            values = values.cast(pa.int64())
        elif pa.types.is_float16(values.type):
            values = values.cast(pa.float32())
        found = values.drop_null() if values.null_count else values
        return np.asarray(found.to_numpy(zero_copy_only=False))

    def _sum(self, numbers: npt.NDArray[Any], low: Any, high: Any) -> Any:
        if self.floating:
            with np.errstate(over="ignore", invalid="ignore"):
                return float(numbers.sum(dtype=np.float64))
        # Integers without wrapping around at 64 bits.
        if max(abs(low), abs(high)) * len(numbers) < _WIDE:
            return int(numbers.sum(dtype=np.int64))
        return sum(numbers.tolist())

    def _add_finite(self, numbers: npt.NDArray[Any], low: Any, high: Any) -> None:
        if self.floating and not (np.isfinite(low) and np.isfinite(high)):
            finite = np.isfinite(numbers)
            self.infinite += int((~finite).sum())
            numbers = numbers[finite]
        for start in range(0, len(numbers), _BLOCK):
            # A block stays in the processor's cache for all that is done with it.
            self.spread.add(numbers[start : start + _BLOCK])
            self.bins.add(numbers[start : start + _BLOCK])
        if self._kept is not None:
            self._kept.append(numbers)
            self._kept_values += len(numbers)
            if self._kept_values > EXACT_VALUES:
                self._kept = None

    def result(self, *, like: NumberTally | None = None) -> Numbers:
        """Return what was found; with `like` the histogram has the bins of that tally."""
        mean = self.total / self.count if self.count and not self.is_time else None
        low, high = self._value(self.low), self._value(self.high)
        if not self.full:
            return Numbers(self.count, self.nan, self.infinite, low, mean, high)
        std = None if self.is_time else self.spread.std()
        return Numbers(
            self.count, self.nan, self.infinite, low, mean, high, std,
            self._quantiles(), self._kept is not None,
            self._histogram(like.bins if like is not None else None),
        )  # fmt: skip

    def _quantiles(self) -> tuple[tuple[float, Any], ...]:
        if self.count == self.infinite:
            return ()
        if self._kept is not None:
            values = np.concatenate(self._kept)
            found = np.quantile(values.astype(np.float64, copy=False), QUANTILES).tolist()
        else:
            found = [self.bins.quantile(q) for q in QUANTILES]
        if self.is_time:
            found = [self._value(round(v)) for v in found]
        return tuple(zip(QUANTILES, found, strict=True))

    def _histogram(self, like: Bins | None) -> Histogram | None:
        found = self.bins.histogram(like)
        if found is None or not self.is_time:
            return found
        return Histogram(tuple(self._value(e) for e in found.edges), found.counts)

    def _value(self, number: Any) -> Any:
        """Return a number of a time column as the time that it is."""
        if number is None or not self.is_time:
            return number
        at = pa.scalar(int(number), pa.int64()).cast(self.dtype)
        try:
            return at.as_py()
        except (OverflowError, ValueError):
            return str(at.cast(pa.string()))  # A year that Python does not have.


class _Spread:
    """Sum of squared distances from the mean, merged as Chan, Golub and LeVeque (1979) do it."""

    def __init__(self) -> None:
        self.n = 0
        self.mean = self.squares = 0.0

    def add(self, numbers: npt.NDArray[Any]) -> None:
        n = len(numbers)
        if n == 0:
            return
        with np.errstate(over="ignore", invalid="ignore"):
            wide = numbers.astype(np.float64)
            mean = float(wide.mean())
            wide -= mean
            squares = float(np.square(wide, out=wide).sum())
            apart = mean - self.mean
            both = self.n + n
            self.squares += squares + apart * apart * self.n * n / both
            self.mean += apart * n / both
        self.n = both

    def std(self) -> float | None:
        if self.n < 2:
            return None
        found = float(np.sqrt(self.squares / (self.n - 1)))
        return found if np.isfinite(found) else None
