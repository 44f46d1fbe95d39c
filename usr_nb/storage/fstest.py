"""Does this file system keep what the commit protocol rests on? Tried with real files.

The files are temporary ones in ``_txn/``, made through the door and removed again. What is found
holds for this machine; between machines the server decides (``docs/format.md``).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from usr_nb.errors import SequencesError, StorageError
from usr_nb.storage import door

Promise = Literal["exclusive-create", "link", "rename", "append", "flock", "sync", "clock"]
#: What has an answer of its own to locks, links and clocks, given by a server.
NETWORK: Final = frozenset({
    "9p", "afs", "beegfs", "ceph", "cifs", "fuse.ceph", "fuse.glusterfs", "fuse.juicefs",
    "fuse.s3fs", "fuse.sshfs", "glusterfs", "gpfs", "lustre", "nfs", "nfs4", "orangefs", "panfs",
    "smb3", "smbfs", "wekafs",
})  # fmt: skip
SKEW_S: Final = 2.0
_RACERS: Final = 4
_ROUNDS: Final = 4
# Another process: a second descriptor of ours would be excluded on file systems where it is not.
_TRY: Final = """
import fcntl, os, sys
fd = os.open(sys.argv[1], os.O_RDWR)
try:
    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
except OSError:
    sys.exit(3)
"""


@dataclass(frozen=True)
class Tested:
    """What the tests came to.

    Attributes
    ----------
    count : int
        Tests made; 0 if nothing can be written there.
    broken : dict of str to str
        Promise → what happened instead.
    unwritable : str or None
        Why nothing can be written.
    """

    count: int = 0
    broken: dict[Promise, str] = field(default_factory=dict)
    unwritable: str | None = None


def file_system(path: Path) -> str | None:
    """Return the type of the file system that a path lies on (``ext4``, ``nfs4``), or None.

    Examples
    --------
    >>> file_system(Path("/no/such/place")) is None or True
    True
    """
    try:
        full = os.fspath(path.resolve())
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
    except OSError:
        return None
    best, found = -1, None
    for line in lines:
        before, _, after = line.partition(" - ")
        point = before.split()[4].encode().decode("unicode_escape")
        inside = full == point or full.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= best:
            best, found = len(point), after.split()[0]
    return found


def try_all(folder: Path) -> Tested:
    """Try each promise with files in `folder`; they are gone afterwards.

    Parameters
    ----------
    folder : Path
        An existing folder, ``_txn/`` of a dataset or root.

    Examples
    --------
    >>> import tempfile
    >>> try_all(Path(tempfile.mkdtemp())).broken
    {}
    """
    if not os.access(folder, os.W_OK):
        return Tested(unwritable="you lack permission to write there")
    with _names(folder) as name:
        first = name()
        try:
            door.Sink(first).drop()
        except StorageError as error:
            return Tested(unwritable=error.message)
        broken: dict[Promise, str] = {}
        for promise, test in _TESTS.items():
            try:
                found = test(name)
            except (SequencesError, OSError) as error:
                found = error.message if isinstance(error, SequencesError) else str(error)
            if found is not None:
                broken[promise] = found
        return Tested(len(_TESTS), broken)


Namer = Callable[[], Path]


@contextlib.contextmanager
def _names(folder: Path) -> Iterator[Namer]:
    """Give out temporary names, and remove whatever lies there in the end."""
    given: list[Path] = []

    def name() -> Path:
        given.append(door.temp_path(folder))
        return given[-1]

    try:
        yield name
    finally:
        for path in given:
            with contextlib.suppress(StorageError):
                door.unlink(path)


def _made(name: Namer, data: bytes = b"x") -> Path:
    path = name()
    sink = door.Sink(path)
    try:
        sink.write(data)
    finally:
        sink.drop()
    return path


def _race(step: Callable[[int], bool]) -> int:
    """Let threads do the same at once; return how many of them were told that they succeeded."""
    gate = threading.Barrier(_RACERS)
    won: list[int] = []

    def run(racer: int) -> None:
        gate.wait()
        if step(racer):
            won.append(racer)

    threads = [threading.Thread(target=run, args=(n,)) for n in range(_RACERS)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return len(won)


def _create(name: Namer) -> str | None:
    for _ in range(_ROUNDS):
        path = name()

        def create(_: int, path: Path = path) -> bool:
            try:
                door.Sink(path).drop()
            except FileExistsError:
                return False
            return True

        if (won := _race(create)) != 1:
            return f"{won} of {_RACERS} threads created the same new file"
    return None


def _link(name: Namer) -> str | None:
    sources = [_made(name, str(n).encode()) for n in range(_RACERS)]
    for _ in range(_ROUNDS):
        target = name()

        def link(racer: int, target: Path = target) -> bool:
            try:
                door.link(sources[racer], target)
            except FileExistsError:
                return False
            except StorageError:
                # The answer of a server can be lost: what counts is what lies there.
                return target.exists() and target.samefile(sources[racer])
            return True

        if (won := _race(link)) != 1:
            return f"{won} of {_RACERS} links to the same new name succeeded"
        if not any(target.samefile(s) for s in sources):
            return "a link is another file than what was linked"
    return None


def _rename(name: Namer) -> str | None:
    old, new = _made(name, b"old"), _made(name, b"new")
    inode = new.stat().st_ino
    door.rename(new, old)
    if new.exists() or old.read_bytes() != b"new":
        return "a rename onto an existing file did not replace it"
    return None if old.stat().st_ino == inode else "a rename made another file of it"


def _append(name: Namer) -> str | None:
    path = _made(name, b"first\n")

    def append(racer: int) -> bool:
        door.append(path, f"{racer:08d}\n".encode())
        return True

    _race(append)
    lines = path.read_bytes().splitlines()
    if sorted(lines[1:]) != [f"{n:08d}".encode() for n in range(_RACERS)] or lines[0] != b"first":
        return "lines appended at once overwrote one another"
    return None


def _flock(name: Namer) -> str | None:
    path = _made(name)
    fd = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        other = subprocess.run(  # noqa: S603 - a list, no shell, our own interpreter
            [sys.executable, "-I", "-S", "-c", _TRY, os.fspath(path)],
            check=False, capture_output=True, timeout=30,
        )  # fmt: skip
    finally:
        os.close(fd)
    return "a second process got the lock as well" if other.returncode == 0 else None


def _sync(name: Namer) -> str | None:
    path = name()
    sink = door.Sink(path)
    sink.write(b"x")
    sink.seal()
    door.fsync_dir(path.parent)
    return None


def _clock(name: Namer) -> str | None:
    before = time.time()
    stamp = _made(name).stat().st_mtime
    ahead = stamp - before
    if abs(ahead) <= SKEW_S:
        return None
    return f"it is {abs(ahead):,.0f} s {'ahead of' if ahead > 0 else 'behind'} this machine's"


_TESTS: Final[dict[Promise, Callable[[Namer], str | None]]] = {
    "exclusive-create": _create,
    "link": _link,
    "rename": _rename,
    "append": _append,
    "flock": _flock,
    "sync": _sync,
    "clock": _clock,
}
