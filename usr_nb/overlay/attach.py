"""Preparing one part: columns named, cast, keyed, matched to the base (contract ATT)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from usr_nb.contract.essentials import ESSENTIALS
from usr_nb.contract.names import qualify
from usr_nb.contract.registry import Registry
from usr_nb.errors import (
    DuplicateIDError,
    SchemaError,
    ValidationError,
    did_you_mean,
    join_hints,
    some,
)
from usr_nb.overlay.cast import cast_column
from usr_nb.overlay.lookup import (
    KeySpace,
    base_column,
    check_sequence_key,
    normal_keys,
    require_key,
)
from usr_nb.overlay.merge import Merged
from usr_nb.overlay.parts import KEYS, PartInfo

_SHOWN: Final = 5


@dataclass(frozen=True)
class Prepared:
    """One part ready to be written.

    Attributes
    ----------
    table : pyarrow.Table
        Key column and registered columns, in base order.
    incoming, matched, missing : int
        Rows of the input, those whose key the base has, those whose key it has not.
    base_rows : numpy.ndarray of int64
        For each row of the table the first base row of its key.
    """

    table: pa.Table
    key: str
    incoming: int
    matched: int
    missing: int
    base_rows: npt.NDArray[np.int64]

    @property
    def columns(self) -> list[str]:
        """The registered columns of the part."""
        return [n for n in self.table.schema.names if n != self.key]


def column_map(
    names: Sequence[str], namespace: str, key_col: str, columns: Sequence[str] | None, where: str
) -> dict[str, str]:
    """Return source column → registered name for the columns to attach.

    Essential columns that merely stand in the file are left out unless they are asked for.
    """
    if columns is None:
        chosen = [n for n in names if n != key_col and n not in ESSENTIALS and n not in KEYS]
    else:
        chosen = list(dict.fromkeys(columns))
    mapped: dict[str, str] = {}
    for given in chosen:
        found = given if given in names else given.removeprefix(f"{namespace}__")
        if found not in names:
            raise SchemaError(
                f"{where}: no column '{given}'",
                hint=join_hints(did_you_mean(given, names), f"Columns there: {some(names, 12)}."),
            )
        target = qualify(namespace, found, essentials=ESSENTIALS)
        if target in mapped.values():
            raise SchemaError(f"{where}: two columns would become '{target}'")
        mapped[found] = target
    return mapped


def default_key_col(names: Sequence[str], key: str, key_col: str | None, where: str) -> str:
    """Return the source column that holds the keys."""
    tried = [key_col] if key_col else [key, base_column(key)]
    for name in tried:
        if name in names:
            return name
    raise SchemaError(
        f"{where}: no key column '{tried[0]}'",
        hint=join_hints(
            did_you_mean(tried[0], names),
            f"Name it with --key-col; columns there: {some(names, 12)}.",
        ),
    )


def prepare(
    table: pa.Table,
    *,
    namespace: str,
    key: str,
    key_col: str,
    mapping: Mapping[str, str],
    merged: Merged,
    parts: Sequence[PartInfo],
    registry: Registry,
    allow_missing: bool,
    parse_json: bool,
    where: str,
) -> Prepared:
    """Return the part that a table makes; see :class:`Prepared`.

    Raises
    ------
    SchemaError, NamespaceError
        If a column is not registered, a cell does not fit, or the namespace has another key.
    ValidationError
        If keys are missing or unmatched; DuplicateIDError if they repeat. Rows are 1-based.
    """
    require_key(key, KEYS)
    entry = registry.entry(namespace)
    if parts and parts[0].key != key:
        raise SchemaError(
            f"Namespace '{namespace}' is keyed by '{parts[0].key}', not '{key}'",
            hint=f"Attach with --key {parts[0].key}; a namespace has one key.",
        )
    wanted = {src: registry.column(namespace, full) for src, full in mapping.items()}
    keys = _keys(table.column(key_col), key, where)
    space = _space(merged, key)
    codes = space.codes(keys)
    _check_repeats(keys, codes, key, where)
    matched = codes >= 0
    n_missing = int((~matched).sum())
    if n_missing and not allow_missing:
        sample = keys.take(pa.array(np.flatnonzero(~matched)[:_SHOWN])).to_pylist()
        raise ValidationError(
            f"{where}: {n_missing:,} of {len(codes):,} keys are not in the dataset: "
            f"{some(s[:40] for s in sample)}",
            hint=join_hints(
                _why_missing(sample, key), "Use --allow-missing to skip them. Nothing was attached."
            ),
        )
    first_row = _first_rows(space)
    rows = np.flatnonzero(matched)
    rows = rows[np.argsort(first_row[codes[rows]], kind="stable")]
    take = pa.array(rows)
    arrays = {key: keys.take(take)}
    order = {n: i for i, n in enumerate(entry.column_names)}
    for src, column in sorted(wanted.items(), key=lambda kv: order[kv[1].name]):
        cells = cast_column(
            table.column(src),
            column.arrow_type,
            name=column.name,
            parse_json=parse_json,
            where=where,
        )
        arrays[column.name] = cells.take(take)
    part = pa.table(arrays)
    return Prepared(part, key, len(codes), len(rows), n_missing, first_row[codes[rows]])


def _keys(column: pa.ChunkedArray, key: str, where: str) -> pa.ChunkedArray:
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        if not pa.types.is_null(column.type):
            raise SchemaError(f"{where}: key column is {column.type}, not text")
        column = column.cast(pa.string())
    keys = normal_keys(column, key)
    empty = pc.fill_null(pc.equal(keys, ""), True).to_numpy()
    rows = np.flatnonzero(empty)
    if len(rows):
        raise ValidationError(
            f"{where}: {len(rows):,} rows have no {key} (row {some(r + 1 for r in rows[:_SHOWN])})",
            hint="Fill the cells or remove the rows. Nothing was attached.",
        )
    return keys


def _space(merged: Merged, key: str) -> KeySpace:
    column = merged.base_keys(base_column(key))
    space = KeySpace(normal_keys(column, key), unique=key == "id")
    if key != "id":
        base = pa.Table.from_batches(
            merged.base_batches(["bio_type", "alphabet"]),
            schema=pa.schema([merged.base_schema.field(n) for n in ("bio_type", "alphabet")]),
        )
        check_sequence_key(
            key, bio_types=base.column("bio_type"), alphabets=base.column("alphabet"), space=space
        )
    return space


def _first_rows(space: KeySpace) -> npt.NDArray[np.int64]:
    if space.rows is None:
        return np.arange(space.size, dtype=np.int64)
    first = np.full(space.size, -1, np.int64)
    first[space.rows[::-1]] = np.arange(len(space.rows) - 1, -1, -1)
    return first


def _check_repeats(
    keys: pa.ChunkedArray, codes: npt.NDArray[np.int64], key: str, where: str
) -> None:
    known = codes[codes >= 0]
    unknown = keys.filter(pa.array(codes < 0))
    if len(np.unique(known)) == len(known) and len(pc.unique(unknown)) == len(unknown):
        return
    rows_of: dict[str, list[int]] = {}
    for row, cell in enumerate(keys.to_pylist(), start=1):
        rows_of.setdefault(cell, []).append(row)
    repeated = {k: r for k, r in rows_of.items() if len(r) > 1}
    groups: list[dict[str, Any]] = [
        {"id": k, "count": len(r), "rows": r[:_SHOWN], "sequence": k if key != "id" else ""}
        for k, r in list(repeated.items())[:_SHOWN]
    ]
    shown = "; ".join(f"{g['id'][:24]} in rows {some(g['rows'])}" for g in groups)
    raise DuplicateIDError(
        f"{where}: {len(repeated):,} keys stand in more than one row: {shown}",
        hint="Keep one row per key, or fold them with --aggregate. Nothing was attached.",
        groups=groups,
    )


def _why_missing(sample: Sequence[str], key: str) -> str | None:
    if key == "sequence" and any(s != s.upper() for s in sample):
        return "Some differ in case: --key sequence_ci ignores it (dna_4 only)."
    if key != "id" and any(s.endswith("*") for s in sample):
        return "Some end in '*' (a stop codon)."
    if key == "id" and any(len(s) != 40 for s in sample):
        return "Ids are 40 hexadecimal digits; for sequences use --key sequence."
    return None


def held_columns(merged: Merged, parts: Sequence[PartInfo], columns: Sequence[str]) -> list[str]:
    """Return those columns that already have values, in an overlay or in the base (ATT-3)."""
    held = {c for p in parts if p.rows for c in p.columns}
    base = set(merged.base_schema.names)
    return [c for c in columns if c in held or (c in base and _base_has_values(merged, c))]


def _base_has_values(merged: Merged, column: str) -> bool:
    return any(b.column(0).null_count < b.num_rows for b in merged.base_batches([column]))


def refuse_overwrite(columns: Sequence[str], namespace: str) -> None:
    """Raise if there are columns that would be overwritten without leave."""
    if columns:
        raise ValidationError(
            f"Namespace '{namespace}' already has values in {some(columns)}",
            hint="Attach with --allow-overwrite to let the new values win.",
        )


def count_changes(merged: Merged, prepared: Prepared) -> tuple[int, int]:
    """Return (rows with a value overwritten, rows with a value unset) by a part (ATT-3)."""
    names = [c for c in prepared.columns if c in merged.schema.names]
    if not names or prepared.matched == 0:
        return 0, 0
    before = merged.take(prepared.base_rows, names)
    overwritten = np.zeros(prepared.matched, bool)
    unset = np.zeros(prepared.matched, bool)
    for name in names:
        had = np.asarray(before.column(name).is_valid().to_numpy(), bool)
        has = np.asarray(prepared.table.column(name).is_valid().to_numpy(), bool)
        overwritten |= had & has
        unset |= had & ~has
    return int(overwritten.sum()), int(unset.sum())
