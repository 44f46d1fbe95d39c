"""A filter as JSON and back: closed, versioned, checked when it is read.

::

    {"usr_filter": 1, "filter": NODE}
    NODE    {"kind": "and" | "or", "of": [NODE...]}      {"kind": "not", "of": NODE}
            {"kind": "range", "feature": FEATURE, "low": VALUE | null, "high": VALUE | null,
             "low_open": bool, "high_open": bool, "outside": bool}
            {"kind": "in", "feature": FEATURE, "values": [VALUE...]}
            {"kind": "null" | "nan", "feature": FEATURE}
            {"kind": "text", "feature": FEATURE, "how": "contains" | "startswith" | "endswith",
             "text": str, "case": bool}
            {"kind": "regex", "feature": FEATURE, "pattern": str, "case": bool}
            {"kind": "motif", "feature": FEATURE, "motif": str, "strand": "+" | "-" | "both",
             "mismatches": 0-3, "start": [a, b] | null, "circular": bool}
    FEATURE {"column": str, "path": [str | int...],
             "reducer": "len" | "min" | "max" | "mean" | null}
            {"computed": "gc" | "masked" | "qc_status" | "split" | "deleted"}
    VALUE   true | 1 | 1.5 | "text" | {"time": "2026-01-31T00:00:00.000000Z"} | {"float": "-inf"}
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final, cast

from usr_nb.errors import ValidationError, did_you_mean, join_hints
from usr_nb.filter.feature import COMPUTED, REDUCERS, Feature
from usr_nb.filter.tree import (
    FILTER_VERSION,
    MAX_DEPTH,
    MAX_NODES,
    STRANDS,
    TEXT_TESTS,
    Filter,
    IsNaN,
    IsNull,
    Motif,
    Regex,
    Text,
    all_of,
    any_of,
    in_range,
    negation,
    one_of,
)
from usr_nb.filter.values import time_from_text

MAX_JSON: Final = 1 << 20


def filter_from_json(text: str | bytes) -> Filter:
    """Read a filter from JSON text.

    Raises
    ------
    ValidationError
        If it is no JSON, too long or too deep, of another version, or holds anything that this
        version does not know; the message says where.

    Examples
    --------
    >>> from usr_nb.filter.build import F
    >>> filter_from_json((F.length > 50).to_json()) == (F.length > 50)
    True
    """
    if len(text) > MAX_JSON:
        raise ValidationError(f"A filter in JSON has at most {MAX_JSON:,} letters")
    try:
        body = json.loads(text, object_pairs_hook=_no_repeats, parse_constant=_no_constant)
    except (ValueError, RecursionError, UnicodeError) as error:
        raise ValidationError(f"A filter is no JSON: {str(error)[:120]}") from None
    return filter_from_plain(body)


def _no_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands twice in one object")
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def filter_from_plain(body: object) -> Filter:
    """Read a filter from JSON values, as a panel sends them; see :func:`filter_from_json`."""
    top = _object(body, "filter", {"usr_filter", "filter"})
    version = top["usr_filter"]
    if isinstance(version, bool) or version != FILTER_VERSION:
        raise ValidationError(
            f"A filter of version {str(version)[:20]} is not known here",
            hint="Update usr_nb, or save the filter again.",
        )
    return _Reader().node(top["filter"], "filter")


def _object(value: object, where: str, keys: set[str]) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ValidationError(f"{where} is no object", hint="See usr_nb.filter.codec.")
    strange = sorted(str(k) for k in value.keys() - keys)
    lacking = sorted(keys - value.keys())
    if strange:
        raise ValidationError(
            f"{where} has a key {strange[0][:40]!r}, which is not known",
            hint=did_you_mean(strange[0][:80], keys),
        )
    if lacking:
        raise ValidationError(f"{where} lacks {lacking[0]!r}")
    return value


def _text(value: object, where: str) -> str:
    if not isinstance(value, str):
        raise ValidationError(f"{where} is no text")
    return value


def _flag(value: object, where: str) -> bool:
    if not isinstance(value, bool):
        raise ValidationError(f"{where} is neither true nor false")
    return value


def _whole(value: object, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValidationError(f"{where} is no whole number")
    return value


def _list(value: object, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise ValidationError(f"{where} is no list")
    return value


def _choice(value: object, where: str, choices: tuple[str, ...]) -> Any:
    text = _text(value, where)
    if text not in choices:
        raise ValidationError(
            f"{where} is {text[:40]!r}", hint=f"It is one of {', '.join(choices)}."
        )
    return text


class _Reader:
    """Reads nodes, and counts them before it builds any."""

    def __init__(self) -> None:
        self.nodes = self.depth = 0
        self.kinds: dict[str, Callable[[Mapping[str, Any], str], Filter]] = {
            "and": self._join, "or": self._join, "not": self._not, "range": self._range,
            "in": self._in, "null": self._null, "nan": self._nan, "text": self._text,
            "regex": self._regex, "motif": self._motif,
        }  # fmt: skip

    def node(self, value: object, where: str) -> Filter:
        self.nodes += 1
        self.depth += 1
        # Building flattens some levels away, so JSON may be a little deeper than a tree.
        if self.depth > 4 * MAX_DEPTH or self.nodes > 4 * MAX_NODES:
            raise ValidationError(
                f"A filter has at most {MAX_DEPTH} levels and {MAX_NODES:,} tests"
            )
        if not isinstance(value, Mapping):
            raise ValidationError(f"{where} is no object", hint="See usr_nb.filter.codec.")
        kind = value.get("kind")
        read = self.kinds.get(kind) if isinstance(kind, str) else None
        if read is None:
            raise ValidationError(
                f"{where} is of kind {str(kind)[:40]!r}, which is not known",
                hint=join_hints(
                    did_you_mean(str(kind)[:40], self.kinds), f"Kinds: {', '.join(self.kinds)}."
                ),
            )
        found = read(value, where)
        self.depth -= 1
        return found

    def _join(self, value: Mapping[str, Any], where: str) -> Filter:
        body = _object(value, where, {"kind", "of"})
        of = _list(body["of"], f"{where}.of")
        nodes = [self.node(v, f"{where}.of[{i}]") for i, v in enumerate(of)]
        return all_of(*nodes) if body["kind"] == "and" else any_of(*nodes)

    def _not(self, value: Mapping[str, Any], where: str) -> Filter:
        body = _object(value, where, {"kind", "of"})
        return negation(self.node(body["of"], f"{where}.of"))

    def _range(self, value: Mapping[str, Any], where: str) -> Filter:
        flags = ("low_open", "high_open", "outside")
        body = _object(value, where, {"kind", "feature", "low", "high", *flags})
        low_open, high_open, outside = (_flag(body[f], f"{where}.{f}") for f in flags)
        return in_range(
            _feature(body["feature"], f"{where}.feature"),
            _end(body["low"], f"{where}.low"), _end(body["high"], f"{where}.high"),
            low_open=low_open, high_open=high_open, outside=outside,
        )  # fmt: skip

    def _in(self, value: Mapping[str, Any], where: str) -> Filter:
        body = _object(value, where, {"kind", "feature", "values"})
        given = _list(body["values"], f"{where}.values")
        values = tuple(_value(v, f"{where}.values[{i}]") for i, v in enumerate(given))
        return one_of(_feature(body["feature"], f"{where}.feature"), values)

    def _null(self, value: Mapping[str, Any], where: str) -> Filter:
        body = _object(value, where, {"kind", "feature"})
        return IsNull(_feature(body["feature"], f"{where}.feature"))

    def _nan(self, value: Mapping[str, Any], where: str) -> Filter:
        body = _object(value, where, {"kind", "feature"})
        return IsNaN(_feature(body["feature"], f"{where}.feature"))

    def _text(self, value: Mapping[str, Any], where: str) -> Filter:
        body = _object(value, where, {"kind", "feature", "how", "text", "case"})
        return Text(
            _feature(body["feature"], f"{where}.feature"),
            _choice(body["how"], f"{where}.how", TEXT_TESTS),
            _text(body["text"], f"{where}.text"),
            case=_flag(body["case"], f"{where}.case"),
        )

    def _regex(self, value: Mapping[str, Any], where: str) -> Filter:
        body = _object(value, where, {"kind", "feature", "pattern", "case"})
        return Regex(
            _feature(body["feature"], f"{where}.feature"),
            _text(body["pattern"], f"{where}.pattern"),
            case=_flag(body["case"], f"{where}.case"),
        )

    def _motif(self, value: Mapping[str, Any], where: str) -> Filter:
        rest = {"motif", "strand", "mismatches", "start", "circular"}
        body = _object(value, where, {"kind", "feature", *rest})
        start = None
        if body["start"] is not None:
            pair = _list(body["start"], f"{where}.start")
            if len(pair) != 2:
                raise ValidationError(f"{where}.start is not two positions")
            start = (_whole(pair[0], f"{where}.start[0]"), _whole(pair[1], f"{where}.start[1]"))
        return Motif(
            _feature(body["feature"], f"{where}.feature"),
            _text(body["motif"], f"{where}.motif"),
            strand=_choice(body["strand"], f"{where}.strand", STRANDS),
            mismatches=_whole(body["mismatches"], f"{where}.mismatches"),
            start=start,
            circular=_flag(body["circular"], f"{where}.circular"),
        )


def feature_from_plain(value: object) -> Feature:
    """Read a feature from JSON values, as :func:`~usr_nb.filter.feature.plain_feature` writes them.

    Raises
    ------
    ValidationError
        If it is none.
    """
    return _feature(value, "feature")


def _end(value: object, where: str) -> object:
    return None if value is None else _value(value, where)


def _value(value: object, where: str) -> object:
    if isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping) and value.keys() == {"time"}:
        return time_from_text(_text(value["time"], f"{where}.time"))
    if isinstance(value, Mapping) and value.keys() == {"float"}:
        return float(_choice(value["float"], f"{where}.float", ("inf", "-inf")))
    raise ValidationError(
        f"{where} is no value", hint='Values are true, 1, 1.5, "text" or {"time": "..."}.'
    )


def _feature(value: object, where: str) -> Feature:
    if isinstance(value, Mapping) and "computed" in value:
        body = _object(value, where, {"computed"})
        return Feature(_choice(body["computed"], f"{where}.computed", COMPUTED), computed=True)
    body = _object(value, where, {"column", "path", "reducer"})
    path = _list(body["path"], f"{where}.path")
    reducer = body["reducer"]
    if reducer is not None:
        reducer = _choice(reducer, f"{where}.reducer", REDUCERS)
    return Feature(_text(body["column"], f"{where}.column"), tuple(path), cast("Any", reducer))
