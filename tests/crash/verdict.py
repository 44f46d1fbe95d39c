"""Is a crash state good? What is read from it, what the next writer makes of it, what is left."""

from __future__ import annotations

import contextlib
import json
import math
import re
import shutil
import time
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from tests.crash.disk import Disk, Image, known_files, read_image, write_disk
from tests.crash.ops import Operation, template
from tests.crash.oshook import DEAD_PID, Call, Hook
from tests.crash.store import NAME, Store
from usr_nb import Dataset, SequencesError
from usr_nb.contract.events import operation_of
from usr_nb.overlay import parts
from usr_nb.storage import columnsfile, eventlog, lock, parquet, registryfile, slots
from usr_nb.storage.intents import dataset_exists, is_operation_id
from usr_nb.storage.layout import Layout

DAY = 25 * 3600.0
#: What the next writer, and the freezing of a registry, say of themselves.
ASIDE = ("registry_freeze",)
#: What differs between two runs of the same operation.
CLOCKED = {"created_at", "usr__deleted_at"}
_TEMP = re.compile(r"(^|/)\.tmp-[^/]*\Z")
_SLOT = re.compile(r"(.*/)?_txn/slot-(\d{12})\Z")
_STAGED = re.compile(r"(.*/)?_txn/(\d{8}T\d{12}Z-[0-9a-f]{12})(/.*)?\Z")
_ASIDE = re.compile(
    r"(.*/)?(_txn/(slot-\d{12}|holder|checked|remotes/lab/incoming/.*)"
    r"|\.usr\.lock|\.events\.log|meta\.md)\Z"
)
_NOTE = re.compile(rb"(?m)^- \S+Z: .*\n```bash\n.*\n```$")
_NUMBERS = re.compile(r"\d{8}T\d{12}Z?|[0-9a-f]{32,64}|(?<=-)[0-9a-f]{12}(?=/|\Z)")

State = dict[str, Any]


# What is read -----------------------------------------------------------------------------------


def _plain(value: Any) -> Any:
    return "nan" if isinstance(value, float) and math.isnan(value) else value


def _registry(root: Path) -> Any:
    found = registryfile.load_or_none(root)
    return None if found is None else found.hash  # Of its whole text.


def _table(ds: Dataset) -> Any:
    if not dataset_exists(ds._ctx.layout):
        return None
    batches = list(ds.scan(include_deleted=True))
    table = pa.Table.from_batches(batches) if batches else ds.schema().empty_table()
    return {n: [_plain(v) for v in table.column(n).to_pylist()] for n in sorted(table.schema.names)}


def forget() -> None:
    """Forget what this process remembers of files; a registry it knows by its bytes alone."""
    parts._INFOS.clear()
    parquet.forget_footers()


def read_state(store: Store, operation: Operation) -> State:
    """Read everything that a user sees, with nothing remembered from before."""
    forget()
    told = operation.does == "log"
    return {
        "log": _log(store, notes=operation.name == "note") if told else None,
        "registry": _registry(store.root),
        "columns": columnsfile.load(store.root),
        "fresh": _registry(store.fresh),
        "table": _table(store.ds(operation.dataset)),
        "archived": _table(Dataset.open(store.root / "_archive", NAME)),
        "out": store.out.read_bytes() if store.out.exists() else None,
    }


def _log(store: Store, *, notes: bool) -> Any:
    """Return what whole lines say that is no bookkeeping, and how many whole notes there are.

    `notes` only where they are all that is written: behind a line they are a convenience.
    """
    ds = store.ds()
    events = ds.events() if ds.events_path.exists() else []
    said = [[e["action"], e["args"]] for e in events if e["action"] not in (*ASIDE, "recovered")]
    text = ds.meta_path.read_bytes() if notes and ds.meta_path.exists() else b""
    return said, len(_NOTE.findall(text))


def without_clock(state: State) -> State:
    """Return a state that is equal for two runs of the same operation."""

    def loose(table: Any) -> Any:
        if table is None:
            return None
        return {n: [v is None for v in c] if n in CLOCKED else c for n, c in table.items()}

    out = state["out"]
    return {
        **state, "table": loose(state["table"]), "archived": loose(state["archived"]),
        "out": None if out is None else len(out),
    }  # fmt: skip


# The next writer --------------------------------------------------------------------------------


@contextlib.contextmanager
def later(seconds: float) -> Iterator[None]:
    """Let the clock of the process run ahead."""
    real = time.time
    time.time = lambda: real() + seconds
    try:
        yield
    finally:
        time.time = real


NEXT_ACTION = "registry_freeze"
_NEXT = {
    "event_version": 1, "timestamp_utc": "2026-01-01T00:00:00.000000Z", "action": NEXT_ACTION,
    "dataset": {"name": "next", "root": "next"}, "args": {"next": True}, "metrics": {},
    "artifacts": {}, "maintenance": {}, "fingerprint": {"rows": 0, "cols": 0, "size_bytes": 0},
    "registry_hash": None, "actor": {"tool": "t", "run_id": None, "host": "h", "pid": 1},
    "version": "0",
}  # fmt: skip


def next_writer(store: Store, operation: Operation, *, seconds: float) -> None:
    """Be the next writer of every folder, after this time: settle, commit, tidy up."""

    def tell(stage: slots.Stage) -> None:
        stage.event({**_NEXT, "artifacts": {}})

    def nothing(stage: slots.Stage) -> None:
        stage.intent.drop.append("_snapshots/records-00010101T000000000000-auto.parquet")

    with later(seconds), warnings.catch_warnings():
        warnings.simplefilter("error")
        for root in (store.root, store.fresh):
            if operation.registers and (root / "_txn").exists():
                slots.commit(root, nothing, action="next")
        for name in {operation.dataset, NAME}:
            ds = store.ds(name)
            if dataset_exists(ds._ctx.layout):
                slots.commit(ds.dir, tell, action=NEXT_ACTION)
            elif ds.dir.exists():
                operation.run(store)  # What was begun and not committed can be begun anew.
        if operation.writes_out:
            store.ds().export("csv", store.out.with_name("next.csv"))


# Cases ------------------------------------------------------------------------------------------


@dataclass
class Case:
    """An operation, recorded once, and what states it may leave."""

    operation: Operation
    folder: Path
    calls: list[Call] = field(default_factory=list)
    attempts: list[tuple[str, str]] = field(default_factory=list)
    problems: Counter[str] = field(default_factory=Counter)
    checked: int = 0
    _read: dict[Any, State] = field(default_factory=dict)
    _verdicts: dict[Any, list[str]] = field(default_factory=dict)
    _valid: dict[Any, str | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.template = template(self.folder, self.operation)
        self.store = Store(self.folder / "work")
        self.start = Disk.of_folder(self.template)
        self._known = known_files(self.start)
        write_disk(self.start, self.store.folder)
        self.before = read_state(self.store, self.operation)
        hook = Hook(self.store.folder)
        with hook.active(pid=DEAD_PID):
            self.operation.run(self.store)
        self.calls, self.attempts = hook.calls, hook.attempts
        self.end = self.start.copy()
        for call in self.calls:
            self.end.do(call)
        self.replay_differs = _differing(self.end.image(), read_image(self.store.folder))
        self.after = read_state(self.store, self.operation)
        self.told = _new_operations(self.log(self.start.image()), self.log(self.end.image()))
        # Without a fault there is nothing to forgive: both ends must be good themselves.
        self.files_before = self._settled(self.start)
        self.files_after = self._settled(self.end)

    def log(self, image: Image) -> list[bytes]:
        """Return the lines of the dataset's log."""
        places = (f"root/{self.operation.dataset}", f"root/_archive/{self.operation.dataset}")
        for place in places:
            data = image.get(f"{place}/.events.log")
            if data:
                return data.splitlines(keepends=True)
        return []

    def _settled(self, disk: Disk) -> dict[str, bytes | None]:
        write_disk(disk, self.store.folder)
        next_writer(self.store, self.operation, seconds=DAY)
        return _of_interest(read_image(self.store.folder))

    # One state -------------------------------------------------------------------------------

    def check(
        self,
        disk: Disk,
        *,
        where: str,
        acknowledged: bool = False,
        expect: State | None = None,
        seconds: float = DAY,
        repeats: int = 1,
    ) -> None:
        """Check one state of the disk; what is wrong is counted in `problems`.

        An `acknowledged` change has to be there; with `expect` just this state has to be read.
        After every `repeats`-th state an operation that can be done again is.
        """
        self.checked += 1
        again = self.operation.again and self.checked % repeats == 0
        image = disk.image()
        wanted = self.after if acknowledged else expect
        which = None if wanted is None else wanted == self.after
        key = (frozenset(image.items()), which, seconds, again)
        found = self._verdicts.get(key)
        if found is None:
            found = self._verdicts[key] = list(
                self._problems(disk, image, wanted, seconds, again=again)
            )
        for what in found:
            self.problems[f"{self.operation.name}, {where}: {what}"] += 1

    @property
    def distinct(self) -> int:
        """How many different disks were checked."""
        return len(self._verdicts)

    def _problems(
        self, disk: Disk, image: Image, wanted: State | None, seconds: float, *, again: bool
    ) -> Iterator[str]:
        write_disk(disk, self.store.folder)
        try:
            seen = self.read(image)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the finding
            yield f"cannot be read: {error!r}"
            return
        yield from self.neither(seen)
        if wanted is not None and seen != wanted:
            yield "a change that was seen or acknowledged is gone"
        try:
            next_writer(self.store, self.operation, seconds=seconds)
        except Exception as error:  # noqa: BLE001
            yield f"the next writer fails: {error!r}"
            return
        final = self.image()
        yield from self.after_next_writer(image, final, seen)
        if again:
            yield from self._again()

    def _again(self) -> Iterator[str]:
        try:
            self.operation.run(self.store)
        except SequencesError as error:
            yield f"it cannot be done again: {error}"
            return
        again = self.read(self.image())
        if without_clock(again) != without_clock(self.after):
            yield "done again it does not give the state after"

    def after_next_writer(self, image: Image, final: Image, seen: State) -> Iterator[str]:
        """Yield what is wrong once the next writer was there."""
        settled = self.read(final)
        if self.before["table"] is None and seen["table"] is None:
            # A dataset that was begun, not committed, and made by another who did the same.
            begun = settled["table"] is not None
            wanted = self.files_after if begun else self.files_before
            if shape(wanted) != shape(final):
                yield f"left over: {sorted(shape(final) - shape(wanted))}"
            if not (begun and self.operation.again):
                yield from self.events(final, is_after=False)
            return
        if settled != seen:
            yield "the next writer changes what is read"
        if self.operation.commits == 1 and settled in (self.before, self.after):
            by_state = self.before != self.after
            is_after = settled == self.after if by_state else self.committed(image, final)
            yield from _compare(self.files_after if is_after else self.files_before, final)
            yield from self.events(final, is_after)
        else:
            yield from _compare_any(self.files_before, self.files_after, final)
            yield from self.events(final, None)
        recovered = b'"recovered"' in b"".join(self.log(final))
        if was_pending(image, self.operation.dataset) and not recovered:
            yield "no 'recovered' event"
        yield from self.notes(final)
        problem = self.validate(final)
        if problem is not None:
            yield problem

    def image(self) -> Image:
        """Return what the folder holds now."""
        return read_image(self.store.folder, self._known)

    def read(self, image: Image) -> State:
        """Read the state, or remember what was read from the same files."""
        key = _what_readers_use(image)
        if self.operation.does == "log":
            key = (key, *(d for p, d in image.items() if p.endswith((".events.log", "meta.md"))))
        if key not in self._read:
            self._read[key] = read_state(self.store, self.operation)
        return self._read[key]

    def neither(self, seen: State) -> Iterator[str]:
        """Yield what is neither as before nor as after."""
        for name, value in seen.items():
            if value not in (self.before[name], self.after[name]):
                yield f"'{name}' is neither before nor after"
        if self.operation.commits == 1 and seen not in (self.before, self.after):
            yield "some of it is before, some of it after"

    def committed(self, image: Image, final: Image) -> bool:
        """Say whether the commit took place, where the state does not tell."""
        slots_there = [d for p, d in image.items() if _SLOT.match(p) and d]
        ids = [op for op, _ in self.told]
        if self.operation.slot:
            return any(op.encode() in d for op in ids for d in slots_there)
        if self.operation.does == "log":
            return bool(self._logged(final) & self.told)
        return any(p in image for p in self.end.image().keys() - self.start.image().keys())

    # Parts of the verdict ----------------------------------------------------------------------

    def _logged(self, final: Image) -> set[tuple[str, str]]:
        return _operations(self.log(final))

    def events(self, final: Image, is_after: bool | None) -> Iterator[str]:
        """Yield if the log does not tell exactly what happened."""
        logged = self._logged(final)
        for op, actions in _by_operation(self.told).items():
            there = {a for o, a in logged if o == op} - {"recovered"}
            happened = is_after if is_after is not None else self._happened(op, final)
            if happened and there != actions:
                yield f"committed, but the log has {sorted(there)}, not {sorted(actions)}"
            if not happened and there:
                yield f"not committed, but the log tells of {sorted(there)}"

        for path, data in final.items():
            # Whoever committed, its slot says what the log has to tell.
            if _SLOT.match(path) and path.startswith(f"root/{self.operation.dataset}/"):
                told = {o for e in json.loads(data or b"{}")["events"] if (o := operation_of(e))}
                if told - logged:
                    yield f"the log does not tell what slot {path[-3:]} says"

    def _happened(self, op: str, final: Image) -> bool:
        files = [
            f["path"]
            for line in self.log(self.end.image())
            if (event := json.loads(line))["artifacts"].get("operation_id") == op
            for f in event["artifacts"].get("files", ())
        ]
        return any(
            final.get(f"root/{self.operation.dataset}/{p}")
            == self.files_after.get(f"root/{self.operation.dataset}/{p}")
            for p in files
            if self.files_before.get(f"root/{self.operation.dataset}/{p}")
            != self.files_after.get(f"root/{self.operation.dataset}/{p}")
        )

    def notes(self, final: Image) -> Iterator[str]:
        """Yield notes that stand twice."""
        text = final.get(f"root/{self.operation.dataset}/meta.md") or b""
        whole = _NOTE.findall(text)
        if any(n > 1 for n in Counter(whole).values()):
            yield "a note stands twice"

    def validate(self, final: Image) -> str | None:
        """Validate strictly, or remember what was found for the same files."""
        key = (_of_interest_key(final), _log_key(self.log(final)))
        if key not in self._valid:
            self._valid[key] = _invalid(self.store, self.operation)
        return self._valid[key]


def _invalid(store: Store, operation: Operation) -> str | None:
    parts._INFOS.clear()
    parquet.forget_footers()
    for ds in (store.ds(operation.dataset), Dataset.open(store.root / "_archive", NAME)):
        if dataset_exists(ds._ctx.layout):
            try:
                ds.validate(strict=True, registry_mode="namespace-either")
            except SequencesError as error:
                return f"validate: {error}"
    return None


# Comparing --------------------------------------------------------------------------------------


def _of_interest(image: Image) -> dict[str, bytes | None]:
    """Return the files whose being there, and content, is decided by the state alone."""
    return {p: d for p, d in image.items() if d is not None and not _ASIDE.match(p)}


def _of_interest_key(image: Image) -> Any:
    return frozenset(_of_interest(image).items())


def _compare(wanted: Image, final: Image) -> Iterator[str]:
    # What was put aside has no next writer that could remove who held its lock.
    found = {p: d for p, d in _of_interest(final).items() if "_archive/ns/demo/_txn/.tmp" not in p}
    for path in sorted(wanted.keys() | found.keys()):
        if path not in found:
            yield f"missing: {path}"
        elif path not in wanted:
            yield f"left over: {path}"
        elif wanted[path] != found[path]:
            yield f"other content: {path}"


def _compare_any(before: Image, after: Image, final: Image) -> Iterator[str]:
    found = _of_interest(final)
    for path in sorted(before.keys() | after.keys() | found.keys()):
        wanted = (before.get(path), after.get(path))
        if found.get(path) not in wanted:
            yield f"neither before nor after: {path}"


def _what_readers_use(image: Image) -> Any:
    """Return a key of all that a reader may look at: not the content of temporary files."""
    pending = _pending(image)
    key = []
    for path, data in image.items():
        staged = _STAGED.match(path)
        if staged and staged.group(2) not in pending:
            key.append((f"{staged.group(1)}_txn/uncommitted", None))
        elif _TEMP.search(path):
            key.append((_TEMP.sub(r"\1.tmp", path), None))
        elif not path.endswith((".events.log", "meta.md", ".usr.lock", "/holder", "/checked")):
            slot = _SLOT.match(path)
            if slot is None or any(p.encode() in (data or b"") for p in pending):
                key.append((path, data))
    return frozenset(key)


def _pending(image: Image) -> dict[str, str]:
    """Return the operations whose slot is the newest and whose staging is still there."""
    newest: dict[str, bytes] = {}
    for path in sorted(p for p in image if _SLOT.match(p)):
        newest[path.rpartition("/")[0]] = image[path] or b""
    found = {}
    for path in image:
        staged = _STAGED.match(path)
        if staged and staged.group(2).encode() in newest.get(f"{staged.group(1)}_txn", b""):
            found[staged.group(2)] = staged.group(1)
    return found


def was_pending(image: Image, dataset: str) -> bool:
    """Say whether the newest slot of a dataset is not wholly installed."""
    return f"root/{dataset}/" in _pending(image).values()


def _differing(a: Image, b: Image) -> list[str]:
    return sorted(p for p in a.keys() | b.keys() if a.get(p, 0) != b.get(p, 0))


def _operations(lines: list[bytes]) -> set[tuple[str, str]]:
    found = set()
    for line in lines:
        with contextlib.suppress(ValueError):
            event = json.loads(line)
            op = operation_of(event) if isinstance(event, dict) else None
            if op is not None and line.endswith(b"\n"):
                found.add(op)
    return found


def _new_operations(before: list[bytes], after: list[bytes]) -> set[tuple[str, str]]:
    return _operations(after) - _operations(before)


def _by_operation(told: set[tuple[str, str]]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for op, action in told:
        found.setdefault(op, set()).add(action)
    return found


def _log_key(lines: list[bytes]) -> Any:
    """Return a key of a log that is equal if only the times and ids of later events differ."""
    key = []
    for line in lines:
        try:
            event = json.loads(line)
        except ValueError:
            key.append(line)
            continue
        mine = event.get("args") == {"next": True} or event.get("action") == "recovered"
        key.append((event.get("action"), tuple(event)) if mine else line)
    return tuple(key)


def shape(image: Mapping[str, bytes | None]) -> Counter[str]:
    """Return the paths of interest with times and random numbers taken out."""
    return Counter(_NUMBERS.sub("#", p) for p in _of_interest(image))


def litter(folder: Path) -> list[str]:
    """Return temporary files, and staging folders of operations that no newest slot names."""
    found = [p.relative_to(folder).as_posix() for p in folder.rglob(".tmp-*")]
    for txn in folder.rglob("_txn"):
        layout = Layout(txn.parent)
        newest = slots.read_slot(layout, n) if (n := slots.highest_slot(layout)) else None
        kept = None if newest is None else newest.operation_id
        found += [
            entry.relative_to(folder).as_posix()
            for entry in txn.iterdir()
            if is_operation_id(entry.name) and entry.name != kept
        ]
    return found


@contextlib.contextmanager
def no_lock() -> Iterator[None]:
    """Make flock exclude nobody."""
    real = lock.held

    @contextlib.contextmanager
    def held(folder: Path, **options: Any) -> Iterator[None]:
        yield

    lock.held = held
    try:
        yield
    finally:
        lock.held = real


def clean(folder: Path) -> None:
    """Remove a folder of the harness."""
    shutil.rmtree(folder, ignore_errors=True)


__all__ = ["DAY", "Case", "clean", "eventlog", "later", "litter", "next_writer",
           "no_lock", "read_state", "shape", "without_clock"]  # fmt: skip
