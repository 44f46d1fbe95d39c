"""``merge_datasets``: rows of one dataset into another of the same root (contract MNT-2)."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal, get_args

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from usr_nb.contract.essentials import ESSENTIALS
from usr_nb.contract.names import check_namespace, namespace_of
from usr_nb.contract.order import next_created_at
from usr_nb.contract.types import same_type
from usr_nb.dataset.context import Actor, Change, Context, change
from usr_nb.dataset.maintenance import section, snapshot_of_base
from usr_nb.dataset.revival import silence_revived
from usr_nb.errors import DuplicateIDError, NamespaceError, SchemaError, ValidationError, some
from usr_nb.overlay.cast import cast_column
from usr_nb.overlay.lookup import base_column, normal_keys
from usr_nb.overlay.merge import Merged
from usr_nb.overlay.parts import new_part_time
from usr_nb.storage import roots
from usr_nb.storage.layout import RECORDS, real_path
from usr_nb.storage.parquet import with_metadata, write_batches

IfDuplicate = Literal["error", "skip", "prefer-src", "prefer-dest"]
ColumnMode = Literal["require-same-columns", "union-columns"]
CoerceOverlap = Literal["to-dest", "none"]
_SHOWN: Final = 5
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class MergeResult:
    """What a merge did, or would do.

    Attributes
    ----------
    rows_src, rows_added : int
        Live rows of the source; those appended to the destination.
    duplicates_total : int
        Rows of the source whose id the destination, or an earlier row of the source, has.
    casefold_skipped : int
        Rows left out because their letters, ignoring case, are there under another id.
    cells_filled, cells_replaced : int
        Derived cells of duplicates that were null and got a value, or got another value.
    columns_added : list of str
        Columns that the destination's base did not have.
    carried : dict of str to int
        Namespace → rows of its new part.
    dry_run : bool
        Whether nothing was written.
    """

    rows_src: int
    rows_added: int
    duplicates_total: int
    casefold_skipped: int
    cells_filled: int = 0
    cells_replaced: int = 0
    columns_added: list[str] = field(default_factory=list)
    carried: dict[str, int] = field(default_factory=dict)
    dry_run: bool = False


@dataclass(frozen=True)
class Policy:
    """How a merge decides."""

    if_duplicate: IfDuplicate
    columns: ColumnMode
    coerce_overlap: CoerceOverlap
    avoid_casefold_dups: bool
    carry: tuple[str, ...]


def merge_datasets(
    root: str | os.PathLike[str],
    *,
    dest: str,
    src: str,
    columns: ColumnMode = "union-columns",
    if_duplicate: IfDuplicate = "skip",
    coerce_overlap: CoerceOverlap = "to-dest",
    avoid_casefold_dups: bool = True,
    carry_namespace: str | Sequence[str] = (),
    dry_run: bool = False,
    actor: Actor | None = None,
) -> MergeResult:
    """Append the rows of dataset `src` that `dest` has not; an automatic snapshot is taken first.

    Tombstoned rows of the source are not merged. Values of the source's base columns travel with
    its rows; overlay values only for the namespaces in `carry_namespace`.

    Parameters
    ----------
    root : path
        The root of both datasets.
    dest, src : str
        Dataset ids.
    columns : {"union-columns", "require-same-columns"}
        Fill columns that one side lacks with nulls, or refuse.
    if_duplicate : {"skip", "error", "prefer-src", "prefer-dest"}
        What to do about ids that both have: keep dest's row (``prefer-dest`` also fills its null
        derived cells from the source); ``prefer-src`` lets the source's derived values win,
        never its essentials. A null of the source replaces nothing.
    coerce_overlap : {"to-dest", "none"}
        Cast columns that both have to the destination's type, or refuse other types.
    avoid_casefold_dups : bool
        Leave out rows whose letters, ignoring case, are there already.
    carry_namespace : str or sequence of str
        Namespaces whose merged values (overlays included) come along, as new overlay parts.
    dry_run : bool
        Only say what would happen.

    Raises
    ------
    DatasetNotFound, SchemaError, DuplicateIDError, ValidationError
        Nothing was merged.
    """
    base = real_path(root)
    carry = (carry_namespace,) if isinstance(carry_namespace, str) else tuple(carry_namespace)
    for ns in carry:
        check_namespace(ns)
    policy = Policy(if_duplicate, columns, coerce_overlap, avoid_casefold_dups, carry)
    _check_policy(policy)
    into, other = Context(roots.resolve(base, dest)), Context(roots.resolve(base, src))
    if into.layout.dir.resolve() == other.layout.dir.resolve():
        raise ValidationError("A dataset cannot be merged into itself")
    into.maintenance = section("merge", actor)
    if dry_run:
        with into.view() as view, other.view() as source_view:
            registry = into.registry()
            plan = Plan(
                Merged(view, registry, include_deleted=True),
                Merged(source_view, registry, include_deleted=True),
                policy,
            )
            carried = {ns: part.table.num_rows for ns, part in plan.parts().items()}
            return plan.result(dry_run=True, carried=carried)
    args = {
        "dest": into.name, "src": other.name, "columns": columns, "if_duplicate": if_duplicate,
        "coerce_overlap": coerce_overlap, "avoid_casefold_dups": avoid_casefold_dups,
        "carry_namespace": list(carry),
    }  # fmt: skip

    def build(c: Change) -> MergeResult:
        with other.view() as source_view:
            source = Merged(source_view, c.registry, include_deleted=True)
            plan = Plan(c.merged(), source, policy)
            return _write(c, plan, other.name, args)

    return change(into, "merge_datasets", build, args=args, actor=actor)


def _check_policy(policy: Policy) -> None:
    for name, value, known in (
        ("if_duplicate", policy.if_duplicate, get_args(IfDuplicate)),
        ("columns", policy.columns, get_args(ColumnMode)),
        ("coerce_overlap", policy.coerce_overlap, get_args(CoerceOverlap)),
    ):
        if value not in known:
            raise ValidationError(
                f"{name} {str(value)[:40]!r} is not known", hint=f"Use one of {', '.join(known)}."
            )


class Plan:
    """Which rows and cells of the source go where. Reads, writes nothing."""

    def __init__(self, dest: Merged, source: Merged, policy: Policy) -> None:
        self.dest, self.source, self.policy = dest, source, policy
        self._check_columns()
        live = source.live_mask()
        rows = np.arange(source.base_rows, dtype=np.int64)
        self.rows: Rows = rows if live is None else rows[live]
        ids = source.base_keys("id").take(pa.array(self.rows))
        at = pc.fill_null(pc.index_in(ids, value_set=dest.base_keys("id").combine_chunks()), -1)
        self.dest_rows: Rows = np.asarray(at.to_numpy(), np.int64)
        repeats = _repeats(ids)
        self.duplicates = (self.dest_rows >= 0) | repeats
        self.patched = (self.dest_rows >= 0) & ~repeats
        if policy.if_duplicate == "error" and self.duplicates.any():
            self._raise_duplicates(ids)
        none = np.zeros(len(self.rows), bool)
        self.casefold = self._casefold() if policy.avoid_casefold_dups else none
        self.new: Rows = self.rows[~self.duplicates & ~self.casefold]
        self.patches = list(self._patches())

    def _check_columns(self) -> None:
        mine, theirs = self.dest.base_schema, self.source.base_schema
        only = [n for n in mine.names if n not in theirs.names]
        extra = [n for n in theirs.names if n not in mine.names]
        if self.policy.columns == "require-same-columns" and (only or extra):
            raise SchemaError(
                f"The datasets have different columns: {some([*only, *extra])}",
                hint="Merge with --union-columns to fill missing columns with nulls.",
            )
        strict = self.policy.columns == "require-same-columns"
        strict = strict or self.policy.coerce_overlap == "none"
        for n in mine.names:
            if n not in theirs.names or not strict:
                continue
            here, there = mine.field(n).type, theirs.field(n).type
            if not same_type(here, there):
                raise SchemaError(
                    f"Column '{n}' is {here} here and {there} in the source",
                    hint="Merge with --coerce-overlap to-dest.",
                )
        for ns in self.policy.carry:
            if not any(namespace_of(n) == ns for n in self.source.schema.names):
                raise NamespaceError(f"The source has no values of namespace '{ns}' to carry")
        self._extra = [n for n in extra if namespace_of(n) not in self.policy.carry]

    @property
    def columns_added(self) -> list[str]:
        """Columns that the base gets; without new rows it stays as it is."""
        return self._extra if len(self.new) else []

    def _raise_duplicates(self, ids: pa.ChunkedArray) -> None:
        at = np.flatnonzero(self.duplicates)
        shown = ids.take(pa.array(at[:_SHOWN])).to_pylist()
        groups = [
            {"id": i, "count": 1, "rows": [int(self.rows[r]) + 1], "sequence": ""}
            for i, r in zip(shown, at.tolist(), strict=False)
        ]
        raise DuplicateIDError(
            f"{len(at):,} ids of the source are in the destination already: "
            f"{some(i[:8] for i in shown)}",
            hint="Merge with --if-duplicate skip, prefer-src or prefer-dest.",
            groups=groups,
        )

    def _casefold(self) -> npt.NDArray[np.bool_]:
        """Return which rows repeat letters of the destination, or of an earlier new row."""
        mine, theirs = _folded(self.dest), _folded(self.source).take(pa.array(self.rows))
        known = np.asarray(pc.is_in(theirs, value_set=mine.combine_chunks()).to_numpy(), bool)
        again = np.zeros(len(self.rows), bool)
        candidates = np.flatnonzero(~self.duplicates & ~known)
        codes = theirs.take(pa.array(candidates)).combine_chunks().dictionary_encode().indices
        _, first = np.unique(np.asarray(codes.to_numpy(zero_copy_only=False)), return_index=True)
        again[np.delete(candidates, first)] = True
        return (known | again) & ~self.duplicates

    def derived(self, rows: Rows, names: Sequence[str]) -> pa.Table:
        """Return derived cells of source rows: merged for carried namespaces, else the base's."""
        plain = Merged(
            self.source.view,
            self.source.registry,
            include_overlays=list(self.policy.carry),
            include_deleted=True,
        )
        return plain.take(rows, names)

    def carried_columns(self, namespace: str) -> list[str]:
        """Return the source's columns of a namespace."""
        return [n for n in self.source.schema.names if namespace_of(n) == namespace]

    def _patches(self) -> Iterator[Patch]:
        """Yield, per namespace, the cells of duplicates that change."""
        if self.policy.if_duplicate in ("skip", "error") or not self.patched.any():
            return
        names = [n for n in self.source.base_schema.names if n not in ESSENTIALS]
        names += [n for ns in self.policy.carry for n in self.carried_columns(ns)]
        names = list(dict.fromkeys(names))
        if not names:
            return
        theirs = self.derived(self.rows[self.patched], names)
        at = self.dest_rows[self.patched]
        there = [n for n in names if n in self.dest.schema.names]
        mine = self.dest.take(at, there)
        for ns in sorted({ns for n in names if (ns := namespace_of(n))}):
            patch = Patch(ns, at)
            for n in [c for c in names if namespace_of(c) == ns]:
                values = self.cast(theirs.column(n), n)
                has = np.asarray(values.is_valid().to_numpy(), bool)
                had = np.zeros(len(at), bool)
                if n in there:
                    had = np.asarray(mine.column(n).is_valid().to_numpy(), bool)
                    same = _equal(mine.column(n), values)
                    has = has & ~same
                if self.policy.if_duplicate == "prefer-dest":
                    has = has & ~had
                patch.add(n, values, has, had)
            if patch.cells:
                yield patch

    def cast(self, values: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
        """Return the source's cells in the destination's type."""
        ns = namespace_of(name)
        if name in self.dest.base_schema.names:
            target = self.dest.base_schema.field(name).type
        else:
            target = self.dest.registry.column(ns or "", name).arrow_type
        return cast_column(values, target, name=name, parse_json=False, where="source")

    def parts(self) -> dict[str, Part]:
        """Return the overlay part that each namespace gets."""
        patches = {p.namespace: p for p in self.patches}
        spaces = sorted(set(patches) | set(self.policy.carry))
        found = {ns: _make_part(self, ns, patches.get(ns)) for ns in spaces}
        return {ns: part for ns, part in found.items() if part is not None}

    def result(self, *, dry_run: bool, carried: dict[str, int]) -> MergeResult:
        """Return the counts."""
        return MergeResult(
            rows_src=len(self.rows),
            rows_added=len(self.new),
            duplicates_total=int(self.duplicates.sum()),
            casefold_skipped=int(self.casefold.sum()),
            cells_filled=sum(p.filled for p in self.patches),
            cells_replaced=sum(p.replaced for p in self.patches),
            columns_added=self.columns_added,
            carried=carried,
            dry_run=dry_run,
        )


class Patch:
    """Changed cells of one namespace, over base rows of the destination."""

    def __init__(self, namespace: str, rows: Rows) -> None:
        self.namespace, self.rows = namespace, rows
        self.cells: dict[str, tuple[pa.ChunkedArray, npt.NDArray[np.bool_]]] = {}
        self.filled = self.replaced = 0

    def add(
        self,
        name: str,
        values: pa.ChunkedArray,
        changed: npt.NDArray[np.bool_],
        had: npt.NDArray[np.bool_],
    ) -> None:
        """Take in one column; columns without a change are left out."""
        if changed.any():
            self.cells[name] = (values, changed)
            self.filled += int((changed & ~had).sum())
            self.replaced += int((changed & had).sum())


def _folded(merged: Merged) -> pa.ChunkedArray:
    kinds = pa.chunked_array([b.column(0) for b in merged.base_batches(["bio_type"])], pa.string())
    return pc.binary_join_element_wise(kinds, pc.utf8_upper(merged.base_keys("sequence")), "|")


def _equal(a: pa.ChunkedArray, b: pa.ChunkedArray) -> npt.NDArray[np.bool_]:
    """Say which cells are the same value; NaN is the same as NaN."""
    if not (pa.types.is_nested(a.type) or pa.types.is_floating(a.type)):
        return np.asarray(pc.fill_null(pc.equal(a, b.cast(a.type)), False).to_numpy(), bool)
    pairs = zip(a.to_pylist(), b.cast(a.type).to_pylist(), strict=True)
    return np.array([_same(x, y) for x, y in pairs], bool)


def _same(x: Any, y: Any) -> bool:
    if isinstance(x, list) and isinstance(y, list):
        return len(x) == len(y) and all(map(_same, x, y))
    if isinstance(x, dict) and isinstance(y, dict):
        return x.keys() == y.keys() and all(_same(x[k], y[k]) for k in x)
    if isinstance(x, float) and isinstance(y, float) and math.isnan(x):
        return math.isnan(y)
    return bool(x == y)


def _repeats(keys: pa.ChunkedArray) -> npt.NDArray[np.bool_]:
    """Return which keys repeat an earlier one."""
    codes = keys.combine_chunks().dictionary_encode().indices.to_numpy(zero_copy_only=False)
    again = np.ones(len(codes), bool)
    again[np.unique(codes, return_index=True)[1]] = False
    return again


# Writing ---------------------------------------------------------------------------------------


def _write(c: Change, plan: Plan, source: str, args: dict[str, Any]) -> MergeResult:
    parts = plan.parts()
    result = plan.result(
        dry_run=False, carried={ns: part.table.num_rows for ns, part in parts.items()}
    )
    if not len(plan.new) and not parts:
        return result
    snapshot = snapshot_of_base(c, auto=True)
    times: dict[str, datetime] = {}
    if len(plan.new):
        _write_base(c, plan)
        added = plan.source.base_rows_of(plan.new, ["id", "sequence"])
        times = silence_revived(c, plan.dest, added.to_batches())
    for ns, part in parts.items():
        at = new_part_time(plan.dest.parts(ns) if ns in c.view.overlays else [])
        c.stage_overlay(
            ns,
            key=part.key,
            created_at=next_created_at(at, times.get(ns)),
            schema=part.table.schema,
            batches=[part.table],
            unspoken=part.unspoken,
            total=part.table.num_rows,
        )
    c.record(
        "merge_datasets",
        metrics={
            "rows_src": result.rows_src, "rows_added": result.rows_added,
            "duplicates_total": result.duplicates_total,
            "casefold_skipped": result.casefold_skipped, "cells_filled": result.cells_filled,
            "cells_replaced": result.cells_replaced,
        },
        title=f"merged {result.rows_added:,} rows of {source}",
        command=_command(c.ctx.name, source, args),
        artifacts={"snapshot": snapshot},
    )  # fmt: skip
    return result


def _command(dest: str, source: str, args: dict[str, Any]) -> list[str]:
    command = ["usr", "maintenance", "merge", "--dest", dest, "--src", source]
    command += [f"--{args['columns']}", "--if-duplicate", args["if_duplicate"]]
    command += ["--coerce-overlap", args["coerce_overlap"]]
    command += [] if args["avoid_casefold_dups"] else ["--no-avoid-casefold-dups"]
    return command + [w for ns in args["carry_namespace"] for w in ("--carry-namespace", ns)]


def _write_base(c: Change, plan: Plan) -> None:
    mine = plan.dest.base_schema
    fields = [*mine, *(plan.source.base_schema.field(n) for n in plan.columns_added)]
    schema = pa.schema(fields)
    theirs = [
        n for n in schema.names
        if n in plan.source.base_schema.names and namespace_of(n) not in plan.policy.carry
    ]  # fmt: skip

    def batches() -> Iterator[pa.RecordBatch | pa.Table]:
        for batch in plan.dest.base_batches(mine.names):
            yield _spread(pa.Table.from_batches([batch]), schema)
        for start in range(0, len(plan.new), 65_536):
            rows = plan.new[start : start + 65_536]
            taken = plan.source.base_rows_of(rows, theirs)
            columns = {
                n: taken.column(n) if n in ESSENTIALS else plan.cast(taken.column(n), n)
                for n in theirs
            }
            yield _spread(pa.table(columns), schema)

    with c.stage.file(RECORDS) as sink:
        total = plan.dest.base_rows + len(plan.new)
        write_batches(sink, with_metadata(schema, c.base_metadata()), batches(), total=total)


def _spread(table: pa.Table, schema: pa.Schema) -> pa.Table:
    columns = [
        table.column(f.name) if f.name in table.schema.names else pa.nulls(table.num_rows, f.type)
        for f in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)


@dataclass(frozen=True)
class Part:
    """One overlay part to write, and the cells of it that say nothing."""

    table: pa.Table
    key: str
    unspoken: dict[str, npt.NDArray[np.bool_]]


def _make_part(plan: Plan, ns: str, patch: Patch | None) -> Part | None:
    """Return one part with the carried cells of new rows and the changed cells of duplicates.

    Where rows share a key (letters in any case), the destination's row and the first one speak.
    """
    carry = ns in plan.policy.carry and len(plan.new) > 0
    names = plan.carried_columns(ns) if carry else []
    names += [n for n in (patch.cells if patch else {}) if n not in names]
    if not names:
        return None
    infos = plan.dest.parts(ns) if ns in plan.dest.view.overlays else []
    key = infos[0].key if infos else "id"
    source_column = base_column(key)
    keys: list[Any] = []
    cells: dict[str, list[Any]] = {n: [] for n in names}
    silent: dict[str, list[npt.NDArray[np.bool_]]] = {n: [] for n in names}
    if carry:
        keys += plan.source.base_rows_of(plan.new, [source_column]).column(0).chunks
        values = plan.derived(plan.new, plan.carried_columns(ns))
        for n in names:
            there = n in values.schema.names
            column = plan.cast(values.column(n), n) if there else _nulls(plan, n, len(plan.new))
            cells[n] += column.chunks
            silent[n].append(np.full(len(plan.new), not there))
    if patch is not None:
        touched = np.logical_or.reduce([changed for _, changed in patch.cells.values()])
        at = pa.array(np.flatnonzero(touched))
        dest_rows = patch.rows[touched]
        keys += plan.dest.base_rows_of(dest_rows, [source_column]).column(0).chunks
        for n in names:
            if n in patch.cells:
                column, changed = patch.cells[n][0].take(at), patch.cells[n][1][touched]
            else:
                column, changed = _nulls(plan, n, len(at)), np.zeros(len(at), bool)
            cells[n] += column.chunks
            silent[n].append(~changed)
    normal = normal_keys(pa.chunked_array(keys, pa.string()), key)
    speaks = ~_repeats(normal)
    if carry and key != "id":
        mine = normal_keys(plan.dest.base_keys(source_column), key).combine_chunks()
        known = np.asarray(pc.is_in(normal, value_set=mine).to_numpy(), bool)
        speaks &= ~(known & (np.arange(len(known)) < len(plan.new)))
    if not speaks.any():
        return None
    table = pa.table({key: normal, **{n: pa.chunked_array(cells[n]) for n in names}})
    unspoken = {n: np.concatenate(silent[n])[speaks] for n in names}
    return Part(table.filter(pa.array(speaks)), key, unspoken)


def _nulls(plan: Plan, name: str, n: int) -> pa.ChunkedArray:
    dtype = plan.dest.registry.column(namespace_of(name) or "", name).arrow_type
    return pa.chunked_array([pa.nulls(n, dtype)])
