"""What a reader sees: all files of one commit, while writers go on (``docs/format.md``)."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from usr_nb.contract.names import check_namespace, is_part_file
from usr_nb.errors import DatasetNotFound, SequencesError, StorageError, ViewExpired
from usr_nb.storage import slots
from usr_nb.storage.inside import check_overlay_link
from usr_nb.storage.layout import ARCHIVED, DERIVED, RECORDS, RETIRED, Layout
from usr_nb.storage.parquet import Opened, open_parquet
from usr_nb.storage.slots import Intent

_RETRIES: Final = 100


@dataclass(frozen=True)
class OverlayFile:
    """One overlay file of a view: its namespace, its path in the dataset, where it lies now."""

    namespace: str
    path: str
    at: Path

    @property
    def name(self) -> str:
        """The file name, which decides between parts of equal time."""
        return self.path.rpartition("/")[2]

    @property
    def is_single(self) -> bool:
        """Whether this is ``<ns>.parquet`` rather than a part."""
        return self.path.count("/") == 1


@dataclass
class View:
    """All files of a dataset at one instant. Use as a context manager; readers write nothing."""

    layout: Layout
    slot: int
    base: Opened
    overlays: dict[str, tuple[OverlayFile, ...]]
    held: dict[str, Opened] = field(default_factory=dict)
    use_kept: bool = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the files that the view holds open."""
        self.base.close(force=True)
        for file in self.held.values():
            file.close(force=True)
        self.held.clear()

    @contextlib.contextmanager
    def open(self, file: OverlayFile) -> Iterator[Opened]:
        """Open an overlay file of this view, also if it was retired meanwhile.

        Raises
        ------
        ViewExpired
            If it was retired so long ago that it is gone for good.
        """
        held = self.held.get(file.path)
        if held is not None:
            yield held
            return
        opened = self._open_anywhere(file)
        try:
            yield opened
        finally:
            opened.close(force=True)

    def _places(self, file: OverlayFile) -> Iterator[Path]:
        root = self.layout
        yield file.at
        yield root.dir / file.path
        with contextlib.suppress(OSError):
            yield from (root.txn / RETIRED).glob(f"*/{_flat(file.path)}")
        with contextlib.suppress(OSError):
            yield from (root.derived / ARCHIVED / file.namespace).glob(f"*/{file.name}")

    def _open_anywhere(self, file: OverlayFile) -> Opened:
        # One place after the other, in the order in which a file moves on: looked up in advance,
        # it could be in none of them when its turn comes.
        for place in self._places(file):
            with contextlib.suppress(FileNotFoundError):
                return open_parquet(place, use_kept=self.use_kept)
        raise ViewExpired(
            f"{file.path} was removed while it was being read",
            hint="Read again: the values are in newer files now.",
        )


def _flat(path: str) -> str:
    return path.replace("/", "+")


def open_view(layout: Layout, *, avoid: Collection[str] = (), use_kept: bool = False) -> View:
    """Return a consistent view of the dataset.

    Parameters
    ----------
    layout : Layout
        The dataset.
    avoid : collection of str
        Overlay files to leave out, by their path in the dataset: those that must not be opened.
    use_kept : bool
        Whether footers may be kept ones; see :func:`~usr_nb.storage.parquet.open_parquet`.

    Raises
    ------
    DatasetNotFound
        If there is no base table.
    ViewExpired
        If writers commit so fast that no view could be taken.
    """
    for _ in range(_RETRIES):
        number, intent = slots.pending(layout)
        try:
            view = _take(layout, number, intent, avoid, use_kept=use_kept)
        except FileNotFoundError:
            if slots.highest_slot(layout) == number and not _committed_base(layout, intent):
                raise DatasetNotFound(
                    f"{layout.dir} has no {RECORDS}",
                    hint="Create the dataset with `usr init`, or check the name with `usr ls`.",
                ) from None
            continue
        if slots.highest_slot(layout) == number:
            return view
        view.close()
    raise ViewExpired(f"{layout.dir} changes too fast to be read", hint="Try again.")


def _committed_base(layout: Layout, intent: Intent | None) -> bool:
    return layout.records.exists() or (
        intent is not None and any(i.path == RECORDS for i in intent.install)
    )


def _take(
    layout: Layout, number: int, intent: Intent | None, avoid: Collection[str], *, use_kept: bool
) -> View:
    staged = {}
    if intent is not None:
        folder = layout.txn / intent.operation_id
        staged = {i.path: folder / i.staged for i in intent.install}
    base = _open_first(staged.get(RECORDS), layout.records, use_kept=use_kept)
    view = View(layout, number, base, {}, use_kept=use_kept)
    try:
        found = _list_overlays(layout, staged, intent)
        for ns, files in found.items():
            found[ns] = [f for f in files if f.path not in avoid]
            for f in found[ns]:
                if f.is_single:
                    # A damaged one is an error for who reads it, not for the others.
                    with contextlib.suppress(StorageError):
                        view.held[f.path] = _open_first(
                            f.at, layout.dir / f.path, use_kept=use_kept
                        )
        view.overlays = {ns: tuple(files) for ns, files in sorted(found.items()) if files}
    except BaseException:
        view.close()
        raise
    return view


def _open_first(first: Path | None, second: Path, *, use_kept: bool) -> Opened:
    if first is not None and first != second:
        with contextlib.suppress(FileNotFoundError):
            return open_parquet(first, use_kept=use_kept)
    return open_parquet(second, use_kept=use_kept)


def _list_overlays(
    layout: Layout, staged: dict[str, Path], intent: Intent | None
) -> dict[str, list[OverlayFile]]:
    paths: dict[str, str | Path] = {p: f"{layout.dir}/{p}" for p in overlay_paths(layout)}
    for gone in intent.retire if intent is not None else ():
        at = paths.get(gone.path)
        # What vanishes after it was listed is being retired right now: it counts as gone, too.
        if at is not None and (slots.is_listed(Path(at), gone) or not Path(at).exists()):
            del paths[gone.path]
    for path, at in staged.items():
        if namespace_of_path(path) is not None:
            paths[path] = at if at.exists() else layout.dir / path
    found: dict[str, list[OverlayFile]] = {}
    for path, at in sorted(paths.items()):
        ns = namespace_of_path(path)
        if ns is not None:
            found.setdefault(ns, []).append(_overlay_file(ns, path, at))
    return found


@lru_cache(maxsize=16_384)
def _overlay_file(namespace: str, path: str, at: str | Path) -> OverlayFile:
    return OverlayFile(namespace, path, Path(at))


def overlay_paths(layout: Layout) -> list[str]:
    """Return the overlay files in ``_derived/``, relative to the dataset, no foreign ones.

    Raises
    ------
    ValidationError
        If one of them is a link that leaves the root.
    """
    paths = []
    for entry in _entries(layout.derived):
        path = f"{DERIVED}/{entry.name}"
        if entry.name == ARCHIVED or entry.name.startswith("."):
            continue
        if entry.is_symlink() and not entry.is_dir():
            check_overlay_link(layout, path)
        if entry.is_dir() and not entry.is_symlink():
            for part in _entries(Path(entry.path)):
                if namespace_of_path(f"{path}/{part.name}"):
                    paths.append(f"{path}/{part.name}")
                    if part.is_symlink():
                        check_overlay_link(layout, paths[-1])
        elif namespace_of_path(path):
            paths.append(path)
    return paths


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda e: e.name)
    except (FileNotFoundError, NotADirectoryError):
        return []


@lru_cache(maxsize=16_384)
def namespace_of_path(path: str) -> str | None:
    """Return the namespace of an overlay file by its path in the dataset, or None.

    Examples
    --------
    >>> namespace_of_path("_derived/evo2.parquet"), namespace_of_path("_derived/notes.txt")
    ('evo2', None)
    """
    parts = path.split("/")
    if parts[0] != DERIVED:
        return None
    if len(parts) == 2 and parts[1].endswith(".parquet"):
        ns = parts[1].removesuffix(".parquet")
    elif len(parts) == 3 and is_part_file(parts[2]):
        ns = parts[1]
    else:
        return None
    try:
        return check_namespace(ns, reserved_ok=True)
    except SequencesError:
        return None
