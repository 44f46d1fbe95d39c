"""Tombstones and record state (contract DEL, STA): one file each, replaced as a whole."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from usr_nb.contract.names import STATE_NS, TOMBSTONE_NS, storable
from usr_nb.contract.records import STATE_FIELDS, STATE_SCHEMA, TOMBSTONE_SCHEMA, check_state
from usr_nb.contract.times import utc_now
from usr_nb.dataset.context import Actor, Change, Context, change
from usr_nb.dataset.ids import Found, find
from usr_nb.errors import ValidationError
from usr_nb.overlay.lookup import KeySpace
from usr_nb.overlay.merge import Merged
from usr_nb.overlay.parts import new_part_time, parts_of
from usr_nb.overlay.places import union_keys
from usr_nb.overlay.plain import merge_parts
from usr_nb.storage.view import View


@dataclass(frozen=True)
class Marks:
    """Rows that the file of a reserved namespace gets in place of those it has.

    Attributes
    ----------
    namespace : str
        ``usr`` or ``usr_state``.
    found : Found
        The records, and which of the ids asked for there are none of.
    before, after : pyarrow.Table
        Their cells now and then, in the order of the records.
    """

    namespace: str
    found: Found
    before: pa.Table
    after: pa.Table

    def stage(self, c: Change) -> None:
        """Stage the file with these rows."""
        if self.namespace == TOMBSTONE_NS:
            replace_file(c, TOMBSTONE_NS, _tombstones(c.view), self.after)
        else:
            replace_file(c, STATE_NS, _whole_state(c.view, c.merged()), self.after)


@dataclass(frozen=True)
class Marking:
    """One call of tombstone, restore, set_state or clear_state.

    Attributes
    ----------
    action : str
        The action of the event.
    marks : callable
        From the merged table and the records to what changes.
    title, command : str, sequence of str
        What the note says; ``{n}`` is the number of records.
    args : mapping
        What the event tells of the call.
    """

    action: str
    marks: Callable[[Merged, Found], Marks]
    title: str
    command: Sequence[str]
    args: Mapping[str, Any]

    def stage(self, c: Change, marks: Marks) -> None:
        """Stage file, event and note."""
        n = len(marks.found.ids)
        marks.stage(c)
        c.record(
            self.action,
            metrics={"rows": n, "rows_missing": len(marks.found.missing)},
            title=self.title.format(n=f"{n:,}"),
            command=self.command,
            args=self.args,
        )


def run(
    ctx: Context,
    ids: list[str],
    marking: Marking,
    *,
    allow_missing: bool,
    actor: Actor | None,
) -> int:
    """Mark the records of some ids in one commit; returns how many."""

    def build(c: Change) -> int:
        merged = c.merged()
        marks = marking.marks(merged, find(merged, ids, allow_missing=allow_missing))
        if marks.found.ids:
            marking.stage(c, marks)
        return len(marks.found.ids)

    return change(ctx, marking.action, build, args=marking.args, actor=actor)


def listed(ids: str | Iterable[str]) -> list[str]:
    """Return ids as a list."""
    return [ids] if isinstance(ids, str) else list(ids)


def _id_flags(ids: Sequence[str]) -> list[str]:
    if len(ids) > 20:
        return ["--id-file", f"<{len(ids)} ids>"]
    return [word for i in ids for word in ("--id", str(i))]


# Tombstones ---------------------------------------------------------------------------------------


def tombstoning(dataset: str, ids: Sequence[str], *, reason: str | None, **more: Any) -> Marking:
    """Return the marking that hides records; `more` goes into the event's args."""
    why = storable(reason) if reason else None

    def marks(merged: Merged, found: Found) -> Marks:
        cells = {
            "usr__deleted": True,
            "usr__deleted_at": utc_now(),
            "usr__deleted_reason": why,
        }
        return _tombstone_marks(merged, found, cells)

    command = ["usr", "delete", dataset, *_id_flags(ids)]
    command += ["--reason", reason] if reason else []
    args = {"ids": len(ids), "reason": reason, **more}
    return Marking("tombstone", marks, "deleted {n} records", command, args)


def restoring(dataset: str, ids: Sequence[str], **more: Any) -> Marking:
    """Return the marking that brings hidden records back."""
    cells = {"usr__deleted": False, "usr__deleted_at": None, "usr__deleted_reason": None}

    def marks(merged: Merged, found: Found) -> Marks:
        return _tombstone_marks(merged, _hidden_only(found, merged.live_mask()), cells)

    command = ["usr", "restore", dataset, *_id_flags(ids)]
    return Marking("restore", marks, "restored {n} records", command, {"ids": len(ids), **more})


def _tombstone_marks(merged: Merged, found: Found, cells: Mapping[str, Any]) -> Marks:
    n = len(found.ids)
    known = _tombstones(merged.view)
    at = KeySpace(pa.chunked_array([known.column("id").combine_chunks()]), unique=True).codes(
        pa.chunked_array([pa.array(found.ids, pa.string())])
    )
    before = known.take(pa.array(at, mask=at < 0)).set_column(
        0, "id", pa.array(found.ids, pa.string())
    )
    after = pa.table({"id": found.ids, **{k: [v] * n for k, v in cells.items()}},
                     schema=TOMBSTONE_SCHEMA)  # fmt: skip
    return Marks(TOMBSTONE_NS, found, before.cast(TOMBSTONE_SCHEMA), after)


def _tombstones(view: View) -> pa.Table:
    return current_file(view, TOMBSTONE_NS, TOMBSTONE_SCHEMA)


def tombstone(
    ctx: Context,
    ids: str | Iterable[str],
    *,
    reason: str | None,
    allow_missing: bool,
    actor: Actor | None = None,
) -> int:
    """Hide records; returns how many ids were marked."""
    asked = listed(ids)
    marking = tombstoning(ctx.name, asked, reason=reason, allow_missing=allow_missing)
    return run(ctx, asked, marking, allow_missing=allow_missing, actor=actor)


def restore(
    ctx: Context,
    ids: str | Iterable[str],
    *,
    allow_missing: bool,
    actor: Actor | None = None,
) -> int:
    """Bring records back; time and reason are cleared. Returns how many were hidden before."""
    asked = listed(ids)
    marking = restoring(ctx.name, asked, allow_missing=allow_missing)
    return run(ctx, asked, marking, allow_missing=allow_missing, actor=actor)


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
        total=table.num_rows,
        single_file=True,
    )


# State -------------------------------------------------------------------------------------------


def state_setting(
    dataset: str, ids: Sequence[str], values: Mapping[str, Any], **more: Any
) -> Marking:
    """Return the marking that sets the given fields and leaves the others as they are."""
    given = check_state(dict(values))
    command = ["usr", "state", "set", dataset, *_id_flags(ids), *_state_flags(given)]
    return Marking(
        "state_set", _state_marks(given), "set the state of {n} records", command,
        {"ids": len(ids), **given, **more},
    )  # fmt: skip


def state_clearing(dataset: str, ids: Sequence[str], **more: Any) -> Marking:
    """Return the marking that unsets all state fields."""
    command = ["usr", "state", "clear", dataset, *_id_flags(ids)]
    return Marking(
        "state_clear", _state_marks(dict.fromkeys(STATE_FIELDS)),
        "cleared the state of {n} records", command, {"ids": len(ids), **more},
    )  # fmt: skip


def state_by_record(states: Mapping[str, Mapping[str, Any]], **more: Any) -> Marking:
    """Return the marking that sets each record's own fields; None unsets one.

    Parameters
    ----------
    states : mapping of str to mapping
        Full id → the fields to set; the others are left as they are.
    """
    for id_, given in states.items():
        if unknown := [f for f in given if f not in STATE_FIELDS]:
            raise ValidationError(f"{id_[:8]}: a record has no state {unknown[0][:40]!r}")
        if wanted := {k: v for k, v in given.items() if v is not None}:
            check_state({**dict.fromkeys(STATE_FIELDS), **wanted})

    def marks(merged: Merged, found: Found) -> Marks:
        before = _state_rows(merged, found)
        rows = [
            row | {f"usr_state__{k}": v for k, v in states.get(row["id"], {}).items()}
            for row in before.to_pylist()
        ]
        after = pa.Table.from_pylist(rows, schema=STATE_SCHEMA)
        return Marks(STATE_NS, found, before, after)

    fields = [f for f in STATE_FIELDS if any(f in given for given in states.values())]
    command = ["#", f"{len(states)} records, each with its own", ", ".join(fields)]
    args = {"ids": len(states), "fields": fields, **more}
    return Marking("state_set", marks, "set the state of {n} records", command, args)


def _state_marks(values: Mapping[str, Any]) -> Callable[[Merged, Found], Marks]:
    def marks(merged: Merged, found: Found) -> Marks:
        before = _state_rows(merged, found)
        after = before
        for field, value in values.items():
            name = f"usr_state__{field}"
            dtype = STATE_SCHEMA.field(name).type
            cells = pa.array([value] * len(found.ids), dtype)
            after = after.set_column(after.schema.get_field_index(name), name, cells)
        return Marks(STATE_NS, found, before, after.cast(STATE_SCHEMA))

    return marks


def set_state(
    ctx: Context,
    ids: str | Iterable[str],
    values: dict[str, Any],
    *,
    allow_missing: bool,
    actor: Actor | None = None,
) -> int:
    """Set the given state fields and leave the others as they are; returns the number of ids."""
    asked = listed(ids)
    marking = state_setting(ctx.name, asked, values, allow_missing=allow_missing)
    return run(ctx, asked, marking, allow_missing=allow_missing, actor=actor)


def clear_state(
    ctx: Context,
    ids: str | Iterable[str],
    *,
    allow_missing: bool,
    actor: Actor | None = None,
) -> int:
    """Unset all state fields; returns the number of ids."""
    asked = listed(ids)
    marking = state_clearing(ctx.name, asked, allow_missing=allow_missing)
    return run(ctx, asked, marking, allow_missing=allow_missing, actor=actor)


def _state_flags(given: dict[str, Any]) -> list[str]:
    flags: list[str] = []
    for field, value in given.items():
        flag = f"--{field.replace('_', '-')}"
        if isinstance(value, bool):
            flags.append(flag if value else f"--no-{field}")
        else:
            flags += [flag, ",".join(value) if isinstance(value, list) else str(value)]
    return flags


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
