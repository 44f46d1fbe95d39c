"""The plan of attach: what matches, what is wrong, what would be overwritten and registered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import monotonic
from typing import Any, Final

import numpy as np
import pyarrow as pa

from usr_nb.contract.names import check_namespace
from usr_nb.contract.registry import Column, Registry
from usr_nb.contract.types import parse_type, type_text
from usr_nb.dataset import overlays
from usr_nb.dataset.context import Change, Context
from usr_nb.dataset.overlays import Looked, Request, Written
from usr_nb.dataset.plans.badcells import BadCell, bad_cells
from usr_nb.dataset.plans.plan import EXAMPLES, Cancel, DatasetPlan, FileChange, Problem
from usr_nb.dataset.plans.seen import Source, see, source_of
from usr_nb.dataset.registration import add_columns, with_columns
from usr_nb.errors import (
    DuplicateIDError,
    NamespaceError,
    SequencesError,
    StalePlanError,
    join_hints,
    some,
)
from usr_nb.overlay.attach import Wish
from usr_nb.overlay.matching import (
    SAMPLE_MISSES,
    KeyChoice,
    Miss,
    key_choices,
    why_missed,
)
from usr_nb.overlay.merge import Merged
from usr_nb.overlay.propose import propose_type
from usr_nb.readers import Rows
from usr_nb.storage.layout import overlay_folder
from usr_nb.storage.parquet import packed_bytes
from usr_nb.storage.view import View

_BYTES_PER_S: Final = 60e6


@dataclass(frozen=True)
class ColumnPlan:
    """One column of the input.

    Attributes
    ----------
    source : str
        Its name there.
    name : str
        The column that it becomes.
    type : str
        Registered, or proposed from the cells.
    registered : bool
        Whether the registry has it already.
    held : bool
        Whether records have values in it already.
    blank : int
        Its empty cells.
    """

    source: str
    name: str
    type: str
    registered: bool
    held: bool
    blank: int


@dataclass(frozen=True)
class Unmatched:
    """A row that found no record.

    Attributes
    ----------
    row : int or None
        1-based; None where repeated keys were folded.
    key : str
    why : str
    """

    row: int | None
    key: str
    why: str


@dataclass(frozen=True)
class Repeat:
    """A key that stands in several rows (1-based)."""

    key: str
    count: int
    rows: tuple[int, ...]


@dataclass(frozen=True)
class Overwrite:
    """A value that would give way to another one; `after` None unsets it."""

    id: str
    column: str
    before: Any
    after: Any


@dataclass(frozen=True, kw_only=True, repr=False)
class AttachPlan(DatasetPlan):
    """What attach would do: one new part, nothing rewritten.

    Attributes
    ----------
    source, format : str
        What is attached.
    namespace, key, key_col : str
    match : str or None
    columns : tuple of ColumnPlan
    incoming, matched, missing : int
        Rows of the input; those that found a record; those that did not.
    new, overwritten, unset : int
        Records that get their first value, another value, or lose one.
    choices : tuple of KeyChoice
        Ways of matching, the best first.
    unmatched : tuple of Unmatched
        Examples.
    misses : tuple of Miss
        Why rows miss, of the first 2,000 that do.
    repeats : tuple of Repeat
        Examples of keys that stand in several rows.
    bad_cells : tuple of BadCell
        Cells that their column's type cannot hold.
    overwrites : tuple of Overwrite
        Examples of values that give way.
    registers : tuple of Column
        Columns that are registered as part of the plan.
    new_namespace : bool
        Whether the namespace is registered with them.
    """

    source: str
    format: str
    namespace: str
    key: str
    key_col: str
    match: str | None
    columns: tuple[ColumnPlan, ...]
    incoming: int
    matched: int
    missing: int
    new: int
    overwritten: int
    unset: int
    choices: tuple[KeyChoice, ...]
    unmatched: tuple[Unmatched, ...]
    misses: tuple[Miss, ...]
    repeats: tuple[Repeat, ...]
    bad_cells: tuple[BadCell, ...]
    overwrites: tuple[Overwrite, ...]
    registers: tuple[Column, ...]
    new_namespace: bool
    _request: Request = field(repr=False, compare=False)
    _looked: Looked | None = field(repr=False, compare=False)
    _owner: tuple[str | None, str | None] = field(default=(None, None), repr=False, compare=False)

    def lines(self) -> list[str]:
        """Return what would be done, a sentence each."""
        by = self.match or self.key
        where = f"matched by {by} (column '{self.key_col}')"
        out = [self.question, f"{self.source}: {self.incoming:,} rows, {where}"]
        if self.choices:
            out.append("matches: " + " · ".join(c.label for c in self.choices[:5]))
        for c in self.columns:
            state = "" if c.registered else ", to be registered"
            blank = f", {c.blank:,} empty" if c.blank else ""
            out.append(f"{c.source} → {c.name} ({c.type}{state}{blank})")
        out += [f"unmatched: {m.rows:,} {m.why} (such as {m.example[:24]})" for m in self.misses]
        out += [f"row {b.row}: {b.column} is {b.value}: {b.why}" for b in self.bad_cells]
        out += [f"{o.id[:8]} {o.column}: {str(o.before)[:24]} → {str(o.after)[:24]}"
                for o in self.overwrites]  # fmt: skip
        return out

    def _act(self, c: Change) -> None:
        assert self._looked is not None  # noqa: S101 - a plan without it has problems
        if self.registers:
            c.registry = self._grown(c.registry)
        overlays.stage_part(c, self._request, self._looked)

    def _grown(self, registry: Registry) -> Registry:
        owner, description = self._owner
        return with_columns(registry, self.namespace, self.registers,
                            owner=owner, description=description)  # fmt: skip

    def _last_look(self, c: Change, cancel: Cancel | None) -> None:
        super()._last_look(c, cancel)
        if not self.registers:
            return
        # Last of all: a plan that is cancelled or refused leaves no registration behind.
        owner, description = self._owner
        after = add_columns(c.ctx.root, self.namespace, self.registers,
                            owner=owner, description=description)  # fmt: skip
        if after.hash != c.registry.hash:
            raise StalePlanError(
                "The registry changed while the part was written",
                hint="The columns are registered; plan again to attach the rows.",
            )


@dataclass(frozen=True)
class AttachWish:
    """One call of plan_attach, beside the source.

    Attributes
    ----------
    request : Request
        What ``attach`` would ask for; its key counts only if `choose_key` is false.
    choose_key : bool
        Whether the key with the best match rate is taken.
    register : bool
        Whether missing columns are registered.
    types : mapping of str to str
        Types of columns to register, by either of their names; others are proposed.
    owner, description : str or None
        Of a namespace that is new.
    """

    request: Request
    choose_key: bool
    register: bool
    types: Mapping[str, str]
    owner: str | None = None
    description: str | None = None


class _Troubles(list[SequencesError]):
    """Collects what is wrong, so that all of it can be shown."""

    def __call__(self, error: SequencesError) -> None:
        self.append(error)


def plan_attach(ctx: Context, rows: Rows, wish: AttachWish, *, path: str | None) -> AttachPlan:
    """Plan an attach; see :meth:`Dataset.plan_attach`. `path` is the file, if it is one."""
    registry = ctx.registry()
    ns = check_namespace(wish.request.namespace)
    began = monotonic()
    source = source_of(Path(path)) if path is not None else None
    table = pa.Table.from_batches(list(rows), schema=rows.schema)
    with ctx.view() as view:
        everything = Merged(view, registry, include_deleted=True)
        choices = key_choices(table, everything)
        request = _with_key(wish, choices, table.schema.names, view, registry)
        troubles = _Troubles()
        made = _look(view, registry, table, replace(wish, request=request), troubles)
        spaces = {ns} | ({request.match.split("__")[0]} if request.match else set())
        seen = see(view, registry, spaces, source=source)
        return _assembled(ctx, view, made, seen_source=(seen, rows), choices=choices,
                          troubles=troubles, began=began)  # fmt: skip


def _with_key(
    wish: AttachWish,
    choices: Sequence[KeyChoice],
    names: Sequence[str],
    view: View,
    registry: Registry,
) -> Request:
    request = wish.request
    if not wish.choose_key:
        return request
    fixed = _namespace_key(view, registry, request.namespace)
    fitting = [c for c in choices if fixed is None or (c.key == fixed)]
    if request.key_col is not None:
        fitting = [c for c in fitting if c.column == request.key_col] or fitting
    if fitting:
        best = fitting[0]
        return _rekeyed(request, best.key, best.column, best.match)
    key = fixed or next((k for k in ("id", "sequence") if k in names), "id")
    return _rekeyed(request, key, request.key_col, None)


def attach_registering(ctx: Context, rows: Rows, request: Request) -> Written:
    """Attach, and register the columns that are missing in the same step.

    Raises
    ------
    SequencesError
        What is wrong first; nothing is attached or registered then.
    """
    wish = AttachWish(request, choose_key=False, register=True, types={})
    path = None if rows.format == "table" else rows.label
    plan = plan_attach(ctx, rows, wish, path=path)
    if plan.problems:
        raise plan.problems[0].error
    files = plan.apply().files
    return Written(plan.incoming, plan.matched, plan.missing, plan.overwritten, plan.unset,
                   files[0] if files else None)  # fmt: skip


def _namespace_key(view: View, registry: Registry, namespace: str) -> str | None:
    if namespace not in view.overlays or namespace not in registry:
        return None
    parts = Merged(view, registry, include_deleted=True).parts(namespace)
    return parts[0].key if parts else None


def _rekeyed(r: Request, key: str, key_col: str | None, match: str | None) -> Request:
    a = r.args
    return overlays.attach_request(
        r.command[2], None if a["path"] == "<table>" else a["path"], r.namespace, key=key,
        key_col=key_col, columns=r.columns, allow_overwrite=r.allow_overwrite,
        allow_missing=r.allow_missing, parse_json=r.parse_json, backend=a["backend"],
        note=a["note"], match=match, aggregate=r.aggregate, actor=r.actor, rename=r.rename,
        register=a.get("register", False),
    )  # fmt: skip


@dataclass(frozen=True)
class _Made:
    wish: AttachWish
    registry: Registry
    spec: Wish | None
    looked: Looked | None
    columns: tuple[ColumnPlan, ...]
    registers: tuple[Column, ...]
    bad: tuple[BadCell, ...]
    table: pa.Table


def _look(
    view: View, registry: Registry, table: pa.Table, wish: AttachWish, troubles: _Troubles
) -> _Made:
    request, ns = wish.request, wish.request.namespace
    label = request.args["path"]
    try:
        spec = overlays.wish_of(table.schema.names, label, request, troubles)
    except SequencesError as error:
        troubles(error)
        return _Made(wish, registry, None, None, (), (), (), table)
    missing = _missing_columns(registry, table, spec, wish, troubles)
    grown = registry
    if missing:
        grown = with_columns(registry, ns, missing)
        if not wish.register:
            troubles(_unregistered(registry, ns, missing))
    looked = None
    if ns in grown and spec.mapping and table.num_rows:
        try:
            looked = overlays.look(view, grown, table, spec, request, trouble=troubles)
        except SequencesError as error:
            troubles(error)
    held = looked.held if looked is not None else []
    columns = tuple(
        ColumnPlan(
            source,
            name,
            _type_of(grown, ns, name),
            registered=registry_has(registry, ns, name),
            held=name in held,
            blank=table.column(source).null_count,
        )
        for source, name in spec.mapping.items()
    )
    bad = tuple(
        cell
        for c in columns
        if c.type != "?" and request.aggregate is None
        for cell in bad_cells(table.column(c.source), spec, name=c.name, type_=c.type)
    )
    return _Made(wish, grown, spec, looked, columns, missing if wish.register else (), bad, table)


def registry_has(registry: Registry, namespace: str, name: str) -> bool:
    """Say whether a column is registered."""
    entry = registry.get(namespace)
    return entry is not None and entry.column(name) is not None


def _type_of(registry: Registry, namespace: str, name: str) -> str:
    entry = registry.get(namespace)
    found = entry.column(name) if entry is not None else None
    return found.type if found is not None else "?"


def _missing_columns(
    registry: Registry, table: pa.Table, spec: Wish, wish: AttachWish, troubles: _Troubles
) -> tuple[Column, ...]:
    missing = []
    for source, name in spec.mapping.items():
        if registry_has(registry, spec.namespace, name):
            continue
        field_name = name.partition("__")[2]
        given = wish.types.get(source) or wish.types.get(name) or wish.types.get(field_name)
        if given is not None:
            try:
                missing.append(Column(name, type_text(parse_type(given))))
                continue
            except SequencesError as error:
                troubles(error)
        inner = propose_type(table.column(source))
        text = f"list<{inner}>" if wish.request.aggregate == "list" else inner
        if wish.request.aggregate in ("mean", "median") and inner.startswith("int"):
            text = "float64"
        missing.append(Column(name, text))
    return tuple(missing)


def _unregistered(registry: Registry, namespace: str, missing: Sequence[Column]) -> NamespaceError:
    entry = registry.get(namespace)
    columns = (*(entry.columns if entry is not None else ()), *missing)
    spec = ",".join(f"{c.name}:{c.type}" for c in columns)
    more = " --overwrite" if entry is not None else ""
    what = some([c.name for c in missing])
    return NamespaceError(
        f"Namespace '{namespace}' is not registered"
        if entry is None
        else f"Namespace '{namespace}' has no column {what}",
        hint=join_hints(
            "Let the plan register what is missing (register=True), or:",
            f"usr namespace register {namespace} --columns {spec}{more}",
        ),
    )


def _assembled(
    ctx: Context,
    view: View,
    made: _Made,
    *,
    seen_source: tuple[Any, Rows],
    choices: tuple[KeyChoice, ...],
    troubles: _Troubles,
    began: float,
) -> AttachPlan:
    seen, rows = seen_source
    looked, request, spec = made.looked, made.wish.request, made.spec
    n = made.table.num_rows
    written = looked.written() if looked is not None else overlays.Written(n, 0, 0, 0, 0, None)
    part_rows = looked.prepared.table.num_rows if looked is not None else 0
    touched, overwrites = _overwrites(view, made.registry, looked)
    size = packed_bytes(looked.prepared.table) if looked is not None and part_rows else 0
    unmatched, misses = _unmatched(view, made, looked)
    path = f"{overlay_folder(request.namespace)}/part-….parquet"
    args = dict(request.args)
    if made.registers:
        args["register"] = {c.name: c.type for c in made.registers}
    request = replace(request, args=args)
    many = f"{part_rows:,} row{'' if part_rows == 1 else 's'}"
    new = part_rows - touched
    return AttachPlan(
        action="attach", dataset=ctx.name, seen=seen, button=f"Attach {many}",
        question=(
            f"Attach {len(made.columns)} column{'' if len(made.columns) == 1 else 's'} to "
            f"{part_rows:,} records in {ctx.name}? New {new:,} · "
            f"overwritten {written.overwritten:,} · unset {written.unset:,} · "
            f"unmatched {written.missing:,}"
        ),
        counts=overlays.metrics_of(request, written),
        files=(FileChange("add", path, 1, size),) if written.matched else (),
        problems=tuple(Problem.of(e) for e in troubles),
        warnings=_notes(made, seen.source),
        seconds=(monotonic() - began) / 2 + size / _BYTES_PER_S,
        source=request.args["path"], format=rows.format, namespace=request.namespace,
        key=spec.key if spec else request.key, key_col=spec.key_col if spec else "",
        match=request.match, columns=made.columns, incoming=n, matched=written.matched,
        missing=written.missing, new=new, overwritten=written.overwritten, unset=written.unset,
        choices=choices, unmatched=unmatched, misses=misses, repeats=_repeats(troubles),
        bad_cells=made.bad, overwrites=overwrites, registers=made.registers,
        new_namespace=bool(made.registers) and not registry_known(ctx, request.namespace),
        _request=request, _looked=looked, _owner=(made.wish.owner, made.wish.description),
        _ctx=ctx, _args=request.args, _actor=request.actor,
    )  # fmt: skip


def registry_known(ctx: Context, namespace: str) -> bool:
    """Say whether a namespace is registered."""
    return namespace in ctx.registry()


def _notes(made: _Made, source: Source | None) -> tuple[str, ...]:
    out = []
    if made.registers:
        listed = ", ".join(f"{c.name}:{c.type}" for c in made.registers)
        out.append(f"registers {listed}")
    if source is None:
        out.append("the table in memory was copied: later changes to it do not count")
    return tuple(out)


def _repeats(troubles: Sequence[SequencesError]) -> tuple[Repeat, ...]:
    return tuple(
        Repeat(g["sequence"] or g["id"], g["count"], tuple(g["rows"]))
        for e in troubles
        if isinstance(e, DuplicateIDError)
        for g in e.groups
    )


def _overwrites(
    view: View, registry: Registry, looked: Looked | None
) -> tuple[int, tuple[Overwrite, ...]]:
    """Return how many records have a value that gives way, and examples."""
    if looked is None or looked.changes is None or looked.changes.before is None:
        return 0, ()
    done, before = looked.changes, looked.changes.before
    touched = done.overwritten | done.unset
    at = np.flatnonzero(touched)[:EXAMPLES]
    base = looked.prepared.base_rows[at]
    ids = Merged(view, registry).take(base, ["id"]).column(0).to_pylist()
    found = []
    for i, id_ in zip(at.tolist(), ids, strict=True):
        for name in before.schema.names:
            old = before.column(name)[i].as_py()
            if old is not None:
                new = looked.prepared.table.column(name)[i].as_py()
                found.append(Overwrite(id_, name, old, new))
    return int(touched.sum()), tuple(found[:EXAMPLES])


def _unmatched(
    view: View, made: _Made, looked: Looked | None
) -> tuple[tuple[Unmatched, ...], tuple[Miss, ...]]:
    if looked is None or made.spec is None:
        return (), ()
    missed = np.flatnonzero(looked.prepared.found < 0)
    if len(missed) == 0:
        return (), ()
    some_rows = missed[:SAMPLE_MISSES]
    keys = [(k or "").strip() for k in looked.prepared.keys.take(pa.array(some_rows)).to_pylist()]
    merged = Merged(view, made.registry, include_overlays=False, include_deleted=True)
    key = made.spec.key if made.spec.match is None else "match"
    if key == "match":
        reasons = ["not in the dataset"] * len(keys)
        misses = [Miss("not in the dataset", len(keys), keys[0])]
    else:
        reasons, misses = why_missed(keys, merged, key)
    folded = made.spec.aggregate is not None
    shown = zip(some_rows[: 2 * EXAMPLES].tolist(), keys, reasons, strict=False)
    examples = tuple(Unmatched(None if folded else r + 1, k, w) for r, k, w in shown)
    return examples, tuple(misses)
