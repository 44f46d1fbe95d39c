"""Putting a whole dataset aside: moved to ``_archive/``, never deleted (contract LAY-1)."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from usr_nb.contract.times import to_snapshot_stamp, utc_now
from usr_nb.dataset.context import Context
from usr_nb.storage import door, lock, slots
from usr_nb.storage.inside import check_link
from usr_nb.storage.layout import RECORDS

ARCHIVE: Final = "_archive"


def archive_dataset(ctx: Context) -> Path:
    """Move a dataset's folder to ``_archive/<namespace>/<name>`` and return where it lies now.

    Its last commit is finished first. An archive place that is taken gets a time stamp at the
    end of its name, so that what was archived before stays.

    Parameters
    ----------
    ctx : Context
        The dataset.

    Returns
    -------
    Path
        The folder in the archive.

    Raises
    ------
    DatasetNotFound
        If there is no such dataset.
    LockTimeout
        If another process is changing it.
    """
    with ctx.view():
        check_link(ctx.root / ARCHIVE, ctx.root)
    with lock.held(ctx.layout.dir, action="archive"):
        slots.settle(ctx.layout)
        target = _free_place(ctx.root / ARCHIVE, ctx.name)
        door.make_dirs(target.parent)
        door.rename(ctx.layout.dir, target)
        door.sync_after(f"{ctx.name} is archived", target.parent, ctx.layout.dir.parent)
    return target


def _free_place(archive: Path, name: str) -> Path:
    stamp = to_snapshot_stamp(utc_now())
    space, _, last = name.rpartition("/")
    folder = archive / space
    if space and _holds_dataset(folder):
        # A dataset was archived under what is a namespace now; nothing may lie inside it.
        folder = archive / f"{space}-{stamp}"
    target = folder / last
    return target.with_name(f"{last}-{stamp}") if target.exists() else target


def _holds_dataset(folder: Path) -> bool:
    return (folder / RECORDS).exists()
