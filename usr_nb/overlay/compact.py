"""Many parts of a namespace as one, with exactly the values that a read gives (contract OVL-9)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from usr_nb.overlay.kept import IdSpace, finder_of
from usr_nb.overlay.lookup import Codes, KeySpace, base_column, normal_keys
from usr_nb.overlay.merge import Merged
from usr_nb.overlay.parts import PartInfo
from usr_nb.overlay.places import part_keys, union_keys
from usr_nb.overlay.plain import merge_parts
from usr_nb.storage.parallel import in_order

#: Rows that one thread puts together at a time.
_PIECE: Final = 65_536


@dataclass(frozen=True)
class Folded:
    """All parts of a namespace as one, and which of its cells no part ever spoke for.

    Attributes
    ----------
    schema : pyarrow.Schema
        Key column, then the columns in registry order.
    num_rows : int
        Keys: those of the base first, in base order.
    unspoken : dict of str to numpy.ndarray of bool
        Column → rows of the table; absent where every cell is spoken for.
    """

    schema: pa.Schema
    num_rows: int
    key: str
    unspoken: dict[str, npt.NDArray[np.bool_]]
    _piece: Callable[[int, int], list[pa.ChunkedArray | pa.Array]] = field(repr=False)

    def to_batches(self) -> Iterator[pa.Table]:
        """Yield the rows, put together by several threads, some at a time."""

        def made(start: int) -> pa.Table:
            arrays = self._piece(start, min(start + _PIECE, self.num_rows))
            return pa.Table.from_arrays(arrays, schema=self.schema)

        return in_order(made, range(0, self.num_rows, _PIECE))


def fold(merged: Merged, namespace: str, infos: Sequence[PartInfo]) -> Folded:
    """Fold parts (oldest first) into one table.

    Cells that no part speaks for hold the base's value, or null, for tools that do not know
    ``usr:unspoken``.
    """
    key = infos[0].key
    space = _id_space(merged, infos) if key == "id" else None
    if space is not None:
        strange = np.full(len(space.orphans), -1, np.int64)
        base_rows = np.concatenate([space.base_rows, strange])
        held_by: Codes = space
        names_of, codes = space.names, space.all_codes
    else:
        keys, base_rows = _base_order(merged, key, union_keys(merged.view, infos))
        held_by = KeySpace(keys, unique=True)
        names_of, codes = (lambda start, end: keys[start:end]), None
    held = {c for i in infos for c in i.columns}
    entry = merged.registry.entry(namespace)
    names = [c.name for c in entry.columns if c.name in held]
    types = {n: merged.field(n).type for n in names}
    columns = merge_parts(merged.view, infos, held_by, types, codes=codes)
    below = _base_cells(merged, base_rows, names)
    unspoken = {n: silent for n in names if (silent := columns[n].source < 0).any()}

    def piece(start: int, end: int) -> list[pa.ChunkedArray | pa.Array]:
        run = slice(start, end)
        cells = [columns[n].take(run, below[n][run] if n in below else None) for n in names]
        return [names_of(start, end), *cells]

    schema = pa.schema([(key, pa.string()), *types.items()])
    return Folded(schema, len(base_rows), key, unspoken, piece)


def _id_space(merged: Merged, infos: Sequence[PartInfo]) -> IdSpace | None:
    """Return all ids of the parts, looked up in the base; None if the base's are odd."""
    finder = finder_of(merged)
    if finder is None:
        return None
    return IdSpace(finder, in_order(lambda i: part_keys(merged.view, i), infos))


def _base_order(
    merged: Merged, key: str, keys: pa.ChunkedArray
) -> tuple[pa.ChunkedArray, npt.NDArray[np.int64]]:
    """Return the keys in base order, unknown ones at the end, and their base rows (or -1)."""
    base = normal_keys(merged.base_keys(base_column(key)), key)
    space = KeySpace(base, unique=key == "id")
    codes = space.codes(keys)
    first = np.arange(space.size, dtype=np.int64)
    if space.rows is not None:
        first = np.full(space.size, -1, np.int64)
        first[space.rows[::-1]] = np.arange(len(space.rows) - 1, -1, -1)
    rows = np.where(codes >= 0, first[codes] if space.size else -1, -1)
    order = np.argsort(np.where(rows < 0, np.iinfo(np.int64).max, rows), kind="stable")
    return keys.take(pa.array(order)), rows[order]


def _base_cells(
    merged: Merged, base_rows: npt.NDArray[np.int64], names: Sequence[str]
) -> dict[str, pa.Array]:
    there = [n for n in names if n in merged.base_schema.names]
    if not there:
        return {}
    plain = Merged(merged.view, merged.registry, include_overlays=False, include_deleted=True)
    known = base_rows >= 0
    table = plain.take(base_rows[known], there)
    index = np.full(len(base_rows), -1, np.int64)
    index[known] = np.arange(int(known.sum()))
    at = pa.array(index, mask=~known)
    return {n: table.column(n).combine_chunks().take(at) for n in there}
