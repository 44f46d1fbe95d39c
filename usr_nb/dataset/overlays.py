"""Attach, write_overlay and write_overlay_part: one new part each (contract ATT)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from usr_nb.contract.names import check_namespace
from usr_nb.contract.registry import Registry
from usr_nb.contract.types import parse_type
from usr_nb.dataset.context import Actor, Context, append_part, ensure_frozen
from usr_nb.errors import ValidationError
from usr_nb.overlay.attach import (
    Aggregate,
    Prepared,
    Wish,
    column_map,
    count_changes,
    default_key_col,
    held_columns,
    prepare,
    refuse_overwrite,
)
from usr_nb.overlay.merge import Merged
from usr_nb.overlay.parts import new_part_time, part_metadata
from usr_nb.readers import Rows, open_rows

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
    if len({n.casefold() for n in schema.names}) < len(schema.names):
        return from_path  # Names differ in case only, which SQL cannot tell apart.
    # Square brackets keep a path from being read as a pattern.
    literal = re.sub(r"([*?\[])", r"[\1]", str(path))
    try:
        with duckdb.connect() as con:
            con.execute("SET enable_progress_bar = false")
            relation = con.read_parquet([literal], hive_partitioning=False)
            table = relation.to_arrow_table().select(schema.names).cast(schema)
    except (duckdb.Error, pa.ArrowException, KeyError):
        return from_path  # What DuckDB cannot hold is read, or refused, as without it.
    return replace(from_path, batches=lambda: iter(table.to_batches()))


def write_part(ctx: Context, rows: Rows, request: Request) -> Written:
    """Write one part from rows; nothing for zero rows or zero columns (ATT-7)."""
    ns = check_namespace(request.namespace)
    registry = ctx.registry()
    registry.entry(ns)
    where = rows.label
    key = request.key if request.match is None else "id"
    key_col = default_key_col(
        rows.schema.names, request.key_col or request.match or request.key, request.key, where
    )
    mapping = column_map(rows.schema.names, ns, key_col, request.columns, where)
    with ctx.view():
        pass
    table = pa.Table.from_batches(list(rows), schema=rows.schema)
    wish = Wish(
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
    result = Written(table.num_rows, 0, 0, 0, 0, None)
    if not mapping or table.num_rows == 0:
        return result
    with ctx.view() as view:
        spaces: bool | list[str] = [ns] if request.match is None else True
        merged = Merged(view, registry, include_overlays=spaces, include_deleted=True)
        parts = merged.parts(ns) if ns in view.overlays else []
        prepared = prepare(table, wish, merged=merged, parts=parts, registry=registry)
        overwritten = unset = 0
        if request.guard:
            held = held_columns(merged, parts, prepared.columns)
            if not request.allow_overwrite:
                refuse_overwrite(held, ns)
            elif held:
                overwritten, unset = count_changes(merged, prepared)
    if prepared.matched == 0:
        return Written(prepared.incoming, 0, prepared.missing, 0, 0, None)
    result = Written(
        prepared.incoming, prepared.matched, prepared.missing, overwritten, unset, None
    )
    return _commit(ctx, registry, request, prepared, result)


def _commit(
    ctx: Context, registry: Registry, request: Request, prepared: Prepared, result: Written
) -> Written:
    ensure_frozen(ctx, registry)

    def write(operation: str) -> tuple[pa.Table, Mapping[bytes, bytes], dict[str, Any]]:
        with ctx.view() as view:
            # Looked up last, so that this part is newer than any it could see (OVL-5).
            parts = Merged(view, registry).parts(request.namespace)
            at = new_part_time(parts)
            event = ctx.event(
                request.action,
                fingerprint=ctx.fingerprint(view),
                registry_hash=registry.hash,
                args=request.args,
                metrics=_metrics(request, result),
                actor=request.actor,
            )
        event["artifacts"] = {"operation_id": operation}
        metadata = part_metadata(
            namespace=request.namespace,
            key=prepared.key,
            created_at=at,
            registry=registry,
            operation_id=operation,
            event=event,
        )
        return prepared.table, metadata, event

    linked = append_part(
        ctx, request.namespace, write, title=request.title, command=request.command
    )
    return Written(
        result.incoming, result.matched, result.missing, result.overwritten, result.unset,
        linked[0] if linked else None,
    )  # fmt: skip


def _metrics(request: Request, result: Written) -> dict[str, int]:
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
