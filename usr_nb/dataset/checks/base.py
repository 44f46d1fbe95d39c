"""The base table: schema, ids, lengths, letters, namespacing (REC, REG-8)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from usr_nb.contract.essentials import (
    ALPHABETS,
    ARROW_SCHEMA,
    BIO_TYPES,
    ESSENTIALS,
    ID_HASH_SPEC,
    META_CREATED_AT,
    META_ID_HASH,
    META_REGISTRY_HASH,
    META_SCHEMA_VERSION,
    REQUIRED_COLUMNS,
    SCHEMA_VERSION,
)
from usr_nb.contract.hashing import compute_ids, id_prefixes
from usr_nb.contract.names import namespace_of
from usr_nb.contract.progress import tracked
from usr_nb.contract.types import same_type, stored_as, type_text
from usr_nb.dataset.checks.finding import Finding, Scope
from usr_nb.errors import SequencesError, UserAbort, some
from usr_nb.overlay.lookup import trim
from usr_nb.storage.layout import RECORDS
from usr_nb.storage.parquet import file_metadata


def check(scope: Scope) -> Iterator[Finding]:
    """Yield what is wrong with ``records.parquet``."""
    yield from _footer(scope)
    usable = True
    for f in _schema(scope):
        usable = usable and f.severity != "error"
        yield f
    if usable:
        try:
            yield from _cells(scope)
        except UserAbort:
            raise  # A listener has had enough; that is no finding.
        except SequencesError as error:
            yield Finding("error", "VAL", RECORDS, error.message, error.hint)


def _footer(scope: Scope) -> Iterator[Finding]:
    meta = file_metadata(scope.view.base)
    for key, wanted in ((META_SCHEMA_VERSION, SCHEMA_VERSION), (META_ID_HASH, ID_HASH_SPEC)):
        found = meta.get(key)
        if found != wanted.encode():
            shown = None if found is None else found[:40]
            yield Finding("error", "REC-4", RECORDS, f"{key.decode()} is {shown!r}, not {wanted!r}")
    if META_CREATED_AT not in meta:
        yield Finding("error", "REC-4", RECORDS, "usr:dataset_created_at is missing")
    stamp = meta.get(META_REGISTRY_HASH)
    if stamp is None:
        yield Finding("note", "REG-8", RECORDS, "the registry was never frozen into this dataset",
                      "The next change does it, or `usr maintenance registry-freeze`.")  # fmt: skip
        return
    text = stamp.decode("utf-8", errors="replace")
    known = {scope.registry.hash} if "frozen" not in scope.mode else set()
    if "current" not in scope.mode or text in scope.frozen:
        known |= set(scope.frozen)
    if text not in known:
        yield Finding("error", "REG-8", RECORDS, f"usr:registry_hash {text[:12]} has no registry",
                      "Freeze again: `usr maintenance registry-freeze`.")  # fmt: skip


def _schema(scope: Scope) -> Iterator[Finding]:
    schema = scope.view.base.schema_arrow
    names = schema.names
    if len(set(names)) != len(names):
        yield Finding("error", "REC-1", RECORDS, "a column stands twice")
    if tuple(names[: len(REQUIRED_COLUMNS)]) != REQUIRED_COLUMNS:
        missing = [c for c in REQUIRED_COLUMNS if c not in names]
        what = f"essential columns are missing: {some(missing)}" if missing else (
            "the essential columns do not come first, in their order"
        )  # fmt: skip
        yield Finding("error" if missing else "warning", "REC-1", RECORDS, what)
    for f in ARROW_SCHEMA:
        if f.name in names and not same_type(schema.field(f.name).type, f.type):
            found = schema.field(f.name).type
            yield Finding("error", "REC-1", RECORDS, f"column '{f.name}' is {found}, not {f.type}")
    for name in names:
        if name in ESSENTIALS:
            continue
        ns = namespace_of(name)
        if ns is None:
            yield Finding("error", "REG-4", RECORDS, f"column '{name}' has no namespace")
        elif ns not in scope.registry:
            yield Finding("warning", "VAL", RECORDS,
                          f"column '{name}' is of namespace '{ns}', which is not registered",
                          f"Register it: usr namespace register {ns}")  # fmt: skip
        else:
            column = scope.registry[ns].column(name)
            if column is None:
                yield Finding("warning", "VAL", RECORDS, f"column '{name}' is not registered")
            elif not stored_as(schema.field(name).type, column.arrow_type):
                found = type_text(schema.field(name).type)
                what = f"column '{name}' is {found}, registered as {column.type}"
                yield Finding("error", "OVL-8", RECORDS, what)


class _Rows:
    """Counts rows per mistake and remembers the first few."""

    def __init__(self) -> None:
        self.found: dict[tuple[str, str], tuple[int, list[int]]] = {}

    def add(self, rule: str, what: str, mask: Any, start: int) -> None:
        at = np.flatnonzero(np.asarray(mask, bool))
        if len(at):
            count, first = self.found.get((rule, what), (0, []))
            first = first + [int(r) + start + 1 for r in at[: 5 - len(first)]]
            self.found[rule, what] = count + len(at), first

    def findings(self) -> Iterator[Finding]:
        for (rule, what), (count, first) in self.found.items():
            place = f"{RECORDS}, row {some(first)}"
            yield Finding("error", rule, place, f"{count:,} rows: {what}")


def _mask(values: Any) -> np.ndarray[Any, Any]:
    filled = pc.fill_null(values, False)
    return np.asarray(filled.to_numpy(zero_copy_only=False), bool)


def _cells(scope: Scope) -> Iterator[Finding]:
    rows = _Rows()
    start = 0
    prefixes = []
    batches = scope.merged.base_batches(REQUIRED_COLUMNS)
    for batch in tracked(batches, "checking rows", total=scope.merged.base_rows):
        nulls = False
        for name in REQUIRED_COLUMNS:
            column = batch.column(name)
            nulls = nulls or column.null_count > 0
            rows.add("REC-1", f"{name} is null", _mask(pc.is_null(column)), start)
        prefixes.append(id_prefixes(pc.fill_null(batch.column("id"), "")))
        if not nulls:
            _check_batch(batch, rows, start)
        start += batch.num_rows
    yield from rows.findings()
    yield from _repeats(scope, prefixes)
    yield from _case_folds(scope)


def _check_batch(batch: pa.RecordBatch, rows: _Rows, start: int) -> None:
    sequence, bio_type = batch.column("sequence"), batch.column("bio_type")
    alphabet = batch.column("alphabet")
    trimmed = trim(pa.chunked_array([sequence])).combine_chunks()
    rows.add("REC-2", "sequence is not trimmed", _mask(pc.not_equal(trimmed, sequence)), start)
    rows.add("REC-2", "sequence is empty", _mask(pc.equal(trimmed, "")), start)
    ids = compute_ids(bio_type, trimmed)
    wrong = _mask(pc.not_equal(ids, batch.column("id")))
    rows.add("REC-2", "id is not that of the sequence", wrong, start)
    lengths = pc.utf8_length(trimmed).cast(pa.int32())
    rows.add(
        "REC-2", "length is wrong", _mask(pc.not_equal(lengths, batch.column("length"))), start
    )
    known = pc.is_in(bio_type, value_set=pa.array(BIO_TYPES))
    rows.add("REC-3", "bio_type is not known", ~_mask(known), start)
    ok = np.zeros(batch.num_rows, bool)
    for name, letters in ALPHABETS.items():
        of_kind = _mask(pc.equal(alphabet, name))
        if not of_kind.any():
            continue
        ok |= of_kind
        kind = _mask(pc.equal(bio_type, name.split("_")[0]))
        rows.add("REC-3", f"alphabet {name} does not belong to bio_type", of_kind & ~kind, start)
        good = _mask(pc.match_substring_regex(sequence, f"^[{letters}{letters.lower()}]*$"))
        rows.add("REC-3", f"letters outside {name}", of_kind & ~good, start)
    rows.add("REC-3", "alphabet is not known", ~ok, start)


def _repeats(scope: Scope, prefixes: list[Any]) -> Iterator[Finding]:
    if not prefixes:
        return
    together = np.concatenate(prefixes)
    ordered = np.sort(together)
    if not (ordered[1:] == ordered[:-1]).any():
        return
    counts = pc.value_counts(scope.merged.base_keys("id"))
    many = counts.filter(pc.greater(counts.field("counts"), 1))
    if len(many):
        shown = some((v["values"][:8] for v in many.slice(0, 6).to_pylist()), 5)
        yield Finding("error", "REC-2", RECORDS, f"{len(many):,} ids stand in many rows: {shown}",
                      "Remove them with `usr maintenance dedupe --key id`.")  # fmt: skip


def _case_folds(scope: Scope) -> Iterator[Finding]:
    folded = pc.utf8_upper(scope.merged.base_keys("sequence"))
    repeated = len(folded) - pc.count_distinct(folded).as_py() if len(folded) else 0
    if repeated:
        yield Finding("note", "VAL", RECORDS, f"{repeated:,} rows repeat a sequence in other case")
