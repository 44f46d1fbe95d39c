"""The base with more rows: what is encoded already is copied, not encoded again.

The result reads as if all had been written anew; what is in any way unusual is written anew. Row
groups of the base are copied only if the whole file is the one that its commit told of, since
nobody looks into them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from itertools import chain
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from usr_nb.contract.essentials import ESSENTIALS, REQUIRED_COLUMNS
from usr_nb.dataset.context import Change
from usr_nb.dataset.spill import Spill
from usr_nb.overlay.merge import Merged
from usr_nb.storage import digests, splice
from usr_nb.storage.door import Sink
from usr_nb.storage.layout import RECORDS
from usr_nb.storage.parallel import beside
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
    try:
        with ExitStack() as stack, c.stage.file(RECORDS) as sink:
            _put_together(c, merged, spill, keep, schema=schema, sink=sink, stack=stack)
    except splice.Unfit:
        rows = _all_rows(merged, spill, keep, schema)
        with c.stage.file(RECORDS) as sink:
            write_batches(sink, schema, rows, total=merged.base_rows + int(keep.sum()))


def _put_together(
    c: Change,
    merged: Merged,
    spill: Spill,
    keep: npt.NDArray[np.bool_],
    *,
    schema: pa.Schema,
    sink: Sink,
    stack: ExitStack,
) -> None:
    """Write the base of row groups that are encoded already, and of new ones."""
    packed = stack.enter_context(spill.encoded()) if keep.all() else None
    out = assembly(sink, schema)
    if not merged.base_rows:
        out.whole(_new_groups(out, packed, new_rows(spill, keep, schema), schema))
        return
    source, base = _base(c, merged, stack)
    if list(base.columns) != schema.names or not out.fits(base, schema.names):
        raise splice.Unfit("other columns")
    whole = len(base.groups)
    if packed is None:
        # Short groups at the end are filled up, so that they never pile up.
        while whole and base.groups[whole - 1].rows < ROW_GROUP_ROWS:
            whole -= 1
    tail = _decoded(merged, range(whole, len(base.groups)), schema)
    # The base is copied while the new rows are encoded.
    with beside(lambda: out.head(source, base.groups[:whole])) as copied:
        rows = chain(tail, new_rows(spill, keep, schema))
        groups = _new_groups(out, packed, rows, schema)
        copied.result()
    out.whole(groups)


def _base(c: Change, merged: Merged, stack: ExitStack) -> tuple[splice.FileSource, splice.Laid]:
    if merged.base_rows < _WORTH_ROWS:
        raise splice.Unfit("few rows")
    told = digests.newest(c.ctx.layout, RECORDS)
    source = stack.enter_context(splice.source_of(c.ctx.layout.records, told))
    laid = splice.lay_out(source)
    if sum(g.rows for g in laid.groups) != merged.base_rows:
        raise splice.Unfit("another file")
    return source, laid


def _new_groups(
    out: splice.Assembly,
    packed: splice.Laid | None,
    rows: Iterable[pa.RecordBatch],
    schema: pa.Schema,
) -> list[splice.Group]:
    """Return the row groups behind those that stay: `packed` if there are such, else of `rows`."""
    if packed is not None:
        return _packed_groups(out, packed, schema)
    groups: list[splice.Group] = []
    for table in regroup(rows, schema):
        laid = encoded(table)
        _require(out, laid, schema.names)
        groups += laid.groups
    return groups


def _require(out: splice.Assembly, laid: splice.Laid, names: Sequence[str]) -> None:
    if not out.fits(laid, names):
        raise splice.Unfit("columns of another form")


def _decoded(merged: Merged, groups: range, schema: pa.Schema) -> list[pa.RecordBatch]:
    if not groups:
        return []
    with reading(merged.view.layout.records):
        table = sound(merged.view.base.read_row_groups(list(groups), columns=schema.names))
    batches: list[pa.RecordBatch] = table.select(schema.names).cast(schema).to_batches()
    return batches


def _packed_groups(
    out: splice.Assembly, packed: splice.Laid, schema: pa.Schema
) -> list[splice.Group]:
    """Return the encoded row groups of the new rows; other columns of the base are null in them."""
    extra = [n for n in schema.names if n not in ESSENTIALS]
    _require(out, packed, REQUIRED_COLUMNS)
    empty: dict[int, splice.Laid] = {}
    groups = []
    for i, group in enumerate(packed.groups):
        chunks = {n: packed.select([n], i) for n in REQUIRED_COLUMNS}
        if extra:
            if group.rows not in empty:
                fields = [schema.field(n) for n in extra]
                nulls = [pa.nulls(group.rows, f.type) for f in fields]
                empty[group.rows] = encoded(pa.Table.from_arrays(nulls, schema=pa.schema(fields)))
                _require(out, empty[group.rows], extra)
            chunks |= {n: empty[group.rows].select([n], 0) for n in extra}
        groups.append(splice.Group(group.rows, tuple(x for n in schema.names for x in chunks[n])))
    return groups


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
