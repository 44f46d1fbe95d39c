"""The words of a filter line, each with its place."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Final, Literal

from usr_nb.errors import ValidationError

MAX_LINE: Final = 1 << 20
#: A list of 25,000 ids, which is what fits into a line, has half of them.
MAX_WORDS: Final = 100_000
#: Words with a meaning; a column or a value of such a name is quoted.
WORDS: Final = frozenset(
    {
        "and", "or", "not", "in", "is", "null", "nan", "outside", "contains", "startswith",
        "endswith", "matches", "nocase", "has", "strand", "mismatches", "start", "circular",
        "everything", "nothing", "true", "false", "inf", "len", "min", "max", "mean",
    }
)  # fmt: skip
#: Features that are computed, and so are no columns unless they are quoted.
COMPUTED_WORDS: Final = frozenset({"gc", "masked", "qc_status", "split", "deleted"})
PLAIN_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")

TokenKind = Literal["word", "name", "text", "number", "time", "sign", "end"]
_TOKEN = re.compile(
    r"""
    (?P<space>\s+)
  | (?P<time>\d{4}-\d{2}-\d{2}
        (?:T\d{2}:\d{2}(?::\d{2}(?:\.\d{1,6})?)?(?:Z|[+-]\d{2}:\d{2})?)?(?![\w.:-]))
  | (?P<number>[+-]?(?:inf(?!\w)|(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)(?![\w.]))
  | (?P<text>"(?:[^"\\]|\\.)*"|'(?:[^']|'')*')
  | (?P<name>`(?:[^`]|``)+`)
  | (?P<word>[A-Za-z_][A-Za-z0-9_]*)
  | (?P<sign>==|!=|<=|>=|[<>=()\[\]{},.+-])
    """,
    re.VERBOSE | re.DOTALL | re.ASCII,
)


class FilterSyntaxError(ValidationError):
    """A filter line cannot be read.

    Attributes
    ----------
    position : int
        0-based letter of the line where it goes wrong.
    text : str
        The line.
    """

    def __init__(self, message: str, *, text: str, position: int, hint: str | None = None) -> None:
        super().__init__(f"Filter, column {position + 1}: {message}", hint=hint)
        self.position = position
        self.text = text


@dataclass(frozen=True)
class Token:
    """One word of a line; `value` is what it stands for."""

    kind: TokenKind
    value: str
    at: int
    raw: str

    def __str__(self) -> str:
        return "the end" if self.kind == "end" else f"'{self.raw[:40]}'"


def tokens_of(text: str) -> list[Token]:
    """Return the words of a line, ending in one of kind ``end``.

    Raises
    ------
    FilterSyntaxError
        If a letter belongs to no word, or a quote is not closed.

    Examples
    --------
    >>> [t.value for t in tokens_of("gc >= 0.4")]
    ['gc', '>=', '0.4', '']
    """
    if len(text) > MAX_LINE:
        raise FilterSyntaxError(
            f"the line is longer than {MAX_LINE:,} letters", text=text, position=MAX_LINE
        )
    found: list[Token] = []
    at = 0
    while at < len(text):
        m = _TOKEN.match(text, at)
        if m is None:
            raise FilterSyntaxError(*_stranger(text, at), text=text, position=at)
        kind = m.lastgroup
        if kind != "space":
            found.append(_token(text, kind, m.group(), at))
            if len(found) > MAX_WORDS:
                raise FilterSyntaxError(
                    f"the line has more than {MAX_WORDS:,} words", text=text, position=at
                )
        at = m.end()
    return [*found, Token("end", "", len(text), "")]


def _stranger(text: str, at: int) -> tuple[str]:
    if text[at] in "\"'`":
        return (f"the quote {text[at]} is not closed",)
    if text[at] in "0123456789":
        word = re.match(r"[\w.:+-]+", text[at:])
        return (f"'{(word.group() if word else text[at])[:40]}' is no number and no time",)
    return (f"{text[at]!r} has no meaning here",)


def _token(text: str, kind: str | None, raw: str, at: int) -> Token:
    if kind == "text":
        return Token("text", _unquoted(text, raw, at), at, raw)
    if kind == "name":
        return Token("name", raw[1:-1].replace("``", "`"), at, raw)
    if kind == "number":
        return Token("number", raw, at, raw)
    if kind == "time":
        return Token("time", raw, at, raw)
    return Token("word" if kind == "word" else "sign", raw, at, raw)


def _unquoted(text: str, raw: str, at: int) -> str:
    if raw[0] == "'":
        return raw[1:-1].replace("''", "'")
    try:
        return str(json.loads(raw, strict=False))
    except ValueError:
        raise FilterSyntaxError(
            "an escape in this text has no meaning",
            text=text,
            position=at,
            hint="Between \" \", a backslash is written \\\\; between ' ' it stands for itself.",
        ) from None


def quoted(text: str) -> str:
    r"""Return text as a line holds it: in double quotes, or single ones if it has backslashes.

    Examples
    --------
    >>> print(quoted("a b"), quoted(r"a\d"))
    "a b" 'a\d'
    """
    plain = all(c.isprintable() for c in text)
    if plain and ("\\" in text or '"' in text):
        return "'" + text.replace("'", "''") + "'"
    return json.dumps(text, ensure_ascii=not plain)


def name_text(name: str, *, column: bool = True) -> str:
    """Return a column or field as a line holds it, in backquotes where needed."""
    plain = PLAIN_NAME.match(name) and name not in WORDS
    if plain and not (column and name in COMPUTED_WORDS):
        return name
    return "`" + name.replace("`", "``") + "`"
