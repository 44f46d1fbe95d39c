"""Values as strict JSON: no NaN, times as UTC text (contract GET-1, LAY-8)."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

import numpy as np

from usr_nb.contract.events import REDACTED, is_secret_key
from usr_nb.contract.times import to_text

_FLAG_IN_TEXT = re.compile(
    r"""((?<![\w-])--?[A-Za-z][A-Za-z0-9_.\-]*)(=|[ \t]+)(?!-)('[^']*'|"[^"]*"|\S+)"""
)


def plain(value: Any) -> Any:  # noqa: PLR0911 - one return per kind of value
    """Return a value as JSON knows it: NaN and infinities become None.

    Examples
    --------
    >>> plain({"a": float("nan"), "b": [1, 2.5]})
    {'a': None, 'b': [1, 2.5]}
    """
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, datetime):
        return to_text(value.replace(tzinfo=UTC) if value.tzinfo is None else value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, np.ndarray):
        return [plain(v) for v in value.tolist()]
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(v) for v in value]
    if type(value).__name__ in ("NAType", "NaTType"):
        return None
    return str(value)


def json_text(value: Any, *, bare: bool = False) -> str | None:
    """Return a value as compact strict JSON, None for null; `bare` leaves text unquoted."""
    if value is None:
        return None
    ready = plain(value)
    if bare and isinstance(ready, str):
        return ready
    return json.dumps(ready, ensure_ascii=False, allow_nan=False)


def redact_text(code: str) -> str:
    """Return a command that a person wrote, layout kept, with the values of secret flags replaced.

    Examples
    --------
    >>> redact_text("tool --token 'a b' --user me")
    'tool --token ***REDACTED*** --user me'
    """

    def hide(m: re.Match[str]) -> str:
        return f"{m[1]}{m[2]}{REDACTED}" if is_secret_key(m[1]) else m[0]

    return _FLAG_IN_TEXT.sub(hide, code)


def rename_words(names: Mapping[str, str] | None) -> list[str]:
    """Return other names of columns as words of a command.

    Examples
    --------
    >>> rename_words({"LLR (nats)": "llr"})
    ['--rename', 'LLR (nats)=llr']
    """
    return [w for old, new in (names or {}).items() for w in ("--rename", f"{old}={new}")]
