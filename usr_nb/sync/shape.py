"""Rows and columns of both bases: what can be compared where a remote cannot hash (SYN-2)."""

from __future__ import annotations

import re
from pathlib import Path

from usr_nb.errors import StorageError, VerificationError
from usr_nb.storage.layout import RECORDS
from usr_nb.storage.parquet import open_parquet
from usr_nb.sync.model import Inventory
from usr_nb.sync.question import same_content
from usr_nb.sync.scripts import go_to
from usr_nb.sync.ssh import Session

Shape = tuple[int, int]
_SHAPE = re.compile(rb"(\d{1,18}) (\d{1,9})\n\Z")
_PROGRAM = (
    "import sys; import pyarrow.parquet as q; f = q.ParquetFile(sys.argv[1]); "
    "print(f.metadata.num_rows, len(f.schema_arrow.names))"
)


def shape_script(folder: str) -> str:
    """Return a script that prints rows and columns of the base there, or ``none``.

    Python is started in ``/``: it would import whatever lies in the dataset's folder.
    """
    return (
        f"{go_to(folder)}place=$(pwd -P)\ncd /\n"
        f"python3 -c '{_PROGRAM}' \"$place/\"{RECORDS} 2>/dev/null || echo none\nat=done\n"
    )


def shape_there(session: Session, folder: str) -> Shape | None:
    """Return (rows, columns) of the remote's base; None if it has no pyarrow to tell."""
    found = _SHAPE.search(session.run(shape_script(folder), stage="comparing"))
    return (int(found[1]), int(found[2])) if found else None


def shape_here(path: Path) -> Shape | None:
    """Return (rows, columns) of a base; None if it cannot be read."""
    try:
        with open_parquet(path) as file:
            return file.metadata.num_rows, len(file.schema_arrow.names)
    except (StorageError, FileNotFoundError):
        return None


def compare_bases(
    session: Session, folder: str, path: Path, here: Inventory, there: Inventory
) -> str | None:
    """Compare rows and columns of two bases; returns what to tell, None if nothing can be told.

    Raises
    ------
    VerificationError
        If they differ although the bases count as equal: by their size nothing more can be said.
    """
    ours, theirs = here.files.get(RECORDS), there.files.get(RECORDS)
    if theirs is None:
        return "there is no base table there to compare"
    far = shape_there(session, folder)
    near = shape_here(path) if ours is not None else None
    if far is None:
        return None
    told = f"{RECORDS} has {far[0]:,} rows and {far[1]} columns at {session.remote.name}"
    if near is not None and near != far and same_content(ours, theirs):
        raise VerificationError(
            f"{told}, but {near[0]:,} and {near[1]} here, and both files are equally large",
            hint="Only digests can tell what else differs: install sha256sum (coreutils) there.",
        )
    return told if near is None else f"{told}, {near[0]:,} and {near[1]} here"
