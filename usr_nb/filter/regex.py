"""Regular expressions as RE2 reads them, and where they are wrong."""

from __future__ import annotations

import re
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from usr_nb.errors import ValidationError

_RE2_SAYS: Final = "regular expression: "


class RegexError(ValidationError):
    """A regular expression is malformed.

    Attributes
    ----------
    position : int
        0-based letter of the expression from which on it is wrong.
    """

    def __init__(self, message: str, *, position: int, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.position = position


def check_regex(pattern: str) -> str:
    r"""Return an expression that RE2 accepts.

    Raises
    ------
    RegexError
        If it is empty or malformed; it says from which letter on.

    Examples
    --------
    >>> check_regex(r"^A+\d")
    '^A+\\d'
    """
    if not pattern:
        raise RegexError("A regular expression has at least one letter", position=0)
    try:
        pc.match_substring_regex(pa.array([""]), pattern)
    except pa.ArrowException as error:
        why = str(error).splitlines()[0].rpartition(_RE2_SAYS)[2]
        what, _, piece = why.partition(": ")
        at = _position(pattern, what, piece)
        raise RegexError(
            f"Regular expression {pattern[:60]!r}, letter {at + 1}: {why[:120]}",
            position=at,
            hint="RE2 syntax: no look-around, no back-references.",
        ) from None
    return pattern


def _position(pattern: str, what: str, piece: str) -> int:
    """Return where RE2's complaint lies: it quotes a piece of the expression, or all of it."""
    if piece and piece != pattern and (at := pattern.find(piece)) >= 0:
        return at
    if what.startswith("missing"):
        return len(pattern)
    try:
        re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        return getattr(error, "pos", None) or 0
    return 0
