"""Features on sequences (binding sites, genes ...): which columns hold them, and where they lie.

A feature column is a list of structs with a start (``offset``, ``start`` or ``begin``) and an end,
a length or a motif. Positions are 0-based and half-open, counted on the stored strand, also for
features of the other strand: the form of ``densegen__used_tfbs_detail``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import pyarrow as pa

_START: Final = ("offset", "start", "begin")
_END: Final = ("end", "stop")
_LENGTH: Final = ("length", "len")
_MOTIF: Final = ("tfbs", "motif", "sequence")
_STRAND: Final = ("orientation", "strand")
_LABEL: Final = ("tf", "name", "label", "feature", "kind", "type")
_BACKWARD: Final = frozenset({"rev", "reverse", "-", "-1", "minus", "rc"})
_FORWARD: Final = frozenset({"fwd", "forward", "+", "1", "+1", "plus"})

#: The column of DenseGen comes first where there are several.
PREFERRED: Final = "densegen__used_tfbs_detail"

Strand = Literal[-1, 0, 1]


@dataclass(frozen=True, slots=True)
class Feature:
    """One feature.

    Attributes
    ----------
    start, end : int
        0-based, half-open.
    strand : {-1, 0, 1}
        0 where none is told.
    label : str
        Its name, ``""`` where it has none.
    """

    start: int
    end: int
    strand: Strand
    label: str


def _first(names: Iterable[str], wanted: tuple[str, ...]) -> str | None:
    there = {n.lower(): n for n in names}
    return next((there[w] for w in wanted if w in there), None)


def _is_list(dtype: pa.DataType) -> bool:
    return bool(pa.types.is_list(dtype) or pa.types.is_fixed_size_list(dtype))


def feature_columns(schema: pa.Schema) -> list[str]:
    """Return the columns that hold features, DenseGen's first.

    Examples
    --------
    >>> site = pa.struct([("offset", pa.int64()), ("tfbs", pa.string())])
    >>> feature_columns(pa.schema([("a__sites", pa.list_(site)), ("a__n", pa.int32())]))
    ['a__sites']
    """
    found = []
    for field in schema:
        if not (_is_list(field.type) and pa.types.is_struct(field.type.value_type)):
            continue
        inner = field.type.value_type
        types = {inner.field(i).name: inner.field(i).type for i in range(inner.num_fields)}
        start, end = _first(types, _START), _first(types, _END + _LENGTH + _MOTIF)
        if start and end and pa.types.is_integer(types[start]):
            found.append(field.name)
    return sorted(found, key=lambda name: name != PREFERRED)


def read_features(cell: Any) -> list[Feature]:
    """Return the features of one cell, by start; what cannot be placed is passed over.

    Examples
    --------
    >>> read_features([{"offset": 3, "orientation": "rev", "tf": "lexa", "tfbs": "CTGT"}])
    [Feature(start=3, end=7, strand=-1, label='lexa')]
    >>> read_features(None)
    []
    """
    if not isinstance(cell, list):
        return []
    found = [f for item in cell if isinstance(item, Mapping) and (f := _feature(item)) is not None]
    return sorted(found, key=lambda f: (f.start, f.end, f.label))


def _feature(item: Mapping[str, Any]) -> Feature | None:
    start = item.get(_first(item, _START) or "")
    if not isinstance(start, int) or start < 0:
        return None
    end = item.get(_first(item, _END) or "")
    if not isinstance(end, int):
        length = item.get(_first(item, _LENGTH) or "")
        motif = item.get(_first(item, _MOTIF) or "")
        if isinstance(length, int):
            end = start + length
        elif isinstance(motif, str):
            end = start + len(motif)
        else:
            return None
    if end <= start:
        return None
    label = item.get(_first(item, _LABEL) or "")
    strand = str(item.get(_first(item, _STRAND) or "")).lower()
    way: Strand = -1 if strand in _BACKWARD else 1 if strand in _FORWARD else 0
    return Feature(start, end, way, "" if label is None else str(label))
