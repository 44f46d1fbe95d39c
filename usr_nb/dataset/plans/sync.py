"""One direction of a sync as a plan like any other."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any, Final, Literal

from usr_nb.dataset.plans.plan import Cancel, FileChange, Plan, Problem, Receipt
from usr_nb.errors import ConflictError
from usr_nb.sync.api import SyncPlan
from usr_nb.sync.model import Direction, Inventory, Step, StepKind
from usr_nb.sync.summary import plan_lines

_KINDS: Final[dict[StepKind, Literal["add", "replace", "retire", "archive"]]] = {
    "add": "add", "beside": "add", "save": "add", "replace": "replace", "merge": "replace",
    "append": "replace", "retire": "retire", "delete": "retire",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True, repr=False)
class DirectionPlan(Plan):
    """What a pull or a push would do, as any other plan: digest, token, applied once.

    Attributes
    ----------
    direction : {"pull", "push"}
    remote : str
    conflicts : tuple
        What only a person can decide; each has its choices.
    """

    direction: Direction
    remote: str
    conflicts: tuple[Any, ...]
    _sync: SyncPlan = field(repr=False, compare=False)

    @cached_property
    def _digest(self) -> str:
        found = self._sync.found
        both = [_seen(found.here), _seen(found.there), asdict(self._sync.options), self.direction]
        return hashlib.sha256(json.dumps(both).encode()).hexdigest()

    @property
    def digest(self) -> str:
        """SHA-256 of the files of both copies, and of the choices."""
        return self._digest

    @property
    def writes(self) -> bool:
        """Whether anything would move; a namespace may do so without a file."""
        return not self._sync.found.plan(self.direction).moves_nothing

    def lines(self) -> list[str]:
        """Return what would be done, a sentence each."""
        return [self.question, *plan_lines(self._sync.found.plan(self.direction))]

    def _run(self, _cancel: Cancel | None) -> Receipt:
        done = replace(self._sync, token=self.token).apply(self.direction, tries=1)
        counts = {
            "files_added": done.files_added, "files_replaced": done.files_replaced,
            "files_retired": done.files_retired, "bytes_moved": done.bytes_moved,
            "events_added": done.events_added,
        }  # fmt: skip
        steps = self._sync.found.plan(self.direction).steps
        came = tuple(s.path for s in steps if _KINDS[s.kind] in ("add", "replace"))
        went = tuple(s.path for s in steps if _KINDS[s.kind] == "retire")
        return Receipt(
            self.action, self.dataset, self.token, done.operation_id, came, went, counts,
            {"saved": list(done.saved), "remarks": list(done.remarks)},
        )  # fmt: skip


def _seen(side: Inventory) -> list[Any]:
    files = [[e.path, e.size, e.sha256] for e in side.files.values()]
    return [side.place, side.exists, side.slot, sorted(files)]


def direction_plan(plan: SyncPlan, direction: Direction) -> DirectionPlan:
    """Return one direction of a sync plan; its conflicts are its problems."""
    found = plan.found.plan(direction)
    steps = [s for s in found.steps if s.file_class not in ("events", "notes")]
    moved = sum(s.source.size for s in found.steps if s.source is not None and s.kind != "save")
    into = "here" if direction == "pull" else plan.remote.name
    problems = tuple(
        Problem.of(ConflictError(c.what, hint=" ".join(c.choices))) for c in found.conflicts
    )
    verb = "Pull" if direction == "pull" else "Push"
    many = f"{len(steps):,} file{'' if len(steps) == 1 else 's'}"
    return DirectionPlan(
        action=direction, dataset=plan.here.name, button=f"{verb} {many}",
        question=f"{verb} {many} of {plan.here.name} "
                 f"{'from' if direction == 'pull' else 'to'} {plan.remote.name}? Changes {into}.",
        counts={"files": len(steps), "bytes": moved},
        files=tuple(_file(s) for s in found.steps), problems=problems,
        warnings=tuple(found.remarks), direction=direction, remote=plan.remote.name,
        conflicts=found.conflicts, _sync=plan,
    )  # fmt: skip


def _file(step: Step) -> FileChange:
    size = step.source.size if step.source is not None else None
    return FileChange(_KINDS[step.kind], step.path, 1, size)
