"""A reader and writers without a lock: writers take whole turns between any two looks of a reader.

What a look is, is asked of the system and not of the store: every file that is opened, by Python
or by Arrow, every folder that is listed, every ``stat``.
"""

# The calls of the operating system are what this is about.

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from tests.crash.disk import Disk, write_disk
from tests.crash.ops import BY_NAME, template
from tests.crash.store import Store
from tests.crash.verdict import _table, forget, no_lock

#: Writers that take files away, put others into their place, or add some.
WRITERS = ("materialize-drop", "compact-parts", "compact-single", "remove-overlay",
           "archive-overlay", "materialize-drop-deleted", "import-append", "part", "tombstone",
           "state-set", "dedupe")  # fmt: skip
_OPENERS = ("OSFile", "memory_map", "MemoryMappedFile")


class Looks:
    """Counts the looks into one folder, and lets others have their turn before some of them."""

    def __init__(self, folder: Path, turns: Mapping[int, Callable[[], Any]]) -> None:
        self.folder = os.path.realpath(folder)
        self.turns = dict(turns)
        self.count = 0
        self._paused = False

    def look(self, path: Any) -> None:
        """Be about to look at a path."""
        if self._paused or not isinstance(path, str | bytes | os.PathLike):
            return
        if not os.fsdecode(path).startswith(self.folder):
            return
        turn = self.turns.pop(self.count, None)
        self.count += 1
        if turn is not None:
            self._paused = True
            try:
                turn()
            finally:
                self._paused = False

    @contextlib.contextmanager
    def active(self) -> Iterator[Looks]:
        """Watch."""

        def watched(real: Callable[..., Any]) -> Callable[..., Any]:
            def call(path: Any, *args: Any, **options: Any) -> Any:
                self.look(path)
                return real(path, *args, **options)

            return call

        places = [(os, "stat"), (os, "lstat"), *((pa, n) for n in _OPENERS)]
        before = [getattr(owner, name) for owner, name in places]
        for owner, name in places:
            setattr(owner, name, watched(getattr(owner, name)))
        _STATE.looks = self
        try:
            yield self
        finally:
            _STATE.looks = None
            for (owner, name), real in zip(places, before, strict=True):
                setattr(owner, name, real)


class _State:
    looks: Looks | None = None


_STATE = _State()


def _audit(event: str, args: tuple[Any, ...]) -> None:
    if _STATE.looks is not None and event in ("open", "os.scandir", "os.listdir"):
        _STATE.looks.look(args[0])


# An audit hook stays for the life of the process; it does nothing while nobody looks.
sys.addaudithook(_audit)


class Reading:
    """One store, read again and again while writers take their turns."""

    def __init__(self, folder: Path) -> None:
        self.store = Store(folder / "reading")
        self.start = Disk.of_folder(template(folder, BY_NAME["part"]))
        self.problems: list[str] = []

    def _read(self, turns: Mapping[int, Callable[[], Any]]) -> tuple[Any, Looks]:
        write_disk(self.start, self.store.folder)
        forget()
        looks = Looks(self.store.root, turns)
        with no_lock(), looks.active():
            return _table(self.store.ds()), looks

    def count(self) -> int:
        """Return the number of looks of a reader that is left alone."""
        return self._read({})[1].count

    def after(self, *names: str) -> Any:
        """Return what is read once these writers were there."""
        write_disk(self.start, self.store.folder)
        for name in names:
            BY_NAME[name].run(self.store)
        forget()
        return _plain(_table(self.store.ds()))

    def run(self, turns: Mapping[int, str], wanted: list[Any]) -> None:
        """Read while each writer has its turn before its look; one of `wanted` has to be seen."""
        acts = {at: lambda name=name: BY_NAME[name].run(self.store) for at, name in turns.items()}
        try:
            found, _ = self._read(acts)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the finding
            self.problems.append(f"{turns}: {error!r}")
            return
        if _plain(found) not in wanted:
            self.problems.append(f"{turns}: a table that never was")


def _plain(table: Any) -> Any:
    clocked = ("created_at", "usr__deleted_at")
    return {n: [v is None for v in c] if n in clocked else c for n, c in table.items()}
