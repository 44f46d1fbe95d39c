"""The panel *sync*: two copies compared first; a pull or a push only by its own button."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, ClassVar, Final

from usr_nb.dataset.core import Dataset
from usr_nb.dataset.plans.outcome import Outcome
from usr_nb.dataset.plans.plan import Receipt
from usr_nb.dataset.plans.sync import direction_plan
from usr_nb.errors import SequencesError, ValidationError
from usr_nb.sync import remotes
from usr_nb.sync.api import SyncPlan
from usr_nb.sync.model import Direction, Plan
from usr_nb.sync.summary import plan_lines
from usr_nb.widgets.base import front_end
from usr_nb.widgets.jobs import Task
from usr_nb.widgets.messages import Answer, Args, Choice, Operations, Text
from usr_nb.widgets.writing import TOKEN, WRITING, WritingPanel, as_answer, failed, told_of

_STEPS: Final = 200
#: What a person says, and which side's version then counts in that direction.
_KEEP: Final = {"": None, "mine": "local", "theirs": "remote"}


class SyncPanel(WritingPanel):
    """Two copies of a dataset: what is only here, what is only there, what needs a choice.

    Parameters
    ----------
    ds : Dataset
        The dataset; it need not exist here yet.
    remote : str, optional
        The remote that is looked at first.
    """

    _esm, _css = front_end("sync")
    operations: ClassVar[Operations] = {
        **WRITING,
        "place": {},
        "look": {"remote": Text(most=64), "keep": Choice(tuple(_KEEP), default="")},
        "looked": {},
        "plan": {"direction": Choice(("pull", "push"))},
        "ask": {"token": TOKEN, "remote": Text(most=64)},
        "asked": {},
    }  # fmt: skip

    def __init__(self, ds: Dataset, *, remote: str = "") -> None:
        self._remote = remote
        self._look: Task[SyncPlan] | None = None
        self._ask: Task[Outcome] | None = None
        super().__init__(ds, summary=f"{ds.name}: compare with the copy at {remote or 'a remote'}")

    # Operations -------------------------------------------------------------------------------

    def on_place(self, _args: Args) -> Answer:
        """Say which remotes there are."""
        try:
            known, why = sorted(remotes.load()), ""
        except SequencesError as error:
            known, why = [], str(error)
        return Answer({
            "dataset": self._ds.name, "root": str(self._ds.root), "remotes": known, "why": why,
            "remote": self._remote,
        })  # fmt: skip

    def on_look(self, args: Args) -> Answer:
        """Begin to compare both copies, in a thread: a cluster may take its time."""
        if self._job is not None and self._job.state == "running":
            raise ValidationError("A sync is running", hint="Wait for it, or cancel it.")
        remote, keep = args["remote"], _KEEP[args["keep"]]
        self._plan = None

        def look() -> SyncPlan:
            return self._ds.sync_plan(remote, prefer=keep)  # type: ignore[arg-type]

        self._look = Task(look).start()
        return self.on_looked({})

    def on_looked(self, _args: Args) -> Answer:
        """Say how the comparison stands, and what it found."""
        look = self._look
        if look is None:
            return Answer({"state": "none"})
        if look.error is not None:
            return failed(look.error)
        if look.result is None:
            return Answer({"state": "running"})
        return Answer({"state": "done", "found": _found(look.result)})

    def on_plan(self, args: Args) -> Answer:
        """Plan one direction of what was compared."""
        self._plan = None

        def make() -> dict[str, Any]:
            look = self._look
            if look is None or look.result is None:
                raise ValidationError("Nothing was compared yet", hint="Look first.")
            direction: Direction = args["direction"]
            prefer = look.result.options.prefer
            said = f", prefer={prefer!r}" if prefer else ""
            remote = look.result.remote.name
            python = f"ds.plan_{direction}({remote!r}{said}).apply()"
            return self.propose(direction_plan(look.result, direction), python)

        return Answer(as_answer(make))

    def on_ask(self, args: Args) -> Answer:
        """Begin to ask a remote what came of a push that was cut off, in a thread."""
        token, remote = args["token"], args["remote"]
        self._ask = Task(lambda: self._ds.outcome(token, remote=remote)).start()
        return self.on_asked({})

    def on_asked(self, _args: Args) -> Answer:
        """Say what the remote said of it."""
        ask = self._ask
        if ask is None:
            return Answer({"state": "none"})
        if ask.error is not None:
            return failed(ask.error)
        if ask.result is None:
            return Answer({"state": "running"})
        return Answer({"state": "done", "found": told_of(ask.result)})

    def after(self, _receipt: Receipt) -> None:
        """Forget what was compared: it is no longer so."""
        self._look = None


def _found(plan: SyncPlan) -> dict[str, Any]:
    return {
        "state": plan.state, "remote": plan.remote.name, "notes": list(plan.found.notes),
        "prefer": plan.options.prefer or "",
        "pull": _direction(plan.found.pull), "push": _direction(plan.found.push),
    }  # fmt: skip


def _direction(plan: Plan) -> dict[str, Any]:
    steps = [
        {"kind": s.kind, "path": s.path, "class": s.file_class, "rows": s.rows, "why": s.why,
         "bytes": s.source.size if s.source is not None else None}
        for s in plan.steps[:_STEPS]
    ]  # fmt: skip
    return {
        "lines": plan_lines(plan), "steps": steps, "count": len(plan.steps),
        "conflicts": [asdict(c) | {"choices": list(c.choices)} for c in plan.conflicts],
        "remarks": list(plan.remarks), "nothing": plan.moves_nothing and not plan.conflicts,
        "registry": sorted(plan.registry),
    }  # fmt: skip
