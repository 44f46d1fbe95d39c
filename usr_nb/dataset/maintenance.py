"""Rewriting on purpose: materialize, snapshot, remove an overlay, freeze (contract MAT, RCV-4)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import pyarrow as pa
import pyarrow.compute as pc

from usr_nb.contract.names import TOMBSTONE_NS, check_namespace, check_snapshot_name
from usr_nb.contract.records import TOMBSTONE_SCHEMA
from usr_nb.contract.registry import Registry
from usr_nb.contract.times import parse, to_snapshot_stamp
from usr_nb.dataset.context import Actor, Change, Context, change
from usr_nb.dataset.records import current_file
from usr_nb.dataset.unfolding import copies, write_copied
from usr_nb.errors import NamespaceError, ValidationError, did_you_mean, join_hints
from usr_nb.overlay.lookup import KeySpace
from usr_nb.overlay.merge import Mask, Merged
from usr_nb.overlay.parts import new_part_time, parts_of
from usr_nb.storage import door
from usr_nb.storage.layout import (
    ARTIFACTS,
    RECORDS,
    SNAPSHOTS,
    archived_path,
)
from usr_nb.storage.parquet import with_metadata, write_batches
from usr_nb.storage.view import View

KEEP_AUTO: Final = 5
_AUTO = re.compile(r"records-\d{8}T\d{12}-auto\.parquet\Z")


@dataclass(frozen=True)
class MaterializeResult:
    """What a materialize did.

    Attributes
    ----------
    rows : int
        Rows of the base afterwards.
    columns : list of str
        Derived columns that are in the base now.
    dropped_rows : int
        Tombstoned rows removed.
    retired : list of str
        Overlay files taken away, relative to the dataset.
    snapshot : str or None
        Path of the snapshot of the prior base, relative to the dataset.
    """

    rows: int
    columns: list[str]
    dropped_rows: int
    retired: list[str]
    snapshot: str | None


@dataclass(frozen=True)
class Rewrite:
    """One call of materialize."""

    namespaces: tuple[str, ...] | None
    keep_overlays: bool
    archive_overlays: bool
    drop_deleted: bool
    snapshot_before: bool

    def __post_init__(self) -> None:
        if self.archive_overlays and not self.keep_overlays:
            raise ValidationError(
                "Overlays can be dropped or archived, not both", hint="Choose one of the two."
            )

    @property
    def args(self) -> dict[str, Any]:
        """What the event tells of the call."""
        return {
            "namespaces": list(self.namespaces) if self.namespaces is not None else None,
            "keep_overlays": self.keep_overlays,
            "archive_overlays": self.archive_overlays,
            "drop_deleted": self.drop_deleted,
            "snapshot_before": self.snapshot_before,
        }


@dataclass(frozen=True)
class Outline:
    """What a materialize of a view comes to.

    Attributes
    ----------
    chosen : list of str
        The namespaces, A-Z.
    merged : Merged
        With just these, tombstoned rows included.
    names, columns : list of str
        All columns of the base afterwards, and those of them that are derived.
    live : numpy.ndarray of bool or None
        Which rows stay; None: all.
    dropped : int
        Rows that go.
    """

    chosen: list[str]
    merged: Merged
    names: list[str]
    columns: list[str]
    live: Mask | None
    dropped: int

    @property
    def rows(self) -> int:
        """Rows of the base afterwards."""
        return self.merged.base_rows - self.dropped

    @property
    def writes(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.dropped) or any(self.merged.view.overlays.get(n) for n in self.chosen)


def outline(view: View, registry: Registry, wish: Rewrite, *, dataset: str) -> Outline:
    """Return what a materialize comes to; nothing is written."""
    chosen = _chosen(view, wish.namespaces, dataset)
    merged = Merged(view, registry, include_overlays=chosen, include_deleted=True)
    names = [n for n in merged.schema.names if n not in TOMBSTONE_SCHEMA.names or n == "id"]
    live = merged.live_mask() if wish.drop_deleted else None
    dropped = int((~live).sum()) if live is not None else 0
    return Outline(chosen, merged, names, [n for n in names if "__" in n], live, dropped)


def materialize(ctx: Context, wish: Rewrite) -> MaterializeResult:
    """Write merged values into the base; see :meth:`Dataset.materialize`."""

    def build(c: Change) -> MaterializeResult:
        return stage_materialize(c, wish)

    return change(ctx, "materialize", build, args=wish.args)


def stage_materialize(c: Change, wish: Rewrite) -> MaterializeResult:
    """Stage the base with the merged values, and what goes with it."""
    plan = outline(c.view, c.registry, wish, dataset=c.ctx.name)
    merged, live, dropped = plan.merged, plan.live, plan.dropped
    if not plan.writes:
        return MaterializeResult(merged.base_rows, plan.columns, 0, [], None)
    snapshot = snapshot_of_base(c, auto=not wish.snapshot_before) if (
        wish.snapshot_before or dropped
    ) else None  # fmt: skip
    schema = pa.schema([merged.field(n) for n in plan.names])
    schema = with_metadata(schema, c.base_metadata())
    # Rows that go change where every later one stands: then nothing can be copied.
    spaces = None if dropped else plan.chosen
    with copies(c, merged, plan.names, spaces) as found, c.stage.file(RECORDS) as sink:
        if found is not None:
            write_copied(sink, schema, merged, found)
        else:
            write_batches(sink, schema, _rows(merged, plan.names, live), total=plan.rows)
    artifacts: dict[str, Any] = {"snapshot": snapshot} if snapshot else {}
    if live is not None and dropped:
        gone = merged.base_keys("id").filter(pa.array(~live))
        artifacts["dropped_ids"] = write_dropped_ids(c, gone, "drop_deleted")
        forget_tombstones(c, gone)
    retired = []
    if wish.archive_overlays or not wish.keep_overlays:
        for ns in plan.chosen:
            retired += retire_overlay(c, ns, archive=wish.archive_overlays)
    c.record(
        "materialize",
        metrics={"rows": plan.rows, "columns": len(plan.columns), "rows_dropped": dropped,
                 "files_retired": len(retired)},
        title=f"materialized {', '.join(plan.chosen)}",
        command=_command(c.ctx, wish.args),
        artifacts=artifacts,
        args=wish.args,
    )  # fmt: skip
    return MaterializeResult(plan.rows, plan.columns, dropped, retired, snapshot)


def _command(ctx: Context, args: dict[str, Any]) -> list[str]:
    command = ["usr", "materialize", ctx.name]
    if args["namespaces"] is not None:
        command += ["--namespaces", ",".join(args["namespaces"])]
    if not args["keep_overlays"]:
        command.append("--drop-overlays")
    for flag in ("archive_overlays", "drop_deleted", "snapshot_before"):
        command += [f"--{flag.replace('_', '-')}"] if args[flag] else []
    return [*command, "--yes"]


def _chosen(view: View, namespaces: Sequence[str] | None, dataset: str) -> list[str]:
    there = [ns for ns in sorted(view.overlays) if ns != TOMBSTONE_NS]
    if namespaces is None:
        return there
    wanted = list(namespaces)
    for ns in wanted:
        check_namespace(ns, reserved_ok=True)
        if ns == TOMBSTONE_NS:
            raise NamespaceError("Tombstones are not materialized", hint="Use --drop-deleted.")
        if ns not in there:
            raise NamespaceError(
                f"Dataset '{dataset}' has no overlay of namespace '{ns}'",
                hint=join_hints(
                    did_you_mean(ns, there), f"Overlays: {', '.join(there) or 'none'}."
                ),
            )
    return sorted(set(wanted))


def _rows(merged: Merged, names: list[str], live: Any) -> Iterable[pa.RecordBatch]:
    start = 0
    for batch in merged.batches(names):
        mask = None if live is None else live[start : start + batch.num_rows]
        start += batch.num_rows
        yield batch if mask is None or mask.all() else batch.filter(pa.array(mask))


def retire_overlay(c: Change, namespace: str, *, archive: bool) -> list[str]:
    """List every file of a namespace in this view for retirement; returns their paths."""
    paths = []
    stamp = to_snapshot_stamp(parse(c.stage.at))
    for file in c.view.overlays.get(namespace, ()):
        to = archived_path(namespace, stamp, file.name) if archive else None
        c.stage.retire(file.path, to=to)
        paths.append(file.path)
    return paths


def write_dropped_ids(c: Change, ids: pa.ChunkedArray, why: str) -> str:
    """Stage the list of ids that this change removes for good (VAL); returns its path.

    Their sequences stand beside them: overlays keyed by sequence know no ids.
    """
    merged = c.merged()
    rows = pc.index_in(ids, value_set=merged.base_keys("id").combine_chunks())
    path = f"{ARTIFACTS}/dropped-{to_snapshot_stamp(parse(c.stage.at))}-{why}.parquet"
    table = pa.table({"id": ids, "sequence": merged.base_keys("sequence").take(rows)})
    with c.stage.file(path) as sink:
        write_batches(sink, table.schema, [table])
    return path


def forget_tombstones(c: Change, gone: pa.ChunkedArray) -> None:
    """Stage the tombstones without those of rows that are gone for good."""
    if not c.view.overlays.get(TOMBSTONE_NS):
        return
    before = current_file(c.view, TOMBSTONE_NS, TOMBSTONE_SCHEMA)
    left = before.filter(pa.array(KeySpace(gone, unique=True).codes(before.column("id")) < 0))
    # Old files are folded into the new one; without it their rows would speak again.
    for file in c.view.overlays.get(TOMBSTONE_NS, ()):
        if not file.is_single or left.num_rows == 0:
            c.stage.retire(file.path)
    if left.num_rows == 0:
        return
    c.stage_overlay(
        TOMBSTONE_NS,
        key="id",
        created_at=new_part_time(parts_of(c.view, TOMBSTONE_NS)),
        schema=left.schema,
        batches=[left],
        single_file=True,
    )


# Snapshots ------------------------------------------------------------------------------------


def snapshot(ctx: Context, name: str | None, *, actor: Actor | None = None) -> str:
    """Copy the base into ``_snapshots/``; returns the path relative to the dataset."""
    if name is not None:
        check_snapshot_name(name)

    def build(c: Change) -> str:
        path = snapshot_of_base(c, auto=False, name=name)
        c.record(
            "snapshot",
            metrics={"rows": c.view.base.metadata.num_rows},
            title="took a snapshot",
            command=["usr", "snapshot", ctx.name, *(["--name", name] if name else [])],
            artifacts={"snapshot": path},
        )
        return path

    return change(ctx, "snapshot", build, args={"name": name} if name else {}, actor=actor)


def snapshot_of_base(c: Change, *, auto: bool, name: str | None = None) -> str:
    """Stage a copy of the base; automatic ones push out all but the newest few (RCV-4)."""
    stamp = to_snapshot_stamp(parse(c.stage.at))
    tail = "-auto" if auto else f"-{name}" if name else ""
    path = f"{SNAPSHOTS}/records-{stamp}{tail}.parquet"
    with c.stage.file(path) as sink:
        door.copy_into(sink, c.ctx.layout.records)
    if auto:
        _prune_automatic(c)
    return path


def _prune_automatic(c: Change) -> None:
    folder = c.ctx.layout.snapshots
    old = sorted(p.name for p in folder.iterdir() if _AUTO.match(p.name)) if folder.is_dir() else []
    for name in old[: max(0, len(old) - (KEEP_AUTO - 1))]:
        c.stage.drop(f"{SNAPSHOTS}/{name}")


# Overlays as a whole --------------------------------------------------------------------------


def remove_overlay(
    ctx: Context,
    namespace: str,
    *,
    mode: Literal["delete", "archive", "error"],
    missing_ok: bool,
    actor: Actor | None = None,
) -> list[str]:
    """Take away all files of a namespace; values materialized into the base stay."""
    check_namespace(namespace)
    if mode not in ("delete", "archive", "error"):
        raise ValidationError(f"mode is 'delete' or 'archive', not {str(mode)[:40]!r}")
    archive = mode == "archive"

    def build(c: Change) -> list[str]:
        there = [ns for ns in c.view.overlays if ns != TOMBSTONE_NS]
        if namespace not in there:
            if missing_ok:
                return []
            raise NamespaceError(
                f"Dataset '{ctx.name}' has no overlay of namespace '{namespace}'",
                hint=join_hints(did_you_mean(namespace, there), "See `usr info`."),
            )
        paths = retire_overlay(c, namespace, archive=archive)
        c.record(
            "archive_overlay" if archive else "remove_overlay",
            metrics={"files_retired": len(paths)},
            title=f"{'archived' if archive else 'removed'} overlay {namespace}",
            command=["usr", "maintenance", "overlay-remove", ctx.name, "--namespace", namespace,
                     "--mode", "archive" if archive else "delete"],
        )  # fmt: skip
        return paths

    args = {"namespace": namespace, "mode": mode, "missing_ok": missing_ok}
    return change(ctx, "remove_overlay", build, args=args, actor=actor)


def section(reason: str, actor: Actor | None) -> dict[str, Any]:
    """Return what a maintenance section puts into its events."""
    if not isinstance(reason, str) or not reason.strip():
        raise ValidationError(
            "A maintenance section needs a reason", hint="maintenance(reason=...)"
        )
    return {"reason": reason.strip(), "actor": actor}
