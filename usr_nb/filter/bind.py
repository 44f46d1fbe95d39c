"""Whether a filter fits the columns there are: names and types, before anything is read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

import pyarrow as pa

from usr_nb.contract.records import STATE_SCHEMA, TOMBSTONE_SCHEMA
from usr_nb.contract.types import type_text
from usr_nb.errors import SchemaError, did_you_mean, join_hints, some
from usr_nb.filter.feature import Feature
from usr_nb.filter.tree import Condition, Filter, In, IsNaN, IsNull, Range
from usr_nb.filter.values import one_kind

TypeClass = Literal["number", "text", "bool", "time", "list", "struct", "other"]

#: What a computed feature is read from; those marked may be missing, and are then null.
SOURCES: Final[dict[str, tuple[str, ...]]] = {
    "gc": ("sequence", "bio_type"),
    "masked": ("usr_state__masked",),
    "qc_status": ("usr_state__qc_status",),
    "split": ("usr_state__split",),
    "deleted": ("usr__deleted",),
}
COMPUTED_TYPES: Final[dict[str, pa.DataType]] = {
    "gc": pa.float64(), "masked": pa.bool_(), "qc_status": pa.string(), "split": pa.string(),
    "deleted": pa.bool_(),
}  # fmt: skip
#: Columns of record state and tombstones, which a dataset may not have yet: null everywhere.
MAYBE: Final[dict[str, pa.DataType]] = {
    f.name: f.type for schema in (STATE_SCHEMA, TOMBSTONE_SCHEMA) for f in schema if f.name != "id"
}


@dataclass(frozen=True)
class Bound:
    """A filter that fits its columns.

    Attributes
    ----------
    where : Filter
        The filter.
    columns : tuple of str
        The columns that must be read for it, those missing from a dataset left out.
    """

    where: Filter
    columns: tuple[str, ...]


def bind(where: Filter, schema: pa.Schema) -> Bound:
    """Check a filter against the columns there are.

    Parameters
    ----------
    where : Filter
        The filter.
    schema : pyarrow.Schema
        The columns and types of the merged table (:meth:`Dataset.schema`).

    Raises
    ------
    SchemaError
        If a column does not exist (with a "did you mean"), a path leads nowhere, or a test does
        not fit a column's type; it names column and type.

    Examples
    --------
    >>> from usr_nb.filter.build import F
    >>> bind(F["a__x"] > 3, pa.schema([("a__x", pa.string())]))
    Traceback (most recent call last):
    ...
    usr_nb.errors.SchemaError: a__x is string; a range is of numbers or times
    Hint: Compare text with ==, in, contains, startswith, endswith or matches.
    """
    for node in where.walk():
        if isinstance(node, Condition):
            check_feature(node.feature, schema)
            check_condition(node, schema)
    there = set(schema.names)
    return Bound(where, tuple(c for c in needed(where.features()) if c in there))


def needed(features: Iterable[Feature]) -> list[str]:
    """Return the columns that some features are read from, each once."""
    found = (c for f in features for c in (SOURCES[f.name] if f.computed else (f.name,)))
    return list(dict.fromkeys(found))


def check_feature(feature: Feature, schema: pa.Schema) -> pa.DataType:
    """Return the type that a feature has; raise if there is no such feature."""
    if feature.computed:
        if feature.name == "gc":
            _column_type("sequence", schema)
        return COMPUTED_TYPES[feature.name]
    dtype = _column_type(feature.name, schema)
    done = Feature(feature.name)
    for step in feature.path:
        dtype = _step(done, dtype, step)
        done = Feature(done.name, (*done.path, step))
    return _reduced(feature, done, dtype)


def _column_type(name: str, schema: pa.Schema) -> pa.DataType:
    at = schema.get_all_field_indices(name)
    if len(at) == 1:
        return schema.field(at[0]).type
    if name in MAYBE:
        return MAYBE[name]
    raise SchemaError(
        f"Column {name[:80]!r} does not exist",
        hint=join_hints(
            did_you_mean(name[:80], [*schema.names, *COMPUTED_TYPES]),
            f"Columns: {some(schema.names, 12)}.",
        ),
    )


def _step(done: Feature, dtype: pa.DataType, step: str | int) -> pa.DataType:
    kind = class_of(dtype)
    if isinstance(step, int):
        if kind != "list":
            raise SchemaError(f"{done} is {type_text(dtype)}, which has no item {step}")
        return dtype.value_type
    if kind != "struct":
        raise SchemaError(
            f"{done} is {type_text(dtype)}, which has no field {step[:40]!r}",
            hint=f"An item comes first: {done}[0].{step[:40]}" if kind == "list" else None,
        )
    names = [dtype.field(i).name for i in range(dtype.num_fields)]
    if names.count(step) != 1:
        raise SchemaError(
            f"{done} has no field {step[:40]!r}",
            hint=join_hints(did_you_mean(step[:40], names), f"Fields: {some(names, 12)}."),
        )
    return dtype.field(names.index(step)).type


def _reduced(feature: Feature, done: Feature, dtype: pa.DataType) -> pa.DataType:
    if feature.reducer is None:
        return dtype
    kind = class_of(dtype)
    if feature.reducer == "len" and kind in ("list", "text"):
        return pa.int64()
    if kind == "list" and class_of(dtype.value_type) == "number":
        return pa.float64() if feature.reducer == "mean" else dtype.value_type
    raise SchemaError(
        f"{done} is {type_text(dtype)}; it has no {feature.reducer}",
        hint="min, max and mean are of lists of numbers, len of lists and text.",
    )


def class_of(dtype: pa.DataType) -> TypeClass:
    """Return what a type is to a filter."""
    t = pa.types
    if t.is_integer(dtype) or t.is_floating(dtype):
        return "number"
    if t.is_string(dtype) or t.is_large_string(dtype):
        return "text"
    if t.is_boolean(dtype):
        return "bool"
    if t.is_timestamp(dtype):
        return "time"
    if t.is_list(dtype) or t.is_large_list(dtype) or t.is_fixed_size_list(dtype):
        return "list"
    return "struct" if t.is_struct(dtype) else "other"


def check_condition(node: Condition, schema: pa.Schema) -> None:
    """Raise if a test does not fit the type of its feature."""
    dtype = check_feature(node.feature, schema)
    kind, name = class_of(dtype), f"{node.feature} is {type_text(dtype)}"
    if isinstance(node, IsNull):
        return
    if isinstance(node, IsNaN):
        if not pa.types.is_floating(dtype):
            raise SchemaError(f"{name}; only floats can be NaN", hint="Ask with: is null")
    elif isinstance(node, In):
        wanted = one_kind(node.values)
        if kind != wanted:
            raise SchemaError(f"{name}; it cannot equal a value of kind {wanted}", hint=_hint(kind))
    elif isinstance(node, Range):
        ends = tuple(v for v in (node.low, node.high) if v is not None)
        if kind not in ("number", "time"):
            raise SchemaError(f"{name}; a range is of numbers or times", hint=_hint(kind))
        if one_kind(ends) != kind:
            raise SchemaError(
                f"{name}; its range cannot end in a {one_kind(ends)}", hint=_hint(kind)
            )
    elif kind != "text":
        raise SchemaError(f"{name}; only text is searched", hint=_hint(kind))


def _hint(kind: TypeClass) -> str | None:
    return {
        "number": "Compare numbers with numbers: == != < <= > >= in [a, b].",
        "text": "Compare text with ==, in, contains, startswith, endswith or matches.",
        "bool": "A column of true and false stands by itself, or is compared with true or false.",
        "time": "Compare times with times, as 2026-01-31 (in Python: a datetime).",
        "list": "Name an item, as x[0], or one of len, min, max, mean.",
        "struct": "Name a field, as x.field.",
    }.get(kind)
