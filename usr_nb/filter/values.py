"""The values a filter compares with: one kind each, in one form each."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime
from typing import Final, Literal

import numpy as np

from usr_nb.contract.times import parse
from usr_nb.errors import ValidationError

Value = bool | int | float | str | datetime
Kind = Literal["bool", "number", "text", "time"]

MAX_TEXT: Final = 10_000
LEAST_INT: Final = -(2**63)
GREATEST_INT: Final = 2**64 - 1
#: Up to here every integer is a float of its own, so that 3.0 may be written as 3.
EXACT_FLOAT: Final = 2**53


def as_value(given: object) -> Value:
    """Return a value in the form that a filter keeps.

    Whole floats become integers, times become UTC, NumPy scalars become Python's.

    Parameters
    ----------
    given : object
        A bool, number, text, date or time.

    Raises
    ------
    ValidationError
        If it is null, NaN, out of the range of 64 bits, or of no such kind.

    Examples
    --------
    >>> as_value(3.0), as_value(np.float32(0.5)), as_value("a")
    (3, 0.5, 'a')
    """
    if isinstance(given, np.generic):
        given = given.item()
    if isinstance(given, bool):
        return given
    if isinstance(given, int):
        return _whole(given)
    if isinstance(given, float):
        return _number(given)
    if isinstance(given, str):
        return as_text(given)
    if isinstance(given, date):
        return _time(given)
    raise ValidationError(
        f"A filter cannot compare with {_shown(given)}",
        hint="Compare with a number, text, True or False, or a time; "
        "ask for null with is_null(), for NaN with is_nan().",
    )


def _shown(given: object) -> str:
    return "null" if given is None else f"a {type(given).__name__}"


def _whole(given: int) -> int:
    if not LEAST_INT <= given <= GREATEST_INT:
        raise ValidationError(
            "A whole number in a filter has at most 64 bits",
            hint="Write it as a float, such as 1e30.",
        )
    return int(given)


def _number(given: float) -> int | float:
    if math.isnan(given):
        raise ValidationError(
            "Nothing equals NaN, and nothing is above or below it", hint="Ask with is_nan()."
        )
    if math.isfinite(given) and given == int(given) and abs(given) <= EXACT_FLOAT:
        return int(given)
    return float(given)


def _time(given: date) -> datetime:
    try:
        if not isinstance(given, datetime):
            return datetime(given.year, given.month, given.day, tzinfo=UTC)
        if getattr(given, "nanosecond", 0):
            raise ValidationError("A time in a filter has microseconds, no finer parts")
        at = given.astimezone(UTC) if given.tzinfo else given.replace(tzinfo=UTC)
        # Rebuilt, so that a subclass such as pandas' Timestamp does not stay in the tree.
        return datetime(
            at.year, at.month, at.day, at.hour, at.minute, at.second, at.microsecond, tzinfo=UTC
        )
    except (TypeError, ValueError, OverflowError):
        raise ValidationError(f"{given!r} is no time a filter can compare with") from None


def as_text(given: object) -> str:
    """Return text that UTF-8 can hold and that is not too long, or raise."""
    if not isinstance(given, str):
        raise ValidationError(f"Text is needed, not {_shown(given)}")
    if len(given) > MAX_TEXT:
        raise ValidationError(f"Text in a filter has at most {MAX_TEXT:,} letters")
    try:
        given.encode()
    except UnicodeEncodeError:
        raise ValidationError(f"{ascii(given)[:60]} is not text that UTF-8 can hold") from None
    return str(given)


def kind_of(value: Value) -> Kind:
    """Return the kind of a value; values of different kinds are never compared.

    Examples
    --------
    >>> kind_of(True), kind_of(1), kind_of("a")
    ('bool', 'number', 'text')
    """
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int | float):
        return "number"
    return "text" if isinstance(value, str) else "time"


def one_kind(values: tuple[Value, ...]) -> Kind:
    """Return the kind that all values have, or raise."""
    kinds = sorted({kind_of(v) for v in values})
    if len(kinds) != 1:
        raise ValidationError(
            f"One test compares with values of one kind, not {' and '.join(kinds)}",
            hint="Join two tests with | (or).",
        )
    return kind_of(values[0])


def time_from_text(text: str) -> datetime:
    """Read a time as it stands in lines and JSON; one without a zone is UTC."""
    return parse(text, where="filter")
