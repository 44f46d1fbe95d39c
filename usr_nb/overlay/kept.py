"""The ids of the base that was written to last, in memory: one write after another reads them once.

They are known by inode, size, mtime and footer of the base, which is replaced and never changed.
"""

from __future__ import annotations

import threading
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from usr_nb.contract.hashing import ID_HEX_DIGITS, U64, id_words
from usr_nb.overlay.idindex import Finder, finder_rows
from usr_nb.overlay.lookup import Int
from usr_nb.overlay.merge import Merged

#: Longer bases are looked up and let go: a row takes 56 bytes.
MOST_ROWS: Final = 2_000_000
_PIECE: Final = 65_536
_lock = threading.Lock()
_kept: dict[tuple[Any, ...], Finder] = {}


def finder_of(merged: Merged) -> Finder | None:
    """Return what finds the rows of ids, or None if ids of the base are odd (it is damaged)."""
    identity = tuple(merged.view.base.identity())
    with _lock:
        known = _kept.get(identity)
    if known is not None:
        return known
    words = id_words(merged.base_keys("id").combine_chunks())
    if words is None:
        return None
    finder = Finder(words)
    if len(words) <= MOST_ROWS:
        with _lock:
            _kept.clear()
            _kept[identity] = finder
    return finder


class IdTarget:
    """What the rows of an input are matched to by id; finds what a ``Target`` of the ids would."""

    def __init__(self, finder: Finder) -> None:
        self._finder = finder

    def find(self, keys: pa.ChunkedArray) -> Int:
        """Return the base row of each id, -1 where there is none."""
        # In pieces: what is compared is copied, and of a million ids that is much.
        pieces = [c.slice(i, _PIECE) for c in keys.chunks for i in range(0, len(c), _PIECE)]
        return finder_rows(self._finder, pa.chunked_array(pieces, keys.type))


def ids_of(words: U64) -> pa.Array:
    """Return ids as text again.

    Examples
    --------
    >>> ids = pa.array(["0123456789abcdef" + 24 * "0"])
    >>> ids_of(id_words(ids)).equals(ids)
    True
    """
    offsets = np.arange(len(words) + 1, dtype=np.int32) * ID_HEX_DIGITS
    letters = np.ascontiguousarray(words)
    return pa.StringArray.from_buffers(len(words), pa.py_buffer(offsets), pa.py_buffer(letters))


class IdSpace:
    """The ids that some parts hold, each with a code: those of the base first, in base order.

    Parameters
    ----------
    finder : Finder
        Of the base.
    keys : pyarrow.ChunkedArray of string
        The ids of all parts, one part after the other.
    """

    def __init__(self, finder: Finder, keys: pa.ChunkedArray) -> None:
        self._finder = finder
        rows = finder_rows(finder, keys)
        marks = np.zeros(len(finder.words), np.bool_)
        marks[rows[rows >= 0]] = True
        self.base_rows: Int = np.flatnonzero(marks)
        self._code = np.cumsum(marks, dtype=np.int64) - 1
        strange = keys.filter(pa.array(rows < 0)) if (rows < 0).any() else keys.slice(0, 0)
        self.orphans: pa.Array = strange.unique()
        self.size = len(self.base_rows) + len(self.orphans)
        self._last = (keys, rows)

    @property
    def keys(self) -> pa.ChunkedArray:
        """The id of each code."""
        known = ids_of(self._finder.words[self.base_rows])
        return pa.chunked_array([known, self.orphans.cast(pa.string())], pa.string())

    def codes(self, keys: pa.ChunkedArray) -> Int:
        """Return the code of each id of a part."""
        held, rows = self._last
        if not held.equals(keys):
            rows = finder_rows(self._finder, keys)
        codes = np.where(rows >= 0, self._code[rows], -1) if len(self._code) else rows
        if len(self.orphans):
            at = np.flatnonzero(rows < 0)
            found = keys.take(pa.array(at)).cast(pa.string())
            index = pc.index_in(found, value_set=self.orphans)
            codes[at] = np.asarray(index.to_numpy(), np.int64) + len(self.base_rows)
        return codes

    def per_row(self, by_code: Int) -> Int:
        """Return a value per code as it is: every id is one row."""
        return by_code
