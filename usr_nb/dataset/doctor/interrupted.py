"""Commits that were begun: slots that are not wholly installed, damaged, or missing."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from usr_nb.dataset.doctor.report import Finding
from usr_nb.dataset.doctor.subject import FRESH_S, Subject, ago, seconds_of, who
from usr_nb.errors import StorageError
from usr_nb.storage import door
from usr_nb.storage.intents import KEEP_SLOTS, slot_path


def check(s: Subject) -> Iterator[Finding]:
    """Yield what is wrong with the slots."""
    s.checked["slots"] += len(s.slots)
    yield from _pending(s)
    highest = max(s.slots, default=0)
    for number, found in s.slots.items():
        if isinstance(found, StorageError):
            yield _damaged(s, number, found, is_highest=number == highest)
    # Older ones are removed one by one, and a power cut may lose any of these removals.
    for below, above in pairwise(sorted(s.slots)[-KEEP_SLOTS:]):
        if above != below + 1:
            yield Finding(
                "warning",
                "slot-gap",
                slot_path(s.layout, below + 1).relative_to(s.layout.dir).as_posix(),
                f"slots {below + 1} to {above - 1} are missing, so somebody removed them; "
                "what they committed is installed, but their log lines cannot be completed",
                "Nothing to do. Do not remove anything in _txn/ by hand.",
            )


def _pending(s: Subject) -> Iterator[Finding]:
    intent = s.pending
    if intent is None:
        return
    dead = door.owner_is_dead(intent.owner)
    at = seconds_of(intent.created_at)
    age = s.now - at if at is not None else FRESH_S
    writing = not dead and age < FRESH_S
    folder = s.layout.txn / intent.operation_id
    left = [i.path for i in intent.install if (folder / i.staged).exists()]
    waits = f"; not yet in place: {', '.join(left[:5])}" if left else ""
    waits += f" (+{len(left) - 5} more)" if len(left) > 5 else ""
    state = "which has ended" if dead else "which is at it" if writing else "which may be running"
    yield Finding(
        "note" if writing else "error",
        "interrupted",
        folder.relative_to(s.layout.dir).as_posix(),
        f"'{intent.action}', committed at {intent.created_at} ({ago(age)} ago) by "
        f"{who(intent.owner, intent)}, {state}, is not wholly installed{waits}. usr reads it "
        "right, other tools may see half of it",
        "It is being installed." if writing
        else "`usr doctor --repair` finishes it, as the next writer does.",
        repairable=not writing,
    )  # fmt: skip


def _damaged(s: Subject, number: int, error: StorageError, *, is_highest: bool) -> Finding:
    path = slot_path(s.layout, number).relative_to(s.layout.dir).as_posix()
    if is_highest:
        return Finding(
            "error",
            "bad-slot",
            path,
            f"the last commit cannot be read, so the dataset can be neither read nor written: "
            f"{error.message}",
            "If a newer version of usr_nb wrote it, use that one. Else copy the dataset, then "
            "compare records.parquet and _derived/ with its snapshots.",
        )
    return Finding(
        "warning",
        "bad-slot",
        path,
        f"an old slot cannot be read; its commit was finished long ago: {error.message}",
        "Nothing to do: it goes after 64 more commits.",
    )
