"""The ids of the base that was written to last, in memory: one write after another reads them once.

They are known by inode, size, mtime and footer of the base, which is replaced and never changed.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from usr_nb.contract.hashing import ID_HEX_DIGITS, U64, id_words
from usr_nb.contract.progress import tracked
from usr_nb.overlay.idindex import Finder, finder_rows
from usr_nb.overlay.lookup import Int
from usr_nb.overlay.merge import Merged

#: Longer bases are looked up and let go: a row takes 56 bytes.
MOST_ROWS: Final = 12_000_000
_PIECE: Final = 16_384
#: More letters than one text array holds.
_MOST_IDS: Final = (2**31 - 1) // ID_HEX_DIGITS
_lock = threading.Lock()
_kept: dict[tuple[Any, ...], Finder] = {}
#: What is to come: the ids of before, and those that come behind them.
_grown: dict[tuple[Any, ...], tuple[Finder, list[U64]]] = {}


def finder_of(merged: Merged) -> Finder | None:
    """Return what finds the rows of ids, or None if ids of the base are odd (it is damaged)."""
    identity = tuple(merged.view.base.identity())
    with _lock:
        known = _kept.get(identity)
        grown = _grown.pop(identity, None)
    if known is not None:
        return known
    words = None if grown is not None else _words(merged)
    if grown is not None:
        finder = grown[0].longer(np.concatenate(grown[1]))
    elif words is not None:
        finder = Finder(words)
    else:
        return None
    words = finder.words
    if len(words) <= MOST_ROWS:
        with _lock:
            _kept.clear()
            _kept[identity] = finder
    return finder


def carry_on(merged: Merged, identity: Iterable[Any], more: Iterable[pa.Array]) -> None:
    """Let the ids in memory be those of the base that is to come: the same rows, and some more.

    Nothing is worked out before somebody asks; nobody does if that base never comes.

    Parameters
    ----------
    merged : Merged
        Of the base there is.
    identity : iterable
        Of the file that is to take its place.
    more : iterable of pyarrow.Array
        The ids of the rows behind its own.
    """
    before = tuple(merged.view.base.identity())
    with _lock:
        known = _kept.get(before)
    words = [id_words(ids) for ids in more] if known is not None else []
    some = [w.copy() for w in words if w is not None]
    if known is not None and len(some) == len(words) > 0:
        with _lock:
            _grown.clear()
            _grown[tuple(identity)] = known, some


def finder_kept(merged: Merged) -> Finder | None:
    """Return what finds the rows of ids if it stays in memory, else None."""
    return finder_of(merged) if 0 < merged.base_rows <= MOST_ROWS else None


def _words(merged: Merged) -> U64 | None:
    """Read all ids of the base; None if they are odd."""
    # Filled piece by piece: of many rows the ids alone are 40 bytes each.
    words = np.empty((merged.base_rows, 5), np.uint64)
    at = 0
    batches = merged.base_batches(["id"])
    for batch in tracked(batches, "reading id", total=merged.base_rows):
        some = id_words(batch.column(0))
        if some is None:
            return None
        words[at : at + len(some)] = some
        at += len(some)
    return words


class IdTarget:
    """What the rows of an input are matched to by id; finds what a ``Target`` of the ids would."""

    def __init__(self, finder: Finder) -> None:
        self._finder = finder

    def find(self, keys: pa.ChunkedArray) -> Int:
        """Return the base row of each id, -1 where there is none."""
        # In pieces: what is compared is copied, and of a million ids that is much.
        pieces = [c.slice(i, _PIECE) for c in keys.chunks for i in range(0, len(c), _PIECE)]
        return finder_rows(self._finder, pa.chunked_array(pieces, keys.type))

    def names(self, rows: Int) -> pa.ChunkedArray | None:
        """Return the ids of base rows."""
        if len(rows) > _MOST_IDS:
            return None
        return pa.chunked_array([ids_of(self._finder.words.take(rows, axis=0))])


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
    parts : iterable of pyarrow.ChunkedArray of string
        The ids of each part.
    """

    def __init__(self, finder: Finder, parts: Iterable[pa.ChunkedArray]) -> None:
        self._finder = finder
        found: list[npt.NDArray[np.int32]] = []
        strange: list[pa.Array] = []
        for keys in parts:
            rows = finder_rows(finder, keys).astype(np.int32)
            found.append(rows)
            strange += keys.filter(pa.array(rows < 0)).chunks if (rows < 0).any() else []
        rows = np.concatenate([np.zeros(0, np.int32), *found])
        marks = np.zeros(len(finder.words), np.bool_)
        marks[rows[rows >= 0]] = True
        self.base_rows: Int = np.flatnonzero(marks)
        self._code = np.cumsum(marks, dtype=np.int32) - np.int32(1)
        lost = pa.chunked_array(strange, pa.string())
        self.orphans: pa.Array = lost.unique()
        self.size = len(self.base_rows) + len(self.orphans)
        #: The code of each id of all parts, one part after the other.
        self.all_codes = self._codes(rows, lost)

    @property
    def keys(self) -> pa.ChunkedArray:
        """The id of each code."""
        return self.names(0, self.size)

    def names(self, start: int, end: int) -> pa.ChunkedArray:
        """Return the ids of some codes (0-based, half-open)."""
        known = ids_of(self._finder.words.take(self.base_rows[start:end], axis=0))
        n = len(self.base_rows)
        strange = self.orphans.slice(max(0, start - n), max(0, end - max(start, n)))
        return pa.chunked_array([known, strange], pa.string())

    def codes(self, keys: pa.ChunkedArray) -> Int:
        """Return the code of each id of a part."""
        rows = finder_rows(self._finder, keys)
        lost = keys.filter(pa.array(rows < 0)) if (rows < 0).any() else keys.slice(0, 0)
        return self._codes(rows, lost).astype(np.int64)

    def _codes(self, rows: npt.NDArray[Any], lost: pa.ChunkedArray) -> npt.NDArray[np.int32]:
        codes = np.full(len(rows), -1, np.int32)
        there = rows >= 0
        if len(self._code):
            codes[there] = self._code[rows[there]]
        if len(lost):
            index = pc.index_in(lost.cast(pa.string()), value_set=self.orphans)
            codes[~there] = np.asarray(index.to_numpy(), np.int32) + len(self.base_rows)
        return codes

    def per_row(self, by_code: Int) -> Int:
        """Return a value per code as it is: every id is one row."""
        return by_code
