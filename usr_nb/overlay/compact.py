"""Many parts of a namespace as one, with exactly the values that a read gives (contract OVL-9)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from usr_nb.overlay.kept import IdSpace, finder_of
from usr_nb.overlay.lookup import KeySpace, base_column, normal_keys
from usr_nb.overlay.merge import Merged, merge_parts, union_keys
from usr_nb.overlay.parts import PartInfo
from usr_nb.overlay.places import part_keys
from usr_nb.storage.parallel import in_order


@dataclass(frozen=True)
class Folded:
    """All parts of a namespace as one table, and which of its cells no part ever spoke for.

    Attributes
    ----------
    table : pyarrow.Table
        Key column, then the columns in registry order; keys of the base first, in base order.
    unspoken : dict of str to numpy.ndarray of bool
        Column → rows of the table; absent where every cell is spoken for.
    """

    table: pa.Table
    key: str
    unspoken: dict[str, npt.NDArray[np.bool_]]


def fold(merged: Merged, namespace: str, infos: Sequence[PartInfo]) -> Folded:
    """Fold parts (oldest first) into one table.

    Cells that no part speaks for hold the base's value, or null, for tools that do not know
    ``usr:unspoken``.
    """
    key = infos[0].key
    space = _id_space(merged, infos) if key == "id" else None
    if space is not None:
        keys = space.keys
        strange = np.full(len(space.orphans), -1, np.int64)
        base_rows = np.concatenate([space.base_rows, strange])
    else:
        keys, base_rows = _base_order(merged, key, union_keys(merged.view, infos))
    held = {c for i in infos for c in i.columns}
    entry = merged.registry.entry(namespace)
    names = [c.name for c in entry.columns if c.name in held]
    types = {n: merged.field(n).type for n in names}
    held_by = KeySpace(keys, unique=True) if space is None else space
    columns = merge_parts(merged.view, infos, held_by, types)
    below = _base_cells(merged, base_rows, names)
    arrays: dict[str, pa.ChunkedArray | pa.Array] = {key: keys}
    unspoken = {}
    rows = slice(0, len(keys))
    for n in names:
        arrays[n] = columns[n].take(rows, below.get(n))
        silent = columns[n].source < 0
        if silent.any():
            unspoken[n] = silent
    return Folded(pa.table(arrays), key, unspoken)


def _id_space(merged: Merged, infos: Sequence[PartInfo]) -> IdSpace | None:
    """Return all ids of the parts, looked up in the base; None if the base's are odd."""
    finder = finder_of(merged)
    if finder is None:
        return None
    keys = [c for k in in_order(lambda i: part_keys(merged.view, i), infos) for c in k.chunks]
    return IdSpace(finder, pa.chunked_array(keys, pa.string()))


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
