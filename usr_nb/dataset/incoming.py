"""The rows of one import against each other and against the base (contract IMP-4, IMP-5)."""

from __future__ import annotations

from functools import cached_property
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from usr_nb.contract.hashing import U64, id_prefixes, id_words
from usr_nb.contract.progress import tracked
from usr_nb.dataset.spill import Spill
from usr_nb.errors import DuplicateIDError
from usr_nb.overlay.kept import finder_kept
from usr_nb.overlay.merge import Merged

OnConflict = Literal["error", "ignore"]
_GROUPS: Final = 5


class _Seen:
    """Says quickly of most numbers that they are not among some others."""

    def __init__(self, numbers: U64) -> None:
        bits = min(24, max(10, len(numbers).bit_length() + 6))
        self._shift = np.uint64(64 - bits)
        self._marks = np.zeros(1 << bits, np.bool_)
        self._marks[numbers >> self._shift] = True

    def maybe(self, numbers: U64) -> npt.NDArray[np.int64]:
        """Return which of `numbers` may be among them."""
        return np.flatnonzero(self._marks[numbers >> self._shift])


class Incoming:
    """The ids of the rows to import, as 8-byte prefixes: 16 bytes of memory per row (IMP-5)."""

    def __init__(self, spill: Spill) -> None:
        self.spill = spill
        self.prefix: U64 = spill.prefixes
        self.ordered: U64 = np.sort(self.prefix)
        self.repeats = self._find_repeats()

    @cached_property
    def order(self) -> npt.NDArray[np.uint32]:
        """The rows in the order of their prefixes; needed only if some are there twice."""
        return np.argsort(self.prefix, kind="stable").astype(np.uint32)

    def _find_repeats(self) -> dict[str, list[int]]:
        """Return id -> 0-based rows, for ids that stand in more than one row."""
        same = np.flatnonzero(self.ordered[1:] == self.ordered[:-1])
        if len(same) == 0:
            return {}
        rows = np.unique(np.concatenate([self.order[same], self.order[same + 1]]))
        groups: dict[str, list[int]] = {}
        for row, cell in zip(rows.tolist(), self.cells(rows, "id"), strict=True):
            groups.setdefault(cell, []).append(row)
        return {k: v for k, v in groups.items() if len(v) > 1}

    def cells(self, rows: npt.NDArray[Any], column: str) -> list[str]:
        """Return cells of some rows (ascending, 0-based)."""
        found: list[str] = []
        start = 0
        for batch in self.spill:
            low, high = np.searchsorted(rows, [start, start + batch.num_rows])
            if high > low:
                local = np.asarray(rows[low:high], np.int64) - start
                found += batch.column(column).take(pa.array(local)).to_pylist()
            start += batch.num_rows
        return found

    def check_repeats(self, on_conflict: OnConflict) -> None:
        """Raise for rows that repeat one another, unless they are to be folded (IMP-4)."""
        if on_conflict == "ignore" or not self.repeats:
            return
        groups = self._groups(dict(self.repeats))
        raise _duplicates(
            f"{len(self.repeats):,} ids stand in more than one row of the input",
            groups,
            "Remove the repeated rows, or import with --on-conflict ignore to keep the first.",
        )

    def keep(self, merged: Merged, on_conflict: OnConflict) -> npt.NDArray[np.bool_]:
        """Return which rows are new to the base.

        Raises
        ------
        DuplicateIDError
            If some are there already and `on_conflict` is ``error``.
        """
        keep = np.ones(self.spill.rows, bool)
        for rows in self.repeats.values():
            keep[rows[1:]] = False
        existing = self.existing(merged)
        if existing and on_conflict == "error":
            self._raise_existing(existing, merged)
        for row in existing:
            keep[row] = False
        return keep

    def existing(self, merged: Merged) -> dict[int, int]:
        """Return input row -> base row for ids that the base has."""
        finder = finder_kept(merged)
        if finder is None:
            return self._looked_up(merged)
        rows = finder.maybe(self.prefix)
        words = id_words(pa.array(self.cells(rows, "id"), pa.string()))
        if words is None:
            return self._looked_up(merged)
        base = finder.rows(words)
        return dict(zip(rows[base >= 0].tolist(), base[base >= 0].tolist(), strict=True))

    def _looked_up(self, merged: Merged) -> dict[int, int]:
        """Look all ids of the base up among those of the input, some at a time."""
        ordered = self.ordered
        seen = _Seen(ordered)
        found: dict[int, int] = {}
        start = 0
        batches = merged.base_batches(["id"])
        for batch in tracked(batches, "comparing ids", total=merged.base_rows):
            ids = batch.column(0)
            prefix = id_prefixes(ids)
            maybe = seen.maybe(prefix)
            low = np.searchsorted(ordered, prefix[maybe], side="left")
            high = np.searchsorted(ordered, prefix[maybe], side="right")
            there = high > low
            hits, low, high = maybe[there], low[there], high[there]
            if len(hits):
                spans = zip(low.tolist(), high.tolist(), strict=True)
                rows = np.unique(np.concatenate([self.order[a:b] for a, b in spans]))
                mine: dict[str, list[int]] = {}
                for row, cell in zip(rows.tolist(), self.cells(rows, "id"), strict=True):
                    mine.setdefault(cell, []).append(row)
                for h, cell in zip(
                    hits.tolist(), ids.take(pa.array(hits)).to_pylist(), strict=True
                ):
                    found |= dict.fromkeys(mine.get(cell, []), start + h)
            start += batch.num_rows
        return found

    def _raise_existing(self, existing: dict[int, int], merged: Merged) -> None:
        live = merged.live_mask()
        deleted = {r for r, b in existing.items() if live is not None and not live[b]}
        by_id: dict[str, list[int]] = {}
        rows = np.array(sorted(existing), np.int64)
        for row, cell in zip(rows.tolist(), self.cells(rows, "id"), strict=True):
            by_id.setdefault(cell, []).append(row)
        hint = "Import with --on-conflict ignore to skip the rows that are there."
        if deleted:
            hint = (
                f"{len(deleted):,} of them are deleted (tombstoned): bring them back with "
                f"`usr restore`. {hint}"
            )
        raise _duplicates(
            f"{len(by_id):,} ids of the input are in the dataset already",
            self._groups(by_id),
            hint,
        )

    def _groups(self, by_id: dict[str, list[int]]) -> list[dict[str, Any]]:
        shown = list(by_id.items())[:_GROUPS]
        first = np.array(sorted(rows[0] for _, rows in shown), np.int64)
        letters = dict(zip(first.tolist(), self.cells(first, "sequence"), strict=True))
        return [
            {
                "id": i,
                "count": len(rows),
                "rows": [r + 1 for r in rows[:_GROUPS]],
                "sequence": letters[rows[0]],
            }
            for i, rows in shown
        ]


def _duplicates(message: str, groups: list[dict[str, Any]], hint: str) -> DuplicateIDError:
    shown = "; ".join(
        f"{g['id'][:8]} in row{'s' if len(g['rows']) > 1 else ''} "
        f"{', '.join(map(str, g['rows']))} ({g['sequence'][:24]})"
        for g in groups
    )
    return DuplicateIDError(
        f"{message}: {shown}", hint=f"{hint} Nothing was imported.", groups=groups
    )
