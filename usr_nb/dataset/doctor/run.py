"""``usr doctor``: look, explain, and mend what can be mended without losing anything."""

from __future__ import annotations

import contextlib
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final, Protocol

from usr_nb.contract import progress
from usr_nb.dataset.context import Context
from usr_nb.dataset.doctor import (
    files,
    filesystem,
    interrupted,
    litter,
    log,
    registry,
    strangers,
)
from usr_nb.dataset.doctor.report import ROOT, Checkup, Finding, ranked
from usr_nb.dataset.doctor.subject import Subject
from usr_nb.errors import LockTimeout, PathNotFound, SequencesError, StorageError
from usr_nb.storage import door, inside, lock, roots, slots, tidy
from usr_nb.storage.intents import dataset_exists
from usr_nb.storage.layout import TXN, Layout, real_path
from usr_nb.storage.probe import Probed

_CHECKS: Final[tuple[Callable[[Subject], Iterator[Finding]], ...]] = (
    interrupted.check,
    litter.check,
    log.check,
    files.check,
    registry.check,
    strangers.check,
)
#: Who looks while others write sees them half way: what is still there after this time is true.
_AGAIN_S: Final = 0.1


class Examined(Protocol):
    """Whatever examines itself: a dataset."""

    def doctor(self, *, repair: bool = False) -> Checkup:
        """Examine it."""
        ...


def doctor(
    root: str | os.PathLike[str], *, repair: bool = False, test_files: bool = True
) -> Checkup:
    """Examine a root, its registry, and every dataset in it.

    Parameters
    ----------
    root : path
        The folder with ``registry.yaml``.
    repair : bool
        Mend what can be mended without losing anything, in the root and in every dataset; see
        :meth:`Dataset.doctor`.
    test_files : bool
        Try the file system with temporary files in ``_txn/``, once per device. With False
        nothing is written at all unless `repair`.

    Returns
    -------
    Checkup
        The report on the root; ``.datasets`` holds one per dataset, ``.ok`` is about all.

    Raises
    ------
    PathNotFound
        If there is no such folder.

    Examples
    --------
    >>> import tempfile
    >>> from usr_nb import init_root
    >>> root = tempfile.mkdtemp()
    >>> _ = init_root(root)
    >>> doctor(root).ok
    True
    """
    base = real_path(root)
    if not base.is_dir():
        raise PathNotFound(f"{base} is not a folder", hint="Give the folder with registry.yaml.")
    own = _examined(Layout(base, base), base, "", repair=repair, test_files=test_files)
    tested = {base.stat().st_dev} if own.checked.get("tests") else set()
    found = []
    names = _datasets(base)
    for name in progress.tracked(
        names, "examining", total=len(names), unit="datasets", size=lambda _: 1
    ):
        device = (base / name).stat().st_dev
        again = test_files and device not in tested
        report = _examined(Layout(base / name, base), base, name, repair=repair, test_files=again)
        tested |= {device} if report.checked.get("tests") else set()
        found.append(report)
    return replace(own, datasets=tuple(found))


def examine_dataset(ctx: Context, *, repair: bool, test_files: bool) -> Checkup:
    """Examine one dataset; see :meth:`Dataset.doctor`."""
    if not dataset_exists(ctx.layout) and not (ctx.layout.dir / TXN).is_dir():
        raise roots.not_found(ctx.root, ctx.name)
    return _examined(ctx.layout, ctx.root, ctx.name, repair=repair, test_files=test_files)


def checkup(subject: Examined | Path, *, repair: bool = False) -> Checkup:
    """Examine a dataset, or a root given by its folder."""
    if isinstance(subject, Path):
        return doctor(subject, repair=repair)
    return subject.doctor(repair=repair)


def _datasets(root: Path) -> list[str]:
    """Return the datasets of a root, and the folders in which one was begun."""
    names = roots.dataset_names(root)
    begun = []
    for folder in [*root.glob(f"*/{TXN}"), *root.glob(f"*/*/{TXN}")]:
        name = folder.parent.relative_to(root).as_posix()
        inside = any(name.startswith(f"{n}/") for n in names)
        if name not in names and not inside and not name.startswith("_") and folder.is_dir():
            begun.append(name)
    return sorted([*names, *begun])


def _examined(layout: Layout, root: Path, name: str, *, repair: bool, test_files: bool) -> Checkup:
    verdicts: dict[str, Probed] = {}

    def subject() -> Subject:
        return Subject(layout, root, name, time.time(), Counter(), verdicts)

    try:
        inside.check_folder(layout.dir, root)
    except SequencesError as error:
        # What a link leads out of is not looked at, let alone changed.
        first = Finding("error", "symlink", ".", error.message, error.hint or "Remove the link.")
        found = [] if not name else list(strangers.links(subject()))
        return Checkup(name or ROOT, str(layout.dir), ranked([first, *found]), {})
    found, checked = _look(subject, test_files=test_files)
    if repair and any(f.repairable for f in found):
        before = found
        try:
            _repair(subject())
        except LockTimeout as error:
            hint = error.hint or "Try again later."
            found = [
                *found,
                Finding("error", "locked", ".", f"not repaired: {error.message}", hint),
            ]
        else:
            found, checked = _look(subject, test_files=False)
            there = {(f.kind, f.path) for f in found}
            gone = [f for f in before if f.repairable and (f.kind, f.path) not in there]
            kept = [f for f in before if f.kind in _OF_FILE_SYSTEM]
            found = [*found, *kept, *(replace(f, repaired=True) for f in gone)]
    return Checkup(name or ROOT, str(layout.dir), ranked(found), dict(checked))


#: The kinds that only the tests with files find, which are not made twice.
_OF_FILE_SYSTEM: Final = frozenset(
    {"exclusive-create", "link", "rename", "append", "flock", "sync", "clock"}
)


def _look(
    subject: Callable[[], Subject], *, test_files: bool
) -> tuple[list[Finding], Counter[str]]:
    """Look, and where anything is the matter look again: what others are doing passes."""
    first = subject()
    found = [f for check in _CHECKS for f in check(first)]
    if any(f.severity != "note" for f in found):
        time.sleep(_AGAIN_S)
        second = subject()
        again = [f for check in _CHECKS for f in check(second)]
        there = {(f.kind, f.path) for f in found}
        found = [f for f in again if f.severity == "note" or (f.kind, f.path) in there]
        first = second
    found += filesystem.check(first, files=test_files)
    return found, first.checked


def _repair(s: Subject) -> None:
    """Do what the next writer would do, and complete the log as a whole. Loses nothing."""
    with lock.held(s.layout.dir, action="doctor"):
        if s.is_settleable:
            slots.settle(s.layout)
        if not s.is_root:
            # What stands in the slots has changed: a finished commit may have no line yet.
            log.repair(Subject(s.layout, s.root, s.name, s.now, verdicts=s.verdicts))
        tidy.tidy(s.layout)
        for path in litter.due_temps(s):
            with contextlib.suppress(StorageError):
                door.unlink(path)
