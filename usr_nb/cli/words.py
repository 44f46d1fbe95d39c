"""What a change did, in words; counts say of how many."""

from __future__ import annotations

from usr_nb.cli.say import count
from usr_nb.dataset.compaction import CompactResult
from usr_nb.dataset.dedupe import DedupeResult
from usr_nb.dataset.ingest import AddSequencesResult
from usr_nb.dataset.maintenance import MaterializeResult
from usr_nb.dataset.merging import MergeResult


def imported(done: AddSequencesResult) -> str:
    """Return what an import did."""
    total = done.added + done.skipped
    skipped = f"; {done.skipped:,} skipped: their ids are there already" if done.skipped else ""
    return f"imported {done.added:,} of {count(total, 'row')}{skipped}"


def materialized(done: MaterializeResult, name: str) -> str:
    """Return what a materialize did."""
    columns = count(len(done.columns), "derived column")
    words = [f"materialized {name}: {count(done.rows, 'row')}, {columns}"]
    words += [f"removed {count(done.dropped_rows, 'deleted record')}"] if done.dropped_rows else []
    words += [f"retired {count(len(done.retired), 'overlay file')}"] if done.retired else []
    words += [f"prior base kept as {done.snapshot}"] if done.snapshot else []
    return "; ".join(words)


def compacted(done: CompactResult, namespace: str) -> str:
    """Return what a compaction did."""
    if done.path is None:
        return f"{namespace} has one file already; nothing to do"
    before = count(done.files_before, "file")
    return f"compacted {before} of {namespace} into {done.path} ({count(done.rows, 'row')})"


def deduped(done: DedupeResult) -> str:
    """Return what a dedupe did or would do."""
    if done.rows_dropped == 0:
        return f"none of {count(done.rows_before, 'row')} repeats a key; nothing to do"
    verb = "would drop" if done.dry_run else "dropped"
    groups = count(done.groups, "repeated key")
    words = [f"{verb} {done.rows_dropped:,} of {count(done.rows_before, 'row')} ({groups})"]
    words += [f"values lost in {ns}: {count(n, 'row')}" for ns, n in done.values_lost.items()]
    words += [f"ids listed in {done.dropped_ids}"] if done.dropped_ids else []
    words += [f"prior base kept as {done.snapshot}"] if done.snapshot else []
    return "; ".join(words)


def merged(done: MergeResult) -> str:
    """Return what a merge did or would do."""
    verb = "would add" if done.dry_run else "added"
    words = [f"{verb} {done.rows_added:,} of {count(done.rows_src, 'row')}"]
    words += [f"{done.duplicates_total:,} there already"] if done.duplicates_total else []
    if done.casefold_skipped:
        words += [f"{done.casefold_skipped:,} left out: same letters in other case"]
    words += [f"{count(done.cells_filled, 'cell')} filled"] if done.cells_filled else []
    words += [f"{count(done.cells_replaced, 'cell')} replaced"] if done.cells_replaced else []
    words += [f"new columns: {', '.join(done.columns_added)}"] if done.columns_added else []
    words += [f"carried {ns}: {count(n, 'row')}" for ns, n in done.carried.items()]
    return "; ".join(words)
