"""The lock that saves writers their retries (contract RCV-3); correctness does not rest on it."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from usr_nb.contract.times import to_text, utc_now
from usr_nb.errors import LockTimeout
from usr_nb.storage import door
from usr_nb.storage.inside import check_machinery
from usr_nb.storage.layout import Layout

DEFAULT_TIMEOUT_S = 60.0
_HOLDER = "holder"


def default_timeout_s() -> float:
    """Return how long a writer waits, in seconds: ``USR_LOCK_TIMEOUT`` or 60."""
    try:
        return float(os.environ.get("USR_LOCK_TIMEOUT", DEFAULT_TIMEOUT_S))
    except ValueError:
        return DEFAULT_TIMEOUT_S


@contextlib.contextmanager
def held(folder: Path, *, action: str, timeout_s: float | None = None) -> Iterator[None]:
    """Hold the lock of a dataset (or root) folder.

    Raises
    ------
    LockTimeout
        Naming the holder, after `timeout_s` seconds.
    """
    layout = Layout(folder)
    # Opening the lock empties the file that a link leads to.
    check_machinery(folder)
    lock = FileLock(
        str(layout.lock), timeout=default_timeout_s() if timeout_s is None else timeout_s
    )
    try:
        lock.acquire(poll_interval=0.02)
    except Timeout:
        raise LockTimeout(
            f"{folder} is locked by {_holder(layout)}",
            hint="Wait for it to end, or raise USR_LOCK_TIMEOUT (seconds).",
        ) from None
    except NotImplementedError:
        # A file system without flock: the slot alone decides.
        yield
        return
    except OSError:
        with door.typed(layout.lock, "lock"):
            raise
    try:
        note = {
            "pid": os.getpid(),
            "host": door.host_name(),
            "since": to_text(utc_now()),
            "action": action,
        }
        if layout.txn.is_dir():
            door.write_hint(layout.txn / _HOLDER, json.dumps(note).encode())
        yield
    finally:
        lock.release()


def lock_pids(folder: Path) -> list[int]:
    """Return the processes of this machine that hold the lock of a folder right now.

    Read from ``/proc/locks``, so nothing is locked or written; empty where there is no such file.

    Examples
    --------
    >>> import tempfile
    >>> lock_pids(Path(tempfile.mkdtemp()))
    []
    """
    try:
        st = Layout(folder).lock.stat()
        lines = Path("/proc/locks").read_text().splitlines()
    except OSError:
        return []
    where = f"{os.major(st.st_dev):02x}:{os.minor(st.st_dev):02x}:{st.st_ino}"
    found = [line.split() for line in lines if " FLOCK " in line and f" {where} " in line]
    # A line of somebody who waits begins with an arrow.
    return [int(w[4]) for w in found if "->" not in w and w[4].isdigit()]


def holder_note(layout: Layout) -> dict[str, Any] | None:
    """Return what the last holder of the lock wrote about itself, or None."""
    try:
        note = json.loads((layout.txn / _HOLDER).read_text())
    except (OSError, ValueError):
        return None
    return note if isinstance(note, dict) else None


def _holder(layout: Layout) -> str:
    try:
        note = json.loads((layout.txn / _HOLDER).read_text())
        return f"process {note['pid']} on {note['host']} ({note['action']}, since {note['since']})"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
