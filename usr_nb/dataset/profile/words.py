"""Different values of a text or bool column, and how often each stands."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from usr_nb.dataset.profile.hashes import Hasher, Hashes, repeated
from usr_nb.dataset.profile.model import Words

Counts = npt.NDArray[np.int64]
#: Values, how often each stands, and their hashes where these are known.
_Some = tuple[pa.Array, Counts, Hashes | None]

EXACT_DISTINCT: Final = 1_000_000
TOP: Final = 20
_SKETCH: Final = 1 << 16
#: Rows that are counted together, and so few that they are simply compared.
_AT_ONCE: Final = 1 << 20
_FEW: Final = 1 << 14


class WordTally:
    """Number of different strings, and the most frequent ones.

    Exact up to a million; beyond, the number is estimated from the smallest hashes, after
    Bar-Yossef et al. (RANDOM 2002) with k = 65,536: about 0.4 % off.

    Parameters
    ----------
    counting : bool
        False: the number only, not how often each value stands.
    """

    def __init__(self, *, counting: bool) -> None:
        self.counting = counting
        #: Each value once, how often it stands, and its hash once that was asked for.
        self.exact: pa.ChunkedArray | None = pa.chunked_array([], pa.string())
        self.counts: Counts = np.zeros(0, np.int64)
        self._hashes: Hashes | None = None
        self._pending: list[_Some] = []
        self._pending_rows = 0
        self._varied = False
        self._hash: Hasher | None = None
        self.smallest = np.zeros(0, np.uint64)

    def add(self, values: pa.Array) -> None:
        """Take in one batch."""
        if values.null_count:
            values = values.drop_null()
        if self.exact is None:
            self._sketch(self._hashed(values))
            return
        hashes = None
        if self._varied:
            # Hashed at once, beside the reading, rather than all in the end.
            found, counts, hashes = values, np.ones(len(values), np.int64), self._hashed(values)
        else:
            pairs = pc.value_counts(values)
            found, counts = pairs.field("values"), pairs.field("counts").to_numpy()
            # Where hardly a value comes twice in a batch, all batches are counted together.
            self._varied = 2 * len(found) > len(values) > _FEW
        self._pending.append((found, counts, hashes))
        self._pending_rows += len(found)
        if self._pending_rows > max(len(self.exact), _AT_ONCE):
            self._fold()

    def _fold(self) -> None:
        assert self.exact is not None  # noqa: S101 - only called while exact
        if not self._pending:
            return
        texts = [*self.exact.chunks, *(v for v, _, _ in self._pending)]
        values = pa.chunked_array(texts, pa.string())
        counts = np.concatenate([self.counts, *(c for _, c, _ in self._pending)])
        if len(values) <= _FEW:
            several, self.counts = _counted(values.combine_chunks(), counts)
            self.exact, self._hashes = pa.chunked_array([several], pa.string()), None
            self._pending, self._pending_rows = [], 0
            return
        known = [(self.exact, self._hashes), *((v, h) for v, _, h in self._pending)]
        hashes = np.concatenate([self._hashed(v) if h is None else h for v, h in known])
        self._pending, self._pending_rows = [], 0
        again = repeated(hashes)
        if again.any():
            # Most hashes stand once, and so do their texts; only the others are compared.
            once = values.filter(pa.array(~again))
            several, sums = _counted(values.filter(pa.array(again)).combine_chunks(), counts[again])
            values = pa.chunked_array([*once.chunks, several], pa.string())
            counts = np.concatenate([counts[~again], sums])
            hashes = np.concatenate([hashes[~again], self._hashed(several)])
        self.exact, self.counts, self._hashes = values, counts, hashes
        if len(values) > EXACT_DISTINCT:
            self._sketch(hashes)
            self.exact, self.counts = None, np.zeros(0, np.int64)
            self._hashes = None

    def _hashed(self, values: pa.Array | pa.ChunkedArray) -> Hashes:
        if len(values) == 0:
            return np.zeros(0, np.uint64)
        self._hash = self._hash or Hasher()
        return self._hash(values)

    def _sketch(self, hashes: Hashes) -> None:
        both = np.unique(np.concatenate([self.smallest, hashes]))
        self.smallest = both[:_SKETCH]

    def settle(self) -> None:
        """Do what is left to do before the result; may be called in a thread."""
        if self.exact is not None:
            self._fold()

    def result(self) -> Words:
        """Return what was found."""
        self.settle()
        if self.exact is not None:
            return Words(len(self.exact), distinct_exact=True, top=self._top(self.exact))
        share = float(self.smallest[-1]) / 2.0**64
        return Words(round((len(self.smallest) - 1) / share), distinct_exact=False)

    def _top(self, values: pa.ChunkedArray) -> tuple[tuple[str, int], ...]:
        if not self.counting or len(values) == 0 or int(self.counts.max()) == 1:
            return ()
        table = pa.table({"value": values, "n": self.counts})
        keys: Any = [("n", "descending"), ("value", "ascending")]
        first = table.take(pc.select_k_unstable(table, k=min(TOP, len(values)), sort_keys=keys))
        return tuple(zip(first["value"].to_pylist(), first["n"].to_pylist(), strict=True))


def _counted(values: pa.Array, counts: Counts) -> tuple[pa.Array, Counts]:
    """Return each value once, with the sum of its counts."""
    encoded = values.dictionary_encode()
    sums = np.zeros(len(encoded.dictionary), np.int64)
    np.add.at(sums, encoded.indices.to_numpy(), counts)
    return encoded.dictionary, sums


class BoolTally:
    """How often a bool is true, and how often false."""

    def __init__(self) -> None:
        self.true = self.false = 0

    def add(self, values: pa.Array) -> None:
        """Take in one batch."""
        true = pc.sum(values).as_py() or 0
        self.true += true
        self.false += len(values) - values.null_count - true

    def result(self) -> Words:
        """Return what was found."""
        both = [(v, n) for v, n in ((False, self.false), (True, self.true)) if n]
        top = tuple(sorted(both, key=lambda vn: (-vn[1], vn[0])))
        return Words(len(both), distinct_exact=True, top=top)
