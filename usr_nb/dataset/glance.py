"""The datasets of a root at a glance, from footers and file times alone; loads no pyarrow."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from usr_nb.contract.names import STATE_NS, TOMBSTONE_NS, is_part_file
from usr_nb.contract.times import to_text
from usr_nb.errors import SequencesError
from usr_nb.storage.footer import read_counts
from usr_nb.storage.inside import check_folder
from usr_nb.storage.layout import DERIVED, Layout
from usr_nb.storage.roots import dataset_names


def summaries(root: Path) -> list[dict[str, Any]]:
    """Return ``[{dataset, rows, cols, size_bytes, updated}]``, the shape of GET-1.

    ``rows`` and ``cols`` are the base's; a damaged dataset is listed with nulls. ``updated`` is
    when base or event log last changed, as UTC text.

    Examples
    --------
    >>> import tempfile
    >>> summaries(Path(tempfile.mkdtemp()))
    []
    """
    return [_summary(root, name) for name in dataset_names(root)]


def _summary(root: Path, name: str) -> dict[str, Any]:
    layout = Layout(root / name)
    line: dict[str, Any] = {"dataset": name}
    try:
        check_folder(layout.dir, root)
        rows, cols = read_counts(layout.records)
        size = layout.records.stat().st_size
    except (SequencesError, OSError):
        return line | {"rows": None, "cols": None, "size_bytes": None, "updated": None}
    return line | {"rows": rows, "cols": cols, "size_bytes": size, "updated": last_change(layout)}


def overlay_sizes(folder: Path) -> tuple[list[str], int]:
    """Return the namespaces that have overlay files in a dataset, and the bytes of these.

    Names and sizes of files alone; tombstones and record state are not counted.

    Examples
    --------
    >>> overlay_sizes(Path("nowhere"))
    ([], 0)
    """
    sizes: dict[str, int] = {}
    for entry in _entries(folder / DERIVED):
        is_folder = entry.is_dir(follow_symlinks=False)
        for file in _entries(Path(entry.path)) if is_folder else [entry]:
            name = entry.name if is_folder else entry.name.removesuffix(".parquet")
            legal = is_part_file(file.name) if is_folder else file.name.endswith(".parquet")
            if legal and not name.startswith((".", "_")) and name not in (TOMBSTONE_NS, STATE_NS):
                sizes[name] = sizes.get(name, 0) + _size(file)
    return sorted(sizes), sum(sizes.values())


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError:
        return []


def _size(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat(follow_symlinks=False).st_size
    except OSError:
        return 0  # A compaction took it away just now.


def last_change(layout: Layout) -> str | None:
    """Return when base or event log last changed, as UTC text."""
    times = []
    for path in (layout.records, layout.events):
        try:
            times.append(path.stat().st_mtime)
        except OSError:
            continue
    return to_text(datetime.fromtimestamp(max(times), UTC)) if times else None
