"""Preparing one part: columns named, cast, keyed, matched to the base (contract ATT)."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NoReturn, get_args

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from usr_nb.contract.essentials import ESSENTIALS
from usr_nb.contract.names import qualify
from usr_nb.contract.registry import Column, NamespaceEntry, Registry
from usr_nb.contract.types import type_text
from usr_nb.errors import (
    DuplicateIDError,
    SchemaError,
    SequencesError,
    ValidationError,
    did_you_mean,
    join_hints,
    some,
)
from usr_nb.overlay.cast import cast_column
from usr_nb.overlay.kept import IdTarget, finder_of
from usr_nb.overlay.lookup import (
    Target,
    base_column,
    check_sequence_key,
    normal_keys,
    require_key,
    trim,
)
from usr_nb.overlay.merge import Merged
from usr_nb.overlay.parts import KEYS, PartInfo
from usr_nb.overlay.ranges import in_base_order, picked
from usr_nb.storage.parallel import in_order

_SHOWN: Final = 5
#: Cells that one thread puts in order at a time, and how many are worth a second thread.
_PIECE: Final = 16_384
_MANY: Final = 131_072
Aggregate = Literal["mean", "median", "first", "list"]
AGGREGATES: Final[tuple[str, ...]] = get_args(Aggregate)
#: What is wrong with an input: ``column_map`` and :func:`prepare` tell it of each trouble and, if
#: it does not raise, go on as well as they can, so that a plan can show all of them at once.
Trouble = Callable[[SequencesError], None]


def refuse(error: SequencesError) -> NoReturn:
    """Raise the first trouble: what every verb does."""
    raise error


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
    keys : pyarrow.ChunkedArray of string
        Every key of the input in the form in which it was compared, folded rows once.
    found : numpy.ndarray of int64
        The base row of each key, -1 where none has it.
    """

    table: pa.Table
    key: str
    incoming: int
    matched: int
    missing: int
    base_rows: npt.NDArray[np.int64]
    keys: pa.ChunkedArray = field(repr=False)
    found: npt.NDArray[np.int64] = field(repr=False)

    @property
    def columns(self) -> list[str]:
        """The registered columns of the part."""
        return [n for n in self.table.schema.names if n != self.key]


def column_map(
    names: Sequence[str],
    namespace: str,
    key_col: str,
    columns: Sequence[str] | None,
    where: str,
    *,
    rename: Mapping[str, str] | None = None,
    trouble: Trouble = refuse,
) -> dict[str, str]:
    """Return source column → registered name for the columns to attach: all but the key."""
    chosen = [n for n in names if n != key_col] if columns is None else dict.fromkeys(columns)
    given_names = dict(rename or {})
    mapped: dict[str, str] = {}
    for given in dict.fromkeys([*chosen, *(n for n in given_names if n not in names)]):
        found = given if given in names else given.removeprefix(f"{namespace}__")
        if found not in names:
            trouble(
                SchemaError(
                    f"{where}: no column '{given}'",
                    hint=join_hints(
                        did_you_mean(given, names), f"Columns there: {some(names, 12)}."
                    ),
                )
            )
            continue
        try:
            target = qualify(namespace, given_names.get(found, found), essentials=ESSENTIALS)
            if target in mapped.values():
                raise SchemaError(f"{where}: two columns would become '{target}'")
        except SequencesError as error:
            trouble(_renaming(error, found, given_names))
            continue
        mapped[found] = target
    return mapped


def _renaming(error: SequencesError, name: str, renamed: Mapping[str, str]) -> SequencesError:
    """Return an error about a column's name with the way to give it another one."""
    if name in renamed:
        return error
    legal = re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_") or "x"
    way = f"Rename it (--rename {shlex.quote(f'{name}={legal}')}) or choose others with --columns."
    return type(error)(error.message, hint=join_hints(error.hint, way))


def default_key_col(names: Sequence[str], wanted: str, key: str, where: str) -> str:
    """Return the source column that holds the keys: the one named, else that of the key's base."""
    tried = [wanted] if wanted != key else [key, base_column(key)]
    for name in tried:
        if name in names:
            return name
    raise SchemaError(
        f"{where}: no key column '{wanted}'",
        hint=join_hints(
            did_you_mean(wanted, names),
            f"Name it with --key-col; columns there: {some(names, 12)}.",
        ),
    )


@dataclass(frozen=True)
class Wish:
    """What is to be attached, and how its rows are matched and folded.

    Attributes
    ----------
    mapping : mapping of str to str
        Source column → registered column.
    match : str or None
        A column of the dataset whose values the key column holds; the part is then keyed by id.
    aggregate : str or None
        How rows that repeat a key are folded; None: they are an error.
    """

    namespace: str
    key: str
    key_col: str
    mapping: Mapping[str, str]
    allow_missing: bool
    parse_json: bool
    where: str
    match: str | None = None
    aggregate: Aggregate | None = None


def prepare(
    table: pa.Table,
    wish: Wish,
    *,
    merged: Merged,
    parts: Sequence[PartInfo],
    registry: Registry,
    trouble: Trouble = refuse,
) -> Prepared:
    """Return the part that a table makes; see :class:`Prepared`.

    Raises
    ------
    SchemaError, NamespaceError
        If a column is not registered, a cell does not fit, or the namespace has another key.
    ValidationError
        If keys are missing or unmatched; DuplicateIDError if they repeat. Rows are 1-based.
    """
    require_key(wish.key, KEYS)
    entry = registry.entry(wish.namespace)
    if parts and parts[0].key != wish.key:
        trouble(
            SchemaError(
                f"Namespace '{wish.namespace}' is keyed by '{parts[0].key}', not '{wish.key}'",
                hint=f"Attach with --key {parts[0].key}; a namespace has one key.",
            )
        )
    wanted = {
        registry.column(wish.namespace, full): table.column(src)
        for src, full in wish.mapping.items()
    }
    keys = keys_of(table.column(wish.key_col), wish, trouble)
    target = match_target(merged, wish)
    if wish.match:
        keys, target = _as_ids(keys, target, merged), _id_target(merged)
    n_incoming = len(keys)
    counts = np.ones(n_incoming, np.int64)
    rows = None
    if wish.aggregate is not None:
        keys, counts, cells = fold_rows(keys, wanted, entry, wish, trouble)
    else:
        # Ids are looked up first: where each finds a row of its own, none is there twice.
        rows = target.find(keys) if wish.key == "id" else None
        if rows is None or _may_repeat(keys, rows):
            _check_repeats(keys, wish, trouble)
        cells = {c.name: _cast(values, c, wish, trouble) for c, values in wanted.items()}
    wanted.clear()
    rows = target.find(keys) if rows is None else rows
    if not wish.allow_missing:
        _refuse_missing(keys, rows, wish, trouble)
    hit = in_base_order(rows)
    base_rows = rows[hit]
    ordered = {c.name: cells.pop(c.name) for c in entry.columns if c.name in cells}
    key_cells = target.names(base_rows) if wish.key == "id" else None
    table = pa.table({wish.key: _taken(keys, hit) if key_cells is None else key_cells,
                      **{n: _taken(values, hit) for n, values in _popped(ordered)}})  # fmt: skip
    matched = int(counts[hit].sum())
    return Prepared(
        table, wish.key, n_incoming, matched, n_incoming - matched, base_rows,
        keys, rows,
    )  # fmt: skip


def _may_repeat(keys: pa.ChunkedArray, rows: npt.NDArray[np.int64]) -> bool:
    """Say whether keys may repeat; `rows` are the base rows of ids, -1 where there is none."""
    found = rows[rows >= 0]
    marks = np.zeros(int(found.max(initial=-1)) + 1, np.bool_)
    marks[found] = True
    if np.count_nonzero(marks) < len(found):
        return True
    rest = keys.filter(pa.array(rows < 0)) if len(found) < len(rows) else keys.slice(0, 0)
    return bool(pc.count_distinct(rest).as_py() < len(rest))


def _popped(cells: dict[str, pa.ChunkedArray]) -> Iterator[tuple[str, pa.ChunkedArray]]:
    """Yield columns and let go of each, so that no two copies of all of them are held."""
    while cells:
        name = next(iter(cells))
        yield name, cells.pop(name)


def _taken(values: pa.ChunkedArray, at: npt.NDArray[np.int64]) -> pa.ChunkedArray:
    """Return cells in another order, by several threads."""
    if len(at) == len(values) and (at[:1] == 0).all() and (np.diff(at) == 1).all():
        return values
    try:
        whole = values.combine_chunks()
    except pa.ArrowException:
        return values.take(pa.array(at))  # More text than one array holds.
    if isinstance(whole, pa.ChunkedArray):
        return values.take(pa.array(at))
    if len(at) < _MANY:
        return pa.chunked_array([picked(whole, at)], values.type)
    pieces = range(0, len(at), _PIECE)
    taken = in_order(lambda start: picked(whole, at[start : start + _PIECE]), pieces)
    return pa.chunked_array(list(taken), values.type)


def _cast(
    values: pa.ChunkedArray, column: Column, wish: Wish, trouble: Trouble = refuse
) -> pa.ChunkedArray:
    kind = column.arrow_type
    try:
        return cast_column(
            values, kind, name=column.name, parse_json=wish.parse_json, where=wish.where
        )
    except SchemaError as error:
        trouble(error)
        return pa.chunked_array([pa.nulls(len(values), kind)])


def keys_of(column: pa.ChunkedArray, wish: Wish, trouble: Trouble = refuse) -> pa.ChunkedArray:
    """Return the keys of an input in the form in which they are compared, none of them empty."""
    kind = column.type
    if wish.match and pa.types.is_integer(kind):
        column = column.cast(pa.string())
    elif not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        if not pa.types.is_null(kind):
            raise SchemaError(f"{wish.where}: key column '{wish.key_col}' is {kind}, not text")
        column = column.cast(pa.string())
    keys = trim(column.cast(pa.string())) if wish.match else normal_keys(column, wish.key)
    empty = pc.fill_null(pc.equal(keys, ""), True).to_numpy()
    rows = np.flatnonzero(empty)
    if len(rows):
        trouble(
            ValidationError(
                f"{wish.where}: {len(rows):,} rows have no {wish.match or wish.key} "
                f"(row {some(r + 1 for r in rows[:_SHOWN])})",
                hint="Fill the cells or remove the rows. Nothing was attached.",
            )
        )
    return pc.fill_null(keys, "") if len(rows) else keys


def match_target(merged: Merged, wish: Wish) -> Target | IdTarget:
    """Return what the keys of an input are looked up in: the base's ids, sequences or a column."""
    if wish.match:
        return _match_target(merged, wish.match)
    if wish.key == "id":
        return _id_target(merged)
    column = merged.base_keys(base_column(wish.key))
    base = pa.Table.from_batches(
        merged.base_batches(["bio_type", "alphabet"]),
        schema=pa.schema([merged.base_schema.field(n) for n in ("bio_type", "alphabet")]),
    )
    check_sequence_key(
        wish.key, bio_types=base.column("bio_type"), alphabets=base.column("alphabet")
    )
    return Target(normal_keys(column, wish.key), np.arange(len(column)))


def _id_target(merged: Merged) -> Target | IdTarget:
    finder = finder_of(merged)
    return Target(merged.base_keys("id")) if finder is None else IdTarget(finder)


def _match_target(merged: Merged, match: str) -> Target:
    """Return the values of one column of the dataset, each with its base row (ATT-8)."""
    values = merged.table([match]).column(0).combine_chunks()
    rows = np.arange(len(values))
    if pa.types.is_list(values.type) or pa.types.is_fixed_size_list(values.type):
        rows = np.asarray(pc.list_parent_indices(values).to_numpy(zero_copy_only=False), np.int64)
        values = pc.list_flatten(values)
    if not (pa.types.is_string(values.type) or pa.types.is_integer(values.type)):
        raise SchemaError(
            f"Column '{match}' is {values.type}; rows are matched by text or whole numbers",
            hint="Choose a column of names or barcodes.",
        )
    known = np.asarray(values.is_valid().to_numpy(zero_copy_only=False), bool)
    names = pa.chunked_array([values.filter(pa.array(known)).cast(pa.string())])
    return Target(names, rows[known].astype(np.int64))


def _as_ids(keys: pa.ChunkedArray, target: Target | IdTarget, merged: Merged) -> pa.ChunkedArray:
    """Return the id of the record that each name fits, so that two names of one record fold.

    A name that fits none keeps its text behind a space, which no id has.
    """
    rows = target.find(keys)
    ids = merged.base_keys("id").take(pa.array(rows, mask=rows < 0))
    return pc.coalesce(ids, pc.binary_join_element_wise(" ", keys, ""))


def _refuse_missing(
    keys: pa.ChunkedArray, rows: npt.NDArray[np.int64], wish: Wish, trouble: Trouble
) -> None:
    missing = np.flatnonzero(rows < 0)
    if len(missing) == 0:
        return
    sample = [(k or "").strip() for k in keys.take(pa.array(missing[:_SHOWN])).to_pylist()]
    trouble(
        ValidationError(
            f"{wish.where}: {len(missing):,} of {len(keys):,} keys are not in the dataset: "
            f"{some(s[:40] for s in sample)}",
            hint=join_hints(
                None if wish.match else _why_missing(sample, wish.key),
                "Use --allow-missing to skip them. Nothing was attached.",
            ),
        )
    )


def _check_repeats(keys: pa.ChunkedArray, wish: Wish, trouble: Trouble) -> None:
    if pc.count_distinct(keys).as_py() == len(keys):
        return
    rows_of: dict[str, list[int]] = {}
    for row, cell in enumerate(keys.to_pylist(), start=1):
        if cell and cell.strip():
            rows_of.setdefault(cell, []).append(row)
    repeated = {k: r for k, r in rows_of.items() if len(r) > 1}
    if not repeated:
        return  # Only cells without a key repeat, and those were told of.
    by_id = wish.key == "id"
    groups: list[dict[str, Any]] = [
        {"id": k.strip(), "count": len(r), "rows": r[:_SHOWN], "sequence": "" if by_id else k}
        for k, r in list(repeated.items())[:_SHOWN]
    ]
    shown = "; ".join(f"{g['id'][:24]} in rows {some(g['rows'])}" for g in groups)
    trouble(
        DuplicateIDError(
            f"{wish.where}: {len(repeated):,} keys stand in more than one row: {shown}",
            hint="Keep one row per key, or fold them with --aggregate. Nothing was attached.",
            groups=groups,
        )
    )


def fold_rows(
    keys: pa.ChunkedArray,
    wanted: Mapping[Column, pa.ChunkedArray],
    entry: NamespaceEntry,
    wish: Wish,
    trouble: Trouble = refuse,
) -> tuple[pa.ChunkedArray, npt.NDArray[np.int64], dict[str, pa.ChunkedArray]]:
    """Fold rows that repeat a key; returns (keys, rows per key, cells by column) (ATT-8).

    mean and median leave nulls out; first takes the first row's cell; list collects the cells of
    all rows in input order. The number of rows per key is stored in ``<ns>__n`` if registered.
    """
    if wish.aggregate not in AGGREGATES:
        raise ValidationError(
            f"aggregate {str(wish.aggregate)[:40]!r} is not known",
            hint=did_you_mean(str(wish.aggregate), AGGREGATES)
            or f"Use one of {', '.join(AGGREGATES)}.",
        )
    encoded = keys.combine_chunks().dictionary_encode()
    codes = np.asarray(encoded.indices.to_numpy(zero_copy_only=False), np.int64)
    order = np.argsort(codes, kind="stable")
    starts = np.searchsorted(codes[order], np.arange(len(encoded.dictionary) + 1))
    cells = {}
    for c, values in wanted.items():
        try:
            cells[c.name] = _fold_column(values, c, order, starts, wish)
        except SchemaError as error:
            trouble(error)
            nothing = pa.nulls(len(encoded.dictionary), c.arrow_type)
            cells[c.name] = pa.chunked_array([nothing])
    count = entry.column(f"{wish.namespace}__n")
    if count is not None and count.name not in cells:
        numbers = pa.chunked_array([pa.array(np.diff(starts))])
        cells[count.name] = _cast(numbers, count, wish)
    return pa.chunked_array([encoded.dictionary]), np.diff(starts), cells


def _fold_column(
    values: pa.ChunkedArray,
    column: Column,
    order: npt.NDArray[np.int64],
    starts: npt.NDArray[np.int64],
    wish: Wish,
) -> pa.ChunkedArray:
    if wish.aggregate == "first":
        return _cast(values, column, wish).take(pa.array(order[starts[:-1]]))
    if wish.aggregate == "list":
        if not pa.types.is_list(column.arrow_type):
            raise SchemaError(
                f"Column '{column.name}' is registered as {column.type}, not as a list",
                hint="Register it as list<...> to collect values with aggregate='list'.",
            )
        inner = Column(column.name, type_text(column.arrow_type.value_type))
        flat = _cast(values, inner, wish).take(pa.array(order)).combine_chunks()
        lists = pa.ListArray.from_arrays(pa.array(starts, pa.int32()), flat)
        return pa.chunked_array([lists]).cast(column.arrow_type)
    numbers = _cast(values, Column(column.name, "float64"), wish).combine_chunks()
    ordered = numbers.take(pa.array(order))
    folded = [
        _middle(ordered.slice(a, b - a), wish.aggregate)
        for a, b in zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True)
    ]
    found = pa.chunked_array([pa.array(folded, pa.float64())])
    # A mean is rounded to the float that the column holds; only whole numbers must be exact.
    rounds = pa.types.is_floating(column.arrow_type)
    return found.cast(column.arrow_type, safe=False) if rounds else _cast(found, column, wish)


def _middle(values: pa.Array, how: Aggregate | None) -> float | None:
    known = values.drop_null().to_numpy(zero_copy_only=False)
    if len(known) == 0:
        return None
    return float(np.mean(known) if how == "mean" else np.median(known))


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


@dataclass(frozen=True)
class Changes:
    """What a part does to values that are there, one entry per row of the part.

    Attributes
    ----------
    overwritten, unset : numpy.ndarray of bool
        Rows in which a value gives way to another one, or to null.
    before : pyarrow.Table or None
        The values there are now, of those columns that have some; None if no column has.
    """

    overwritten: npt.NDArray[np.bool_]
    unset: npt.NDArray[np.bool_]
    before: pa.Table | None


def changes(merged: Merged, prepared: Prepared) -> Changes:
    """Return what a part overwrites and unsets (ATT-3)."""
    n = prepared.table.num_rows
    overwritten, unset = np.zeros(n, bool), np.zeros(n, bool)
    names = [c for c in prepared.columns if c in merged.schema.names]
    if not names or n == 0:
        return Changes(overwritten, unset, None)
    before = merged.take(prepared.base_rows, names)
    for name in names:
        had = np.asarray(before.column(name).is_valid().to_numpy(), bool)
        has = np.asarray(prepared.table.column(name).is_valid().to_numpy(), bool)
        overwritten |= had & has
        unset |= had & ~has
    return Changes(overwritten, unset, before)
