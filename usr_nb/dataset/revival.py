"""Ids that were removed for good and come back: their old values do not (contract VAL)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from usr_nb.contract.essentials import ARROW_SCHEMA
from usr_nb.contract.names import STATE_NS, TOMBSTONE_NS
from usr_nb.contract.records import STATE_SCHEMA
from usr_nb.dataset.context import Change
from usr_nb.dataset.dropped import dropped_ids
from usr_nb.dataset.records import current_file, replace_file
from usr_nb.overlay.lookup import base_column, normal_keys
from usr_nb.overlay.merge import Merged
from usr_nb.overlay.parts import new_part_time
from usr_nb.overlay.places import union_keys


def silence_revived(
    c: Change, merged: Merged, added: Iterable[pa.RecordBatch]
) -> dict[str, datetime]:
    """Stage nulls over the old overlay values of added rows that were once removed for good.

    `added` holds id and sequence of the rows.

    Returns namespace → time of the part staged for it. A value that another row of the base
    shares by its sequence key is left alone.
    """
    gone = dropped_ids(c.ctx.layout)
    if len(gone) == 0:
        return {}
    schema = pa.schema([ARROW_SCHEMA.field(n) for n in ("id", "sequence")])
    found = [
        pa.RecordBatch.from_arrays(b.select(schema.names).columns, schema=schema)
        for batch in added
        if (b := batch.filter(pc.is_in(batch.column("id"), value_set=gone))).num_rows
    ]
    revived = pa.Table.from_batches(found, schema=schema)
    if revived.num_rows == 0:
        return {}
    times: dict[str, datetime] = {}
    for ns in c.view.overlays:
        if ns == STATE_NS:
            _clear_state(c, revived)
        elif ns != TOMBSTONE_NS:
            at = _silence(c, merged, ns, revived)
            if at is not None:
                times[ns] = at
    return times


def _silence(c: Change, merged: Merged, ns: str, revived: pa.Table) -> datetime | None:
    infos = merged.parts(ns)
    key = infos[0].key
    keys = normal_keys(revived.column(base_column(key)), key)
    held = union_keys(c.view, infos).combine_chunks()
    others = normal_keys(merged.base_keys(base_column(key)), key).combine_chunks()
    wanted = pc.and_(pc.is_in(keys, value_set=held), pc.invert(pc.is_in(keys, value_set=others)))
    keys = pa.chunked_array([pc.unique(keys.filter(wanted))])
    if len(keys) == 0:
        return None
    columns = list(dict.fromkeys(name for i in infos for name in i.columns))
    table = pa.table({key: keys, **{n: pa.nulls(len(keys), merged.field(n).type) for n in columns}})
    at = new_part_time(infos)
    c.stage_overlay(ns, key=key, created_at=at, schema=table.schema, batches=[table])
    return at


def _clear_state(c: Change, revived: pa.Table) -> None:
    before = current_file(c.view, STATE_NS, STATE_SCHEMA)
    stated = pc.is_in(revived.column("id"), value_set=before.column("id").combine_chunks())
    ids = revived.column("id").filter(stated)
    if len(ids) == 0:
        return
    nulls = {f.name: pa.nulls(len(ids), f.type) for f in STATE_SCHEMA if f.name != "id"}
    changed = pa.table({"id": ids, **nulls}, schema=STATE_SCHEMA)
    replace_file(c, STATE_NS, before, changed)
