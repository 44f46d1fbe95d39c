"""From ids, or unique prefixes of them, to rows of the base (contract GET-3)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from usr_nb.contract.hashing import ID_HEX_DIGITS
from usr_nb.contract.names import storable
from usr_nb.errors import RecordNotFound, ValidationError, some
from usr_nb.overlay.idindex import finder_rows
from usr_nb.overlay.kept import finder_of
from usr_nb.overlay.merge import Merged

MIN_PREFIX: Final = 7
#: Up to so many ids are looked up one by one in the index.
_FEW: Final = 1000


@dataclass(frozen=True)
class Found:
    """Full ids in the order of the request, each once, and their base rows (0-based)."""

    ids: list[str]
    rows: npt.NDArray[np.int64]
    missing: list[str]


def as_ids(ids: str | Iterable[str]) -> list[str]:
    """Return the ids asked for, trimmed, each once, in order.

    Raises
    ------
    ValidationError
        If there is none, or one is not text or too short to be a prefix.
    """
    given = [ids] if isinstance(ids, str) else list(ids)
    if not all(isinstance(i, str) for i in given):
        raise ValidationError("Ids are text", hint="Pass a list of id strings.")
    clean = list(dict.fromkeys(storable(i.strip().lower()) for i in given if i.strip()))
    if not clean:
        raise ValidationError("No id was given", hint="Give at least one id.")
    short = [i for i in clean if len(i) < MIN_PREFIX]
    if short:
        raise ValidationError(
            f"Id {short[0][:40]!r} is too short",
            hint=f"Give {MIN_PREFIX} or more of its {ID_HEX_DIGITS} letters.",
        )
    return clean


def find(merged: Merged, ids: str | Iterable[str], *, allow_missing: bool | None = False) -> Found:
    """Return the base rows of some ids; tombstoned rows are found too.

    `allow_missing` is None where there is no such choice.

    Raises
    ------
    RecordNotFound
        If an id is unknown (unless `allow_missing`) or a prefix fits several ids.
    """
    asked = as_ids(ids)
    full: dict[str, int] = {}
    missing: list[str] = []
    left = asked
    finder = None if merged.use_caches or not _are_whole(asked) else finder_of(merged)
    if finder is not None:
        # Who writes believes no cache but the one in memory.
        rows = finder_rows(finder, pa.chunked_array([asked], pa.string())).tolist()
        full = {i: row for i, row in zip(asked, rows, strict=True) if row >= 0}
        missing = [i for i in asked if i not in full]
        left = []
    elif len(asked) <= _FEW:
        known = merged.rows_by_id(asked)
        # In the order asked for; what the index does not know is looked for in the base.
        if all(rows for rows in known):
            for given, rows in zip(asked, known, strict=True):
                if len(rows) > 1 and len(given) < ID_HEX_DIGITS:
                    raise _ambiguous(given, len(rows), [name for name, _ in rows[:10]])
                name, row = rows[0]
                full[name] = row
            left = []
    if left:
        column = merged.base_keys("id").combine_chunks()
        at = pc.index_in(pa.array(left, pa.string()), value_set=column).to_pylist()
        for given, row in zip(left, at, strict=True):
            if row is not None:
                full[given] = row
                continue
            whole, place = _by_prefix(column, given) if len(given) < ID_HEX_DIGITS else (None, -1)
            if whole is None:
                missing.append(given)
            else:
                full[whole] = place
    if missing and not allow_missing:
        raise RecordNotFound(
            f"{len(missing):,} of {len(asked):,} ids are not in the dataset: {some(missing)}",
            hint="Check the ids with `usr head` or `usr grep`"
            + ("." if allow_missing is None else ", or use --allow-missing."),
        )
    return Found(list(full), np.fromiter(full.values(), np.int64, len(full)), missing)


def find_shown(merged: Merged, ids: str | Iterable[str]) -> npt.NDArray[np.int64]:
    """Return the base rows of some ids, in the order asked for; all must be there to be seen.

    Raises
    ------
    RecordNotFound
        If one is unknown, hidden by a tombstone, or an ambiguous prefix.
    """
    found = find(merged, ids, allow_missing=None)
    hidden_at = np.flatnonzero(~merged.is_live(found.rows))
    if len(hidden_at) and not merged.include_deleted:
        raise RecordNotFound(
            f"Record {found.ids[int(hidden_at[0])]} is deleted (tombstoned)",
            hint="Show it with --include-deleted, or bring it back with `usr restore`.",
        )
    return found.rows


def _are_whole(ids: list[str]) -> bool:
    return all(len(i) == ID_HEX_DIGITS for i in ids)


def _by_prefix(column: pa.Array, prefix: str) -> tuple[str | None, int]:
    hits = np.flatnonzero(pc.starts_with(column, prefix).to_numpy(zero_copy_only=False))
    if len(hits) > 1:
        raise _ambiguous(prefix, len(hits), column.take(pa.array(hits[:10])).to_pylist())
    return (column[int(hits[0])].as_py(), int(hits[0])) if len(hits) else (None, -1)


def _ambiguous(prefix: str, count: int, matches: list[str]) -> RecordNotFound:
    return RecordNotFound(
        f"Id prefix '{prefix}' fits {count:,} records",
        hint=f"Give more letters: {some(matches, 10)}.",
    )
