"""Histograms in one pass, exact, in bounded memory: bins are multiples of a power of two.

Such bins nest: when a value lies beyond them, pairs of bins become one, and no count is lost. The
result depends on the values alone, not on how they come in batches.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from usr_nb.dataset.profile.model import Histogram

Counts = npt.NDArray[np.int64]
#: Bins that are kept, and at most so many that are shown.
FINE: Final = 4_096
SHOWN: Final = 64
#: Below the smallest float there is nothing to tell apart.
_LEAST: Final = -1_074
_EXACT_BITS: Final = 52


class Bins:
    """Counts of finite numbers in bins ``[i * 2**k, (i + 1) * 2**k)``."""

    def __init__(self, *, whole: bool) -> None:
        self.whole = whole
        self.k = 0 if whole else _LEAST
        self.first = 0
        self.counts: Counts = np.zeros(0, np.int64)

    def add(self, values: npt.NDArray[Any]) -> None:
        """Take in integers, or floats that are all finite."""
        if len(values) == 0:
            return
        self._reach(values.min().item(), values.max().item())
        self.counts += np.bincount(self._places(values), minlength=len(self.counts))

    def _reach(self, low: Any, high: Any) -> None:
        """Take the finest step with which all values so far have room."""
        k = max(self.k, self._least_step(low, high))
        while True:
            first, last = self._place(low, k), self._place(high, k)
            if len(self.counts):
                first = min(first, self.first >> (k - self.k))
                last = max(last, (self.first + len(self.counts) - 1) >> (k - self.k))
            if last - first < FINE:
                break
            k += 1
        counts = np.zeros(last - first + 1, np.int64)
        if len(self.counts):
            old = _merged(self.counts, self.first, k - self.k)
            start = (self.first >> (k - self.k)) - first
            counts[start : start + len(old)] = old
        self.k, self.first, self.counts = k, first, counts

    def _least_step(self, low: Any, high: Any) -> int:
        """Return a step below which there is no room in any case."""
        if self.whole:
            spread: int = high - low
            return max(0, spread.bit_length() - FINE.bit_length() - 1)
        size, half = max(abs(low), abs(high)), high / 2 - low / 2
        # Finer edges could not be told apart as floats.
        room = math.frexp(size)[1] - _EXACT_BITS if size else _LEAST
        fine = math.frexp(half)[1] - FINE.bit_length() if half > 0 else _LEAST
        return max(_LEAST, room, fine)

    def _place(self, value: Any, k: int) -> int:
        if self.whole:
            return int(value >> k)
        scaled = math.ldexp(value, -k)
        # A small negative number may vanish, but it lies below zero.
        return -1 if scaled == 0 and value < 0 else math.floor(scaled)

    def _places(self, values: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        if self.whole:
            wide = values if values.dtype == np.uint64 else values.astype(np.int64, copy=False)
            kind = wide.dtype.type
            # The difference fits 64 bits also where an unsigned number does not.
            return ((wide >> kind(self.k)) - kind(self.first)).astype(np.int64)
        # A product with a power of two is exact as long as that is a normal number.
        single = values.dtype == np.float32
        if abs(self.k) < (100 if single else 1_000):
            scaled = values * values.dtype.type(2.0**-self.k)
        else:
            scaled = np.ldexp(values.astype(np.float64), -self.k)
        np.floor(scaled, out=scaled)
        if self.k > 0 and self.first < 0:
            scaled[(scaled == 0) & (values < 0)] = -1
        places: npt.NDArray[np.int64] = scaled.astype(np.int64)
        places -= self.first
        return places

    def histogram(self, like: Bins | None = None) -> Histogram | None:
        """Return at most 64 bins; with `like` those of another set of values that holds these."""
        lead = like or self
        if not len(lead.counts):
            return None
        counts, first = _trimmed(lead.counts, lead.first)
        up = 0
        while ((first + len(counts) - 1) >> up) - (first >> up) >= SHOWN:
            up += 1
        shown = _merged(counts, first, up)
        start, k = first >> up, lead.k + up
        if like is not None:
            shown = np.zeros(len(shown), np.int64)
            if len(self.counts):
                mine, at = _trimmed(self.counts, self.first)
                mine, at = _merged(mine, at, k - self.k), at >> (k - self.k)
                shown[at - start : at - start + len(mine)] = mine
        edges = tuple(self._edge(start + i, k) for i in range(len(shown) + 1))
        return Histogram(edges, tuple(shown.tolist()))

    def _edge(self, place: int, k: int) -> Any:
        if self.whole:
            return place << k
        try:
            return math.ldexp(place, k)
        except OverflowError:
            return math.inf if place > 0 else -math.inf

    def quantile(self, share: float) -> float:
        """Return about the value below which a share of all lies: linear inside a fine bin."""
        total = int(self.counts.sum())
        wanted = share * (total - 1)
        below = np.cumsum(self.counts)
        at = int(np.searchsorted(below, wanted, side="right"))
        inside = (wanted - (int(below[at - 1]) if at else 0) + 0.5) / int(self.counts[at])
        low, high = self._edge(self.first + at, self.k), self._edge(self.first + at + 1, self.k)
        return float(low + min(inside, 1.0) * (high - low))


def _merged(counts: Counts, first: int, shift: int) -> Counts:
    """Return counts in bins that are ``2**shift`` as wide, still at multiples of their width."""
    if shift == 0 or not len(counts):
        return counts
    offset = first - ((first >> shift) << shift)
    size = ((first + len(counts) - 1) >> shift) - (first >> shift) + 1
    if size == 1:
        return np.array([counts.sum()], np.int64)
    if shift <= 60:
        places = (np.arange(len(counts), dtype=np.int64) + offset) >> shift
    else:
        places = np.array([(first + i >> shift) - (first >> shift) for i in range(len(counts))])
    out = np.zeros(size, np.int64)
    np.add.at(out, places, counts)
    return out


def _trimmed(counts: Counts, first: int) -> tuple[Counts, int]:
    there = np.flatnonzero(counts)
    return counts[there[0] : there[-1] + 1], first + int(there[0])
