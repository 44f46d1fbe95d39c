"""What an import keeps beside the essentials: other columns, FASTA names (contract IMP-1)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from usr_nb.contract.essentials import REQUIRED_COLUMNS
from usr_nb.contract.names import check_namespace
from usr_nb.contract.order import next_created_at
from usr_nb.contract.registry import Column, NamespaceEntry, Registry
from usr_nb.contract.times import utc_now
from usr_nb.contract.types import is_registry_type, plain_type, same_type, type_text
from usr_nb.dataset.context import Change
from usr_nb.dataset.incoming import Incoming
from usr_nb.dataset.registration import register_namespace
from usr_nb.errors import SchemaError
from usr_nb.overlay.cast import cast_column
from usr_nb.overlay.merge import Merged
from usr_nb.overlay.parts import PartInfo, new_part_time
from usr_nb.readers import Rows

PREFIX: Final = "keep:"
FASTA_COLUMNS: Final = ("name", "description", "header")
NAMES: Final = "names"
RECORDS: Final = "fasta_records"
RECORDS_TYPE: Final = (
    "list<struct<position:int64,header:string,width:int32,newline:string,ended:bool>>"
)
_LEGAL: Final = re.compile(r"(?!.*__)[A-Za-z0-9_][A-Za-z0-9_.\-]*\Z")


class Keeper:
    """The columns that one import keeps in a namespace.

    Of FASTA these are ``name``, ``description``, ``header`` (the line after ``>``), ``names`` (of
    all records folded into the row) and ``fasta_records``: per record its place (0-based, counted
    on from earlier imports into the namespace), its header, the width and end of its lines, and
    whether its last line ended, from which the file can be written again.

    Attributes
    ----------
    columns : dict of str to Column
        Source column → registered column.
    """

    def __init__(self, rows: Rows, namespace: str, registry: Registry) -> None:
        self.namespace = check_namespace(namespace)
        self.rows = rows
        self.is_fasta = rows.format == "fasta"
        self._entry = registry.get(namespace)
        sources = [n for n in rows.schema.names if n not in REQUIRED_COLUMNS]
        fields = _fields([s.removeprefix(f"{namespace}__") for s in sources])
        self.columns: dict[str, Column] = {
            s: self._column(f"{namespace}__{f}", rows.schema.field(s).type)
            for s, f in zip(sources, fields, strict=True)
        }
        self._added = []
        if self.is_fasta:
            self._added = [
                Column(f"{namespace}__{NAMES}", "list<string>"),
                Column(f"{namespace}__{RECORDS}", RECORDS_TYPE),
            ]
        for column in self._added:
            known = self._entry.column(column.name) if self._entry is not None else None
            if known is not None and not same_type(known.arrow_type, column.arrow_type):
                raise SchemaError(
                    f"'{column.name}' is registered as {known.type}; FASTA records are kept "
                    f"as {column.type}",
                    hint="Keep them in another namespace.",
                )

    def _column(self, full: str, dtype: pa.DataType) -> Column:
        known = self._entry.column(full) if self._entry is not None else None
        if known is not None:
            return known
        if pa.types.is_null(dtype):
            return Column(full, "string")
        plain = plain_type(dtype)
        if not is_registry_type(plain):
            raise SchemaError(
                f"{self.rows.label}: column of type {dtype} cannot be kept as '{full}'",
                hint="Leave it out of the input, or cast it first.",
            )
        return Column(full, type_text(plain))

    @property
    def fields(self) -> list[pa.Field]:
        """How the kept columns pass through the import, each naming its source."""
        return [
            pa.field(PREFIX + s, self.rows.schema.field(s).type, metadata={"source": s})
            for s in self.columns
        ]

    @property
    def all_columns(self) -> list[Column]:
        """The registered columns that the part has."""
        return [*self.columns.values(), *self._added]

    def register(self, root: Path) -> None:
        """Register the namespace, or add to it the columns that it lacks."""
        have = self._entry.columns if self._entry is not None else ()
        names = {c.name for c in have}
        missing = [c for c in self.all_columns if c.name not in names]
        if not missing:
            return
        entry = self._entry or NamespaceEntry(None, "Kept at import", ())
        register_namespace(
            root,
            namespace=self.namespace,
            columns=[*have, *missing],
            owner=entry.owner,
            description=entry.description,
            overwrite=True,
        )

    def check_key(self, merged: Merged) -> None:
        """Raise if the namespace has an overlay that is not keyed by id."""
        infos = merged.parts(self.namespace) if self.namespace in merged.view.overlays else []
        if infos and infos[0].key != "id":
            raise SchemaError(
                f"Namespace '{self.namespace}' is keyed by '{infos[0].key}'; imports keep by id",
                hint="Keep the columns in another namespace.",
            )

    def stage_part(
        self,
        c: Change,
        merged: Merged,
        incoming: Incoming,
        keep: npt.NDArray[np.bool_],
        *,
        newer_than: Mapping[str, datetime],
    ) -> None:
        """Stage the part of the rows that are added, in base order."""
        self.check_key(merged)
        infos = merged.parts(self.namespace) if self.namespace in merged.view.overlays else []
        at = new_part_time(infos)
        if self.namespace in newer_than:
            at = next_created_at(utc_now(), max(at, newer_than[self.namespace]))
        schema = pa.schema(
            [pa.field("id", pa.string())]
            + [pa.field(col.name, col.arrow_type) for col in self.all_columns]
        )
        tables = self._tables(incoming, keep, schema, self._next_position(merged, infos))
        c.stage_overlay(
            self.namespace, key="id", created_at=at, schema=schema, batches=tables,
            total=int(keep.sum()),
        )  # fmt: skip

    def check_cells(self, incoming: Incoming, keep: npt.NDArray[np.bool_]) -> None:
        """Raise for a cell that its registered column cannot hold, before anything is written."""
        for _ in self._cast_batches(incoming, keep):
            pass

    def _next_position(self, merged: Merged, infos: Sequence[PartInfo]) -> int:
        """Return the place of the first record: behind those that the namespace has."""
        name = f"{self.namespace}__{RECORDS}"
        held = set(merged.base_schema.names).union(*(i.columns for i in infos))
        if not self.is_fasta or name not in held:
            return 0
        records = merged.table([name]).column(0).combine_chunks().flatten()
        last = pc.max(records.field("position")).as_py()
        return 0 if last is None else int(last) + 1

    def _tables(
        self, incoming: Incoming, keep: npt.NDArray[np.bool_], schema: pa.Schema, first: int
    ) -> Iterator[pa.Table]:
        repeats = self._repeated_headers(incoming) if self.is_fasta else {}
        for start, batch, cells in self._cast_batches(incoming, keep):
            added: list[pa.Array] = []
            if self.is_fasta:
                rows = start + np.flatnonzero(keep[start : start + batch.num_rows])
                kept = batch.take(pa.array(rows - start))
                added = self._fasta_cells(kept, rows, repeats, first, incoming.spill.rows)
            yield pa.Table.from_arrays([*cells, *added], schema=schema)

    def _cast_batches(
        self, incoming: Incoming, keep: npt.NDArray[np.bool_]
    ) -> Iterator[tuple[int, pa.RecordBatch, list[Any]]]:
        """Yield (first row, whole batch, cells of the rows to keep: ids, then each column)."""
        start = 0
        for batch in incoming.spill:
            mask = keep[start : start + batch.num_rows]
            rows = pa.array(np.flatnonzero(mask))
            # Rows left out are nulls while casting, so that an error counts rows of the input.
            known = pa.array(np.arange(len(mask)), mask=~mask)
            where = self.rows.label + (f", counted from row {start + 1}" if start else "")
            arrays: list[Any] = [batch.column("id").take(rows)]
            for source, column in self.columns.items():
                values = pa.chunked_array([batch.column(PREFIX + source).take(known)])
                cast = cast_column(
                    values, column.arrow_type, name=column.name, parse_json=True, where=where
                )
                arrays.append(cast.take(rows))
            yield start, batch, arrays
            start += batch.num_rows

    def _repeated_headers(self, incoming: Incoming) -> dict[int, tuple[int, str, str]]:
        rows = np.array(sorted(r for group in incoming.repeats.values() for r in group), np.int64)
        headers = incoming.cells(rows, PREFIX + "header")
        names = incoming.cells(rows, PREFIX + "name")
        found = {r: (r, h, n) for r, h, n in zip(rows.tolist(), headers, names, strict=True)}
        self._groups = {g[0]: g for g in incoming.repeats.values()}
        return found

    def _fasta_cells(
        self,
        kept: pa.RecordBatch,
        rows: npt.NDArray[np.int64],
        repeats: Mapping[int, tuple[int, str, str]],
        first: int,
        total: int,
    ) -> list[pa.Array]:
        form = {"width": self.rows.extra["line_width"], "newline": self.rows.extra["newline"]}
        unended = None if self.rows.extra["final_newline"] else total - 1
        names, records = [], []
        own = zip(
            rows.tolist(),
            kept.column(PREFIX + "header").to_pylist(),
            kept.column(PREFIX + "name").to_pylist(),
            strict=True,
        )
        for row, header, name in own:
            group = [repeats[r] for r in self._groups.get(row, ())] or [(row, header, name)]
            names.append([n for _, _, n in group])
            records.append(
                [
                    {"position": first + r, "header": h, "ended": r != unended, **form}
                    for r, h, _ in group
                ]
            )
        return [pa.array(names, pa.list_(pa.string())),
                pa.array(records, self._added[1].arrow_type)]  # fmt: skip


def _fields(names: Sequence[str]) -> list[str]:
    """Return a legal field name like each name, all different; legal ones stay as they are."""
    taken = {n for n in names if _LEGAL.match(n)}
    fields = []
    for name in names:
        if _LEGAL.match(name):
            fields.append(name)
            continue
        clean = re.sub(r"[^A-Za-z0-9_.\-]", "_", name)
        clean = re.sub(r"__+", "_", clean).lstrip("._-").rstrip("_") or "column"
        field, n = clean, 1
        while field in taken:
            n += 1
            field = f"{clean}_{n}"
        taken.add(field)
        fields.append(field)
    return fields
