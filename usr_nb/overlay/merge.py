"""The merged view: base and overlays as one table (contract OVL-6, OVL-7).

Last writer wins per key and column: for every base row and every column, the newest part that
holds both decides, and a null it holds is a value. Where no part speaks, the base's value stands.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from usr_nb.contract.essentials import ARROW_SCHEMA, ESSENTIALS
from usr_nb.contract.names import TOMBSTONE_NS, namespace_of
from usr_nb.contract.progress import tracked
from usr_nb.contract.records import TOMBSTONE_SCHEMA
from usr_nb.contract.registry import Registry
from usr_nb.contract.types import plain_type, same_type, stored_as, type_text
from usr_nb.errors import SchemaError, did_you_mean, join_hints, some
from usr_nb.overlay.lookup import Int, KeySpace, base_column, normal_keys
from usr_nb.overlay.parts import PartInfo, check_registered, parts_of
from usr_nb.storage.parquet import check_names, reading, sound
from usr_nb.storage.view import View

Mask = npt.NDArray[np.bool_]
BATCH_ROWS = 65_536
BaseKeys = Callable[[str], pa.ChunkedArray]


@dataclass
class Column:
    """One overlay column over some base rows: the values of its parts and where to look.

    ``source`` holds, per row, the position in ``values`` or -1 where no part speaks.
    """

    values: pa.ChunkedArray
    source: Int

    def take(self, rows: slice, below: pa.Array | None) -> pa.Array:
        """Return the merged cells of a run of rows; `below` are the base's values, if any."""
        at = self.source[rows]
        silent = at < 0
        if not silent.any():
            return _one(self.values.take(pa.array(at)))
        spoken = _one(self.values.take(pa.array(at, mask=silent)))
        if below is None:
            return spoken
        n = len(at)
        both = pa.concat_arrays([spoken, below])
        return both.take(pa.array(np.where(silent, n + np.arange(n), np.arange(n))))


def _one(values: pa.ChunkedArray) -> pa.Array:
    return values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values


class Merged:
    """The merged table of one view. Cheap to make; columns are read when they are asked for.

    Parameters
    ----------
    view : View
        The files of one instant.
    registry : Registry
        Says which columns a namespace may have, and their types (OVL-8).
    include_overlays : bool or sequence of str
        True: all; False: the base alone; a list: only these namespaces.
    include_deleted : bool
        Whether tombstoned rows, and the columns ``usr__*``, are there.
    """

    def __init__(
        self,
        view: View,
        registry: Registry,
        *,
        include_overlays: bool | Sequence[str] = True,
        include_deleted: bool = False,
    ) -> None:
        self.view = view
        self.registry = registry
        self.include_deleted = include_deleted
        if isinstance(include_overlays, str):
            include_overlays = [include_overlays]
        if isinstance(include_overlays, bool):
            wanted = set(view.overlays) - {TOMBSTONE_NS} if include_overlays else set()
        else:
            for ns in include_overlays:
                registry.entry(ns)
            wanted = set(include_overlays) & set(view.overlays)
        self._wanted = wanted | ({TOMBSTONE_NS} & set(view.overlays) if include_deleted else set())
        self._parts: dict[str, list[PartInfo]] = {}
        self._base_keys: dict[str, pa.ChunkedArray] = {}

    # What there is ----------------------------------------------------------------------------

    @property
    def base_rows(self) -> int:
        """Rows of the base, tombstoned ones included."""
        return int(self.view.base.metadata.num_rows)

    @cached_property
    def base_schema(self) -> pa.Schema:
        """Schema of the base, in plain types, without metadata."""
        schema = check_names(self.view.base.schema_arrow, self.view.layout.records)
        return pa.schema([pa.field(f.name, self._base_type(f), f.nullable) for f in schema])

    def base_field(self, name: str) -> pa.Field:
        """Return a column of the base as it is read; a damaged base may lack an essential one.

        Raises
        ------
        SchemaError
            If it is missing, there twice, or essential and of another kind than it must be.
        """
        at = self.base_schema.get_field_index(name)
        field = self.base_schema.field(at) if at >= 0 else None
        kind = ARROW_SCHEMA.field(name).type if name in ESSENTIALS else None
        whole = kind is not None and pa.types.is_integer(kind)
        if field is not None and (
            kind is None or field.type.id == kind.id or (whole and pa.types.is_integer(field.type))
        ):
            return field
        why = "is not there, or there twice" if field is None else f"is {field.type}, not {kind}"
        raise SchemaError(
            f"{self.view.layout.records}: column '{name}' {why}",
            hint="Run `usr validate`; restore the file from a snapshot or another copy.",
        )

    def _base_type(self, field: pa.Field) -> pa.DataType:
        entry = self.registry.get(namespace_of(field.name) or "")
        column = entry.column(field.name) if entry is not None else None
        if column is not None and stored_as(field.type, column.arrow_type):
            return column.arrow_type
        if pa.types.is_timestamp(field.type) and field.type.tz not in (None, "UTC"):
            # Stored as UTC in any case; what a file calls its zone may be no zone at all.
            return pa.timestamp(field.type.unit, "UTC")
        return plain_type(field.type)

    def parts(self, namespace: str) -> list[PartInfo]:
        """Return the parts of a namespace, oldest first, checked against the registry."""
        if namespace not in self._parts:
            infos = parts_of(self.view, namespace)
            check_registered(infos, self.registry)
            self._parts[namespace] = infos
        return self._parts[namespace]

    @cached_property
    def schema(self) -> pa.Schema:
        """Schema of the merged table: base, then namespaces A-Z in registry order."""
        fields = list(self.base_schema)
        there = set(self.base_schema.names)
        for ns in sorted(self._wanted - {TOMBSTONE_NS}):
            held = {c for p in self.parts(ns) for c in p.columns}
            for c in self.registry.entry(ns).columns:
                if c.name in held and c.name not in there:
                    fields.append(pa.field(c.name, c.arrow_type))
                elif c.name in held and not same_type(
                    self.base_schema.field(c.name).type, c.arrow_type
                ):
                    raise SchemaError(
                        f"records.parquet: column '{c.name}' is "
                        f"{type_text(self.base_schema.field(c.name).type)}, registered as {c.type}",
                        hint="Register the type that the base has.",
                    )
        if self.include_deleted:
            fields += [f for f in TOMBSTONE_SCHEMA if f.name != "id"]
        return pa.schema(fields)

    def check_columns(self, columns: Sequence[str] | None) -> list[str]:
        """Return the columns asked for, all by default; an unknown one is an error with a hint."""
        if columns is None:
            return list(self.schema.names)
        if isinstance(columns, str):
            columns = [columns]
        known = set(self.base_schema.names)
        # Only the namespaces asked for are looked at, so that a damaged one does not disturb.
        spaces = {ns for c in columns if c not in known and (ns := namespace_of(c))}
        for ns in spaces & self._wanted:
            known |= {c for p in self.parts(ns) for c in p.columns}
        if self.include_deleted:
            known |= set(TOMBSTONE_SCHEMA.names)
        unknown = [c for c in columns if c not in known]
        if unknown:
            names = self.schema.names
            raise SchemaError(
                f"Column {unknown[0]!r} does not exist",
                hint=join_hints(did_you_mean(unknown[0], names), f"Columns: {some(names, 12)}."),
            )
        return list(dict.fromkeys(columns))

    # Reading ------------------------------------------------------------------------------------

    def batches(
        self,
        columns: Sequence[str] | None = None,
        *,
        batch_rows: int = BATCH_ROWS,
        limit_base: int | None = None,
    ) -> Iterator[pa.RecordBatch]:
        """Yield the merged table in base order.

        Parameters
        ----------
        columns : sequence of str, optional
            The columns, in the order wanted; all by default.
        batch_rows : int
            Rows of the base per batch; a batch is smaller where rows are tombstoned.
        limit_base : int, optional
            Look at no more than this many leading rows of the base.
        """
        names = self.check_columns(columns)
        total = self.base_rows if limit_base is None else min(limit_base, self.base_rows)
        overlays = self.overlay_columns(names, total)
        live = None if self.include_deleted else self.live_mask(total)
        schema = pa.schema([self.field(n) for n in names])
        needed = [n for n in names if n in self.base_schema.names]
        start = 0
        for batch in self.base_batches(needed or ["id"], batch_rows=batch_rows, limit=total):
            rows = slice(start, start + batch.num_rows)
            start += batch.num_rows
            arrays = []
            for name in names:
                below = batch.column(name) if name in needed else None
                if name in overlays:
                    arrays.append(overlays[name].take(rows, below))
                elif below is not None:
                    arrays.append(below)
                else:
                    arrays.append(pa.nulls(batch.num_rows, self.field(name).type))
            out = pa.RecordBatch.from_arrays(arrays, schema=schema)
            if live is not None and not live[rows].all():
                out = out.filter(pa.array(live[rows]))
            if out.num_rows:
                yield out

    def table(
        self, columns: Sequence[str] | None = None, *, limit_base: int | None = None
    ) -> pa.Table:
        """Return the merged table; an empty one still has its schema."""
        names = self.check_columns(columns)
        schema = pa.schema([self.field(n) for n in names])
        return pa.Table.from_batches(self.batches(names, limit_base=limit_base), schema=schema)

    def take(self, rows: Sequence[int] | Int, columns: Sequence[str] | None = None) -> pa.Table:
        """Return some base rows (0-based, in the order given), tombstoned or not.

        Only their cells are merged; the keys of the parts are read.
        """
        names = self.check_columns(columns)
        # Keys must be unique for the look-up, so a row that is asked for twice is read once.
        at, again = np.unique(np.asarray(rows, np.int64), return_inverse=True)
        needed = [n for n in names if n in self.base_schema.names]
        keys = {base_column(p.key) for ns in self._namespaces(names) for p in self.parts(ns)[:1]}
        base = self.base_rows_of(at, list(dict.fromkeys([*needed, *sorted(keys), "id"])))
        overlays = self._columns_for(names, base.column)
        arrays = []
        for name in names:
            below = _one(base.column(name)) if name in needed else None
            if name in overlays:
                arrays.append(overlays[name].take(slice(0, len(at)), below))
            elif below is not None:
                arrays.append(below)
            else:
                arrays.append(pa.nulls(len(at), self.field(name).type))
        table = pa.Table.from_arrays(arrays, schema=pa.schema([self.field(n) for n in names]))
        return table.take(pa.array(again))

    def base_rows_of(self, at: Int, columns: list[str]) -> pa.Table:
        """Return cells of some base rows (0-based, in the order given), without overlays."""
        file = self.view.base
        sizes = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
        starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        group = np.searchsorted(starts, at, side="right") - 1
        wanted = np.unique(group)
        schema = pa.schema([self.base_field(c) for c in columns])
        if len(wanted) == 0:
            return schema.empty_table()
        with reading(self.view.layout.records):
            found = sound(file.read_row_groups(wanted.tolist(), columns=columns))
            if found.num_rows != sum(sizes[g] for g in wanted):
                raise pa.ArrowInvalid(f"{found.num_rows} rows found, the footer says otherwise")
        offsets = np.concatenate([[0], np.cumsum([sizes[g] for g in wanted])]).astype(np.int64)
        local = offsets[np.searchsorted(wanted, group)] + (at - starts[group])
        return found.select(columns).cast(schema).take(pa.array(local))

    def base_batches(
        self, columns: Sequence[str], *, batch_rows: int = BATCH_ROWS, limit: int | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Yield columns of the base alone, in plain types."""
        left = self.base_rows if limit is None else limit
        schema = pa.schema([self.base_field(c) for c in columns])
        same = all(
            self.view.base.schema_arrow.field(c).type == schema.field(c).type for c in columns
        )
        with reading(self.view.layout.records):
            groups = None if left >= self.base_rows else self._groups_for(left)
            it = self.view.base.iter_batches(
                batch_size=batch_rows, columns=list(columns), row_groups=groups
            )
            for raw in it:
                if left <= 0:
                    return
                batch = sound(raw).select(list(columns)).slice(0, left)
                left -= batch.num_rows
                if same:
                    yield pa.RecordBatch.from_arrays(batch.columns, schema=schema)
                else:
                    yield batch.cast(schema)

    def _groups_for(self, rows: int) -> list[int]:
        groups = []
        left = rows
        for i in range(self.view.base.num_row_groups):
            if left <= 0:
                break
            groups.append(i)
            left -= self.view.base.metadata.row_group(i).num_rows
        return groups

    def base_keys(self, column: str, limit: int | None = None) -> pa.ChunkedArray:
        """Return one whole column of the base (``id`` or ``sequence``), kept for the next call."""
        whole = self._base_keys.get(column)
        if whole is None:
            rows = self.base_rows if limit is None else min(limit, self.base_rows)
            batches = tracked(
                self.base_batches([column], limit=limit), f"reading {column}", total=rows
            )
            whole = pa.chunked_array([b.column(0) for b in batches], pa.string())
            if limit is None or limit >= self.base_rows:
                self._base_keys[column] = whole
        return whole.slice(0, limit) if limit is not None else whole

    def overlay_columns(self, names: Sequence[str], limit: int | None = None) -> dict[str, Column]:
        """Return, for those of `names` that overlays hold, how to merge them."""
        return self._columns_for(names, lambda column: self.base_keys(column, limit))

    def live_mask(self, limit: int | None = None) -> Mask | None:
        """Return which base rows are not tombstoned, or None if all are live."""
        if TOMBSTONE_NS not in self.view.overlays:
            return None
        column = self._merge_namespace(
            TOMBSTONE_NS, ["usr__deleted"], lambda c: self.base_keys(c, limit)
        ).get("usr__deleted")
        if column is None:
            return None
        n = len(column.source)
        deleted = column.take(slice(0, n), None).fill_null(False)
        return ~np.asarray(deleted.to_numpy(zero_copy_only=False), bool)

    def tombstone_rows(self) -> int:
        """Return the number of rows in the tombstone files: no more rows can be deleted."""
        return sum(p.rows for p in parts_of(self.view, TOMBSTONE_NS))

    def field(self, name: str) -> pa.Field:
        """Return the merged field of one column."""
        if name in self.base_schema.names:
            return self.base_schema.field(name)
        if name in TOMBSTONE_SCHEMA.names:
            return TOMBSTONE_SCHEMA.field(name)
        ns = namespace_of(name) or ""
        return pa.field(name, self.registry.column(ns, name).arrow_type)

    def _namespaces(self, names: Sequence[str]) -> list[str]:
        found = {ns for n in names if n not in ESSENTIALS and (ns := namespace_of(n))}
        return sorted(found & self._wanted)

    def _columns_for(self, names: Sequence[str], keys: BaseKeys) -> dict[str, Column]:
        merged: dict[str, Column] = {}
        for ns in self._namespaces(names):
            wanted = [n for n in names if namespace_of(n) == ns]
            merged |= self._merge_namespace(ns, wanted, keys)
        return merged

    def _merge_namespace(self, ns: str, names: Sequence[str], keys: BaseKeys) -> dict[str, Column]:
        infos = [p for p in self.parts(ns) if set(p.columns) & set(names)]
        if not infos:
            return {}
        key = infos[0].key
        space = KeySpace(normal_keys(keys(base_column(key)), key), unique=key == "id")
        types = {n: self.field(n).type for n in names}
        return merge_parts(self.view, infos, space, types)


def merge_parts(
    view: View, infos: Sequence[PartInfo], space: KeySpace, types: Mapping[str, pa.DataType]
) -> dict[str, Column]:
    """Return, for each column of `types` that a part holds, who wins for every row of `space`.

    Parameters
    ----------
    infos : sequence of PartInfo
        The parts of one namespace, oldest first.
    space : KeySpace
        The rows to be answered for.
    types : mapping of str to pyarrow.DataType
        The columns wanted and their registered types.
    """
    wins = {n: np.full(space.size, -1, np.int64) for n in types}
    values: dict[str, list[pa.ChunkedArray]] = {n: [] for n in types}
    sizes = dict.fromkeys(types, 0)
    speaking = [(i, held) for i in infos if (held := [n for n in types if n in i.columns])]
    tables = []
    for info, held in tracked(speaking, "reading overlays", unit="files", total=len(speaking),
                              size=lambda _: 1):  # fmt: skip
        with view.open(info.file) as opened, reading(info.file.path):
            tables.append(sound(opened.read(columns=[info.key, *held])))
    # All keys at once: each look-up hashes one side, and the base may be long.
    keys = [c for (i, _), t in zip(speaking, tables, strict=True)
            for c in normal_keys(t.column(i.key), i.key).chunks]  # fmt: skip
    all_codes = space.codes(pa.chunked_array(keys, pa.string()))
    start = 0
    for (info, held), table in zip(speaking, tables, strict=True):
        codes = all_codes[start : start + table.num_rows]
        start += table.num_rows
        for n in held:
            spoken = codes >= 0
            silent = info.unspoken(n)
            if silent is not None:
                spoken &= ~silent
            at = np.flatnonzero(spoken)
            wins[n][codes[at]] = sizes[n] + at
            values[n].append(table.column(n).cast(types[n]))
            sizes[n] += table.num_rows
    return {
        n: Column(_together(values[n], types[n]), space.per_row(wins[n]))
        for n in types
        if values[n]
    }


def union_keys(view: View, infos: Sequence[PartInfo]) -> pa.ChunkedArray:
    """Return every key that any of the parts holds, once, oldest first."""
    found = []
    for info in infos:
        with view.open(info.file) as opened, reading(info.file.path):
            column = sound(opened.read(columns=[info.key])).column(0)
        found += normal_keys(column, info.key).chunks
    return pa.chunked_array([pc.unique(pa.chunked_array(found, pa.string()))])


def _together(values: list[pa.ChunkedArray], dtype: pa.DataType) -> pa.ChunkedArray:
    chunks = [c for v in values for c in v.chunks]
    # Random access into many chunks is slow; one array is held instead.
    return pa.chunked_array([pa.concat_arrays(chunks)] if chunks else [], dtype)
