"""Cells of a few rows, asked for again and again: what a panel that scrolls needs.

:meth:`~usr_nb.overlay.merge.Merged.take` reads the keys and values of all parts at every call.
Here the place of each row's value is worked out once per column; then a page costs the reading
of the row groups that it touches.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from usr_nb.contract.names import namespace_of
from usr_nb.overlay.lookup import Int, KeySpace, base_column, normal_keys
from usr_nb.overlay.merge import Merged
from usr_nb.overlay.parts import PartInfo
from usr_nb.storage.parquet import reading, sound

#: Bytes of decoded row groups that are kept for the next page.
KEPT_BYTES: Final = 48 << 20


@dataclass(frozen=True)
class _Places:
    """Where the cells of one overlay column lie.

    ``source`` holds, per base row, the row in the parts set end to end, or -1 where no part
    speaks; ``starts`` holds the first row of each part.
    """

    parts: tuple[PartInfo, ...]
    starts: Int
    source: Int


class Cells:
    """Random access to one merged table.

    Memory: 8 bytes per base row for each overlay column that was asked for (shared by columns
    that the same parts hold), and at most :data:`KEPT_BYTES` of decoded row groups.

    Parameters
    ----------
    merged : Merged
        The table; its view stays open as long as this is used.
    """

    def __init__(self, merged: Merged) -> None:
        self.merged = merged
        self._places: dict[str, _Places | None] = {}
        self._kept: OrderedDict[tuple[str, int, str], pa.ChunkedArray] = OrderedDict()
        self._kept_bytes = 0
        self._group_starts: dict[str, Int] = {}

    def take(self, rows: Int, columns: Sequence[str]) -> pa.Table:
        """Return the merged cells of base rows (0-based, in the order given), as `take` would.

        Raises
        ------
        SchemaError
            If a column does not exist.
        """
        names = self.merged.check_columns(columns)
        self._find_places(names)
        at = np.asarray(rows, np.int64)
        arrays = [self._column(name, at) for name in names]
        return pa.Table.from_arrays(arrays, schema=pa.schema([self.merged.field(n) for n in names]))

    def is_ready(self, columns: Sequence[str]) -> bool:
        """Say whether the places of these columns are known, so that a page of them is quick."""
        base = set(self.merged.base_schema.names)
        return all(c in self._places or (c in base and not namespace_of(c)) for c in columns)

    # Where the cells are ----------------------------------------------------------------------

    def _find_places(self, names: Sequence[str]) -> None:
        unknown: dict[str, list[str]] = {}
        for name in names:
            if name not in self._places:
                unknown.setdefault(namespace_of(name) or "", []).append(name)
        for namespace, wanted in unknown.items():
            if namespace and namespace in self.merged.view.overlays:
                self._places |= self._places_in(namespace, wanted)
            else:
                self._places |= dict.fromkeys(wanted)

    def _places_in(self, namespace: str, names: Sequence[str]) -> dict[str, _Places | None]:
        """Decide for every row who wins: the rule is the one of ``merge_parts`` (OVL-6)."""
        infos = self.merged.parts(namespace)
        speaking = [p for p in infos if set(p.columns) & set(names)]
        if not speaking:
            return dict.fromkeys(names)
        key = speaking[0].key
        space = KeySpace(
            normal_keys(self.merged.base_keys(base_column(key)), key), unique=key == "id"
        )
        # All keys at once: each look-up hashes the keys of the base anew.
        keys = [chunk for p in speaking for chunk in self._keys(p).chunks]
        together = space.codes(pa.chunked_array(keys, pa.string()))
        codes = np.split(together, np.cumsum([p.rows for p in speaking])[:-1])
        found: dict[str, _Places | None] = {}
        shared: dict[tuple[str, ...], _Places] = {}
        for name in names:
            held = [(p, c) for p, c in zip(speaking, codes, strict=True) if name in p.columns]
            silent = [p.unspoken(name) for p, _ in held]
            mute_parts = any(m is not None for m in silent)
            alike = () if mute_parts else tuple(p.file.path for p, _ in held)
            if alike in shared:
                found[name] = shared[alike]
                continue
            wins = np.full(space.size, -1, np.int64)
            starts = np.cumsum([0, *(p.rows for p, _ in held)], dtype=np.int64)
            for (_, code), mute, start in zip(held, silent, starts, strict=False):
                spoken = code >= 0 if mute is None else (code >= 0) & ~mute
                at = np.flatnonzero(spoken)
                wins[code[at]] = start + at
            places = _Places(tuple(p for p, _ in held), starts, space.per_row(wins))
            found[name] = places if held else None
            if alike:
                shared[alike] = places
        return found

    def _keys(self, part: PartInfo) -> pa.ChunkedArray:
        with self.merged.view.open(part.file) as opened, reading(part.file.path):
            column = sound(opened.read(columns=[part.key])).column(0)
        return normal_keys(column, part.key)

    # Reading them -----------------------------------------------------------------------------

    def _column(self, name: str, at: Int) -> pa.Array:
        dtype = self.merged.field(name).type
        below = self._below(name, at, dtype)
        places = self._places.get(name)
        if places is None:
            return below
        source = places.source[at]
        out, order = [below], np.arange(len(at))
        filled = len(at)
        part_of = np.searchsorted(places.starts, source, side="right") - 1
        for i in np.unique(part_of[source >= 0]).tolist():
            mine = np.flatnonzero((source >= 0) & (part_of == i))
            out.append(self._of_part(places.parts[i], name, source[mine] - places.starts[i], dtype))
            order[mine] = filled + np.arange(len(mine))
            filled += len(mine)
        return pa.concat_arrays(out).take(pa.array(order))

    def _below(self, name: str, at: Int, dtype: pa.DataType) -> pa.Array:
        if name not in self.merged.base_schema.names:
            return pa.nulls(len(at), dtype)
        with reading(self.merged.view.layout.records):
            return self._rows("", self.merged.view.base, name, at, dtype)

    def _of_part(self, part: PartInfo, name: str, at: Int, dtype: pa.DataType) -> pa.Array:
        with self.merged.view.open(part.file) as opened, reading(part.file.path):
            return self._rows(part.file.path, opened, name, at, dtype)

    def _rows(
        self, path: str, file: pq.ParquetFile, name: str, at: Int, dtype: pa.DataType
    ) -> pa.Array:
        """Return rows of one column of one file, through the row groups that are kept."""
        starts = self._group_starts.get(path)
        if starts is None:
            sizes = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
            starts = self._group_starts[path] = np.cumsum([0, *sizes], dtype=np.int64)
        group = np.searchsorted(starts, at, side="right") - 1
        out, order, filled = [pa.nulls(0, dtype)], np.zeros(len(at), np.int64), 0
        for g in np.unique(group).tolist():
            mine = np.flatnonzero(group == g)
            values = self._group((path, g, name), file, dtype)
            taken = values.take(pa.array(at[mine] - starts[g]))
            out.append(taken.combine_chunks())
            order[mine] = filled + np.arange(len(mine))
            filled += len(mine)
        return pa.concat_arrays(out).take(pa.array(order))

    def _group(
        self, key: tuple[str, int, str], file: pq.ParquetFile, dtype: pa.DataType
    ) -> pa.ChunkedArray:
        kept = self._kept.get(key)
        if kept is not None:
            self._kept.move_to_end(key)
            return kept
        _, group, name = key
        values = _read(file, group, name, dtype)
        self._kept[key] = values
        self._kept_bytes += values.nbytes
        while self._kept_bytes > KEPT_BYTES and self._kept:
            self._kept_bytes -= self._kept.popitem(last=False)[1].nbytes
        return values


def _read(file: pq.ParquetFile, group: int, name: str, dtype: pa.DataType) -> pa.ChunkedArray:
    column = sound(file.read_row_groups([group], columns=[name])).column(name)
    if len(column) != file.metadata.row_group(group).num_rows:
        raise pa.ArrowInvalid("fewer rows were found than the footer says")
    return column.cast(dtype)
