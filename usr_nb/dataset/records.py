"""Tombstones and record state (contract DEL, STA): one file each, replaced as a whole."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from usr_nb.contract.names import STATE_NS, TOMBSTONE_NS, storable
from usr_nb.contract.records import STATE_FIELDS, STATE_SCHEMA, TOMBSTONE_SCHEMA, check_state
from usr_nb.contract.times import utc_now
from usr_nb.dataset.context import Actor, Change, Context, change
from usr_nb.dataset.ids import Found, find
from usr_nb.overlay.lookup import KeySpace
from usr_nb.overlay.merge import Merged, merge_parts, union_keys
from usr_nb.overlay.parts import new_part_time, parts_of
from usr_nb.storage.view import View


def tombstone(
    ctx: Context,
    ids: str | Iterable[str],
    *,
    reason: str | None,
    allow_missing: bool,
    actor: Actor | None = None,
) -> int:
    """Hide records; returns how many ids were marked."""
    asked = _listed(ids)
    cells = {
        "usr__deleted": True,
        "usr__deleted_at": utc_now(),
        "usr__deleted_reason": storable(reason) if reason else None,
    }
    command = ["usr", "delete", ctx.name, *_id_flags(asked)]
    command += ["--reason", reason] if reason else []
    return _mark(
        ctx, asked, cells, action="tombstone", verb="deleted", command=command,
        args={"ids": len(asked), "reason": reason, "allow_missing": allow_missing},
        allow_missing=allow_missing, actor=actor,
    )  # fmt: skip


def restore(
    ctx: Context,
    ids: str | Iterable[str],
    *,
    allow_missing: bool,
    actor: Actor | None = None,
) -> int:
    """Bring records back; time and reason are cleared. Returns how many were hidden before."""
    asked = _listed(ids)
    cells = {"usr__deleted": False, "usr__deleted_at": None, "usr__deleted_reason": None}
    return _mark(
        ctx, asked, cells, action="restore", verb="restored",
        command=["usr", "restore", ctx.name, *_id_flags(asked)],
        args={"ids": len(asked), "allow_missing": allow_missing},
        allow_missing=allow_missing, actor=actor,
    )  # fmt: skip


def _listed(ids: str | Iterable[str]) -> list[str]:
    return [ids] if isinstance(ids, str) else list(ids)


def _id_flags(ids: Sequence[str]) -> list[str]:
    if len(ids) > 20:
        return ["--id-file", f"<{len(ids)} ids>"]
    return [word for i in ids for word in ("--id", str(i))]


def _mark(
    ctx: Context,
    asked: list[str],
    cells: dict[str, Any],
    *,
    action: str,
    verb: str,
    command: Sequence[str],
    args: dict[str, Any],
    allow_missing: bool,
    actor: Actor | None,
) -> int:
    def build(c: Change) -> int:
        merged = c.merged()
        found = find(merged, asked, allow_missing=allow_missing)
        if action == "restore":
            found = _hidden_only(found, merged.live_mask())
        if not found.ids:
            return 0
        before = current_file(c.view, TOMBSTONE_NS, TOMBSTONE_SCHEMA)
        changed = pa.table(
            {"id": found.ids, **{k: [v] * len(found.ids) for k, v in cells.items()}},
            schema=TOMBSTONE_SCHEMA,
        )
        replace_file(c, TOMBSTONE_NS, before, changed)
        c.record(
            action,
            metrics={"rows": len(found.ids), "rows_missing": len(found.missing)},
            title=f"{verb} {len(found.ids):,} records",
            command=command,
        )
        return len(found.ids)

    return change(ctx, action, build, args=args, actor=actor)


def _hidden_only(found: Found, live: npt.NDArray[np.bool_] | None) -> Found:
    """Return those of the found records that are tombstoned; without tombstones there are none."""
    hidden = np.zeros(len(found.rows), bool) if live is None else ~live[found.rows]
    ids = [i for i, is_hidden in zip(found.ids, hidden.tolist(), strict=True) if is_hidden]
    return Found(ids, found.rows[hidden], found.missing)


def current_file(view: View, namespace: str, schema: pa.Schema) -> pa.Table:
    """Return what the file and the parts of a reserved namespace say together, one row per id."""
    infos = parts_of(view, namespace)
    if not infos:
        return schema.empty_table()
    keys = union_keys(view, infos)
    space = KeySpace(keys, unique=True)
    types = {f.name: f.type for f in schema if f.name != "id"}
    columns = merge_parts(view, infos, space, types)
    rows = slice(0, space.size)
    arrays: dict[str, Any] = {"id": keys}
    for name, dtype in types.items():
        there = name in columns
        arrays[name] = columns[name].take(rows, None) if there else pa.nulls(space.size, dtype)
    return pa.table(arrays, schema=schema)


def replace_file(c: Change, namespace: str, before: pa.Table, changed: pa.Table) -> None:
    """Stage the file of a reserved namespace: the rows before, the changed ones in place."""
    touched = KeySpace(pa.chunked_array([changed.column("id").combine_chunks()]), unique=True)
    kept = before.filter(pa.array(touched.codes(before.column("id")) < 0))
    table = pa.concat_tables([kept, changed])
    c.stage_overlay(
        namespace,
        key="id",
        created_at=new_part_time(parts_of(c.view, namespace)),
        schema=table.schema,
        batches=[table],
        single_file=True,
    )


# State -------------------------------------------------------------------------------------------


def set_state(
    ctx: Context,
    ids: str | Iterable[str],
    values: dict[str, Any],
    *,
    allow_missing: bool,
    actor: Actor | None = None,
) -> int:
    """Set the given state fields and leave the others as they are; returns the number of ids."""
    given = check_state(values)
    asked = _listed(ids)
    command = ["usr", "state", "set", ctx.name, *_id_flags(asked), *_state_flags(given)]
    return _change_state(
        ctx, asked, given, action="state_set", title="set the state of",
        command=command, args={"ids": len(asked), **given, "allow_missing": allow_missing},
        allow_missing=allow_missing, actor=actor,
    )  # fmt: skip


def clear_state(
    ctx: Context,
    ids: str | Iterable[str],
    *,
    allow_missing: bool,
    actor: Actor | None = None,
) -> int:
    """Unset all state fields; returns the number of ids."""
    asked = _listed(ids)
    return _change_state(
        ctx, asked, dict.fromkeys(STATE_FIELDS), action="state_clear", title="cleared the state of",
        command=["usr", "state", "clear", ctx.name, *_id_flags(asked)],
        args={"ids": len(asked), "allow_missing": allow_missing},
        allow_missing=allow_missing, actor=actor,
    )  # fmt: skip


def _state_flags(given: dict[str, Any]) -> list[str]:
    flags: list[str] = []
    for field, value in given.items():
        flag = f"--{field.replace('_', '-')}"
        if isinstance(value, bool):
            flags.append(flag if value else f"--no-{field}")
        else:
            flags += [flag, ",".join(value) if isinstance(value, list) else str(value)]
    return flags


def _change_state(
    ctx: Context,
    asked: list[str],
    values: dict[str, Any],
    *,
    action: str,
    title: str,
    command: Sequence[str],
    args: dict[str, Any],
    allow_missing: bool,
    actor: Actor | None,
) -> int:
    def build(c: Change) -> int:
        merged = c.merged()
        found = find(merged, asked, allow_missing=allow_missing)
        if not found.ids:
            return 0
        changed = _state_rows(merged, found)
        for field, value in values.items():
            name = f"usr_state__{field}"
            dtype = STATE_SCHEMA.field(name).type
            cells = pa.array([value] * len(found.ids), dtype)
            changed = changed.set_column(changed.schema.get_field_index(name), name, cells)
        before = _whole_state(c.view, merged)
        replace_file(c, STATE_NS, before, changed.cast(STATE_SCHEMA))
        c.record(
            action,
            metrics={"rows": len(found.ids), "rows_missing": len(found.missing)},
            title=f"{title} {len(found.ids):,} records",
            command=command,
        )
        return len(found.ids)

    return change(ctx, action, build, args=args, actor=actor)


def _whole_state(view: View, merged: Merged) -> pa.Table:
    """Return the state of every id in file or parts; where they are silent, the base's cells."""
    stated = current_file(view, STATE_NS, STATE_SCHEMA)
    if all(len(i.columns) == len(STATE_FIELDS) for i in parts_of(view, STATE_NS)):
        return stated
    rows = KeySpace(merged.base_keys("id"), unique=True).codes(stated.column("id"))
    known = _state_rows(merged, Found([], rows[rows >= 0], []))
    orphans = stated.filter(pa.array(rows < 0))
    return pa.concat_tables([known, orphans])


def _state_rows(merged: Merged, found: Found) -> pa.Table:
    names = [n for n in STATE_SCHEMA.names if n == "id" or n in merged.schema.names]
    rows = merged.take(found.rows, names)
    arrays = {
        f.name: rows.column(f.name) if f.name in names else pa.nulls(rows.num_rows, f.type)
        for f in STATE_SCHEMA
    }
    return pa.table(arrays, schema=STATE_SCHEMA)


def get_state(
    ctx: Context, ids: str | Iterable[str], *, allow_missing: bool
) -> list[dict[str, Any]]:
    """Return the state of some records in the order asked for; ``masked`` is False by default."""
    with ctx.merged(include_deleted=True) as merged:
        found = find(merged, ids, allow_missing=allow_missing)
        rows = _state_rows(merged, found).to_pylist()
    out = []
    for row in rows:
        plain = {k.removeprefix("usr_state__"): v for k, v in row.items()}
        plain["masked"] = bool(plain["masked"])
        out.append(plain)
    return out
