"""Links may not lead a reader or writer out of the root (``docs/reliability.md``, *Hostile input*).

A dataset that was unpacked from elsewhere can hold a link to any file of its owner. What lies in a
dataset is therefore followed only to places below the root; the lock and the folder of slots are
never links at all, as no one but this package makes them.
"""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath
from typing import Final

from usr_nb.errors import PathNotFound, StorageError, ValidationError
from usr_nb.storage.layout import (
    ARTIFACTS,
    COLUMNS_FILE,
    DERIVED,
    EVENTS,
    LOCK,
    META,
    RECORDS,
    REGISTRY_DIR,
    REGISTRY_FILE,
    SNAPSHOTS,
    TXN,
    Layout,
    real_path,
)

ARCHIVE: Final = "_archive"
_NAMES: Final = (
    RECORDS, META, EVENTS, DERIVED, REGISTRY_DIR, SNAPSHOTS, ARTIFACTS, REGISTRY_FILE,
    COLUMNS_FILE,
)  # fmt: skip
_MACHINERY: Final = (LOCK, TXN)
_OF_DATASET: Final = (
    RECORDS, META, EVENTS, LOCK, DERIVED, REGISTRY_DIR, SNAPSHOTS, TXN,
)  # fmt: skip
_OF_ROOT: Final = (REGISTRY_FILE, COLUMNS_FILE, LOCK, TXN, ARCHIVE)


def check_link(path: Path, root: Path) -> None:
    """Raise if `path` is a link to a place outside of `root`, whether or not that exists.

    Raises
    ------
    ValidationError
        Naming the link and where it leads.

    Examples
    --------
    >>> import tempfile
    >>> root = Path(tempfile.mkdtemp())
    >>> (root / "meta.md").symlink_to("/etc/hostname")
    >>> try:
    ...     check_link(root / "meta.md", root)
    ... except ValidationError as error:
    ...     print(error.hint)
    Put the file itself there, or open the dataset where it really lies.
    """
    if not os.path.islink(path):  # noqa: PTH114 - an lstat alone, in the path of every read
        return
    where = os.path.realpath(path)
    if not Path(where).is_relative_to(os.path.realpath(root)):
        raise ValidationError(
            f"{path} is a link that leaves the root {root}: it leads to {where}",
            hint="Put the file itself there, or open the dataset where it really lies.",
        )


def check_machinery(folder: Path) -> None:
    """Raise a StorageError if the lock or the folder of slots is a link, wherever it leads."""
    for name in _MACHINERY:
        if os.path.islink(f"{folder}/{name}"):  # noqa: PTH114
            raise StorageError(
                f"{folder / name} is a link; nothing is read or written through it",
                hint="Remove the link: the next writer makes a new one of its own.",
            )


def check_folder(folder: Path, root: Path) -> None:
    """Raise if anything that a dataset or root consists of is a link out of the root.

    The files in ``_derived/`` are looked at where they are listed; see ``storage.view``.

    Raises
    ------
    ValidationError, StorageError
        Naming the link.
    """
    check_machinery(folder)
    for name in _NAMES:
        if os.path.islink(f"{folder}/{name}"):  # noqa: PTH114 - in the path of every read
            check_link(folder / name, root)


def check_output(path: Path) -> Path:
    """Return `path` if a file may be written there that is none of a dataset's own.

    Raises
    ------
    PathNotFound
        If its folder does not exist, or it is a folder itself.
    ValidationError
        If it is a pipe or device, or lies among the files that a dataset or root consists of.
    """
    try:
        bad = path.is_dir() or not path.parent.is_dir() or not path.name or "\0" in str(path)
        special = not bad and (path.name == "-" or (path.exists() and not path.is_file()))
        where = real_path(path.parent)
    except (OSError, ValueError):
        bad = True
    if bad:
        raise PathNotFound(
            f"Cannot write {str(path)[:300]}", hint="Give a file in a folder that exists."
        )
    if special:
        raise ValidationError(
            f"{path} is no regular file, and would be replaced by one",
            hint="Write to a file, then read that; `usr get` and `usr head` print records.",
        )
    for folder in (where, *where.parents):
        first = (where / path.name).relative_to(folder).parts[0]
        of_dataset = first in _OF_DATASET and (folder / RECORDS).exists()
        of_root = first in _OF_ROOT and (folder / REGISTRY_FILE).exists()
        if of_dataset or of_root:
            raise ValidationError(
                f"{path} is one of the files that {folder} consists of",
                hint="Write somewhere else; a dataset's own files are changed by its verbs only.",
            )
    return path


def check_parents(layout: Layout, path: str) -> None:
    """Raise if a folder on the way to `path`, relative to the dataset, is a link that leaves it."""
    for parent in list(PurePosixPath(path).parents)[:-1]:
        check_link(layout.dir / parent, layout.root or layout.dir)


def check_overlay_link(layout: Layout, path: str) -> None:
    """Raise if an overlay file or folder, relative to the dataset, is a link out of the root."""
    check_link(layout.dir / path, layout.root or layout.dir)
