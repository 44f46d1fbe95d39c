"""The base with more rows: what is encoded already is copied, not encoded again.

The result reads as if all had been written anew; what is in any way unusual is written anew. Row
groups of the base are copied only if the whole file is the one that its commit told of, since
nobody looks into them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from usr_nb.contract.essentials import ESSENTIALS, REQUIRED_COLUMNS
from usr_nb.dataset.context import Change
from usr_nb.dataset.spill import Spill
from usr_nb.overlay.merge import Merged
from usr_nb.storage import digests, splice
from usr_nb.storage.layout import RECORDS
from usr_nb.storage.parquet import (
    ROW_GROUP_ROWS,
    assembly,
    encoded,
    reading,
    regroup,
    sound,
    with_metadata,
    write_batches,
)

#: A base of fewer rows is written anew: that is as fast.
_WORTH_ROWS: Final = 16_384


def stage_base(c: Change, merged: Merged, spill: Spill, keep: npt.NDArray[np.bool_]) -> None:
    """Stage the base with the rows of `spill` that are to be kept behind its own (REC-5)."""
    schema = with_metadata(merged.base_schema, c.base_metadata())
    added = int(keep.sum())
    with ExitStack() as stack, c.stage.file(RECORDS) as sink:
        try:
            groups = _groups(c, merged, spill, keep, schema=schema, stack=stack)
            out = assembly(sink, schema)
            for laid, names in groups.needed:
                if not out.fits(laid, names):
                    raise splice.Unfit("columns of another form")
            out.whole(groups.all)
        except splice.Unfit:
            rows = _all_rows(merged, spill, keep, schema)
            write_batches(sink, schema, rows, total=merged.base_rows + added)


class _Groups:
    """Row groups to be put together, and what of their files must be as the schema has it."""

    def __init__(self) -> None:
        self.all: list[splice.Group] = []
        self.needed: list[tuple[splice.Laid, list[str]]] = []

    def take(self, laid: splice.Laid, names: list[str], first: int = 0) -> None:
        """Add row groups of a file, from one of them on."""
        self.needed.append((laid, names))
        self.all += [splice.Group(laid.groups[i].rows, laid.select(names, i))
                     for i in range(first, len(laid.groups))]  # fmt: skip


def _groups(
    c: Change,
    merged: Merged,
    spill: Spill,
    keep: npt.NDArray[np.bool_],
    *,
    schema: pa.Schema,
    stack: ExitStack,
) -> _Groups:
    out = _Groups()
    packed = stack.enter_context(spill.encoded()) if keep.all() else None
    tail: list[pa.RecordBatch] = []
    if merged.base_rows:
        base = _base(c, merged, stack)
        if set(base.columns) != set(schema.names):
            raise splice.Unfit("other columns")
        whole = len(base.groups)
        if packed is None:
            # Short groups at the end are filled up, so that they never pile up.
            while whole and base.groups[whole - 1].rows < ROW_GROUP_ROWS:
                whole -= 1
            tail = _decoded(merged, range(whole, len(base.groups)), schema)
        out.take(splice.Laid(base.columns, base.groups[:whole]), schema.names)
    if packed is not None:
        _take_packed(out, packed, schema)
        return out
    for table in regroup([*tail, *new_rows(spill, keep, schema)], schema):
        out.take(encoded(table), schema.names)
    return out


def _base(c: Change, merged: Merged, stack: ExitStack) -> splice.Laid:
    if merged.base_rows < _WORTH_ROWS:
        raise splice.Unfit("few rows")
    source = stack.enter_context(splice.source_of(c.ctx.layout.records))
    if source.sha256() != digests.newest(c.ctx.layout, RECORDS):
        raise splice.Unfit("not the file that its commit told of")
    laid = splice.lay_out(source)
    if sum(g.rows for g in laid.groups) != merged.base_rows:
        raise splice.Unfit("another file")
    return laid


def _decoded(merged: Merged, groups: range, schema: pa.Schema) -> list[pa.RecordBatch]:
    if not groups:
        return []
    with reading(merged.view.layout.records):
        table = sound(merged.view.base.read_row_groups(list(groups), columns=schema.names))
    batches: list[pa.RecordBatch] = table.select(schema.names).cast(schema).to_batches()
    return batches


def _take_packed(out: _Groups, packed: splice.Laid, schema: pa.Schema) -> None:
    """Add the encoded row groups of the new rows; other columns of the base are null in them."""
    extra = [n for n in schema.names if n not in ESSENTIALS]
    out.needed.append((packed, list(REQUIRED_COLUMNS)))
    empty: dict[int, splice.Laid] = {}
    for i, group in enumerate(packed.groups):
        chunks = {n: packed.select([n], i) for n in REQUIRED_COLUMNS}
        if extra:
            if group.rows not in empty:
                fields = [schema.field(n) for n in extra]
                nulls = [pa.nulls(group.rows, f.type) for f in fields]
                empty[group.rows] = encoded(pa.Table.from_arrays(nulls, schema=pa.schema(fields)))
                out.needed.append((empty[group.rows], extra))
            chunks |= {n: empty[group.rows].select([n], 0) for n in extra}
        out.all.append(splice.Group(group.rows, tuple(x for n in schema.names for x in chunks[n])))


def new_rows(
    spill: Spill, keep: npt.NDArray[np.bool_], schema: pa.Schema
) -> Iterator[pa.RecordBatch]:
    """Yield the rows to be kept; derived columns are null in them (REC-5)."""
    start = 0
    extra = [f for f in schema if f.name not in ESSENTIALS]
    for batch in spill:
        mask = keep[start : start + batch.num_rows]
        start += batch.num_rows
        kept = batch if mask.all() else batch.filter(pa.array(mask))
        arrays = {n: kept.column(n) for n in REQUIRED_COLUMNS}
        arrays |= {f.name: pa.nulls(kept.num_rows, f.type) for f in extra}
        yield pa.RecordBatch.from_arrays([arrays[f.name] for f in schema], schema=schema)


def _all_rows(
    merged: Merged, spill: Spill, keep: npt.NDArray[np.bool_], schema: pa.Schema
) -> Iterator[pa.RecordBatch]:
    """Yield the rows there are, then the new ones."""
    yield from merged.base_batches(merged.base_schema.names)
    yield from new_rows(spill, keep, schema)
