"""The base table: schema, ids, lengths, letters, namespacing (REC, REG-8)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
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
from usr_nb.contract.hashing import U64, compute_ids, id_prefixes, id_words, leading_bits
from usr_nb.contract.names import namespace_of
from usr_nb.contract.progress import tracked
from usr_nb.contract.types import same_type, stored_as, type_text
from usr_nb.dataset.checks.finding import Finding, Scope
from usr_nb.dataset.prepare import only_letters
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
            self._more(rule, what, len(at), [int(r) + start + 1 for r in at[:5]])

    def _more(self, rule: str, what: str, count: int, rows: list[int]) -> None:
        known, first = self.found.get((rule, what), (0, []))
        self.found[rule, what] = known + count, [*first, *rows][:5]

    def take(self, later: _Rows) -> None:
        """Add what was found in rows that come after these."""
        for (rule, what), (count, rows) in later.found.items():
            self._more(rule, what, count, rows)

    def findings(self) -> Iterator[Finding]:
        for (rule, what), (count, first) in self.found.items():
            place = f"{RECORDS}, row {some(first)}"
            yield Finding("error", rule, place, f"{count:,} rows: {what}")


def _mask(values: Any) -> np.ndarray[Any, Any]:
    filled = pc.fill_null(values, False)
    return np.asarray(filled.to_numpy(zero_copy_only=False), bool)


@dataclass(frozen=True)
class _Piece:
    """What checking some rows came to.

    Attributes
    ----------
    rows : int
        How many they are.
    found : _Rows
        What is wrong with them.
    leading : numpy.ndarray of uint64
        The leading bits of their ids; equal ids have equal ones.
    kind : str or None
        Their bio type, if it is one, all ids are right, and no letter is a lower-case one.
    """

    rows: int
    found: _Rows
    leading: U64
    kind: str | None


def _cells(scope: Scope) -> Iterator[Finding]:
    rows = _Rows()
    pieces = []
    checked = scope.merged.base_worked(REQUIRED_COLUMNS, _check)
    for piece in tracked(
        checked, "checking rows", total=scope.merged.base_rows, size=lambda p: p.rows
    ):
        rows.take(piece.found)
        pieces.append(piece)
    yield from rows.findings()
    if not pieces:
        return
    repeats = _repeated(np.concatenate([p.leading for p in pieces]))
    if repeats:
        yield from _repeats(scope)
    kinds = {p.kind for p in pieces}
    if repeats or rows.found or len(kinds) > 1 or None in kinds:
        yield from _case_folds(scope)
    # Otherwise rows of one kind have different ids, so different sequences, all upper-case: none
    # of them repeats another in other case.


def _check(batch: pa.RecordBatch, start: int) -> _Piece:
    """Check some rows, the first of which is base row `start`. Works in any thread."""
    rows = _Rows()
    nulls = False
    for name in REQUIRED_COLUMNS:
        column = batch.column(name)
        if column.null_count:
            nulls = True
            rows.add("REC-1", f"{name} is null", _mask(pc.is_null(column)), start)
    ids = pc.fill_null(batch.column("id"), "")
    words = id_words(ids)
    leading = id_prefixes(ids) if words is None else leading_bits(words)
    kind = None
    if not nulls:
        kind = _quickly(batch)
        if kind is None:
            _check_batch(batch, rows, start)
    return _Piece(batch.num_rows, rows, leading, kind)


def _quickly(batch: pa.RecordBatch) -> str | None:
    """Return the bio type of rows that are all right, upper-case and of one kind; None if in doubt.

    What it says of rows is what :func:`_check_batch` says of them: nothing.
    """
    sequence, bio_type = batch.column("sequence"), batch.column("bio_type")
    kinds, alphabets = pc.unique(bio_type), pc.unique(batch.column("alphabet"))
    if len(kinds) != 1 or len(alphabets) != 1:
        return None
    kind, letters = str(kinds[0]), ALPHABETS.get(str(alphabets[0]))
    if letters is None or kind not in BIO_TYPES or str(alphabets[0]).split("_")[0] != kind:
        return None
    # Of such letters a text is trimmed, and has as many as bytes.
    if not only_letters(sequence, letters):
        return None
    lengths = pc.binary_length(sequence)
    if not pc.min(lengths).as_py() or not lengths.equals(batch.column("length")):
        return None
    return kind if compute_ids(bio_type, sequence).equals(batch.column("id")) else None


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


def _repeated(leading: U64) -> bool:
    ordered = np.sort(leading)
    return bool((ordered[1:] == ordered[:-1]).any())


def _repeats(scope: Scope) -> Iterator[Finding]:
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
