"""The filter: an immutable tree of tests (issue 7, `docs/filters.md`).

What a test means
    A test is true or false for every record, never "unknown". On a null (a null cell, a field of
    a null struct, an item that a list does not have, the ``min`` of an empty list) every test is
    false but ``is null``. NaN is not null: it is in no range and equals nothing.

``not`` is the set complement
    ``not x > 3`` keeps what ``x > 3`` drops, records without a value too. So a filter and its
    negation split the records in two. ``!=`` and ``not in`` are such negations. ``outside`` is a
    test of its own: a value that is there and lies outside.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, Literal, NoReturn

from usr_nb.errors import ValidationError
from usr_nb.filter.feature import GREATEST_POSITION, Feature, plain_feature
from usr_nb.filter.motif import MotifSearch, Strand, motif_search
from usr_nb.filter.python import python_text
from usr_nb.filter.regex import check_regex
from usr_nb.filter.values import Value, as_text, as_value, one_kind
from usr_nb.filter.words import line_text

TextTest = Literal["contains", "startswith", "endswith"]

TEXT_TESTS: Final[tuple[TextTest, ...]] = ("contains", "startswith", "endswith")
STRANDS: Final[tuple[Strand, ...]] = ("+", "-", "both")

#: Version of the JSON form (usr_nb.filter.codec).
FILTER_VERSION: Final = 1
MAX_DEPTH: Final = 40
MAX_NODES: Final = 5_000
MAX_VALUES: Final = 20_000


class Filter:
    """A condition on records. Build one with ``F``, ``parse_filter`` or ``filter_from_json``.

    Filters are immutable, compare equal if they are the same tree, and join with ``&`` (and),
    ``|`` (or) and ``~`` (not).
    """

    @property
    def depth(self) -> int:
        """Levels of the tree; at most 40."""
        return 1 + max((c.depth for c in self.children), default=0)

    @property
    def size(self) -> int:
        """Nodes of the tree; at most 5,000."""
        return 1 + sum(c.size for c in self.children)

    @property
    def children(self) -> tuple[Filter, ...]:
        """The filters that this one joins or negates."""
        return ()

    @property
    def chips(self) -> tuple[Filter, ...]:
        """The tests that must all hold: what a panel shows as one chip each."""
        return (self,)

    def plain(self) -> dict[str, Any]:
        """Return the node as JSON values."""
        raise NotImplementedError

    def walk(self) -> Iterator[Filter]:
        """Yield this node and all below it."""
        yield self
        for child in self.children:
            yield from child.walk()

    def features(self) -> list[Feature]:
        """Return every feature that is compared, each once, in order."""
        return list(dict.fromkeys(n.feature for n in self.walk() if isinstance(n, Condition)))

    def to_plain(self) -> dict[str, Any]:
        """Return the filter as JSON values, with the version of the form."""
        return {"usr_filter": FILTER_VERSION, "filter": self.plain()}

    def to_json(self) -> str:
        """Return the filter as JSON text in its one form: sorted keys, no spaces, ASCII.

        Examples
        --------
        >>> IsNull(Feature("gc", computed=True)).to_json()
        '{"filter":{"feature":{"computed":"gc"},"kind":"null"},"usr_filter":1}'
        """
        return canonical_text(self.to_plain())

    def as_python(self) -> str:
        """Return the filter as Python that evaluates to an equal one; it needs only ``F``.

        Examples
        --------
        >>> (~Range(Feature("evo2__llr"), low=3.5)).as_python()
        '~(F["evo2__llr"] >= 3.5)'
        """
        return python_text(self.plain())

    def as_line(self) -> str:
        """Return the filter as a line for ``--where``, which ``parse_filter`` reads back.

        Examples
        --------
        >>> (~Range(Feature("evo2__llr"), low=3.5)).as_line()
        'not evo2__llr >= 3.5'
        """
        return line_text(self.plain())

    def __repr__(self) -> str:
        return f"<filter {self.as_line()}>"

    __str__ = as_line

    @cached_property
    def _text(self) -> str:
        return canonical_text(self.plain())

    @cached_property
    def hash(self) -> str:
        """SHA-256 that stays the same whatever the order of what ``and``, ``or``, ``in`` join.

        It is taken over the canonical JSON of the tree, in which those are sorted and repeats
        dropped. Equal hashes keep the same records; the reverse is not promised.
        """
        body = {"usr_filter": FILTER_VERSION, "filter": _sorted_plain(self)}
        return hashlib.sha256(canonical_text(body).encode()).hexdigest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Filter) and self._text == other._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __bool__(self) -> NoReturn:
        raise ValidationError(
            "A filter is not True or False by itself",
            hint="Join filters with & | ~, not with and, or, not; "
            "write a < x < b as x.between(a, b).",
        )

    def __and__(self, other: object) -> Filter:
        return all_of(self, other) if isinstance(other, Filter) else NotImplemented

    def __or__(self, other: object) -> Filter:
        return any_of(self, other) if isinstance(other, Filter) else NotImplemented

    def __invert__(self) -> Filter:
        return negation(self)


@dataclass(frozen=True, eq=False, repr=False)
class Condition(Filter):
    """A condition on one feature."""

    feature: Feature

    def _with_feature(self, kind: str, **rest: Any) -> dict[str, Any]:
        return {"kind": kind, "feature": plain_feature(self.feature), **rest}


@dataclass(frozen=True, eq=False, repr=False)
class Range(Condition):
    """A number or time lies in a range, or outside of it.

    Attributes
    ----------
    low, high : number, datetime or None
        The ends; None is no end. With `outside` both are given.
    low_open, high_open : bool
        Whether that end itself does not belong to the range.
    outside : bool
        Whether the value must be there and lie outside instead.
    """

    low: Value | None = None
    high: Value | None = None
    low_open: bool = False
    high_open: bool = False
    outside: bool = False

    def __post_init__(self) -> None:
        for name in ("low", "high"):
            if (given := getattr(self, name)) is not None:
                object.__setattr__(self, name, as_value(given))
        ends = tuple(v for v in (self.low, self.high) if v is not None)
        if not ends or (self.outside and len(ends) < 2):
            raise ValidationError("A range needs an end; what lies outside of one needs both")
        if one_kind(ends) not in ("number", "time"):
            raise ValidationError("A range is of numbers or times", hint="Use == or in for others.")
        if (self.low is None and self.low_open) or (self.high is None and self.high_open):
            raise ValidationError("An end that is not there cannot be open")
        if len(ends) == 2 and ends[0] > ends[1]:  # type: ignore[operator]  # one kind, see above
            raise ValidationError(
                f"The range from {ends[0]} to {ends[1]} is empty", hint="Write the lower end first."
            )

    def plain(self) -> dict[str, Any]:
        """Return the node as JSON values."""
        return self._with_feature(
            "range", low=plain_value(self.low), high=plain_value(self.high),
            low_open=self.low_open, high_open=self.high_open, outside=self.outside,
        )  # fmt: skip


@dataclass(frozen=True, eq=False, repr=False)
class In(Condition):
    """The value is one of some values of one kind."""

    values: tuple[Value, ...] = ()

    def __post_init__(self) -> None:
        if not 0 < len(self.values) <= MAX_VALUES:
            raise ValidationError(f"A set has 1 to {MAX_VALUES:,} values")
        object.__setattr__(self, "values", tuple(as_value(v) for v in self.values))
        one_kind(self.values)
        if len(set(self.values)) < len(self.values):
            raise ValidationError("A set holds each value once")

    def plain(self) -> dict[str, Any]:
        """Return the node as JSON values."""
        return self._with_feature("in", values=[plain_value(v) for v in self.values])


@dataclass(frozen=True, eq=False, repr=False)
class IsNull(Condition):
    """There is no value."""

    def plain(self) -> dict[str, Any]:
        """Return the node as JSON values."""
        return self._with_feature("null")


@dataclass(frozen=True, eq=False, repr=False)
class IsNaN(Condition):
    """The value is NaN, which is not null."""

    def plain(self) -> dict[str, Any]:
        """Return the node as JSON values."""
        return self._with_feature("nan")


@dataclass(frozen=True, eq=False, repr=False)
class Text(Condition):
    """The text contains, starts or ends with some other."""

    how: TextTest = "contains"
    text: str = ""
    case: bool = True

    def __post_init__(self) -> None:
        as_text(self.text)
        if self.how not in TEXT_TESTS:
            raise ValidationError(f"A test of text is one of {', '.join(TEXT_TESTS)}")

    def plain(self) -> dict[str, Any]:
        """Return the node as JSON values."""
        return self._with_feature("text", how=self.how, text=self.text, case=self.case)


@dataclass(frozen=True, eq=False, repr=False)
class Regex(Condition):
    """The text matches an RE2 expression somewhere."""

    pattern: str = ""
    case: bool = True

    def __post_init__(self) -> None:
        check_regex(as_text(self.pattern))

    def plain(self) -> dict[str, Any]:
        """Return the node as JSON values."""
        return self._with_feature("regex", pattern=self.pattern, case=self.case)


@dataclass(frozen=True, eq=False, repr=False)
class Motif(Condition):
    """The sequence holds an IUPAC motif; see :mod:`usr_nb.filter.motif`.

    Attributes
    ----------
    motif : str
        Letters and counts, as ``TTGACA N{16,18} TATAAT``.
    strand : {"+", "-", "both"}
        Where it is looked for; ``-`` is the reverse complement.
    mismatches : int
        How many letters may be others, 0 to 3.
    start : tuple of int, or None
        The hit starts within [a, b): its leftmost letter in the sequence as it is stored,
        0-based, whatever the strand.
    circular : bool
        Whether a hit may run over the end into the beginning.
    """

    motif: str = ""
    strand: Strand = "both"
    mismatches: int = 0
    start: tuple[int, int] | None = None
    circular: bool = False

    def __post_init__(self) -> None:
        if self.start is not None:
            low, high = self.start
            if not 0 <= low < high <= GREATEST_POSITION:
                raise ValidationError(
                    f"No motif starts within [{low}, {high})",
                    hint="Positions are 0-based, the second is not included: [0, 10).",
                )
        as_text(self.motif)
        self.search()

    def search(self) -> MotifSearch:
        """Return the motif made ready."""
        return motif_search(
            self.motif, strand=self.strand, mismatches=self.mismatches, start=self.start,
            circular=self.circular,
        )  # fmt: skip

    def plain(self) -> dict[str, Any]:
        """Return the node as JSON values."""
        start = list(self.start) if self.start is not None else None
        return self._with_feature(
            "motif", motif=self.motif, strand=self.strand, mismatches=self.mismatches,
            start=start, circular=self.circular,
        )  # fmt: skip


@dataclass(frozen=True, eq=False, repr=False)
class _Join(Filter):
    of: tuple[Filter, ...] = ()
    _depth: int = field(init=False, repr=False, default=1)
    _size: int = field(init=False, repr=False, default=1)

    def __post_init__(self) -> None:
        if len(self.of) == 1 or any(type(c) is type(self) for c in self.of):
            raise ValidationError("Join filters with all_of() and any_of()")
        _set_limits(self, self.of)

    @property
    def depth(self) -> int:
        return self._depth

    @property
    def size(self) -> int:
        return self._size

    @property
    def children(self) -> tuple[Filter, ...]:
        return self.of


@dataclass(frozen=True, eq=False, repr=False)
class And(_Join):
    """All hold; of none: everything."""

    @property
    def chips(self) -> tuple[Filter, ...]:
        """The tests that must all hold."""
        return self.of

    def plain(self) -> dict[str, Any]:
        """Return the node as JSON values."""
        return {"kind": "and", "of": [c.plain() for c in self.of]}


@dataclass(frozen=True, eq=False, repr=False)
class Or(_Join):
    """At least one holds; of none: nothing."""

    def plain(self) -> dict[str, Any]:
        """Return the node as JSON values."""
        return {"kind": "or", "of": [c.plain() for c in self.of]}


@dataclass(frozen=True, eq=False, repr=False)
class Not(Filter):
    """The set complement: what the inner filter drops."""

    inner: Filter
    _depth: int = field(init=False, repr=False, default=1)
    _size: int = field(init=False, repr=False, default=1)

    def __post_init__(self) -> None:
        if isinstance(self.inner, Not):
            raise ValidationError("Negate filters with ~")
        _set_limits(self, (self.inner,))

    @property
    def depth(self) -> int:
        """Levels of the tree."""
        return self._depth

    @property
    def size(self) -> int:
        """Nodes of the tree."""
        return self._size

    @property
    def children(self) -> tuple[Filter, ...]:
        """The negated filter."""
        return (self.inner,)

    def plain(self) -> dict[str, Any]:
        """Return the node as JSON values."""
        return {"kind": "not", "of": self.inner.plain()}


def _set_limits(node: _Join | Not, children: tuple[Filter, ...]) -> None:
    depth = 1 + max((c.depth for c in children), default=0)
    size = 1 + sum(c.size for c in children)
    if depth > MAX_DEPTH or size > MAX_NODES:
        raise ValidationError(
            f"A filter has at most {MAX_DEPTH} levels and {MAX_NODES:,} tests",
            hint="Use isin([...]) for many values of one column.",
        )
    object.__setattr__(node, "_depth", depth)
    object.__setattr__(node, "_size", size)


# Making nodes -------------------------------------------------------------------------------------


def all_of(*filters: Filter) -> Filter:
    """Return the filter that holds where all hold; of none, the one that keeps everything.

    Examples
    --------
    >>> all_of().plain()
    {'kind': 'and', 'of': []}
    """
    flat = [c for f in filters for c in (f.of if isinstance(f, And) else (f,))]
    return flat[0] if len(flat) == 1 else And(tuple(flat))


def any_of(*filters: Filter) -> Filter:
    """Return the filter that holds where any holds; of none, the one that keeps nothing."""
    flat = [c for f in filters for c in (f.of if isinstance(f, Or) else (f,))]
    return flat[0] if len(flat) == 1 else Or(tuple(flat))


def negation(inner: Filter) -> Filter:
    """Return the filter that keeps what `inner` drops."""
    return inner.inner if isinstance(inner, Not) else Not(inner)


def one_of(feature: Feature, values: tuple[object, ...]) -> Filter:
    """Return the test for a set of values; an empty set keeps nothing."""
    found = tuple(dict.fromkeys(as_value(v) for v in values))
    if found:
        one_kind(tuple(as_value(v) for v in values))
    return In(feature, found) if found else any_of()


def in_range(
    feature: Feature,
    low: object,
    high: object,
    *,
    low_open: bool = False,
    high_open: bool = False,
    outside: bool = False,
) -> Filter:
    """Return the test for a range, in its one form: outside of one end is beyond it."""
    a = None if low is None else as_value(low)
    b = None if high is None else as_value(high)
    if outside and b is None and a is not None:
        return Range(feature, None, a, high_open=not low_open)
    if outside and a is None and b is not None:
        return Range(feature, b, None, low_open=not high_open)
    return Range(
        feature, a, b, low_open=low_open and a is not None,
        high_open=high_open and b is not None, outside=outside,
    )  # fmt: skip


# JSON values --------------------------------------------------------------------------------------


def plain_value(value: Value | None) -> Any:
    """Return a value as JSON knows it: times and infinities are objects."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return {"float": str(value)} if value in (float("inf"), float("-inf")) else value
    return {"time": value.isoformat(timespec="microseconds").replace("+00:00", "Z")}


def canonical_text(body: Any) -> str:
    """Return JSON in its one form: sorted keys, no spaces, ASCII."""
    return json.dumps(body, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _sorted_plain(node: Filter) -> dict[str, Any]:
    if isinstance(node, In):
        values = sorted((plain_value(v) for v in node.values), key=canonical_text)
        return {**node.plain(), "values": values}
    if isinstance(node, Not):
        return {"kind": "not", "of": _sorted_plain(node.inner)}
    if isinstance(node, And | Or):
        kept = {canonical_text(p): p for p in map(_sorted_plain, node.of)}
        inner = [kept[k] for k in sorted(kept)]
        # Repeats are dropped, so one may be left alone: it means the same by itself.
        kind = "and" if isinstance(node, And) else "or"
        return inner[0] if len(inner) == 1 else {"kind": kind, "of": inner}
    return node.plain()


__all__ = [
    "And",
    "Condition",
    "Feature",
    "Filter",
    "In",
    "IsNaN",
    "IsNull",
    "Motif",
    "Not",
    "Or",
    "Range",
    "Regex",
    "Strand",
    "Text",
    "all_of",
    "any_of",
    "in_range",
    "negation",
    "one_of",
]  # fmt: skip
