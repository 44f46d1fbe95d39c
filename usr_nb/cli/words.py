"""What a change did, in words; counts say of how many."""

from __future__ import annotations

from usr_nb.cli.say import count
from usr_nb.dataset.compaction import CompactResult
from usr_nb.dataset.dedupe import DedupeResult
from usr_nb.dataset.export import ExportResult
from usr_nb.dataset.ingest import AddSequencesResult
from usr_nb.dataset.maintenance import MaterializeResult
from usr_nb.dataset.merging import MergeResult
from usr_nb.dataset.overlays import Written
from usr_nb.dataset.reading import Hits, iupac_hint


def first(hits: Hits, *, asked: bool) -> str:
    """Return how many of the records a table shows; `asked` if a filter chose among them."""
    if asked:
        return found(hits, None, option="-n")
    shown = hits.table.num_rows
    if shown == hits.searched:
        return f"All {count(shown, 'record')}." if shown > 1 else f"{count(shown, 'record')}."
    few = "The first" if shown == 1 else f"The first {shown:,}"
    return f"{few} of {count(hits.searched, 'record')} (-n shows more)."


def found(hits: Hits, pattern: str | None, *, option: str = "--limit") -> str:
    """Return how many records match; `pattern` is one that may be meant as a motif."""
    counted = f"{hits.matches:,} of {count(hits.searched, 'record')}"
    if hits.matches == 0:
        hint = iupac_hint(pattern) if pattern is not None else None
        return f"{counted} match." + (f"\nHint: {hint}" if hint else "")
    verb = "matches" if hits.matches == 1 else "match"
    shown = hits.table.num_rows
    few = "the first is" if shown == 1 else f"the first {shown:,} are"
    cut = f"; {few} shown ({option})" if shown < hits.matches else ""
    return f"{counted} {verb}{cut}."


def passed(kept: int, asked: int) -> str:
    """Return how many of the records asked for a filter keeps."""
    return f"{kept:,} of {count(asked, 'record')} {'matches' if kept == 1 else 'match'}."


def imported(done: AddSequencesResult) -> str:
    """Return what an import did."""
    total = done.added + done.skipped
    skipped = f"; {done.skipped:,} skipped: their ids are there already" if done.skipped else ""
    return f"imported {done.added:,} of {count(total, 'row')}{skipped}"


def attached(done: Written, namespace: str) -> str:
    """Return what an attach did."""
    if done.incoming == 0:
        return f"nothing to attach to {namespace}: the input has no rows"
    words = [f"attached {done.matched:,} of {count(done.incoming, 'row')} to {namespace}"]
    words += [f"{done.missing:,} skipped: not in the dataset"] if done.missing else []
    words += [f"{done.overwritten:,} overwritten"] if done.overwritten else []
    words += [f"{done.unset:,} unset"] if done.unset else []
    return "; ".join(words)


def exported(done: ExportResult) -> str:
    """Return what an export wrote, and what it left out."""
    total = count(done.rows + done.hidden + done.unpicked, "record")
    gone = [f"{done.hidden:,} deleted left out"] if done.hidden else []
    gone += [f"{done.unpicked:,} not picked"] if done.unpicked else []
    left = f" ({', '.join(gone)})" if gone else ""
    return f"exported {done.rows:,} of {total} to {done.path}{left}"


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
