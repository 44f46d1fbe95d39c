"""Child processes whose pipes are served at once, and who do not outlive this process."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import IO, Final

from usr_nb.errors import SequencesError, TransferError

_TICK_S: Final = 0.25
# A line says that all is done; without one, who would have written it was killed. The time limit of
# rsync does not help there: while the other side takes what keeps the connection alive, it waits.
_WATCH: Final = 'read -r line || kill -s TERM -- "-$1"'
_GRACE_S: Final = 3.0
#: How long a program may live after it has closed its pipes.
_LAST_S: Final = 30.0
_MAX_STDERR: Final = 64 << 10


@dataclass(frozen=True)
class Ended:
    """How a child process ended."""

    code: int
    out: bytes
    err: str


@dataclass
class Child:
    """A child process whose three pipes are served at once, until it ends or is to end."""

    argv: Sequence[str]
    given: bytes
    own_group: bool
    on_output: Callable[[bytes], None] | None = None
    out: list[bytes] = field(default_factory=list)
    err: bytearray = field(default_factory=bytearray)

    def run(self, *, timeout_s: float | None, tick: Callable[[float], None]) -> Ended:
        """Run to the end; any exception, of the tick too, ends the child first."""
        env = {k: v for k, v in os.environ.items() if not k.startswith("RSYNC_")}
        env["LC_ALL"] = "C"
        try:
            process = subprocess.Popen(  # noqa: S603 - a list, no shell
                self.argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                bufsize=0, env=env, start_new_session=self.own_group,
            )  # fmt: skip
        except OSError as error:
            raise _no_program(self.argv[0], error) from None
        watch = _watch(process.pid) if self.own_group else None
        try:
            self._serve(process, timeout_s, tick)
            code = process.wait(_LAST_S)
        except subprocess.TimeoutExpired:
            self._end(process)
            raise SlowError from None
        except BaseException:
            self._end(process)
            raise
        finally:
            for pipe in (process.stdin, process.stdout, process.stderr):
                if pipe is not None:
                    with contextlib.suppress(OSError):
                        pipe.close()
            if watch is not None:
                with contextlib.suppress(OSError):
                    watch.communicate(b"done\n")
        err = bytes(self.err[-_MAX_STDERR:]).decode("utf-8", "replace")
        return Ended(code, b"".join(self.out), err)

    def _serve(
        self,
        process: subprocess.Popen[bytes],
        timeout_s: float | None,
        tick: Callable[[float], None],
    ) -> None:
        begun = time.monotonic()
        left = memoryview(self.given)
        pipes = (process.stdin, process.stdout, process.stderr)
        with selectors.DefaultSelector() as ready:
            for pipe, event in zip(pipes, (2, 1, 1), strict=True):
                if pipe is not None:
                    os.set_blocking(pipe.fileno(), False)
                    ready.register(pipe, event)
            while ready.get_map():
                for key, _ in ready.select(_TICK_S):
                    if process.stdin is not None and key.fileobj is process.stdin:
                        left = self._give(process.stdin, left)
                        done = not left
                    else:
                        done = not self._take(key.fd, is_out=key.fileobj is process.stdout)
                    if done:
                        ready.unregister(key.fileobj)
                        key.fileobj.close()  # type: ignore[union-attr]
                passed = time.monotonic() - begun
                if timeout_s is not None and passed > timeout_s:
                    raise subprocess.TimeoutExpired(self.argv[0], timeout_s)
                tick(passed)

    @staticmethod
    def _give(pipe: IO[bytes], left: memoryview) -> memoryview:
        try:
            # Unbuffered and not blocking: None where the pipe is full.
            return left[pipe.write(left[: 1 << 16]) or 0 :]
        except BrokenPipeError:
            return left[:0]  # It ended without reading all; its exit code says why.

    def _take(self, fd: int, *, is_out: bool) -> bool:
        try:
            data = os.read(fd, 1 << 16)
        except BlockingIOError:
            return True
        if not is_out:
            self.err += data
        elif self.on_output is not None:
            self.on_output(data)
        else:
            self.out.append(data)
        return bool(data)

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        for how in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                if self.own_group:
                    os.killpg(process.pid, how)
                else:
                    process.send_signal(how)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_GRACE_S)
                if not self.own_group:
                    return


def _watch(group: int) -> subprocess.Popen[bytes] | None:
    """Start what ends a group of processes once this process is gone, however that came about."""
    try:
        return subprocess.Popen(  # noqa: S603 - a list, and a number
            ["/bin/sh", "-c", _WATCH, "sh", str(group)], start_new_session=True,
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
    except OSError:
        return None  # All else works without it.


class SlowError(Exception):
    """A child process took longer than it may."""


def _no_program(name: str, error: OSError) -> SequencesError:
    return TransferError(
        f"{name} cannot be started here: {error.strerror}",
        hint=f"Install {'rsync' if name == 'rsync' else 'openssh-client'} and have it in PATH.",
    )
