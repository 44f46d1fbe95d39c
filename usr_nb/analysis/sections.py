"""What of a dataset can be filtered by, in the order in which the filter panel offers it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import pyarrow as pa

from usr_nb.contract.names import namespace_of
from usr_nb.contract.records import STATE_SCHEMA
from usr_nb.contract.types import type_text
from usr_nb.filter.bind import TypeClass, class_of
from usr_nb.filter.build import F
from usr_nb.filter.feature import Feature

SectionKind = Literal["number", "time", "bool", "text", "sequence", "list", "other"]

#: Structs within structs are unfolded so far.
MAX_DEPTH: Final = 3
SEQUENCE: Final = "sequence"
STATE: Final = "state"
RECORD: Final = "record"
_FIRST: Final = ("length", "gc", SEQUENCE)


@dataclass(frozen=True)
class Section:
    """A column, a field of a struct, or something computed.

    Attributes
    ----------
    feature : Feature
        What is filtered by; of a list the list itself, which is filtered by a reducer or an item.
    group : str
        "sequence", "state", "record", or the namespace.
    title, type : str
        For people: the name within its group, and the type as it is registered.
    kind : str
        Which controls fit.
    items : TypeClass or None
        Of a list: what its items are.
    fields : tuple of (str, TypeClass)
        Of a list of structs: the fields of an item.
    """

    feature: Feature
    group: str
    title: str
    type: str
    kind: SectionKind
    items: TypeClass | None = None
    fields: tuple[tuple[str, TypeClass], ...] = ()


def sections(schema: pa.Schema, *, state: bool = True) -> list[Section]:
    """Return what can be filtered by: length, GC, sequence, state, record, namespaces A-Z.

    Parameters
    ----------
    schema : pyarrow.Schema
        The columns of the merged table (:meth:`Dataset.schema`).
    state : bool
        Whether rows have a record state, set or not; a table of somebody's own has none.

    Examples
    --------
    >>> found = sections(pa.schema([("sequence", pa.string()), ("a__x", pa.list_(pa.int8()))]))
    >>> [(s.group, s.title, s.kind) for s in found][-1]
    ('a', 'x', 'list')
    """
    names = schema.names
    found: list[Section] = []
    if "length" in names:
        found += _of(Feature("length"), SEQUENCE, "length", schema.field("length").type)
    if SEQUENCE in names:
        found.append(Section(F.gc.feature, SEQUENCE, "GC", "share of G and C", "number"))
        text = type_text(schema.field(SEQUENCE).type)
        found.append(Section(Feature(SEQUENCE), SEQUENCE, "motif or text", text, "sequence"))
    if state:
        for term in (F.qc_status, F.split):
            found.append(Section(term.feature, STATE, term.feature.name, "string", "text"))
        for term in (F.masked, F.deleted):
            found.append(Section(term.feature, STATE, term.feature.name, "bool", "bool"))
    of_state = {f.name for f in STATE_SCHEMA}
    computed = {"usr_state__qc_status", "usr_state__split", "usr_state__masked"}
    # A stable sort: within a namespace the order of the registry stands.
    for field in sorted(schema, key=lambda f: namespace_of(f.name) or ""):
        namespace = namespace_of(field.name)
        if field.name in _FIRST or (state and field.name in computed) or namespace == "usr":
            continue
        group = STATE if field.name in of_state and namespace else namespace or RECORD
        title = field.name.partition("__")[2] if namespace else field.name
        found += _of(Feature(field.name), group, title, field.type)
    order = {SEQUENCE: 0, STATE: 1, RECORD: 2}
    return sorted(
        found, key=lambda s: (order.get(s.group, 3), s.group if s.group not in order else "")
    )


def _of(
    feature: Feature, group: str, title: str, dtype: pa.DataType, depth: int = 0
) -> list[Section]:
    kind, text = class_of(dtype), type_text(dtype)
    if kind == "struct" and depth < MAX_DEPTH:
        return [
            s
            for f in dtype
            for s in _of(
                Feature(feature.name, (*feature.path, f.name)),
                group,
                f"{title}.{f.name}",
                f.type,
                depth + 1,
            )
        ]
    if kind == "list":
        inner = dtype.value_type
        fields = (
            tuple((f.name, class_of(f.type)) for f in inner) if pa.types.is_struct(inner) else ()
        )
        return [Section(feature, group, title, text, "list", class_of(inner), fields)]
    if kind in ("number", "time", "bool", "text"):
        return [Section(feature, group, title, text, kind)]
    return [Section(feature, group, title, text, "other")]
