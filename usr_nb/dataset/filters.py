"""Named filters, kept with the dataset: events in its log, the newest of a name counts."""

from __future__ import annotations

import shlex
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from usr_nb.dataset.context import Actor, Context
from usr_nb.dataset.history import event_rows
from usr_nb.errors import RecordNotFound, SequencesError, ValidationError, did_you_mean
from usr_nb.filter.bind import bind
from usr_nb.filter.codec import filter_from_json
from usr_nb.filter.engine import dataset_schema, whole
from usr_nb.filter.tree import Filter
from usr_nb.storage import eventlog, notes, slots

MAX_NAME: Final = 80
#: A line of the log has 1 MiB for all that is in it.
MAX_SAVED: Final = 1 << 18
ACTION: Final = "filter_save"


@dataclass(frozen=True)
class NamedFilter:
    """A filter that was saved under a name.

    Attributes
    ----------
    name : str
        Its name.
    where : Filter or None
        The filter; None if this version cannot read it.
    line : str
        The filter as it was shown when it was saved.
    saved_at : datetime
        When, UTC.
    tool, run_id : str or None
        By whom.
    problem : str or None
        Why it cannot be read.
    """

    name: str
    where: Filter | None
    line: str
    saved_at: datetime
    tool: str | None
    run_id: str | None
    problem: str | None = None


def save_filter(ctx: Context, name: str, where: Filter, *, actor: Actor | None) -> None:
    """Save a filter under a name; see :meth:`Dataset.save_filter`."""
    if not isinstance(where, Filter):
        raise ValidationError("A filter is needed", hint='Such as F["evo2__llr"] > 3.5.')
    _write(ctx, check_name(name), where, actor)


def delete_filter(ctx: Context, name: str, *, actor: Actor | None) -> None:
    """Take a saved filter away; see :meth:`Dataset.delete_filter`."""
    if name not in filters(ctx):
        raise _unknown(ctx, name)
    _write(ctx, name, None, actor)


def _write(ctx: Context, name: str, where: Filter | None, actor: Actor | None) -> None:
    args: dict[str, Any] = {"name": name, "filter": None, "line": None, "hash": None}
    with ctx.view() as view:
        if where is not None:
            args |= _checked(ctx, where)
        event = ctx.event(
            ACTION, fingerprint=ctx.fingerprint(view),
            registry_hash=ctx.reading_registry().hash, args=args, metrics={}, actor=actor,
        )  # fmt: skip
    event["artifacts"] = {"operation_id": slots.new_operation_id()}
    eventlog.append_event(ctx.layout.events, event)
    try:
        notes.append_note(ctx.layout.meta, _note(ctx, name, args["line"], event["timestamp_utc"]))
    except (SequencesError, OSError) as error:
        warnings.warn(
            f"Filter {name!r} is changed, but the note of it could not be written: {error}",
            slots.CommittedWarning,
            stacklevel=4,
        )


def _note(ctx: Context, name: str, line: str | None, at: str) -> dict[str, str]:
    """Return the note with the command that does the same."""
    verb = "delete" if line is None else "save"
    command = ["usr", "filters", verb, ctx.name, "--name", name]
    command += ["--where", line] if line is not None else []
    return {"at": at, "title": f"{verb}d filter {name}", "command": shlex.join(command)}


def _checked(ctx: Context, where: Filter) -> Mapping[str, Any]:
    text = where.to_json()
    if len(text) > MAX_SAVED:
        raise ValidationError(
            f"A saved filter has at most {MAX_SAVED:,} letters of JSON; this one has {len(text):,}",
            hint="Keep a long list of ids as a column, or in a file of its own.",
        )
    with ctx.merged(include_deleted=True) as merged:
        bind(where, dataset_schema(whole(merged), where.features()))
    # As text: what redaction does to objects must not change a filter.
    return {"filter": text, "line": where.as_line()[:2_000], "hash": where.hash}


def check_name(name: str) -> str:
    """Return a name that a filter may have."""
    if (
        not isinstance(name, str)
        or not 0 < len(name) <= MAX_NAME
        or name != name.strip()
        or not name.isprintable()
    ):
        raise ValidationError(
            f"A filter cannot be named {str(name)[:MAX_NAME]!r}",
            hint=f"Use 1 to {MAX_NAME} printable letters, no space at the ends.",
        )
    return name


def filters(ctx: Context) -> dict[str, NamedFilter]:
    """Return the saved filters by name, A-Z; see :meth:`Dataset.filters`."""
    with ctx.view():
        pass
    newest: dict[str, NamedFilter | None] = {}
    at: dict[str, datetime] = {}
    for row in event_rows(ctx):
        name, text = row.args.get("name"), row.args.get("filter")
        # By time, not by place: a sync appends older lines of another copy.
        if row.action != ACTION or not isinstance(name, str) or row.at < at.get(name, row.at):
            continue
        at[name] = row.at
        if text is None:
            newest[name] = None
            continue
        where, problem = _read(text)
        newest[name] = NamedFilter(
            name, where, str(row.args.get("line") or ""), row.at, row.tool, row.run_id, problem
        )
    return {name: newest[name] for name in sorted(newest) if newest[name]}  # type: ignore[misc]


def _read(text: object) -> tuple[Filter | None, str | None]:
    try:
        if not isinstance(text, str):
            raise ValidationError("The filter is not saved as JSON text")
        return filter_from_json(text), None
    except SequencesError as error:
        return None, str(error)


def named_filter(ctx: Context, name: str) -> Filter:
    """Return a saved filter by its name.

    Raises
    ------
    RecordNotFound
        If there is none of that name.
    ValidationError
        If this version cannot read it.
    """
    found = filters(ctx)
    if name not in found:
        raise _unknown(ctx, name)
    one = found[name]
    if one.where is None:
        raise ValidationError(f"The saved filter {name!r} cannot be read: {one.problem}")
    return one.where


def _unknown(ctx: Context, name: str) -> RecordNotFound:
    return RecordNotFound(
        f"No filter is named {str(name)[:MAX_NAME]!r}",
        hint=did_you_mean(str(name), filters(ctx)) or "See `usr filters list`, or ds.filters().",
    )
