"""What the processes of the tests with real processes do.

They come from a fork server that has everything imported, so that they begin to work at once.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import resource
import warnings
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pyarrow as pa

from tests.crash.store import IDS, Store
from tests.crash.verdict import no_lock
from usr_nb import ConcurrentWriteError, NamespaceError, SequencesError, register_namespace
from usr_nb.dataset.checks import trust
from usr_nb.storage.probe import Prober

PAIR = IDS[:2]


def context() -> Any:
    """Return the way in which processes are started."""
    made = multiprocessing.get_context("forkserver")
    made.set_forkserver_preload(["tests.crash.workers"])
    return made


def nth(number: int, length: int = 12) -> str:
    """Return the sequence of a number."""
    letters = ""
    for _ in range(length):
        number, digit = divmod(number, 4)
        letters = "ACGT"[digit] + letters
    return letters


def values(number: int) -> pa.Table:
    """Return two cells in each of two rows that all say the same number."""
    return pa.table({"id": PAIR, "m__n": [float(number)] * 2, "m__s": [str(number)] * 2})


# Steps that are killed ----------------------------------------------------------------------------


def _maintained(store: Store, verb: str, *args: Any, **options: Any) -> None:
    ds = store.ds()
    with ds.maintenance("test"):
        getattr(ds, verb)(*args, **options)


def _with_part(verb: str, *args: Any, **options: Any) -> Callable[[Store, int], None]:
    def step(store: Store, number: int) -> None:
        if number % 2:
            store.ds().write_overlay_part("m", values(number))
        else:
            _maintained(store, verb, *args, **options)

    return step


def _tombstone(store: Store, number: int) -> None:
    if number % 2:
        store.ds().tombstone(PAIR, reason=str(number))
    else:
        store.ds().restore(PAIR)


#: Step number n of each loop. Even and odd numbers may do different things.
STEPS: dict[str, Callable[[Store, int], Any]] = {
    "import": lambda s, n: s.ds().import_rows([nth(n)]),
    "part": lambda s, n: s.ds().write_overlay_part("m", values(n)),
    "tombstone": _tombstone,
    "state": lambda s, n: s.ds().set_state(PAIR, masked=n % 2 == 1),
    "materialize": _with_part("materialize", keep_overlays=False),
    "compact": _with_part("compact_overlay", "m"),
}


def keep_stepping(folder: str, name: str, first: int, out: Connection) -> None:
    """Do step after step, saying when each begins and ends, until killed."""
    store = Store(Path(folder))
    number = first
    # The first of a process also loads what is loaded late; kills are to hit the work itself.
    store.ds().head(1)
    while True:
        out.send(("begin", number))
        STEPS[name](store, number)
        out.send(("end", number))
        number += 1


def run_limited(folder: str, name: str, number: int, limit: int, out: Connection) -> None:
    """Do one step under a limit on the size of files, and say how it went."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    with warnings.catch_warnings(record=True):
        warnings.simplefilter("always")
        try:
            STEPS[name](Store(Path(folder)), number)
        except SequencesError as error:
            out.send(("typed", str(error)))
        except BaseException as error:  # noqa: BLE001
            out.send(("untyped", repr(error)))
        else:
            out.send(("done", ""))


# Many writers -------------------------------------------------------------------------------------


@contextlib.contextmanager
def _locking(on: bool) -> Iterator[None]:
    with contextlib.nullcontext() if on else no_lock():
        yield


def _stubborn(run: Callable[[], Any]) -> int:
    """Do it, again as often as another writer is first too often; returns the refusals."""
    refused = 0
    while True:
        try:
            run()
        except ConcurrentWriteError:
            refused += 1
            if refused > 50:
                raise
        else:
            return refused


def _write(store: Store, kind: str, worker: int, n: int) -> None:
    ds = store.ds()
    if kind == "part":
        row = nth(1000 + worker)
        table = pa.table({"sequence": [row], "c__a": [n + 1], "c__b": [n + 1]})
        ds.write_overlay_part("c", table, key="sequence")
    elif kind == "import":
        ds.import_rows([nth(5000 + 100 * worker + n)])
    elif kind == "tombstone":
        ds.tombstone(IDS[n % 3], reason=f"{worker}/{n}")
        ds.restore(IDS[n % 3])
    elif kind == "state":
        ds.set_state(IDS[3 + worker % 3], lineage=[f"{worker}", f"{n}"])
    elif kind == "register":
        register_namespace(store.root, namespace=f"w{worker}_{n}", columns="v:int64")
    elif kind == "maintain":
        # After a materialize there may be no part yet.
        with ds.maintenance("test"), contextlib.suppress(NamespaceError):
            if n % 3 == 2:
                ds.materialize(["c"], keep_overlays=False)
            else:
                ds.compact_overlay("c")


def write_many(folder: str, job: tuple[str, int, int], locked: bool, out: Connection) -> None:
    """Be one of many writers; say how many changes were acknowledged, or what went wrong."""
    kind, worker, count = job
    done = 0
    try:
        with _locking(locked), warnings.catch_warnings():
            warnings.simplefilter("error")
            for n in range(count):
                _stubborn(lambda n=n: _write(Store(Path(folder)), kind, worker, n))
                done += 1
        out.send((kind, worker, done, ""))
    except BaseException as error:  # noqa: BLE001 - it is told, and the test fails
        out.send((kind, worker, done, repr(error)))


def read_many(folder: str, stop: Any, least: int, out: Connection) -> None:
    """Read several columns until the writers are done; say how often, and what was wrong."""
    store = Store(Path(folder))
    seen: dict[str, int] = {}
    rows = reads = 0
    wrong: list[str] = []
    try:
        while not (stop.is_set() and reads >= least) and not wrong:
            batches = store.ds().scan(
                columns=["id", "sequence", "c__a", "c__b"], include_deleted=True
            )
            found = [row for b in batches for row in b.to_pylist()]
            reads += 1
            if len(found) < rows:
                wrong.append(f"{len(found)} rows after {rows}")
            rows = len(found)
            for row in found:
                a, b, key = row["c__a"] or 0, row["c__b"] or 0, row["sequence"]
                if a != b:
                    wrong.append(f"{key}: {a} beside {b}")
                if a < seen.get(key, 0):
                    wrong.append(f"{key}: {a} after {seen[key]}")
                seen[key] = a
        out.send((reads, wrong))
    except BaseException as error:  # noqa: BLE001 - it is told, and the test fails
        out.send((reads, [*wrong, repr(error)]))


# Bit rot ------------------------------------------------------------------------------------------


def examine_many(folder: str, inbox: Connection, out: Connection) -> None:
    """Examine whenever asked, by ``validate`` or ``doctor``; say whether an error was found.

    The process is watched, but not protected: a file that hangs or ends its reader must be met by
    what the two do themselves. Only the child that reads doubtful files is kept from call to call.
    """
    store = Store(Path(folder))
    with Prober() as prober:
        trust.Prober = lambda: contextlib.nullcontext(prober)
        while what := inbox.recv():
            try:
                out.send((_examined(store, what), ""))
            except BaseException as error:  # noqa: BLE001 - it is told, and the test fails
                out.send(("untyped", repr(error)))


def _examined(store: Store, what: str) -> str:
    if what == "doctor":
        return "silent" if store.ds().doctor(test_files=False).ok else "found"
    try:
        store.ds().validate(registry_mode="namespace-either")
    except SequencesError:
        return "found"
    return "silent"


__all__ = ["STEPS", "context", "examine_many", "keep_stepping", "nth", "os", "read_many",
           "run_limited", "values", "write_many"]  # fmt: skip
