"""Plans of tombstone, restore and state: which records, what of them changes, from what to what."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from usr_nb.contract.names import STATE_NS, TOMBSTONE_NS
from usr_nb.dataset.context import Actor, Change, Context
from usr_nb.dataset.ids import Found, find
from usr_nb.dataset.plans.plan import (
    EXAMPLES,
    DatasetPlan,
    FileChange,
    Problem,
    Receipt,
    with_tables,
)
from usr_nb.dataset.plans.seen import namespaces_of, see
from usr_nb.dataset.records import (
    Marking,
    Marks,
    get_state,
    restoring,
    state_by_record,
    tombstoning,
)
from usr_nb.errors import RecordNotFound, SequencesError, StalePlanError, ValidationError
from usr_nb.filter.engine import visible
from usr_nb.filter.kept import Where, as_filter
from usr_nb.filter.tree import Filter
from usr_nb.overlay.merge import Merged
from usr_nb.storage.layout import overlay_file

Mask = npt.NDArray[np.bool_]
_FIELDS = {"usr__deleted": "deleted", "usr__deleted_at": "deleted at",
           "usr__deleted_reason": "reason"}  # fmt: skip


@dataclass(frozen=True)
class CellChange:
    """One cell before and after.

    Attributes
    ----------
    id : str
        The record.
    before, after : object
        The values; None is null.
    """

    id: str
    before: Any
    after: Any


@dataclass(frozen=True)
class FieldChange:
    """What happens to one field.

    Attributes
    ----------
    field : str
        Its name without the prefix.
    rows : int
        Records in which its value changes.
    overwritten : int
        Those of them that had another value, not null.
    examples : tuple of CellChange
        A few, in base order.
    """

    field: str
    rows: int
    overwritten: int
    examples: tuple[CellChange, ...]


@dataclass(frozen=True, kw_only=True, repr=False)
class RecordsPlan(DatasetPlan):
    """What tombstone, restore, set_state or clear_state would do.

    Attributes
    ----------
    records : int
        Records that are marked.
    missing : tuple of str
        Ids asked for that the dataset has not: a few of them.
    changed : int
        Records that end up different.
    changes : tuple of FieldChange
        By field; those that nothing happens to are left out.
    where : str or None
        The filter that chose the records.
    ids : tuple of str
        Of the first records.
    """

    records: int
    missing: tuple[str, ...]
    changed: int
    changes: tuple[FieldChange, ...]
    where: str | None
    ids: tuple[str, ...]
    _marking: Marking = field(repr=False, compare=False)
    _marks: Marks = field(repr=False, compare=False)

    def lines(self) -> list[str]:
        """Return what would be done, a sentence each."""
        out = [self.question]
        out += [f"where {self.where}"] if self.where else []
        for c in self.changes:
            shown = "; ".join(f"{e.id[:8]} {_said(e.before)} → {_said(e.after)}"
                              for e in c.examples[:2])  # fmt: skip
            over = f", {c.overwritten:,} of them had a value" if c.overwritten else ""
            out.append(f"{c.field} changes in {c.rows:,} records{over}: {shown}")
        if self.records > self.changed:
            out.append(f"{self.records - self.changed:,} are so already")
        if self.missing:
            out.append(f"{self.counts['rows_missing']:,} ids are not in the dataset")
        return out

    def _act(self, c: Change) -> None:
        marks = self._marks
        if self.action == "tombstone":
            # Hidden from now on, not from when somebody looked.
            marks = self._marking.marks(c.merged(), marks.found)
        self._marking.stage(c, marks)

    def _filled(self, receipt: Receipt) -> Receipt:
        return with_tables(receipt, self._marks.before, self._marks.after)


def _said(value: Any) -> str:
    return "–" if value is None else str(value)[:40]


def plan_records(
    ctx: Context,
    marking: Marking,
    ids: list[str] | None,
    where: Where | None,
    *,
    verb: str,
    allow_missing: bool = False,
    actor: Actor | None = None,
    question: str = "",
) -> RecordsPlan:
    """Plan a marking of the records of some ids, or of all that a filter keeps.

    Parameters
    ----------
    verb : str
        What the button says, with ``{n}`` for the records.
    question : str
        What is asked, with ``{n}`` and ``{dataset}``; made of the verb by default.
    """
    chosen = one_of(ids, where)
    registry = ctx.registry()
    with ctx.view() as view:
        merged = Merged(view, registry, include_deleted=True)
        spaces = {TOMBSTONE_NS, STATE_NS} | (set() if chosen is None else namespaces_of(chosen))
        seen = see(view, registry, spaces)
        found, problems = _found(merged, ids, chosen, marking.action, allow_missing=allow_missing)
        marks = marking.marks(merged, found)
        touched, changes = _changes(marks)
    n, name = len(marks.found.ids), marks.namespace
    path = overlay_file(name)
    old = [o for o in seen.overlays if o[0].startswith(f"_derived/{name}")]
    told = "1 record" if n == 1 else f"{n:,} records"
    files = (FileChange("replace" if old else "add", path),) if n else ()
    return RecordsPlan(
        action=marking.action, dataset=ctx.name, button=verb.format(n=told),
        question=(question or f"{verb} in {{dataset}}?").format(n=told, dataset=ctx.name),
        counts={"rows": n, "rows_missing": len(marks.found.missing)},
        files=files, seen=seen, problems=problems,
        records=n, missing=tuple(marks.found.missing[:EXAMPLES]), changed=int(touched.sum()),
        changes=changes, where=None if chosen is None else chosen.as_line(),
        ids=tuple(marks.found.ids[: 4 * EXAMPLES]),
        _ctx=ctx, _args=marking.args, _actor=actor, _marking=marking, _marks=marks,
    )  # fmt: skip


def one_of(ids: list[str] | None, where: Where | None) -> Filter | None:
    """Return the filter if there is one; exactly one of ids and filter must be given."""
    if (ids is None) == (where is None):
        raise ValidationError("Give ids or where=, one of them", hint='where="gc > 0.7"')
    return as_filter(where)


def ids_where(ctx: Context, where: Where, action: str) -> list[str]:
    """Return the full ids that a filter keeps: hidden ones for restore, shown ones otherwise."""
    with ctx.merged(include_deleted=True) as merged:
        found, _ = _found(merged, None, as_filter(where), action, allow_missing=False)
    return found.ids


def _found(
    merged: Merged,
    ids: list[str] | None,
    where: Filter | None,
    action: str,
    *,
    allow_missing: bool,
) -> tuple[Found, tuple[Problem, ...]]:
    if where is not None:
        kept = visible(merged, where)
        live = merged.live_mask()
        if live is not None:
            kept = kept & (~live if action == "restore" else live)
        elif action == "restore":
            kept = np.zeros_like(kept)
        rows = np.flatnonzero(kept).astype(np.int64)
        return Found(merged.base_keys("id").take(pa.array(rows)).to_pylist(), rows, []), ()
    try:
        return find(merged, ids or [], allow_missing=allow_missing), ()
    except RecordNotFound as error:
        problem = Problem.of(error)
    try:
        # Shown all the same: those that are there, and how many are not.
        return find(merged, ids or [], allow_missing=True), (problem,)
    except SequencesError:
        return Found([], np.zeros(0, np.int64), []), (problem,)


def _changes(marks: Marks) -> tuple[Mask, tuple[FieldChange, ...]]:
    ids = marks.found.ids
    touched = np.zeros(len(ids), bool)
    changes = []
    for name in marks.after.schema.names:
        if name == "id":
            continue
        before = marks.before.column(name).to_pylist()
        after = marks.after.column(name).to_pylist()
        if name == "usr__deleted":
            before = [bool(b) for b in before]
        at = [i for i, (b, a) in enumerate(zip(before, after, strict=True)) if b != a]
        if not at:
            continue
        if name != "usr__deleted_at":
            touched[at] = True
        examples = tuple(CellChange(ids[i], before[i], after[i]) for i in at[:EXAMPLES])
        over = sum(before[i] not in (None, False) for i in at)
        shown = _FIELDS.get(name, name.removeprefix("usr_state__"))
        changes.append(FieldChange(shown, len(at), over, examples))
    return touched, tuple(changes)


# Undo -----------------------------------------------------------------------------------------


def plan_undo(ctx: Context, receipt: Receipt, *, actor: Actor | None = None) -> RecordsPlan:
    """Plan to take back what a receipt tells of; see :meth:`Dataset.plan_undo`."""
    before, after = receipt.before, receipt.after
    if before is None or after is None or receipt.operation_id is None:
        raise ValidationError(
            f"{receipt.action} of {receipt.dataset} cannot be undone from its receipt",
            hint="Tombstones, restores and states can.",
        )
    undoes = {"undoes": receipt.operation_id}
    rows = list(zip(before.to_pylist(), after.to_pylist(), strict=True))
    if "usr__deleted" in before.schema.names:
        ids = [b["id"] for b, a in rows if bool(b["usr__deleted"]) != bool(a["usr__deleted"])]
        if receipt.action == "tombstone":
            marking = restoring(ctx.name, ids, **undoes)
        else:
            reasons = {b["usr__deleted_reason"] for b, _ in rows}
            reason = reasons.pop() if len(reasons) == 1 else None
            marking = tombstoning(ctx.name, ids, reason=reason, **undoes)
    else:
        states = {
            b["id"]: {k.removeprefix("usr_state__"): v for k, v in b.items() if a[k] != v}
            for b, a in rows
        }
        states = {i: given for i, given in states.items() if given}
        _refuse_later_states(ctx, states, {a["id"]: a for _, a in rows})
        ids = list(states)
        marking = state_by_record(states, **undoes)
    if not ids:
        raise ValidationError("It changed nothing, so there is nothing to undo")
    return plan_records(ctx, marking, ids, None, verb="Undo {n}", actor=actor)


def _refuse_later_states(
    ctx: Context, states: Mapping[str, Mapping[str, Any]], set_: Mapping[str, Mapping[str, Any]]
) -> None:
    """Raise if somebody has set one of these fields again: that is not ours to take back."""
    if not states:
        return
    later = []
    for now in get_state(ctx, list(states), allow_missing=True):
        id_ = now["id"]
        for name in states[id_]:
            wrote = set_[id_][f"usr_state__{name}"]
            if now[name] != (bool(wrote) if name == "masked" else wrote):
                later.append(id_)
                break
    if later:
        raise StalePlanError(
            f"The state of {len(later):,} of these records was changed again since",
            hint=f"Look at {later[0][:8]} first; nothing was written.",
        )


def states_of(rows: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return id → fields from rows such as ``{"id": ..., "qc_status": "pass"}``."""
    out: dict[str, dict[str, Any]] = {}
    for row in rows:
        given = dict(row)
        id_ = given.pop("id", None)
        if not isinstance(id_, str) or id_ in out:
            raise ValidationError(
                "Each row needs an id of its own", hint='{"id": "...", "qc_status": "pass"}'
            )
        out[id_] = given
    return out
