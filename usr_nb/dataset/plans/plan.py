"""What every plan is: computed without writing, bound to what it saw, applied once."""

from __future__ import annotations

import contextlib
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any, Final, Literal

import pyarrow as pa

from usr_nb.contract.progress import Progress, report, reporting
from usr_nb.dataset.context import Actor, Change, Context, change
from usr_nb.dataset.plans.seen import (
    Seen,
    refuse_new_parts,
    refuse_stale,
    refuse_stale_source,
    see,
)
from usr_nb.dataset.values import plain as plain_cell
from usr_nb.errors import SequencesError, UsedPlanError, UserAbort
from usr_nb.storage.slots import Stage

#: How many examples of a kind a plan shows.
EXAMPLES: Final = 5
Cancel = Callable[[], bool]
Tell = Callable[[Progress], object]


@dataclass(frozen=True)
class Problem:
    """Why a plan cannot be applied as it is.

    Attributes
    ----------
    kind : str
        The type of the error that the plain verb would raise.
    message, hint : str
        What is wrong and where; what to do next.
    """

    kind: str
    message: str
    hint: str
    error: SequencesError = field(repr=False, compare=False)

    @classmethod
    def of(cls, error: SequencesError) -> Problem:
        """Return the problem that an error tells of."""
        return cls(type(error).__name__, error.message, error.hint or "", error)


@dataclass(frozen=True)
class FileChange:
    """One file, or several of a kind, that come or go.

    Attributes
    ----------
    kind : {"add", "replace", "retire", "archive"}
        Retired files are kept for 15 minutes for running readers; archived ones for good.
    path : str
        Relative to the dataset; the part of a name that only the commit knows is ``…``.
    files : int
        How many.
    bytes : int or None
        Their size, where that is known before they are written; of new files it is estimated.
    """

    kind: Literal["add", "replace", "retire", "archive"]
    path: str
    files: int = 1
    bytes: int | None = None


@dataclass(frozen=True)
class Receipt:
    """What applying a plan did.

    Attributes
    ----------
    action : str
        The action of its event.
    dataset : str
    plan : str
        The token of the plan; it stands in the event's ``artifacts``.
    operation_id : str or None
        The commit; None if there was nothing to write.
    files : tuple of str
        Files that came or were replaced, relative to the dataset.
    retired : tuple of str
        Files that went.
    counts : mapping of str to int
        The event's metrics: what the plan said, now true.
    event : mapping
        The event line as values; empty if nothing was written.
    """

    action: str
    dataset: str
    plan: str
    operation_id: str | None
    files: tuple[str, ...]
    retired: tuple[str, ...]
    counts: Mapping[str, int]
    event: Mapping[str, Any]
    #: For plans that can be undone: the cells before, and those that were written.
    before: pa.Table | None = field(default=None, repr=False, compare=False)
    after: pa.Table | None = field(default=None, repr=False, compare=False)

    def summary(self) -> str:
        """Return what was done, for people."""
        if self.operation_id is None:
            return f"{self.action}: there was nothing to write"
        counted = ", ".join(f"{k.replace('_', ' ')} {v:,}" for k, v in self.counts.items())
        return f"{self.action} of {self.dataset} is in: {counted} ({self.operation_id})"

    def as_dict(self) -> dict[str, Any]:
        """Return the receipt as JSON-able values."""
        return {
            "action": self.action, "dataset": self.dataset, "plan": self.plan,
            "operation_id": self.operation_id, "files": list(self.files),
            "retired": list(self.retired), "counts": dict(self.counts),
            "event": dict(self.event), "summary": self.summary(),
        }  # fmt: skip


class Once:
    """Lets one caller through, and no other after it has succeeded."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._state: Literal["new", "running", "used"] = "new"

    @property
    def used(self) -> bool:
        """Whether the plan was applied."""
        return self._state == "used"

    @contextlib.contextmanager
    def taken(self, what: str) -> Iterator[None]:
        """Run a block once; if it raises, nothing was done and it may be tried again.

        Raises
        ------
        UsedPlanError
            If it was run before, or runs right now.
        """
        with self._lock:
            if self._state != "new":
                state = "being applied" if self._state == "running" else "applied already"
                raise UsedPlanError(
                    f"This plan to {what} is {state}; a plan is applied once",
                    hint="Nothing was written by this call. Plan again if it is meant again.",
                )
            self._state = "running"
        done = False
        try:
            yield
            done = True
        finally:
            self._state = "used" if done else "new"


def new_token() -> str:
    """Return a token that names one plan: 16 hexadecimal digits."""
    return secrets.token_hex(8)


@contextlib.contextmanager
def listening(progress: Tell | None, cancel: Cancel | None) -> Iterator[None]:
    """Tell `progress` of the block's work, and end it with UserAbort once `cancel` says so."""
    if progress is None and cancel is None:
        yield
        return

    def tell(at: Progress) -> None:
        refuse_cancelled(cancel)
        if progress is not None:
            progress(at)

    with reporting(tell):
        yield


def refuse_cancelled(cancel: Cancel | None) -> None:
    """Raise if somebody has cancelled."""
    if cancel is not None and cancel():
        raise UserAbort("Cancelled", hint="Nothing was written.")


@dataclass(frozen=True, kw_only=True, repr=False)
class Plan:
    """What a change would do; nothing has been written.

    A plan is bound to what it saw (:attr:`digest`) and is applied once: a stale or used one is
    refused.

    Attributes
    ----------
    action : str
        The action of the event that applying it writes.
    dataset : str
        The dataset id.
    question : str
        What somebody is asked before it is applied.
    button : str
        What the button says that applies it.
    counts : mapping of str to int
        The metrics of the event that it would write, name for name.
    files : tuple of FileChange
        Which files come and go.
    problems : tuple of Problem
        Why it cannot be applied as it is; empty if it can.
    warnings : tuple of str
        What one should know before.
    seconds : float
        Estimated time to apply it.
    token : str
        Names this plan; its event carries it in ``artifacts.plan``.
    """

    action: str
    dataset: str
    question: str
    button: str
    counts: Mapping[str, int]
    files: tuple[FileChange, ...]
    problems: tuple[Problem, ...] = ()
    warnings: tuple[str, ...] = ()
    seconds: float = 0.0
    token: str = field(default_factory=new_token)
    _once: Once = field(default_factory=Once, repr=False, compare=False)

    @property
    def digest(self) -> str:
        """SHA-256 of what the plan saw."""
        raise NotImplementedError

    @property
    def writes(self) -> bool:
        """Whether applying it would write anything."""
        return bool(self.files)

    @property
    def ready(self) -> bool:
        """Whether it can be applied: there is something to write, no problem, and it is unused."""
        return self.writes and not self.problems and not self._once.used

    def __repr__(self) -> str:
        """Return what a notebook is to show of a plan: its summary."""
        return f"<{type(self).__name__} {self.token}: {self.summary()}>"

    def lines(self) -> list[str]:
        """Return what would be done, a sentence each; subclasses say more."""
        return [self.question]

    def summary(self) -> str:
        """Return the whole plan, for people."""
        out = [*self.lines(), *(f"{_VERBS[f.kind]} {_file_words(f)}" for f in self.files)]
        out += [f"note: {w}" for w in self.warnings]
        for p in self.problems:
            out += [f"PROBLEM {p.message}", *([f"  {p.hint}"] if p.hint else [])]
        if not self.writes and not self.problems:
            out.append("nothing to write")
        return "\n".join(out)

    def as_dict(self) -> dict[str, Any]:
        """Return the plan as JSON-able values."""
        own = {f.name: _plain(getattr(self, f.name)) for f in fields(self)
               if not f.name.startswith("_") and f.name != "seen"}  # fmt: skip
        return own | {
            "digest": self.digest, "writes": self.writes, "ready": self.ready,
            "summary": self.summary(),
        }  # fmt: skip

    def apply(self, *, progress: Tell | None = None, cancel: Cancel | None = None) -> Receipt:
        """Do what the plan says, once.

        Parameters
        ----------
        progress : callable, optional
            Called with :class:`usr_nb.Progress`; if it raises, nothing was written.
        cancel : callable, optional
            Asked again and again until the commit; once it returns true, nothing is written.

        Returns
        -------
        Receipt

        Raises
        ------
        StalePlanError
            If what the plan saw has changed. Nothing was written.
        UsedPlanError
            If the plan was applied before, or is being applied.
        UserAbort
            If it was cancelled.
        SequencesError
            The first of :attr:`problems`, as the plain verb raises it.
        """
        with self._once.taken(self.button[:1].lower() + self.button[1:]):
            if self.problems:
                raise self.problems[0].error
            with listening(progress, cancel):
                report("checking the plan", 0, 1, "plans")
                refuse_cancelled(cancel)
                return self._run(cancel) if self.writes else self._nothing()

    def _nothing(self) -> Receipt:
        return Receipt(self.action, self.dataset, self.token, None, (), (), dict(self.counts), {})

    def _run(self, cancel: Cancel | None) -> Receipt:
        """Do it."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True, repr=False)
class DatasetPlan(Plan):
    """A plan for one dataset on this machine.

    What it saw covers the base, the overlay files and definitions that could change its outcome,
    and the file it read; other namespaces may get new parts meanwhile. All of it is compared again
    under the dataset's lock, in the commit itself.

    Attributes
    ----------
    seen : Seen
        What it is bound to.
    """

    seen: Seen
    _ctx: Context = field(repr=False, compare=False)
    _args: Mapping[str, Any] = field(repr=False, compare=False)
    _actor: Actor | None = field(default=None, repr=False, compare=False)

    @property
    def digest(self) -> str:
        """SHA-256 of what the plan saw."""
        return self.seen.digest

    def _run(self, cancel: Cancel | None) -> Receipt:
        refuse_stale_source(self.seen.source, dataset=self.dataset)
        stages: list[Stage] = []

        def build(c: Change) -> None:
            c.plan = self.token
            now = see(c.view, c.registry, self.seen.namespaces, source=self.seen.source)
            refuse_stale(self.seen, now, dataset=self.dataset)
            self._act(c)
            c.stage.guard = lambda: self._last_look(c, cancel)
            stages[:] = [c.stage]

        change(self._ctx, self.action, build, args=self._args, actor=self._actor)
        intent = stages[0].intent
        event = intent.events[0]
        receipt = Receipt(
            self.action, self.dataset, self.token, intent.operation_id,
            tuple(i.path for i in intent.install), tuple(r.path for r in intent.retire),
            event["metrics"], event,
        )  # fmt: skip
        return self._filled(receipt)

    def _act(self, c: Change) -> None:
        """Stage what the plan says; `c` starts from what the plan saw."""
        raise NotImplementedError

    def _last_look(self, c: Change, cancel: Cancel | None) -> None:
        """Refuse at the last moment before the commit point."""
        refuse_cancelled(cancel)
        refuse_new_parts(self.seen, c.ctx.layout, dataset=self.dataset)

    def _filled(self, receipt: Receipt) -> Receipt:
        """Add what only this kind of plan knows."""
        return receipt


_VERBS: Final = {"add": "writes", "replace": "replaces", "retire": "takes away",
                 "archive": "puts aside"}  # fmt: skip


def _file_words(f: FileChange) -> str:
    many = f"{f.files:,} files " if f.files > 1 else ""
    about = "about " if f.kind in ("add", "replace") else ""
    return f"{many}{f.path}" + (f" ({about}{size_text(f.bytes)})" if f.bytes is not None else "")


def size_text(size: float) -> str:
    """Return a size for people.

    Examples
    --------
    >>> size_text(950), size_text(418_000), size_text(3.2e9)
    ('950 B', '418.0 kB', '3.2 GB')
    """
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            return f"{size:,.0f} {unit}" if unit == "B" else f"{size:,.1f} {unit}"
        size /= 1000
    raise AssertionError


def _plain(value: Any) -> Any:
    if isinstance(value, Problem):
        return {"kind": value.kind, "message": value.message, "hint": value.hint}
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in fields(value)
                if not f.name.startswith("_") and f.repr}  # fmt: skip
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return plain_cell(value)


def with_tables(receipt: Receipt, before: pa.Table, after: pa.Table) -> Receipt:
    """Return a receipt that knows how to be undone."""
    return replace(receipt, before=before, after=after)
