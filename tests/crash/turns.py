"""Two writers without a lock: the second takes its whole turn between any two calls of the first.

In one process, so every interleaving of this kind is tried and none is left to chance.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from tests.crash.disk import Disk, read_image, write_disk
from tests.crash.ops import BY_NAME, maintained, template
from tests.crash.oshook import Hook
from tests.crash.store import IDS, NEW, SEQUENCES, Store
from tests.crash.verdict import (
    DAY,
    _invalid,
    _operations,
    litter,
    next_writer,
    no_lock,
    read_state,
)
from usr_nb import compute_id, load_registry, register_namespace
from usr_nb.dataset import compaction

LATE = "GGGGGGGGGG"


@dataclass(frozen=True)
class Writer:
    """A change, and how one sees that it is there."""

    run: Callable[[Store], Any]
    there: Callable[[dict[str, Any]], bool]
    actions: tuple[str, ...]


def _row(table: dict[str, Any], id: str) -> dict[str, Any]:
    if id not in table["id"]:
        return {}
    at = table["id"].index(id)
    return {n: c[at] for n, c in table.items() if n != "registry"}


def cell(column: str, id: str, value: Any) -> Callable[[dict[str, Any]], bool]:
    return lambda table: _row(table, id).get(column) == value


def _new_k(store: Store) -> None:
    ds = store.ds()
    ds.write_overlay_part("k", pa.table({"id": IDS[:2], "k__x": [500.0, 501.0]}))
    with ds.maintenance("test"):
        ds.compact_overlay("k", single_file=True)


def _two_states(store: Store) -> None:
    store.ds().set_state(IDS[4], split="test")
    store.ds().set_state(IDS[4], masked=True)


def _register(store: Store, namespace: str) -> None:
    register_namespace(store.root, namespace=namespace, columns="v:int64")


def _registered(namespace: str) -> Callable[[dict[str, Any]], bool]:
    return lambda table: namespace in table["registry"]


def _keeps_m(table: dict[str, Any]) -> bool:
    return cell("m__n", IDS[1], 20.0)(table) and cell("m__n", IDS[3], 4.0)(table)


FIRST: dict[str, Writer] = {
    "import-append": Writer(
        BY_NAME["import-append"].run,
        lambda t: all(compute_id("dna", s) in t["id"] for s in NEW),
        ("import_rows",),
    ),
    "tombstone": Writer(
        BY_NAME["tombstone"].run, cell("usr__deleted", IDS[0], True), ("tombstone",)
    ),
    "state-set": Writer(
        BY_NAME["state-set"].run, cell("usr_state__qc_status", IDS[1], "pass"), ("state_set",)
    ),
    "compact-parts": Writer(BY_NAME["compact-parts"].run, _keeps_m, ("compact_overlay",)),
    "materialize-drop": Writer(BY_NAME["materialize-drop"].run, _keeps_m, ("materialize",)),
    "dedupe": Writer(
        maintained("dedupe", "sequence_ci"), lambda t: IDS[3] not in t["id"], ("dedupe",)
    ),
    "part": Writer(BY_NAME["part"].run, cell("m__n", IDS[2], 5.0), ("write_overlay_part",)),
    "attach": Writer(BY_NAME["attach"].run, cell("m__n", IDS[0], 7.0), ("attach",)),
    "remove-overlay": Writer(
        BY_NAME["remove-overlay"].run, lambda _: True, ("remove_overlay",)
    ),
    "register-later": Writer(BY_NAME["register-later"].run, _registered("later"), ()),
}  # fmt: skip

SECOND: dict[str, Writer] = {
    "part": Writer(
        lambda s: s.ds().write_overlay_part("m", pa.table({"id": [IDS[4]], "m__n": [55.0]})),
        cell("m__n", IDS[4], 55.0),
        ("write_overlay_part",),
    ),
    "import": Writer(
        lambda s: s.ds().import_rows([LATE]),
        lambda t: compute_id("dna", LATE) in t["id"],
        ("import_rows",),
    ),
    "tombstone": Writer(
        lambda s: s.ds().tombstone(IDS[4], reason="late"),
        cell("usr__deleted_reason", IDS[4], "late"),
        ("tombstone",),
    ),
    "states": Writer(
        _two_states,
        lambda t: _row(t, IDS[4])["usr_state__masked"] is True
        and _row(t, IDS[4])["usr_state__split"] == "test",
        ("state_set", "state_set"),
    ),
    "tombstones": Writer(
        lambda s: (s.ds().tombstone(IDS[4], reason="late"), s.ds().tombstone(IDS[2])),
        lambda t: all(_row(t, i)["usr__deleted"] is True for i in (IDS[4], IDS[2])),
        ("tombstone", "tombstone"),
    ),
    "register": Writer(lambda s: _register(s, "second"), _registered("second"), ()),
    "new-k": Writer(
        _new_k, cell("k__x", IDS[0], 500.0), ("write_overlay_part", "compact_overlay")
    ),
}  # fmt: skip
#: What undoes the other's change on purpose, if it is committed last.
UNDOES = {("remove-overlay", "new-k")}


class Turns:
    """Runs one writer, and another between two of its calls."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = Store(folder / "turns")
        self.start = Disk.of_folder(template(folder, BY_NAME["part"]))
        self.known = _operations(self._log())
        self.problems: Counter[str] = Counter()
        self.undone = False

    def _log(self) -> list[bytes]:
        data = self.start.image()["root/ns/demo/.events.log"] or b""
        return data.splitlines(keepends=True)

    def count(self, first: str) -> int:
        """Return the number of calls of a writer that is left alone."""
        write_disk(self.start, self.store.folder)
        hook = Hook(self.store.folder)
        with hook.active(), no_lock():
            FIRST[first].run(self.store)
        return len(hook.attempts)

    def run(self, first: str, second: str, at: int) -> None:
        """Let `second` run in the middle of `first`, before its call number `at`."""
        write_disk(self.start, self.store.folder)
        done: list[bool] = []

        def other() -> None:
            SECOND[second].run(self.store)
            done.append(True)

        hook = Hook(self.store.folder, at=at, fault=other)
        what = ""
        with no_lock():
            try:
                with hook.active():
                    FIRST[first].run(self.store)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is the finding
                what = f"{first} fails: {error!r}"
        commit = max((n for n, (k, p) in enumerate(hook.attempts) if k == "link" and "slot-" in p),
                     default=-1)  # fmt: skip
        self.undone = (first, second) in UNDOES and at <= commit
        call = " ".join(hook.attempts[at]) if at < len(hook.attempts) else "no call"
        for problem in [what] if what else self._problems(first, second, bool(done), at):
            self.problems[f"{first} with {second} before call {at} ({call}): {problem}"] += 1

    def _problems(self, first: str, second: str, done: bool, at: int) -> Iterator[str]:
        if not done:
            yield "the second had no turn"
            return
        yield from self._state(first, second)
        try:
            next_writer(self.store, BY_NAME["part"], seconds=DAY)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the finding
            yield f"the next writer fails: {error!r}"
            return
        yield from self._state(first, second)
        left = litter(self.store.folder)
        if left:
            yield f"left over: {left}"
        yield from self._events(first, second)
        problem = _invalid(self.store, BY_NAME["part"])
        if problem is not None:
            yield problem

    def _state(self, first: str, second: str) -> Iterator[str]:
        try:
            table = read_state(self.store, BY_NAME["part"])["table"]
        except Exception as error:  # noqa: BLE001
            yield f"cannot be read: {error!r}"
            return
        table["registry"] = list(load_registry(self.store.root))
        if not FIRST[first].there(table):
            yield f"{first} is lost"
        if not self.undone and not SECOND[second].there(table):
            yield f"{second} is lost"

    def _events(self, first: str, second: str) -> Iterator[str]:
        log = read_image(self.store.folder)["root/ns/demo/.events.log"] or b""
        found = _operations(log.splitlines(keepends=True)) - self.known
        wanted = [*FIRST[first].actions, *SECOND[second].actions]
        told = sorted(a for _, a in found if a not in ("recovered", "registry_freeze"))
        if told != sorted(wanted):
            yield f"the log tells of {told}, not of {sorted(wanted)}"


@contextlib.contextmanager
def during_fold(run: Callable[[], Any]) -> Iterator[None]:
    """Let something happen once while a compaction folds the parts that it has seen."""
    real = compaction.fold
    left = [run]

    def fold(*args: Any) -> Any:
        if left:
            left.pop()()
        return real(*args)

    compaction.fold = fold
    try:
        yield
    finally:
        compaction.fold = real


def part_during_compaction(folder: Path, *, single_file: bool) -> list[str]:
    """Let a part land in the middle of a compaction; returns what is wrong."""
    store = Store(folder / "turns")
    write_disk(Disk.of_folder(template(folder, BY_NAME["part"])), store.folder)
    ds = store.ds()
    value = {"id": IDS[1:3], "m__n": [555.0, 556.0]}
    landing = during_fold(lambda: store.ds().write_overlay_part("m", pa.table(value)))
    with landing, ds.maintenance("test"):
        ds.compact_overlay("m", single_file=single_file)
    table = read_state(store, BY_NAME["part"])["table"]
    found = [
        f"{column} of {SEQUENCES[n]} is {_row(table, IDS[n])[column]}, not {wanted}"
        for column, n, wanted in (
            ("m__n", 1, 555.0), ("m__n", 2, 556.0), ("m__n", 0, 1.0), ("m__s", 1, "b"),
        )
        if _row(table, IDS[n])[column] != wanted
    ]  # fmt: skip
    problem = _invalid(store, BY_NAME["part"])
    return found + ([problem] if problem else [])


__all__ = ["FIRST", "SECOND", "Turns", "part_during_compaction"]
