"""One pass over all records: every column's statistics, those of the sequences, who wrote what."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from usr_nb.contract.columns import ColumnInfo, Columns
from usr_nb.contract.events import decode_event
from usr_nb.contract.names import TOMBSTONE_NS, namespace_of
from usr_nb.contract.progress import tracked
from usr_nb.contract.types import type_text
from usr_nb.dataset.context import Context
from usr_nb.dataset.profile.column import Tally
from usr_nb.dataset.profile.model import ColumnProfile, NamespaceProfile, Profile
from usr_nb.dataset.profile.sequences import SequenceTally
from usr_nb.filter.engine import evaluate
from usr_nb.filter.kept import Where, as_filter
from usr_nb.filter.tree import Filter
from usr_nb.overlay.merge import Merged
from usr_nb.overlay.parts import META_EVENT, PartInfo
from usr_nb.storage import columnsfile
from usr_nb.storage.parallel import in_order

Mask = npt.NDArray[np.bool_]
Int = npt.NDArray[np.int64]
EXAMPLE_ROWS = 1_024


def profile(
    ctx: Context,
    *,
    where: Where | None,
    columns: Sequence[str] | None,
    include_deleted: bool,
    sequences: bool,
) -> Profile:
    """Return what is in a dataset; see :meth:`Dataset.profile`."""
    found = as_filter(where)
    with ctx.merged(include_deleted=include_deleted) as merged:
        return profile_of(
            merged, ctx.name, where=found, columns=columns, sequences=sequences,
            infos=columnsfile.load(ctx.root),
        )  # fmt: skip


def profile_of(
    merged: Merged,
    name: str,
    *,
    where: Filter | None = None,
    columns: Sequence[str] | None = None,
    sequences: bool = True,
    infos: Columns | None = None,
) -> Profile:
    """Return what is in a merged table, all records and those that a filter keeps side by side."""
    names = merged.check_columns(columns)
    passing = _Pass(merged, names, where, sequences=sequences)
    passing.run()
    return passing.result(name, infos or {})


class ProfileRun:
    """A profile made a little at a time, for whoever must answer in between.

    The instant is that of the first step. :meth:`close` it, or use it with ``with``.

    Parameters
    ----------
    ctx : Context
        The dataset.
    where : Filter, optional
        The records to tell of beside all.
    """

    def __init__(self, ctx: Context, *, where: Filter | None = None) -> None:
        self.ctx, self.where = ctx, where
        self.done, self.total = 0, -1
        self._open = ExitStack()
        self._pass: _Pass | None = None
        self._batches: Iterator[pa.RecordBatch] = iter(())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the files."""
        self._batches = iter(())
        self._open.close()

    def step(self, seconds: float) -> Profile | None:
        """Work for about so long; return the profile once it is made.

        Raises
        ------
        SchemaError, DatasetNotFound
            If the filter does not fit, or the dataset has gone.
        """
        if self._pass is None:
            merged = self._open.enter_context(self.ctx.merged())
            self._pass = _Pass(merged, merged.check_columns(None), self.where, sequences=True)
            self.total = merged.base_rows
            self._batches = self._pass.batches()
            return None
        whole = True

        def some() -> Iterator[pa.RecordBatch]:
            nonlocal whole
            until = time.monotonic() + seconds
            for batch in self._batches:
                yield batch
                self.done += batch.num_rows
                if time.monotonic() > until:
                    whole = False
                    return

        _beside(some(), self._pass.add)
        if not whole:
            return None
        found = self._pass.result(self.ctx.name, columnsfile.load(self.ctx.root))
        self.close()
        return found


def tallies(
    merged: Merged, names: Sequence[str], *, sample: int = EXAMPLE_ROWS
) -> dict[str, Tally]:
    """Return what ``describe`` shows of some columns, from one pass."""
    found = {n: Tally(merged.field(n).type, sample=sample, full=False) for n in names}

    def add(batch: pa.RecordBatch) -> None:
        for name, tally in found.items():
            tally.add(batch.column(name))

    batches = tracked(merged.batches(names), "reading", total=merged.base_rows)
    _beside(batches, add)
    _settle(found.values())
    return found


def _settle(found: Iterable[Tally]) -> None:
    """Let several columns work out their results at once."""
    for _ in in_order(Tally.settle, found):
        pass


def _beside(batches: Iterator[pa.RecordBatch], add: Any) -> None:
    """Take in each batch while the next one is read."""
    with ThreadPoolExecutor(1) as pool:
        running: Future[None] | None = None
        for batch in batches:
            if running is not None:
                running.result()
            running = pool.submit(add, batch)
        if running is not None:
            running.result()


@dataclass
class _Reach:
    """Records with a value in any column of a namespace."""

    columns: list[str] = field(default_factory=list)
    all: int = 0
    kept: int = 0


class _Pass:
    def __init__(
        self, merged: Merged, names: list[str], where: Filter | None, *, sequences: bool
    ) -> None:
        self.merged, self.names, self.where = merged, names, where
        types = {n: merged.field(n).type for n in names}
        self.all = {n: Tally(t, sample=EXAMPLE_ROWS, full=True) for n, t in types.items()}
        self.kept = (
            None
            if where is None
            else {n: Tally(t, sample=EXAMPLE_ROWS, full=True) for n, t in types.items()}
        )
        self.sequences = SequenceTally(filtered=where is not None) if sequences else None
        self.reach: dict[str, _Reach] = {}
        for name in names:
            ns = namespace_of(name)
            if ns is not None and ns != TOMBSTONE_NS:
                self.reach.setdefault(ns, _Reach()).columns.append(name)
        self.rows = self.rows_kept = self._at = 0
        self._live: Int | None = None
        self._keep: Mask | None = None

    def run(self) -> None:
        _beside(self.batches(), self.add)

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Look at the filter, and return what has to be added."""
        merged = self.merged
        if self.where is not None:
            self._keep = evaluate(self.where, merged)
        live = None if merged.include_deleted else merged.live_mask()
        self._live = None if live is None else np.flatnonzero(live).astype(np.int64)
        more = ["sequence", "bio_type"] if self.sequences is not None else []
        read = list(dict.fromkeys([*(self.names or ["id"]), *more]))
        return iter(tracked(merged.batches(read), "reading", total=merged.base_rows))

    def add(self, batch: pa.RecordBatch) -> None:
        n = batch.num_rows
        rows = (
            np.arange(self._at, self._at + n, dtype=np.int64)
            if self._live is None
            else self._live[self._at : self._at + n]
        )
        self._at += n
        keep = None if self._keep is None else self._keep[rows]
        self.rows += n
        for name, tally in self.all.items():
            tally.add(batch.column(name))
        if self.kept is not None and keep is not None:
            self.rows_kept += int(keep.sum())
            some = batch.filter(pa.array(keep))
            for name, tally in self.kept.items():
                tally.add(some.column(name))
        if self.sequences is not None:
            self.sequences.add(batch.column("sequence"), batch.column("bio_type"), rows, keep)
        for reach in self.reach.values():
            there = _any_value([batch.column(c) for c in reach.columns])
            reach.all += int(there.sum())
            reach.kept += 0 if keep is None else int((there & keep).sum())

    def result(self, name: str, infos: Columns) -> Profile:
        _settle([*self.all.values(), *(self.kept or {}).values()])
        all_sequences, kept_sequences = None, None
        if self.sequences is not None:
            all_sequences, kept_sequences = self.sequences.results(
                lambda rows: self.merged.base_rows_of(rows, ["id", "bio_type", "sequence"])
            )
        return Profile(
            name, self.rows, None if self.kept is None else self.rows_kept,
            None if self.where is None else self.where.as_line(),
            tuple(self._column(n, infos) for n in self.names),
            tuple(self._namespace(ns) for ns in sorted(self.reach)),
            all_sequences, kept_sequences,
        )  # fmt: skip

    def _column(self, name: str, infos: Columns) -> ColumnProfile:
        lead = self.all[name]
        kept = self.kept[name].result(lead) if self.kept is not None else None
        ns = namespace_of(name)
        entry = self.merged.registry.get(ns) if ns is not None else None
        return ColumnProfile(
            name, type_text(lead.dtype), ns, entry.owner if entry else None,
            entry.description if entry else None, lead.result(), kept,
            infos.get(name, ColumnInfo()),
        )  # fmt: skip

    def _namespace(self, ns: str) -> NamespaceProfile:
        reach, entry = self.reach[ns], self.merged.registry.get(ns)
        parts = self.merged.parts(ns) if ns in self.merged.view.overlays else []
        written_at, who = _written(parts)
        return NamespaceProfile(
            ns, entry.owner if entry else None, entry.description if entry else None,
            tuple(reach.columns), reach.all, None if self.kept is None else reach.kept,
            len(parts), written_at, *who,
        )  # fmt: skip


def _any_value(columns: Sequence[pa.Array]) -> Mask:
    there = np.zeros(len(columns[0]), bool)
    for column in columns:
        if column.null_count == 0:
            return np.ones(len(column), bool)
        there |= np.asarray(column.is_valid().to_numpy(zero_copy_only=False), bool)
    return there


def _written(
    parts: Sequence[PartInfo],
) -> tuple[datetime | None, tuple[str | None, str | None, str | None]]:
    """Return when the newest file of a namespace was written, and by whom, as it says itself."""
    if not parts:
        return None, (None, None, None)
    newest = parts[-1]
    event = decode_event(newest.metadata.get(META_EVENT, b"")) or {}
    actor = event.get("actor")
    told = actor if isinstance(actor, dict) else {}
    who = [v if isinstance(v := told.get(k), str) else None for k in ("tool", "run_id", "host")]
    return newest.created_at, (who[0], who[1], who[2])
