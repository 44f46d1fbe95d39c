"""From rows of any source to essential columns: checked, normalized, hashed (contract IMP, REC)."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from usr_nb.contract.essentials import (
    ALPHABETS,
    ARROW_SCHEMA,
    TIMESTAMP,
    alphabet_error,
    first_bad_letter,
    validate_alphabet,
    validate_bio_type,
)
from usr_nb.contract.hashing import compute_ids
from usr_nb.contract.names import storable
from usr_nb.contract.times import parse
from usr_nb.errors import (
    SchemaError,
    SequencesError,
    ValidationError,
    did_you_mean,
    join_hints,
    some,
)
from usr_nb.overlay.lookup import trim
from usr_nb.readers import Rows
from usr_nb.storage.parallel import in_order

READ_COLUMNS: Final = ("sequence", "bio_type", "alphabet", "id", "source", "created_at")
_SHOWN: Final = 5


@dataclass(frozen=True)
class Defaults:
    """What fills the cells that the rows do not have."""

    bio_type: str
    alphabet: str
    source: str
    file_source: str
    created_at: datetime | None
    now: datetime
    strip_stop: bool = False
    strict_id_check: bool = True


@dataclass
class Problems:
    """Mistakes found so far: per kind, how many rows, the first of them, and the error to raise."""

    counts: dict[str, int] = field(default_factory=dict)
    rows: dict[str, list[int]] = field(default_factory=dict)
    first: dict[str, SequencesError] = field(default_factory=dict)
    letter: tuple[int, int, str, str] | None = None

    def add(
        self, kind: str, rows: np.ndarray[Any, Any], error: SequencesError | None = None
    ) -> None:
        """Note 1-based rows that have this mistake."""
        if len(rows) == 0:
            return
        self.counts[kind] = self.counts.get(kind, 0) + len(rows)
        held = self.rows.setdefault(kind, [])
        held += [int(r) for r in rows[: _SHOWN - len(held)]]
        if error is not None:
            self.first.setdefault(kind, error)

    def take(self, later: Problems) -> None:
        """Take in the mistakes of rows that come after all of these."""
        for kind, count in later.counts.items():
            self.counts[kind] = self.counts.get(kind, 0) + count
            held = self.rows.setdefault(kind, [])
            held += later.rows[kind][: _SHOWN - len(held)]
        self.first = later.first | self.first
        self.letter = self.letter or later.letter

    @property
    def total(self) -> int:
        """Number of mistakes so far."""
        return sum(self.counts.values())

    def __bool__(self) -> bool:
        return bool(self.counts)

    def raise_first(self, label: str) -> None:
        """Raise the error of the first kind of mistake, if there is any."""
        for kind, count in self.counts.items():
            rows = some(self.rows[kind])
            noun = "row" if count == 1 else "rows"
            where = f"{label}: {count:,} {noun}"
            if kind.startswith("missing "):
                column = kind.removeprefix("missing ")
                raise ValidationError(
                    f"{where} with a missing {column} (row {rows})",
                    hint="Fill the cells or remove the rows. Nothing was imported.",
                )
            if kind == "id":
                raise ValidationError(
                    f"{where} with an id that is not that of the sequence (row {rows})",
                    hint="Leave the id column out: ids are computed. Nothing was imported.",
                )
            if kind == "letters" and self.letter is not None:
                row, position, letter, alphabet = self.letter
                raise alphabet_error(row, position, letter, alphabet, count - 1)
            raise self.first[kind]


def check_source_columns(rows: Rows) -> list[str]:
    """Return the essential columns that the rows have; ``sequence`` must be one of them."""
    names = rows.schema.names
    if "sequence" not in names:
        raise SchemaError(
            f"{rows.label}: no column 'sequence'",
            hint=join_hints(
                _separator(names) or did_you_mean("sequence", names),
                f"Columns there: {some(names, 12)}.",
                None if rows.format == "table" else _say_which(names),
            ),
        )
    return [c for c in READ_COLUMNS if c in names]


def _say_which(names: list[str]) -> str:
    like = [n for n in names if "seq" in n.casefold()]
    named = like[0] if len(like) == 1 else "NAME"
    return f"Say which holds the sequences: --rename {shlex.quote(f'{named}=sequence')}"


def _separator(names: list[str]) -> str | None:
    """Say so when a single column looks like several under another separator."""
    marks = {";": "semicolons", "\t": "tabs (--from tsv)", ",": "commas (--from csv)"}
    found = [word for mark, word in marks.items() if len(names) == 1 and mark in names[0]]
    return f"The header looks separated by {found[0]}." if found else None


def ignored_columns(rows: Rows) -> list[str]:
    """Return the columns that an import does not read (IMP-1)."""
    return [n for n in rows.schema.names if n not in READ_COLUMNS]


def essential_batches(
    rows: Rows, defaults: Defaults, problems: Problems, extra: Sequence[pa.Field] = ()
) -> Iterator[pa.RecordBatch]:
    """Yield the rows as essential columns; after the first mistake only mistakes are counted.

    Columns of the source named in the metadata of the `extra` fields are passed along under the
    fields' names, as they are.
    """
    columns = check_source_columns(rows)
    validate_bio_type(defaults.bio_type)
    if "alphabet" not in columns or "bio_type" not in columns:
        validate_alphabet(
            defaults.alphabet, defaults.bio_type if "bio_type" not in columns else None
        )

    def checked(item: tuple[int, pa.RecordBatch]) -> tuple[Problems, Any, Any]:
        found = Problems()
        first, batch = item
        return found, batch, _one_batch(batch.select(columns), first, defaults, found)

    schema = pa.schema([*ARROW_SCHEMA, *extra])
    for found, batch, out in in_order(checked, _numbered(rows)):
        problems.take(found)
        if out is not None and not problems and out.num_rows:
            passed = [batch.column(f.metadata[b"source"].decode()) for f in extra]
            yield pa.RecordBatch.from_arrays([*out.columns, *passed], schema=schema)


def _numbered(rows: Rows) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Yield each batch with the 1-based number of its first row."""
    first = 1
    for batch in rows:
        yield first, batch
        first += batch.num_rows


def _text(batch: pa.RecordBatch, name: str) -> pa.Array:
    column = batch.column(name)
    if pa.types.is_null(column.type):
        return pa.nulls(len(column), pa.string())
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        raise SchemaError(
            f"Column '{name}' is {column.type}, not text",
            hint="Sequences, ids, sources, bio_type and alphabet are text. Nothing was imported.",
        )
    return column.cast(pa.string())


def _one_batch(
    batch: pa.RecordBatch, first: int, d: Defaults, problems: Problems
) -> pa.RecordBatch | None:
    n = batch.num_rows
    names = batch.schema.names
    number = np.arange(first, first + n)
    before = problems.total

    def given(name: str, default: str) -> pa.Array:
        if name not in names:
            return pa.repeat(default, n)
        cells = _text(batch, name)
        problems.add(f"missing {name}", number[_empty(cells)])
        return cells

    sequence = trim(pa.chunked_array([_text(batch, "sequence")])).combine_chunks()
    if d.strip_stop:
        sequence = pc.replace_substring_regex(sequence, r"\*+$", "")
    problems.add("missing sequence", number[_empty(sequence)])
    bio_type = given("bio_type", d.bio_type)
    alphabet = given("alphabet", d.alphabet)
    if "id" in names:
        problems.add("missing id", number[_empty(_text(batch, "id"))])
    if problems.total > before:
        return None
    _check_letters(sequence, bio_type, alphabet, number, problems)
    if problems.total > before:
        return None
    ids = compute_ids(bio_type, sequence)
    if "id" in names and d.strict_id_check:
        wrong = pc.not_equal(_text(batch, "id"), ids).to_numpy(zero_copy_only=False)
        problems.add("id", number[wrong.astype(bool)])
    length = pc.utf8_length(sequence).cast(pa.int32())
    arrays = [
        ids,
        bio_type,
        sequence,
        alphabet,
        length,
        _source(batch, d),
        _created(batch, d, first),
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=ARROW_SCHEMA)


def _empty(cells: pa.Array) -> np.ndarray[Any, Any]:
    missing = pc.fill_null(pc.equal(pc.utf8_trim_whitespace(cells), ""), True)
    return np.asarray(missing.to_numpy(zero_copy_only=False), bool)


def _check_letters(
    sequence: pa.Array,
    bio_type: pa.Array,
    alphabet: pa.Array,
    number: np.ndarray[Any, Any],
    problems: Problems,
) -> None:
    """Check alphabets against bio types and letters against alphabets, kind by kind."""
    for b, a, mask in _kinds(bio_type, alphabet):
        try:
            validate_alphabet(a, b)
        except ValidationError as error:
            at = number[mask]
            told = type(error)(f"Row {at[0]}: {error.message}", hint=error.hint)
            problems.add("alphabet", at, told)
            continue
        cells = sequence if mask.all() else sequence.filter(pa.array(mask))
        letters = ALPHABETS[a]
        if only_letters(cells, letters + letters.lower()):
            continue
        good = pc.match_substring_regex(cells, f"^[{letters}{letters.lower()}]*$")
        bad = np.flatnonzero(~np.asarray(good.to_numpy(zero_copy_only=False), bool))
        at = number[mask][bad]
        problems.add("letters", at)
        if len(bad) and (problems.letter is None or at[0] < problems.letter[0]):
            found = first_bad_letter(cells[int(bad[0])].as_py(), a) or (0, "\n")
            problems.letter = (int(at[0]), *found, a)


def _kinds(
    bio_type: pa.Array, alphabet: pa.Array
) -> Iterator[tuple[str, str, np.ndarray[Any, Any]]]:
    """Yield each pair of bio type and alphabet, and which rows have it."""
    if len(pc.unique(bio_type)) == len(pc.unique(alphabet)) == 1:
        yield bio_type[0].as_py(), alphabet[0].as_py(), np.ones(len(bio_type), bool)
        return
    joined = pc.unique(pc.binary_join_element_wise(bio_type, alphabet, "\n")).to_pylist()
    for b, _, a in sorted(j.partition("\n") for j in joined):
        rows = pc.and_(pc.equal(bio_type, b), pc.equal(alphabet, a))
        yield b, a, np.asarray(rows.to_numpy(zero_copy_only=False), bool)


def only_letters(cells: pa.Array, letters: str) -> bool:
    """Say whether text without nulls holds nothing but some ASCII letters, in any order.

    Examples
    --------
    >>> only_letters(pa.array(["AC", ""]), "ACGT"), only_letters(pa.array(["AC", "AN"]), "ACGT")
    (True, False)
    """
    _, offsets, data = cells.buffers()
    if cells.type != pa.string() or data is None:
        return False
    ends = np.frombuffer(offsets, np.int32, len(cells) + 1, 4 * cells.offset)
    return not memoryview(data)[ends[0] : ends[-1]].tobytes().translate(None, letters.encode())


def _source(batch: pa.RecordBatch, d: Defaults) -> pa.Array:
    n = batch.num_rows
    if d.source:
        return pa.repeat(storable(d.source), n)
    # A file's name can hold bytes that are no text.
    of_file = storable(d.file_source)
    if "source" not in batch.schema.names:
        return pa.repeat(of_file, n)
    return pc.fill_null(_text(batch, "source"), of_file)


def _created(batch: pa.RecordBatch, d: Defaults, first: int) -> pa.Array:
    n = batch.num_rows
    fixed = d.created_at
    if fixed is not None or "created_at" not in batch.schema.names:
        return pa.repeat(pa.scalar(fixed or d.now, TIMESTAMP), n)
    column = batch.column("created_at")
    now = pa.scalar(d.now, TIMESTAMP)
    if pa.types.is_timestamp(column.type):
        if column.type.tz is None:
            column = pc.assume_timezone(column, "UTC")
        return pc.fill_null(column.cast(TIMESTAMP, safe=False), now)
    if pa.types.is_date(column.type):
        column = pc.assume_timezone(column.cast(pa.timestamp("us")), "UTC")
        return pc.fill_null(column, now)
    text = _text(batch, "created_at")
    cells = [
        d.now if not v else parse(v, where=f"Row {first + i}, created_at")
        for i, v in enumerate(text.to_pylist())
    ]
    return pa.array(cells, TIMESTAMP)
