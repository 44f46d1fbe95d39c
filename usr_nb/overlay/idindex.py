"""From ids to rows of the base, without hashing every id at every call.

An entry is one number per base row: the leading bits of its id, and in the low bits the row
itself, all sorted. What the bits say is a guess until the whole id was compared.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from usr_nb.contract.hashing import ID_HEX_DIGITS, U64, id_words, leading_bits
from usr_nb.overlay.lookup import Int
from usr_nb.storage.caches import BLOCK, Kept, Stored
from usr_nb.storage.parallel import in_order

_STEPS: Final = 16
#: Ids that one thread looks up at a time.
_PIECE: Final = 65_536


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
    rows = np.arange(len(words), dtype=np.uint64)
    entries: U64 = np.sort(((leading_bits(words) >> bits) << bits) | rows)
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
        self._shift = np.uint64(64 - max(1, len(words).bit_length()))
        counts = np.bincount(
            (self.entries >> self._shift).astype(np.int64),
            minlength=(1 << (64 - int(self._shift))) + 1,
        )
        self._starts = np.concatenate([[0], np.cumsum(counts)])

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
        at = self._starts[(lead >> self._shift).astype(np.int64)]
        at = self._forward(lead, at)
        mask = (np.uint64(1) << self.bits) - np.uint64(1)
        left = np.arange(len(wanted))
        while len(left):
            inside = at[left] < n
            left = left[inside]
            entry = self.entries[at[left]]
            same = (entry & ~mask) == lead[left]
            left, entry = left[same], entry[same]
            row = (entry & mask).astype(np.int64)
            # Bits from a cache may name a row that is not there.
            there = row < len(self.words)
            equal = np.zeros(len(left), bool)
            equal[there] = (self.words[row[there]] == wanted[left[there]]).all(axis=1)
            out[left[equal]] = row[equal]
            left = left[~equal]
            at[left] += 1
        return out

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
    found = list(in_order(lambda piece: _piece_rows(finder, piece), pieces))
    return np.concatenate(found) if found else np.zeros(0, np.int64)


def _piece_rows(finder: Finder, ids: pa.Array) -> Int:
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
