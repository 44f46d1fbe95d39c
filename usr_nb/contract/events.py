"""One event line: its keys, its size, what is kept out of it (contract EVT)."""

from __future__ import annotations

import json
import math
import os
import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, is_dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from usr_nb.errors import ValidationError

USR_EVENT_VERSION: Final = 1
MAX_LINE_BYTES: Final = 1 << 20
REDACTED: Final = "***REDACTED***"
ACTIONS: Final = frozenset(
    {
        "init", "import_rows", "attach", "write_overlay_part", "tombstone", "restore",
        "state_set", "state_clear", "snapshot", "materialize", "dedupe", "merge_datasets",
        "compact_overlay", "archive_overlay", "remove_overlay", "registry_freeze",
        "pull", "push", "pull_file", "push_file", "implicit_file_pick", "make_mock",
        "add_demo_cols", "convert_legacy", "repair_densegen", "recovered", "filter_save",
    }
)  # fmt: skip
_SECRET_WORDS: Final = frozenset(
    {
        "secret", "token", "password", "passwd", "apikey", "webhook", "auth", "credential",
        "bearer", "cookie", "session",
    }
)  # fmt: skip
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z0-9]+|[A-Z]+")
_ACTION = re.compile(r"[a-z][a-z0-9_.\-]{0,79}\Z")
_FLAG = re.compile(r"--?([A-Za-z][A-Za-z0-9_.\-]*)(=.*)?\Z", re.DOTALL)


@dataclass(frozen=True)
class Fingerprint:
    """Size of the base an event leaves behind; ``sha256`` only on request."""

    rows: int
    cols: int
    size_bytes: int
    sha256: str | None = None

    def as_plain(self) -> dict[str, Any]:
        """Return the mapping that stands in the event line."""
        plain = asdict(self)
        if self.sha256 is None:
            del plain["sha256"]
        return plain


@dataclass(frozen=True)
class Actor:
    """Who did it: a tool, its run, a process."""

    tool: str
    run_id: str | None
    host: str
    pid: int


def is_secret_key(key: str) -> bool:
    """Say whether a key names a secret: by whole words, so ``author`` does not (EVT-3).

    Examples
    --------
    >>> is_secret_key("apiKey"), is_secret_key("X-Auth-Token"), is_secret_key("author")
    (True, True, False)
    """
    words = [w.lower() for w in _WORD.findall(key)]
    found = {*words, *(a + b for a, b in pairwise(words))}
    return bool(_SECRET_WORDS & (found | {w.removesuffix("s") for w in found}))


def redact(value: Any, *, key: str = "") -> Any:
    """Return a JSON-able copy of `value` with the values of secret keys replaced (EVT-3)."""
    if key and is_secret_key(key) and value is not None:
        return REDACTED
    if is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
    if isinstance(value, Mapping):
        return {str(k): redact(v, key=str(k)) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        items = sorted(value, key=str) if isinstance(value, set | frozenset) else list(value)
        return _redact_flags([redact(v) for v in items])
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return str(value) if isinstance(value, Path | datetime) else repr(value)[:200]


def _redact_flags(items: list[Any]) -> list[Any]:
    out: list[Any] = []
    hide_next = False
    for item in items:
        m = _FLAG.match(item) if isinstance(item, str) else None
        # A value may begin with one '-'; what begins with two is the next flag.
        if hide_next and (m is None or not item.startswith("--")):
            out.append(REDACTED)
            hide_next = False
            continue
        hide_next = False
        if m and is_secret_key(m.group(1)):
            if m.group(2) is not None:
                out.append(f"{item[: m.start(2)]}={REDACTED}")
                continue
            hide_next = True
        out.append(item)
    return out


def redact_command(command: Iterable[str]) -> str:
    """Return a command line as text, quoted for a shell, with secrets replaced.

    Examples
    --------
    >>> redact_command(["usr", "x", "--token", "abc", "a b"])
    "usr x --token '***REDACTED***' 'a b'"
    """
    return shlex.join(_redact_flags([str(c) for c in command]))


def build_event(
    *,
    action: str,
    at: str,
    dataset: str,
    root: str,
    args: Mapping[str, Any],
    metrics: Mapping[str, Any],
    artifacts: Mapping[str, Any],
    maintenance: Mapping[str, Any],
    fingerprint: Mapping[str, Any],
    registry_hash: str | None,
    actor: Actor,
    version: str,
) -> dict[str, Any]:
    """Return one event with its keys in the order of EVT-1, secrets replaced.

    Raises
    ------
    ValidationError
        If the action's name is malformed.
    """
    if not _ACTION.match(action):
        raise ValidationError(
            f"Event action {action[:40]!r} is not allowed",
            hint="Use lower-case letters, digits, '_', '.' and '-'.",
        )
    return {
        "event_version": USR_EVENT_VERSION,
        "timestamp_utc": at,
        "action": action,
        "dataset": {"name": dataset, "root": root},
        "args": redact(args),
        "metrics": redact(metrics),
        "artifacts": redact(artifacts),
        "maintenance": redact(maintenance),
        "fingerprint": dict(fingerprint),
        "registry_hash": registry_hash,
        "actor": redact(actor),
        "version": version,
    }


def encode_event(event: Mapping[str, Any]) -> bytes:
    """Return the event as one compact JSON line with its newline, at most 1 MiB.

    Where it would be longer, the largest of args, metrics, artifacts and maintenance
    are replaced by ``{"truncated": true, "bytes": n}``. ``operation_id`` is always kept, and
    ``files``, which says what a commit installed and with which digests, as long as it fits.
    """
    line = _dump(event)
    if len(line) <= MAX_LINE_BYTES:
        return line
    slim = dict(event)
    parts = ("args", "metrics", "artifacts", "maintenance")
    for name in sorted(parts, key=lambda p: -len(_dump(slim.get(p)))):
        body = slim.get(name) or {}
        for kept in (("operation_id", "files"), ("operation_id",)):
            keep = {k: body[k] for k in kept if k in body}
            slim[name] = {**keep, "truncated": True, "bytes": len(_dump(body))}
            line = _dump(slim)
            if len(line) <= MAX_LINE_BYTES:
                return line
    raise ValidationError("An event line would be longer than 1 MiB")


def _dump(value: Any) -> bytes:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.encode("utf-8", errors="backslashreplace") + b"\n"


def decode_event(line: bytes) -> dict[str, Any] | None:
    """Return an event line as a dict, or None for a torn fragment or foreign text."""
    # Told apart first: a million blank lines would else cost a million exceptions.
    if line[:1] != b"{" and not line.lstrip().startswith(b"{"):
        return None
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return event if isinstance(event, dict) and "action" in event else None


def operation_of(event: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return (operation id, action) of an event, which together name it, or None (EVT-5)."""
    artifacts = event.get("artifacts")
    op = artifacts.get("operation_id") if isinstance(artifacts, Mapping) else None
    return (op, str(event.get("action"))) if isinstance(op, str) and op else None


def env_actor(tool: str | None, run_id: str | None, host: str, pid: int) -> Actor:
    """Return the actor from arguments, else the environment, else ``usr`` (EVT-4)."""
    return Actor(
        tool=tool or os.environ.get("USR_ACTOR_TOOL") or "usr",
        run_id=run_id or os.environ.get("USR_ACTOR_RUN_ID") or None,
        host=host,
        pid=pid,
    )
