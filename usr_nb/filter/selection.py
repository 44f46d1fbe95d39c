"""Picking records: sorted, the best of each group, far apart; kept as ids with the rule beside."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from usr_nb.contract.times import to_text, utc_now
from usr_nb.errors import RecordNotFound, ValidationError, some
from usr_nb.filter.build import Term
from usr_nb.filter.codec import filter_from_json
from usr_nb.filter.distance import Metric, Texts, far_apart
from usr_nb.filter.engine import visible
from usr_nb.filter.feature import Feature, plain_feature
from usr_nb.filter.line import parse_feature
from usr_nb.filter.order import By, feature_column, sort_keys, sorted_rows
from usr_nb.filter.tree import Filter, canonical_text
from usr_nb.filter.words import feature_line
from usr_nb.overlay.merge import Merged

Int = npt.NDArray[np.int64]
SELECTION_VERSION: Final = 1
_AT_ONCE: Final = 4_096
METHOD: Final = "greedy in order, exact distance (after CD-HIT, Li & Godzik 2006)"


@dataclass(frozen=True)
class Rule:
    """How records were picked, besides the filter.

    Attributes
    ----------
    order_by : tuple of str
        Features and directions, as ``evo2__llr desc``; base order behind them.
    top : int or None
        At most so many, of each group if `per` is given.
    per : str or None
        The feature that groups; records without a value are one group.
    metric, min_distance, method : str, int, str or None
        How far apart the sequences of what is picked are, and how that was made sure.
    always : tuple of str
        Ids that come first whatever the filter says; they count as picked.
    """

    order_by: tuple[str, ...] = ()
    top: int | None = None
    per: str | None = None
    metric: Metric | None = None
    min_distance: int | None = None
    method: str | None = None
    always: tuple[str, ...] = ()


@dataclass(frozen=True)
class Selection:
    """An immutable set of ids, and what it was made with.

    Attributes
    ----------
    ids : tuple of str
        In the order of the rule.
    filter : str or None
        The filter as JSON text.
    rule : Rule
        How records were picked among those that the filter keeps.
    dataset : str
        The name of the dataset's folder.
    slot : int
        Its last commit when the selection was made.
    fingerprint : str
        SHA-256 over slot, rows and overlay files of that instant: another one means that the
        dataset has changed since, parts appended included.
    made_at : str
        Text timestamp.
    """

    ids: tuple[str, ...]
    filter: str | None
    rule: Rule
    dataset: str
    slot: int
    fingerprint: str
    made_at: str

    @property
    def where(self) -> Filter | None:
        """The filter as a tree."""
        return None if self.filter is None else filter_from_json(self.filter)

    @property
    def ids_hash(self) -> str:
        """SHA-256 of the ids as a set, whatever their order."""
        return hashlib.sha256("\n".join(sorted(self.ids)).encode()).hexdigest()

    def to_json(self) -> str:
        """Return the selection as JSON text."""
        return canonical_text(self.as_dict())

    def as_dict(self) -> dict[str, Any]:
        """Return the selection as plain values."""
        return {"usr_selection": SELECTION_VERSION, **asdict(self)}

    @classmethod
    def from_json(cls, text: str) -> Selection:
        """Read a selection from JSON text.

        Raises
        ------
        ValidationError
            If it is no selection of this version.
        """
        try:
            body = json.loads(text)
        except (ValueError, RecursionError):
            body = None
        if not isinstance(body, dict) or body.pop("usr_selection", None) != SELECTION_VERSION:
            raise ValidationError("This is no selection in JSON", hint="Use Selection.to_json().")
        try:
            rule = body.pop("rule")
            rule |= {"order_by": tuple(rule["order_by"]), "always": tuple(rule["always"])}
            body |= {"ids": tuple(body["ids"]), "rule": Rule(**rule)}
            found = cls(**body)
        except (KeyError, TypeError, AttributeError):
            raise ValidationError("A selection in JSON lacks a key or has a strange one") from None
        if not all(isinstance(i, str) for i in (*found.ids, *found.rule.always)):
            raise ValidationError("A selection holds ids as text")
        return found


def state_of(merged: Merged) -> str:
    """Return a fingerprint of a dataset's instant; see :class:`Selection`."""
    view = merged.view
    files = sorted(f.path for files in view.overlays.values() for f in files)
    text = "\n".join([str(view.slot), str(merged.base_rows), *files])
    return hashlib.sha256(text.encode()).hexdigest()


def pick(
    merged: Merged,
    *,
    where: Filter | None = None,
    order_by: By | Sequence[By] = (),
    top: int | None = None,
    per: Term | Feature | str | None = None,
    metric: Metric | None = None,
    min_distance: int | None = None,
    always: Sequence[str] = (),
) -> Selection:
    """Pick records of a dataset. Nothing is written.

    Parameters
    ----------
    merged : Merged
        The dataset at one instant; tombstoned rows are picked only if it includes them.
    where : Filter, optional
        Which records come into question.
    order_by : feature, key, text, or a sequence of them
        Best first, as ``F["evo2__llr"].desc()`` or ``"evo2__llr desc, length"``.
    top : int, optional
        At most so many; with `per`, of each group.
    per : feature or its text, optional
        Groups the records.
    metric, min_distance
        With both, no two picked sequences are closer (:mod:`usr_nb.filter.distance`); those
        that are always included are not checked against each other.
    always : sequence of str
        Full ids that are picked in any case, first, and count for `top`.

    Returns
    -------
    Selection
        The ids in order, with filter and rule.

    Raises
    ------
    ValidationError, SchemaError, RecordNotFound
        If an argument is wrong, a feature does not exist, or an id of `always` is not there.
    """
    if top is not None and (isinstance(top, bool) or top < 0):
        raise ValidationError("top must not be negative")
    if (metric is None) != (min_distance is None):
        raise ValidationError(
            "A distance needs both metric= and min_distance=",
            hint='Such as metric="hamming", min_distance=5; or metric="edit".',
        )
    if per is not None and top is None:
        raise ValidationError("per= groups for top=, which is missing")
    keys = sort_keys(order_by)
    group = _group_feature(per)
    fixed = _fixed_rows(merged, always)
    rows = np.flatnonzero(visible(merged, where)).astype(np.int64)
    rows = sorted_rows(merged, rows, keys) if keys else rows
    rows = np.concatenate([fixed, rows[~np.isin(rows, fixed)]])
    codes = _codes(merged, group, rows)
    if metric is not None and min_distance is not None:
        chosen = _apart(_Sequences(merged, rows), codes, len(fixed), top, (metric, min_distance))
    else:
        chosen = _first_of_each(codes, len(fixed), top)
    picked = rows[chosen]
    rule = Rule(
        tuple(_key_text(k.feature, descending=k.descending) for k in keys), top,
        None if group is None else feature_line(plain_feature(group)), metric, min_distance,
        METHOD if metric else None, tuple(always),
    )  # fmt: skip
    ids = merged.base_keys("id").take(pa.array(picked)).to_pylist()
    return Selection(
        tuple(ids), None if where is None else where.to_json(), rule,
        merged.view.layout.dir.name, merged.view.slot, state_of(merged), to_text(utc_now()),
    )  # fmt: skip


def _key_text(feature: Feature, *, descending: bool) -> str:
    return f"{feature_line(plain_feature(feature))} {'desc' if descending else 'asc'}"


def _group_feature(per: Term | Feature | str | None) -> Feature | None:
    if isinstance(per, Term):
        return per.feature
    if per is None or isinstance(per, Feature):
        return per
    if not isinstance(per, str):
        raise ValidationError(f"Records are not grouped by a {type(per).__name__}")
    return parse_feature(per)


def _fixed_rows(merged: Merged, always: Sequence[str]) -> Int:
    if isinstance(always, str):
        raise ValidationError("always= is a list of ids", hint="Write always=[id].")
    wanted = list(dict.fromkeys(always))
    if not wanted:
        return np.zeros(0, np.int64)
    found = pc.index_in(pa.array(wanted, pa.string()), value_set=merged.base_keys("id"))
    shown = visible(merged, None)
    rows = [r if r is not None and shown[r] else None for r in found.to_pylist()]
    missing = [i for i, r in zip(wanted, rows, strict=True) if r is None]
    if missing:
        raise RecordNotFound(
            f"{len(missing):,} ids of always= are not in the dataset, or deleted: {some(missing)}",
            hint="Give full ids; check them with ds.get().",
        )
    return np.array(rows, np.int64)


def _codes(merged: Merged, group: Feature | None, rows: Int) -> Int:
    """Return the number of each row's group; without a group all are in one."""
    if group is None:
        return np.zeros(len(rows), np.int64)
    values = feature_column(merged, group).take(pa.array(rows)).combine_chunks()
    if pa.types.is_nested(values.type):
        raise ValidationError(f"{group} is a list or struct, which groups nothing")
    encoded = values.dictionary_encode(null_encoding="encode")
    return np.asarray(encoded.indices.to_numpy(zero_copy_only=False)).astype(np.int64)


def _first_of_each(codes: Int, fixed: int, top: int | None) -> Int:
    """Return the places of the first `top` of each group; the first `fixed` are there anyway."""
    if top is None:
        return np.arange(len(codes), dtype=np.int64)
    by_group = np.argsort(codes, kind="stable")
    grouped = codes[by_group]
    starts = np.flatnonzero(np.diff(grouped, prepend=-1))
    sizes = np.diff(np.append(starts, len(grouped)))
    rank = np.empty(len(codes), np.int64)
    rank[by_group] = np.arange(len(codes)) - np.repeat(starts, sizes)
    return np.flatnonzero((rank < top) | (np.arange(len(codes)) < fixed)).astype(np.int64)


class _Sequences:
    """The sequences of some base rows, taken a few at a time: often only the first are needed."""

    def __init__(self, merged: Merged, rows: Int) -> None:
        self.column = merged.base_keys("sequence")
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[str]:
        for low in range(0, len(self.rows), _AT_ONCE):
            yield from self.column.take(pa.array(self.rows[low : low + _AT_ONCE])).to_pylist()


def _apart(
    texts: Texts, codes: Int, fixed: int, top: int | None, distance: tuple[Metric, int]
) -> Int:
    """Return the places that are picked: far enough apart, and `top` of each group."""
    groups = len(np.unique(codes))
    most = None if top is None else max(fixed, 1) + top * groups
    full: dict[int, int] = {}
    done = 0
    chosen: list[int] = []

    def wanted(place: int) -> bool:
        return top is None or full.get(int(codes[place]), 0) < top

    picker = far_apart(
        texts, metric=distance[0], minimum=distance[1], fixed=fixed, wanted=wanted, most=most
    )
    for place, kept in enumerate(picker):
        if kept:
            chosen.append(place)
            group = int(codes[place])
            full[group] = full.get(group, 0) + 1
            done += full[group] == top
        if done == groups and place >= fixed - 1:
            break
    return np.array(chosen, np.int64)
