"""The merged view: base and overlays as one table (contract OVL-6, OVL-7).

Last writer wins per key and column: for every base row and every column, the newest part that
holds both decides, and a null it holds is a value. Where no part speaks, the base's value stands.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from usr_nb.contract.essentials import ESSENTIALS
from usr_nb.contract.names import TOMBSTONE_NS, namespace_of
from usr_nb.contract.progress import tracked
from usr_nb.contract.records import TOMBSTONE_SCHEMA
from usr_nb.contract.registry import Registry
from usr_nb.contract.types import same_type, type_text
from usr_nb.errors import SchemaError, did_you_mean, join_hints, some
from usr_nb.overlay.base import BATCH_ROWS, Base, Piece
from usr_nb.overlay.column import Column, RowReader, Streamed, load, one, streams
from usr_nb.overlay.idindex import Finder, candidates
from usr_nb.overlay.lookup import Int, base_column, normal_keys
from usr_nb.overlay.parts import PartInfo, check_registered, parts_of
from usr_nb.overlay.places import Finding, Places
from usr_nb.storage.caches import Unusable
from usr_nb.storage.parallel import in_order
from usr_nb.storage.parquet import Opened, reading
from usr_nb.storage.view import View

Mask = npt.NDArray[np.bool_]
#: Up to so many rows are read by the row groups concerned, more of them by whole columns.
FEW_ROWS = 32_768
#: What is kept of decoded row groups while some rows are read, in bytes.
READ_BYTES = 64 << 20
_DELETED = "usr__deleted"


class Merged(Base):
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
    use_caches : bool
        Whether caches outside the dataset may be used and made (``docs/format.md``): for reading
        only. What writes or validates looks into the files.
    """

    def __init__(
        self,
        view: View,
        registry: Registry,
        *,
        include_overlays: bool | Sequence[str] = True,
        include_deleted: bool = False,
        use_caches: bool = False,
    ) -> None:
        super().__init__(view, registry)
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
        self.use_caches = use_caches
        self._use_finding(use_caches=use_caches)

    def _use_finding(self, *, use_caches: bool) -> None:
        self._finding = Finding(self.view, self.base_keys, self._ids, use_caches=use_caches)
        self._places: dict[str, Places] = {}
        self._whole: dict[str, Column] = {}

    def _ids(self) -> Iterator[pa.Array]:
        known = self._base_keys.get("id")
        if known is not None:
            yield from known.chunks
            return
        for batch in tracked(self.base_batches(["id"]), "reading id", total=self.base_rows):
            yield batch.column(0)

    # What there is ----------------------------------------------------------------------------

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
        if total <= FEW_ROWS < self.base_rows:
            table = self.take(self._live_of(np.arange(total)), names)
            yield from table.to_batches(max_chunksize=batch_rows)
            return
        schema = pa.schema([self.field(n) for n in names])
        live = None if self.include_deleted else self.live_mask(total)
        needed = [n for n in names if n in self.base_schema.names]
        with contextlib.ExitStack() as held:
            overlays = self._scanned(names, total, held)
            pieces = self.pieces(needed, total, batch_rows)

            def merge(piece: Piece) -> list[pa.RecordBatch]:
                read = self.read_piece(piece, needed, batch_rows)
                merged = [
                    _merged_batch(rows, batch, overlays, schema=schema, live=live)
                    for rows, batch in read
                ]
                return [batch for batch in merged if batch.num_rows]

            for batches in in_order(merge, pieces):
                yield from batches

    def table(
        self, columns: Sequence[str] | None = None, *, limit_base: int | None = None
    ) -> pa.Table:
        """Return the merged table; an empty one still has its schema."""
        names = self.check_columns(columns)
        schema = pa.schema([self.field(n) for n in names])
        return pa.Table.from_batches(self.batches(names, limit_base=limit_base), schema=schema)

    def take(self, rows: Sequence[int] | Int, columns: Sequence[str] | None = None) -> pa.Table:
        """Return some base rows (0-based, in the order given), tombstoned or not.

        Only the row groups that hold their cells are read.
        """
        names = self.check_columns(columns)
        at = np.asarray(rows, np.int64)
        if len(at) > FEW_ROWS:
            return self._take_many(at, names)
        return self.rows_of(at, names, self._reader)

    @cached_property
    def _reader(self) -> RowReader:
        """Reads single rows: what was decoded to find them is not decoded again to show them."""
        return RowReader(READ_BYTES)

    def rows_of(self, at: Int, names: Sequence[str], reader: RowReader) -> pa.Table:
        """Return some base rows (0-based, in the order given) through a reader that keeps groups.

        Parameters
        ----------
        at : numpy.ndarray of int64
            Rows of the base.
        names : sequence of str
            Columns that exist.
        reader : RowReader
            Reads the row groups concerned, and has those it read last.
        """
        try:
            arrays = self._cells(at, names, reader)
        except Unusable:
            self._without_caches(names)
            arrays = self._cells(at, names, reader)
        return pa.Table.from_arrays(arrays, schema=pa.schema([self.field(n) for n in names]))

    def _cells(self, at: Int, names: Sequence[str], reader: RowReader) -> list[pa.Array]:
        """Return merged cells, column by column; raises Unusable if a cache turns out wrong."""
        groups = self._alike(names)
        types = {base_column(p.parts[0].key): pa.string() for p, _ in groups if p.is_cached}
        types |= {n: self.base_field(n).type for n in names if n in self.base_schema.names}
        base = self._base_cells(types, at, reader)
        cells = {n: base[n] for n in names if n in base}
        for places, alike in groups:
            cells |= self._spoken(places, alike, at, base, reader)
        return [cells[n] if n in cells else pa.nulls(len(at), self.field(n).type) for n in names]

    def _base_cells(
        self, types: Mapping[str, pa.DataType], at: Int, reader: RowReader
    ) -> dict[str, pa.Array]:
        path = self.view.layout.records
        for name in types:
            self.base_field(name)
        with reading(path):
            return reader.columns(str(path), self._opened_base, types, at)

    def _spoken(
        self, places: Places, names: Sequence[str], at: Int, base: Mapping[str, pa.Array],
        reader: RowReader,
    ) -> dict[str, pa.Array]:  # fmt: skip
        """Return the cells of columns that the same parts hold, those of the base below them."""
        types = {n: self.field(n).type for n in names}
        below = {n: base[n] if n in base else pa.nulls(len(at), t) for n, t in types.items()}
        source = places.source.at(at)
        if places.is_cached and (source >= places.starts[-1]).any():
            raise Unusable
        found = {n: [cells] for n, cells in below.items()}
        order, filled = np.arange(len(at)), len(at)
        part_of = np.searchsorted(places.starts, source, side="right") - 1
        for i in sorted(set(part_of[source >= 0].tolist())):
            mine = np.flatnonzero((source >= 0) & (part_of == i))
            part = places.parts[i]
            key = {part.key: pa.string()} if places.is_cached else {}
            rows = source[mine] - places.starts[i]
            cells = self._part_cells(part, {**key, **types}, rows, reader)
            if key and not _same_keys(part.key, cells[part.key], base, mine):
                raise Unusable
            for n in names:
                found[n].append(cells[n])
            order[mine] = filled + np.arange(len(mine))
            filled += len(mine)
        if filled == len(at):
            return below
        if len(part_of) == len(mine):
            return {n: cells[-1] for n, cells in found.items()}
        return {n: pa.concat_arrays(cells).take(pa.array(order)) for n, cells in found.items()}

    def _part_cells(
        self, part: PartInfo, types: Mapping[str, pa.DataType], rows: Int, reader: RowReader
    ) -> dict[str, pa.Array]:
        with reading(part.file.path):
            return reader.columns(part.file.path, partial(self.view.open, part.file), types, rows)

    def _opened_base(self) -> contextlib.AbstractContextManager[Opened]:
        return contextlib.nullcontext(self.view.base)

    def _take_many(self, at: Int, names: list[str]) -> pa.Table:
        needed = [n for n in names if n in self.base_schema.names]
        base = self.base_rows_of(at, needed or ["id"])
        missing = [n for n in names if n not in self._whole]
        # Kept, as who sorts a table takes all of it, many rows at a time.
        self._whole |= self.overlay_columns(missing)
        overlays = self._whole
        arrays = []
        for name in names:
            below = one(base.column(name)) if name in needed else None
            if name in overlays:
                column = Column(overlays[name].values, overlays[name].source[at])
                arrays.append(column.take(slice(0, len(at)), below))
            elif below is not None:
                arrays.append(below)
            else:
                arrays.append(pa.nulls(len(at), self.field(name).type))
        return pa.Table.from_arrays(arrays, schema=pa.schema([self.field(n) for n in names]))

    def overlay_columns(self, names: Sequence[str], limit: int | None = None) -> dict[str, Column]:
        """Return, for those of `names` that overlays hold, how to merge them."""
        found: dict[str, Column] = {}
        for places, alike in self._proven(names):
            types = {n: self.field(n).type for n in alike}
            found |= load(self.view, places, types, places.source.whole()[:limit])
        return found

    def _scanned(
        self, names: Sequence[str], total: int, held: contextlib.ExitStack
    ) -> dict[str, Column | Streamed]:
        """Return how to merge columns batch by batch; files that are read along stay open."""
        found: dict[str, Column | Streamed] = {}
        for places, alike in self._proven(names):
            types = {n: self.field(n).type for n in alike}
            source = places.source.whole()
            if streams(places, source):
                part = places.parts[0]
                opened = held.enter_context(self.view.open(part.file))
                found |= {n: Streamed(opened, part, n, types[n], source) for n in alike}
            else:
                found |= load(self.view, places, types, source[:total])
        return found

    def _alike(self, names: Sequence[str]) -> list[tuple[Places, list[str]]]:
        """Return where overlay columns lie, those together that lie alike."""
        shared: dict[int, tuple[Places, list[str]]] = {}
        for name, places in self.places(names).items():
            shared.setdefault(id(places), (places, []))[1].append(name)
        return list(shared.values())

    def _proven(self, names: Sequence[str]) -> list[tuple[Places, list[str]]]:
        """Return the same for whole columns; what caches say was compared with the files."""
        if not self._ends_confirmed(self.places(names).values()):
            self._without_caches(names)
        return self._alike(names)

    def places(self, names: Sequence[str]) -> dict[str, Places]:
        """Return where the cells of those of `names` lie that overlays hold."""
        for ns in self._namespaces(names):
            missing = [n for n in names if namespace_of(n) == ns and n not in self._places]
            if missing:
                self._places |= self._finding.places(self.parts(ns), missing)
        self._finding.release()
        return {n: self._places[n] for n in names if n in self._places}

    def know_ids(self, finder: Finder) -> None:
        """Look keys up with what is in memory of this very base, not by reading its ids again."""
        self._finding.know(finder)

    def key_rows(self, keys: pa.ChunkedArray, key: str) -> Int:
        """Return a number for each key of a part, in normal form: -1 where no base row has it."""
        return self._finding.codes(keys, key)

    # Caches are never trusted -------------------------------------------------------------------

    def _without_caches(self, names: Sequence[str]) -> dict[str, Places]:
        """Throw away what caches say, and look into the files."""
        for places in self._places.values():
            places.forget()
        self._use_finding(use_caches=False)
        return self.places(names)

    def _ends_confirmed(self, found: Iterable[Places]) -> bool:
        """Say whether the first and the last row that a cache speaks for are right."""
        reader = RowReader(READ_BYTES)
        for places in found:
            if places.is_proven:
                continue
            try:
                ends = _ends(places.source.whole() >= 0)
            except Unusable:
                return False
            if len(ends) and not self._confirmed(places, ends, reader):
                return False
            places.prove()
        return True

    def _confirmed(self, places: Places, at: Int, reader: RowReader) -> bool:
        """Say whether parts have the keys of the base where a cache says that they speak."""
        key = base_column(places.parts[0].key)
        try:
            self._spoken(places, [], at, self._base_cells({key: pa.string()}, at, reader), reader)
        except Unusable:
            return False
        return True

    def live_mask(self, limit: int | None = None) -> Mask | None:
        """Return which base rows are not tombstoned, or None if all are live."""
        column = self._tombstones
        if column is None:
            return None
        source = column.source[:limit]
        live = np.ones(len(source), bool)
        there = np.flatnonzero(source >= 0)
        live[there] = ~_deleted(column, source[there])
        return live

    def rows_by_id(self, prefixes: Sequence[str]) -> list[list[tuple[str, int]]]:
        """Return the (id, base row) pairs of each prefix of 7 to 40 letters, by the id index.

        Every one is compared with the id in the base. Those without any may be there all the same:
        the index may be missing, or wrong.
        """
        nothing: list[list[tuple[str, int]]] = [[] for _ in prefixes]
        even = all(p and not p.strip("0123456789abcdef") for p in prefixes)
        index = self._finding.id_index() if even else None
        if index is None:
            return nothing
        try:
            guesses = [candidates(index, self.base_rows, p) for p in prefixes]
        except Unusable:
            self._finding.forget_ids()
            return nothing
        rows = np.array(sorted({r for found in guesses for r in found}), np.int64)
        if len(rows) > FEW_ROWS:
            return nothing
        ids = self._base_cells({"id": pa.string()}, rows, self._reader)["id"]
        named = dict(zip(rows.tolist(), ids.to_pylist(), strict=True))
        return [
            [(named[r], r) for r in found if str(named[r]).startswith(prefix)]
            for prefix, found in zip(prefixes, guesses, strict=True)
        ]

    def is_live(self, rows: Int) -> Mask:
        """Return which of some base rows are not tombstoned."""
        rows = np.asarray(rows, np.int64)
        if TOMBSTONE_NS not in self.view.overlays:
            return np.ones(len(rows), bool)
        if self._tombstones is None:
            return np.ones(len(rows), bool)
        live = np.ones(len(rows), bool)
        source = self._tombstones.source[rows]
        there = np.flatnonzero(source >= 0)
        live[there] = ~_deleted(self._tombstones, source[there])
        return live

    def _live_of(self, rows: Int) -> Int:
        return rows if self.include_deleted else rows[self.is_live(rows)]

    def first_live(self, n: int) -> Int:
        """Return the first `n` base rows (0-based) that this table shows."""
        hidden = 0 if self.include_deleted else self.tombstone_rows()
        return self._live_of(np.arange(min(n + hidden, self.base_rows)))[:n]

    @cached_property
    def _tombstones(self) -> Column | None:
        if TOMBSTONE_NS not in self.view.overlays:
            return None
        infos = [p for p in self.parts(TOMBSTONE_NS) if _DELETED in p.columns]
        if not infos:
            return None
        places = self._finding.places(infos, [_DELETED])[_DELETED]
        if not self._ends_confirmed([places]):
            self._without_caches([])
            places.forget()
            places = self._finding.places(infos, [_DELETED])[_DELETED]
        types = {_DELETED: self.field(_DELETED).type}
        return load(self.view, places, types, places.source.whole())[_DELETED]

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


def _merged_batch(
    rows: slice,
    base: pa.RecordBatch,
    overlays: Mapping[str, Column | Streamed],
    *,
    schema: pa.Schema,
    live: Mask | None,
) -> pa.RecordBatch:
    """Return the merged cells of a run of base rows, without the tombstoned ones."""
    arrays = []
    for field in schema:
        at = base.schema.get_field_index(field.name)
        below = base.column(at) if at >= 0 else None
        if field.name in overlays:
            arrays.append(overlays[field.name].take(rows, below))
        elif below is not None:
            arrays.append(below)
        else:
            arrays.append(pa.nulls(base.num_rows, field.type))
    out = pa.RecordBatch.from_arrays(arrays, schema=schema)
    if live is not None and not live[rows].all():
        out = out.filter(pa.array(live[rows]))
    return out


def _ends(spoken: Mask) -> Int:
    """Return the first and the last row that is spoken for."""
    first = int(np.argmax(spoken)) if len(spoken) else 0
    if not len(spoken) or not spoken[first]:
        return np.zeros(0, np.int64)
    return np.array([first, len(spoken) - 1 - int(np.argmax(spoken[::-1]))], np.int64)


def _same_keys(key: str, theirs: pa.Array, base: Mapping[str, pa.Array], at: Int) -> bool:
    """Say whether keys of a part are those of the base's rows at `at`."""
    ours = base[base_column(key)]
    ours = ours if len(at) == len(ours) else ours.take(pa.array(at))
    if key == "id":
        return bool(theirs.equals(ours))
    found = normal_keys(pa.chunked_array([theirs]), key)
    return bool(found.equals(normal_keys(pa.chunked_array([ours]), key)))


def _deleted(column: Column, at: npt.NDArray[Any]) -> Mask:
    values = one(column.values.take(pa.array(at))).fill_null(False)
    return np.asarray(values.to_numpy(zero_copy_only=False), bool)
