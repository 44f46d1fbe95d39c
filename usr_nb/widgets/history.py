"""The panel *history*: the event log in sentences, paged and filtered, runs folded."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any, ClassVar, Final

from usr_nb.analysis.changes import Changes
from usr_nb.analysis.history import EventFilter, EventHistory, Item
from usr_nb.dataset.core import Dataset
from usr_nb.widgets.base import front_end
from usr_nb.widgets.cells import WHY, CellPanel
from usr_nb.widgets.jobs import Task
from usr_nb.widgets.messages import (
    COPY_BYTES,
    EVENTS_PAGE,
    TEXT_LENGTH,
    Answer,
    Args,
    Kind,
    Operations,
    Text,
    Whole,
)

_SUMMARY_EVENTS: Final = 8
ID_LENGTH: Final = 40
WANTED: Final[dict[str, Kind]] = {
    "action": Text(most=80, default=""),
    "actor": Text(most=200, default=""),
    "since": Text(most=40, default=""),
    "until": Text(most=40, default=""),
    "text": Text(most=TEXT_LENGTH, default=""),
    "record": Text(most=ID_LENGTH, default=""),
}


class HistoryPanel(CellPanel):
    """What happened to a dataset, by whom, when.

    Parameters
    ----------
    ds : Dataset
        The dataset.
    """

    _esm, _css = front_end("history")
    operations: ClassVar[Operations] = {
        "page": {"start": Whole(), "count": Whole(low=1, high=EVENTS_PAGE), **WANTED},
        "parts": {"line": Whole(), **WANTED},
        "event": {"line": Whole()},
        "compare": {"first": Whole(), "second": Whole()},
        "changes": {"first": Whole(), "second": Whole()},
        "changes_now": {},
        "actions": {},
        **WHY,
        "look": {"version": Text(most=100)},
    }

    def __init__(self, ds: Dataset) -> None:
        self._ds = ds
        self._log = EventHistory(ds)
        self._changes: Task[Changes] | None = None
        super().__init__(summary=_summary(ds, self._log))

    def __repr__(self) -> str:
        return f"HistoryPanel({self._ds.name!r})"

    # Operations -------------------------------------------------------------------------------

    def on_page(self, args: Args) -> Answer:
        """Give a page of items, newest first."""
        # Before the page: an event that comes meanwhile is noticed, not missed.
        version = self._log.version()
        page = self._log.page(wanted=_wanted(args), start=args["start"], count=args["count"])
        data = asdict(page) | {"items": [asdict(i) for i in page.items], "dataset": self._ds.name}
        data["version"] = version
        return Answer(data)

    def on_parts(self, args: Args) -> Answer:
        """Give the newest parts of a run, and how many there are."""
        parts = self._log.parts(args["line"], wanted=_wanted(args))
        return Answer({"parts": len(parts), "items": [asdict(i) for i in parts[:EVENTS_PAGE]]})

    def on_event(self, args: Args) -> Answer:
        """Give one event whole, as indented JSON; cut where it is very long."""
        text = json.dumps(self._log.event(args["line"]), indent=1, ensure_ascii=False)
        return Answer({"text": text[:COPY_BYTES], "cut": len(text) > COPY_BYTES})

    def on_compare(self, args: Args) -> Answer:
        """Say what happened between two events."""
        return Answer(asdict(self._log.compare(args["first"], args["second"])))

    def on_changes(self, args: Args) -> Answer:
        """Begin to compare two moments column by column, in a thread."""
        first, second = args["first"], args["second"]
        self._changes = Task(lambda: self._log.changes(first, second)).start()
        return self.on_changes_now({})

    def on_changes_now(self, _args: Args) -> Answer:
        """Say what changed per column, once it is known."""
        task = self._changes
        if task is None or (task.result is None and task.error is None):
            return Answer({"state": "none" if task is None else "running"})
        if task.error is not None:
            raise task.error
        assert task.result is not None  # noqa: S101 - looked at above
        return Answer({"state": "done", **asdict(task.result)})

    def on_actions(self, _args: Args) -> Answer:
        """Say which actions there are, and how often."""
        return Answer({"actions": self._log.actions()})

    def on_look(self, args: Args) -> Answer:
        """Say whether there are events that the page of that version does not have."""
        return Answer({"changed": self._log.version() != args["version"]})


def _wanted(args: Args) -> EventFilter:
    given: dict[str, Any] = {k: args[k] for k in ("actor", "since", "until", "text", "record")}
    return EventFilter(actions=(args["action"],) if args["action"] else (), **given)


def _line(item: Item) -> str:
    return f"{item.at[:19].replace('T', ' ')} UTC  {item.who} · {item.sentence}"


def _summary(ds: Dataset, log: EventHistory) -> str:
    page = log.page(count=_SUMMARY_EVENTS)
    lines = [f"{ds.name}: {page.all_events:,} events, the newest:"]
    return "\n".join([*lines, *(_line(i) for i in page.items)])
