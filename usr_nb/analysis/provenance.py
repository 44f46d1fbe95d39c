"""Where the value of a cell comes from, as people read it: the winner, then what it replaced.

>>> from usr_nb.analysis.provenance import why_lines, why_steps
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

from usr_nb.analysis.sentences import sentence
from usr_nb.contract.times import to_text
from usr_nb.dataset.history import EventRow
from usr_nb.dataset.values import json_text
from usr_nb.dataset.why import InBase, Said, Why

Role = Literal["winner", "shadowed", "earlier", "base"]
_LONG: Final = 300
_ROLES: Final[dict[Role, str]] = {
    "winner": "stands", "shadowed": "replaced", "earlier": "put aside", "base": "in the base",
}  # fmt: skip


@dataclass(frozen=True)
class Step:
    """One file that speaks for a cell.

    Attributes
    ----------
    role : {"winner", "shadowed", "earlier", "base"}
        It decides; a newer part replaced it; a compaction, materialize or removal put it aside; it
        is the base, which counts where no part speaks (``decides``).
    value : str or None
        As JSON, cut at 300 letters; None for null.
    at, who, did : str
        When (UTC), by which tool, run and machine, and what that operation did; "" if neither the
        log nor the file tells.
    gone : str
        For what was put aside: what the operation did that put it aside.
    """

    role: Role
    decides: bool
    value: str | None
    path: str
    at: str
    who: str
    did: str
    gone: str = ""


def why_steps(found: Why) -> tuple[Step, ...]:
    """Return everything that speaks for a cell, what decides first.

    Parameters
    ----------
    found : Why
        From :meth:`Dataset.why`.
    """
    steps = [_said(s, "winner" if i == 0 else "shadowed") for i, s in enumerate(found.said)]
    base = [] if found.base is None else [_base(found.base, decides=found.source == "base")]
    return (*steps, *base, *(_said(s, "earlier") for s in found.earlier))


def _said(said: Said, role: Role) -> Step:
    did = "" if said.event is None else _did(said.event)
    gone = "" if said.gone_by is None else _did(said.gone_by)
    return Step(role, role == "winner", value_text(said.value), said.path,
                to_text(said.created_at), _who(said.event), did, gone)  # fmt: skip


def _base(base: InBase, *, decides: bool) -> Step:
    at = "" if base.event is None else to_text(base.event.at)
    did = "" if base.event is None else _did(base.event)
    value = value_text(base.value)
    return Step("base", decides, value, "records.parquet", at, _who(base.event), did)


def value_text(value: Any) -> str | None:
    """Return a value as JSON text, None for null; NaN and infinities by name.

    Examples
    --------
    >>> value_text([1.5, None]), value_text(float("nan")), value_text(None)
    ('[1.5, null]', 'NaN', None)
    """
    if isinstance(value, float) and (value != value or value in (float("inf"), -float("inf"))):  # noqa: PLR0124 - NaN
        return {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[str(value)]
    text = json_text(value)
    return text if text is None or len(text) <= _LONG else f"{text[: _LONG - 1]}…"


def _did(event: EventRow) -> str:
    return sentence({"action": event.action, "args": event.args, "metrics": event.metrics})


def _who(event: EventRow | None) -> str:
    if event is None:
        return ""
    who = f"{event.tool or '?'}@{event.host}" if event.host else event.tool or ""
    return f"{who} · run {event.run_id}" if event.run_id else who


def setter_line(found: Why) -> str:
    """Return who set the value in the first place, looking behind compactions; "" if none tells."""
    setter = found.setter
    return "" if setter is None else f"{_who(setter)} at {to_text(setter.at)}: {_did(setter)}"


def why_lines(found: Why) -> list[str]:
    """Return where a value comes from, one line for each file that speaks for the cell.

    Examples
    --------
    >>> why_lines(Why("ab" * 20, "m__x", None, "nothing", (), (), (), None))
    ['m__x of abababab is null: nothing ever spoke for it']
    """
    steps = why_steps(found)
    value = value_text(found.value) or "null"
    head = f"{found.column} of {found.id[:8]} is {value}"
    if not steps:
        return [f"{head}: nothing ever spoke for it"]
    lines = [head]
    for step in steps:
        role = "decides" if step.decides else _ROLES[step.role]
        about = ", ".join(t for t in (step.at, step.who, step.did) if t)
        gone = f"; then: {step.gone}" if step.gone else ""
        lines.append(f"  {role}: {step.value or 'null'} ({step.path}{': ' if about else ''}"
                     f"{about}){gone}")  # fmt: skip
    return lines
