"""Attach, write_overlay and write_overlay_part: one new part each (contract ATT)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal

import pyarrow as pa

from usr_nb.contract.names import check_namespace
from usr_nb.contract.registry import Registry
from usr_nb.contract.types import parse_type, same_type
from usr_nb.dataset.context import Actor, Change, Context, append_part, freeze_first, is_frozen
from usr_nb.dataset.values import rename_words
from usr_nb.errors import SchemaError, ValidationError
from usr_nb.overlay.attach import (
    Aggregate,
    Changes,
    Prepared,
    Trouble,
    Wish,
    changes,
    column_map,
    default_key_col,
    held_columns,
    keys_of,
    prepare,
    refuse,
    refuse_overwrite,
)
from usr_nb.overlay.idindex import Finder
from usr_nb.overlay.kept import finder_of
from usr_nb.overlay.merge import Merged
from usr_nb.overlay.parts import Cells, new_part_time, part_metadata
from usr_nb.overlay.ranges import PlainWay, Ranges
from usr_nb.readers import Rows, open_rows
from usr_nb.storage.view import View

#: Of tables that are not longer, memory that they left is kept for what comes next.
_LONG_BYTES: Final = 64 << 20
#: An input of so many rows is not held as a whole.
LONG_ROWS: Final = 400_000
Backend = Literal["pyarrow", "duckdb"]


@dataclass(frozen=True)
class Request:
    """One call of attach, write_overlay or write_overlay_part."""

    action: Literal["attach", "write_overlay_part"]
    namespace: str
    key: str
    key_col: str | None
    columns: Sequence[str] | None
    allow_overwrite: bool
    allow_missing: bool
    parse_json: bool
    guard: bool
    args: Mapping[str, Any]
    command: Sequence[str]
    title: str | None
    actor: Actor | None
    match: str | None = None
    aggregate: Aggregate | None = None
    rename: Mapping[str, str] | None = None


@dataclass(frozen=True)
class Written:
    """What one part holds.

    Attributes
    ----------
    incoming, matched, missing : int
        Rows of the input; rows written; rows whose key the dataset has not.
    overwritten, unset : int
        Rows in which a value was replaced by another, or by null.
    path : str or None
        The new part, relative to the dataset; None if there was nothing to write.
    """

    incoming: int
    matched: int
    missing: int
    overwritten: int
    unset: int
    path: str | None


def attach_request(
    dataset: str,
    path: str | None,
    namespace: str,
    *,
    key: str,
    key_col: str | None,
    columns: Sequence[str] | None,
    allow_overwrite: bool,
    allow_missing: bool,
    parse_json: bool,
    backend: Backend,
    note: str,
    match: str | None,
    aggregate: Aggregate | None,
    actor: Actor | None,
    rename: Mapping[str, str] | None = None,
    register: bool = False,
) -> Request:
    """Return what ``attach`` asks for, as its event and its command tell it.

    `path` is None for a table in memory.
    """
    args: dict[str, Any] = {
        "path": path or "<table>",
        "namespace": namespace, "key": key, "key_col": key_col,
        "columns": list(columns) if columns is not None else None,
        "allow_overwrite": allow_overwrite, "allow_missing": allow_missing,
        "parse_json": parse_json, "backend": backend, "note": note,
    }  # fmt: skip
    args |= {"match": match} if match else {}
    args |= {"aggregate": aggregate} if aggregate else {}
    args |= {"rename": dict(rename)} if rename else {}
    args |= {"register": True} if register else {}
    command = ["usr", "attach", dataset, "--path", args["path"], "--namespace", namespace]
    command += ["--key", key] + (["--key-col", key_col] if key_col else [])
    command += ["--columns", ",".join(columns)] if columns else []
    for flag, on in (("--allow-overwrite", allow_overwrite), ("--allow-missing", allow_missing),
                     ("--no-parse-json", not parse_json)):  # fmt: skip
        command += [flag] if on else []
    command += ["--backend", backend] if backend != "pyarrow" else []
    command += ["--match", match] if match else []
    command += ["--aggregate", aggregate] if aggregate else []
    command += [*rename_words(rename), *(["--register"] if register else [])]
    return Request(
        action="attach", namespace=namespace, key=key, key_col=key_col, columns=columns,
        allow_overwrite=allow_overwrite, allow_missing=allow_missing, parse_json=parse_json,
        guard=True, args=args, command=command,
        title=note or f"attached columns of namespace {namespace}", actor=actor,
        match=match, aggregate=aggregate, rename=rename,
    )  # fmt: skip


def source_types(
    registry: Registry, namespace: str, *, aggregate: Aggregate | None = None
) -> dict[str, pa.DataType]:
    """Return the types that columns of a file are wished in, under both of their names.

    Cells that `aggregate="list"` collects are of the list's value type.
    """
    check_namespace(namespace)
    wished: dict[str, pa.DataType] = {}
    for c in registry.entry(namespace).columns:
        kind = parse_type(c.type)
        if aggregate == "list" and pa.types.is_list(kind):
            kind = kind.value_type
        wished[c.name] = wished[c.name.removeprefix(f"{namespace}__")] = kind
    return wished


def open_source(
    source: Any,
    registry: Registry,
    namespace: str,
    *,
    backend: Backend,
    parse_json: bool,
    aggregate: Aggregate | None = None,
) -> Rows:
    """Open what is to be attached; the DuckDB backend reads Parquet only (ATT-5)."""
    if backend == "pyarrow":
        return open_rows(source, types=source_types(registry, namespace, aggregate=aggregate))
    if backend != "duckdb":
        raise ValidationError(f"backend is 'pyarrow' or 'duckdb', not {str(backend)[:40]!r}")
    is_parquet = isinstance(source, str | Path) and str(source).endswith(".parquet")
    if not is_parquet or parse_json:
        raise ValidationError(
            "backend='duckdb' reads parquet files, with parse_json=False",
            hint="Add --no-parse-json, or use --backend pyarrow.",
        )
    return _duckdb_rows(Path(source))


def _duckdb_rows(path: Path) -> Rows:
    import duckdb

    from_path = open_rows(path)  # The same checks, and the same errors, as the other backend.
    schema = from_path.schema
    # Square brackets keep a path from being read as a pattern.
    literal = re.sub(r"([*?\[])", r"[\1]", str(path))
    try:
        with duckdb.connect() as con:
            con.execute("SET enable_progress_bar = false")
            relation = con.read_parquet([literal], hive_partitioning=False)
            table = relation.to_arrow_table().select(schema.names).cast(schema)
    except (duckdb.Error, pa.ArrowException, KeyError):
        # What DuckDB cannot hold is read, or refused, as without it. Of names that differ in case
        # only it renames one, and then a name is missing.
        return from_path
    return replace(from_path, batches=lambda: iter(table.to_batches()))


def wish_of(names: Sequence[str], where: str, request: Request, trouble: Trouble = refuse) -> Wish:
    """Return which columns of a source are attached, and by what its rows are matched."""
    ns = check_namespace(request.namespace)
    key = request.key if request.match is None else "id"
    key_col = default_key_col(
        names, request.key_col or request.match or request.key, request.key, where
    )
    mapping = column_map(
        names, ns, key_col, request.columns, where, rename=request.rename, trouble=trouble
    )
    return Wish(
        namespace=ns,
        key=key,
        key_col=key_col,
        mapping=mapping,
        allow_missing=request.allow_missing,
        parse_json=request.parse_json,
        where=where,
        match=request.match,
        aggregate=request.aggregate,
    )


@dataclass(frozen=True)
class Looked:
    """What attaching a table to a view would do.

    Attributes
    ----------
    prepared : Prepared
        The part.
    held : list of str
        Its columns that have values already.
    changes : Changes or None
        What it does to those values; None where nobody counts.
    """

    prepared: Prepared
    held: list[str]
    changes: Changes | None

    def written(self, path: str | None = None) -> Written:
        """Return the counts."""
        p, done = self.prepared, self.changes
        if p.matched == 0 or done is None:
            return Written(p.incoming, p.matched, p.missing, 0, 0, path)
        overwritten, unset = int(done.overwritten.sum()), int(done.unset.sum())
        return Written(p.incoming, p.matched, p.missing, overwritten, unset, path)


def look(
    view: View,
    registry: Registry,
    table: pa.Table,
    wish: Wish,
    request: Request,
    *,
    trouble: Trouble = refuse,
) -> Looked:
    """Match and cast a table against a view; nothing is written."""
    ns = wish.namespace
    spaces: bool | list[str] = [ns] if wish.match is None else True
    merged = Merged(view, registry, include_overlays=spaces, include_deleted=True)
    parts = merged.parts(ns) if ns in view.overlays else []
    prepared = prepare(table, wish, merged=merged, parts=parts, registry=registry, trouble=trouble)
    if not request.guard:
        return Looked(prepared, [], None)
    held = held_columns(merged, parts, prepared.columns)
    if not request.allow_overwrite:
        try:
            refuse_overwrite(held, ns)
        except ValidationError as error:
            trouble(error)
    return Looked(prepared, held, changes(merged, prepared) if held else None)


def write_part(ctx: Context, rows: Rows, request: Request) -> Written:
    """Write one part from rows; nothing for zero rows or zero columns (ATT-7)."""
    registry = ctx.registry()
    registry.entry(check_namespace(request.namespace))
    wish = wish_of(rows.schema.names, rows.label, request)
    if not ctx.layout.records.is_file():
        with ctx.view():
            pass  # It says what is missing, before anything is read.
    if wish.mapping and _is_long(rows, wish, registry):
        with ExitStack() as stack:
            ranges = _ranges(ctx, rows, wish, request, registry=registry, stack=stack)
            if ranges is not None:
                return _commit_ranges(ctx, registry, request, ranges)
    table = _together(rows)
    if not wish.mapping or table.num_rows == 0:
        return Written(table.num_rows, 0, 0, 0, 0, None)
    with ctx.view() as view:
        looked = look(view, registry, table, wish, request)
        is_ready = is_frozen(ctx, registry, view)
    del table  # The part is in the making: what it is made of is needed no more.
    prepared, result = looked.prepared, looked.written()
    if prepared.matched == 0:
        return result
    if not is_ready:
        freeze_first(ctx)
    return _commit(ctx, registry, request, prepared.table, result)


def _is_long(rows: Rows, wish: Wish, registry: Registry) -> bool:
    """Say whether rows are so many that they are better taken range by range, and can be.

    A Parquet file can be read again, should it have to be, and its columns have types.
    """
    if rows.format != "parquet" or (rows.num_rows or 0) < LONG_ROWS:
        return False
    if wish.key != "id" or wish.match or wish.aggregate is not None:
        return False
    wanted = {s: registry.column(wish.namespace, n).arrow_type for s, n in wish.mapping.items()}
    typed = all(same_type(rows.schema.field(s).type, t) for s, t in wanted.items())
    return typed and pa.types.is_string(rows.schema.field(wish.key_col).type)


def _ranges(
    ctx: Context,
    rows: Rows,
    wish: Wish,
    request: Request,
    *,
    registry: Registry,
    stack: ExitStack,
) -> Ranges | None:
    """Read rows once and hold few of them; None if they are to be taken the plain way."""
    entry = registry.entry(wish.namespace)
    columns = [c for c in entry.columns if c.name in set(wish.mapping.values())]
    schema = pa.schema([("id", pa.string()), *((c.name, c.arrow_type) for c in columns)])
    try:
        with ctx.view() as view:
            finder = _finder_for(view, registry, wish, request, schema.names[1:])
        cells = Ranges(finder, schema, ctx.layout.txn, stack)
        cells.fill(rows, partial(keys_of, wish=wish), key=wish.key_col, mapping=wish.mapping)
    except (PlainWay, SchemaError, ValidationError):
        return None  # What is wrong is told by who has all rows.
    return None if cells.missing and not wish.allow_missing else cells


def _commit_ranges(ctx: Context, registry: Registry, request: Request, cells: Ranges) -> Written:
    missing = sum(len(m) for m in cells.missing)
    result = Written(cells.num_rows + missing, cells.num_rows, missing, 0, 0, None)
    if cells.num_rows == 0:
        return result
    with ctx.view() as view:
        is_ready = is_frozen(ctx, registry, view)
    if not is_ready:
        freeze_first(ctx)
    return _commit(ctx, registry, request, cells, result)


def _finder_for(
    view: View, registry: Registry, wish: Wish, request: Request, columns: Sequence[str]
) -> Finder:
    """Return what finds the rows of ids, where nothing stands in the way of the part."""
    merged = Merged(view, registry, include_overlays=[wish.namespace], include_deleted=True)
    parts = merged.parts(wish.namespace) if wish.namespace in view.overlays else []
    if any(p.key != "id" for p in parts) or (
        request.guard and held_columns(merged, parts, columns)
    ):
        raise PlainWay("a namespace of another key, or values to be overwritten")
    finder = finder_of(merged)
    if finder is None:
        raise PlainWay("the base has odd ids")
    return finder


def _together(rows: Rows) -> pa.Table:
    """Return all rows, each column in one piece: putting them in base order needs that anyway."""
    table = pa.Table.from_batches(list(rows), schema=rows.schema)
    is_long = table.nbytes > _LONG_BYTES
    columns = []
    while table.num_columns:
        # One column at a time, so that not all of them are there twice.
        columns.append(_one_piece(table.column(0)))
        table = table.remove_column(0)
        if is_long:
            pa.default_memory_pool().release_unused()
    return pa.Table.from_arrays(columns, schema=rows.schema)


def _one_piece(values: pa.ChunkedArray) -> pa.ChunkedArray:
    try:
        whole = values.combine_chunks()
    except pa.ArrowException:
        return values  # More text than one array holds.
    return whole if isinstance(whole, pa.ChunkedArray) else pa.chunked_array([whole])


def stage_part(c: Change, request: Request, looked: Looked) -> str:
    """Stage the part through the slot of a change: what a plan does; returns its path.

    What else becomes part of the dataset at the same instant, and whether anything else may have
    come before, is the business of that change.
    """
    prepared, ns = looked.prepared, request.namespace
    parts = Merged(c.view, c.registry).parts(ns) if ns in c.view.overlays else []
    path = c.stage_overlay(
        ns,
        key=prepared.key,
        created_at=new_part_time(parts),
        schema=prepared.table.schema,
        batches=[prepared.table],
        total=prepared.table.num_rows,
    )
    c.record(
        request.action,
        metrics=metrics_of(request, looked.written()),
        title=request.title,
        command=request.command,
    )
    return path


def _commit(
    ctx: Context,
    registry: Registry,
    request: Request,
    cells: Cells,
    result: Written,
) -> Written:

    def write(operation: str) -> tuple[Cells, Mapping[bytes, bytes], dict[str, Any]]:
        with ctx.view() as view:
            # Looked up last, so that this part is newer than any it could see (OVL-5).
            parts = Merged(view, registry).parts(request.namespace)
            at = new_part_time(parts)
            event = ctx.event(
                request.action,
                fingerprint=ctx.fingerprint(view),
                registry_hash=registry.hash,
                args=request.args,
                metrics=metrics_of(request, result),
                actor=request.actor,
            )
        event["artifacts"] = {"operation_id": operation}
        metadata = part_metadata(
            namespace=request.namespace,
            key=cells.schema.names[0],
            created_at=at,
            registry=registry,
            operation_id=operation,
            event=event,
        )
        return cells, metadata, event

    linked = append_part(
        ctx, request.namespace, write, title=request.title, command=request.command
    )
    return Written(
        result.incoming, result.matched, result.missing, result.overwritten, result.unset,
        linked[0] if linked else None,
    )  # fmt: skip


def metrics_of(request: Request, result: Written) -> dict[str, int]:
    """Return the counts that the event tells."""
    if request.action == "write_overlay_part":
        return {
            "rows_incoming": result.incoming,
            "rows_written": result.matched,
            "rows_missing": result.missing,
        }
    return {
        "rows_incoming": result.incoming,
        "rows_matched": result.matched,
        "rows_missing": result.missing,
        "rows_overwritten": result.overwritten,
        "rows_unset": result.unset,
    }
