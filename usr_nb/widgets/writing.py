"""What panels that write share: plan, confirm once, work in a thread, receipt, one re-run.

Nothing is written but by the operation ``confirm``, which names the plan that is shown by token
and digest. Showing a panel, running its cell again or reloading its page confirms nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any, ClassVar, Final

import traitlets

from usr_nb.contract.registry import Registry
from usr_nb.dataset.core import Dataset
from usr_nb.dataset.plans.outcome import Outcome
from usr_nb.dataset.plans.plan import Plan, Receipt
from usr_nb.errors import SequencesError, StalePlanError, UsedPlanError
from usr_nb.storage.registryfile import load_or_none
from usr_nb.widgets.base import Panel
from usr_nb.widgets.jobs import Job
from usr_nb.widgets.messages import COLUMNS, Answer, Args, Kind, Operations, Records, Text

TOKEN: Final = Text(most=64)
WRITING: Final[dict[str, dict[str, Kind]]] = {
    "confirm": {"token": TOKEN, "digest": TOKEN},
    "cancel": {"token": TOKEN},
    "job": {},
    "outcome": {"token": TOKEN, "columns": Records({"name": Text()}, most=COLUMNS, default=[])},
}


class WritingPanel(Panel):
    """A panel that applies plans. Subclasses make plans and give them to :meth:`propose`.

    Attributes
    ----------
    receipts : int
        How many writes this widget has done. The front end sets it, once for each, so that cells
        that depend on the panel run once more.
    """

    operations: ClassVar[Operations] = WRITING
    receipts = traitlets.Int(0).tag(sync=True)

    def __init__(self, ds: Dataset, **kwargs: Any) -> None:
        self._ds = ds
        self._plan: Plan | None = None
        self._python = ""
        self._job: Job | None = None
        self._done: list[Receipt] = []
        super().__init__(**kwargs)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._ds.name!r})"

    @property
    def last_receipt(self) -> Receipt | None:
        """What the last write of this widget did."""
        return self._done[-1] if self._done else None

    def propose(self, plan: Plan, python: str = "") -> dict[str, Any]:
        """Take a plan as the one that may be confirmed, and return what is shown of it."""
        self._plan, self._python = plan, python
        told = {"question", "button", "counts", "files", "problems", "warnings", "seconds",
                "token", "digest", "writes", "ready", "action", "dataset"}  # fmt: skip
        found = plan.as_dict()
        return {k: found[k] for k in told} | {"python": python, "lines": plan.lines()[1:20]}

    # Operations -------------------------------------------------------------------------------

    def on_confirm(self, args: Args) -> Answer:
        """Apply the plan that is shown, once.

        Raises
        ------
        UsedPlanError
            If it was confirmed before.
        StalePlanError
            If another plan is shown by now, or a write is running.
        """
        token, plan = args["token"], self._plan
        job = self._job
        if job is not None and job.plan.token == token:
            raise UsedPlanError(
                "This was confirmed before; it is done once",
                hint="Nothing more was written. Look at the receipt, or plan again.",
            )
        if job is not None and job.state == "running":
            raise StalePlanError("Another write of this panel is still running")
        if plan is None or (plan.token, plan.digest) != (token, args["digest"]):
            raise StalePlanError(
                "This is not the plan that is shown now", hint="Look again, then confirm."
            )
        self._job = Job(plan).start()
        return self.on_job({})

    def on_cancel(self, args: Args) -> Answer:
        """Ask the running write to stop."""
        if self._job is not None and self._job.plan.token == args["token"]:
            self._job.cancel()
        return self.on_job({})

    def on_job(self, _args: Args) -> Answer:
        """Say where the write stands; what is done is counted here, once."""
        job = self._job
        if job is None:
            return Answer({"state": "none", "receipts": len(self._done)})
        told = job.as_dict()
        if told["state"] == "done" and job.receipt is not None and job.receipt not in self._done:
            self._done.append(job.receipt)
            self.after(job.receipt)
        return Answer(told | {"receipts": len(self._done)})

    def on_outcome(self, args: Args) -> Answer:
        """Say whether an earlier plan is in: its kernel may have been killed.

        Of the columns that it was to register, those are named that are registered now: a kill
        between the registry and the part leaves them without values.
        """
        registry = load_or_none(self._ds.root) or Registry()
        known = {name for _, entry in registry.items() for name in entry.column_names}
        names = [c["name"] for c in args["columns"] if c["name"] in known]
        return Answer(told_of(self._ds.outcome(args["token"]), names))

    def after(self, _receipt: Receipt) -> None:
        """Do what a subclass does after a write."""


def told_of(outcome: Outcome, registered: Sequence[str] = ()) -> dict[str, Any]:
    """Return what became of a plan, as it goes over the wire."""
    return asdict(outcome) | {"registered": list(registered)}


def failed(error: SequencesError) -> Answer:
    """Return the answer that something done in a thread has failed, and why."""
    return Answer({"state": "failed", "error": _told(error)})


def as_answer(make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return what `make` gives, or why there is no plan: both are shown in the panel."""
    try:
        return {"plan": make(), "refused": None}
    except SequencesError as error:
        return {"plan": None, "refused": _told(error)}


def _told(error: SequencesError) -> dict[str, str]:
    return {"type": type(error).__name__, "message": error.message, "hint": error.hint or ""}
