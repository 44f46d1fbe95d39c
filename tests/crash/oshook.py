"""The operating system's calls under observation: recorded, made to fail, or interrupted.

The functions of the module ``os`` themselves are replaced, whatever code calls them, so a change
that goes past the store's own door is seen as well. Only paths below one folder are watched.
"""

# The calls of the operating system are what this is about.
# ruff: noqa: PTH100, PTH112

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: The kinds of calls that :mod:`tests.crash.disk` knows the crash states of.
WATCHED = (
    "open", "write", "fsync", "fdatasync", "link", "rename", "replace", "unlink", "remove",
    "mkdir", "rmdir",
)  # fmt: skip
#: Calls that change a disk and have no states there. Meeting one fails the test.
UNKNOWN_BY_PATH = (
    "truncate", "symlink", "chmod", "chown", "lchown", "utime", "mkfifo", "mknod", "setxattr",
    "removexattr",
)  # fmt: skip
UNKNOWN_BY_FD = (
    "ftruncate", "pwrite", "pwritev", "writev", "sendfile", "copy_file_range", "splice", "fchmod",
    "fchown", "posix_fallocate",
)  # fmt: skip
#: Where a file that exists may be opened for writing other than by appending: nobody reads it.
IN_PLACE = {".usr.lock"}
#: No process has it: Linux gives out numbers up to 2^22.
DEAD_PID = (1 << 22) + 7

REAL = {n: getattr(os, n) for n in (*WATCHED, *UNKNOWN_BY_PATH, *UNKNOWN_BY_FD) if hasattr(os, n)}
REAL |= {"close": os.close, "getpid": os.getpid}


class Killed(BaseException):
    """The process is gone: nothing that it does afterwards reaches the disk."""


class UnknownCall(Exception):
    """A call changed the disk in a way that the harness has no crash states for."""


@dataclass(frozen=True)
class Call:
    """One call that changed the disk, as :class:`tests.crash.disk.Disk` replays it.

    `kind` is create, open, write, fsync, fsync_dir, link, rename, unlink, mkdir or rmdir; `path`
    and `to` are relative to the watched folder; `handle` ties writes to the file they go to.
    """

    kind: str
    path: str
    to: str = ""
    handle: int = 0
    data: bytes = b""
    #: Which attempt this was, counted over all watched calls, failed ones too.
    number: int = 0


class Hook:
    """Watches one folder while it is active.

    Attributes
    ----------
    calls : list of Call
        What changed the disk, in order.
    attempts : list of (str, str)
        Every watched call with its path, also those that failed: the points of injection.
    """

    def __init__(
        self,
        folder: Path,
        *,
        at: int | None = None,
        fault: int | type[Killed] | Callable[[], None] | None = None,
    ) -> None:
        self.folder = os.path.realpath(folder)
        self.at = at
        self.fault = fault
        self.calls: list[Call] = []
        self.attempts: list[tuple[str, str]] = []
        self.reached = False
        self._handles: dict[int, tuple[int, str, bool]] = {}
        self._count = 0
        self._full: int | None = None
        self._paused = False

    # Finding out what is meant -----------------------------------------------------------------

    def relative(self, path: Any) -> str | None:
        """Return the path below the watched folder, or None for any other."""
        if isinstance(path, int):
            return None
        text = os.path.abspath(os.fspath(path))
        if isinstance(text, bytes):
            text = os.fsdecode(text)
        if text == self.folder:
            return "."
        return text[len(self.folder) + 1 :] if text.startswith(self.folder + os.sep) else None

    def point(self, kind: str, path: str) -> int:
        """Count an attempt, and let the fault happen if this is the one."""
        number = len(self.attempts)
        self.attempts.append((kind, path))
        if self.fault is Killed and self.at is not None and number >= self.at:
            self.reached = True
            raise Killed
        if number == self.at:
            self.reached = True
            if isinstance(self.fault, int):
                if not (kind == "write" and self.fault == errno.ENOSPC):
                    raise OSError(self.fault, os.strerror(self.fault))
            elif callable(self.fault):
                # Another process's turn: it is not watched, and has its own identity.
                self._paused = True
                try:
                    self.fault()
                finally:
                    self._paused = False
        return number

    def _did(self, kind: str, path: str, number: int, **more: Any) -> None:
        self.calls.append(Call(kind, path, number=number, **more))

    # The calls ---------------------------------------------------------------------------------

    def open(self, path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        rel = None if dir_fd is not None else self.relative(path)
        if rel is None or self._paused:
            return REAL["open"](path, flags, mode, dir_fd=dir_fd)
        if not flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC):
            fd = REAL["open"](path, flags, mode)
            self._handles[fd] = (0, rel, os.path.isdir(path))
            return fd
        number = self.point("open", rel)
        existed = os.path.lexists(path)
        fd = REAL["open"](path, flags, mode)
        name = rel.rpartition("/")[2]
        if flags & os.O_TRUNC or (existed and not flags & os.O_APPEND and name not in IN_PLACE):
            REAL["close"](fd)
            raise UnknownCall(f"open({rel}) rewrites a file in place")
        self._count += 1
        self._handles[fd] = (self._count, rel, False)
        self._did("open" if existed else "create", rel, number, handle=self._count)
        return fd

    def close(self, fd: int) -> None:
        self._handles.pop(fd, None)
        REAL["close"](fd)

    def write(self, fd: int, data: Any) -> int:
        handle, rel, _ = self._handles.get(fd, (0, "", False))
        if not handle or self._paused:
            return REAL["write"](fd, data)
        number = self.point("write", rel)
        if self._full == handle:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        view = memoryview(data).cast("B")
        if number == self.at and self.fault == errno.ENOSPC:
            # A full disk takes what fits, then refuses.
            self._full = handle
            view = view[: len(view) // 2]
            if not len(view):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        done = REAL["write"](fd, view)
        self._did("write", rel, number, handle=handle, data=bytes(view[:done]))
        return done

    def fsync(self, fd: int) -> None:
        handle, rel, is_dir = self._handles.get(fd, (0, "", False))
        if not rel or self._paused:
            return
        number = self.point("fsync", rel)
        self._did("fsync_dir" if is_dir else "fsync", rel, number, handle=handle)

    def _two(self, kind: str, source: Any, target: Any, options: dict[str, Any]) -> None:
        a, b = self.relative(source), self.relative(target)
        if (a is None and b is None) or self._paused:
            REAL[kind](source, target, **options)
            return
        if a is None or b is None or any(v not in (None, True) for v in options.values()):
            raise UnknownCall(f"{kind}({source}, {target}) with {options}")
        number = self.point(kind, b)
        REAL[kind](source, target)
        self._did("link" if kind == "link" else "rename", a, number, to=b)

    def _one(self, kind: str, path: Any, args: tuple[Any, ...], options: dict[str, Any]) -> None:
        rel = None if options.get("dir_fd") is not None else self.relative(path)
        if rel is None or self._paused:
            REAL[kind](path, *args, **options)
            return
        number = self.point(kind, rel)
        REAL[kind](path, *args)
        self._did("unlink" if kind == "remove" else kind, rel, number)

    def replacements(self) -> dict[str, Callable[..., Any]]:
        """Return what stands in for each function of ``os``."""

        def two(kind: str) -> Callable[..., None]:
            return lambda a, b, **options: self._two(kind, a, b, options)

        def one(kind: str) -> Callable[..., None]:
            return lambda path, *args, **options: self._one(kind, path, args, options)

        def unknown(kind: str, by_fd: bool) -> Callable[..., Any]:
            def call(first: Any, *args: Any, **options: Any) -> Any:
                paths = [a for a in (first, *args) if isinstance(a, str | bytes | os.PathLike)]
                mine = first in self._handles if by_fd else any(map(self.relative, paths))
                if mine and not self._paused:
                    raise UnknownCall(f"os.{kind}({first})")
                return REAL[kind](first, *args, **options)

            return call

        calls: dict[str, Callable[..., Any]] = {
            "open": self.open, "close": self.close, "write": self.write, "fsync": self.fsync,
            "fdatasync": self.fsync,
        }  # fmt: skip
        calls |= {k: two(k) for k in ("link", "rename", "replace")}
        calls |= {k: one(k) for k in ("unlink", "remove", "mkdir", "rmdir")}
        calls |= {k: unknown(k, by_fd=False) for k in UNKNOWN_BY_PATH if k in REAL}
        calls |= {k: unknown(k, by_fd=True) for k in UNKNOWN_BY_FD if k in REAL}
        return calls

    @contextlib.contextmanager
    def active(self, *, pid: int | None = None) -> Iterator[Hook]:
        """Watch; with `pid` the process believes to have that number."""
        calls = self.replacements()
        if pid is not None:
            calls["getpid"] = lambda: REAL["getpid"]() if self._paused else pid
        outer, _STATE.hook = _STATE.hook, self
        before = {n: getattr(os, n) for n in calls}
        for name, call in calls.items():
            setattr(os, name, call)
        try:
            yield self
        finally:
            for name, call in before.items():
                setattr(os, name, call)
            _STATE.hook = outer

    def audit(self, path: Any, mode: Any, flags: int) -> None:
        """Refuse files that are opened for writing by other means than ``os.open``."""
        writes = flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        if mode is not None and writes and not self._paused and isinstance(path, str | bytes):
            rel = self.relative(path)
            if rel is not None:
                raise UnknownCall(f"open({rel!r}, {mode!r}) past os.open")


class _State:
    hook: Hook | None = None


_STATE = _State()


def _audit(event: str, args: tuple[Any, ...]) -> None:
    if event == "open" and _STATE.hook is not None:
        _STATE.hook.audit(*args)


# An audit hook stays for the life of the process; it does nothing while no Hook is active.
sys.addaudithook(_audit)


@contextlib.contextmanager
def no_fsync() -> Iterator[None]:
    """Make fsync cost nothing, for the parts of a test that are about something else."""
    before = os.fsync
    os.fsync = lambda fd: None
    try:
        yield
    finally:
        os.fsync = before
