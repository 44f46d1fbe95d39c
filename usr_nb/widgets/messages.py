"""What goes over the wire between a panel and its front end: a closed set of typed operations.

A request is ``{"kind": "request", "id": 7, "op": "page", "args": {...}}``. The reply repeats id
and op: ``{"kind": "reply", "id": 7, "op": "page", "ok": true, "data": {...}}`` with buffers, or
``{..., "ok": false, "error": {"type": ..., "message": ..., "hint": ...}}``. The front end keeps
one request of an op in flight, sends the newest next, and drops replies that it no longer waits
for. ``{"kind": "notice", "what": "changed"}`` comes unasked.

Sizes are in ``limits.json``, which both sides read: Python here, JavaScript when it is bundled.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any, Final, Literal, TypeGuard

from usr_nb.errors import SequencesError, ValidationError, did_you_mean, join_hints

_LIMITS: Final[dict[str, int]] = json.loads(
    resources.files("usr_nb.widgets").joinpath("limits.json").read_text("utf-8")
)
PAGE_BYTES: Final = _LIMITS["PAGE_BYTES"]
PAGE_ROWS: Final = _LIMITS["PAGE_ROWS"]
PAGE_LETTERS: Final = _LIMITS["PAGE_LETTERS"]
COPY_BYTES: Final = _LIMITS["COPY_BYTES"]
TEXT_LENGTH: Final = _LIMITS["TEXT_LENGTH"]
EVENTS_PAGE: Final = _LIMITS["EVENTS_PAGE"]
MOTIF_MISMATCHES: Final = _LIMITS["MOTIF_MISMATCHES"]
FILTER_LENGTH: Final = _LIMITS["FILTER_LENGTH"]
FILTER_NAME: Final = _LIMITS["FILTER_NAME"]
LOOKS: Final = _LIMITS["LOOKS"]
CATEGORIES: Final = _LIMITS["CATEGORIES"]
COLUMNS_PAGE: Final = _LIMITS["COLUMNS_PAGE"]
INDEX_PAGE: Final = _LIMITS["INDEX_PAGE"]
STEP_MS: Final = _LIMITS["STEP_MS"]
UPLOAD_BYTES: Final = _LIMITS["UPLOAD_BYTES"]
UPLOAD_PIECE: Final = _LIMITS["UPLOAD_PIECE"]
COLUMNS: Final = _LIMITS["COLUMNS"]
BATCH: Final = _LIMITS["BATCH"]

#: JavaScript counts exactly up to here.
SAFE: Final = 2**53 - 1
_SHOWN: Final = 60


@dataclass(frozen=True)
class Whole:
    """A whole number from ``low`` to ``high``."""

    low: int = 0
    high: int = SAFE
    default: int | None = None


@dataclass(frozen=True)
class Text:
    """Text of at most ``most`` characters."""

    most: int = TEXT_LENGTH
    default: str | None = None


@dataclass(frozen=True)
class Choice:
    """One of some words."""

    words: tuple[str, ...]
    default: str | None = None


@dataclass(frozen=True)
class Flag:
    """True or false."""

    default: bool | None = None


@dataclass(frozen=True)
class Records:
    """At most ``most`` mappings, each with exactly these fields."""

    fields: Mapping[str, Whole | Text | Choice | Flag]
    most: int
    default: list[dict[str, Any]] | None = None


Kind = Whole | Text | Choice | Flag | Records
Args = dict[str, Any]
Operations = Mapping[str, Mapping[str, Kind]]


@dataclass(frozen=True)
class Request:
    """A request that was checked: ``args`` holds every argument of the operation, typed."""

    id: int
    op: str
    args: Args


@dataclass(frozen=True)
class Answer:
    """What an operation answers: plain values, and Arrow streams beside them."""

    data: dict[str, Any]
    buffers: tuple[bytes, ...] = ()


def parse_request(message: object, operations: Operations) -> Request:
    """Check a message and return it typed.

    Raises
    ------
    ValidationError
        If it is no request, or its operation or an argument is unknown, missing or malformed.

    Examples
    --------
    >>> parse_request(
    ...     {"kind": "request", "id": 1, "op": "go", "args": {"to": 5}}, {"go": {"to": Whole()}}
    ... )
    Request(id=1, op='go', args={'to': 5})
    """
    if not isinstance(message, Mapping) or message.get("kind") != "request":
        raise ValidationError("The panel sent a message that is no request", hint=_RELOAD)
    extra = sorted(str(k) for k in message if k not in {"kind", "id", "op", "args"})
    if extra:
        raise ValidationError(f"A request has no field {extra[0][:_SHOWN]!r}", hint=_RELOAD)
    number, op, args = message.get("id"), message.get("op"), message.get("args", {})
    if not _is_whole(number) or not 0 <= number <= SAFE:
        raise ValidationError("A request needs a number as its id", hint=_RELOAD)
    if not isinstance(op, str) or op not in operations:
        hint = did_you_mean(op, operations) if isinstance(op, str) else None
        raise ValidationError(
            f"This panel has no operation {str(op)[:_SHOWN]!r}", hint=join_hints(hint, _RELOAD)
        )
    if not isinstance(args, Mapping):
        raise ValidationError(f"{op}: the arguments are no mapping", hint=_RELOAD)
    known = operations[op]
    unknown = sorted(str(k) for k in args if k not in known)
    if unknown:
        raise ValidationError(f"{op} has no argument {unknown[0][:_SHOWN]!r}", hint=_RELOAD)
    return Request(int(number), op, {n: _value(op, n, kind, args) for n, kind in known.items()})


_RELOAD: Final = "Show the panel again; its front end and its kernel may be of different versions."


def _value(op: str, name: str, kind: Kind, args: Mapping[str, Any]) -> Any:
    if name not in args:
        if kind.default is None:
            raise ValidationError(f"{op} lacks the argument '{name}'", hint=_RELOAD)
        return kind.default
    value = args[name]
    why = _wrong(kind, value)
    if why is not None:
        raise ValidationError(
            f"{op}: '{name}' is {json_text(value)}, and it must be {why}", hint=_RELOAD
        )
    if isinstance(kind, Records):
        return [_record(op, name, kind, item) for item in value]
    return int(value) if isinstance(kind, Whole) else value


def _record(op: str, name: str, kind: Records, item: Any) -> dict[str, Any]:
    if not isinstance(item, Mapping):
        raise ValidationError(f"{op}: '{name}' holds {json_text(item)}, no mapping", hint=_RELOAD)
    unknown = sorted(str(k) for k in item if k not in kind.fields)
    if unknown:
        raise ValidationError(f"{op}: '{name}' has no field {unknown[0][:_SHOWN]!r}", hint=_RELOAD)
    return {f: _value(f"{op}: {name}", f, k, item) for f, k in kind.fields.items()}


def _wrong(kind: Kind, value: Any) -> str | None:
    """Return what the value must be, or None if it is."""
    if isinstance(kind, Whole):
        fine = _is_whole(value) and kind.low <= value <= kind.high
        return None if fine else f"a whole number from {kind.low:,} to {kind.high:,}"
    if isinstance(kind, Text):
        fine = isinstance(value, str) and len(value) <= kind.most
        return None if fine else f"text of at most {kind.most} characters"
    if isinstance(kind, Choice):
        return None if value in kind.words else f"one of {', '.join(kind.words)}"
    if isinstance(kind, Records):
        fine = isinstance(value, list) and len(value) <= kind.most
        return None if fine else f"a list of at most {kind.most:,} mappings"
    return None if isinstance(value, bool) else "true or false"


def _is_whole(value: object) -> TypeGuard[int | float]:
    if isinstance(value, bool):
        return False
    # Over the wire a whole number may arrive as 5.0.
    return isinstance(value, int) or (
        isinstance(value, float) and math.isfinite(value) and value == int(value)
    )


def json_text(value: object) -> str:
    """Return a value for a message, short."""
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def reply(request: Request, answer: Answer) -> dict[str, Any]:
    """Return the message that answers a request."""
    return {
        "kind": "reply", "id": request.id, "op": request.op, "ok": True, "data": answer.data,
    }  # fmt: skip


def error_reply(message: object, error: SequencesError) -> dict[str, Any]:
    """Return the message that says why a request was refused, for any message at all."""
    given: Mapping[str, Any] = message if isinstance(message, Mapping) else {}
    number, op = given.get("id"), given.get("op")
    return {
        "kind": "reply",
        "id": int(number) if _is_whole(number) else -1,
        "op": op[:_SHOWN] if isinstance(op, str) else "",
        "ok": False,
        "error": {"type": type(error).__name__, "message": error.message, "hint": error.hint or ""},
    }


def notice(what: Literal["changed"], **data: Any) -> dict[str, Any]:
    """Return a message that nobody asked for."""
    return {"kind": "notice", "what": what, "data": data}
