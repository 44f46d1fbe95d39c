"""What a sync says of itself: its event and its note, on the side that changed."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from usr_nb._version import __version__
from usr_nb.contract.events import Fingerprint, build_event, env_actor, redact_command
from usr_nb.contract.times import to_text, utc_now
from usr_nb.storage import door
from usr_nb.sync.classes import classify
from usr_nb.sync.model import FileClass, Inventory, Plan, Step, SyncReceipt

#: Names that can be given other content: their digest is told again after lines of another copy.
REPLACEABLE: Final[frozenset[FileClass]] = frozenset({"base", "single", "tombstones", "state"})
ARRIVING: Final = ("add", "beside")
CHANGING: Final = ("replace", "merge")
LEAVING: Final = ("retire", "delete")


@dataclass(frozen=True)
class Wording:
    """What a plan does not know of itself, for its event and note."""

    dataset: str
    root: str
    remote: str
    options: Mapping[str, Any]
    fingerprint: Fingerprint
    registry_hash: str | None


def receipt(plan: Plan, operation: str | None) -> SyncReceipt:
    """Count what a plan does."""

    def number(kinds: Sequence[str]) -> int:
        return sum(s.kind in kinds for s in plan.steps)

    return SyncReceipt(
        direction=plan.direction,
        operation_id=operation,
        files_added=number(ARRIVING),
        files_replaced=number(CHANGING),
        files_retired=number(LEAVING),
        bytes_moved=sum(s.source.size for s in transferred(plan) if s.source is not None),
        events_added=sum(_lines(s) for s in plan.steps),
        saved=tuple(s.path for s in plan.steps if s.kind == "save"),
        remarks=plan.remarks,
    )


def _lines(step: Step) -> int:
    if step.kind != "append" or step.file_class != "events" or step.content is None:
        return 0
    return step.content.count(b"\n")


def transferred(plan: Plan) -> list[Step]:
    """Return the steps whose bytes come from the sender's files, as they are."""
    return [s for s in plan.steps if s.kind in ("add", "replace", "beside")]


def kept_digests(plan: Plan, receiver: Inventory) -> dict[str, str]:
    """Return path and SHA-256 of the receiver's replaceable files that a plan leaves alone."""
    if not any(s.file_class == "events" for s in plan.steps):
        return {}
    touched = {s.path for s in plan.steps}
    return {
        e.path: e.sha256
        for e in receiver.files.values()
        if e.sha256 is not None and e.path not in touched and classify(e.path) in REPLACEABLE
    }


def event(plan: Plan, words: Wording, kept: Mapping[str, str]) -> dict[str, Any]:
    """Return the event of a sync; the commit fills in operation and files.

    Parameters
    ----------
    plan, words
        What is done, and where.
    kept : mapping of str to str
        Path and SHA-256 of the replaceable files that stay as they are at the receiver. Lines
        that come along may tell of the sender's, so these are told once more.
    """
    done = receipt(plan, None)
    metrics = {
        "files_added": done.files_added,
        "files_replaced": done.files_replaced,
        "files_retired": done.files_retired,
        "bytes": done.bytes_moved,
        "lines_appended": done.events_added,
        "rows": words.fingerprint.rows,
        "namespaces_registered": len(plan.registry),
    }
    files = [{"path": path, "sha256": sha256} for path, sha256 in sorted(kept.items())]
    return build_event(
        action=plan.direction,
        at=to_text(utc_now()),
        dataset=words.dataset,
        root=words.root,
        args={"remote": words.remote, **words.options},
        metrics=metrics,
        artifacts={"files": files, "saved": list(done.saved), **plan.artifacts},
        maintenance={},
        fingerprint=words.fingerprint.as_plain(),
        registry_hash=words.registry_hash,
        actor=env_actor(None, None, door.host_name(), os.getpid()),
        version=__version__,
    )


def note(plan: Plan, words: Wording, *, at: str) -> dict[str, str]:
    """Return the note of a sync for ``meta.md``."""
    done = receipt(plan, None)
    counts = f"{done.files_added + done.files_replaced:,} files, {done.events_added:,} events"
    by = "pulled from" if plan.direction == "pull" else "received by push from"
    whom = words.remote if plan.direction == "pull" else door.host_name()
    flags = [w for name in ("prefer",) if words.options.get(name)
             for w in ("--prefer", str(words.options[name]))]  # fmt: skip
    if words.options.get("delete"):
        flags.append("--delete")
    command = ["usr", plan.direction, words.dataset, words.remote, *flags, "-y"]
    return {"at": at, "title": f"{by} {whom}: {counts}", "command": redact_command(command)}
