"""Creating a dataset and importing rows into it (contract IMP)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from usr_nb.contract.essentials import (
    ARROW_SCHEMA,
    ESSENTIALS,
    ID_HASH_SPEC,
    META_CREATED_AT,
    META_ID_HASH,
    META_REGISTRY_HASH,
    META_SCHEMA_VERSION,
    REQUIRED_COLUMNS,
    SCHEMA_VERSION,
)
from usr_nb.contract.events import redact_command
from usr_nb.contract.hashing import U64, id_prefixes
from usr_nb.contract.times import parse, to_text, utc_now
from usr_nb.dataset.context import Actor, Change, Context, change, fingerprint_of
from usr_nb.dataset.prepare import Defaults, Problems, essential_batches
from usr_nb.dataset.spill import Spill, spilled
from usr_nb.errors import AlreadyExists, DuplicateIDError, ValidationError
from usr_nb.overlay.merge import Merged
from usr_nb.readers import Rows
from usr_nb.storage import notes, slots
from usr_nb.storage.layout import META, RECORDS, frozen_registry
from usr_nb.storage.parquet import with_metadata, write_batches
from usr_nb.storage.roots import new_place
from usr_nb.storage.view import dataset_exists

OnConflict = Literal["error", "ignore"]
_GROUPS: Final = 5


@dataclass(frozen=True)
class AddSequencesResult:
    """What an import did.

    Attributes
    ----------
    added, skipped : int
        Rows written, and rows left out because their id was there already.
    ids : list of str
        The id of every input row, in input order.
    """

    added: int
    skipped: int
    ids: list[str]


def init(ctx: Context, *, source: str, notes_text: str, actor: Actor | None = None) -> None:
    """Create an empty dataset: base table, notes, frozen registry, first event.

    Raises
    ------
    AlreadyExists
        If there is a dataset of that id.
    NamespaceError
        If the root has no registry.
    """
    registry = ctx.registry()
    new_place(ctx.root, ctx.name)
    exists = AlreadyExists(
        f"Dataset '{ctx.name}' exists already below {ctx.root}",
        hint="Choose another name, or import into it with `usr import`.",
    )
    if dataset_exists(ctx.layout):
        raise exists
    at = to_text(utc_now())
    args = {"source": source, "notes": notes_text}

    def build(stage: slots.Stage) -> None:
        if dataset_exists(ctx.layout):
            raise exists
        metadata = {
            META_SCHEMA_VERSION: SCHEMA_VERSION.encode(),
            META_ID_HASH: ID_HASH_SPEC.encode(),
            META_CREATED_AT: at.encode(),
            META_REGISTRY_HASH: registry.hash.encode(),
        }
        with stage.file(RECORDS) as sink:
            write_batches(sink, ARROW_SCHEMA.with_metadata(metadata), [])
        path = frozen_registry(registry.hash)
        stage.small_file(path, registry.as_yaml().encode())
        if not ctx.layout.meta.exists():
            text = notes.initial_text(name=ctx.name, created_at=at, source=source, notes=notes_text)
            stage.small_file(META, text.encode("utf-8", errors="backslashreplace"))
        shared: dict[str, Any] = {
            "fingerprint": fingerprint_of(stage.staged_path(RECORDS), 0, len(ARROW_SCHEMA)),
            "registry_hash": registry.hash,
            "metrics": {},
            "actor": actor,
        }
        stage.event(ctx.event("init", args=args, **shared))
        stage.event(
            ctx.event(
                "registry_freeze", args={"auto": True}, artifacts={"registry": path}, **shared
            )
        )
        command = ["usr", "init", ctx.name]
        command += ["--source", source] if source else []
        command += ["--notes", notes_text] if notes_text else []
        stage.note("initialized the dataset", redact_command(command))

    slots.commit(ctx.layout.dir, build, action="init")


def import_rows(
    ctx: Context,
    rows: Rows,
    *,
    default_bio_type: str,
    default_alphabet: str,
    source: str | None,
    created_at: datetime | str | None = None,
    strict_id_check: bool = True,
    strip_stop: bool = False,
    on_conflict: OnConflict = "error",
    want_ids: bool = False,
    args: dict[str, Any],
    command: Sequence[str],
    actor: Actor | None = None,
) -> AddSequencesResult:
    """Append rows to the base, all of them or none (IMP-4); see :meth:`Dataset.import_rows`."""
    if on_conflict not in ("error", "ignore"):
        raise ValidationError(f"on_conflict is 'error' or 'ignore', not {on_conflict!r}")
    ctx.registry()
    with ctx.view():
        pass
    problems = Problems()
    defaults = Defaults(
        bio_type=default_bio_type,
        alphabet=default_alphabet,
        source=source or "",
        file_source="" if rows.format == "table" else rows.label,
        created_at=_instant(created_at),
        now=utc_now(),
        strip_stop=strip_stop,
        strict_id_check=strict_id_check,
    )
    batches = essential_batches(rows, defaults, problems)
    with spilled(batches, ARROW_SCHEMA, ctx.layout.txn) as spill:
        problems.raise_first(rows.label)
        if spill.rows == 0:
            return AddSequencesResult(0, 0, [])
        incoming = Incoming(spill)
        incoming.check_repeats(on_conflict)

        def build(c: Change) -> tuple[int, int]:
            keep = incoming.keep(c.merged(), on_conflict)
            added = int(keep.sum())
            if added == 0:
                return 0, spill.rows
            with c.stage.file(RECORDS) as sink:
                schema = with_metadata(c.merged().base_schema, c.base_metadata())
                write_batches(sink, schema, _all_rows(c.merged(), spill, keep, schema))
            skipped = spill.rows - added
            c.record(
                "import_rows",
                metrics={"rows_written": added, "rows_skipped": skipped},
                title=f"imported {added:,} rows",
                command=command,
            )
            return added, skipped

        added, skipped = change(ctx, "import_rows", build, args=args, actor=actor)
        ids = [i for b in spill for i in b.column("id").to_pylist()] if want_ids else []
    return AddSequencesResult(added, skipped, ids)


def _instant(value: datetime | str | None) -> datetime | None:
    if value is None or value == "":
        return None
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    return parse(str(value), where="created_at")


def _all_rows(
    merged: Merged, spill: Spill, keep: npt.NDArray[np.bool_], schema: pa.Schema
) -> Iterator[pa.RecordBatch]:
    """Yield the rows there are, then the new ones; derived columns are null in new rows (REC-5)."""
    yield from merged.base_batches(merged.base_schema.names)
    start = 0
    extra = [f for f in schema if f.name not in ESSENTIALS]
    for batch in spill:
        mask = keep[start : start + batch.num_rows]
        start += batch.num_rows
        kept = batch if mask.all() else batch.filter(pa.array(mask))
        arrays = {n: kept.column(n) for n in REQUIRED_COLUMNS}
        arrays |= {f.name: pa.nulls(kept.num_rows, f.type) for f in extra}
        yield pa.RecordBatch.from_arrays([arrays[f.name] for f in schema], schema=schema)


class Incoming:
    """The ids of the rows to import, as 8-byte prefixes: 16 bytes of memory per row (IMP-5)."""

    def __init__(self, spill: Spill) -> None:
        self.spill = spill
        self.prefix: U64 = np.concatenate([id_prefixes(b.column("id")) for b in spill])
        self.order = np.argsort(self.prefix, kind="stable").astype(np.uint32)
        self.repeats = self._find_repeats()

    def _find_repeats(self) -> dict[str, list[int]]:
        """Return id -> 0-based rows, for ids that stand in more than one row."""
        ordered = self.prefix[self.order]
        same = np.flatnonzero(ordered[1:] == ordered[:-1])
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
        existing = self._existing(merged)
        if existing and on_conflict == "error":
            self._raise_existing(existing, merged)
        for row in existing:
            keep[row] = False
        return keep

    def _existing(self, merged: Merged) -> dict[int, int]:
        """Return input row -> base row for ids that the base has."""
        ordered = self.prefix[self.order]
        found: dict[int, int] = {}
        start = 0
        for batch in merged.base_batches(["id"]):
            ids = batch.column(0)
            prefix = id_prefixes(ids)
            low = np.searchsorted(ordered, prefix, side="left")
            high = np.searchsorted(ordered, prefix, side="right")
            hits = np.flatnonzero(high > low)
            if len(hits):
                rows = np.unique(np.concatenate([self.order[low[h] : high[h]] for h in hits]))
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
