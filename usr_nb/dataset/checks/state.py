"""Tombstones and record state: their columns and words (DEL, STA)."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from usr_nb.contract.names import STATE_NS, TOMBSTONE_NS
from usr_nb.contract.records import QC_STATUS, SPLIT, STATE_SCHEMA, TOMBSTONE_SCHEMA
from usr_nb.contract.types import same_type
from usr_nb.dataset.checks.finding import Finding, Scope
from usr_nb.errors import SequencesError, some
from usr_nb.overlay.parts import part_info
from usr_nb.storage.parquet import reading

_WORDS = {"usr_state__qc_status": QC_STATUS, "usr_state__split": SPLIT}


def check(scope: Scope) -> Iterator[Finding]:
    """Yield what is wrong with the two reserved namespaces."""
    for ns, schema in ((TOMBSTONE_NS, TOMBSTONE_SCHEMA), (STATE_NS, STATE_SCHEMA)):
        for file in scope.view.overlays.get(ns, ()):
            try:
                info = part_info(scope.view, file)
                with scope.view.open(file) as opened, reading(file.path):
                    table = opened.read()
            except SequencesError:
                continue  # Told by the overlay check.
            if info.key != "id":
                yield Finding("error", "DEL-1", file.path, f"its key is '{info.key}', not 'id'")
            yield from _columns(file.path, table, schema)
    columns = [c for c in _WORDS if c in scope.view.base.schema_arrow.names]
    for name in columns:
        values = pa.chunked_array(
            [b.column(0) for b in scope.merged.base_batches([name])], pa.string()
        )
        yield from _words("records.parquet", name, values)


def _columns(path: str, table: pa.Table, schema: pa.Schema) -> Iterator[Finding]:
    for name in table.schema.names:
        if name not in schema.names:
            yield Finding("error", "STA-3", path, f"column '{name}' does not belong there")
        elif not same_type(table.schema.field(name).type, schema.field(name).type):
            found = table.schema.field(name).type
            yield Finding("error", "STA-3", path, f"column '{name}' is {found}")
        elif name in _WORDS:
            yield from _words(path, name, table.column(name))


def _words(path: str, name: str, values: pa.ChunkedArray) -> Iterator[Finding]:
    found = {v for v in pc.unique(values).to_pylist() if v is not None}
    wrong = sorted(found - set(_WORDS[name]))
    if wrong:
        known = ", ".join(_WORDS[name])
        yield Finding("error", "STA-3", path, f"{name} is {some(map(repr, wrong))}, not in {known}")
