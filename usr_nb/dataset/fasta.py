"""Records as FASTA, under the names they came with (contract IMP-1)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from usr_nb.contract.names import namespace_of
from usr_nb.contract.types import type_text
from usr_nb.dataset.keeping import RECORDS, RECORDS_TYPE
from usr_nb.errors import SchemaError, ValidationError
from usr_nb.overlay.merge import Merged
from usr_nb.readers.fasta import format_fasta


@dataclass(frozen=True)
class Naming:
    """Where headers come from: kept FASTA records, one text column, or the ids."""

    column: str
    is_records: bool


def naming(merged: Merged, names: str | None) -> Naming:
    """Return where the headers of an export come from.

    Parameters
    ----------
    names : str, optional
        A namespace that kept FASTA headers, or a text column. By default the one namespace that
        kept FASTA headers, if there is just one, else the ids.

    Raises
    ------
    SchemaError
        If there is no such namespace or column, or the column is no text.
    ValidationError
        If several namespaces kept headers and none was named.
    """
    known = merged.schema.names
    kept = [n for n in known if n.endswith(f"__{RECORDS}")]
    if names is None:
        if len(kept) > 1:
            spaces = ", ".join(str(namespace_of(n)) for n in kept)
            raise ValidationError(
                f"Several namespaces hold FASTA headers: {spaces}", hint="Choose one with --names."
            )
        return Naming(kept[0], is_records=True) if kept else Naming("id", is_records=False)
    if f"{names}__{RECORDS}" in known:
        column = f"{names}__{RECORDS}"
        if type_text(merged.field(column).type) != RECORDS_TYPE:
            raise SchemaError(f"Column '{column}' does not hold FASTA records")
        return Naming(column, is_records=True)
    merged.check_columns([names])
    if not pa.types.is_string(merged.field(names).type):
        raise SchemaError(f"Column '{names}' is {merged.field(names).type}, not text")
    return Naming(names, is_records=False)


def fasta_bytes(merged: Merged, named: Naming) -> Iterator[bytes]:
    """Yield the records of the merged table.

    Kept records come file by file in their old order, each as often as it stood there; rows
    without a name of their own carry their id and come last.
    """
    columns = list(dict.fromkeys(["id", "sequence", "source", named.column]))
    table = merged.table(columns)
    ids = table.column("id").combine_chunks()
    if not named.is_records:
        heads = pc.coalesce(table.column(named.column).combine_chunks(), ids)
        yield from format_fasta(heads.to_pylist(), table.column("sequence").to_pylist())
        return
    rows, found = _unfold(table, named.column, ids)
    sequences = table.column("sequence").combine_chunks().take(pa.array(rows)).to_pylist()
    before = b""
    for record, sequence in zip(found, sequences, strict=True):
        yield before
        newline = record["newline"] or "\n"
        one = format_fasta([record["header"]], [sequence], width=record["width"], newline=newline)
        before = b"".join(one)
    # A file whose last line had no end is written so again.
    last = found[-1] if found else {"ended": True}
    yield before.rstrip(b"\r\n") if last["ended"] is False else before


def _unfold(
    table: pa.Table, column: str, ids: pa.Array
) -> tuple[npt.NDArray[np.int64], list[dict[str, Any]]]:
    """Return, per record to write, the row of its sequence, and its header and form."""
    lists = table.column(column).combine_chunks()
    flat = lists.flatten()
    parents = np.asarray(pc.list_parent_indices(lists).to_numpy(zero_copy_only=False), np.int64)
    positions = np.asarray(flat.field("position").to_numpy(zero_copy_only=False), np.int64)
    source = table.column("source").combine_chunks().dictionary_encode().indices
    file = np.asarray(source.to_numpy(zero_copy_only=False), np.int64)
    order = np.lexsort((positions, file[parents]))
    named = np.zeros(table.num_rows, bool)
    named[parents] = True
    rest = np.flatnonzero(~named)
    rows = np.concatenate([parents[order], rest])
    plain = {"width": None, "newline": None, "ended": True}
    records = flat.take(pa.array(order)).to_pylist()
    records += [{"header": i, **plain} for i in ids.take(pa.array(rest)).to_pylist()]
    return rows, records
