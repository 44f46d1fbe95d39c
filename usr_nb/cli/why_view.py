"""How the provenance of a cell looks."""

from __future__ import annotations

from typing import Any

from usr_nb.cli import render
from usr_nb.cli.render import Sheet
from usr_nb.contract.times import to_text
from usr_nb.dataset.history import EventRow
from usr_nb.dataset.values import plain
from usr_nb.dataset.why import Said, Why

_COLUMNS = ("role", "value", "at", "by", "action", "file")


def plain_why(found: Why) -> dict[str, Any]:
    """Return the provenance as values that strict JSON knows."""
    setter = found.setter
    return {
        "id": found.id, "column": found.column, "value": plain(found.value),
        "source": found.source,
        "said": [_said(s) for s in found.said],
        "unspoken": list(found.unspoken),
        "earlier": [_said(s) for s in found.earlier],
        "base": None if found.base is None else
        {"value": plain(found.base.value), "event": _event(found.base.event)},
        "setter": _event(setter),
        "unreadable": list(found.unreadable),
    }  # fmt: skip


def _said(one: Said) -> dict[str, Any]:
    return {
        "value": plain(one.value), "path": one.path, "created_at": to_text(one.created_at),
        "operation_id": one.operation_id, "event": _event(one.event),
        "gone_by": _event(one.gone_by),
    }  # fmt: skip


def _event(event: EventRow | None) -> dict[str, Any] | None:
    if event is None:
        return None
    return {
        "at": to_text(event.at), "action": event.action, "tool": event.tool,
        "run_id": event.run_id, "operation_id": event.operation_id,
    }  # fmt: skip


def sheet(found: Why) -> Sheet:
    """Return who says what of the cell: the winner first, then what it shadows, then the rest."""
    roles = ["decides", *["shadowed"] * len(found.said)]
    rows = [_row(role, s) for role, s in zip(roles, found.said, strict=False)]
    if found.base is not None:
        event = found.base.event
        role = "decides" if found.source == "base" else "shadowed"
        at = event.at if event is not None else None
        rows.append([role, found.base.value, at, _by(event), _action(event), "records.parquet"])
    rows += [["silent", None, None, None, None, path] for path in found.unspoken]
    rows += [_row("put aside", s) for s in found.earlier]
    return Sheet(_COLUMNS, rows, drop_first=("file", "action"), whole=("value", "at"))


def _row(role: str, one: Said) -> list[Any]:
    return [role, one.value, one.created_at, _by(one.event), _action(one.event), one.path]


def _by(event: EventRow | None) -> str | None:
    if event is None:
        return None
    return " ".join(filter(None, (event.tool, event.run_id))) or None


def _action(event: EventRow | None) -> str | None:
    return None if event is None else event.action


def verdict(found: Why) -> str:
    """Return one line: the value, and who set it."""
    cell = f"{found.column} of {found.id[:8]}"
    if found.source == "nothing":
        return f"{cell} has no value: no overlay and no base speaks for it."
    value, setter = render.cell(found.value), found.setter
    if setter is None:
        return f"{cell} is {value}; the log does not tell who set it."
    by = f"{_by(setter) or 'somebody'} ({setter.action})"
    return f"{cell} is {value}, set by {by} at {render.stamp(setter.at)}."
