"""By which key an input fits a dataset, and why some of its rows do not (contract ATT)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from usr_nb.contract.essentials import ESSENTIALS
from usr_nb.contract.iupac import reverse_complement
from usr_nb.errors import SequencesError
from usr_nb.overlay.attach import Wish, match_target
from usr_nb.overlay.lookup import base_column, normal_keys, positions, trim
from usr_nb.overlay.merge import Merged
from usr_nb.overlay.parts import KEYS

#: Rates are of at most this many rows of the input, reasons of so many that missed.
SAMPLE_ROWS: Final = 20_000
SAMPLE_MISSES: Final = 2_000
_NAME_COLUMNS: Final = 8
_LOOKED_AT: Final = 200
_ID: Final = re.compile(r"\s*[0-9a-f]{40}\s*\Z")
_LETTERS: Final = re.compile(r"\s*[A-Za-z][A-Za-z\s*-]{3,}\Z")


@dataclass(frozen=True)
class KeyChoice:
    """One way of matching an input's rows to records.

    Attributes
    ----------
    key : str
        ``id``, ``sequence``, ``sequence_norm`` or ``sequence_ci``.
    column : str
        The column of the input that holds it.
    match : str or None
        The column of the dataset whose values it holds instead; the part is stored by id.
    matched, rows : int
        How many rows found a record, of how many that were looked at.
    sampled : bool
        Whether these are only some rows of the input.
    """

    key: str
    column: str
    match: str | None
    matched: int
    rows: int
    sampled: bool

    @property
    def rate(self) -> float:
        """Share of the rows that found a record, 0 to 1."""
        return self.matched / self.rows if self.rows else 0.0

    @property
    def label(self) -> str:
        """The choice for people.

        Examples
        --------
        >>> KeyChoice("sequence_ci", "seq", None, 2, 3, False).label
        'sequence_ci 66.7 %'
        """
        return f"{self.match or self.key} {100 * self.rate:.1f} %"


def key_choices(table: pa.Table, merged: Merged) -> tuple[KeyChoice, ...]:
    """Return every way in which at least one row finds a record, the best first.

    Parameters
    ----------
    table : pyarrow.Table
        The input.
    merged : Merged
        The dataset with all its overlays.
    """
    found = list(_choices(table.slice(0, SAMPLE_ROWS), merged, sampled=len(table) > SAMPLE_ROWS))
    return tuple(sorted((c for c in found if c.matched), key=_worth, reverse=True))


def _worth(c: KeyChoice) -> tuple[float, int]:
    # Among equals the plainer one: an id before a sequence, and both before a name.
    return round(c.rate, 6), -len(KEYS) if c.match else -KEYS.index(c.key)


def _choices(table: pa.Table, merged: Merged, *, sampled: bool) -> Iterator[KeyChoice]:
    texts = {n: table.column(n) for n in table.schema.names if _is_text(table.column(n))}
    for name, values in texts.items():
        cells = values.slice(0, _LOOKED_AT).drop_null().to_pylist()
        if _mostly(cells, _ID.match):
            yield _rate(values, merged, "id", name, sampled=sampled)
        if _mostly(cells, _LETTERS.match):
            for key in KEYS[1:]:
                if _fits(merged, key):
                    yield _rate(values, merged, key, name, sampled=sampled)
    whole = {n: table.column(n) for n in table.schema.names
             if pa.types.is_integer(table.column(n).type)}  # fmt: skip
    for match in _name_columns(merged):
        names = _unique_values(merged, match)
        if names is None:
            continue
        for name, values in (texts | whole).items():
            keys = trim(values.cast(pa.string()))
            hits = int((positions(keys, names) >= 0).sum())
            yield KeyChoice("id", name, match, hits, len(values), sampled)


def _mostly(cells: Sequence[str], fits: Callable[[str], object]) -> bool:
    return bool(cells) and 2 * sum(bool(fits(c)) for c in cells) >= len(cells)


def _is_text(values: pa.ChunkedArray) -> bool:
    return bool(pa.types.is_string(values.type) or pa.types.is_large_string(values.type))


def _rate(
    values: pa.ChunkedArray, merged: Merged, key: str, name: str, *, sampled: bool
) -> KeyChoice:
    base = normal_keys(merged.base_keys(base_column(key)), key).combine_chunks()
    hits = int((positions(normal_keys(values, key), base) >= 0).sum())
    return KeyChoice(key, name, None, hits, len(values), sampled)


def _fits(merged: Merged, key: str) -> bool:
    wish = Wish("?", key, "?", {}, allow_missing=True, parse_json=True, where="?")
    try:
        match_target(merged, wish)
    except SequencesError:
        return False
    return True


def _name_columns(merged: Merged) -> list[str]:
    fields = [f for f in merged.schema if f.name not in ESSENTIALS]
    named = [f.name for f in fields if _is_name(f.type) and not f.name.startswith("usr")]
    return named[:_NAME_COLUMNS]


def _is_name(kind: pa.DataType) -> bool:
    inner = kind.value_type if pa.types.is_list(kind) else kind
    return bool(pa.types.is_string(inner))


def _unique_values(merged: Merged, match: str) -> pa.Array | None:
    """Return the values of a column if no two records share one, None otherwise."""
    values = merged.table([match]).column(0).combine_chunks()
    if pa.types.is_list(values.type):
        values = pc.list_flatten(values)
    names = values.drop_null()
    return names if len(names) and pc.count_distinct(names).as_py() == len(names) else None


# Why rows miss ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Miss:
    """Why rows of an input found no record.

    Attributes
    ----------
    why : str
        In words.
    rows : int
        How many of the rows that were looked at.
    example : str
        One of their keys.
    """

    why: str
    rows: int
    example: str


def why_missed(keys: Sequence[str], merged: Merged, key: str) -> tuple[list[str], list[Miss]]:
    """Say for each of some keys that found no record what would make it find one.

    Parameters
    ----------
    keys : sequence of str
        In the form in which they were compared; at most a few thousand.
    key : str
        By which key they missed.

    Returns
    -------
    list of str, list of Miss
        The reason of each key, and the reasons with their counts, the most frequent first.
    """
    reasons = ["not in the dataset"] * len(keys)
    if key != "id":
        base = normal_keys(merged.base_keys("sequence"), "sequence").combine_chunks()
        loud = pc.utf8_upper(base)
        for why, change, against in (
            ("case differs", str.upper, loud),
            ("a trailing * (stop codon)", lambda k: k.upper().rstrip("*"), loud),
            ("white space or gaps inside", lambda k: re.sub(r"[\s-]+", "", k).upper(), loud),
            ("U and T differ", lambda k: k.upper().replace("U", "T"), loud),
            ("T and U differ", lambda k: k.upper().replace("T", "U"), loud),
            ("reverse complement", _flipped, loud),
        ):
            _explain(keys, reasons, why, change, against)
    elif any(not _ID.match(k) for k in keys):
        reasons = [r if _ID.match(k) else "not an id (40 hexadecimal digits)"
                   for k, r in zip(keys, reasons, strict=True)]  # fmt: skip
    counted: dict[str, list[str]] = {}
    for k, r in zip(keys, reasons, strict=True):
        counted.setdefault(r, []).append(k)
    misses = [Miss(r, len(ks), ks[0]) for r, ks in counted.items()]
    return reasons, sorted(misses, key=lambda m: -m.rows)


def _flipped(key: str) -> str:
    try:
        return reverse_complement(key.upper())
    except (SequencesError, ValueError, KeyError):
        return ""


def _explain(
    keys: Sequence[str],
    reasons: list[str],
    why: str,
    change: Callable[[str], str],
    against: pa.Array,
) -> None:
    left = [i for i, r in enumerate(reasons) if r == "not in the dataset" and keys[i]]
    if not left:
        return
    changed = pa.chunked_array([pa.array([change(keys[i]) for i in left], pa.string())])
    for i, at in zip(left, np.asarray(positions(changed, against)).tolist(), strict=True):
        if at >= 0:
            reasons[i] = why
