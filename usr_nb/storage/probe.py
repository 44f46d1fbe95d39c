"""Parsing a Parquet file that nobody vouches for, in a process of its own (contract VAL).

A damaged file can make its reader hang, end the process, or ask for all memory. So a file whose
bytes are not those that were committed is first read by a child process, wholly, under a limit on
time and memory. What befalls the child is a finding about the file. ``python -m
usr_nb.storage.probe`` is that child: it imports little, and answers one line of JSON per line.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import select
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, Self

import pyarrow as pa
import pyarrow.parquet as pq

from usr_nb.errors import StorageError

Outcome = Literal["sound", "unreadable", "hung", "crashed", "memory"]

#: Time for a file, in seconds, and how many bytes of it give another second.
LIMIT_S: Final = 5.0
BYTES_PER_S: Final = 4 << 20
#: Memory for a file beyond what the child takes by itself, in bytes, and what its size adds.
LIMIT_BYTES: Final = 512 << 20
SIZE_FACTOR: Final = 8
START_S: Final = 60.0
_BATCH_ROWS: Final = 1024
_MIB: Final = 1 << 20
_HINT: Final = "Other programs may hang on it, too. Restore it from a snapshot or another copy."


@dataclass(frozen=True)
class Probed:
    """What reading a file in a process of its own came to.

    Attributes
    ----------
    path : Path
        The file.
    outcome : {"sound", "unreadable", "hung", "crashed", "memory"}
        Whether every page could be read, or why not.
    message : str
        What happened, in words; empty if it is sound.
    hint : str or None
        What to do next.
    """

    path: Path
    outcome: Outcome
    message: str = ""
    hint: str | None = None

    @property
    def is_sound(self) -> bool:
        """Whether the file can be read here without danger."""
        return self.outcome == "sound"


class Prober:
    """One child process that reads files on demand; after a death the next file gets a new one.

    Use as a context manager. The child is started with the first file.

    Parameters
    ----------
    limit_s : float
        Seconds for a file; its size adds to them (:data:`BYTES_PER_S`).
    limit_bytes : int
        Memory for a file in bytes; its size adds to it (:data:`SIZE_FACTOR`).

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "x.parquet"
    >>> _ = path.write_bytes(b"PAR1 no parquet PAR1")
    >>> with Prober() as prober:
    ...     prober.probe(path).outcome
    'unreadable'
    """

    def __init__(self, *, limit_s: float = LIMIT_S, limit_bytes: int = LIMIT_BYTES) -> None:
        self.limit_s = limit_s
        self.limit_bytes = limit_bytes
        self._child: subprocess.Popen[bytes] | None = None
        self._held = b""

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
        """End the child."""
        child, self._child, self._held = self._child, None, b""
        if child is None:
            return
        child.kill()
        for pipe in (child.stdin, child.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        child.wait()

    def probe(self, path: Path) -> Probed:
        """Read the footer and every page of a file.

        Parameters
        ----------
        path : Path
            A file that is there.

        Raises
        ------
        FileNotFoundError
            It is gone.
        StorageError
            The child could not be started, which says nothing about the file.
        """
        size = path.stat().st_size
        seconds = self.limit_s + size / BYTES_PER_S
        memory = self.limit_bytes + SIZE_FACTOR * size
        child = self._started()
        asked = {"path": str(path.absolute()), "seconds": seconds, "memory": memory}
        with contextlib.suppress(BrokenPipeError):
            if child.stdin is not None:
                child.stdin.write(json.dumps(asked).encode() + b"\n")
                child.stdin.flush()
        answer = self._answer(child, seconds)
        if answer is None:
            return self._ended(child, path, seconds)
        outcome, said = answer.get("outcome", "crashed"), str(answer.get("message", ""))
        if outcome == "memory":
            return Probed(
                path, "memory", f"reading it asks for more than {memory // _MIB:,} MiB", _HINT
            )
        if outcome == "unreadable":
            return Probed(
                path, "unreadable", f"it is not a readable Parquet file: {said.rstrip('.')}", _HINT
            )
        return Probed(path, "sound")

    def _started(self) -> subprocess.Popen[bytes]:
        if self._child is not None and self._child.poll() is None:
            return self._child
        self.close()
        try:
            # -P: a file named json.py in the working folder must not be run by us.
            self._child = subprocess.Popen(
                [sys.executable, "-P", "-m", "usr_nb.storage.probe"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=_environment(),
            )
        except OSError as error:
            raise _cannot_start(str(error)) from error
        if self._answer(self._child, START_S) is None:
            self.close()
            raise _cannot_start("it did not answer")
        return self._child

    def _answer(self, child: subprocess.Popen[bytes], seconds: float) -> dict[str, Any] | None:
        """Return the child's next line; None if it ends, or does not answer in time."""
        if child.stdout is None:
            return None
        end = time.monotonic() + seconds
        waiting = select.poll()  # Not select(): it fails where a thousand files are open.
        waiting.register(child.stdout, select.POLLIN)
        while b"\n" not in self._held:
            ready = waiting.poll(1000 * max(0.0, end - time.monotonic()))
            block = os.read(child.stdout.fileno(), 1 << 16) if ready else b""
            if not block:
                return None
            self._held += block
        line, _, self._held = self._held.partition(b"\n")
        found: dict[str, Any] = json.loads(line)
        return found

    def _ended(self, child: subprocess.Popen[bytes], path: Path, seconds: float) -> Probed:
        """Say why there was no answer, and let the next file have another child."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(0.2)
        code = child.returncode
        self.close()
        if code is None or code == -signal.SIGXCPU:
            return Probed(path, "hung", f"reading it takes longer than {seconds:.0f} s", _HINT)
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return Probed(path, "crashed", f"reading it ends the process ({how})", _HINT)


def _environment() -> dict[str, str]:
    package = str(Path(__file__).resolve().parents[2])
    known = os.environ.get("PYTHONPATH")
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([package, known] if known else [package]),
        # Other allocators reserve address space far ahead, which is what the limit counts.
        "ARROW_DEFAULT_MEMORY_POOL": "system",
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
    }


def _cannot_start(why: str) -> StorageError:
    return StorageError(
        f"Files that nobody vouches for are read in a process of its own, which cannot be "
        f"started: {why}",
        hint="Check that there is memory, and room for another process (`ulimit -u`).",
    )


# The child --------------------------------------------------------------------------------------


def _serve() -> None:
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.stdout.write('{"outcome": "ready"}\n')
    sys.stdout.flush()
    for line in sys.stdin:
        asked = json.loads(line)
        _limit(float(asked["seconds"]), int(asked["memory"]))
        answer = _parse(Path(asked["path"]))
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def _limit(seconds: float, memory: int) -> None:
    """Limit what the next file may take; the limits on all of the process go up each time."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    # Should nobody be left who could kill us, this ends a loop.
    cpu = int(used.ru_utime + used.ru_stime + 2 * seconds + 2)
    with contextlib.suppress(OSError, ValueError):
        hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
        resource.setrlimit(resource.RLIMIT_CPU, (cpu, hard))
    # macOS knows neither /proc nor this limit: there the time alone protects.
    with contextlib.suppress(OSError, ValueError):
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + memory, hard))


def _parse(path: Path) -> dict[str, str]:
    """Read everything, a few rows at a time, and say how it went."""
    try:
        with (
            pa.OSFile(str(path), "rb") as source,
            pq.ParquetFile(source, page_checksum_verification=True) as file,
        ):
            file.schema_arrow  # noqa: B018 - building it may fail
            for batch in file.iter_batches(batch_size=_BATCH_ROWS, use_threads=False):
                batch.validate(full=True)
    except MemoryError:
        return {"outcome": "memory"}
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the finding
        first = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        return {"outcome": "unreadable", "message": first}
    return {"outcome": "sound"}


if __name__ == "__main__":
    _serve()
