"""What a plan saw of a dataset: exactly what could change its outcome, and nothing else."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from usr_nb.contract.names import STATE_NS, TOMBSTONE_NS, namespace_of
from usr_nb.contract.registry import Registry
from usr_nb.errors import StalePlanError, some
from usr_nb.filter.tree import Filter
from usr_nb.storage import door, slots
from usr_nb.storage.layout import RECORDS, Layout
from usr_nb.storage.view import OverlayFile, View, namespace_of_path, overlay_paths

_RESERVED: Final = (TOMBSTONE_NS, STATE_NS)


@dataclass(frozen=True)
class Source:
    """A file that a plan read: its size and time tell most changes, its digest tells all."""

    path: str
    size: int
    mtime_ns: int
    sha256: str


@dataclass(frozen=True)
class Seen:
    """The files and definitions that a plan was made from.

    Attributes
    ----------
    namespaces : tuple of str or None
        The namespaces whose overlays count; None: all.
    base : tuple of int
        Size in bytes, inode and time of ``records.parquet``.
    overlays : tuple of (path, size, inode, time)
        Overlay files of those namespaces. Parts never change under a name; single files do.
    contracts : tuple of (namespace, hash)
        Their definitions in the registry; "" for one that is not registered.
    source : Source or None
        The file that was read, if it was one.
    """

    namespaces: tuple[str, ...] | None
    base: tuple[int, int, int]
    overlays: tuple[tuple[str, int, int, int], ...]
    contracts: tuple[tuple[str, str], ...]
    source: Source | None = None

    @cached_property
    def digest(self) -> str:
        """SHA-256 of all of it, 64 hexadecimal digits."""
        return hashlib.sha256(json.dumps(asdict(self)).encode()).hexdigest()

    def counts(self, namespace: str) -> bool:
        """Say whether the overlays of a namespace count."""
        return self.namespaces is None or namespace in self.namespaces


def see(
    view: View,
    registry: Registry,
    namespaces: Collection[str] | None,
    *,
    source: Source | None = None,
) -> Seen:
    """Return what stands in a view; nothing is written.

    Parameters
    ----------
    namespaces : collection of str or None
        Those that the plan reads or writes; None: all.
    """
    wanted = None if namespaces is None else tuple(sorted(set(namespaces)))
    names = sorted(view.overlays) if wanted is None else wanted
    files = [f for ns in names for f in view.overlays.get(ns, ())]
    contracts = tuple((ns, registry.contract_hash(ns) if ns in registry else "") for ns in names)
    overlays = tuple(sorted((f.path, *_stat(f)) for f in files))
    return Seen(wanted, _base(view), overlays, contracts, source)


def _base(view: View) -> tuple[int, int, int]:
    layout = view.layout
    _, intent = slots.pending(layout)
    staged = [i.staged for i in intent.install if i.path == RECORDS] if intent else []
    places = [layout.txn / intent.operation_id / s for s in staged if intent]
    return _first_stat([*places, layout.records])


def _stat(file: OverlayFile) -> tuple[int, int, int]:
    return _first_stat([file.at])


def _first_stat(places: Iterable[Path]) -> tuple[int, int, int]:
    for place in places:
        try:
            st = place.stat()
        except OSError:
            continue
        return st.st_size, st.st_ino, st.st_mtime_ns
    # It was moved a moment ago: never equal to anything that is there.
    return -1, -1, -1


def source_of(path: Path) -> Source:
    """Return what there is to know of a file that is read."""
    st = path.stat()
    return Source(str(path), st.st_size, st.st_mtime_ns, door.file_sha256(path))


def refuse_stale(seen: Seen, now: Seen, *, dataset: str) -> None:
    """Raise unless what the plan saw is still what is there.

    Raises
    ------
    StalePlanError
        Saying what has changed.
    """
    if seen == now:
        return
    said = []
    if seen.base != now.base:
        said.append("its base table was rewritten")
    before, after = {o[0]: o for o in seen.overlays}, {o[0]: o for o in now.overlays}
    for verb, paths in (
        ("came", after.keys() - before.keys()),
        ("went", before.keys() - after.keys()),
        ("changed", {p for p in before.keys() & after.keys() if before[p] != after[p]}),
    ):
        if paths:
            many = f"{len(paths):,} overlay file{'' if len(paths) == 1 else 's'}"
            said.append(f"{many} {verb} ({some(sorted(paths), 2)})")
    changed = sorted({ns for ns, _ in set(seen.contracts) ^ set(now.contracts)})
    if changed:
        said.append(f"the registration of {some(changed)} changed")
    if seen.source != now.source:
        said.append(f"the file {seen.source.path if seen.source else ''} changed")
    raise StalePlanError(
        f"{dataset} is not what it was when the plan was made: {'; '.join(said)}",
        hint="Nothing was written. Plan again, and look at what is different.",
    )


def refuse_stale_source(source: Source | None, *, dataset: str) -> None:
    """Raise if the file that a plan read holds something else now."""
    if source is None:
        return
    path = Path(source.path)
    try:
        st = path.stat()
        same = st.st_size == source.size and (
            st.st_mtime_ns == source.mtime_ns or door.file_sha256(path) == source.sha256
        )
    except OSError:
        same = False
    if not same:
        raise StalePlanError(
            f"{source.path} has changed since the plan for {dataset} was made",
            hint="Nothing was written. Plan again from the file as it is now.",
        )


def refuse_new_parts(seen: Seen, layout: Layout, *, dataset: str) -> None:
    """Raise if overlay files have come or gone: parts take no lock, so this is looked at last."""
    there = {p for p in overlay_paths(layout) if (ns := namespace_of_path(p)) and seen.counts(ns)}
    known = {o[0] for o in seen.overlays}
    if there != known:
        raise StalePlanError(
            f"{dataset} is not what it was when the plan was made: overlay files came or went "
            f"({some(sorted(there ^ known), 2)})",
            hint="Nothing was written. Plan again, and look at what is different.",
        )


def namespaces_of(where: Filter) -> set[str]:
    """Return the namespaces that a filter reads; which records are hidden always counts."""
    read = {ns for f in where.features() if (ns := namespace_of(f.name))}
    return read | set(_RESERVED)
