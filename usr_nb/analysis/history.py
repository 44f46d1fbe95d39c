"""The event log as people read it: paged, filtered, runs folded, two moments compared.

>>> from usr_nb.analysis.history import EventHistory

Only the lines of a page are decoded. What filters need of every line (time, action, actor,
namespace) is read once from fixed places in it, and kept: about 500 bytes per event.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from usr_nb.analysis.changes import Changes, column_changes
from usr_nb.analysis.sentences import part_sentence, run_sentence, sentence, values_of
from usr_nb.contract.events import decode_event, operation_of
from usr_nb.contract.times import to_text
from usr_nb.dataset.core import Dataset
from usr_nb.errors import ValidationError

Int = npt.NDArray[np.int64]
_CHUNK: Final = 8 << 20
#: Lines at the end of the log that are looked at before every line is known.
_TAIL_BYTES: Final = 256 << 10
#: At most so many parts of a run are added up; a longer run says so.
_RUN_LINES: Final = 5_000
_HEAD = re.compile(
    rb'\{"event_version":\d+,"timestamp_utc":"([^"\\]{1,40})","action":"([^"\\]{1,80})"'
)
_TAIL = re.compile(
    rb'"actor":\{"tool":"([^"\\]*)","run_id":(?:null|"([^"\\]*)"),"host":"([^"\\]*)","pid":\d+\}'
    rb',"version":"[^"\\]*"\}\s*\Z'
)
_NAMESPACE = re.compile(rb'"namespace":"([a-z][a-z0-9_]*)"')
_METRICS = re.compile(rb'"metrics":(\{[^{}]*\})')
_OPERATION = re.compile(rb'"operation_id":"([^"\\]{1,80})"')


@dataclass(frozen=True)
class EventFilter:
    """Which events: all given parts must fit.

    Attributes
    ----------
    actions : tuple of str
        One of these; none given: any.
    actor : str
        Part of tool, run id or host, in any case.
    since, until : str
        UTC times as text (``2026-01-31`` or more of ``YYYY-MM-DDTHH:MM:SS.ffffffZ``); `since` is
        included, `until` is the first that is not.
    text : str
        Stands anywhere in the event: an id, a namespace, a file.
    record : str
        An id, or 7 and more of its first letters: the events whose parts hold that record, that
        imported it, or that name it (see :meth:`Dataset.history`).
    """

    actions: tuple[str, ...] = ()
    actor: str = ""
    since: str = ""
    until: str = ""
    text: str = ""
    record: str = ""

    @property
    def is_empty(self) -> bool:
        """Whether every event fits."""
        return self == EventFilter()


class Head(NamedTuple):
    """What is known of every event: its line (0-based), and who did what when.

    A tuple, as a hundred thousand of them are made at once.
    """

    line: int
    at: str
    action: str
    tool: str
    run_id: str
    host: str
    namespace: str
    operation: str

    @property
    def run(self) -> tuple[str, ...]:
        """What parts of one run share; an event without a run id is alone."""
        if not self.run_id:
            return (str(self.line),)
        return (self.tool, self.run_id, self.host, self.action, self.namespace)

    @property
    def who(self) -> str:
        """Tool and machine, ``evo2@node12``."""
        return f"{self.tool}@{self.host}" if self.host else self.tool


@dataclass(frozen=True)
class Item:
    """One line of the history: an event, or the parts of a run folded into one.

    Attributes
    ----------
    line : int
        Line of the (newest) event in the log, 0-based.
    parts : int
        Events folded; 1 for a single event.
    at, since : str
        UTC time of the newest and of the oldest of them.
    """

    line: int
    parts: int
    at: str
    since: str
    who: str
    run_id: str
    action: str
    namespace: str
    sentence: str


@dataclass(frozen=True)
class HistoryPage:
    """Items ``start`` and on of ``total``, newest first; ``events`` fit of ``all_events``.

    ``exact`` is False on the first page of a log that was not read through yet: then runs are
    folded only within the page, and `total` is not known (-1).
    """

    start: int
    items: tuple[Item, ...]
    total: int
    events: int
    all_events: int
    exact: bool


@dataclass(frozen=True)
class Moment:
    """The dataset as one event left it."""

    line: int
    at: str
    rows: int | None
    cols: int | None
    size_bytes: int | None


@dataclass(frozen=True)
class Comparison:
    """What happened between two moments: events by action, rows written by namespace."""

    before: Moment
    after: Moment
    events: int
    actions: dict[str, int]
    records_added: int
    records_deleted: int
    records_restored: int
    written: dict[str, int]


@dataclass
class _Index:
    heads: list[Head] = field(default_factory=list)
    seen: set[tuple[str, str]] = field(default_factory=set)
    lines: int = 0


class EventHistory:
    """The history of one dataset. Reads the log, writes nothing.

    Parameters
    ----------
    ds : Dataset
        The dataset.

    Examples
    --------
    >>> import tempfile
    >>> from usr_nb.dataset.registration import init_root
    >>> root = tempfile.mkdtemp()
    >>> _ = init_root(root)
    >>> ds = Dataset.open(root, "demo")
    >>> ds.init()
    >>> [item.sentence for item in EventHistory(ds).page().items]
    ['froze the registry', 'created the dataset']
    """

    def __init__(self, ds: Dataset) -> None:
        self._ds = ds
        self._path: Path = ds.events_path
        self._index: _Index | None = None
        self._ends: Int = np.zeros(0, np.int64)
        self._stamp: tuple[int, int, int] = (0, 0, 0)
        self._found: dict[EventFilter, list[list[Head]]] = {}

    # The file -------------------------------------------------------------------------------------

    def refresh(self) -> bool:
        """Look for new lines; say whether there are any, or the log is another one."""
        stamp = self._now()
        if stamp == self._stamp:
            return False
        known = int(self._ends[-1]) if len(self._ends) else 0
        # Another file, or a shorter one: everything that is known is of no use.
        if stamp[:2] != self._stamp[:2] or stamp[2] < known:
            self._ends, self._index = np.zeros(0, np.int64), None
            known = 0
        ends = [known + at for at in self._newlines(known)]
        fresh = np.concatenate(ends) if ends else np.zeros(0, np.int64)
        self._stamp = stamp
        if len(fresh) == 0 and known:
            return False
        self._ends = np.concatenate([self._ends, fresh])
        self._found.clear()
        return True

    def version(self) -> str:
        """Return what names the state of the log: another text once a line was added."""
        return "-".join(map(str, self._now()))

    def _now(self) -> tuple[int, int, int]:
        try:
            st = self._path.stat()
        except FileNotFoundError:
            return (0, 0, 0)
        return (st.st_dev, st.st_ino, st.st_size)

    def _newlines(self, start: int) -> Iterator[Int]:
        """Yield the ends of complete lines from `start` on, as distances from it."""
        done = 0
        for block in self._blocks(start):
            yield np.flatnonzero(np.frombuffer(block, np.uint8) == 10).astype(np.int64) + done + 1
            done += len(block)

    def _blocks(self, start: int) -> Iterator[bytes]:
        try:
            with self._path.open("rb") as f:
                f.seek(start)
                while block := f.read(_CHUNK):
                    yield block
        except FileNotFoundError:
            return

    def _start_of(self, line: int) -> int:
        return int(self._ends[line - 1]) if line else 0

    def _raw(self, first: int, last: int) -> list[bytes]:
        """Return lines `first` up to `last`, as they stand."""
        if last <= first:
            return []
        start = self._start_of(first)
        with self._path.open("rb") as f:
            data = os.pread(f.fileno(), int(self._ends[last - 1]) - start, start)
        cuts = [int(e) - start for e in self._ends[first:last]]
        return [data[a:b] for a, b in zip([0, *cuts], cuts, strict=False)]

    def event(self, line: int) -> dict[str, Any]:
        """Return one event as it stands in the log.

        Raises
        ------
        ValidationError
            If the log has no such line, or no event stands there.
        """
        self.refresh()
        if not 0 <= line < len(self._ends):
            raise ValidationError(f"The log has no line {line + 1:,}", hint="Show it again.")
        found = decode_event(self._raw(line, line + 1)[0])
        if found is None:
            raise ValidationError(f"Line {line + 1:,} of the log is no event")
        return found

    # What is known of every line ------------------------------------------------------------------

    def _heads(self) -> list[Head]:
        """Return all events, oldest first, repeated lines folded (EVT-5)."""
        self.refresh()
        index = self._index = self._index or _Index()
        step = 20_000
        for first in range(index.lines, len(self._ends), step):
            last = min(first + step, len(self._ends))
            self._add(index, first, self._raw(first, last))
            index.lines = last
        return index.heads

    def _add(self, index: _Index, first: int, lines: Sequence[bytes]) -> None:
        for n, line in enumerate(lines):
            head = read_head(first + n, line)
            if head is None:
                continue
            key = (head.operation, head.action)
            if head.operation and key in index.seen:
                continue
            index.seen.add(key)
            index.heads.append(head)

    def _matching(self, wanted: EventFilter) -> list[Head]:
        heads = self._heads()
        if wanted.is_empty:
            return heads
        actions, actor = set(wanted.actions), wanted.actor.casefold()
        found = [
            h
            for h in heads
            if (not actions or h.action in actions)
            and (not wanted.since or h.at >= wanted.since)
            and (not wanted.until or h.at < wanted.until)
            and (not actor or actor in f"{h.tool} {h.run_id} {h.host} {h.who}".casefold())
        ]
        if wanted.record:
            rows = self._ds.history(touching=check_record(wanted.record))
            named = {(r.operation_id or to_text(r.at), r.action) for r in rows}
            found = [h for h in found if (h.operation or h.at, h.action) in named]
        return self._with_text(found, wanted.text) if wanted.text else found

    def _with_text(self, heads: list[Head], text: str) -> list[Head]:
        needle = text.encode("utf-8", errors="replace")
        kept, step = [], 20_000
        for first in range(0, len(self._ends), step):
            lines = self._raw(first, min(first + step, len(self._ends)))
            hits = {first + n for n, line in enumerate(lines) if needle in line}
            kept += [h for h in heads if first <= h.line < first + step and h.line in hits]
        return kept

    def _folded(self, wanted: EventFilter) -> list[list[Head]]:
        """Return runs and single events, the newest first; kept until the log grows."""
        if self.refresh() or wanted not in self._found:
            if len(self._found) > 8:
                self._found.clear()
            self._found[wanted] = fold(self._matching(wanted))
        return self._found[wanted]

    # What people ask ------------------------------------------------------------------------------

    def page(
        self, *, wanted: EventFilter | None = None, start: int = 0, count: int = 50
    ) -> HistoryPage:
        """Return some items, newest first.

        Parameters
        ----------
        wanted : EventFilter, optional
            Which events.
        start, count : int
            Items, 0-based.

        Raises
        ------
        ValidationError
            If `start` or `count` is negative.
        """
        if start < 0 or count < 0:
            raise ValidationError("A page starts at 0 or later and has no negative size")
        wanted = wanted or EventFilter()
        self.refresh()
        if self._index is None and wanted.is_empty and start == 0:
            return self._first_page(count)
        groups = self._folded(wanted)
        items = tuple(self._item(g) for g in groups[start : start + count])
        events = sum(len(g) for g in groups)
        return HistoryPage(start, items, len(groups), events, len(self._heads()), exact=True)

    def _first_page(self, count: int) -> HistoryPage:
        """Return the newest items from the end of the log alone."""
        lines = len(self._ends)
        low = int(np.searchsorted(self._ends, self._stamp[2] - _TAIL_BYTES)) if lines else 0
        whole = low == 0
        raw = self._raw(low, lines)
        index = _Index()
        self._add(index, low, raw)
        if whole:
            self._index, index.lines = index, lines
        groups = fold(index.heads)
        items = tuple(self._item(g) for g in groups[:count])
        total = len(groups) if whole else -1
        events = len(index.heads) if whole else lines
        return HistoryPage(0, items, total, events, events, exact=whole)

    def parts(self, line: int, *, wanted: EventFilter | None = None) -> tuple[Item, ...]:
        """Return the parts of the run whose newest event is at `line`, newest first."""
        group = next((g for g in self._folded(wanted or EventFilter()) if g[-1].line == line), None)
        if group is None:
            raise ValidationError(
                "The log has changed: that run is another now", hint="Look again."
            )
        shown = group[-_RUN_LINES:]
        made = []
        for n, head in zip(range(len(group), 0, -1), reversed(shown), strict=False):
            item = self._item([head])
            said = part_sentence(item.sentence, part=n, parts=len(group))
            made.append(_replaced(item, said if len(group) > 1 else item.sentence))
        return tuple(made)

    def actions(self) -> dict[str, int]:
        """Return how often each action stands in the log, the most frequent first."""
        return dict(Counter(h.action for h in self._heads()).most_common())

    def compare(self, first: int, second: int) -> Comparison:
        """Return what happened after the event at one line up to the event at another.

        Raises
        ------
        ValidationError
            If one of the lines is no event.
        """
        low, high = min(first, second), max(first, second)
        before, after = self._moment(low), self._moment(high)
        between = [h for h in self._heads() if low < h.line <= high]
        counts = dict.fromkeys(("import_rows", "tombstone", "restore"), 0)
        written: Counter[str] = Counter()
        for head, metrics in self._metrics(between):
            rows, _ = values_of({"metrics": metrics})
            if head.action in counts:
                counts[head.action] += rows
            elif head.namespace:
                written[head.namespace] += rows
        return Comparison(
            before, after, len(between), dict(Counter(h.action for h in between).most_common()),
            counts["import_rows"], counts["tombstone"], counts["restore"],
            dict(written.most_common()),
        )  # fmt: skip

    def changes(self, first: int, second: int) -> Changes:
        """Return what became of each column's values between the events at two lines.

        Raises
        ------
        ValidationError
            If one of the lines is no event.
        """
        low, high = min(first, second), max(first, second)
        self.event(low), self.event(high)
        since = [h for h in self._heads() if h.line > low]
        return column_changes(self._ds, ((h.line <= high, e) for h, e in self._events(since)))

    def _moment(self, line: int) -> Moment:
        event = self.event(line)
        size = event.get("fingerprint")
        told = size if isinstance(size, dict) else {}
        numbers = [
            n if isinstance(n := told.get(k), int) else None for k in ("rows", "cols", "size_bytes")
        ]
        return Moment(line, str(event.get("timestamp_utc", "")), *numbers)

    def _item(self, group: list[Head]) -> Item:
        head, oldest = group[-1], group[0]
        if len(group) == 1:
            [(_, event)] = self._events(group)
            said = sentence(event)
        else:
            told = [values_of({"metrics": m}) for _, m in self._metrics(group[-_RUN_LINES:])]
            losses = [lost for _, lost in told if lost is not None]
            said = run_sentence(
                head.namespace, head.action, parts=len(group),
                written=sum(rows for rows, _ in told), overwritten=sum(losses) if losses else None,
            )  # fmt: skip
            if len(group) > _RUN_LINES:
                said += f" (counts of the newest {_RUN_LINES:,})"
        return Item(
            head.line, len(group), head.at, oldest.at, head.who, head.run_id, head.action,
            head.namespace, said,
        )  # fmt: skip

    def _metrics(self, heads: Sequence[Head]) -> Iterator[tuple[Head, Any]]:
        """Yield the metrics of events, oldest first, without decoding the rest of their lines."""
        with self._path.open("rb") as f:
            for head in heads:
                start = self._start_of(head.line)
                line = os.pread(f.fileno(), int(self._ends[head.line]) - start, start)
                found = _METRICS.search(line)
                if found is not None:
                    yield head, json.loads(found[1])
                else:
                    yield head, (decode_event(line) or {}).get("metrics")

    def _events(self, heads: Iterable[Head]) -> Iterator[tuple[Head, dict[str, Any]]]:
        with self._path.open("rb") as f:
            for head in heads:
                start = self._start_of(head.line)
                line = os.pread(f.fileno(), int(self._ends[head.line]) - start, start)
                yield head, decode_event(line) or {}


def _replaced(item: Item, said: str) -> Item:
    return Item(
        item.line, item.parts, item.at, item.since, item.who, item.run_id, item.action,
        item.namespace, said,
    )  # fmt: skip


def check_record(text: str) -> str:
    """Return what may be an id or the beginning of one.

    Raises
    ------
    ValidationError
        If it is neither.
    """
    if not re.fullmatch(r"[0-9a-f]{7,40}", text):
        raise ValidationError(
            f"{text[:60]!r} is no id", hint="Give 7 to 40 of its letters: 0 to 9, a to f."
        )
    return text


def fold(heads: Iterable[Head]) -> list[list[Head]]:
    """Group the events of each run; the group with the newest event comes first.

    Examples
    --------
    >>> a = Head(0, "t0", "write_overlay_part", "evo2", "job1", "n1", "evo2", "x")
    >>> b = Head(1, "t1", "snapshot", "usr", "", "n1", "", "y")
    >>> c = Head(2, "t2", "write_overlay_part", "evo2", "job1", "n1", "evo2", "z")
    >>> [[h.line for h in group] for group in fold([a, b, c])]
    [[0, 2], [1]]
    """
    groups: dict[tuple[str, ...], list[Head]] = {}
    for head in heads:
        groups.setdefault(head.run, []).append(head)
    return sorted(groups.values(), key=lambda g: -g[-1].line)


def read_head(line: int, raw: bytes) -> Head | None:
    """Return what is known of an event without decoding all of it, None for a torn fragment.

    Lines that are written otherwise than ours (spaces, another order) are decoded.
    """
    head = _HEAD.match(raw)
    at = raw.rfind(b'"actor":{')
    tail = _TAIL.match(raw, at) if head is not None and at >= 0 else None
    if head is None or tail is None:
        return _decoded_head(line, raw)
    namespace = _NAMESPACE.search(raw, head.end(), head.end() + 1000)
    operation = _OPERATION.search(raw, head.end())
    tool, run, host = tail.groups()
    return Head(
        line, head[1].decode(), head[2].decode(), tool.decode("utf-8", "replace"),
        (run or b"").decode("utf-8", "replace"), host.decode("utf-8", "replace"),
        namespace[1].decode() if namespace else "", operation[1].decode() if operation else "",
    )  # fmt: skip


def _decoded_head(line: int, raw: bytes) -> Head | None:
    event = decode_event(raw)
    if event is None:
        return None
    args, actor = event.get("args"), event.get("actor")
    who = actor if isinstance(actor, dict) else {}
    namespace = args.get("namespace") if isinstance(args, dict) else None
    op = operation_of(event)
    return Head(
        line, str(event.get("timestamp_utc", "")), str(event["action"]),
        str(who.get("tool") or ""), str(who.get("run_id") or ""), str(who.get("host") or ""),
        namespace if isinstance(namespace, str) else "", op[0] if op else "",
    )  # fmt: skip


def history(
    ds: Dataset, *, wanted: EventFilter | None = None, start: int = 0, count: int = 50
) -> HistoryPage:
    """Return a page of the history of a dataset, newest first; see :class:`EventHistory`."""
    log = EventHistory(ds)
    # Read through first, so that runs are whole.
    log.actions()
    return log.page(wanted=wanted, start=start, count=count)
