"""Ids of many rows at once, and their leading bytes as numbers for fast comparison."""

from __future__ import annotations

import hashlib
import sys
import threading
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

U64 = npt.NDArray[np.uint64]
ID_HEX_DIGITS: Final = 40
#: Fewer rows at once are hashed one by one, and so are the first ones of a process.
_MIN_ROWS: Final = 8192
_LOAD_ROWS: Final = 200_000
_hashed = [0]
_own = threading.local()

_NIBBLE = np.full(256, 255, np.uint8)
_NIBBLE[np.frombuffer(b"0123456789abcdef", np.uint8)] = np.arange(16, dtype=np.uint8)


def compute_ids(bio_types: pa.Array, sequences: pa.Array) -> pa.Array:
    """Return the record ids of rows whose sequences are normalized already.

    Parameters
    ----------
    bio_types, sequences : pyarrow.Array of string
        One cell per row, without nulls.

    Examples
    --------
    >>> compute_ids(pa.array(["dna"]), pa.array(["ACGT"]))[0].as_py()[:8]
    'ee93db67'
    """
    text = pc.binary_join_element_wise(bio_types, sequences, "|")
    if _worth_duckdb(text):
        return _by_duckdb(text)
    sha1 = hashlib.sha1
    cells = text.cast(pa.binary()).to_pylist()
    return pa.array([sha1(c, usedforsecurity=False).hexdigest() for c in cells], pa.string())


def _worth_duckdb(text: pa.Array) -> bool:
    """Say whether DuckDB hashes these faster: it needs no interpreter, but time to be loaded."""
    if len(text) < _MIN_ROWS or text.null_count:
        return False
    _hashed[0] += len(text)
    if _hashed[0] < _LOAD_ROWS and "duckdb" not in sys.modules:
        return False
    # Of text that DuckDB may see in another way nothing is asked.
    letters = np.frombuffer(text.buffers()[2], np.uint8)
    return bool(letters.min() > 0 and letters.max() < 128)


def _by_duckdb(text: pa.Array) -> pa.Array:
    import duckdb

    # One for each thread, which is at work alone: the threads are the caller's.
    con = getattr(_own, "con", None)
    if con is None:
        con = _own.con = duckdb.connect(config={"threads": 1})
    con.register("texts", pa.table({"t": text}))
    ids = con.sql("SELECT sha1(t) AS id FROM texts").to_arrow_table().column(0)
    con.unregister("texts")
    return ids.cast(pa.string()).combine_chunks()


def id_prefixes(ids: pa.Array) -> U64:
    """Return the first 8 bytes of each id as a number; equal ids have equal numbers.

    Ids that are not 40 lower-case hexadecimal digits (of a damaged file) get a number as well,
    so a hit must be confirmed on the whole id in any case.
    """
    plain = ids if ids.type == pa.string() else ids.cast(pa.string())
    whole = pa.array(plain.to_pylist(), pa.string()) if plain.offset else plain
    n = len(whole)
    if n == 0:
        return np.zeros(0, np.uint64)
    _, offsets_buf, data_buf = whole.buffers()
    offsets = np.frombuffer(offsets_buf, np.int32, n + 1)
    regular = whole.null_count == 0 and data_buf is not None
    regular = regular and bool((np.diff(offsets) == ID_HEX_DIGITS).all())
    if regular:
        letters = np.frombuffer(data_buf, np.uint8, n * ID_HEX_DIGITS, offsets[0])
        nibbles = _NIBBLE[letters.reshape(n, ID_HEX_DIGITS)[:, :16]]
        if (nibbles < 16).all():
            octets = np.ascontiguousarray((nibbles[:, 0::2] << 4) | nibbles[:, 1::2])
            return octets.view(">u8").ravel().astype(np.uint64)
    return np.array([_one_prefix(v or "") for v in whole.to_pylist()], np.uint64)


def _one_prefix(value: str) -> int:
    try:
        if len(value) == ID_HEX_DIGITS and value == value.lower():
            return int(value[:16], 16)
    except ValueError:
        pass
    digest = hashlib.blake2b(value.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big")


def id_words(ids: pa.Array) -> U64 | None:
    """Return ids as five numbers of eight letters each, or None if not all have 40 bytes.

    Parameters
    ----------
    ids : pyarrow.Array of string

    Returns
    -------
    numpy.ndarray of uint64, shape (rows, 5)
        Equal exactly where the ids are. It shares the memory of `ids`.
    """
    n = len(ids)
    if n == 0:
        return np.zeros((0, 5), np.uint64)
    if ids.type != pa.string() or ids.null_count:
        return None
    _, offsets_buf, data = ids.buffers()
    offsets = np.frombuffer(offsets_buf, np.int32, n + 1, 4 * ids.offset)
    first = int(offsets[0])
    if data is None or int(offsets[-1]) - first != n * ID_HEX_DIGITS:
        return None
    if not (np.diff(offsets) == ID_HEX_DIGITS).all():
        return None
    return np.frombuffer(data, "<u8", 5 * n, first).reshape(n, 5)


def leading_bits(words: U64) -> U64:
    """Return the first 16 hexadecimal digits of each id as a number.

    Of other letters than lower-case hexadecimal digits it makes some number, equal for equal ids.

    Parameters
    ----------
    words : numpy.ndarray of uint64, shape (rows, 5)
        From :func:`id_words`.

    Examples
    --------
    >>> words = id_words(pa.array(["0123456789abcdef" + 24 * "0"]))
    >>> hex(leading_bits(words)[0])
    '0x123456789abcdef'
    """
    return (_packed(words[:, 0]) << np.uint64(32)) | _packed(words[:, 1])


def _packed(letters: U64) -> U64:
    """Return eight hexadecimal letters per number as 32 bits, all at once within the register."""
    u = np.uint64
    x = letters.astype("<u8", copy=True).byteswap()
    x = (x & u(0x0F0F0F0F0F0F0F0F)) + u(9) * ((x >> u(6)) & u(0x0101010101010101))
    x = (x | (x >> u(4))) & u(0x00FF00FF00FF00FF)
    x = (x | (x >> u(8))) & u(0x0000FFFF0000FFFF)
    packed: U64 = (x | (x >> u(16))) & u(0x00000000FFFFFFFF)
    return packed


def are_hex(words: U64) -> bool:
    """Say whether all ids are of lower-case hexadecimal digits."""
    letters = words.tobytes()
    return not letters.translate(None, b"0123456789abcdef")
