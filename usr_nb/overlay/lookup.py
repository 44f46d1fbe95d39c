"""Finding rows by key: from the keys of overlay parts to the rows of the base."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from usr_nb.errors import SchemaError, ValidationError, some

Int = npt.NDArray[np.int64]


def base_column(key: str) -> str:
    """Return the base column that a key is made from."""
    return "id" if key == "id" else "sequence"


def normal_keys(values: pa.ChunkedArray, key: str) -> pa.ChunkedArray:
    """Return key values in the form in which they are compared (OVL-3)."""
    text = values.cast(pa.string())
    if key == "id":
        return text
    trimmed = trim(text)
    return pc.utf8_upper(trimmed) if key == "sequence_ci" else trimmed


def trim(text: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return ``str.strip()`` of every cell, exactly Python's.

    Only cells that begin or end with something other than a letter or digit are touched, as
    Python's and Arrow's tables of white space need not agree.
    """
    chunks = text.chunks if isinstance(text, pa.ChunkedArray) else [text]
    suspect = [_odd_ends(c) for c in chunks]
    rows = np.flatnonzero(np.concatenate(suspect)) if suspect else np.zeros(0, np.int64)
    if len(rows) == 0:
        return text
    whole = text.combine_chunks() if isinstance(text, pa.ChunkedArray) else text
    stripped = pa.array([v.strip() for v in whole.take(rows).to_pylist()], pa.string())
    mask = np.zeros(len(whole), bool)
    mask[rows] = True
    return pa.chunked_array([pc.replace_with_mask(whole, pa.array(mask), stripped)])


_PLAIN = np.zeros(256, np.bool_)
_PLAIN[list(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")] = True


def _odd_ends(text: pa.Array) -> npt.NDArray[np.bool_]:
    """Say which cells begin or end with something other than an ASCII letter or digit."""
    n = len(text)
    if text.type != pa.string() or n == 0:
        plain = pc.match_substring_regex(text, r"^[0-9A-Za-z]((?s:.*)[0-9A-Za-z])?$")
        marked = pc.fill_null(pc.invert(plain), False)
        return np.asarray(marked.to_numpy(zero_copy_only=False), np.bool_)
    validity, offsets, data = text.buffers()
    ends = np.frombuffer(offsets, np.int32, n + 1, 4 * text.offset)
    odd = np.zeros(n, np.bool_)
    if data is None or ends[0] == ends[-1]:
        return odd
    letters = np.frombuffer(data, np.uint8)
    # An empty cell at the end begins where there is no letter any more.
    first = np.minimum(ends[:-1], ends[-1] - 1)
    last = np.maximum(ends[1:] - 1, first)
    odd |= ~(_PLAIN[letters[first]] & _PLAIN[letters[last]]) & (ends[1:] > ends[:-1])
    if validity is not None and text.null_count:
        odd &= np.asarray(text.is_valid().to_numpy(zero_copy_only=False), np.bool_)
    return odd


def positions(keys: pa.ChunkedArray, values: pa.Array) -> Int:
    """Return, for each key, the position of its first occurrence in `values`, or -1.

    The smaller side is hashed: a small part against a large base need not hash the base.
    """
    if 4 * len(keys) >= len(values):
        found = pc.index_in(keys, value_set=values)
        return np.asarray(pc.fill_null(found, -1).to_numpy()).astype(np.int64)
    encoded = keys.combine_chunks().dictionary_encode()
    hits = pc.index_in(values, value_set=encoded.dictionary)
    rows = np.flatnonzero(np.asarray(hits.is_valid().to_numpy(zero_copy_only=False), bool))
    codes = np.asarray(hits.drop_null().to_numpy(zero_copy_only=False), np.int64)
    at = np.full(len(encoded.dictionary), -1, np.int64)
    # Written backwards, so that the first of equal values stays.
    at[codes[::-1]] = rows[::-1]
    indices = np.asarray(pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False))
    return np.where(indices < 0, -1, at[indices]) if len(at) else np.full(len(keys), -1, np.int64)


class Codes(Protocol):
    """Rows to be answered for: their keys have codes."""

    size: int

    def codes(self, keys: pa.ChunkedArray) -> Int:
        """Return the code of each key, -1 where no row has it."""

    def per_row(self, by_code: Any) -> Any:
        """Spread a value per code to the rows."""


class KeySpace:
    """The keys of some base rows, each with a code; several rows may share one.

    Parameters
    ----------
    keys : pyarrow.ChunkedArray of string
        Key of each base row, in row order, in normal form.
    unique : bool
        Whether the keys are known to be unique (ids are).
    """

    def __init__(self, keys: pa.ChunkedArray, *, unique: bool) -> None:
        if unique:
            self.rows: Int | None = None
            self.values = keys.combine_chunks()
        else:
            encoded = keys.combine_chunks().dictionary_encode()
            self.rows = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
            self.values = encoded.dictionary
        self.size = len(self.values)

    def codes(self, keys: pa.ChunkedArray) -> Int:
        """Return the code of each key, -1 where no base row has it."""
        found = pc.index_in(keys, value_set=self.values)
        return np.asarray(pc.fill_null(found, -1).to_numpy()).astype(np.int64)

    def per_row(self, by_code: Int) -> Int:
        """Spread a value per code to the base rows."""
        return by_code if self.rows is None else by_code[self.rows]


def check_sequence_key(key: str, *, bio_types: pa.ChunkedArray, alphabets: pa.ChunkedArray) -> None:
    """Raise unless a dataset of these kinds can be keyed by sequence (OVL-3; when writing)."""
    if key == "id":
        return
    kinds = sorted(pc.unique(bio_types).to_pylist())
    if len(kinds) > 1:
        raise ValidationError(
            f"Key '{key}' needs a single bio_type; the dataset has {some(kinds)}",
            hint="Use key 'id'.",
        )
    if key == "sequence_ci":
        others = [a for a in pc.unique(alphabets).to_pylist() if a != "dna_4"]
        if others:
            raise ValidationError(
                f"Key 'sequence_ci' needs every row to be dna_4; there is also {some(others)}",
                hint="Use key 'sequence' or 'id'.",
            )


class Target:
    """What the rows of an input are matched to: base rows, each under one or more names.

    Parameters
    ----------
    names : pyarrow.ChunkedArray of string
        Names of base rows, in row order, without nulls.
    rows : numpy.ndarray of int64, optional
        The base row of each name; by default name i is that of row i, and names are unique.
    """

    def __init__(self, names: pa.ChunkedArray, rows: Int | None = None) -> None:
        if rows is None:
            self._values = names.combine_chunks()
            self._first: Int | None = None
            self._shared: npt.NDArray[np.bool_] | None = None
            return
        encoded = names.combine_chunks().dictionary_encode()
        codes = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
        self._values = encoded.dictionary
        size = len(self._values)
        first = np.full(size, -1, np.int64)
        first[codes[::-1]] = rows[::-1]
        self._first = first
        # A name may stand twice in one row (a list of names); only several rows make it ambiguous.
        self._shared = np.bincount(codes[rows != first[codes]], minlength=size) > 0

    def names(self, rows: Int) -> pa.ChunkedArray | None:
        """Return the names of base rows, or None if they are to be taken from the keys."""
        del rows
        return None

    def find(self, keys: pa.ChunkedArray) -> Int:
        """Return the first base row of each key, -1 where none has it.

        Raises
        ------
        ValidationError
            If a key fits several base rows.
        """
        codes = positions(keys, self._values)
        if self._first is None or self._shared is None:
            return codes
        hit = codes >= 0
        ambiguous = np.flatnonzero(hit & self._shared[codes]) if hit.any() else codes[:0]
        if len(ambiguous):
            shown = keys.take(pa.array(ambiguous[:3])).to_pylist()
            raise ValidationError(
                f"{len(ambiguous):,} keys fit several records: {some(str(s)[:40] for s in shown)}",
                hint="Use key 'id', or `usr maintenance dedupe` first.",
            )
        out = np.full(len(codes), -1, np.int64)
        out[hit] = self._first[codes[hit]]
        return out


def require_key(key: str, known: tuple[str, ...]) -> str:
    """Return `key` if it is a key an overlay can have."""
    if key not in known:
        raise SchemaError(f"Key {key[:40]!r} is not one of {', '.join(known)}")
    return key
