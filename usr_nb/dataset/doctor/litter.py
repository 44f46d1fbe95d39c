"""What dead or living writers left behind, and who holds the lock (``docs/format.md``)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal

from usr_nb.dataset.doctor.report import Finding
from usr_nb.dataset.doctor.subject import Subject, ago, who
from usr_nb.storage import door, lock
from usr_nb.storage.intents import Intent, dataset_exists, is_operation_id
from usr_nb.storage.layout import RETIRED, Layout
from usr_nb.storage.tidy import (
    RETIRED_S,
    age_of,
    children,
    staging_owner,
    temp_folders,
)

Life = Literal["dead", "alive", "unknown"]
_AT_ONCE: Final = "`usr doctor --repair` removes it, as the next writer does."
_LATER: Final = "The next writer removes it once it is 24 hours old."


def check(s: Subject) -> Iterator[Finding]:
    """Yield temporary files, staging that never reached a slot, retired files, and the lock."""
    for folder in _folders(s):
        yield from _temps(s, folder)
    yield from _staging(s)
    yield from _retired(s)
    yield from _holder(s)
    if not s.is_root and not dataset_exists(s.layout):
        yield Finding(
            "note", "begun", ".", "a dataset was begun here, but never committed",
            "`usr init` begins it anew; or remove the folder.",
        )  # fmt: skip


def due_temps(s: Subject) -> list[Path]:
    """Return temporary files of the dead in folders that no writer of this folder sweeps."""
    swept = set(temp_folders(s.layout))
    return [p for f in _folders(s) if f not in swept for p, life, age in _in(s, f)
            if life == "dead" or age > door.LITTER_S]  # fmt: skip


def _folders(s: Subject) -> list[Path]:
    """Return where temporary files are looked for: in a root also where exports put them."""
    folders = temp_folders(s.layout)
    if s.is_root:
        spaces = [Path(e.path) for e in children(s.root) if e.is_dir(follow_symlinks=False)]
        known = {f.name for f in folders if f != s.root}
        folders += [f for f in spaces if f.name not in known and not _is_dataset(f)]
    return folders


def _is_dataset(folder: Path) -> bool:
    return dataset_exists(Layout(folder))


def _life(owner: str) -> Life:
    if not owner:
        return "unknown"
    if door.owner_is_dead(owner):
        return "dead"
    same = owner.split("-")[:2] == door.owner_tag().split("-")[:2]
    return "alive" if same else "unknown"


def _in(s: Subject, folder: Path) -> Iterator[tuple[Path, Life, float]]:
    for entry in children(folder):
        owner = door.temp_owner(entry.name)
        if owner is None or not entry.is_file(follow_symlinks=False):
            continue
        with contextlib.suppress(FileNotFoundError):
            age = s.now - entry.stat(follow_symlinks=False).st_mtime
            yield Path(entry.path), _life(owner), age


def _temps(s: Subject, folder: Path) -> Iterator[Finding]:
    for path, life, age in _in(s, folder):
        owner = who(door.temp_owner(path.name) or "")
        yield _left(s, path, f"a temporary file of {owner}", life=life, age=age)


def _left(s: Subject, path: Path, what: str, *, life: Life, age: float) -> Finding:
    due = life == "dead" or age > door.LITTER_S
    state = {"dead": "which has ended", "alive": "which is running",
             "unknown": "of which nothing is known"}[life]  # fmt: skip
    rel = path.relative_to(s.layout.dir).as_posix()
    return Finding(
        "warning" if due else "note",
        "staging" if is_operation_id(path.name) else "temp-file",
        rel,
        f"{what}, {state}; last written {ago(age)} ago. It was never committed",
        _AT_ONCE if due else ("It is being written." if life == "alive" else _LATER),
        repairable=due,
    )


def _staging(s: Subject) -> Iterator[Finding]:
    """Yield staging folders of operations that the highest slot does not name."""
    highest = s.slots.get(max(s.slots, default=0))
    committed = highest.operation_id if isinstance(highest, Intent) else None
    if s.slots and committed is None:
        return  # With a damaged slot nobody knows which folder it means.
    for entry in children(s.layout.txn):
        mine = is_operation_id(entry.name) and entry.is_dir(follow_symlinks=False)
        if not mine or entry.name == committed:
            continue
        folder = Path(entry.path)
        with contextlib.suppress(FileNotFoundError):
            owner = staging_owner(folder)
            what = f"the staging folder of an operation by {who(owner)}"
            yield _left(s, folder, what, life=_life(owner), age=age_of(folder, s.now))


def _retired(s: Subject) -> Iterator[Finding]:
    for entry in children(s.layout.txn / RETIRED):
        with contextlib.suppress(FileNotFoundError):
            age = s.now - entry.stat().st_mtime
            if is_operation_id(entry.name) and age > RETIRED_S:
                count = len(children(Path(entry.path)))
                yield Finding(
                    "note",
                    "retired",
                    Path(entry.path).relative_to(s.layout.dir).as_posix(),
                    f"{count} files that a change took away {ago(age)} ago, kept for readers",
                    _AT_ONCE,
                    repairable=True,
                )


def _holder(s: Subject) -> Iterator[Finding]:
    """Yield who holds the lock right now; the note of an earlier holder means nothing."""
    note = lock.holder_note(s.layout) or {}
    for pid in lock.lock_pids(s.layout.dir):
        message = f"process {pid} holds the lock"
        if note.get("pid") == pid:
            action, since = str(note.get("action"))[:60], str(note.get("since"))[:40]
            message += f" ({action}, since {since})"
        else:
            message += "; the note beside it is of an earlier holder"
        yield Finding(
            "note", "holder", "_txn/holder", message, "A lock ends with its process; nothing to do."
        )
