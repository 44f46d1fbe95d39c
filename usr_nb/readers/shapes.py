"""What kinds of Python values a column holds, and the Arrow type that takes all of them.

JSON lines, dicts and pandas object columns have no declared types. A :class:`Shape` looks at
their values chunk by chunk (at C speed: one ``set(map(type, ...))`` per level of nesting) and
remembers for each kind the row where it was first seen, so that a conflict names two rows.
"""

from __future__ import annotations

import datetime as dt
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, chain
from typing import Any, Literal, cast
from weakref import WeakKeyDictionary

import numpy as np
import pyarrow as pa

from usr_nb.contract.types import type_text
from usr_nb.errors import SchemaError
from usr_nb.readers.rows import MAX_COLUMNS, cell_error, show

Kind = Literal["null", "bool", "int", "float", "string", "binary", "time", "date", "list", "struct"]

# Deeper values are refused: Arrow and parquet recurse once per level.
DEEPEST = 32
_INT64 = (-(2**63), 2**63 - 1)
_UINT64 = (0, 2**64 - 1)
# Every key costs every row a cell; this many cells, nearly all empty, are an attack or a mistake.
SPARSE = 10_000_000
# Every whole number up to here is a float64.
EXACT_FLOAT = 2**53

_WORDS: dict[Kind, str] = {
    "null": "nothing",
    "bool": "true or false",
    "int": "a whole number",
    "float": "a number",
    "string": "text",
    "binary": "bytes",
    "time": "a time",
    "date": "a date",
    "list": "a list",
    "struct": "an object",
}
# In this order: bool is an int, datetime a date, numpy's float64 a float and its str_ a str.
_KINDS: tuple[tuple[type | tuple[type, ...], Kind], ...] = (
    (type(None), "null"),
    ((bool, np.bool_), "bool"),
    ((int, np.integer), "int"),
    ((float, np.floating), "float"),
    (str, "string"),
    (bytes, "binary"),
    (dt.datetime, "time"),
    (dt.date, "date"),
    ((list, tuple, np.ndarray), "list"),
    (dict, "struct"),
)

_UNKNOWN = object()
# Looked up for every value of some columns. Weak, so that a class made for a test can go.
_known: WeakKeyDictionary[type, object] = WeakKeyDictionary()


def kind_of(cls: type) -> Kind | None:
    """Return the kind of values of this class, None if Arrow columns cannot hold them.

    Examples
    --------
    >>> kind_of(bool), kind_of(float), kind_of(object)
    ('bool', 'float', None)
    """
    kind = _known.get(cls, _UNKNOWN)
    if kind is _UNKNOWN:
        kind = _known[cls] = _find_kind(cls)
    return cast("Kind | None", kind)


def _find_kind(cls: type) -> Kind | None:
    # pandas' NaT is a datetime and its NA is nothing else; neither is imported for this.
    if cls.__name__ in ("NAType", "NaTType"):
        return "null"
    return next((kind for classes, kind in _KINDS if issubclass(cls, classes)), None)


@dataclass(frozen=True)
class Seen:
    """One value of a kind, and the 1-based row it stands in."""

    row: int
    value: object


@dataclass
class Shape:
    """The kinds of value seen at one place of a column; items and fields are shapes again."""

    label: str
    column: str
    depth: int = 0
    kinds: dict[Kind, Seen] = field(default_factory=dict)
    smallest: Seen | None = None
    largest: Seen | None = None
    item: Shape | None = None
    fields: dict[str, Shape] = field(default_factory=dict)

    def look(self, values: Sequence[Any], row_of: Callable[[int], int]) -> None:
        """Take notice of `values`; `row_of` gives the row of the value at an index.

        Raises
        ------
        SchemaError
            A value of a class that no column can hold, nested over 32 levels, a whole number
            beyond 64 bits, or an object whose keys are not text.
        """
        if self.depth > DEEPEST:
            raise SchemaError(
                f"{self.label}: column {show(self.column)}, row {row_of(0)}: "
                f"nested deeper than {DEEPEST} levels",
                hint="Flatten the value, or store it as text.",
            )
        classes = set(map(type, values))
        kinds = {kind_of(cls) for cls in classes}
        for kind in kinds - self.kinds.keys():
            at = next(i for i, v in enumerate(values) if kind_of(type(v)) == kind)
            seen = Seen(row_of(at), values[at])
            if kind is None or (isinstance(seen.value, np.ndarray) and not seen.value.ndim):
                raise self._error(seen, f"({type(seen.value).__name__}) is no value of a column")
            self.kinds[kind] = seen
        if "int" in kinds:
            self._measure(values, row_of, mixed=len(classes) > 1)
        if "list" in kinds:
            self._look_into_lists(values, row_of)
        if "struct" in kinds:
            self._look_into_dicts(values, row_of)

    def _measure(self, values: Sequence[Any], row_of: Callable[[int], int], *, mixed: bool) -> None:
        whole = [v for v in values if kind_of(type(v)) == "int"] if mixed else values
        low, high = min(whole), max(whole)
        if self.smallest is None or low < _number(self.smallest):
            self.smallest = Seen(row_of(_place(values, low)), int(low))
        if self.largest is None or high > _number(self.largest):
            self.largest = Seen(row_of(_place(values, high)), int(high))
        for seen, bad in ((self.smallest, low < _INT64[0]), (self.largest, high > _UINT64[1])):
            if bad:
                raise self._error(seen, "does not fit 64 bits")

    def _look_into_lists(self, values: Sequence[Any], row_of: Callable[[int], int]) -> None:
        lists = [v if kind_of(type(v)) == "list" else () for v in values]
        self.item = self.item or Shape(self.label, self.column, self.depth + 1)

        ends: list[int] = []

        def row_of_item(at: int) -> int:
            # Only asked when something new turns up, so nothing is prepared for it.
            ends.extend(() if ends else accumulate(map(len, lists)))
            return row_of(bisect_right(ends, at))

        items = list(
            chain.from_iterable(v.tolist() if isinstance(v, np.ndarray) else v for v in lists)
        )
        if items:
            self.item.look(items, row_of_item)

    def _look_into_dicts(self, values: Sequence[Any], row_of: Callable[[int], int]) -> None:
        places = [i for i, v in enumerate(values) if isinstance(v, dict)]
        self._meet_keys(values, places, row_of)
        if len(self.fields) * len(places) > SPARSE:
            given = sum(len(values[i]) for i in places)
            if given * 100 < len(self.fields) * len(places):
                raise SchemaError(
                    f"{self.label}: column {show(self.column)}: its objects share hardly any of "
                    f"{len(self.fields)} keys",
                    hint="Use a list of key and value instead.",
                )
        for name, shape in self.fields.items():
            shape.look([values[i].get(name) for i in places], lambda at: row_of(places[at]))

    def _meet_keys(
        self, values: Sequence[Any], places: list[int], row_of: Callable[[int], int]
    ) -> None:
        """Give each new key a shape; its first row is at hand here and costs no search."""
        if self.fields.keys() >= set(chain.from_iterable(values[i] for i in places)):
            return
        for i in places:
            for name in values[i]:
                if name in self.fields:
                    continue
                check_name(name, label=self.label, column=self.column, row=row_of(i))
                if len(self.fields) >= MAX_COLUMNS:
                    raise SchemaError(
                        f"{self.label}: column {show(self.column)}, row {row_of(i)}: objects "
                        f"with more than {MAX_COLUMNS} different keys",
                        hint="Use a list, or put the keys into a column of their own.",
                    )
                self.fields[name] = Shape(self.label, self.column, self.depth + 1)

    def arrow_type(self, wish: pa.DataType | None = None) -> pa.DataType:
        """Return the type that takes every value seen: the wished one if it can, or an error.

        A wished list or struct whose values are all text gives string: text that looks like
        JSON is parsed by whoever casts the column.

        Raises
        ------
        SchemaError
            The kinds do not go together (the error names two rows), or not with the wish
            (the error names row, value and type).
        """
        if wish is not None:
            if pa.types.is_nested(wish) and self.kinds and not set(self.kinds) - {"null", "string"}:
                return pa.string() if "string" in self.kinds else wish
            self.require(wish)
            return wish
        kinds = [kind for kind in self.kinds if kind != "null"]
        if sorted(kinds) == ["float", "int"]:
            self._require_exact_floats()
            return pa.float64()
        if len(kinds) > 1:
            raise self._conflict(*kinds[:2])
        return self._single(kinds[0]) if kinds else pa.null()

    def _single(self, kind: Kind) -> pa.DataType:
        if kind == "int":
            return self._int_type()
        if kind == "list":
            return pa.list_(self.item.arrow_type() if self.item else pa.null())
        if kind == "struct":
            return pa.struct([(name, shape.arrow_type()) for name, shape in self.fields.items()])
        if kind == "time":
            first = self.kinds["time"].value
            aware = isinstance(first, dt.datetime) and first.tzinfo is not None
            return pa.timestamp("us", tz="UTC" if aware else None)
        return {
            "bool": pa.bool_(),
            "float": pa.float64(),
            "string": pa.string(),
            "binary": pa.binary(),
            "date": pa.date32(),
        }[kind]

    def _int_type(self) -> pa.DataType:
        if self.smallest is None or self.largest is None:
            return pa.int64()
        if _number(self.largest) <= _INT64[1]:
            return pa.int64()
        if _number(self.smallest) >= 0:
            return pa.uint64()
        raise self._error(
            self.largest, f"does not fit int64, and row {self.smallest.row} is negative"
        )

    def _require_exact_floats(self) -> None:
        for seen in (self.smallest, self.largest):
            if seen is not None and abs(_number(seen)) > EXACT_FLOAT:
                other = self.kinds["float"].row
                raise self._error(
                    seen, f"is not exact as a float, which the column is since row {other}"
                )

    def require(self, wish: pa.DataType) -> None:
        """Raise SchemaError unless values of the kinds seen can be of type `wish`.

        Ranges and single values (is a float whole? is a list long enough?) are checked when
        the array is built.
        """
        allowed = _accepts(wish)
        for kind, seen in self.kinds.items():
            if kind not in allowed:
                raise self._error(seen, f"is {_WORDS[kind]}, not {type_text(wish)}")
        if self.item is not None and _has_items(wish):
            self.item.require(wish.value_type)
        if pa.types.is_struct(wish):
            known = {f.name: f.type for f in wish}
            for name, shape in self.fields.items():
                if name not in known:
                    filled = [seen for kind, seen in shape.kinds.items() if kind != "null"]
                    seen = filled[0] if filled else self.kinds["struct"]
                    raise self._error(
                        Seen(seen.row, {name: seen.value}),
                        f"is a key that {type_text(wish)} does not have",
                    )
                shape.require(known[name])

    def _conflict(self, one: Kind, two: Kind) -> SchemaError:
        a, b = sorted((self.kinds[one], self.kinds[two]), key=lambda seen: seen.row)
        one, two = (one, two) if a is self.kinds[one] else (two, one)
        return SchemaError(
            f"{self.label}: column {show(self.column)}: row {a.row} holds {_WORDS[one]} "
            f"({show(a.value)}), row {b.row} holds {_WORDS[two]} ({show(b.value)})",
            hint="Give every row of the column the same type; a missing value is null (None).",
        )

    def _error(self, seen: Seen, problem: str) -> SchemaError:
        return cell_error(
            self.label,
            column=self.column,
            row=seen.row,
            value=seen.value,
            problem=problem,
            hint="Correct the value, or leave the column out.",
        )


def check_name(name: object, *, label: str, column: str | None, row: int) -> None:
    """Raise SchemaError for a key that cannot be a column or field name."""
    place = f"{label}: column {show(column)}, row {row}" if column else f"{label}: row {row}"
    if not isinstance(name, str):
        raise SchemaError(
            f"{place}: the key {show(name)} is not text", hint="Keys are column names."
        )
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        raise SchemaError(
            f"{place}: the key {show(name)} is not valid Unicode", hint="Rename the key."
        ) from None


def _place(values: Sequence[Any], wanted: int) -> int:
    return next(i for i, v in enumerate(values) if kind_of(type(v)) == "int" and v == wanted)


def _number(seen: Seen) -> int:
    return seen.value if isinstance(seen.value, int) else 0


def _has_items(dtype: pa.DataType) -> bool:
    return bool(
        pa.types.is_list(dtype)
        or pa.types.is_large_list(dtype)
        or pa.types.is_fixed_size_list(dtype)
    )


def _accepts(dtype: pa.DataType) -> frozenset[Kind]:
    """Return the kinds that may become `dtype`; pyarrow alone would turn "ab" into ["a", "b"]."""
    kinds = pa.types
    table: Mapping[bool, tuple[Kind, ...]] = {
        bool(kinds.is_boolean(dtype)): ("bool",),
        bool(kinds.is_integer(dtype) or kinds.is_floating(dtype)): ("int", "float"),
        bool(kinds.is_string(dtype) or kinds.is_large_string(dtype)): ("string",),
        bool(kinds.is_binary(dtype) or kinds.is_large_binary(dtype)): ("binary",),
        bool(kinds.is_timestamp(dtype)): ("string", "time", "date"),
        bool(kinds.is_date(dtype)): ("string", "date"),
        _has_items(dtype): ("list",),
        bool(kinds.is_struct(dtype)): ("struct",),
    }
    return frozenset(("null", *table.get(True, ())))
