"""From ids to rows of the base, without hashing every id at every call.

An entry is one number per base row: the leading bits of its id, and in the low bits the row
itself, all sorted. What the bits say is a guess until the whole id was compared.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from usr_nb.contract.hashing import ID_HEX_DIGITS, U64, id_words, leading_bits
from usr_nb.overlay.lookup import Int
from usr_nb.storage.caches import BLOCK, Kept, Stored
from usr_nb.storage.parallel import in_order

_STEPS: Final = 16
#: Ids that one thread looks up at a time.
_PIECE: Final = 16_384
#: Of more ids twice as many share a place to look, which saves 4 bytes for each.
_MANY: Final = 1 << 22
#: Entries that are worked out at a time.
_RUN: Final = 1 << 20


def row_bits(rows: int) -> int:
    """Return how many low bits hold the row."""
    return max(1, (rows - 1).bit_length()) if rows else 1


def entries_of(words: U64) -> U64:
    """Return the sorted entries of an id index.

    Parameters
    ----------
    words : numpy.ndarray of uint64, shape (rows of the base, 5)
        All ids.
    """
    bits = np.uint64(row_bits(len(words)))

    def some(start: int) -> U64:
        lead = leading_bits(words[start : start + _RUN])
        rows = np.arange(start, start + len(lead), dtype=np.uint64)
        return ((lead >> bits) << bits) | rows

    # In runs: what is worked out on the way takes several times the memory of what comes out.
    entries = np.empty(len(words), np.uint64)
    starts = range(0, len(words), _RUN)
    for start, run in zip(starts, in_order(some, starts), strict=True):
        entries[start : start + len(run)] = run
    entries.sort()
    return entries


class Finder:
    """Looks up many ids in memory; equal ids of the base (a damaged one) give the first row.

    Parameters
    ----------
    words : numpy.ndarray of uint64, shape (rows of the base, 5)
        All ids of the base.
    entries : numpy.ndarray of uint64, optional
        The index, if it is there already.
    """

    def __init__(self, words: U64, entries: U64 | None = None) -> None:
        self.words = words
        self.entries = entries_of(words) if entries is None else entries
        self.bits = np.uint64(row_bits(len(words)))
        # Ids are evenly spread, so the leading bits tell almost where to look.
        few = int(len(words) > _MANY)
        self._shift = np.uint64(64 - max(1, len(words).bit_length() - few))
        self._starts = self._count(1 << (64 - int(self._shift)))

    def longer(self, more: U64) -> Finder:
        """Return what finds these ids and, in the rows behind them, more."""
        n = len(self.words)
        words = np.concatenate([self.words, more])
        if row_bits(len(words)) != self.bits:
            return Finder(words)
        rows = np.arange(n, len(words), dtype=np.uint64)
        added = ((leading_bits(more) >> self.bits) << self.bits) | rows
        return Finder(words, np.sort(np.concatenate([self.entries, added])))

    def _count(self, buckets: int) -> npt.NDArray[Any]:
        """Return the first entry of each bucket, and after them two that have none."""
        dtype = np.uint32 if len(self.entries) < 1 << 32 else np.uint64
        starts: npt.NDArray[Any] = np.zeros(buckets + 2, dtype)
        counts = starts[1:]
        for at in range(0, len(self.entries), _RUN):
            bucket = (self.entries[at : at + _RUN] >> self._shift).astype(np.int64)
            found = np.bincount(bucket - bucket[0])
            first = int(bucket[0])
            counts[first : first + len(found)] = counts[first : first + len(found)] + found
        np.cumsum(counts, out=counts, dtype=dtype)
        return starts

    def rows(self, wanted: U64) -> Int:
        """Return the base row of each id, -1 where there is none; whole ids are compared.

        Parameters
        ----------
        wanted : numpy.ndarray of uint64, shape (n, 5)
        """
        out = np.full(len(wanted), -1, np.int64)
        n = len(self.entries)
        if n == 0 or len(wanted) == 0:
            return out
        lead = (leading_bits(wanted) >> self.bits) << self.bits
        at = self._forward(lead, self._first(lead))
        mask = (np.uint64(1) << self.bits) - np.uint64(1)
        left = np.arange(len(wanted))
        while len(left):
            # Nearly always once, for all: the leading bits of two ids are seldom the same.
            place = at.take(left)
            entry = self.entries.take(np.minimum(place, n - 1))
            same = (place < n) & ((entry & ~mask) == lead.take(left))
            row = (entry & mask).astype(np.int64)
            # Bits from a cache may name a row that is not there.
            equal = same & (row < len(self.words))
            found = self.words.take(np.where(equal, row, 0), axis=0)
            equal &= _alike(found, wanted.take(left, axis=0))
            out[left[equal]] = row[equal]
            left = left[same & ~equal]
            at[left] += 1
        return out

    def maybe(self, leading: U64) -> Int:
        """Return which ids may be there, by their leading bits.

        Parameters
        ----------
        leading : numpy.ndarray of uint64, shape (n,)
            See :func:`~usr_nb.contract.hashing.leading_bits`.
        """
        n = len(self.entries)
        if n == 0:
            return np.zeros(0, np.int64)
        lead = (leading >> self.bits) << self.bits
        at = self._forward(lead, self._first(lead))
        found = self.entries[np.minimum(at, n - 1)]
        return np.flatnonzero((at < n) & ((found >> self.bits) << self.bits == lead))

    def _first(self, lead: U64) -> Int:
        return self._starts[(lead >> self._shift).astype(np.int64)].astype(np.int64)

    def _forward(self, lead: U64, at: Int) -> Int:
        """Go on to the first entry that is not less."""
        n = len(self.entries)
        todo = np.arange(len(lead))
        for _ in range(_STEPS):
            todo = todo[at[todo] < n]
            todo = todo[self.entries[at[todo]] < lead[todo]]
            if not len(todo):
                return at
            at[todo] += 1
        at[todo] = np.searchsorted(self.entries, lead[todo], side="left")
        return at


def _alike(some: U64, others: U64) -> npt.NDArray[np.bool_]:
    """Say of each row of two arrays whether they are equal: faster than ``all(axis=1)``."""
    x = some ^ others
    same: npt.NDArray[np.bool_] = (x[:, 0] | x[:, 1] | x[:, 2] | x[:, 3] | x[:, 4]) == 0
    return same


def candidates(index: Stored | Kept, rows: int, prefix: str) -> list[int]:
    """Return the base rows whose id may begin with `prefix` (7 to 40 lower-case hex digits).

    They are guesses: the ids themselves must be compared. Few blocks of the index are read.
    """
    bits = row_bits(rows)
    known = prefix[: min(len(prefix), 16)]
    low = int(known.ljust(16, "0"), 16) >> bits << bits
    high = (int(known.ljust(16, "f"), 16) >> bits << bits) | ((1 << bits) - 1)
    fences = index.fences
    begin = max(0, int(np.searchsorted(fences, np.uint64(low), side="left")) - 1)
    end = int(np.searchsorted(fences, np.uint64(high), side="right"))
    found = index.block_range(begin * BLOCK, end * BLOCK)
    inside = found[(found >= np.uint64(low)) & (found <= np.uint64(high))]
    at = (inside & np.uint64((1 << bits) - 1)).astype(np.int64)
    return sorted(at[at < rows].tolist())


def finder_rows(finder: Finder, keys: pa.ChunkedArray) -> Int:
    """Return the base row of each id of a part; ids of an odd form are in no base of even ones."""
    pieces = [c.slice(at, _PIECE) for c in keys.chunks for at in range(0, len(c), _PIECE)]
    found = list(in_order(lambda piece: piece_rows(finder, piece), pieces))
    return np.concatenate(found) if found else np.zeros(0, np.int64)


def piece_rows(finder: Finder, ids: pa.Array) -> Int:
    """Return the base row of each of a few ids, as :func:`finder_rows` does."""
    words = id_words(ids)
    if words is not None:
        return finder.rows(words)
    rows = np.full(len(ids), -1, np.int64)
    sizes = pc.fill_null(pc.binary_length(ids), 0)
    even = np.asarray(sizes.to_numpy(zero_copy_only=False)) == ID_HEX_DIGITS
    whole = id_words(ids.filter(pa.array(even)))
    if whole is not None:
        rows[even] = finder.rows(whole)
    return rows
