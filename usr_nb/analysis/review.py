"""Reviewing records one at a time through a filter: what the curate panel shows and saves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from usr_nb.analysis.cells import Cells
from usr_nb.contract.records import STATE_FIELDS
from usr_nb.dataset.context import Actor, Context
from usr_nb.dataset.core import Dataset
from usr_nb.dataset.ids import find
from usr_nb.dataset.plans.plan import Receipt
from usr_nb.dataset.values import plain
from usr_nb.errors import RecordNotFound, StalePlanError, ValidationError
from usr_nb.filter.engine import visible
from usr_nb.filter.kept import Where, as_filter
from usr_nb.storage.roots import Place

#: A page of records, and the letters of one that are shown.
MAX_RECORDS: Final = 50
MAX_LETTERS: Final = 4_000
#: How often decisions are planned anew if somebody else commits in between.
_TRIES: Final = 3
_QC, _SPLIT, _MASKED = (f"usr_state__{f}" for f in ("qc_status", "split", "masked"))
_ESSENTIAL: Final = ("id", "bio_type", "alphabet", "sequence", "length", "source")


@dataclass(frozen=True)
class Decision:
    """What somebody decided of one record.

    Attributes
    ----------
    id : str
        The record.
    field : str
        ``qc_status``, ``masked`` or ``split``.
    value : object
        What it is set to; None unsets it.
    """

    id: str
    field: str
    value: Any


@dataclass(frozen=True)
class Tally:
    """How far a review is.

    Attributes
    ----------
    total : int
        Records that the filter keeps.
    qc, split : dict of str to int
        How many of them have which value; "" is none.
    masked : int
    """

    total: int
    qc: dict[str, int]
    split: dict[str, int]
    masked: int


@dataclass(frozen=True)
class Opened:
    """The merged table at one instant; closing the stack closes it."""

    stack: ExitStack
    cells: Cells
    slot: int


@dataclass(frozen=True)
class Saved:
    """Decisions that are in, and the dataset as it is with them.

    Attributes
    ----------
    receipt : Receipt
    tally : Tally
        Of the review that they belong to.
    now : Opened
    """

    receipt: Receipt
    tally: Tally
    now: Opened


class Review:
    """The records that a filter keeps, at one instant, one at a time.

    The list stays as it is while one decides, also if a decision takes a record out of the
    filter: otherwise records would jump. :meth:`refresh` makes it anew. One record costs what it
    needs, however many there are; the list itself takes 8 bytes per record.

    Parameters
    ----------
    ds : Dataset
        The dataset.
    where : Filter or str, optional
        Which records; all that are not deleted by default.

    Examples
    --------
    >>> import tempfile
    >>> from usr_nb import Dataset, init_root
    >>> root = tempfile.mkdtemp()
    >>> _ = init_root(root)
    >>> ds = Dataset.open(root, "demo")
    >>> ds.init()
    >>> _ = ds.add_sequences(["ACGT", "GGGG"], bio_type="dna", alphabet="dna_4")
    >>> with Review(ds, "gc > 0.7") as review:
    ...     [record] = review.records(0, 1)
    ...     done = review.decide([Decision(record["id"], "qc_status", "fail")], reason="GC")
    ...     record["sequence"], done.counts["rows"], review.tally().qc
    ('GGGG', 1, {'fail': 1})
    """

    def __init__(self, ds: Dataset, where: Where | None = None) -> None:
        self._ds = ds
        self.where = as_filter(where)
        self._at: Opened | None = None
        self._rows: npt.NDArray[np.int64] = np.zeros(0, np.int64)
        self.refresh()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the files."""
        if self._at is not None:
            self._at.stack.close()
        self._at = None

    @property
    def total(self) -> int:
        """How many records there are to review."""
        return len(self._rows)

    def refresh(self) -> None:
        """Make the list anew from the dataset as it is now."""
        cells = self._reopen()
        self._rows = np.flatnonzero(visible(cells.merged, self.where)).astype(np.int64)

    def _opened(self) -> Opened:
        with ExitStack() as stack:
            merged = stack.enter_context(self._context().merged())
            return Opened(stack.pop_all(), Cells(merged), merged.view.slot)

    def _reopen(self) -> Cells:
        self.close()
        self._at = self._opened()
        return self._at.cells

    def _now(self) -> Cells:
        return self._at.cells if self._at is not None else self._reopen()

    def _context(self) -> Context:
        return Context(Place(self._ds.root, self._ds.name, self._ds.dir))

    # Reading ------------------------------------------------------------------------------------

    def columns(self) -> list[str]:
        """Return the derived columns that can be shown beside a record."""
        return [n for n in self._now().merged.schema.names
                if "__" in n and not n.startswith("usr")]  # fmt: skip

    def records(self, start: int, count: int, columns: Sequence[str] = ()) -> list[dict[str, Any]]:
        """Return some records as plain values: essentials, state, and the columns asked for.

        Parameters
        ----------
        start, count : int
            Places in the list, 0-based; at most 50.
        columns : sequence of str
            Derived columns.

        Raises
        ------
        ValidationError
            If more is asked for than a page holds.
        SchemaError
            If a column does not exist.
        """
        if start < 0 or not 0 <= count <= MAX_RECORDS:
            raise ValidationError(f"A page has at most {MAX_RECORDS} records")
        cells = self._now()
        there = set(cells.merged.schema.names)
        state = [f"usr_state__{f}" for f in STATE_FIELDS if f"usr_state__{f}" in there]
        rows = self._rows[start : start + count]
        table = cells.take(rows, [*_ESSENTIAL, *state, *columns])
        return [self._record(start + i, r, columns) for i, r in enumerate(table.to_pylist())]

    def _record(self, place: int, r: Mapping[str, Any], columns: Sequence[str]) -> dict[str, Any]:
        sequence: str = r["sequence"]
        return {
            "place": place, "id": r["id"], "bio_type": r["bio_type"], "length": r["length"],
            "alphabet": r["alphabet"], "source": r["source"], "sequence": sequence[:MAX_LETTERS],
            "state": {f: plain(r.get(f"usr_state__{f}")) for f in STATE_FIELDS},
            "values": {c: plain(r[c]) for c in columns},
        }  # fmt: skip

    def place_of(self, text: str) -> int:
        """Return where a record stands in the list: by its number (1-based) or its id.

        Raises
        ------
        RecordNotFound
            If it is not in the list.
        """
        digits = text.strip().replace(",", "")
        if digits.isdigit() and len(digits) < 7:
            if not 1 <= int(digits) <= self.total:
                raise RecordNotFound(f"There are {self.total:,} records, no number {digits}")
            return int(digits) - 1
        row = int(find(self._now().merged, text).rows[0])
        at = int(np.searchsorted(self._rows, row))
        if at == self.total or int(self._rows[at]) != row:
            raise RecordNotFound(f"Record {text.strip()[:8]} is not among those reviewed")
        return at

    def tally(self) -> Tally:
        """Count the states of the records in the list, as they are on the disk."""
        with self._context().view() as view:
            is_old = self._at is None or self._at.slot != view.slot
        return self._tally(self._reopen() if is_old else self._now())

    def _tally(self, cells: Cells) -> Tally:
        there = set(cells.merged.schema.names)
        names = [n for n in (_QC, _SPLIT, _MASKED) if n in there]
        kept = cells.merged.take(self._rows, names) if names and self.total else None

        def counted(name: str) -> dict[str, int]:
            if kept is None or name not in there:
                return {"": self.total} if self.total else {}
            found = pc.value_counts(kept.column(name)).to_pylist()
            return dict(sorted((v["values"] or "", v["counts"]) for v in found))

        masked = kept is not None and _MASKED in there and pc.sum(kept.column(_MASKED)).as_py()
        return Tally(self.total, counted(_QC), counted(_SPLIT), int(masked or 0))

    # Writing ----------------------------------------------------------------------------------

    def decide(
        self,
        decisions: Iterable[Decision],
        *,
        reason: str | None = None,
        undoes: str | None = None,
        actor: Actor | None = None,
    ) -> Receipt:
        """Save decisions in one commit and one event; the last of a record and field counts.

        Parameters
        ----------
        reason : str, optional
            Why; it goes into the event.
        undoes : str, optional
            The operations that these decisions take back.

        Raises
        ------
        ValidationError, RecordNotFound
            If a field, value or id is unknown. Nothing was written.
        """
        saved = self.commit(decisions, reason=reason, undoes=undoes, actor=actor)
        self.adopt(saved)
        return saved.receipt

    def commit(
        self,
        decisions: Iterable[Decision],
        *,
        reason: str | None = None,
        undoes: str | None = None,
        actor: Actor | None = None,
        token: str | None = None,
    ) -> Saved:
        """Do what :meth:`decide` does, but leave the review as it is: fit for another thread.

        Whoever reads the review gives it the result, by :meth:`adopt`.

        Parameters
        ----------
        token : str, optional
            Names the plan, so that :meth:`usr_nb.Dataset.outcome` finds it.

        Raises
        ------
        ValidationError, RecordNotFound
            If a field, value or id is unknown. Nothing was written.
        """
        states: dict[str, dict[str, Any]] = {}
        for d in decisions:
            states.setdefault(d.id, {})[d.field] = d.value
        rows = [{"id": i, **fields} for i, fields in states.items()]
        for left in range(_TRIES - 1, -1, -1):
            plan = self._ds.plan_states(rows, reason=reason, undoes=undoes, actor=actor)
            try:
                receipt = (replace(plan, token=token) if token else plan).apply()
                break
            except StalePlanError:
                # What is decided is said outright: somebody else's change does not alter it.
                if not left:
                    raise
        now = self._opened()
        return Saved(receipt, self._tally(now.cells), now)

    def adopt(self, saved: Saved) -> None:
        """Show the dataset as it is after a commit; one that was overtaken changes nothing."""
        if self._at is not None and saved.now.slot <= self._at.slot:
            if saved.now is not self._at:
                saved.now.stack.close()
            return
        self.close()
        self._at = saved.now
