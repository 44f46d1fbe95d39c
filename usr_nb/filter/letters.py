"""Text columns as flat bytes, one per letter: what motif search and GC are counted on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from usr_nb.contract.iupac import IUPAC

Bytes = npt.NDArray[np.uint8]
Int = npt.NDArray[np.int64]

_BITS: Final = {"A": 1, "C": 2, "G": 4, "T": 8, "U": 8, "N": 16}


def mask_of_code(code: str) -> int:
    """Return the letters an IUPAC code stands for as bits: A 1, C 2, G 4, T and U 8, N 16.

    Examples
    --------
    >>> mask_of_code("R"), mask_of_code("N")
    (5, 31)
    """
    bits = 0
    for letter in IUPAC[code]:
        bits |= _BITS[letter]
    return bits


def _bit_table() -> Bytes:
    table = np.zeros(256, np.uint8)
    for letter, bit in _BITS.items():
        table[ord(letter)] = table[ord(letter.lower())] = bit
    return table


def _gc_table(half: int) -> npt.NDArray[Any]:
    """Return two counts in one number: G and C in the upper half, all of A, C, G, T, U below."""
    table = np.zeros(256, np.uint32 if half == 16 else np.uint64)
    for letter in "ACGTUacgtu":
        table[ord(letter)] = (1 << half) + 1 if letter in "GCgc" else 1
    return table


BIT_OF_BYTE: Final = _bit_table()
#: By the bits of a half; sequences of fewer than 65,536 letters do with 16.
_GC_OF_BYTE: Final = {16: _gc_table(16), 32: _gc_table(32)}


@dataclass(frozen=True)
class Letters:
    """Some texts end to end: row i is ``data[offsets[i]:offsets[i + 1]]``, one byte a letter.

    A letter that is not ASCII is a byte above 127. Null is an empty row.
    """

    data: Bytes
    offsets: Int

    @property
    def rows(self) -> int:
        """Number of texts."""
        return len(self.offsets) - 1


def letters_of(values: pa.Array) -> Letters:
    """Return a text array as letters; the bytes are not copied where all are ASCII."""
    if values.null_count:
        values = values.fill_null("")
    _, offsets_buffer, data_buffer = values.buffers()
    wide = pa.types.is_large_string(values.type)
    if len(values) == 0 or offsets_buffer is None:
        return Letters(np.zeros(0, np.uint8), np.zeros(len(values) + 1, np.int64))
    kind: Any = np.int64 if wide else np.int32
    offsets = np.frombuffer(offsets_buffer, kind)[values.offset : values.offset + len(values) + 1]
    first, last = int(offsets[0]), int(offsets[-1])
    data = (
        np.frombuffer(data_buffer, np.uint8)[first:last]
        if data_buffer is not None and last > first
        else np.zeros(0, np.uint8)
    )
    found = Letters(data, offsets.astype(np.int64) - first)
    return found if not len(data) or int(data.max()) < 128 else _single(found)


def _single(found: Letters) -> Letters:
    """Return the letters with the later bytes of those that are not ASCII left out."""
    leads = (found.data & 0xC0) != 0x80
    places = np.concatenate([[0], np.cumsum(leads)]).astype(np.int64)
    return Letters(found.data[leads], places[found.offsets])


def gc_shares(values: pa.Array) -> npt.NDArray[np.float64]:
    """Return the share of G and C among A, C, G, T and U of each text; NaN where there is none.

    Examples
    --------
    >>> gc_shares(pa.array(["GCAT", "gcNN", "NNN"])).tolist()
    [0.5, 1.0, nan]
    """
    text = letters_of(values)
    longest = int(np.diff(text.offsets).max(initial=0))
    half = 16 if longest < 1 << 16 else 32
    counts = sums(_GC_OF_BYTE[half][text.data], text.offsets)
    kind = counts.dtype.type
    gc, known = counts >> kind(half), counts & kind((1 << half) - 1)
    out = np.full(text.rows, np.nan)
    np.divide(gc, known, out=out, where=known > 0)
    return out


def sums(values: npt.NDArray[Any], offsets: Int) -> npt.NDArray[Any]:
    """Return the sum of each run ``values[offsets[i]:offsets[i + 1]]``; an empty one is 0."""
    out = np.zeros(len(offsets) - 1, values.dtype)
    there = offsets[1:] > offsets[:-1]
    if there.any():
        out[there] = np.add.reduceat(values, offsets[:-1][there])
    return out
