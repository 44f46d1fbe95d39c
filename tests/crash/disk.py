"""A disk in memory: what is on it after each call, and what a kill or a power cut leaves.

The model is that of POSIX, and harsher than any journaling file system:

- *A killed process* leaves everything that its calls did, and half of the write it was in.
- *A power cut* loses what was not synced. Data of a file not fsynced since may be there whole, by
  half, as zeros, or not at all. Of the changes of names that no fsync of their folder followed,
  any subset may be lost, whatever their order. The one thing taken as atomic is a rename: it
  takes place or does not, also between two folders, and is safe as soon as one of them is synced.
  An fsync of a file does not save its name.
"""

# States are written by the thousand; and the calls are meant as they are.
# ruff: noqa: PTH102, PTH106, PTH108, PTH123

from __future__ import annotations

import contextlib
import os
import random
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.crash.oshook import Call

ROOT = 0
#: Files that are appended to or opened in place; all others are never written again.
GROWING = {".events.log", "meta.md", ".usr.lock"}
#: What unsynced data may look like after a power cut.
DATA = ("lost", "half", "zeros", "whole")

#: Path → content; None for a folder. One state of the disk, as its next user finds it.
Image = Mapping[str, bytes | None]
Stamp = tuple[int, int, int]


@dataclass(frozen=True)
class Node:
    """A file or folder; `synced` is how much of a file's content is safe."""

    is_dir: bool
    data: bytes = b""
    synced: int = 0
    #: A file with this content and the inode that intents know it by.
    origin: Path | None = None

    def after_power_cut(self, what: str) -> bytes:
        """Return the content that is found again."""
        loose = len(self.data) - self.synced
        if what == "whole" or not loose:
            return self.data
        safe = self.data[: self.synced]
        if what == "half":
            return self.data[: self.synced + loose // 2]
        return safe + bytes(loose) if what == "zeros" else safe


@dataclass(frozen=True)
class NameChange:
    """One change of names, which takes place as a whole."""

    number: int
    entries: tuple[tuple[int, str, int | None], ...]


class Disk:
    """Files, names, and which of both are safe."""

    def __init__(self) -> None:
        self.nodes: dict[int, Node] = {ROOT: Node(is_dir=True)}
        self.names: dict[tuple[int, str], int] = {}
        self.safe: dict[tuple[int, str], int] = {}
        self.safe_since: dict[tuple[int, str], int] = {}
        self.pending: tuple[NameChange, ...] = ()
        self.handles: dict[int, int] = {}
        self.changes = 0

    def copy(self) -> Disk:
        """Return an independent copy; nodes are never changed in place, so they are shared."""
        other = Disk()
        other.nodes, other.names = dict(self.nodes), dict(self.names)
        other.safe, other.safe_since = dict(self.safe), dict(self.safe_since)
        other.pending, other.handles = self.pending, dict(self.handles)
        other.changes = self.changes
        return other

    @classmethod
    def of_folder(cls, folder: Path, *, origin: bool = True) -> Disk:
        """Read a folder; all of it is safe."""
        disk = cls()
        for path in sorted(folder.rglob("*")):
            rel = path.relative_to(folder).as_posix()
            if path.is_dir():
                node = Node(is_dir=True)
            else:
                data = path.read_bytes()
                keep = path if origin and path.name not in GROWING else None
                node = Node(is_dir=False, data=data, synced=len(data), origin=keep)
            disk._enter(rel, disk._add(node))
        disk.safe, disk.pending = dict(disk.names), ()
        return disk

    # Calls -------------------------------------------------------------------------------------

    def _add(self, node: Node) -> int:
        number = len(self.nodes)
        self.nodes[number] = node
        return number

    def _at(self, path: str) -> tuple[int, str]:
        """Return (folder, last name) of a path."""
        at = ROOT
        *folders, last = path.split("/")
        for name in folders:
            at = self.names[at, name]
        return at, last

    def _find(self, path: str) -> int:
        return ROOT if path == "." else self.names[self._at(path)]

    def _change(self, *entries: tuple[int, str, int | None]) -> None:
        for folder, name, node in entries:
            if node is None:
                self.names.pop((folder, name), None)
            else:
                self.names[folder, name] = node
        self.changes += 1
        self.pending = (*self.pending, NameChange(self.changes, entries))

    def _enter(self, path: str, node: int) -> None:
        self._change((*self._at(path), node))

    def do(self, call: Call) -> None:
        """Carry out one recorded call."""
        getattr(self, f"_{call.kind}")(call)

    def _create(self, call: Call) -> None:
        node = self._add(Node(is_dir=False))
        self._enter(call.path, node)
        self.handles[call.handle] = node

    def _open(self, call: Call) -> None:
        self.handles[call.handle] = self._find(call.path)

    def _write(self, call: Call) -> None:
        number = self.handles[call.handle]
        node = self.nodes[number]
        self.nodes[number] = replace(node, data=node.data + call.data, origin=None)

    def _fsync(self, call: Call) -> None:
        # What is open for reading has no handle; it makes no difference to an fsync.
        number = self.handles[call.handle] if call.handle else self._find(call.path)
        node = self.nodes[number]
        self.nodes[number] = replace(node, synced=len(node.data))

    def _fsync_dir(self, call: Call) -> None:
        folder = self._find(call.path)
        left = []
        for change in self.pending:
            if all(at != folder for at, _, _ in change.entries):
                left.append(change)
                continue
            for at, name, node in change.entries:
                _set(self.safe, self.safe_since, (at, name), node, change.number)
        self.pending = tuple(left)

    def _link(self, call: Call) -> None:
        self._enter(call.to, self._find(call.path))

    def _rename(self, call: Call) -> None:
        node = self._find(call.path)
        self._change((*self._at(call.path), None), (*self._at(call.to), node))

    def _unlink(self, call: Call) -> None:
        self._change((*self._at(call.path), None))

    _rmdir = _unlink

    def _mkdir(self, call: Call) -> None:
        self._enter(call.path, self._add(Node(is_dir=True)))

    # States ------------------------------------------------------------------------------------

    def nodes_by_path(self, names: Mapping[tuple[int, str], int] | None = None) -> dict[str, int]:
        """Return every path with its node, folders before what is in them."""
        children: dict[int, list[tuple[str, int]]] = {}
        for (folder, name), node in (self.names if names is None else names).items():
            children.setdefault(folder, []).append((name, node))
        found: dict[str, int] = {}
        todo = [("", ROOT)]
        while todo:
            prefix, at = todo.pop()
            for name, node in children.get(at, ()):
                path = prefix + name
                found[path] = node
                if self.nodes[node].is_dir:
                    todo.append((path + "/", node))
        return found

    def image(self) -> dict[str, bytes | None]:
        """Return the disk as it is."""
        return {
            path: None if self.nodes[n].is_dir else self.nodes[n].data
            for path, n in self.nodes_by_path().items()
        }

    def names_after_power_cut(self, kept: Iterable[NameChange]) -> dict[tuple[int, str], int]:
        """Return the names that are found again, if these of the pending changes took place."""
        names, since = dict(self.safe), dict(self.safe_since)
        for change in kept:
            for folder, name, node in change.entries:
                _set(names, since, (folder, name), node, change.number)
        return names

    def unsynced(self) -> list[int]:
        """Return the files with data that a power cut can take."""
        return [i for i, n in self.nodes.items() if not n.is_dir and n.synced < len(n.data)]


@dataclass(frozen=True)
class Left:
    """What a power cut leaves; of the many only those that are looked at become a disk."""

    nodes: Mapping[int, Node]
    names: Mapping[tuple[int, str], int]
    #: The content that files are found with whose data was not synced.
    data: Mapping[int, bytes]
    image: Image

    def disk(self) -> Disk:
        """Return the disk that is found again: what is on it is safe now."""
        disk = Disk()
        for number, node in self.nodes.items():
            found = self.data.get(number, node.data)
            if found != node.data:
                # It is another file now, which no intent knows.
                disk.nodes[number] = replace(node, data=found, synced=len(found), origin=None)
            elif node.synced != len(found):
                disk.nodes[number] = replace(node, synced=len(found))
            else:
                disk.nodes[number] = node
        disk.names, disk.safe = dict(self.names), dict(self.names)
        return disk


def _set(
    names: dict[tuple[int, str], int],
    since: dict[tuple[int, str], int],
    entry: tuple[int, str],
    node: int | None,
    number: int,
) -> None:
    # A rename can be safe before an older change of one of its names: it stays the newer one.
    if since.get(entry, 0) > number:
        return
    since[entry] = number
    if node is None:
        names.pop(entry, None)
    else:
        names[entry] = node


def after_kill(start: Disk, calls: Iterable[Call]) -> Iterator[tuple[str, Disk]]:
    """Yield (what, disk) for a kill before the first call, within each write, after each call."""
    disk = start.copy()
    yield "before the first call", disk.copy()
    for n, call in enumerate(calls):
        if call.kind == "write" and len(call.data) > 1:
            torn = disk.copy()
            torn.do(replace(call, data=call.data[: len(call.data) // 2]))
            yield f"within call {n}: write {call.path}", torn
        disk.do(call)
        yield f"after call {n}: {call.kind} {call.to or call.path}", disk.copy()


def after_power_cuts(disk: Disk, rng: random.Random, samples: int) -> Iterator[tuple[str, Left]]:
    """Yield what a power cut at this moment may leave: the regular choices, then a sample."""
    pending, unsynced, nodes = disk.pending, disk.unsynced(), dict(disk.nodes)
    content = {(i, what): nodes[i].after_power_cut(what) for i in unsynced for what in DATA}

    def left(kept: Iterable[NameChange], data: Mapping[int, str]) -> Left:
        names = disk.names_after_power_cut(kept)
        paths = disk.nodes_by_path(names)
        found = {i: content[i, data.get(i, "whole")] for i in unsynced if i in paths.values()}
        image = {
            path: None if nodes[n].is_dir else found.get(n, nodes[n].data)
            for path, n in paths.items()
        }
        return Left(nodes, names, found, image)

    regular = [("nothing kept", ()), ("all kept", pending)]
    regular += [(f"lost {c.number}", tuple(x for x in pending if x is not c)) for c in pending]
    regular += [(f"kept {c.number}", (c,)) for c in pending]
    for what, kept in regular:
        for data in DATA if unsynced else ("whole",):
            yield f"{what}, data {data}", left(kept, dict.fromkeys(unsynced, data))
    for _ in range(samples if pending or unsynced else 0):
        kept = tuple(c for c in pending if rng.random() < 0.5)
        mixed = {i: rng.choice(DATA) for i in unsynced}
        numbers = [c.number for c in kept]
        yield f"kept {numbers}, data {mixed}", left(kept, mixed)


def _remove(folder: str) -> None:
    """Remove a folder that nobody else is in: shutil is careful, and takes twice as long."""
    with contextlib.suppress(FileNotFoundError):
        with os.scandir(folder) as entries:
            for entry in list(entries):
                if entry.is_dir(follow_symlinks=False):
                    _remove(entry.path)
                else:
                    os.unlink(entry.path)
        os.rmdir(folder)


def write_disk(disk: Disk, folder: Path) -> None:
    """Make a folder into what a disk holds; files that intents may know keep their inode."""
    _remove(str(folder))
    folder.mkdir(parents=True)
    for path, number in disk.nodes_by_path().items():
        node = disk.nodes[number]
        target = f"{folder}/{path}"
        if node.is_dir:
            os.mkdir(target)
        elif node.origin is not None:
            os.link(node.origin, target)
        else:
            fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
            try:
                os.write(fd, node.data)
            finally:
                os.close(fd)


def known_files(disk: Disk) -> dict[Stamp, bytes]:
    """Return the files of a disk that are never written again, by what :func:`stamp` says."""
    nodes = disk.nodes.values()
    return {stamp(n.origin.stat()): n.data for n in nodes if n.origin is not None}


def stamp(found: os.stat_result) -> Stamp:
    """Return inode, size, and when a file was written."""
    return found.st_ino, found.st_size, found.st_mtime_ns


def read_image(folder: Path, known: Mapping[Stamp, bytes] | None = None) -> dict[str, bytes | None]:
    """Return what a folder holds; `known` files need not be read."""
    known = known or {}
    found: dict[str, bytes | None] = {}
    todo: list[Any] = [str(folder)]
    start = len(str(folder)) + 1
    while todo:
        with os.scandir(todo.pop()) as entries:
            for entry in entries:
                path = entry.path[start:]
                if entry.is_dir(follow_symlinks=False):
                    found[path] = None
                    todo.append(entry.path)
                    continue
                data = known.get(stamp(entry.stat())) if known else None
                if data is None:
                    with open(entry.path, "rb") as f:
                        data = f.read()
                found[path] = data
    return found
