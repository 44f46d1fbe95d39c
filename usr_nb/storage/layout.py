"""Where the files of a dataset lie (``docs/format.md``, *Files*)."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from usr_nb.errors import PathNotFound

RECORDS: Final = "records.parquet"
EVENTS: Final = ".events.log"
META: Final = "meta.md"
LOCK: Final = ".usr.lock"
DERIVED: Final = "_derived"
ARCHIVED: Final = "_archived"
REGISTRY_DIR: Final = "_registry"
SNAPSHOTS: Final = "_snapshots"
ARTIFACTS: Final = "_artifacts"
TXN: Final = "_txn"
RETIRED: Final = "retired"
REGISTRY_FILE: Final = "registry.yaml"
COLUMNS_FILE: Final = "columns.yaml"


@dataclass(frozen=True)
class Layout:
    """Paths of one dataset folder (or of the root, for what both have).

    ``root`` is how far links in it may lead; without it, no further than the folder itself.
    """

    dir: Path
    root: Path | None = None

    @cached_property
    def records(self) -> Path:
        """The base table."""
        return self.dir / RECORDS

    @cached_property
    def events(self) -> Path:
        """The event log."""
        return self.dir / EVENTS

    @cached_property
    def meta(self) -> Path:
        """The notes."""
        return self.dir / META

    @cached_property
    def derived(self) -> Path:
        """The folder of overlays."""
        return self.dir / DERIVED

    @cached_property
    def registries(self) -> Path:
        """The folder of frozen registries."""
        return self.dir / REGISTRY_DIR

    @cached_property
    def snapshots(self) -> Path:
        """The folder of snapshots."""
        return self.dir / SNAPSHOTS

    @cached_property
    def txn(self) -> Path:
        """The folder of commit slots."""
        return self.dir / TXN

    @cached_property
    def lock(self) -> Path:
        """The flock target."""
        return self.dir / LOCK


def overlay_file(namespace: str) -> str:
    """Return the path of a single-file overlay, relative to the dataset."""
    return f"{DERIVED}/{namespace}.parquet"


def overlay_folder(namespace: str) -> str:
    """Return the path of a namespace's folder of parts, relative to the dataset."""
    return f"{DERIVED}/{namespace}"


def archived_path(namespace: str, stamp: str, file_name: str) -> str:
    """Return where a retired overlay file is kept, relative to the dataset."""
    return f"{DERIVED}/{ARCHIVED}/{namespace}/{stamp}/{file_name}"


def frozen_registry(registry_hash: str) -> str:
    """Return the path of a frozen registry, relative to the dataset."""
    return f"{REGISTRY_DIR}/registry.{registry_hash}.yaml"


def user_path(path: str | os.PathLike[str]) -> Path:
    """Return a path with a leading ``~`` resolved; the home of an unknown user stays as it is.

    ``Path.expanduser`` would raise a bare ``RuntimeError`` there.

    Examples
    --------
    >>> user_path("~no-such-user-here/x").as_posix()
    '~no-such-user-here/x'
    """
    try:
        return Path(os.path.expanduser(path))  # noqa: PTH111
    except ValueError:
        return Path(path)  # A name that holds NUL; whoever opens it says so.


def real_path(path: str | os.PathLike[str]) -> Path:
    """Return the absolute path that is meant, with ``~`` resolved and links followed.

    Raises
    ------
    PathNotFound
        It can be no path (it holds NUL), or it is a link that leads to itself.

    Examples
    --------
    >>> real_path("/tmp/../tmp").name
    'tmp'
    """
    try:
        found = user_path(path).resolve()
        with contextlib.suppress(FileNotFoundError, NotADirectoryError, PermissionError):
            os.lstat(found)
        return found
    except (OSError, RuntimeError, ValueError) as error:
        raise PathNotFound(
            f"{str(path)[:200]!r} is not a usable path: {str(error)[:200]}", hint="Check the path."
        ) from None
