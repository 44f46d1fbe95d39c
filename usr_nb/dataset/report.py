"""What an import would do, said before it does it (contract IMP-1)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from usr_nb.contract.essentials import ARROW_SCHEMA
from usr_nb.contract.hashing import compute_ids, id_prefixes
from usr_nb.contract.registry import Registry
from usr_nb.dataset.context import Context
from usr_nb.dataset.incoming import Incoming
from usr_nb.dataset.ingest import ImportRequest
from usr_nb.dataset.keeping import Keeper
from usr_nb.dataset.prepare import Problems, essential_batches, ignored_columns
from usr_nb.dataset.spill import Spill
from usr_nb.errors import SequencesError, UserAbort
from usr_nb.overlay.lookup import trim
from usr_nb.overlay.propose import propose_type
from usr_nb.readers import Rows


@dataclass(frozen=True)
class ImportReport:
    """What is in the rows of an input, and what importing them would do.

    Attributes
    ----------
    rows : int
        Rows of the input.
    would_add, would_skip : int
        Rows that an import would write and skip; both 0 if it would be refused.
    refused : str or None
        Why it would be refused, with the hint.
    letters : dict of str to int
        Letter (case kept) → how often it stands in the sequences.
    upper, lower, mixed : int
        Rows in upper case only, in lower case only, in both.
    with_u, with_t, with_stop, with_n : int
        Rows with a U, a T, a ``*``, an N (either case).
    duplicates, casefold_duplicates, existing : int
        Rows that repeat an earlier row's id; its letters in other case; an id of the dataset.
    min_length, max_length : int
        Shortest and longest sequence, in letters; missing ones left out.
    ignored_columns : list of str
        Columns that are not read.
    kept_columns : dict of str to str
        Column that ``keep=`` stores → its name and type: registered, or else that of the input.
    proposed : str or None
        What to register first so that text which holds numbers, times or lists is kept as such,
        as ``usr namespace register`` takes it; None if all is as it should be.
    """

    rows: int
    would_add: int
    would_skip: int
    refused: str | None
    letters: dict[str, int] = field(default_factory=dict)
    upper: int = 0
    lower: int = 0
    mixed: int = 0
    with_u: int = 0
    with_t: int = 0
    with_stop: int = 0
    with_n: int = 0
    duplicates: int = 0
    casefold_duplicates: int = 0
    existing: int = 0
    min_length: int = 0
    max_length: int = 0
    ignored_columns: list[str] = field(default_factory=list)
    kept_columns: dict[str, str] = field(default_factory=dict)
    proposed: str | None = None


class _Letters:
    """Counts over sequences, batch by batch."""

    def __init__(self, request: ImportRequest) -> None:
        self.request = request
        self.first: pa.RecordBatch | None = None
        self.rows = self.told_apart = 0
        self.letters: Counter[str] = Counter()
        self.counts: Counter[str] = Counter()
        self.lengths: list[tuple[int, int]] = []
        self.exact: list[Any] = []
        self.folded: list[Any] = []

    def add(self, batch: pa.RecordBatch) -> None:
        self.first = batch if self.first is None else self.first
        self.rows += batch.num_rows
        if "sequence" not in batch.schema.names:
            return
        column = batch.column("sequence")
        if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
            return
        text = trim(pa.chunked_array([column.cast(pa.string())])).combine_chunks()
        text = pc.fill_null(text, "")
        known = pc.not_equal(text, "")
        text = text.filter(known)
        self._count_letters(text)
        has_upper = _mask(pc.match_substring_regex(text, "[A-Z]"))
        has_lower = _mask(pc.match_substring_regex(text, "[a-z]"))
        self.counts["upper"] += int((has_upper & ~has_lower).sum())
        self.counts["lower"] += int((has_lower & ~has_upper).sum())
        self.counts["mixed"] += int((has_lower & has_upper).sum())
        for name, letters in (("u", "[Uu]"), ("t", "[Tt]"), ("stop", r"\*"), ("n", "[Nn]")):
            self.counts[name] += int(_mask(pc.match_substring_regex(text, letters)).sum())
        ends = pc.min_max(pc.utf8_length(text)).as_py()
        if ends["min"] is not None:
            self.lengths.append((ends["min"], ends["max"]))
        kind = self._kinds(batch).filter(known)
        if self.request.strip_stop:
            text = pc.replace_substring_regex(text, r"\*+$", "")
        self.told_apart += len(text)
        self.exact.append(id_prefixes(compute_ids(kind, text)))
        self.folded.append(id_prefixes(compute_ids(kind, pc.utf8_upper(text))))

    def _kinds(self, batch: pa.RecordBatch) -> pa.Array:
        """Return the bio type of each row: letters of different kinds are different records."""
        default = self.request.default_bio_type
        if "bio_type" not in batch.schema.names:
            return pa.repeat(default, batch.num_rows)
        given = batch.column("bio_type")
        return pc.fill_null(given.cast(pa.string()), default)

    def _count_letters(self, text: pa.Array) -> None:
        whole = pc.binary_join(pa.array([text.to_pylist()], pa.list_(pa.string())), "")[0].as_py()
        raw = whole.encode("utf-8", errors="backslashreplace")
        counts = np.bincount(np.frombuffer(raw, np.uint8), minlength=256)
        if counts[128:].any():
            self.letters.update(Counter(whole))
            return
        self.letters.update({chr(i): int(n) for i, n in enumerate(counts) if n})

    def repeats(self) -> tuple[int, int]:
        """Return (rows that repeat an earlier one, rows that repeat its letters in other case)."""
        if not self.exact:
            return 0, 0
        exact = self.told_apart - len(np.unique(np.concatenate(self.exact)))
        folded = self.told_apart - len(np.unique(np.concatenate(self.folded)))
        return exact, folded - exact


def _mask(values: Any) -> np.ndarray[Any, Any]:
    return np.asarray(pc.fill_null(values, False).to_numpy(zero_copy_only=False), bool)


def import_report(ctx: Context, rows: Rows, request: ImportRequest) -> ImportReport:
    """Look at every row; see :meth:`Dataset.import_report`."""
    seen = _Letters(request)
    problems = Problems()
    keeper: Keeper | None = None
    refused: str | None = None
    existing = added = skipped = 0
    watched = replace(rows, batches=lambda: _watched(rows, seen))
    try:
        registry = ctx.registry()
        if request.keep is not None:
            keeper = Keeper(rows, request.keep, registry)
        with ExitStack() as stack, ctx.merged(include_deleted=True) as merged:
            spill = Spill(ARROW_SCHEMA, ctx.layout.txn, stack)
            spill.fill(essential_batches(watched, request.defaults(rows), problems))
            problems.raise_first(rows.label)
            if spill.rows:
                incoming = Incoming(spill)
                existing = len(incoming.existing(merged))
                incoming.check_repeats(request.on_conflict)
                keep = incoming.keep(merged, request.on_conflict)
                added = int(keep.sum())
                skipped = spill.rows - added
    except UserAbort:
        raise  # Whoever listens to the progress has had enough: that refuses nothing.
    except SequencesError as error:
        refused = str(error).replace("\n", " ")
    exact, folded = seen.repeats()
    return ImportReport(
        rows=seen.rows,
        would_add=added,
        would_skip=skipped,
        refused=refused,
        letters=dict(sorted(seen.letters.items())),
        upper=seen.counts["upper"],
        lower=seen.counts["lower"],
        mixed=seen.counts["mixed"],
        with_u=seen.counts["u"],
        with_t=seen.counts["t"],
        with_stop=seen.counts["stop"],
        with_n=seen.counts["n"],
        duplicates=exact,
        casefold_duplicates=folded,
        existing=existing,
        min_length=min((low for low, _ in seen.lengths), default=0),
        max_length=max((high for _, high in seen.lengths), default=0),
        ignored_columns=[] if keeper is not None else ignored_columns(rows),
        kept_columns={} if keeper is None else {
            source: f"{c.name}: {c.type}" for source, c in keeper.columns.items()
        },
        proposed=None if keeper is None else _proposed(keeper, seen.first, registry),
    )  # fmt: skip


def _proposed(keeper: Keeper, first: pa.RecordBatch | None, registry: Registry) -> str | None:
    """Return the columns of a new namespace with the types that the first rows fit."""
    if first is None or not keeper.rows.is_text or keeper.namespace in registry:
        return None
    types = {
        column.name: propose_type(pa.chunked_array([first.column(source)]))
        for source, column in keeper.columns.items()
    }
    if all(t == "string" for t in types.values()):
        return None
    return ",".join(f"{name}:{t}" for name, t in types.items())


def _watched(rows: Rows, seen: _Letters) -> Iterator[pa.RecordBatch]:
    for batch in rows.batches():
        seen.add(batch)
        yield batch
