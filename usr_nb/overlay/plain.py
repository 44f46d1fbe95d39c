"""Merging the plain way: all keys hashed, all values held.

For keys that are sequences, for compaction and record state, and as what every quick way is
compared with. The rule is :mod:`usr_nb.overlay.merge`'s.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from usr_nb.contract.progress import tracked
from usr_nb.overlay.column import Column, together
from usr_nb.overlay.lookup import Codes, normal_keys
from usr_nb.overlay.parts import PartInfo
from usr_nb.storage.parallel import in_order
from usr_nb.storage.parquet import reading, sound
from usr_nb.storage.view import View

_INT32_ROWS: Final = 2**31


def merge_parts(
    view: View,
    infos: Sequence[PartInfo],
    space: Codes,
    types: Mapping[str, pa.DataType],
    *,
    codes: npt.NDArray[Any] | None = None,
) -> dict[str, Column]:
    """Return, for each column of `types` that a part holds, who wins for every row of `space`.

    Parameters
    ----------
    infos : sequence of PartInfo
        The parts of one namespace, oldest first.
    space : KeySpace or what does the same
        The rows to be answered for.
    types : mapping of str to pyarrow.DataType
        The columns wanted and their registered types.
    codes : numpy.ndarray of int, optional
        The code of each key of all parts, one after the other, if they were looked up already;
        the keys are not read again then.
    """
    dtype = np.int32 if sum(i.rows for i in infos) < _INT32_ROWS else np.int64
    wins = {n: np.full(space.size, -1, dtype) for n in types}
    values: dict[str, list[pa.ChunkedArray]] = {n: [] for n in types}
    sizes = dict.fromkeys(types, 0)
    speaking = [(i, held) for i in infos if (held := [n for n in types if n in i.columns])]

    def read(item: tuple[PartInfo, list[str]]) -> pa.Table:
        info, held = item
        names = held if is_known else [info.key, *held]
        with view.open(info.file) as opened, reading(info.file.path):
            found = sound(opened.read(columns=names))
            if found.num_rows != info.rows:
                raise pa.ArrowInvalid(f"{found.num_rows} rows found, the footer says otherwise")
            return found

    is_known = codes is not None and len(speaking) == len(infos)
    tables = list(tracked(in_order(read, speaking), "reading overlays", unit="files",
                          total=len(speaking), size=lambda _: 1))  # fmt: skip
    if codes is not None and is_known:
        all_codes: npt.NDArray[Any] = codes
    else:
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
        n: Column(together(values[n], types[n]), space.per_row(wins[n])) for n in types if values[n]
    }
