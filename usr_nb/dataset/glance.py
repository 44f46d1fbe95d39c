"""The datasets of a root at a glance, from footers and file times alone; loads no pyarrow."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from usr_nb.contract.times import to_text
from usr_nb.errors import SequencesError
from usr_nb.storage.footer import read_counts
from usr_nb.storage.inside import check_folder
from usr_nb.storage.layout import Layout
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


def last_change(layout: Layout) -> str | None:
    """Return when base or event log last changed, as UTC text."""
    times = []
    for path in (layout.records, layout.events):
        try:
            times.append(path.stat().st_mtime)
        except OSError:
            continue
    return to_text(datetime.fromtimestamp(max(times), UTC)) if times else None
