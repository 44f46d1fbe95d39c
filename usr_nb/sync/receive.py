"""A pull's last step: what came is checked against this copy and installed in one slot."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from usr_nb.contract.essentials import META_REGISTRY_HASH
from usr_nb.contract.events import Fingerprint
from usr_nb.contract.registry import Registry
from usr_nb.errors import StalePlanError
from usr_nb.storage import door, registryfile, slots
from usr_nb.storage.layout import RECORDS, Layout
from usr_nb.storage.parquet import file_metadata, open_parquet
from usr_nb.sync import telling
from usr_nb.sync.base import write_union
from usr_nb.sync.model import Entry, Plan, Step, SyncReceipt
from usr_nb.sync.notes_merge import parse_notes


@dataclass(frozen=True)
class Receiver:
    """The copy on this side, as what receives.

    Attributes
    ----------
    layout : Layout
        The dataset's folder; it may not exist yet.
    root : Path
        Its root, whose registry may grow.
    incoming : Path
        Where the transferred files lie, under the places that they have at the sender.
    bookkeeping : mapping of str to bytes
        Files of ``_txn/remotes/<name>/`` to install with the rest.
    kept : mapping of str to str
        Path and SHA-256 of replaceable files that stay.
    """

    layout: Layout
    root: Path
    incoming: Path
    bookkeeping: Mapping[str, bytes]
    kept: Mapping[str, str]


def receive(
    plan: Plan,
    here: Receiver,
    words: Callable[[Fingerprint, str | None], telling.Wording],
    *,
    grow: Callable[[Registry], Registry],
) -> SyncReceipt:
    """Apply a pull whose files lie in `here.incoming`, verified.

    The registry grows first, through the root's slot: a namespace without data harms nobody. All
    else is one commit. Killed before it, nothing has changed and the transfer can be used again.

    Raises
    ------
    StalePlanError
        If a file that the plan replaces or takes away has changed since. Nothing was written.
    """
    if plan.registry:
        door.make_dirs(here.root)
        registryfile.update(here.root, grow, action="pull")

    def build(stage: slots.Stage) -> str:
        for step in plan.steps:
            _expect(here.layout, step)
        for step in plan.steps:
            _stage(stage, here, step)
        for name, data in here.bookkeeping.items():
            stage.small_file(name, data)
        said = words(*_size_of_base(stage, here.layout))
        stage.event(telling.event(plan, said, here.kept))
        stage.intent.notes.append(telling.note(plan, said, at=stage.at))
        return stage.operation_id

    operation = slots.commit(here.layout.dir, build, action="pull")
    return telling.receipt(plan, operation)


def _expect(layout: Layout, step: Step) -> None:
    """See that the receiver's file is the one the plan was made with."""
    if step.kind == "append":
        return  # Only ever appended to: what came meanwhile does not matter.
    path = layout.dir / step.path
    if step.was is None:
        if path.exists() and step.kind != "save":
            raise _stale(step.path, "appeared")
        return
    if not is_same(path, step.was):
        raise _stale(step.path, "changed")


def is_same(path: Path, entry: Entry) -> bool:
    """Say whether a file is the one of an inventory."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return False
    seen = (found.st_ino, found.st_size, found.st_mtime_ns)
    return seen == (entry.inode, entry.size, entry.mtime_ns)


def _stale(path: str, how: str) -> StalePlanError:
    return StalePlanError(
        f"{path} {how} here while the pull was under way",
        hint="Nothing was changed. Pull again: what was transferred is used again.",
    )


def _stage(stage: slots.Stage, here: Receiver, step: Step) -> None:
    if step.kind in ("add", "replace", "beside") and step.source is not None:
        came = here.incoming / step.source.at
        sha256 = step.source.sha256 or door.file_sha256(came)
        stage.linked(step.path, came, size=step.source.size, sha256=sha256)
    elif step.kind == "save" and step.source is not None:
        # A copy, not a link: a stray write into the present file must not reach it.
        with stage.file(step.path) as sink:
            door.copy_into(sink, here.layout.dir / step.source.path)
    elif step.kind in ("retire", "delete"):
        stage.retire(step.path, to=step.to)
    elif step.kind == "merge" and step.source is not None:
        with stage.file(step.path) as sink:
            write_union(sink, receiver=here.layout.records, sender=here.incoming / step.source.at)
    elif step.kind == "append" and step.file_class == "notes":
        stage.intent.notes += parse_notes(step.content or b"")
    elif step.kind == "append":
        stage.lines(step.content or b"")
    else:
        stage.small_file(step.path, step.content or b"")


def _size_of_base(stage: slots.Stage, layout: Layout) -> tuple[Fingerprint, str | None]:
    staged = any(i.path == RECORDS for i in stage.intent.install)
    path = stage.staged_path(RECORDS) if staged else layout.records
    if not path.exists():
        return Fingerprint(0, 0, 0), None
    with open_parquet(path) as file:
        stamp = file_metadata(file).get(META_REGISTRY_HASH)
        rows, cols = file.metadata.num_rows, len(file.schema_arrow.names)
    return Fingerprint(rows, cols, path.stat().st_size), stamp.decode() if stamp else None
