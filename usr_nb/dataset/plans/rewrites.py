"""Plans of materialize and compact: what the base and the overlay files become."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from time import monotonic
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from usr_nb.contract.names import STATE_NS, TOMBSTONE_NS, check_namespace, namespace_of
from usr_nb.contract.types import type_text
from usr_nb.dataset import compaction, maintenance
from usr_nb.dataset.compaction import compact_args, is_compact, parts_to_fold
from usr_nb.dataset.context import Actor, Change, Context
from usr_nb.dataset.maintenance import Outline, Rewrite
from usr_nb.dataset.plans.plan import EXAMPLES, DatasetPlan, FileChange, size_text
from usr_nb.dataset.plans.records import CellChange
from usr_nb.dataset.plans.seen import Seen, see
from usr_nb.overlay.merge import Mask, Merged
from usr_nb.overlay.places import union_keys
from usr_nb.storage.layout import ARTIFACTS, RECORDS, SNAPSHOTS, overlay_file, overlay_folder

#: Writing takes about this many times as long as looking at the same values.
_WRITING: Final = 2.5


@dataclass(frozen=True)
class OverlayShare:
    """One namespace: its files, and what they hold.

    Attributes
    ----------
    namespace : str
    parts : int
        Overlay files.
    bytes : int
        Their size.
    columns : int
        Columns they hold.
    """

    namespace: str
    parts: int
    bytes: int
    columns: int


@dataclass(frozen=True)
class ColumnShare:
    """What happens to one column of the base.

    Attributes
    ----------
    name, type : str
    new : bool
        Whether the base does not have it yet.
    values : int
        Its cells that are not null afterwards.
    changed : int
        Cells of the base that become different; of a new column those that are not null.
    examples : tuple of CellChange
        Of cells that had another value.
    """

    name: str
    type: str
    new: bool
    values: int
    changed: int
    examples: tuple[CellChange, ...]


@dataclass(frozen=True, kw_only=True, repr=False)
class MaterializePlan(DatasetPlan):
    """What materialize would do.

    Attributes
    ----------
    overlays : tuple of OverlayShare
        The namespaces that are written into the base.
    columns : tuple of ColumnShare
        Columns of the base that overlays speak for.
    rows, dropped : int
        Rows of the base afterwards; rows that go for good.
    snapshot : bool
        Whether the base as it is now is kept.
    """

    overlays: tuple[OverlayShare, ...]
    columns: tuple[ColumnShare, ...]
    rows: int
    dropped: int
    snapshot: bool
    _wish: Rewrite = field(repr=False, compare=False)

    def lines(self) -> list[str]:
        """Return what would be done, a sentence each."""
        out = [self.question]
        out += [
            f"{o.namespace}: {_many(o.parts, 'file')}, {size_text(o.bytes)}, "
            f"{_many(o.columns, 'column')}"
            for o in self.overlays
        ]
        for c in self.columns:
            what = "new, " if c.new else ""
            out.append(f"{c.name} ({c.type}): {what}{_many(c.changed, 'cell')} "
                       f"{'changes' if c.changed == 1 else 'change'}, "
                       f"{c.values:,} of {self.rows:,} have a value")  # fmt: skip
        if self.writes:
            out.append(f"about {max(self.seconds, 0.1):.1f} s")
        return out

    def _act(self, c: Change) -> None:
        maintenance.stage_materialize(c, self._wish)


def plan_materialize(
    ctx: Context, wish: Rewrite, *, reason: str, actor: Actor | None
) -> MaterializePlan:
    """Plan a materialize; see :meth:`Dataset.plan_materialize`."""
    registry = ctx.registry()
    began = monotonic()
    with ctx.view() as view:
        plan = maintenance.outline(view, registry, wish, dataset=ctx.name)
        seen = see(view, registry, {*plan.chosen, TOMBSTONE_NS, STATE_NS})
        columns = tuple(_columns(plan)) if plan.writes else ()
    shares = tuple(_share(plan.merged, ns, seen) for ns in plan.chosen)
    spent = monotonic() - began
    snapshot = plan.writes and (wish.snapshot_before or plan.dropped > 0)
    files = tuple(_files(plan, wish, seen, snapshot=snapshot)) if plan.writes else ()
    retired = 0 if wish.keep_overlays and not wish.archive_overlays else sum(
        s.parts for s in shares
    )  # fmt: skip
    changed = sum(c.changed for c in columns)
    return MaterializePlan(
        action="materialize", dataset=ctx.name, seen=seen, seconds=spent * _WRITING,
        button=f"Write {_many(len(columns), 'column')} into the base",
        question=(
            f"Write {_many(changed, 'changed cell')} of {_many(len(columns), 'column')} into the "
            f"base of {ctx.name} ({_many(plan.rows, 'row')})?"
        ),
        counts={"rows": plan.rows, "columns": len(plan.columns), "rows_dropped": plan.dropped,
                "files_retired": retired if plan.writes else 0},
        files=files, warnings=tuple(_warnings(plan, wish)),
        overlays=shares, columns=columns, rows=plan.rows, dropped=plan.dropped,
        snapshot=snapshot, _wish=wish, _ctx=in_section(ctx, reason, actor),
        _args=wish.args, _actor=actor,
    )  # fmt: skip


def in_section(ctx: Context, reason: str, actor: Actor | None) -> Context:
    """Return a context whose maintenance section has a reason: a plan may be applied anywhere."""
    return Context(ctx.place, ctx.maintenance or maintenance.section(reason, actor))


def _share(merged: Merged, namespace: str, seen: Seen) -> OverlayShare:
    infos = merged.parts(namespace)
    sizes = {o[0]: o[1] for o in seen.overlays}
    return OverlayShare(
        namespace, len(infos), sum(sizes.get(i.file.path, 0) for i in infos),
        len({c for i in infos for c in i.columns}),
    )  # fmt: skip


def _files(plan: Outline, wish: Rewrite, seen: Seen, *, snapshot: bool) -> Iterator[FileChange]:
    overlays = sum(o[1] for o in seen.overlays if _owner(o[0]) in plan.chosen)
    yield FileChange("replace", RECORDS, 1, seen.base[0] + overlays)
    if snapshot:
        tail = "" if wish.snapshot_before else "-auto"
        yield FileChange("add", f"{SNAPSHOTS}/records-…{tail}.parquet", 1, seen.base[0])
    if plan.dropped:
        yield FileChange("add", f"{ARTIFACTS}/dropped-…-drop_deleted.parquet", 1, None)
    if wish.archive_overlays or not wish.keep_overlays:
        for ns in plan.chosen:
            mine = [o for o in seen.overlays if _owner(o[0]) == ns]
            size = sum(o[1] for o in mine)
            kind: Any = "archive" if wish.archive_overlays else "retire"
            yield FileChange(kind, f"{overlay_folder(ns)}/…", len(mine), size)


def _many(n: int, noun: str) -> str:
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def _owner(path: str) -> str:
    return path.split("/")[1].removesuffix(".parquet")


def _warnings(plan: Outline, wish: Rewrite) -> Iterator[str]:
    if not plan.writes:
        return
    yield "You rarely need this: reads already include overlays."
    if not wish.keep_overlays:
        yield "The overlay files go for good: which part set a value can no longer be told."
    if plan.dropped:
        yield f"{plan.dropped:,} deleted records go for good; a snapshot of the base stays."


def _columns(plan: Outline) -> Iterator[ColumnShare]:
    merged = plan.merged
    spoken = {c for ns in plan.chosen for p in merged.parts(ns) for c in p.columns}
    names = [n for n in plan.columns if n in spoken]
    there = [n for n in names if n in merged.base_schema.names]
    values, changed = dict.fromkeys(names, 0), dict.fromkeys(names, 0)
    examples: dict[str, list[CellChange]] = {n: [] for n in names}
    start = 0
    plain = merged.base_batches(["id", *there])
    for after, before in zip_longest(merged.batches(names), plain):
        n = len(before)
        mask = None if plan.live is None else plan.live[start : start + n]
        start += n
        for name in names:
            now, old = after.column(name), before.column(name) if name in there else None
            differs = unlike(old, now)
            if mask is not None:
                differs &= mask
            valid = np.asarray(now.is_valid().to_numpy(zero_copy_only=False), bool)
            values[name] += int((valid if mask is None else valid & mask).sum())
            changed[name] += int(differs.sum())
            room = EXAMPLES - len(examples[name])
            if old is not None and room > 0:
                for i in np.flatnonzero(differs)[:room].tolist():
                    cell = CellChange(before.column("id")[i].as_py(), old[i].as_py(),
                                      now[i].as_py())  # fmt: skip
                    examples[name].append(cell)
    for name in names:
        kind = type_text(merged.field(name).type)
        yield ColumnShare(name, kind, name not in there, values[name], changed[name],
                          tuple(examples[name]))  # fmt: skip


def unlike(before: pa.Array | None, after: pa.Array) -> Mask:
    """Return which cells are not the same; NaN is NaN."""
    valid = np.asarray(after.is_valid().to_numpy(zero_copy_only=False), bool)
    if before is None:
        return valid
    if before.equals(after):
        return np.zeros(len(after), bool)
    if pa.types.is_nested(after.type):
        pairs = zip(before.to_pylist(), after.to_pylist(), strict=True)
        return np.array([repr(b) != repr(a) for b, a in pairs], bool)
    had = np.asarray(before.is_valid().to_numpy(zero_copy_only=False), bool)
    other = pc.fill_null(pc.not_equal(before, after), False)
    differs = np.asarray(other.to_numpy(zero_copy_only=False), bool)
    if pa.types.is_floating(after.type):
        both = pc.and_(pc.is_nan(_wide(before)), pc.is_nan(_wide(after)))
        differs &= ~np.asarray(pc.fill_null(both, False).to_numpy(zero_copy_only=False), bool)
    return np.asarray(differs | (had != valid), bool)


def _wide(values: pa.Array) -> pa.Array:
    return values.cast(pa.float64()) if pa.types.is_float16(values.type) else values


# Compact ----------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, repr=False)
class CompactPlan(DatasetPlan):
    """What compact_overlay would do; reads give the same before and after.

    Attributes
    ----------
    namespace : str
    parts : int
        Overlay files now.
    bytes : int
        Their size.
    rows : int
        Keys of the one file afterwards.
    columns : tuple of str
        Its columns.
    """

    namespace: str
    parts: int
    bytes: int
    rows: int
    columns: tuple[str, ...]
    _single_file: bool = field(repr=False, compare=False)

    def lines(self) -> list[str]:
        """Return what would be done, a sentence each."""
        listed = ", ".join(self.columns)
        return [self.question, f"{self.parts:,} files of {size_text(self.bytes)}: {listed}"]

    def _act(self, c: Change) -> None:
        compaction.stage_compact(c, self.namespace, single_file=self._single_file)


def plan_compact(
    ctx: Context, namespace: str, *, single_file: bool, reason: str, actor: Actor | None
) -> CompactPlan:
    """Plan a compaction; see :meth:`Dataset.plan_compact`."""
    check_namespace(namespace)
    registry = ctx.registry()
    began = monotonic()
    with ctx.view() as view:
        merged = Merged(view, registry, include_overlays=[namespace], include_deleted=True)
        infos = parts_to_fold(merged, namespace, dataset=ctx.name)
        seen = see(view, registry, {namespace})
        done = is_compact(infos, single_file=single_file)
        rows = infos[0].rows if done else len(union_keys(view, infos))
        columns = _in_order(merged, namespace, [c for i in infos for c in i.columns])
    size = sum(o[1] for o in seen.overlays)
    to = overlay_file(namespace) if single_file else f"{overlay_folder(namespace)}/part-….parquet"
    files = () if done else (
        FileChange("add", to, 1, size),
        FileChange("archive", f"{overlay_folder(namespace)}/…", len(infos), size),
    )  # fmt: skip
    return CompactPlan(
        action="compact_overlay", dataset=ctx.name, seen=seen,
        seconds=(monotonic() - began) * _WRITING,
        button=f"Compact {len(infos):,} files of {namespace}",
        question=f"Rewrite {len(infos):,} files of {namespace} in {ctx.name} into one of "
                 f"{rows:,} rows? Reads stay the same.",
        counts={"files_before": len(infos), "rows": rows}, files=files,
        namespace=namespace, parts=len(infos), bytes=size, rows=rows, columns=columns,
        _single_file=single_file, _ctx=in_section(ctx, reason, actor),
        _args=compact_args(namespace, single_file=single_file), _actor=actor,
    )  # fmt: skip


def _in_order(merged: Merged, namespace: str, held: Sequence[str]) -> tuple[str, ...]:
    there = {h for h in held if namespace_of(h) == namespace}
    return tuple(c.name for c in merged.registry.entry(namespace).columns if c.name in there)
