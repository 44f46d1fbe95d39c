"""``F``: filters in Python, as ``(F["evo2__llr"] > 3.5) & F.gc.between(0.4, 0.6)``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from usr_nb.errors import ValidationError
from usr_nb.filter.feature import Computed, Feature, Reducer
from usr_nb.filter.tree import (
    Filter,
    IsNaN,
    IsNull,
    Motif,
    Regex,
    Strand,
    Text,
    TextTest,
    all_of,
    any_of,
    in_range,
    negation,
    one_of,
)
from usr_nb.filter.values import as_text, time_from_text

Closed = Literal["both", "left", "right", "neither"]
_OPEN: dict[str, tuple[bool, bool]] = {
    "both": (False, False), "left": (False, True), "right": (True, False), "neither": (True, True),
}  # fmt: skip


@dataclass(frozen=True)
class SortKey:
    """A feature to sort by; records without a value come last either way."""

    feature: Feature
    descending: bool = False


class Term:
    """A feature of a record, to be compared: ``F["evo2__llr"]``, ``F.gc``.

    Comparing gives a :class:`~usr_nb.filter.tree.Filter`. ``[i]`` is an item of a list
    (-1 the last), ``.field(name)`` a field of a struct.
    """

    __slots__ = ("feature",)
    __hash__ = None  # type: ignore[assignment]  # == builds a filter

    def __init__(self, feature: Feature) -> None:
        self.feature = feature

    def __repr__(self) -> str:
        return f"<feature {self.feature}>"

    # A way in -------------------------------------------------------------------------------------

    def __getitem__(self, item: int) -> Term:
        if isinstance(item, bool) or not isinstance(item, int):
            raise ValidationError(
                f"{item!r} is no place in a list",
                hint='Items go by number, fields of structs by .field("name").',
            )
        return self._into(item)

    def __iter__(self) -> None:
        # Without it, `in` and tuple() would ask for items for ever.
        raise ValidationError("A feature cannot be looped over", hint="Use .isin([...]).")

    def field(self, name: str) -> Term:
        """Return a field of a struct."""
        return self._into(as_text(name))

    def _into(self, step: str | int) -> Term:
        if self.feature.reducer:
            raise ValidationError(f"{self.feature} is one number; there is no way into it")
        f = self.feature
        return Term(Feature(f.name, (*f.path, step), None, f.computed))

    def _reduced(self, reducer: Reducer) -> Term:
        if self.feature.reducer:
            raise ValidationError(f"{self.feature} is one number already")
        return Term(Feature(self.feature.name, self.feature.path, reducer, self.feature.computed))

    def len(self) -> Term:
        """Return the length of a list, or the number of letters of text."""
        return self._reduced("len")

    def min(self) -> Term:
        """Return the least number of a list."""
        return self._reduced("min")

    def max(self) -> Term:
        """Return the greatest number of a list."""
        return self._reduced("max")

    def mean(self) -> Term:
        """Return the mean of the numbers of a list."""
        return self._reduced("mean")

    # Tests ----------------------------------------------------------------------------------------

    def __eq__(self, other: object) -> Filter:  # type: ignore[override]
        return one_of(self.feature, (other,))

    def __ne__(self, other: object) -> Filter:  # type: ignore[override]
        return negation(one_of(self.feature, (other,)))

    def __lt__(self, other: object) -> Filter:
        return in_range(self.feature, None, _end(other), high_open=True)

    def __le__(self, other: object) -> Filter:
        return in_range(self.feature, None, _end(other))

    def __gt__(self, other: object) -> Filter:
        return in_range(self.feature, _end(other), None, low_open=True)

    def __ge__(self, other: object) -> Filter:
        return in_range(self.feature, _end(other), None)

    def between(self, low: object, high: object, *, closed: Closed = "both") -> Filter:
        """Return the test for a range; `closed` says which ends belong to it."""
        a, b = _ends(closed)
        return in_range(self.feature, low, high, low_open=a, high_open=b)

    def outside(self, low: object, high: object, *, closed: Closed = "both") -> Filter:
        """Return the test for a value that is there and not in the range.

        Unlike ``~between``, it drops records without a value, and NaN.
        """
        a, b = _ends(closed)
        return in_range(self.feature, low, high, low_open=a, high_open=b, outside=True)

    def isin(self, values: Iterable[object]) -> Filter:
        """Return the test for a set of values of one kind."""
        if isinstance(values, str):
            raise ValidationError("isin() takes a list of values", hint=f"isin([{values[:40]!r}])")
        return one_of(self.feature, tuple(values))

    def is_null(self) -> Filter:
        """Return the test for no value at all."""
        return IsNull(self.feature)

    def not_null(self) -> Filter:
        """Return the test for a value, NaN included."""
        return negation(IsNull(self.feature))

    def is_nan(self) -> Filter:
        """Return the test for NaN, which is not null."""
        return IsNaN(self.feature)

    def contains(self, text: str, *, case: bool = True) -> Filter:
        """Return the test for text that contains some other."""
        return self._text("contains", text, case)

    def startswith(self, text: str, *, case: bool = True) -> Filter:
        """Return the test for text that begins with some other."""
        return self._text("startswith", text, case)

    def endswith(self, text: str, *, case: bool = True) -> Filter:
        """Return the test for text that ends with some other."""
        return self._text("endswith", text, case)

    def _text(self, how: TextTest, text: str, case: bool) -> Filter:  # noqa: FBT001
        return Text(self.feature, how, as_text(text), case=bool(case))

    def matches(self, pattern: str, *, case: bool = True) -> Filter:
        """Return the test for text that matches an RE2 expression somewhere."""
        return Regex(self.feature, as_text(pattern), case=bool(case))

    def motif(
        self,
        motif: str,
        *,
        strand: Strand = "both",
        mismatches: int = 0,
        start: tuple[int, int] | None = None,
        circular: bool = False,
    ) -> Filter:
        """Return the test for an IUPAC motif.

        Parameters
        ----------
        motif : str
            Letters and counts, as ``TTGACA N{16,18} TATAAT``; either case.
        strand : {"both", "+", "-"}
            Where it is looked for.
        mismatches : int
            How many letters may be others, 0 to 3.
        start : tuple of int, optional
            Only hits whose leftmost letter lies within [a, b), 0-based.
        circular : bool
            Whether a hit may run over the end into the beginning.
        """
        return Motif(
            self.feature, motif, strand=strand, mismatches=mismatches, start=_pair(start),
            circular=bool(circular),
        )  # fmt: skip

    # Sorting --------------------------------------------------------------------------------------

    def asc(self) -> SortKey:
        """Return the key that sorts the least value first."""
        return SortKey(self.feature)

    def desc(self) -> SortKey:
        """Return the key that sorts the greatest value first."""
        return SortKey(self.feature, descending=True)


def _end(value: object) -> object:
    if value is None:
        raise ValidationError("Nothing is above or below null", hint="Ask with is_null().")
    return value


def _ends(closed: str) -> tuple[bool, bool]:
    found = _OPEN.get(closed) if isinstance(closed, str) else None
    if found is None:
        raise ValidationError(f"closed is one of {', '.join(_OPEN)}")
    return found


def _pair(start: object) -> tuple[int, int] | None:
    if start is None:
        return None
    pair = tuple(start) if isinstance(start, Iterable) else ()
    if len(pair) != 2 or not all(isinstance(v, int) and not isinstance(v, bool) for v in pair):
        raise ValidationError("start is two positions, as (0, 10)")
    return int(pair[0]), int(pair[1])


class Features:
    """The root of every filter in Python; there is one, named ``F``.

    Examples
    --------
    >>> f = (F["evo2__llr"] > 3.5) & F.gc.between(0.4, 0.6) & (F.masked == False)
    >>> len(f.chips)
    3
    """

    __slots__ = ()

    def __getitem__(self, column: str) -> Term:
        return Term(Feature(as_text(column)))

    def __repr__(self) -> str:
        return "F"

    @property
    def everything(self) -> Filter:
        """The filter that keeps every record."""
        return all_of()

    @property
    def nothing(self) -> Filter:
        """The filter that keeps no record."""
        return any_of()

    def time(self, text: str) -> datetime:
        """Return a time to compare with, from ISO 8601 text; without a zone it is UTC."""
        return time_from_text(as_text(text))

    @property
    def id(self) -> Term:
        """The record's id."""
        return self["id"]

    @property
    def bio_type(self) -> Term:
        """``dna``, ``rna`` or ``protein``."""
        return self["bio_type"]

    @property
    def alphabet(self) -> Term:
        """The record's alphabet."""
        return self["alphabet"]

    @property
    def sequence(self) -> Term:
        """The letters."""
        return self["sequence"]

    @property
    def length(self) -> Term:
        """The number of letters."""
        return self["length"]

    @property
    def source(self) -> Term:
        """Where the record came from."""
        return self["source"]

    @property
    def created_at(self) -> Term:
        """When the record was made."""
        return self["created_at"]

    @property
    def gc(self) -> Term:
        """The share of G and C among the letters A, C, G, T and U; null for proteins."""
        return _computed("gc")

    @property
    def masked(self) -> Term:
        """Whether the record is masked; false where that was never set."""
        return _computed("masked")

    @property
    def qc_status(self) -> Term:
        """The QC status: pass, fail, warn, unknown, or null."""
        return _computed("qc_status")

    @property
    def split(self) -> Term:
        """The split: train, val, test, holdout, or null."""
        return _computed("split")

    @property
    def deleted(self) -> Term:
        """Whether the record is tombstoned."""
        return _computed("deleted")

    def motif(
        self,
        motif: str,
        *,
        strand: Strand = "both",
        mismatches: int = 0,
        start: tuple[int, int] | None = None,
        circular: bool = False,
    ) -> Filter:
        """Return the test for a motif in the sequence; see :meth:`Term.motif`."""
        return self.sequence.motif(
            motif, strand=strand, mismatches=mismatches, start=start, circular=circular
        )


def _computed(name: Computed) -> Term:
    return Term(Feature(name, computed=True))


F = Features()
