"""Whether a plan that was to be applied is in: from the log, or from a commit not yet told of."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from usr_nb.dataset.context import Context
from usr_nb.storage import eventlog, slots


@dataclass(frozen=True)
class Outcome:
    """What became of a plan.

    Attributes
    ----------
    token : str
        The plan.
    is_in : bool
        Whether it was committed; if not, nothing of it was written.
    action, at, operation_id : str
        Of its event; empty if it is not in.
    counts : dict of str to int
        The event's metrics.
    """

    token: str
    is_in: bool
    action: str = ""
    at: str = ""
    operation_id: str = ""
    counts: dict[str, int] | None = None


def outcome(ctx: Context, token: str) -> Outcome:
    """Return what became of a plan; see :meth:`Dataset.outcome`."""
    with ctx.view():
        pass
    # Committed, and its writer was killed before it could tell: the next writer will.
    _, intent = slots.pending(ctx.layout)
    for event in intent.events if intent is not None else ():
        if _is_of(event, token):
            return _of(event, token)
    marker = json.dumps(token).encode()
    lines = [line for _, line in eventlog.read_lines(ctx.layout.events) if marker in line]
    for line in reversed(lines):
        try:
            event = json.loads(line)
        except ValueError:
            continue  # A torn fragment.
        if isinstance(event, dict) and _is_of(event, token):
            return _of(event, token)
    return Outcome(token, is_in=False)


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
