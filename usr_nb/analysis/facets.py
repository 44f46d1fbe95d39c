"""One feature over all rows of a dataset, in the few bytes a row that counting needs.

A :class:`Facet` gives every row the number of its *slot*: a bin of a histogram, a value of a
category, beyond the view, null, NaN. Counting how many rows of each slot a filter keeps is then one
pass over a byte or two per row.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from usr_nb.analysis.summary import round_edges
from usr_nb.contract.times import to_text
from usr_nb.filter.bind import TypeClass, class_of
from usr_nb.filter.compute import Mask, Values
from usr_nb.filter.engine import numbers_of

BINS: Final = 48
#: Text of more different values is searched, not chosen from.
MAX_CATEGORIES: Final = 1_000
CORE: Final = (0.01, 0.99)
_MANY: Final = 1 << 17

Scale = Literal["linear", "log"]
View = Literal["all", "core"]
Slot = Literal["bin", "below", "beyond", "null", "nan"]
Codes = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]
Counts = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROS: Final = {"s": 10**6, "ms": 10**3, "us": 1}


@dataclass(frozen=True)
class Facet:
    """A feature's slots.

    Attributes
    ----------
    kind : {"number", "time", "category", "many"}
        A histogram of numbers or times; values to choose from; or text of too many values, of
        which only null is told apart.
    codes : numpy.ndarray of uint8 or uint16, shape (rows of the base,)
        The slot of every row: first the bins or values, then below, beyond, null, NaN.
    edges : numpy.ndarray of float64, or None
        Of a histogram: bin i is ``[edges[i], edges[i + 1])``; times in microseconds since 1970.
    values : tuple, or None
        Of a category: the value of each slot, the most frequent first.
    whole : bool
        Whether the numbers are whole.
    low, high : float or None
        Least and greatest finite number there is, whatever the view.
    """

    kind: Literal["number", "time", "category", "many"]
    codes: Codes
    shown: int
    edges: Floats | None = None
    values: tuple[str | bool, ...] | None = None
    whole: bool = False
    low: float | None = None
    high: float | None = None

    def count(self, keep: Mask | None = None) -> Counts:
        """Return how many rows (that are kept) each slot has: bins or values, then 4 others."""
        size = self.shown + 4
        if keep is None:
            return _tally(self.codes, size)
        # Rows that are not kept go to a second set of slots: quicker than picking rows out.
        dropped: Any = np.multiply(~keep, size, dtype=self.codes.dtype)
        return _tally(self.codes + dropped, 2 * size)[:size]


def _tally(codes: Codes, slots: int) -> Counts:
    """Return how often each code is there."""
    if codes.dtype != np.uint8 or len(codes) < _MANY:
        return np.bincount(codes, minlength=slots).astype(np.int64)
    # Two bytes at a time: half the work.
    even = len(codes) & ~1
    pairs = np.bincount(codes[:even].view(np.uint16), minlength=1 << 16).reshape(256, 256)
    found: Counts = pairs.sum(axis=0) + pairs.sum(axis=1)
    if even < len(codes):
        found[codes[-1]] += 1
    return found[:slots].astype(np.int64, copy=False)


def make_facet(values: Values, *, scale: Scale = "linear", view: View = "all") -> Facet:
    """Return the slots of a feature.

    Parameters
    ----------
    values : Values
        The feature over all rows.
    scale : {"linear", "log"}
        Of numbers: bins of one width, or of one ratio (numbers below or at 0 are then "below").
    view : {"all", "core"}
        All numbers, or the middle 98 % of them.

    Examples
    --------
    >>> array = pa.array([1, 2, 2, None])
    >>> facet = make_facet(Values(array, array.type))
    >>> facet.edges.tolist(), facet.count().tolist()
    ([1.0, 2.0, 3.0], [1, 2, 0, 0, 1, 0])
    """
    kind = class_of(values.dtype)
    if kind in ("number", "time"):
        return _histogram(values, scale, view, kind)
    if kind == "bool":
        return _flags(values.array)
    if kind == "text":
        found = categories(values.array)
        if found is not None:
            return category_facet(*found)
    there = np.asarray(values.array.is_valid().to_numpy(zero_copy_only=False), bool)
    return Facet("many", np.where(there, 0, 3).astype(np.uint8), 1)


# Numbers and times --------------------------------------------------------------------------------


def _histogram(values: Values, scale: Scale, view: View, kind: TypeClass) -> Facet:
    numbers, there = numbers_of(values)
    shown_numbers: Floats
    if kind == "time":
        shown_numbers = _micros(numbers, values.dtype.unit)
    else:
        shown_numbers = numbers.astype(np.float64, copy=False)
    nan = there & np.isnan(shown_numbers)
    finite = shown_numbers[there & np.isfinite(shown_numbers)]
    whole = kind == "time" or numbers.dtype.kind in "iu"
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (None, None)
    edges = _edges(finite, scale, view, whole=whole and kind == "number")
    n = len(edges) - 1
    # One more than a bin can hold is beyond; a number below the first edge gets slot n.
    place = np.searchsorted(edges, shown_numbers, side="right").astype(np.int64) - 1
    codes = np.where(place < 0, n, np.where(place >= n, n + 1, place))
    codes[~there] = n + 2
    codes[nan] = n + 3
    return Facet(
        "time" if kind == "time" else "number", codes.astype(np.uint8), n, edges=edges,
        whole=whole, low=low, high=high,
    )  # fmt: skip


def _edges(finite: Floats, scale: Scale, view: View, *, whole: bool) -> Floats:
    if scale == "log":
        finite = finite[finite > 0]
    if view == "core" and len(finite):
        ends = np.quantile(finite, CORE, method="inverted_cdf")
        finite = finite[(finite >= ends[0]) & (finite <= ends[1])]
    if scale == "linear" or not len(finite):
        return round_edges(finite, BINS, whole=whole)
    low, high = float(finite.min()), float(finite.max())
    edges = np.geomspace(low, high, BINS + 1) if high > low else np.array([low, high])
    edges[0], edges[-1] = low, np.nextafter(high, np.inf)
    edges = np.unique(edges)
    return edges if len(edges) > 1 and np.isfinite(edges).all() else round_edges(finite, 1)


def _micros(numbers: npt.NDArray[Any], unit: str) -> Floats:
    if unit == "ns":
        return np.floor(numbers / 1000).astype(np.float64)
    return numbers.astype(np.float64) * _MICROS[unit]


def time_text(micros: float) -> str:
    """Return microseconds since 1970 as text; of a time that no calendar has, its number.

    Examples
    --------
    >>> time_text(0.0)
    '1970-01-01T00:00:00.000000Z'
    """
    try:
        return to_text(_EPOCH + timedelta(microseconds=int(micros)))
    except OverflowError:
        return f"{micros:.0f} µs"


# Values to choose from ----------------------------------------------------------------------------


def _flags(array: pa.Array) -> Facet:
    there = np.asarray(array.is_valid().to_numpy(zero_copy_only=False), bool)
    true = np.asarray(array.fill_null(False).to_numpy(zero_copy_only=False), bool)
    codes = np.where(there, np.where(true, 0, 1), 4).astype(np.uint8)
    return Facet("category", codes, 2, values=(True, False))


def categories(array: pa.Array) -> tuple[npt.NDArray[np.int32], tuple[str, ...]] | None:
    """Return the number of each row's value (-1 for null) and the values, if there are few.

    Of a long column a piece is looked at first, so that names are not all hashed for nothing.
    """
    piece = array.slice(0, 4 * MAX_CATEGORIES)
    if len(pc.unique(piece)) > MAX_CATEGORIES + 1:
        return None
    encoded = array.dictionary_encode()
    if len(encoded.dictionary) > MAX_CATEGORIES:
        return None
    codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int32)
    return codes, tuple(encoded.dictionary.to_pylist())


def category_facet(codes: npt.NDArray[np.int32], values: tuple[str, ...]) -> Facet:
    """Return the slots of a category, from the number of each row's value (-1 for null)."""
    n = len(values)
    counts = np.bincount(codes + 1, minlength=n + 1)[1:]
    order = sorted(range(n), key=lambda i: (-counts[i], values[i]))
    place = np.empty(n + 1, np.int64)
    place[order] = np.arange(n)
    # Null is -1, the last one.
    place[-1] = n + 2
    kind: Any = np.uint8 if 2 * (n + 4) <= 256 else np.uint16
    return Facet(
        "category", place[codes].astype(kind), n, values=tuple(values[i] for i in order)
    )  # fmt: skip
