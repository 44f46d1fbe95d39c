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
        self.exact: pa.Array | None = pa.array([], pa.string())
        self.counts: Counts = np.zeros(0, np.int64)
        self._pending: list[tuple[pa.Array, Counts]] = []
        self._pending_rows = 0
        self._varied = False
        self._hash: Hasher | None = None
        self.smallest = np.zeros(0, np.uint64)

    def add(self, values: pa.Array) -> None:
        """Take in one batch."""
        if values.null_count:
            values = values.drop_null()
        if self.exact is None:
            self._sketch(values)
            return
        if self._varied:
            found, counts = values, np.ones(len(values), np.int64)
        else:
            pairs = pc.value_counts(values)
            found, counts = pairs.field("values"), pairs.field("counts").to_numpy()
            # Where hardly a value comes twice in a batch, all batches are counted together.
            self._varied = 2 * len(found) > len(values) > _FEW
        self._pending.append((found, counts))
        self._pending_rows += len(found)
        if self._pending_rows > max(len(self.exact), _AT_ONCE):
            self._fold()

    def _fold(self) -> None:
        assert self.exact is not None  # noqa: S101 - only called while exact
        values = pa.concat_arrays([self.exact, *(u for u, _ in self._pending)])
        counts = np.concatenate([self.counts, *(c for _, c in self._pending)])
        self._pending, self._pending_rows = [], 0
        if len(values) > _FEW:
            # Most hashes stand once, and so do their texts; only the others are compared.
            again = repeated(self._hashed(values))
            once = values.filter(pa.array(~again))
            several, sums = _counted(values.filter(pa.array(again)), counts[again])
            self.exact = pa.concat_arrays([once, several])
            self.counts = np.concatenate([counts[~again], sums])
        else:
            self.exact, self.counts = _counted(values, counts)
        if len(self.exact) > EXACT_DISTINCT:
            self._sketch(self.exact)
            self.exact, self.counts = None, np.zeros(0, np.int64)

    def _hashed(self, values: pa.Array) -> Hashes:
        self._hash = self._hash or Hasher()
        return self._hash(values)

    def _sketch(self, values: pa.Array) -> None:
        both = np.unique(np.concatenate([self.smallest, self._hashed(values)]))
        self.smallest = both[:_SKETCH]

    def result(self) -> Words:
        """Return what was found."""
        if self.exact is not None:
            self._fold()
        if self.exact is not None:
            return Words(len(self.exact), distinct_exact=True, top=self._top(self.exact))
        share = float(self.smallest[-1]) / 2.0**64
        return Words(round((len(self.smallest) - 1) / share), distinct_exact=False)

    def _top(self, values: pa.Array) -> tuple[tuple[str, int], ...]:
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
