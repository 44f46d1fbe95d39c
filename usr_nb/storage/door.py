"""The one door to the disk: every call that changes a file goes through this module.

Nothing else in the package creates, writes, renames, links or removes anything
(``tests/architecture`` sees to it), so a fault can be injected at every call, which is how
the promise of ``docs/format.md`` is tested. Functions here say *how* something reaches the
disk and nothing about *what* it is.

``FileExistsError`` and ``FileNotFoundError`` pass through, as callers decide by them; every
other refusal of the system becomes a :class:`StorageError` that names the path.
"""

from __future__ import annotations

import contextlib
import errno
import gzip
import hashlib
import io
import os
import re
import secrets
import shutil
import socket
import stat
import tempfile
import time
import uuid
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

from usr_nb.contract.progress import tracked
from usr_nb.errors import StorageError
from usr_nb.storage.digest import Digest

TEMP_PREFIX = ".tmp-"
#: The process numbers that are those of the machine (``PROC_PID_INIT_INO`` of Linux).
_FIRST_PID_SPACE: Final = 0xEFFFFFFC
#: After this time even what may have a living owner counts as left over.
LITTER_S: Final = 24 * 3600.0
_BLOCK: Final = 1 << 20
_TORN_LOOKS = 5
_TORN_PAUSE_S = 0.002
_TEMP_NAME = re.compile(r"\.tmp-(?P<owner>[^/]+)-[0-9a-f]{8}\Z")
_HINTS = {
    errno.ENOSPC: "The disk is full: free space and run the command again.",
    errno.EDQUOT: "Your quota is used up: free space and run the command again.",
    errno.EFBIG: "The file would exceed the allowed size (see `ulimit -f`).",
    errno.EACCES: "You lack permission to write there.",
    errno.EPERM: "You lack permission to write there.",
    errno.EROFS: "The folder is read-only: copy the dataset to a place you can write to.",
    errno.EIO: "The disk reported a fault: check it before you go on.",
}


@contextlib.contextmanager
def typed(path: Path, doing: str) -> Iterator[None]:
    """Turn an ``OSError`` on `path` into a :class:`StorageError` that says what failed."""
    try:
        yield
    except (FileExistsError, FileNotFoundError):
        raise
    except OSError as error:
        raise StorageError(
            f"Cannot {doing} {path}: {error.strerror or error}",
            hint=_HINTS.get(error.errno or 0, "Nothing was changed; try again."),
        ) from error


# Who we are ---------------------------------------------------------------------------------


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9]", "", text)[:24] or "x"


@cache
def _boot_id() -> str:
    """Return what names the set of processes that we can look up: a boot, or a container in it."""
    try:
        boot = _slug(Path("/proc/sys/kernel/random/boot_id").read_text())[:8]
    except OSError:
        return f"{uuid.getnode():x}"
    try:
        space = os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        return boot
    # A container has numbers of its own: one that is unknown here may be in use there.
    return boot if space == _FIRST_PID_SPACE else f"{boot}{space:x}"


def _start_time(pid: int) -> str | None:
    """Return the kernel's start time of a process, "0" where it is not told, None if dead."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
        return text.rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        pass
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except OSError:
        return "0"
    return "0"


def host_name() -> str:
    """Return the short name of this machine."""
    return socket.gethostname().partition(".")[0]


def owner_tag() -> str:
    """Return ``<host>-<boot>-<pid>-<start>``: names this process for as long as it lives."""
    pid = os.getpid()
    return f"{_slug(host_name())}-{_boot_id()}-{pid}-{_start_time(pid) or '0'}"


def owner_is_dead(tag: str) -> bool:
    """Say whether the process of an owner tag is provably gone; False when in doubt.

    Of another boot nothing is known: machines that share a folder may share a name as well.
    """
    parts = tag.split("-")
    if len(parts) != 4 or parts[:2] != [_slug(host_name()), _boot_id()] or not parts[2].isdigit():
        return False
    start = _start_time(int(parts[2]))
    return start is None or (start != parts[3] and "0" not in (start, parts[3]))


def process_is_gone(host: str, pid: int) -> bool:
    """Say whether a process of this machine is provably gone; False for other machines."""
    return host == host_name() and _start_time(pid) is None


def temp_owner(name: str) -> str | None:
    """Return the owner tag in a temporary file's name, or None for any other name."""
    m = _TEMP_NAME.match(name)
    return m.group("owner") if m else None


# Folders ------------------------------------------------------------------------------------


def fsync_dir(path: Path) -> None:
    """Make the names in a folder survive a power cut."""
    with typed(path, "sync folder"):
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def sync_after(done: str, *folders: Path) -> None:
    """Fsync folders after a change that cannot be taken back.

    Raises
    ------
    StorageError
        Saying that it is `done`, but may not survive a power cut.
    """
    try:
        for folder in folders:
            fsync_dir(folder)
    except StorageError as error:
        raise unsure(done, error) from error


def unsure(done: str, error: Exception) -> StorageError:
    """Build the error for a change that is there, but not for sure after a power cut."""
    return StorageError(
        f"{done}, but may not survive a power cut: {error}",
        hint="Check the disk, then look before you repeat anything.",
    )


def sync_file(path: Path) -> None:
    """Make the content of a file that another program wrote survive a power cut."""
    with typed(path, "sync"):
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def make_dirs(path: Path, *, within: Path | None = None) -> None:
    """Create a folder and its parents; each new name is fsynced in its parent.

    Raises
    ------
    FileNotFoundError
        If the folder `within`, which has to be there already, is gone.
    """
    if path.is_dir():
        return
    if path == within:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
    make_dirs(path.parent, within=within)
    with typed(path, "create folder"), contextlib.suppress(FileExistsError):
        os.mkdir(path)
    if not path.is_dir():
        raise StorageError(f"{path} is not a folder", hint="Move the file of that name away.")
    fsync_dir(path.parent)


def remove_dir(path: Path) -> None:
    """Remove an empty folder; a missing or still used one is left alone."""
    with contextlib.suppress(OSError):
        os.rmdir(path)


def remove_flat_dir(path: Path) -> None:
    """Remove a folder of plain files (staging, retired); what another removed first is fine.

    Of a link to a folder only the link is removed, nothing where it leads.
    """
    if path.is_symlink():
        unlink(path)
        return
    try:
        names = os.listdir(path)
    except FileNotFoundError:
        return
    for name in sorted(names):
        unlink(path / name)
    remove_dir(path)


def remove_tree(path: Path) -> None:
    """Remove a folder of ours with all that is in it; of a link only the link goes."""
    if path.is_symlink() or not path.is_dir():
        unlink(path)
        return
    for entry in sorted(path.iterdir()):
        remove_tree(entry)
    remove_dir(path)


@contextlib.contextmanager
def temporary_folder() -> Iterator[Path]:
    """Make a folder for this process alone, where the system keeps such; it is gone on leaving."""
    path = Path(tempfile.mkdtemp(prefix="usr-"))
    try:
        yield path
    finally:
        remove_tree(path)


# Files --------------------------------------------------------------------------------------


class Sink(io.RawIOBase):
    """A new file being written, with its size and SHA-256 as it grows.

    Works as the output of any pyarrow writer. Call :meth:`seal` when all is written.

    Parameters
    ----------
    path : Path
        The file; nothing may have that name.
    digest : bool
        Whether anybody will ask for the SHA-256.
    """

    def __init__(self, path: Path, *, digest: bool = True) -> None:
        super().__init__()
        self.path = path
        self.size = 0
        self._sha = Digest() if digest else None
        with typed(path, "create"):
            self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)

    def writable(self) -> bool:
        """Say that this is an output."""
        return True

    def tell(self) -> int:
        """Return the number of bytes written."""
        return self.size

    def write(self, data: Any, /) -> int:
        """Write all of `data`."""
        view = memoryview(data).cast("B")
        done = 0
        if self._sha is not None:
            self._sha.update(view, is_fixed=isinstance(data, bytes))
        with typed(self.path, "write"):
            while done < len(view):
                done += os.write(self._fd, view[done:])
        if self._sha is not None:
            self._sha.caught_up()
        self.size += len(view)
        return len(view)

    def copy_head(self, source: Path, fd: int, end: int) -> str:
        """Write the leading `end` bytes of a file, and return the SHA-256 of the whole file.

        Nothing may have been written. The bytes are hashed once, for both files.
        """
        size = os.fstat(fd).st_size
        for block in _read(source, fd, 0, end):
            self.write(block)
        whole = self._sha.copy() if self._sha is not None else hashlib.sha256()
        for block in _read(source, fd, end if self._sha is not None else 0, size):
            whole.update(block)
        return str(whole.hexdigest())

    @property
    def sha256(self) -> str:
        """Digest of what was written so far."""
        if self._sha is None:
            raise ValueError("no digest was asked for")
        return str(self._sha.copy().hexdigest())

    def seal(self) -> None:
        """Fsync and close. A failed fsync is never tried again on the same descriptor."""
        try:
            with typed(self.path, "sync"):
                os.fsync(self._fd)
        finally:
            self.drop()

    def drop(self) -> None:
        """Close the descriptor without fsync."""
        if self._sha is not None:
            self._sha.rest()
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            os.close(fd)

    def close(self) -> None:
        """Do nothing: pyarrow closes its output when a writer ends, before we have synced it."""


def _read(path: Path, fd: int, start: int, end: int) -> Iterator[bytes]:
    """Yield a range of a file."""
    while start < end:
        with typed(path, "read"):
            block = os.pread(fd, min(_BLOCK, end - start), start)
            if not block:
                raise OSError(f"it ends at byte {start}")
        start += len(block)
        yield block


def temp_path(folder: Path) -> Path:
    """Return a fresh temporary name in `folder` that tells who owns it."""
    return folder / f"{TEMP_PREFIX}{owner_tag()}-{secrets.token_hex(4)}"


@contextlib.contextmanager
def new_file(path: Path, *, within: Path | None = None) -> Iterator[Sink]:
    """Write a new file that appears whole under a name not yet taken.

    On leaving without an error it is fsynced and linked to `path`; ``FileExistsError`` if the name
    is taken, ``FileNotFoundError`` if the folder `within` is gone. On any error the temporary file
    is removed and nothing appears.
    """
    with _aside(path, within=within) as sink:
        yield sink
        sink.seal()
        with typed(path, "create"):
            os.link(sink.path, path)
    try:
        fsync_dir(path.parent)
    except StorageError:
        # The name would be there, but not for sure after a power cut: better not at all.
        with contextlib.suppress(StorageError):
            unlink(path)
        raise


@contextlib.contextmanager
def replaced_file(path: Path) -> Iterator[Sink]:
    """Write a file that takes the place of `path` in one step, for files of no slot (exports).

    Temporary files that dead processes left in its folder (or anybody, a day ago) are removed:
    nobody else would.
    """
    _sweep(path.parent)
    with _aside(path, digest=False) as sink:
        yield sink
        sink.seal()
        with typed(path, "replace"):
            os.replace(sink.path, path)
    sync_after(f"{path} is written", path.parent)


def _sweep(folder: Path) -> None:
    with contextlib.suppress(OSError, StorageError):
        for name in os.listdir(folder):
            owner = temp_owner(name)
            if owner is None:
                continue
            with contextlib.suppress(FileNotFoundError):
                age = time.time() - (folder / name).lstat().st_mtime
                if owner_is_dead(owner) or age > LITTER_S:
                    unlink(folder / name)


@contextlib.contextmanager
def _aside(path: Path, *, within: Path | None = None, digest: bool = True) -> Iterator[Sink]:
    make_dirs(path.parent, within=within)
    sink = Sink(temp_path(path.parent), digest=digest)
    try:
        yield sink
    finally:
        sink.drop()
        # Litter is removed by a later writer; it must not turn a success into an error.
        with contextlib.suppress(StorageError):
            unlink(sink.path)


def write_hint(path: Path, data: bytes) -> None:
    """Write a small file whose loss does not matter: no fsync, no error if it cannot be."""
    with contextlib.suppress(OSError, StorageError):
        temp = temp_path(path.parent)
        fd = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        try:
            try:
                os.write(fd, data)
            finally:
                os.close(fd)
            os.replace(temp, path)
        except OSError:
            os.unlink(temp)


def write_cache(path: Path, data: bytes) -> bool:
    """Write a file whose loss does not matter, whole or not at all; say whether it is there.

    Nothing is fsynced, and no refusal is an error. New folders are for this user alone.
    """
    try:
        if not path.parent.is_dir():
            os.makedirs(path.parent, mode=0o700, exist_ok=True)
        temp = temp_path(path.parent)
        fd = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError:
        return False
    try:
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(fd, view) :]
        finally:
            os.close(fd)
        os.replace(temp, path)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(temp)
        return False
    return True


def append(path: Path, data: bytes) -> None:
    """Append with one ``write()``, then fsync. A torn last line is closed off first."""
    with typed(path, "append to"):
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
        try:
            fresh = os.fstat(fd).st_size == 0
            if _is_torn(fd):
                data = b"\n" + data
            if os.write(fd, data) != len(data):
                raise OSError(errno.ENOSPC, "the line was written only in part")
            try:
                os.fsync(fd)
            except OSError as error:
                raise unsure(f"The line is in {path}", error) from error
        finally:
            os.close(fd)
    if fresh:
        fsync_dir(path.parent)


def _is_torn(fd: int) -> bool:
    """Say whether a file ends in half a line, and not only because a line is being written."""
    for _ in range(_TORN_LOOKS):
        size = os.fstat(fd).st_size
        if not size or os.pread(fd, 1, size - 1) == b"\n":
            return False
        time.sleep(_TORN_PAUSE_S)
    return True


def link(source: Path, target: Path) -> None:
    """Give a file a second name; ``FileExistsError`` if the name is taken."""
    with typed(target, "link"):
        os.link(source, target)


def rename(source: Path, target: Path) -> None:
    """Move a file onto `target` in one step; ``FileNotFoundError`` if it is gone."""
    with typed(target, "rename to"):
        os.rename(source, target)


def unlink(path: Path) -> None:
    """Remove a name; one that is gone already is fine."""
    with typed(path, "remove"), contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def copy_into(sink: Sink, source: Path) -> None:
    """Append all bytes of a file to a sink."""
    with typed(source, "read"):
        total = source.stat().st_size
    for block in tracked(_blocks(source), "copying", total=total, unit="bytes", size=len):
        sink.write(block)


def _blocks(source: Path) -> Iterator[bytes]:
    with typed(source, "read"), source.open("rb") as f:
        while block := f.read(1 << 20):
            yield block


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file, 64 hexadecimal digits."""
    with path.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def is_regular(path: Path) -> bool:
    """Say whether `path` is a plain file itself, not a link to one."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False


def free_bytes(path: Path) -> int:
    """Return the free space on the file system of `path`, in bytes."""
    return shutil.disk_usage(path).free


@contextlib.contextmanager
def scratch(folder: Path) -> Iterator[Sink]:
    """Write a file for this process alone; it is gone on leaving. Nothing is fsynced."""
    make_dirs(folder)
    sink = Sink(temp_path(folder), digest=False)
    try:
        yield sink
    finally:
        sink.drop()
        unlink(sink.path)


@contextlib.contextmanager
def gzipped(sink: Sink) -> Iterator[gzip.GzipFile]:
    """Compress what is written on its way into a sink; no name and no time is stored in it."""
    with gzip.GzipFile(filename="", mode="wb", fileobj=cast("BinaryIO", sink), mtime=0) as packed:
        yield packed
