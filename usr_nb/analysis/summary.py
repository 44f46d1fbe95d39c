"""What the explorer's charts show: nulls per column, counts per bin, in one and two dimensions.

Every count is given twice: for all rows of the sample, and for those that match the filter.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from usr_nb.analysis.explore import Floats, Mask


@dataclass(frozen=True)
class Nulls:
    """How many cells of a column are null, in all rows given and in those that match."""

    column: str
    rows: int
    nulls: int
    matching: int
    matching_nulls: int

    @property
    def percent(self) -> float:
        """Share of null cells in all rows, 0 to 100."""
        return 100 * self.nulls / self.rows if self.rows else 0.0

    @property
    def matching_percent(self) -> float:
        """Share of null cells in the matching rows, 0 to 100."""
        return 100 * self.matching_nulls / self.matching if self.matching else 0.0


def null_summary(table: pa.Table, mask: Mask) -> list[Nulls]:
    """Count the nulls of every column, in column order; NaN is a value.

    Examples
    --------
    >>> table = pa.table({"x": [1.0, None], "y": [1, 2]})
    >>> [
    ...     (n.column, n.nulls, n.matching_nulls)
    ...     for n in null_summary(table, np.array([True, False]))
    ... ]
    [('x', 1, 0), ('y', 0, 0)]
    """
    found = []
    for name, column in zip(table.column_names, table.columns, strict=True):
        null = np.asarray(pc.is_null(column).to_numpy(zero_copy_only=False), np.bool_)
        found.append(
            Nulls(name, len(null), int(null.sum()), int(mask.sum()), int((null & mask).sum()))
        )
    return found


@dataclass(frozen=True)
class Histogram:
    """Counts per bin ``[edges[i], edges[i + 1])``, of all rows and of those that match.

    ``missing`` rows had no finite value (null, NaN, infinite) and lie in no bin.
    """

    edges: Floats
    rows: npt.NDArray[np.int64]
    matching: npt.NDArray[np.int64]
    missing: int
    matching_missing: int


def histogram(
    values: Floats, mask: Mask, *, bins: int = 40, whole: bool = False, step: float | None = None
) -> Histogram:
    """Count values in bins of a round width.

    Parameters
    ----------
    values : numpy.ndarray of float64
        NaN and infinite values are counted as missing.
    mask : numpy.ndarray of bool
        The matching rows.
    bins : int
        At most so many, and one.
    whole : bool
        The values are whole numbers: no bin is narrower than 1.
    step : float, optional
        The bin width, where one is asked for; then `bins` does not matter.

    Examples
    --------
    >>> h = histogram(
    ...     np.array([1.0, 2.0, 2.0, np.nan]), np.array([True, True, False, True]), whole=True
    ... )
    >>> h.edges.tolist(), h.rows.tolist(), h.matching.tolist(), h.missing
    ([1.0, 2.0, 3.0], [1, 2], [1, 1], 1)
    """
    finite = np.isfinite(values)
    edges = round_edges(values[finite], bins, whole=whole, step=step)
    return Histogram(
        edges,
        _count(values[finite], edges),
        _count(values[finite & mask], edges),
        int((~finite).sum()),
        int((~finite & mask).sum()),
    )


def _count(values: Floats, edges: Floats) -> npt.NDArray[np.int64]:
    return np.histogram(values, edges)[0].astype(np.int64)


def round_edges(
    values: Floats, bins: int, *, whole: bool = False, step: float | None = None
) -> Floats:
    """Return ascending edges at multiples of the step, by default 1, 2 or 5 times a power of 10.

    Every value lies in ``[edges[0], edges[-1])``; there are at most `bins` bins, and one.
    """
    if len(values) == 0:
        return np.array([0.0, 1.0])
    low, high = float(values.min()), float(values.max())
    # Near the ends of the floating-point range sums and products overflow; one bin serves there.
    with np.errstate(over="ignore", invalid="ignore"):
        if step is None:
            least = high / bins - low / bins if high > low else abs(high) / bins
            step = _round_step(least or 1.0)
            step = max(step, 1.0) if whole else step
        first, last = np.floor(low / step), np.floor(high / step) + 1
        ends = np.array([first * step, last * step])
    edges = np.arange(first, last + 1) * step if np.isfinite(ends).all() else ends
    # Huge values with a tiny spread: the multiples cannot be told apart, or miss the ends.
    apart = np.isfinite(edges).all() and (np.diff(edges) > 0).all()
    if not apart or len(edges) < 2 or edges[0] > low or edges[-1] <= high:
        above = math.nextafter(high, math.inf)
        return np.array(
            [low, above] if above < math.inf else [math.nextafter(low, -math.inf), high]
        )
    return edges


def _round_step(least: float) -> float:
    power = max(10.0 ** np.floor(np.log10(least)), np.finfo(float).tiny)
    return float(next(power * f for f in (1, 2, 5, 10) if power * f >= least * (1 - 1e-9)))


@dataclass(frozen=True)
class Cell:
    """One bin of two values, ``[x0, x1)`` by ``[y0, y1)``: all rows and those that match.

    ``x`` and ``y`` are the means of its rows: where the rows are, not where the bin is.
    """

    x0: float
    x1: float
    y0: float
    y1: float
    x: float
    y: float
    rows: int
    matching: int


def grid(
    x: Floats,
    y: Floats,
    mask: Mask,
    *,
    bins: int = 40,
    whole_x: bool = False,
    step_y: float | None = None,
) -> list[Cell]:
    """Count pairs of values in a grid of bins of round widths; only bins with rows are returned.

    Parameters
    ----------
    x, y : numpy.ndarray of float64
        Pairs with NaN or an infinite value are left out.
    mask : numpy.ndarray of bool
        The matching rows.
    bins : int
        At most so many, and one, each way.
    whole_x : bool
        The values of `x` are whole numbers.
    step_y : float, optional
        The bin width of `y`, where one is asked for.

    Examples
    --------
    >>> [cell] = grid(
    ...     np.array([60.0, 60.0]),
    ...     np.array([49.0, 47.0]),
    ...     np.array([True, False]),
    ...     step_y=5,
    ...     whole_x=True,
    ... )
    >>> cell.y0, cell.y1, cell.y, cell.rows, cell.matching
    (45.0, 50.0, 48.0, 2, 1)
    """
    finite = np.isfinite(x) & np.isfinite(y)
    x, y, mask = x[finite], y[finite], mask[finite]
    edges = (
        round_edges(x, bins, whole=whole_x),
        round_edges(y, bins, step=step_y),
    )

    def total(weights: Floats) -> Floats:
        return np.histogram2d(x, y, edges, weights=weights)[0]

    rows, hits = total(np.ones(len(x))), total(mask.astype(np.float64))
    x_sum, y_sum = total(x), total(y)
    return [
        Cell(
            x0=float(edges[0][i]), x1=float(edges[0][i + 1]),
            y0=float(edges[1][j]), y1=float(edges[1][j + 1]),
            x=float(x_sum[i, j] / rows[i, j]), y=float(y_sum[i, j] / rows[i, j]),
            rows=int(rows[i, j]), matching=int(hits[i, j]),
        )
        for i, j in np.argwhere(rows > 0)
    ]  # fmt: skip
