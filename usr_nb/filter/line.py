"""Reading a filter line, the language of ``--where`` (``docs/filters.md``).

::

    filter  = all { "or" all }
    all     = one { "and" one }
    one     = "not" one | "(" filter ")" | "everything" | "nothing" | test
    test    = feature [ ( "==" | "!=" | "<" | "<=" | ">" | ">=" ) value
            | ["not"] "in" ( range | "{" value { "," value } "}" )
            | "outside" range
            | "is" ["not"] ( "null" | "nan" )
            | ( "contains" | "startswith" | "endswith" | "matches" ) text ["nocase"]
            | "has" text { "mismatches" 0-3 | "strand" ("+"|"-"|"both")
                         | "start" "[" a "," b ")" | "circular" } ]
    feature = path | ( "len" | "min" | "max" | "mean" ) "(" path ")"
    path    = name { "." name | "[" place "]" }
    range   = ( "[" | "(" ) value "," value ( "]" | ")" )
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NoReturn, cast

import pyarrow as pa

from usr_nb.errors import ValidationError
from usr_nb.filter.bind import check_condition, check_feature
from usr_nb.filter.feature import REDUCERS, Feature, Reducer
from usr_nb.filter.regex import RegexError
from usr_nb.filter.tokens import (
    COMPUTED_WORDS,
    WORDS,
    FilterSyntaxError,
    Token,
    TokenKind,
    tokens_of,
)
from usr_nb.filter.tree import (
    TEXT_TESTS,
    Condition,
    Filter,
    IsNaN,
    IsNull,
    Motif,
    Not,
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
from usr_nb.filter.values import time_from_text

MAX_NESTING: Final = 40
_SIGNS: Final = frozenset({"==", "=", "!=", "<", "<=", ">", ">="})
_TESTS: Final = (
    "a comparison (== != < <= > >= in outside is contains startswith endswith matches has)"
)


def parse_filter(text: str, *, schema: pa.Schema | None = None) -> Filter:
    r"""Read a filter line.

    Parameters
    ----------
    text : str
        Such as ``evo2__llr > 3.5 and gc in [0.4, 0.6] and sequence has "TTGACA N{16,18} TATAAT"``.
    schema : pyarrow.Schema, optional
        The columns there are (:meth:`Dataset.schema`): unknown columns and tests that do not
        fit a column's type are then errors too.

    Raises
    ------
    FilterSyntaxError
        It says at which letter the line goes wrong and what was expected there.

    Examples
    --------
    >>> parse_filter("length in [50, 60] and not masked").chips[0].plain()["low"]
    50
    >>> parse_filter("gc >> 3")
    Traceback (most recent call last):
    ...
    usr_nb.filter.tokens.FilterSyntaxError: Filter, column 5: expected a value, found '>'
    Hint: Values are numbers, "text", true, false, and times such as 2026-01-31.
    """
    if not isinstance(text, str):
        raise ValidationError("A filter line is text", hint='Such as "length > 50".')
    return _Reader(text, schema).whole()


def parse_feature(text: str) -> Feature:
    """Read one feature, as ``length`` or ``mean(evo2__vec)``.

    Raises
    ------
    FilterSyntaxError
        If it is none.

    Examples
    --------
    >>> str(parse_feature("max(evo2__vec)"))
    'max(evo2__vec)'
    """
    reader = _Reader(text, None)
    found = reader.feature()
    if not reader.ended:
        reader.fail("the end")
    return found


class _Reader:
    """Recursive descent; `at` is the token to be read next."""

    def __init__(self, text: str, schema: pa.Schema | None) -> None:
        self.text = text
        self.schema = schema
        self.tokens = tokens_of(text)
        self.at = 0
        self.nested = 0

    # Tokens ---------------------------------------------------------------------------------------

    @property
    def now(self) -> Token:
        return self.tokens[self.at]

    @property
    def ended(self) -> bool:
        return self.now.kind == "end"

    def next(self) -> Token:
        """Return the next token and go on behind it; behind the end there is nothing."""
        token = self.now
        self.at = min(self.at + 1, len(self.tokens) - 1)
        return token

    def has(self, *values: str) -> bool:
        """Say whether the next token is one of these words or signs."""
        return self.now.kind in ("word", "sign") and self.now.value in values

    def took(self, value: str) -> bool:
        found = self.has(value)
        self.at += found
        return found

    def fail(self, expected: str, *, at: Token | None = None, hint: str | None = None) -> NoReturn:
        token = at or self.now
        raise FilterSyntaxError(
            f"expected {expected}, found {token}", text=self.text, position=token.at, hint=hint
        )

    def need(self, *values: str) -> Token:
        if not self.has(*values):
            self.fail(" or ".join(f"'{v}'" for v in values))
        return self.next()

    def made(self, token: Token, make: Callable[[], Filter]) -> Filter:
        """Build a node; what is wrong with it is said at `token`."""
        try:
            node = make()
            inner = node.inner if isinstance(node, Not) else node
            if self.schema is not None and isinstance(inner, Condition):
                check_condition(inner, self.schema)
        except RegexError as error:
            # Within a quoted text; escapes make the place there a guess, so the text is named.
            raise FilterSyntaxError(
                error.message, text=self.text, position=token.at, hint=error.hint
            ) from None
        except FilterSyntaxError:
            raise
        except ValidationError as error:
            raise FilterSyntaxError(
                error.message, text=self.text, position=token.at, hint=error.hint
            ) from None
        return node

    # Grammar --------------------------------------------------------------------------------------

    def whole(self) -> Filter:
        if self.ended:
            self.fail("a filter", hint="To keep all records write: everything")
        found = self.any()
        if not self.ended:
            self.fail("'and', 'or' or the end", hint=self._chain_hint())
        return found

    def _chain_hint(self) -> str | None:
        if self.now.value in _SIGNS:
            return "Write a range as: gc in [0.4, 0.6]"
        return None

    def any(self) -> Filter:
        start = self.now
        of = [self.all()]
        while self.took("or"):
            of.append(self.all())
        return self.made(start, lambda: any_of(*of)) if len(of) > 1 else of[0]

    def all(self) -> Filter:
        start = self.now
        of = [self.one()]
        while self.took("and"):
            of.append(self.one())
        return self.made(start, lambda: all_of(*of)) if len(of) > 1 else of[0]

    def one(self) -> Filter:
        start = self.now
        negative = False
        while self.took("not"):
            negative = not negative
        found = self.unit()
        return self.made(start, lambda: negation(found)) if negative else found

    def unit(self) -> Filter:
        if self.took("everything"):
            return all_of()
        if self.took("nothing"):
            return any_of()
        if not self.has("("):
            return self.test()
        self.nested += 1
        if self.nested > MAX_NESTING:
            self.fail(f"at most {MAX_NESTING} parentheses in each other")
        self.next()
        found = self.any()
        if not self.has(")"):
            self.fail("'and', 'or' or ')'")
        self.next()
        self.nested -= 1
        return found

    def test(self) -> Filter:
        start = self.now
        feature = self.feature()
        if self.now.kind == "sign" and self.now.value in _SIGNS:
            return self.comparison(feature, self.next().value)
        if self.took("is"):
            return self.null_or_nan(start, feature)
        if self.took("outside"):
            return self.range(start, feature, outside=True)
        if self.took("not"):
            self.need("in")
            found = self.set_or_range(start, feature)
            return self.made(start, lambda: negation(found))
        if self.took("in"):
            return self.set_or_range(start, feature)
        if self.has(*TEXT_TESTS, "matches", "has"):
            return self.of_text(feature)
        if self.ended or self.has("and", "or", ")"):
            return self.made(start, lambda: one_of(feature, (True,)))
        return self.fail(_TESTS)

    # Features -------------------------------------------------------------------------------------

    def feature(self) -> Feature:
        if self.has(*REDUCERS):
            reducer = cast("Reducer", self.next().value)
            self.need("(")
            start = self.now
            name, path, computed = self.path()
            self.need(")")
            if computed:
                self.fail("a column", at=start)
            return self.known(start, Feature(name, path, reducer))
        start = self.now
        name, path, computed = self.path()
        if computed and path:
            self.fail(f"no path into '{name}'", at=start)
        return self.known(start, Feature(name, path, None, computed))

    def known(self, start: Token, feature: Feature) -> Feature:
        if self.schema is not None:
            try:
                check_feature(feature, self.schema)
            except ValidationError as error:
                raise FilterSyntaxError(
                    error.message, text=self.text, position=start.at, hint=error.hint
                ) from None
        return feature

    def path(self) -> tuple[str, tuple[str | int, ...], bool]:
        token = self.now
        name = self.name("a column")
        computed = token.kind == "word" and name in COMPUTED_WORDS
        steps: list[str | int] = []
        while self.has(".", "["):
            if self.next().value == ".":
                steps.append(self.name("a field"))
            else:
                steps.append(self.whole_number("the place of an item"))
                self.need("]")
        return name, tuple(steps), computed

    def name(self, what: str) -> str:
        token = self.now
        if token.kind == "name" or (token.kind == "word" and token.value not in WORDS):
            return self.next().value
        hint = None
        if token.kind in ("word", "text"):
            hint = f"A column of that name is written `{token.value[:40]}`."
        return self.fail(what, hint=hint)

    # Tests ----------------------------------------------------------------------------------------

    def comparison(self, feature: Feature, sign: str) -> Filter:
        token = self.now
        value = self.value()

        def make() -> Filter:
            if sign in ("==", "="):
                return one_of(feature, (value,))
            if sign == "!=":
                return negation(one_of(feature, (value,)))
            if sign[0] == "<":
                return in_range(feature, None, value, high_open=sign == "<")
            return in_range(feature, value, None, low_open=sign == ">")

        return self.made(token, make)

    def null_or_nan(self, start: Token, feature: Feature) -> Filter:
        negative = self.took("not")
        word = self.need("null", "nan").value
        node: Filter = IsNull(feature) if word == "null" else IsNaN(feature)
        return self.made(start, lambda: negation(node) if negative else node)

    def set_or_range(self, start: Token, feature: Feature) -> Filter:
        if not self.took("{"):
            return self.range(start, feature, outside=False)
        values = [] if self.has("}") else [self.value()]
        while self.took(","):
            values.append(self.value())
        if not self.has("}"):
            self.fail("',' or '}'")
        self.next()
        return self.made(start, lambda: one_of(feature, tuple(values)))

    def range(self, start: Token, feature: Feature, *, outside: bool) -> Filter:
        if not self.has("[", "("):
            self.fail(
                "a range such as [0.4, 0.6]" if outside else "a range or a set",
                hint='Ranges are [a, b], (a, b], [a, b), (a, b); sets are {"a", "b"}.',
            )
        low_open = self.next().value == "("
        low = self.value()
        self.need(",")
        high = self.value()
        high_open = self.need("]", ")").value == ")"
        return self.made(
            start,
            lambda: in_range(
                feature, low, high, low_open=low_open, high_open=high_open, outside=outside
            ),
        )

    def of_text(self, feature: Feature) -> Filter:
        how = self.next().value
        if how == "has":
            return self.motif(feature)
        token = self.now
        text = self.words("text in quotes")
        case = not self.took("nocase")
        if how == "matches":
            return self.made(token, lambda: Regex(feature, text, case=case))
        return self.made(token, lambda: Text(feature, cast("TextTest", how), text, case=case))

    def motif(self, feature: Feature) -> Filter:
        token = self.now
        motif = self.words("a motif in quotes")
        strand: Strand = "both"
        mismatches = 0
        start: tuple[int, int] | None = None
        circular = False
        while self.has("mismatches", "strand", "start", "circular"):
            word = self.next().value
            if word == "mismatches":
                mismatches = self.whole_number("a number from 0 to 3")
            elif word == "strand":
                strand = cast("Strand", self.strand())
            elif word == "start":
                self.need("[")
                low = self.whole_number("a position")
                self.need(",")
                start = (low, self.whole_number("a position"))
                self.need(")")
            else:
                circular = True
        return self.made(
            token, lambda: Motif(feature, motif, strand, mismatches, start, circular=circular)
        )

    def strand(self) -> str:
        if not self.has("+", "-", "both"):
            self.fail("'+', '-' or 'both'")
        return self.next().value

    # Values ---------------------------------------------------------------------------------------

    def words(self, what: str) -> str:
        if self.now.kind == "text" or (self.now.kind == "word" and self.now.value not in WORDS):
            return self.next().value
        return self.fail(what)

    def whole_number(self, what: str) -> int:
        token = self.now
        if token.kind != "number" or not token.value.lstrip("+-").isdigit():
            self.fail(what)
        self.next()
        return self._int(token)

    def _int(self, token: Token) -> int:
        if len(token.value) > 30:
            self.fail("a number of at most 64 bits", at=token)
        return int(token.value)

    def value(self) -> object:
        token = self.now
        wanted: tuple[TokenKind, ...] = ("number", "time", "text", "word")
        plain = token.kind != "word" or token.value in ("true", "false")
        if token.kind not in wanted or not (plain or token.value not in WORDS):
            hint = 'Values are numbers, "text", true, false, and times such as 2026-01-31.'
            if token.value in ("null", "nan"):
                hint = f"Ask for it with: is {token.value}"
            self.fail("a value", hint=hint)
        self.next()
        if token.kind == "word":
            return {"true": True, "false": False}.get(token.value, token.value)
        if token.kind == "number":
            whole = token.value.lstrip("+-").isdigit()
            return self._int(token) if whole else float(token.value)
        if token.kind == "time":
            return self._time(token)
        return token.value

    def _time(self, token: Token) -> object:
        try:
            return time_from_text(token.value)
        except ValidationError:
            self.fail("a date or time", at=token)
