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
from usr_nb.contract.times import parse, to_snapshot_stamp
from usr_nb.dataset.context import Actor, Change, Context, change
from usr_nb.dataset.records import current_file
from usr_nb.errors import NamespaceError, ValidationError, did_you_mean, join_hints
from usr_nb.overlay.lookup import KeySpace
from usr_nb.overlay.merge import Merged
from usr_nb.overlay.parts import new_part_time, parts_of
from usr_nb.storage import door
from usr_nb.storage.layout import (
    ARTIFACTS,
    RECORDS,
    SNAPSHOTS,
    archived_path,
)
from usr_nb.storage.parquet import with_metadata, write_batches

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


def materialize(
    ctx: Context,
    namespaces: Sequence[str] | None,
    *,
    keep_overlays: bool,
    archive_overlays: bool,
    drop_deleted: bool,
    snapshot_before: bool,
) -> MaterializeResult:
    """Write merged values into the base; see :meth:`Dataset.materialize`."""
    if archive_overlays and not keep_overlays:
        raise ValidationError(
            "Overlays can be dropped or archived, not both", hint="Choose one of the two."
        )
    args = {
        "namespaces": list(namespaces) if namespaces is not None else None,
        "keep_overlays": keep_overlays,
        "archive_overlays": archive_overlays,
        "drop_deleted": drop_deleted,
        "snapshot_before": snapshot_before,
    }

    def build(c: Change) -> MaterializeResult:
        chosen = _chosen(c, namespaces)
        merged = Merged(c.view, c.registry, include_overlays=chosen, include_deleted=True)
        names = [n for n in merged.schema.names if n not in TOMBSTONE_SCHEMA.names or n == "id"]
        columns = [n for n in names if "__" in n]
        live = merged.live_mask() if drop_deleted else None
        dropped = int((~live).sum()) if live is not None else 0
        has_parts = any(c.view.overlays.get(ns) for ns in chosen)
        if not has_parts and not dropped:
            return MaterializeResult(merged.base_rows, columns, 0, [], None)
        snapshot = snapshot_of_base(c, auto=not snapshot_before) if (
            snapshot_before or dropped
        ) else None  # fmt: skip
        with c.stage.file(RECORDS) as sink:
            schema = pa.schema([merged.field(n) for n in names])
            schema = with_metadata(schema, c.base_metadata())
            rows = merged.base_rows - dropped
            write_batches(sink, schema, _rows(merged, names, live), total=rows)
        artifacts: dict[str, Any] = {"snapshot": snapshot} if snapshot else {}
        if live is not None and dropped:
            gone = merged.base_keys("id").filter(pa.array(~live))
            artifacts["dropped_ids"] = write_dropped_ids(c, gone, "drop_deleted")
            forget_tombstones(c, gone)
        retired = []
        if archive_overlays or not keep_overlays:
            for ns in chosen:
                retired += retire_overlay(c, ns, archive=archive_overlays)
        c.record(
            "materialize",
            metrics={"rows": rows, "columns": len(columns), "rows_dropped": dropped,
                     "files_retired": len(retired)},
            title=f"materialized {len(chosen)} namespaces",
            command=_command(ctx, args),
            artifacts=artifacts,
        )  # fmt: skip
        return MaterializeResult(rows, columns, dropped, retired, snapshot)

    return change(ctx, "materialize", build, args=args)


def _command(ctx: Context, args: dict[str, Any]) -> list[str]:
    command = ["usr", "materialize", ctx.name]
    if args["namespaces"] is not None:
        command += ["--namespaces", ",".join(args["namespaces"])]
    if not args["keep_overlays"]:
        command.append("--drop-overlays")
    for flag in ("archive_overlays", "drop_deleted", "snapshot_before"):
        command += [f"--{flag.replace('_', '-')}"] if args[flag] else []
    return [*command, "--yes"]


def _chosen(c: Change, namespaces: Sequence[str] | None) -> list[str]:
    there = [ns for ns in sorted(c.view.overlays) if ns != TOMBSTONE_NS]
    if namespaces is None:
        return there
    wanted = [namespaces] if isinstance(namespaces, str) else list(namespaces)
    for ns in wanted:
        check_namespace(ns, reserved_ok=True)
        if ns == TOMBSTONE_NS:
            raise NamespaceError("Tombstones are not materialized", hint="Use --drop-deleted.")
        if ns not in there:
            raise NamespaceError(
                f"Dataset '{c.ctx.name}' has no overlay of namespace '{ns}'",
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
