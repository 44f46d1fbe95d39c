"""How a sync looks: the difference, the question, the receipt."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from usr_nb.cli import render, say
from usr_nb.errors import ValidationError
from usr_nb.sync.api import SyncPlan
from usr_nb.sync.file_api import FilePlan
from usr_nb.sync.files import FileReceipt
from usr_nb.sync.model import Direction, SyncReceipt

EXIT_CODES: Final = {"ahead": 10, "only_here": 10, "behind": 11, "only_there": 11, "diverged": 12}
_STATES: Final = {
    "same": "both copies are equal",
    "ahead": "this copy is ahead",
    "behind": "this copy is behind",
    "diverged": "both copies have changes",
    "only_here": "the dataset is only here",
    "only_there": "the dataset is only there",
}


def show_diff(plan: SyncPlan | FilePlan, fmt: str) -> None:
    """Print how both copies differ."""
    found = plan.diff()
    if render.resolved(fmt) == "json":
        render.emit_json(found)
        return
    say.result(f"{_about(plan)}: {_STATES.get(plan.state, plan.state)}")
    if plan.state != "same":
        say.result(plan.summary())
    for remark in [*found.get("remarks", []), *found["verify_notes"]]:
        say.note(f"note: {remark}")


def _about(plan: SyncPlan | FilePlan) -> str:
    name = plan.here.name if isinstance(plan, SyncPlan) else plan.found.path.name
    return f"{name} and {plan.remote.name}"


def move(
    plan: SyncPlan | FilePlan, direction: Direction, fmt: str, *, dry_run: bool, yes: bool
) -> None:
    """Say what would be done, ask, do it, and print the receipt.

    Raises
    ------
    ValidationError
        Files would be deleted, and nobody can be asked.
    UserAbort
        The answer was no.
    """
    if dry_run:
        show_diff(plan, fmt)
        return
    if isinstance(plan, SyncPlan):
        say.note(f"root: {plan.here.root}\ndataset: {plan.here.name}")
    _ask(plan, direction, yes=yes)
    with say.working(f"{direction}ing"):
        done = plan.apply(direction)
    if render.resolved(fmt) == "json":
        render.emit_json(_plain(done))
    else:
        say.result(_receipt(done, plan.remote.name))
    for remark in done.remarks if isinstance(done, SyncReceipt) else ():
        say.note(f"note: {remark}")


def _ask(plan: SyncPlan | FilePlan, direction: Direction, *, yes: bool) -> None:
    # A conflict is an error of its own, and asking about nothing is a nuisance.
    moves = plan.state != "same"
    if isinstance(plan, SyncPlan):
        moves = not plan.found.plan(direction).moves_nothing
    if plan.conflicts(direction) or not moves:
        return
    deletes = isinstance(plan, SyncPlan) and plan.options.delete
    if yes:
        if deletes:
            say.note(plan.summary(direction))
        return
    if say.interactive():
        say.note(plan.summary(direction))
        side = "here" if direction == "pull" else f"at {plan.remote.name}"
        say.confirm(f"Change the copy {side}?")
    elif deletes:
        raise ValidationError(
            f"--delete takes files away, and nobody can be asked:\n{plan.summary(direction)}",
            hint="Say --yes if that is meant. Nothing was changed.",
        )


def _receipt(done: SyncReceipt | FileReceipt, remote: str) -> str:
    if isinstance(done, FileReceipt):
        if not done.moved:
            return "nothing to do: both sides have the same content"
        kept = f"; what was there is kept as {done.kept}" if done.kept else ""
        return f"moved {done.path.name}, {render.size_text(done.size)}{kept}"
    if done.operation_id is None:
        return "nothing to do"
    side = f"pulled from {remote}" if done.direction == "pull" else f"pushed to {remote}"
    counts = [
        say.count(n, noun) + how
        for n, noun, how in (
            (done.files_added, "file", " added"),
            (done.files_replaced, "file", " changed"),
            (done.files_retired, "file", " put aside"),
            (done.events_added, "event", ""),
        )
        if n
    ]
    saved = "".join(f"; kept {path}" for path in done.saved)
    return f"{side}: {', '.join(counts)}; {render.size_text(done.bytes_moved)} moved{saved}"


def _plain(done: SyncReceipt | FileReceipt) -> dict[str, Any]:
    return {k: str(v) if isinstance(v, Path) else v for k, v in vars(done).items()}
