"""What became of the values of each column between two moments: from the parts of both."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import pyarrow as pa

from usr_nb.contract.names import TOMBSTONE_NS, namespace_of
from usr_nb.dataset.context import Context
from usr_nb.dataset.core import Dataset
from usr_nb.dataset.plans.rewrites import unlike
from usr_nb.overlay.merge import Merged
from usr_nb.storage.layout import DERIVED, RECORDS
from usr_nb.storage.roots import Place
from usr_nb.storage.view import View

#: What gives the base new rows and leaves those that it has as they are.
_APPENDS: Final = {"init", "import_rows"}


@dataclass(frozen=True)
class ColumnChange:
    """What became of one column.

    Attributes
    ----------
    name : str
    added, changed, removed : int
        Records that got a first value, another one, and that lost theirs.
    """

    name: str
    added: int
    changed: int
    removed: int


@dataclass(frozen=True)
class Changes:
    """What became of all columns that somebody wrote, and of which nothing can be said.

    Attributes
    ----------
    columns : tuple of ColumnChange
        By namespace and name.
    unknown : dict of str to str
        Namespace, and why its values of then are not known any more.
    """

    columns: tuple[ColumnChange, ...]
    unknown: dict[str, str]


def column_changes(ds: Dataset, events: Iterable[tuple[bool, Mapping[str, Any]]]) -> Changes:
    """Compare the values at two moments; costs reading the written columns twice.

    Parameters
    ----------
    ds : Dataset
        The dataset.
    events : iterable of (bool, mapping)
        All events after the first moment, and whether they are part of the time in between.

    Notes
    -----
    Parts are immutable, so those that were there tell what a reader saw. What was rewritten since
    (compacted, materialized, or kept in one file) is told as unknown.
    """
    told = _Told()
    for inside, event in events:
        told.take(event, inside=inside)
    spaces = {ns for p in told.between if (ns := _namespace(p))} | told.singles
    if told.base:
        unknown = dict.fromkeys(spaces, f"the base was rewritten ({told.base})")
    else:
        unknown = {ns: told.spoiled[ns] for ns in spaces if ns in told.spoiled}
    ctx = Context(Place(ds.root, ds.name, ds.dir))
    with ctx.view() as view:
        registry = ctx.registry()
        after = Merged(_without(view, told.later), registry, include_deleted=True)
        before = Merged(_without(view, told.later | told.between), registry, include_deleted=True)
        names = [
            c
            for ns in sorted(spaces - set(unknown))
            for c in dict.fromkeys(
                c for p in after.parts(ns) if p.file.path in told.between for c in p.columns
            )
        ]
        return Changes(tuple(_compared(before, after, names)), unknown)


class _Told:
    """What events tell of files."""

    def __init__(self) -> None:
        self.between: set[str] = set()
        self.later: set[str] = set()
        self.singles: set[str] = set()
        self.spoiled: dict[str, str] = {}
        self.base = ""

    def take(self, event: Mapping[str, Any], *, inside: bool) -> None:
        told, action = event.get("artifacts"), str(event.get("action"))
        if not isinstance(told, dict) or action == "registry_freeze":
            return  # A freeze goes along with another event, and repeats its files.
        came = [f["path"] for f in told.get("files") or () if isinstance(f, dict) and "path" in f]
        for path in came:
            ns = _namespace(path)
            if path == RECORDS and action not in _APPENDS:
                self.base = action
            elif ns == TOMBSTONE_NS:
                continue  # Deleted and restored records are counted already.
            elif ns and path.count("/") == 1:
                self.spoiled.setdefault(ns, "it is kept in one file, of which the present is there")
                self.singles |= {ns} if inside else set()
            elif ns:
                (self.between if inside else self.later).add(path)
        for path in told.get("retired") or ():
            if ns := _namespace(path):
                self.spoiled[ns] = f"its files were rewritten ({action})"


def _namespace(path: str) -> str:
    """Return the namespace of an overlay file, "" for any other."""
    folder, _, rest = path.partition("/")
    name = rest.partition("/")[0].removesuffix(".parquet")
    return name if folder == DERIVED and path.endswith(".parquet") and name[:1] != "_" else ""


def _without(view: View, paths: set[str]) -> View:
    kept = {
        ns: tuple(f for f in files if f.path not in paths) for ns, files in view.overlays.items()
    }
    return replace(view, overlays={ns: files for ns, files in kept.items() if files})


def _compared(before: Merged, after: Merged, names: list[str]) -> Iterable[ColumnChange]:
    had = [n for n in names if n in before.schema.names]
    counts = {n: np.zeros(3, np.int64) for n in names}
    old = before.batches(["id", *had])
    for now in after.batches(["id", *names]) if names else ():
        was = next(old)
        for name in names:
            column = now.column(name)
            earlier = was.column(name) if name in had else pa.nulls(len(column), column.type)
            other = unlike(earlier, column)
            there, then = (np.asarray(c.is_valid(), bool) for c in (column, earlier))
            counts[name] += [(other & ~then).sum(), (other & then & there).sum(),
                             (other & ~there).sum()]  # fmt: skip
    for name in sorted(names, key=lambda n: (namespace_of(n), n)):
        yield ColumnChange(name, *(int(n) for n in counts[name]))
