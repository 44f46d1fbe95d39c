"""Whether a plan that was to be applied is in: from the log, a commit not yet told of, a remote."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from usr_nb.dataset.context import Context
from usr_nb.storage import eventlog, slots
from usr_nb.sync.asking import remembered, told_there
from usr_nb.sync.look import Here


@dataclass(frozen=True)
class Outcome:
    """What became of a plan.

    Attributes
    ----------
    token : str
        The plan.
    is_in : bool or None
        Whether it was committed; if not, nothing of it was written. None: a push was begun, and
        only its remote knows.
    action, at, operation_id : str
        Of its event; empty if it is not in.
    counts : dict of str to int
        The event's metrics.
    remote : str
        Of a push: where it went, and who can be asked.
    """

    token: str
    is_in: bool | None
    action: str = ""
    at: str = ""
    operation_id: str = ""
    counts: dict[str, int] | None = None
    remote: str = ""


def outcome(ctx: Context, token: str, remote: str | None = None) -> Outcome:
    """Return what became of a plan; see :meth:`Dataset.outcome`."""
    with ctx.view():
        pass
    event = _told_here(ctx, token)
    if event is not None:
        return _of(event, token)
    here = Here(ctx.root, ctx.name, ctx.layout.dir)
    begun = ""
    for what, name, meeting in remembered(here, token):
        if what == "done":
            return Outcome(
                token, is_in=True, action="push", at=str(meeting.get("at") or ""), counts={},
                operation_id=str(meeting.get("operation_id") or ""), remote=name,
            )  # fmt: skip
        begun = name
    if remote is None:
        return Outcome(token, is_in=None if begun else False, remote=begun)
    told = [e for e in told_there(here, remote, token) if _is_of(e, token)]
    if told:
        return replace(_of(told[-1], token), remote=remote)
    return Outcome(token, is_in=False, remote=remote)


def _told_here(ctx: Context, token: str) -> Mapping[str, Any] | None:
    # Committed, and its writer was killed before it could tell: the next writer will.
    _, intent = slots.pending(ctx.layout)
    for event in intent.events if intent is not None else ():
        if _is_of(event, token):
            return event
    marker = json.dumps(token).encode()
    lines = [line for _, line in eventlog.read_lines(ctx.layout.events) if marker in line]
    for line in reversed(lines):
        try:
            event = json.loads(line)
        except ValueError:
            continue  # A torn fragment.
        if isinstance(event, dict) and _is_of(event, token):
            return event
    return None


def _is_of(event: Mapping[str, Any], token: str) -> bool:
    places = (event.get("artifacts"), event.get("args"))
    return any(isinstance(p, dict) and p.get("plan") == token for p in places)


def _of(event: Mapping[str, Any], token: str) -> Outcome:
    artifacts, metrics = event.get("artifacts"), event.get("metrics")
    operation = artifacts.get("operation_id") if isinstance(artifacts, dict) else ""
    told = metrics.items() if isinstance(metrics, dict) else ()
    counts = {k: v for k, v in told if isinstance(v, int)}
    return Outcome(
        token,
        is_in=True,
        action=str(event.get("action")),
        at=str(event.get("timestamp_utc")),
        operation_id=str(operation or ""),
        counts=counts,
    )
