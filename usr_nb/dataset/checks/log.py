"""The event log: every line an event, none torn but perhaps the last (EVT)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from usr_nb.contract.events import MAX_LINE_BYTES, USR_EVENT_VERSION, decode_event
from usr_nb.contract.times import parse
from usr_nb.dataset.checks.finding import Finding, Scope
from usr_nb.errors import SequencesError
from usr_nb.storage.layout import EVENTS

_KEYS: Final = (
    "event_version", "timestamp_utc", "action", "dataset", "args", "metrics", "artifacts",
    "maintenance", "fingerprint", "registry_hash", "actor", "version",
)  # fmt: skip


def check(scope: Scope) -> Iterator[Finding]:
    """Yield lines that are no events."""
    path = scope.layout.events
    if not path.is_file():
        yield Finding("warning", "EVT-1", EVENTS, "there is no event log")
        return
    with path.open("rb") as f:
        for number, line in enumerate(f, start=1):
            place = f"{EVENTS}, line {number}"
            if not line.strip():
                continue
            event = decode_event(line) if line.endswith(b"\n") else None
            if event is None:
                # A writer died in the middle of the line; a later writer tells the event again.
                yield Finding("note", "EVT-5", place, "a torn fragment")
                continue
            yield from _event(event, place, len(line))


def _event(event: dict[str, object], place: str, size: int) -> Iterator[Finding]:
    if size > MAX_LINE_BYTES:
        yield Finding("error", "EVT-1", place, f"longer than {MAX_LINE_BYTES:,} bytes")
    missing = [k for k in _KEYS if k not in event]
    if missing:
        yield Finding("error", "EVT-1", place, f"no {', '.join(missing)}")
    elif tuple(k for k in event if k in _KEYS) != _KEYS:
        yield Finding("warning", "EVT-1", place, "its keys are in another order")
    if event.get("event_version") != USR_EVENT_VERSION:
        yield Finding("warning", "EVT-1", place, f"event_version {event.get('event_version')!r}")
    try:
        parse(str(event.get("timestamp_utc")))
    except SequencesError:
        yield Finding("error", "EVT-1", place, "timestamp_utc is no time")
