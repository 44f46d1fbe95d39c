"""FILE mode with the same face as the sync of a dataset: look, then pull or push (SYN-2)."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from usr_nb.contract.progress import Progress, reporting
from usr_nb.errors import (
    PathNotFound,
    RemoteUnavailableError,
    StorageError,
    TransferError,
    ValidationError,
    VerificationError,
)
from usr_nb.sync.files import (
    FileDiff,
    FileReceipt,
    FileSide,
    FileState,
    file_diff,
    map_path,
    pull_file,
    push_file,
)
from usr_nb.sync.model import Conflict, Direction
from usr_nb.sync.remotes import Remote, get
from usr_nb.sync.ssh import Session

#: The exit code of what goes wrong with a single file (CLI-1).
_FAILURE = 1
_SENTENCES: dict[FileState, tuple[str, str]] = {
    "same": ("do nothing: both sides have the same content", "do nothing: both are the same"),
    "ahead": ("bring the older file of {remote} here", "write {path} there"),
    "behind": ("write {path} here", "write the older file of this side there"),
    "diverged": ("write {path} here, and keep what is here beside it",
                 "write {path} there, and keep what is there beside it"),
    "neither": ("find no file", "find no file"),
}  # fmt: skip


@contextlib.contextmanager
def _file_failures() -> Iterator[None]:
    try:
        yield
    except (
        PathNotFound, RemoteUnavailableError, StorageError, TransferError, VerificationError
    ) as error:  # fmt: skip
        error.exit_code = _FAILURE  # type: ignore[misc]
        raise


def file_plan(
    path: str | os.PathLike[str],
    remote: str,
    *,
    repo_root: str | os.PathLike[str] | None = None,
    remote_path: str | None = None,
) -> FilePlan:
    """Compare one file, of no dataset, with the one of a remote; nothing is written.

    Parameters
    ----------
    path : path
        The file here; it need not exist.
    remote : str
        A name in the file that ``USR_REMOTES_PATH`` names.
    repo_root : path, optional
        The local folder that corresponds to the remote's ``repo_root``; else the remote's
        ``local_repo_root``, else ``DNADESIGN_REPO_ROOT``.
    remote_path : str, optional
        The path there, instead.

    Raises
    ------
    RemoteConfigError
        The remote is not defined, or no path can be mapped.
    PathNotFound
        The file is on neither side.
    RemoteUnavailableError
    """
    found = get(remote)
    there = map_path(Path(path), remote=found, repo_root=repo_root, remote_path=remote_path)
    with _file_failures(), Session(found) as session:
        diff = file_diff(session, Path(path), there)
        if diff.state == "neither":
            raise PathNotFound(
                f"There is no file {diff.path}, and {found.name} has no {there}",
                hint="Check the path; --remote-path names it there.",
            )
    return FilePlan(found, diff)


@dataclass(frozen=True)
class FilePlan:
    """What a pull and a push of one file would do; nothing has been written."""

    remote: Remote
    found: FileDiff

    @property
    def state(self) -> FileState:
        """``same``, ``ahead``, ``behind`` or ``diverged``."""
        return self.found.state

    def conflicts(self, direction: Direction) -> tuple[Conflict, ...]:
        """Return nothing: an overwritten file that both changed is kept beside."""
        del direction
        return ()

    def diff(self) -> dict[str, Any]:
        """Return the difference as JSON-able values."""
        found = self.found
        return {
            "path": str(found.path),
            "remote_path": found.remote_path,
            "local": _side(found.local),
            "remote": _side(found.remote),
            "state": found.state,
            "has_change": found.state != "same",
            "changes": [] if found.state == "same" else self.summary().splitlines(),
            "verify_mode": "hash",
            "verify_notes": [],
        }

    def summary(self, direction: Direction | None = None) -> str:
        """Return what would be done, for people."""
        words = {"path": self.found.path.name, "remote": self.remote.name}
        pull, push = (s.format(**words) for s in _SENTENCES[self.state])
        if direction is not None:
            return pull if direction == "pull" else push
        return f"usr pull would {pull}\nusr push would {push}"

    def apply(
        self,
        direction: Direction,
        *,
        progress: Callable[[Progress], object] | None = None,
    ) -> FileReceipt:
        """Make one side's file the other's; see :func:`usr_nb.sync.files.pull_file`."""
        if direction not in ("pull", "push"):
            raise ValidationError(f"direction is 'pull' or 'push', not {str(direction)[:40]!r}")
        listening = reporting(progress) if progress is not None else nullcontext()
        with _file_failures(), listening, Session(self.remote) as session:
            move = pull_file if direction == "pull" else push_file
            return move(session, self.found)


def _side(side: FileSide) -> dict[str, Any] | None:
    return {"size_bytes": side.size, "sha256": side.sha256} if side.exists else None
