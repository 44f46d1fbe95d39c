"""Cells of one overlay column, from its parts and from the base below."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from usr_nb.contract.progress import tracked
from usr_nb.overlay.lookup import Int
from usr_nb.storage.parallel import in_order
from usr_nb.storage.parquet import NO_DICTIONARY, Opened, reading, sound

if TYPE_CHECKING:
    from usr_nb.overlay.parts import PartInfo
    from usr_nb.overlay.places import Places
    from usr_nb.storage.view import View

#: A part in the order of the base is read along with it from this many rows on.
STREAM_ROWS: Final = 100_000
#: So few rows of a group are looked at one by one before they are given out.
_FEW_ROWS: Final = 16
Opening = Callable[[], contextlib.AbstractContextManager[Opened]]


@dataclass
class Column:
    """One overlay column over some base rows: the values of its parts and where to look.

    ``source`` holds, per row, the position in ``values`` or -1 where no part speaks.
    """

    values: pa.ChunkedArray
    source: npt.NDArray[Any]

    def take(self, rows: slice, below: pa.Array | None) -> pa.Array:
        """Return the merged cells of a run of rows; `below` are the base's values, if any."""
        at = self.source[rows]
        silent = at < 0
        if not silent.any():
            return self._gather(at)
        spoken = one(self.values.take(pa.array(at, mask=silent)))
        return over(spoken, below, silent)

    def _gather(self, at: npt.NDArray[Any]) -> pa.Array:
        even = self._even
        if even is None:
            return one(self.values.take(pa.array(at)))
        taken = even.take(pa.array(at))
        offsets = np.arange(len(at) + 1, dtype=np.int32) * even.type.list_size
        flat = taken.values.slice(taken.offset * even.type.list_size, int(offsets[-1]))
        return pa.ListArray.from_arrays(pa.array(offsets), flat, type=self.values.type)

    @cached_property
    def _even(self) -> pa.FixedSizeListArray | None:
        """The same values as lists of fixed size, which move many times faster, if they all are."""
        if not pa.types.is_list(self.values.type) or self.values.num_chunks != 1:
            return None
        lists = self.values.chunk(0)
        if len(lists) == 0 or lists.null_count or not pa.types.is_primitive(lists.type.value_type):
            return None
        offsets = np.asarray(lists.offsets)
        size = int(offsets[1] - offsets[0])
        if size == 0 or not (np.diff(offsets) == size).all():
            return None
        flat = lists.values.slice(int(offsets[0]), size * len(lists))
        return pa.FixedSizeListArray.from_arrays(flat, size)


def over(spoken: pa.Array, below: pa.Array | None, silent: npt.NDArray[np.bool_]) -> pa.Array:
    """Lay what parts say over what stands in the base; `spoken` is null where they are silent."""
    if below is None:
        return spoken
    if silent.all():
        return below
    n = len(silent)
    if pa.types.is_nested(spoken.type) or pa.types.is_float16(spoken.type):
        both = pa.concat_arrays([spoken, below])
        return both.take(pa.array(np.where(silent, n + np.arange(n), np.arange(n))))
    return pc.if_else(pa.array(silent), below, spoken)


def one(values: pa.ChunkedArray | pa.Array) -> pa.Array:
    """Return values as one array."""
    return values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values


class Streamed:
    """A column that one part holds in the order of the base: it is read along with the base.

    Parameters
    ----------
    opened : Opened
        The part; it stays open for as long as this is used.
    part : PartInfo
        The same.
    name : str
        The column.
    dtype : pyarrow.DataType
        Its registered type.
    source : numpy.ndarray of int, shape (rows of the base,)
        Ascending where it is not negative.
    """

    def __init__(
        self, opened: Opened, part: PartInfo, name: str, dtype: pa.DataType,
        source: npt.NDArray[Any],
    ) -> None:  # fmt: skip
        self.opened, self.path, self.name, self.dtype = opened, part.file.path, name, dtype
        self.source = source
        self.starts = opened.group_starts()

    def take(self, rows: slice, below: pa.Array | None) -> pa.Array:
        """Return the merged cells of a run of rows; `below` are the base's values, if any."""
        at = self.source[rows]
        silent = at < 0
        spoken = at[~silent]
        if len(spoken) == 0:
            return pa.nulls(len(at), self.dtype) if below is None else below
        low, high = int(spoken[0]), int(spoken[-1]) + 1
        values = self._read(low, high)
        if len(spoken) == len(at) == high - low:
            return values
        if not silent.any():
            return values.take(pa.array(at - low))
        return over(values.take(pa.array(at - low, mask=silent)), below, silent)

    def _read(self, low: int, high: int) -> pa.Array:
        first = int(np.searchsorted(self.starts, low, side="right")) - 1
        last = int(np.searchsorted(self.starts, high, side="left"))
        with reading(self.path):
            groups = list(range(first, last))
            found = sound(
                self.opened.twin().read_row_groups(groups, columns=[self.name], use_threads=False)
            )
            if found.num_rows != self.starts[last] - self.starts[first]:
                raise pa.ArrowInvalid(f"{found.num_rows} rows found, the footer says otherwise")
            column = found.column(self.name).slice(low - int(self.starts[first]), high - low)
            return one(column.cast(self.dtype))


def streams(places: Places, source: npt.NDArray[Any]) -> bool:
    """Say whether a column can be read along with the base."""
    if len(places.parts) != 1 or places.parts[0].rows < STREAM_ROWS:
        return False
    spoken = source[source >= 0]
    return bool((spoken[1:] > spoken[:-1]).all())


def load(
    view: View, places: Places, types: dict[str, pa.DataType], source: npt.NDArray[Any]
) -> dict[str, Column]:
    """Read columns whole that the same parts hold.

    Parameters
    ----------
    places : Places
        Where their cells lie.
    types : dict of str to pyarrow.DataType
        The columns and their registered types.
    source : numpy.ndarray of int, shape (base rows,)
        From `places`, whole or of the leading rows.
    """
    names = list(types)

    def read(part: PartInfo) -> pa.Table:
        with view.open(part.file) as opened, reading(part.file.path):
            found = sound(opened.twin().read(columns=names))
            if found.num_rows != part.rows:
                raise pa.ArrowInvalid(f"{found.num_rows} rows found, the footer says otherwise")
            return found

    tables = in_order(read, places.parts)
    read_tables = list(tracked(tables, "reading overlays", unit="files", total=len(places.parts),
                               size=lambda _: 1))  # fmt: skip
    return {
        n: Column(together([t.column(n).cast(types[n]) for t in read_tables], types[n]), source)
        for n in names
    }


def together(values: Sequence[pa.ChunkedArray], dtype: pa.DataType) -> pa.ChunkedArray:
    """Return values set end to end, as one array: random access into many is slow."""
    chunks = [c for v in values for c in v.chunks]
    if len(chunks) == 1:
        return pa.chunked_array(chunks, dtype)
    return pa.chunked_array([pa.concat_arrays(chunks)] if chunks else [], dtype)


class RowReader:
    """Rows of columns of Parquet files, by row group; the groups read last are kept.

    Parameters
    ----------
    kept_bytes : int
        How much of decoded row groups is kept for the next call.
    """

    def __init__(self, kept_bytes: int) -> None:
        self._limit = kept_bytes
        self._kept: dict[tuple[str, int, str], pa.Array] = {}
        self._sound: set[tuple[str, int, str]] = set()
        self.kept_bytes = 0
        self._starts: dict[str, Int] = {}

    def columns(
        self, path: str, opening: Opening, types: Mapping[str, pa.DataType], at: Int
    ) -> dict[str, pa.Array]:
        """Return rows of some columns of the file known as `path`.

        It is opened only if something of it has to be read; of each row group concerned all that
        is missing is decoded at once.

        Parameters
        ----------
        path : str
            What the file is known by, and is called in errors.
        opening : callable
            Opens it.
        types : mapping of str to pyarrow.DataType
            The columns, and the types wanted.
        at : numpy.ndarray of int64
            The rows, 0-based, in the order wanted.
        """
        out: dict[str, list[pa.Array]] = {n: [] for n in types}
        with contextlib.ExitStack() as held:
            file: Opened | None = None
            if path not in self._starts:
                file = held.enter_context(opening())
                self._starts[path] = file.group_starts()
            starts = self._starts[path]
            group = np.searchsorted(starts, at, side="right") - 1
            order = np.zeros(len(at), np.int64)
            filled = 0
            for g in sorted(set(group.tolist())):
                missing = [n for n in types if (path, g, n) not in self._kept]
                if missing:
                    file = file or held.enter_context(opening())
                    self._read(path, file, g, missing)
                mine = np.flatnonzero(group == g)
                rows = at[mine] - starts[g]
                for name, dtype in types.items():
                    out[name].append(self._some((path, g, name), rows, dtype))
                order[mine] = filled + np.arange(len(mine))
                filled += len(mine)
                self._trim()
        return {n: _ordered(found, order, types[n]) for n, found in out.items()}

    def _read(self, path: str, file: Opened, group: int, names: Sequence[str]) -> None:
        """Decode columns of a row group. Texts that repeat stay coded: few rows are wanted."""
        schema = file.schema_arrow
        texts = [n for n in names if pa.types.is_string(schema.field(n).type)]
        coded = [n for n in texts if n not in NO_DICTIONARY]
        with reading(path):
            twin = file.twin(coded=coded)
            found = twin.read_row_groups([group], columns=list(names), use_threads=False)
            if found.num_rows != file.metadata.row_group(group).num_rows:
                raise pa.ArrowInvalid("fewer rows were found than the footer says")
            for name in names:
                column = found.column(name)
                # Several chunks are looked at before they are set end to end.
                values = column.chunk(0) if column.num_chunks == 1 else one(sound(column))
                self._kept[path, group, name] = values
                self.kept_bytes += values.nbytes

    def _some(self, key: tuple[str, int, str], at: Int, dtype: pa.DataType) -> pa.Array:
        """Return some rows of a group that is kept; what is given out was looked at."""
        values = self._kept[key] = self._kept.pop(key)
        if key not in self._sound:
            if len(at) <= _FEW_ROWS:
                for i in at.tolist():
                    sound(values.slice(i, 1))
            else:
                sound(values)
                self._sound.add(key)
        taken = values.take(pa.array(at))
        return taken if taken.type == dtype else taken.cast(dtype)

    def _trim(self) -> None:
        while self.kept_bytes > self._limit and self._kept:
            key = next(iter(self._kept))
            self._sound.discard(key)
            self.kept_bytes -= self._kept.pop(key).nbytes


def _ordered(found: Sequence[pa.Array], order: Int, dtype: pa.DataType) -> pa.Array:
    """Set what was found end to end, and then in the order that is wanted."""
    if not found:
        return pa.nulls(0, dtype)
    if len(found) == 1:
        return found[0]
    return pa.concat_arrays(found).take(pa.array(order))
