"""Creating a dataset and importing rows into it (contract IMP)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from usr_nb.contract.essentials import (
    ARROW_SCHEMA,
    ID_HASH_SPEC,
    META_CREATED_AT,
    META_ID_HASH,
    META_REGISTRY_HASH,
    META_SCHEMA_VERSION,
    SCHEMA_VERSION,
)
from usr_nb.contract.events import Fingerprint, redact_command
from usr_nb.contract.registry import Registry
from usr_nb.contract.times import parse, to_text, utc_now
from usr_nb.dataset.appending import stage_base
from usr_nb.dataset.context import Actor, Change, Context, change, fingerprint_of
from usr_nb.dataset.incoming import Incoming, OnConflict
from usr_nb.dataset.keeping import Keeper
from usr_nb.dataset.prepare import Defaults, Problems, essential_batches, ignored_columns
from usr_nb.dataset.revival import silence_revived
from usr_nb.dataset.spill import IN_MEMORY_ROWS, Spill, spilled
from usr_nb.errors import AlreadyExists, ValidationError
from usr_nb.overlay.kept import carry_on
from usr_nb.readers import Rows
from usr_nb.storage import notes, slots
from usr_nb.storage.intents import dataset_exists
from usr_nb.storage.layout import META, RECORDS, frozen_registry
from usr_nb.storage.parquet import open_parquet, write_batches
from usr_nb.storage.roots import new_place


@dataclass(frozen=True)
class AddSequencesResult:
    """What an import did.

    Attributes
    ----------
    added, skipped : int
        Rows written, and rows left out because their id was there already.
    ids : list of str
        The id of every input row, in input order.
    ignored_columns : list of str
        Columns of the input that were not read.
    """

    added: int
    skipped: int
    ids: list[str]
    ignored_columns: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Start:
    """What a dataset has from its first commit on.

    Attributes
    ----------
    action : str
        What the commit is called.
    rows : pyarrow.Table
        The base, in essential columns.
    add : callable
        Given stage, registry and fingerprint, stages what else there is, and tells of it.
    """

    action: str
    rows: pa.Table
    add: Callable[[slots.Stage, Registry, Fingerprint], None]


def init(
    ctx: Context,
    *,
    source: str,
    notes_text: str,
    actor: Actor | None = None,
    start: Start | None = None,
) -> None:
    """Create a dataset: base table, notes, frozen registry, first event; empty without `start`.

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
        rows = start.rows if start is not None else ARROW_SCHEMA.empty_table()
        with stage.file(RECORDS) as sink:
            schema = ARROW_SCHEMA.with_metadata(metadata)
            write_batches(sink, schema, [rows], total=rows.num_rows)
        path = frozen_registry(registry.hash)
        stage.small_file(path, registry.as_yaml().encode())
        if not ctx.layout.meta.exists():
            text = notes.initial_text(name=ctx.name, created_at=at, source=source, notes=notes_text)
            stage.small_file(META, text.encode("utf-8", errors="backslashreplace"))
        size = fingerprint_of(stage.staged_path(RECORDS), rows.num_rows, len(ARROW_SCHEMA))
        shared: dict[str, Any] = {
            "fingerprint": size,
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
        if start is not None:
            start.add(stage, registry, size)

    slots.commit(ctx.layout.dir, build, action="init" if start is None else start.action)


@dataclass(frozen=True)
class ImportRequest:
    """One call of an import; see :meth:`Dataset.import_rows` for what the fields mean."""

    default_bio_type: str
    default_alphabet: str
    source: str | None
    args: Mapping[str, Any]
    command: Sequence[str]
    created_at: datetime | str | None = None
    strict_id_check: bool = True
    strip_stop: bool = False
    on_conflict: OnConflict = "error"
    keep: str | None = None
    keep_values: bool = False
    want_ids: bool = False
    actor: Actor | None = None

    def defaults(self, rows: Rows) -> Defaults:
        """Return what fills the cells that the rows do not have."""
        return Defaults(
            bio_type=self.default_bio_type,
            alphabet=self.default_alphabet,
            source=self.source or "",
            file_source="" if rows.format == "table" else rows.label,
            created_at=_instant(self.created_at),
            now=utc_now(),
            strip_stop=self.strip_stop,
            strict_id_check=self.strict_id_check,
        )


def import_rows(ctx: Context, rows: Rows, request: ImportRequest) -> AddSequencesResult:
    """Append rows to the base, all of them or none (IMP-4); see :meth:`Dataset.import_rows`."""
    if request.on_conflict not in ("error", "ignore"):
        raise ValidationError(f"on_conflict is 'error' or 'ignore', not {request.on_conflict!r}")
    registry = ctx.registry()
    with ctx.view():
        pass
    if rows.num_rows == 0 and not rows.schema.names:
        return AddSequencesResult(0, 0, [])  # An empty list has no columns to miss.
    keeper = Keeper(rows, request.keep, registry) if request.keep is not None else None
    extra = keeper.fields if keeper is not None else []
    problems = Problems()
    batches = essential_batches(rows, request.defaults(rows), problems, extra)
    schema = pa.schema([*ARROW_SCHEMA, *extra])
    with spilled(batches, schema, ctx.layout.txn) as spill:
        problems.raise_first(rows.label)
        if spill.rows == 0:
            return AddSequencesResult(0, 0, [])
        incoming = Incoming(spill)
        incoming.check_repeats(request.on_conflict)
        if keeper is not None:
            with ctx.merged(include_deleted=True) as merged:
                # The same refusal as below, before the registry is touched.
                keep = incoming.keep(merged, request.on_conflict)
                keeper.check_key(merged)
                keeper.check_cells(incoming, keep)
            keeper.register(ctx.root)

        def build(c: Change) -> tuple[int, int]:
            return _append(c, spill, incoming, keeper, request)

        added, skipped = change(ctx, "import_rows", build, args=request.args, actor=request.actor)
        ids = [i for b in spill for i in b.column("id").to_pylist()] if request.want_ids else []
    ignored = [] if keeper is not None else ignored_columns(rows)
    return AddSequencesResult(added, skipped, ids, ignored)


def _append(
    c: Change, spill: Spill, incoming: Incoming, keeper: Keeper | None, request: ImportRequest
) -> tuple[int, int]:
    merged = c.merged()
    keep = incoming.keep(merged, request.on_conflict)
    added = int(keep.sum())
    if added == 0:
        return 0, spill.rows
    stage_base(c, merged, spill, keep)
    if added <= IN_MEMORY_ROWS:
        with open_parquet(c.stage.staged_path(RECORDS)) as staged:
            identity = staged.identity()
        carry_on(merged, identity, (b.column("id") for b in _added(spill, keep)))
    times = {} if request.keep_values else silence_revived(c, merged, _added(spill, keep))
    if keeper is not None:
        keeper.stage_part(c, merged, incoming, keep, newer_than=times)
    skipped = spill.rows - added
    metrics = {"rows_written": added, "rows_skipped": skipped}
    if keeper is not None:
        metrics["columns_kept"] = len(keeper.columns)
    c.record(
        "import_rows",
        metrics=metrics,
        title=f"imported {added:,} rows",
        command=request.command,
    )
    return added, skipped


def _added(spill: Spill, keep: npt.NDArray[np.bool_]) -> Iterator[pa.RecordBatch]:
    """Yield id and sequence of the rows that are added."""
    start = 0
    for batch in spill:
        mask = keep[start : start + batch.num_rows]
        start += batch.num_rows
        yield batch.select(["id", "sequence"]).filter(pa.array(mask))


def _instant(value: datetime | str | None) -> datetime | None:
    if value is None or value == "":
        return None
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    return parse(str(value), where="created_at")
