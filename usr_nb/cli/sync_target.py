"""What ``usr diff``, ``pull`` and ``push`` are about: a dataset, here or only there, or a file."""

from __future__ import annotations

from pathlib import Path

from usr_nb.cli import say
from usr_nb.dataset.core import Dataset
from usr_nb.storage import roots
from usr_nb.storage.layout import user_path
from usr_nb.sync.api import SyncPlan
from usr_nb.sync.file_api import FilePlan, file_plan
from usr_nb.sync.files import is_file_target
from usr_nb.sync.look import Options


def plan(
    subject: str,
    remote: str,
    root: Path | None,
    options: Options,
    *,
    repo_root: Path | None,
    remote_path: str | None,
) -> SyncPlan | FilePlan:
    """Return the plan for a target as it was typed.

    Parameters
    ----------
    subject : str
        A dataset's id or folder, or a file; an id that matches nothing here is taken literally,
        as the dataset may be at the remote alone.
    remote : str
        Name of the remote.
    root : Path or None
        The value of ``--root``.
    options : Options
        What was chosen; a file needs none of it.
    repo_root, remote_path
        Where a file lies there.
    """
    with say.working(f"looking at {remote}"):
        if is_file_target(subject):
            path = user_path(subject)
            return file_plan(path, remote, repo_root=repo_root, remote_path=remote_path)
        return _dataset(subject, root).sync_plan(
            remote, verify=options.verify, prefer=options.prefer, delete=options.delete,
            primary_only=options.primary_only, skip_snapshots=options.skip_snapshots,
        )  # fmt: skip


def _dataset(subject: str, root: Path | None) -> Dataset:
    base = roots.find_root(root)
    path = user_path(subject)
    if roots.is_path_like(subject) and path.is_dir():
        return Dataset(roots.place_of_folder(path, base))
    return Dataset(roots.open_or_literal(base, subject))
