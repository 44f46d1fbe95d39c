"""Sorting records by features: nulls last, NaN before them, ties in base order."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from usr_nb.errors import SchemaError, ValidationError
from usr_nb.filter.bind import check_feature, class_of
from usr_nb.filter.build import SortKey, Term
from usr_nb.filter.compute import values_of
from usr_nb.filter.engine import dataset_schema, feature_batches, whole
from usr_nb.filter.feature import Feature
from usr_nb.filter.line import parse_feature
from usr_nb.filter.tokens import FilterSyntaxError
from usr_nb.overlay.merge import Merged

Int = npt.NDArray[np.int64]
MAX_KEYS = 16
By = Term | SortKey | str


def sort_keys(by: By | Sequence[By]) -> tuple[SortKey, ...]:
    """Return what to sort by: features, keys, or text such as ``evo2__llr desc``.

    Raises
    ------
    ValidationError
        If it is none of these, or a text is malformed.

    Examples
    --------
    >>> sort_keys("length desc, id")[0].descending
    True
    """
    given: Sequence[object] = [by] if isinstance(by, str) or not isinstance(by, Sequence) else by
    keys: list[SortKey] = []
    for one in given:
        if isinstance(one, SortKey):
            keys.append(one)
        elif isinstance(one, Term):
            keys.append(one.asc())
        elif isinstance(one, str):
            keys += [_key(text) for text in one.split(",")]
        else:
            raise ValidationError(
                f"Nothing is sorted by a {type(one).__name__}",
                hint='Sort by F["x"].desc() or by text such as "x desc".',
            )
    if len(keys) > MAX_KEYS:
        raise ValidationError(f"Records are sorted by at most {MAX_KEYS} features")
    return tuple(keys)


def _key(text: str) -> SortKey:
    name, _, word = text.strip().rpartition(" ")
    if word in ("asc", "desc") and name:
        return SortKey(parse_feature(name), descending=word == "desc")
    try:
        return SortKey(parse_feature(text.strip()))
    except FilterSyntaxError as error:
        raise ValidationError(
            f"Nothing is sorted by {text.strip()[:60]!r}: {error.message}",
            hint=error.hint or 'Write a column, then desc if the highest comes first: "x desc, y".',
        ) from None


def feature_column(merged: Merged, feature: Feature) -> pa.ChunkedArray:
    """Return a feature for every row of the base, tombstoned ones included."""
    chunks = [values_of(feature, b).array for b in feature_batches([feature], merged)]
    dtype = check_feature(feature, dataset_schema(whole(merged), [feature]))
    return pa.chunked_array(chunks, None if chunks else dtype)


def sorted_rows(merged: Merged, rows: Int, keys: Sequence[SortKey]) -> Int:
    """Return some base rows in the order of the keys.

    Parameters
    ----------
    merged : Merged
        The dataset at one instant.
    rows : numpy.ndarray of int64
        Base rows (0-based), ascending.
    keys : sequence of SortKey
        The first decides, the next among equals; at last base order does. Either way a record
        with NaN comes behind all numbers, and one without a value last.

    Raises
    ------
    SchemaError
        If a feature does not exist or has no order (a list, a struct).
    """
    schema = dataset_schema(whole(merged), [k.feature for k in keys])
    for key in keys:
        kind = class_of(check_feature(key.feature, schema))
        if kind not in ("number", "text", "bool", "time"):
            raise SchemaError(
                f"{key.feature} is a {kind}, which has no order",
                hint="Sort by an item, a field, or len, min, max, mean.",
            )
    order = rows
    # The last key first: each sort keeps the order of equals.
    for key in reversed(keys):
        values = feature_column(merged, key.feature).take(pa.array(order)).combine_chunks()
        order = order[_ranked(values, descending=key.descending)]
    return order


def _ranked(values: pa.Array, *, descending: bool) -> Int:
    if pa.types.is_boolean(values.type):
        values = values.cast(pa.int8())
    ranks = np.zeros(len(values), np.int64)
    there = np.asarray(values.is_valid().to_numpy(zero_copy_only=False), bool)
    last = np.zeros(len(values), np.int8)
    last[~there] = 2
    if pa.types.is_floating(values.type):
        nan = np.asarray(pc.is_nan(values).fill_null(False).to_numpy(zero_copy_only=False), bool)
        last[nan] = 1
        there = there & ~nan
    known = values.filter(pa.array(there))
    # Equal values share a rank, so that a stable sort leaves them as they are.
    dense = pc.rank(known, sort_keys="ascending", tiebreaker="dense").to_numpy().astype(np.int64)
    ranks[there] = -dense if descending else dense
    return np.lexsort((ranks, last))
