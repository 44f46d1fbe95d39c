"""Materializing without encoding again what lies in the right order already (contract MAT-1).

Columns of the base that no overlay touches are copied as they are encoded, and so are those of an
overlay that is one part whose keys are the ids of the base, row for row, in row groups of the same
sizes. Only the rest is merged and encoded. What is in any way unusual is merged the plain way;
files are copied only if they are the ones that their commits told of.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa

from usr_nb.contract.hashing import id_words
from usr_nb.contract.progress import report
from usr_nb.dataset.context import Change
from usr_nb.overlay.column import one
from usr_nb.overlay.idindex import Finder
from usr_nb.overlay.kept import finder_of
from usr_nb.overlay.merge import Merged
from usr_nb.overlay.parts import META_UNSPOKEN, PartInfo
from usr_nb.storage import digests, splice
from usr_nb.storage.door import Sink
from usr_nb.storage.layout import RECORDS
from usr_nb.storage.parallel import in_order
from usr_nb.storage.parquet import assembly, encoded, reading, sound

#: A base of fewer rows is written the plain way: that is as fast.
_WORTH_ROWS: Final = 16_384
#: Row groups that are encoded at once.
_GROUPS_AT_ONCE: Final = 8


@dataclass
class Copies:
    """What can be copied.

    Attributes
    ----------
    sizes : list of int
        Rows of each row group of the base.
    of : dict of str to splice.Laid
        Column → the encoded file it is copied from.
    """

    sizes: list[int]
    of: dict[str, splice.Laid] = field(default_factory=dict)


@contextmanager
def copies(
    c: Change, merged: Merged, names: Sequence[str], chosen: Sequence[str] | None
) -> Iterator[Copies | None]:
    """Find out which of the columns can be copied; None: none of them.

    `chosen` are the namespaces that are materialized, or None if rows are left out.
    """
    with ExitStack() as stack:
        few = chosen is None or merged.base_rows < _WORTH_ROWS
        yield None if few else _find(c, merged, names, chosen or (), stack)


def _find(
    c: Change, merged: Merged, names: Sequence[str], chosen: Sequence[str], stack: ExitStack
) -> Copies | None:
    alone = [infos[0] for ns in chosen if len(infos := merged.parts(ns)) == 1]
    aligned = [i for i in alone if _may_be_aligned(i, merged)]
    files = [(RECORDS, c.ctx.layout.records), *((i.file.path, i.file.at) for i in aligned)]
    base, *others = in_order(lambda file: _laid(c, *file, stack), files)
    if base is None or sum(g.rows for g in base.groups) != merged.base_rows:
        return None
    found = Copies([g.rows for g in base.groups])
    if not all(found.sizes):
        return None
    touched = {n for ns in chosen for p in merged.parts(ns) for n in p.columns}
    found.of = {n: base for n in names if n not in touched and n in base.columns}
    finder = finder_of(merged)
    if finder is None:
        return found
    merged.know_ids(finder)
    for info, laid in zip(aligned, others, strict=True):
        if laid is None or [g.rows for g in laid.groups] != found.sizes:
            continue
        if _keys_are_the_ids(merged, info, finder):
            found.of |= dict.fromkeys((n for n in info.columns if n in names), laid)
    return found


def _laid(c: Change, path: str, at: Path, stack: ExitStack) -> splice.Laid | None:
    """Take an encoded file apart, if it is the one that its commit told of."""
    try:
        source = stack.enter_context(splice.source_of(at))
        if source.sha256() != digests.newest(c.ctx.layout, path):
            return None
        return splice.lay_out(source)
    except splice.Unfit:
        return None


def _may_be_aligned(info: PartInfo, merged: Merged) -> bool:
    return info.key == "id" and info.rows == merged.base_rows and META_UNSPOKEN not in info.metadata


def _keys_are_the_ids(merged: Merged, info: PartInfo, finder: Finder) -> bool:
    """Say whether the keys of a part are the ids of the base, row for row."""
    with merged.view.open(info.file) as opened, reading(info.file.path):
        starts = opened.group_starts()

        def alike(first: int) -> bool:
            groups = list(range(first, min(first + _GROUPS_AT_ONCE, opened.num_row_groups)))
            twin = opened.twin()
            keys = sound(twin.read_row_groups(groups, columns=["id"], use_threads=False)).column(0)
            words = id_words(one(keys.cast(pa.string())))
            mine = finder.words[starts[first] : starts[groups[-1] + 1]]
            return words is not None and np.array_equal(words, mine)

        return all(in_order(alike, range(0, opened.num_row_groups, _GROUPS_AT_ONCE)))


def write_copied(sink: Sink, schema: pa.Schema, merged: Merged, found: Copies) -> None:
    """Write the base: columns that can be copied, and the others merged and encoded."""
    out = assembly(sink, schema)
    of = {n: laid for n, laid in found.of.items() if out.fits(laid, [n])}
    rest = [n for n in schema.names if n not in of]
    made = _encoded(merged, pa.schema([schema.field(n) for n in rest]), found.sizes)
    report("writing", 0, merged.base_rows)
    for i, rows in enumerate(found.sizes):
        ours, at = next(made) if rest else (None, 0)
        chunks: list[splice.Chunk] = []
        for n in schema.names:
            if n in of:
                chunks += of[n].select([n], i)
            elif ours is not None:
                chunks += ours.select([n], at)
        out.add(splice.Group(rows, tuple(chunks)))
        report("writing", out.rows, merged.base_rows)
    out.finish()


def _encoded(
    merged: Merged, schema: pa.Schema, sizes: list[int]
) -> Iterator[tuple[splice.Laid, int]]:
    """Yield merged columns as row groups of these sizes: an encoded file and a group of it."""
    runs = [sizes[i : i + _GROUPS_AT_ONCE] for i in range(0, len(sizes), _GROUPS_AT_ONCE)]
    tables = _in_runs(merged.batches(schema.names), schema, [sum(r) for r in runs])
    pairs = zip(tables, runs, strict=True)
    for laid in in_order(lambda pair: encoded(pair[0], pair[1]), pairs):
        yield from ((laid, i) for i in range(len(laid.groups)))


def _in_runs(
    batches: Iterable[pa.RecordBatch], schema: pa.Schema, sizes: Iterable[int]
) -> Iterator[pa.Table]:
    """Yield the same rows in tables of these sizes."""
    held = schema.empty_table()
    source = iter(batches)
    for size in sizes:
        more = [held]
        have = held.num_rows
        while have < size:
            batch = next(source)
            more.append(pa.Table.from_batches([batch]).cast(schema))
            have += batch.num_rows
        whole = pa.concat_tables(more)
        yield whole.slice(0, size)
        held = whole.slice(size)
