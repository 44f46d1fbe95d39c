"""Statistics of sequences: lengths, GC, letters, and which are the same in some sense.

Sameness is found by 64-bit hashes, which are all that is kept of a sequence, and then confirmed on
the letters of those few whose hashes agree: it is exact.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from usr_nb.contract.iupac import reverse_complement
from usr_nb.dataset.profile.hashes import Hasher, Hashes, repeated
from usr_nb.dataset.profile.model import DuplicateKind, Duplicates, SequenceStats
from usr_nb.dataset.profile.numbers import NumberTally
from usr_nb.filter.letters import gc_shares, letters_of

Int = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
#: Given base rows (0-based), the columns ``id, bio_type, sequence`` of these.
Fetch = Callable[[Int], pa.Table]
#: Records whose ids stand beside the numbers of a kind of duplicates.
MOST_IDS: Final = 10_000
_ASCII: Final = "".join(map(chr, range(128)))


def _table(text: str) -> npt.NDArray[np.uint8]:
    table = np.arange(256, dtype=np.uint8)
    table[:128] = np.frombuffer(text.encode(), np.uint8)
    return table


_UPPER: Final = _table(_ASCII.upper())
_COMPLEMENT: Final = {
    "dna": _table(reverse_complement(_ASCII)[::-1]),
    "rna": _table(reverse_complement(_ASCII, rna=True)[::-1]),
}


class SequenceTally:
    """Statistics of the sequences of all records, and of those that a filter keeps."""

    def __init__(self, *, filtered: bool) -> None:
        self.all = _Sums()
        self.kept = _Sums() if filtered else None
        self._rows: list[Int] = []
        self._keep: list[Mask] = []
        self._folded: list[Hashes] = []
        self._turned: list[Hashes] = []
        self._hash = Hasher()

    def add(self, sequence: pa.Array, bio_type: pa.Array, rows: Int, keep: Mask | None) -> None:
        """Take in one batch: `rows` are its rows in the base, `keep` those that a filter keeps."""
        there = np.asarray(sequence.is_valid().to_numpy(zero_copy_only=False), bool)
        if not there.all():  # Only of a damaged file.
            sequence, bio_type = sequence.drop_null(), bio_type.filter(pa.array(there))
            rows, keep = rows[there], None if keep is None else keep[there]
        protein = np.asarray(
            pc.equal(bio_type, "protein").fill_null(False).to_numpy(zero_copy_only=False), bool
        )
        gc = gc_shares(sequence)
        gc[protein] = np.nan
        self.all.add(sequence, gc)
        if self.kept is not None and keep is not None:
            self.kept.add(sequence.filter(pa.array(keep)), gc[keep])
            self._keep.append(keep)
        folded, turned = folded_and_turned(sequence, bio_type)
        self._rows.append(rows)
        self._folded.append(self._hash(folded))
        self._turned.append(np.minimum(self._folded[-1], self._hash(turned)))

    def results(self, fetch: Fetch) -> tuple[SequenceStats, SequenceStats | None]:
        """Return what was found, over all records and over those kept."""
        rows, keep = _end_to_end(self._rows, np.int64), _end_to_end(self._keep, np.bool_)
        again = repeated(_end_to_end(self._folded, np.uint64))
        again |= repeated(_end_to_end(self._turned, np.uint64))
        at = np.flatnonzero(again)
        same = _Same(fetch(rows[at]))
        found = self.all.result(same.all_kinds(None))
        if self.kept is None:
            return found, None
        return found, self.kept.result(same.all_kinds(keep[at]), like=self.all)


def _end_to_end(parts: list[Any], dtype: Any) -> Any:
    return np.concatenate(parts) if parts else np.zeros(0, dtype)


def folded_and_turned(sequence: pa.Array, bio_type: pa.Array) -> tuple[pa.Array, pa.Array]:
    """Return sequences in upper case, and the reverse complement of these, as bytes.

    Proteins have none: they stay as they are.

    Examples
    --------
    >>> both = folded_and_turned(
    ...     pa.array(["acGG", "AAU", "MK"]), pa.array(["dna", "rna", "protein"])
    ... )
    >>> [a.to_pylist() for a in both]
    [[b'ACGG', b'AAU', b'MK'], [b'CCGT', b'AUU', b'MK']]
    """
    text = letters_of(sequence)
    upper = _UPPER[text.data]
    folded = _binary(upper, text.offsets)
    kinds = pc.unique(bio_type).to_pylist()
    if len(kinds) == 1:
        table = _COMPLEMENT.get(kinds[0])
        return folded, folded if table is None else _turned(upper, text.offsets, table)
    turned = folded
    for kind, table in _COMPLEMENT.items():
        if kind in kinds:
            mine = pc.equal(bio_type, kind).fill_null(False)
            turned = pc.if_else(mine, _turned(upper, text.offsets, table), turned)
    return folded, turned


def _turned(upper: npt.NDArray[np.uint8], offsets: Int, table: npt.NDArray[np.uint8]) -> pa.Array:
    # Turned as one: the last sequence comes out first.
    backwards = table[upper][::-1]
    found = _binary(backwards, len(upper) - offsets[::-1])
    return found.take(pa.array(np.arange(len(found) - 1, -1, -1)))


def _binary(data: npt.NDArray[np.uint8], offsets: Int) -> pa.Array:
    buffers = [None, pa.py_buffer(np.ascontiguousarray(offsets)),
               pa.py_buffer(np.ascontiguousarray(data))]  # fmt: skip
    return pa.Array.from_buffers(pa.large_binary(), len(offsets) - 1, buffers)


class _Sums:
    """Lengths, GC and letters of some sequences."""

    def __init__(self) -> None:
        self.lengths = NumberTally(pa.int64(), full=True)
        self.gc = NumberTally(pa.float64(), full=True)
        self.letters: Int = np.zeros(256, np.int64)

    def add(self, sequence: pa.Array, gc: npt.NDArray[np.float64]) -> None:
        text = letters_of(sequence)
        self.lengths.add(pa.array(np.diff(text.offsets)))
        self.gc.add(pa.array(gc[~np.isnan(gc)]))
        even = len(text.data) // 2 * 2
        # Two letters at a time: half the numbers to count.
        pairs = np.bincount(text.data[:even].view(np.uint16), minlength=1 << 16)
        square = pairs.reshape(256, 256)
        self.letters += square.sum(axis=0) + square.sum(axis=1)
        self.letters += np.bincount(text.data[even:], minlength=256)

    def result(
        self, duplicates: dict[DuplicateKind, Duplicates], like: _Sums | None = None
    ) -> SequenceStats:
        letters = [(chr(b) if b < 128 else "\N{REPLACEMENT CHARACTER}", int(n))
                   for b, n in enumerate(self.letters[:129]) if n and b < 128]  # fmt: skip
        strange = int(self.letters[128:].sum())
        if strange:
            letters.append(("\N{REPLACEMENT CHARACTER}", strange))
        return SequenceStats(
            self.lengths.result(like=like.lengths if like else None),
            self.gc.result(like=like.gc if like else None),
            tuple(sorted(letters, key=lambda cn: (-cn[1], cn[0]))),
            duplicates,
        )


class _Same:
    """Records of which some may be the same, compared by their letters."""

    def __init__(self, records: pa.Table) -> None:
        records = records.combine_chunks()
        text, kind = (_one(records[n]) for n in ("sequence", "bio_type"))
        folded, turned = folded_and_turned(text, kind)
        least = pc.if_else(pc.less(folded, turned), folded, turned)
        self.ids = _one(records["id"])
        self.text, self.folded, self.least = _codes(text), _codes(folded), _codes(least)
        protein = pc.equal(kind, "protein").fill_null(False).to_numpy(zero_copy_only=False)
        self.nucleic = ~np.asarray(protein, bool)

    def all_kinds(self, keep: Mask | None) -> dict[DuplicateKind, Duplicates]:
        """Return each kind of duplicates among the records that are kept; None: among all."""
        rows = np.arange(len(self.text)) if keep is None else np.flatnonzero(keep)
        return {
            "exact": self._groups(rows, self.text, np.arange(len(self.text))),
            "case": self._groups(rows, self.folded, self.text),
            "reverse_complement": self._groups(rows[self.nucleic[rows]], self.least, self.folded),
        }

    def _groups(self, rows: Int, group: Int, member: Int) -> Duplicates:
        """Return the groups with two and more different members."""
        pairs = np.unique(np.stack([group[rows], member[rows]]), axis=1)
        codes, sizes = np.unique(pairs[0], return_counts=True)
        several = codes[sizes > 1]
        inside = rows[np.isin(group[rows], several)]
        ordered = inside[np.argsort(group[inside], kind="stable")]
        ids = self.ids.take(pa.array(ordered[:MOST_IDS]))
        return Duplicates(len(several), len(inside), tuple(ids.to_pylist()))


def _one(column: pa.ChunkedArray) -> pa.Array:
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)


def _codes(values: pa.Array) -> Int:
    found = values.dictionary_encode().indices.to_numpy(zero_copy_only=False)
    return np.asarray(found, np.int64)
