"""What the operations of both logs absorbed, removed, or wrote into the base.

A compaction holds what it retired: its output and any one of its inputs never need to live
together. To compare outputs, each file is taken apart into *atoms*: the files, never made by a
compaction, whose values it holds.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from usr_nb.storage.layout import ARCHIVED, DERIVED, RECORDS
from usr_nb.storage.view import namespace_of_path
from usr_nb.sync.lines import Line
from usr_nb.sync.model import Common, Entry, Inventory
from usr_nb.sync.operations import STAMPING, Operation, Version, operations

Role = Literal["sender", "receiver"]
Atoms = frozenset[Version]
#: In place of a digest: which content it was is not known.
UNKNOWN: Final = "?"
_ARCHIVED_SINGLE = re.compile(rf"{DERIVED}/{ARCHIVED}/([a-z][a-z0-9_]*)/([^/]+)/\1\.parquet\Z")


def is_single(path: str) -> bool:
    """Say whether an overlay path is ``_derived/<ns>.parquet``."""
    return path.count("/") == 1


def version_of(entry: Entry) -> Version:
    """Return what identifies the content of an overlay file.

    Examples
    --------
    >>> version_of(Entry("_derived/a/part-1.parquet", 9, "00"))
    ('_derived/a/part-1.parquet', '')
    >>> version_of(Entry("_derived/a.parquet", 9, "00"))
    ('_derived/a.parquet', '00')
    """
    if not is_single(entry.path):
        return entry.path, ""
    return entry.path, entry.sha256 if entry.sha256 is not None else f"size:{entry.size}"


@dataclass(frozen=True)
class History:
    """What both logs tell.

    Attributes
    ----------
    logs : mapping of role to operations
        In the order of each log.
    inputs : mapping of str to frozenset of Version
        By operation identity: which overlay files it took away.
    atoms_of : mapping of Version to frozenset of Version
        For outputs of compactions; see :meth:`atoms`.
    made_by : mapping of Version to Operation
        The compaction that made a file.
    writers : mapping of Version to Operation
        The operation that made a file.
    stamped : mapping of str to str
        Digest of a base to that of an earlier one with the same rows and values.
    """

    logs: Mapping[Role, tuple[Operation, ...]]
    inputs: Mapping[str, frozenset[Version]]
    atoms_of: Mapping[Version, Atoms]
    made_by: Mapping[Version, Operation]
    writers: Mapping[Version, Operation]
    stamped: Mapping[str, str]

    def atoms(self, version: Version) -> Atoms:
        """Return the atoms whose values a file holds."""
        return self.atoms_of.get(version, frozenset({version}))

    def by_identity(self, kind: str) -> dict[str, Operation]:
        """Return the operations of a kind in either log."""
        return {o.identity: o for log in self.logs.values() for o in log if o.kind == kind}

    def identities(self, role: Role) -> frozenset[str]:
        """Return the operations of one log."""
        return frozenset(o.identity for o in self.logs[role])

    def unapplied(self, role: Role) -> frozenset[str]:
        """Return operations that stand in a side's log but that its base does not contain."""
        last = [o for o in self.logs[role] if o.action in ("pull", "push")]
        ids = last[-1].unapplied if last else frozenset()
        return frozenset(o.identity for o in self.logs[role] if o.operation_id in ids)

    def applied(self, role: Role) -> frozenset[str]:
        """Return the operations of kind ``base`` that a side's base contains."""
        told = frozenset(o.identity for o in self.logs[role] if o.kind == "base")
        return told - self.unapplied(role)

    def declined(self) -> frozenset[Version]:
        """Return the overlay files that a person chose against at either side."""
        return frozenset(v for log in self.logs.values() for o in log for v in o.declined)

    def returned(self, role: Role, live: Iterable[Version]) -> frozenset[Version]:
        """Return files that are there although this side's own log says they were taken away.

        Somebody put them back: what the log says no longer counts for them.
        """
        void = self.unapplied(role)
        gone: set[Version] = set()
        for op in self.logs[role]:
            if op.identity not in void:
                gone |= self.inputs.get(op.identity, frozenset())
        return frozenset(gone & set(live))

    def same_base(self, a: str | None, b: str | None) -> bool:
        """Say whether two bases are known to hold the same rows and values."""
        return a is not None and b is not None and self._first(a) == self._first(b)

    def _first(self, sha256: str) -> str:
        seen = {sha256}
        while (earlier := self.stamped.get(sha256)) is not None and earlier not in seen:
            seen.add(earlier)
            sha256 = earlier
        return sha256

    def base_writer(self, sha256: str | None) -> Operation | None:
        """Return an operation after which the base was this one; its size stands there."""
        ops = (o for log in self.logs.values() for o in log)
        return next((o for o in ops if sha256 and o.files.get(RECORDS) == sha256), None)

    def base_rows(self, sha256: str | None) -> int | None:
        """Return the number of rows of a base by its digest, if a log tells it."""
        op = self.base_writer(sha256)
        return op.base_rows if op is not None else None

    def explains_base(self, role: Role, sha256: str | None) -> bool:
        """Say whether a side's log has the operation that wrote this base."""
        return any(sha256 is not None and o.files.get(RECORDS) == sha256 for o in self.logs[role])

    def had_base(self, role: Role, sha256: str | None) -> bool:
        """Say whether a side's base was this one at some time."""
        return any(
            sha256 is not None and o.files.get(RECORDS) == sha256 and not o.travelled
            for o in self.logs[role]
        )

    def dropped_rows(self, role: Role) -> frozenset[str]:
        """Return the operations of a side's log by which rows left its base for good."""
        away = self.unapplied(role)
        return frozenset(
            o.identity for o in self.logs[role] if o.dropped_rows and o.identity not in away
        )


def build_history(
    sender_log: Sequence[Line],
    receiver_log: Sequence[Line],
    *,
    sender: Inventory,
    receiver: Inventory,
    common: Common | None,
) -> History:
    """Read both logs; the inventories tell which content a retired single file had."""
    logs: dict[Role, tuple[Operation, ...]] = {
        "sender": operations(sender_log),
        "receiver": operations(receiver_log),
    }
    by_id = {o.identity: o for log in logs.values() for o in log}
    singles = _Singles(logs, (sender, receiver), common)
    inputs = {i: singles.resolve(o) for i, o in by_id.items() if o.retired or o.files}
    writers: dict[Version, Operation] = {}
    made_by: dict[Version, Operation] = {}
    for op in by_id.values():
        for version in _outputs(op):
            if op.kind != "sync":
                writers.setdefault(version, op)
            if op.kind == "compaction":
                made_by[version] = op
    return History(logs, inputs, _close(made_by, inputs), made_by, writers, _stamped(logs))


def _outputs(op: Operation) -> list[Version]:
    return [
        (path, sha256 if is_single(path) else "")
        for path, sha256 in op.files.items()
        if namespace_of_path(path) is not None
    ]


def _close(
    made_by: Mapping[Version, Operation], inputs: Mapping[str, frozenset[Version]]
) -> dict[Version, Atoms]:
    """Take every output apart into atoms; a loop, as a chain of compactions may be long."""
    done: dict[Version, Atoms] = {}
    for start in made_by:
        stack, open_ = [start], {start}
        while stack:
            version = stack[-1]
            below = inputs[made_by[version].identity] - {version}
            todo = [v for v in below if v in made_by and v not in done and v not in open_]
            if version not in done and todo:
                stack += todo
                open_.update(todo)
                continue
            stack.pop()
            parts = (done.get(v, frozenset({v})) for v in below)
            done.setdefault(version, frozenset().union(*parts) or frozenset({version}))
    return done


def _stamped(logs: Mapping[Role, tuple[Operation, ...]]) -> dict[str, str]:
    """Return which bases differ from the one before only by their stamp.

    A line that came from another copy follows, in this log, a base that is not the one it
    changed; it is passed over. A pair counts only if every log that has it says the same.
    """
    said: dict[str, set[str | None]] = {}
    for log in logs.values():
        before: Operation | None = None
        for op in log:
            after = op.files.get(RECORDS)
            if after is None or op.travelled:
                continue
            if op.kind != "sync":
                same = before is not None and _only_stamped(before, op)
                told = before.files[RECORDS] if before is not None and same else None
                said.setdefault(after, set()).add(told)
            before = op
    pairs = {after: next(iter(told)) for after, told in said.items() if len(told) == 1}
    return {after: first for after, first in pairs.items() if first is not None and first != after}


def _only_stamped(before: Operation, op: Operation) -> bool:
    same_size = (before.base_rows, before.base_cols) == (op.base_rows, op.base_cols)
    return op.action in STAMPING and same_size


class _Singles:
    """Which contents of ``<ns>.parquet`` an operation took away; events name only paths."""

    def __init__(
        self,
        logs: Mapping[Role, tuple[Operation, ...]],
        inventories: Iterable[Inventory],
        common: Common | None,
    ) -> None:
        self._common = common
        self._archive: list[tuple[str, str, str]] = []
        for inventory in inventories:
            for path, entry in inventory.files.items():
                m = _ARCHIVED_SINGLE.match(path)
                if m is not None and entry.sha256 is not None:
                    single = f"{DERIVED}/{m[1]}.parquet"
                    self._archive.append((single, m[2], entry.sha256))
        told = [{o.identity for o in log} for log in logs.values()]
        # A line that came from a third copy tells nothing of what stood at this side.
        here = {o.identity for log in logs.values() for o in log if not o.travelled}
        self._in_one = frozenset((told[0] ^ told[1]) & here)
        #: Operation → path → contents that came before it, where it happened.
        self._earlier: dict[str, dict[str, frozenset[str]]] = {}
        for log in logs.values():
            so_far: dict[str, frozenset[str]] = {}
            for op in log:
                if op.travelled:
                    continue
                known = self._earlier.get(op.identity)
                both = so_far if known is None else _meet(known, so_far)
                self._earlier[op.identity] = dict(both)
                for path, sha256 in op.files.items():
                    if is_single(path) and namespace_of_path(path) is not None:
                        so_far[path] = so_far.get(path, frozenset()) | {sha256}

    def resolve(self, op: Operation) -> frozenset[Version]:
        """Return the overlay files that an operation took away."""
        found: set[Version] = {(p, "") for p in op.retired if not is_single(p)}
        replaced = {p for p in op.files if is_single(p)} if op.kind == "compaction" else set()
        for path in {p for p in op.retired if is_single(p)} | replaced:
            contents = self._contents(op, path) - {op.files.get(path, "")}
            found |= {(path, sha256) for sha256 in contents}
            if not contents and path in op.retired:
                found.add((path, UNKNOWN))
        return frozenset(found)

    def _contents(self, op: Operation, path: str) -> frozenset[str]:
        copies = {
            sha256
            for archived, sha256 in op.files.items()
            if (m := _ARCHIVED_SINGLE.match(archived)) and f"{DERIVED}/{m[1]}.parquet" == path
        }
        kept = {
            sha256
            for single, stamp, sha256 in self._archive
            if single == path and op.begun and op.begun <= stamp <= op.ended
        }
        earlier = self._earlier.get(op.identity, {}).get(path, frozenset())
        contents = frozenset(copies | kept) | earlier
        # What one side took away since both met is what both had then.
        if contents or path not in op.retired or op.identity not in self._in_one:
            return contents
        entry = self._common.files.get(path) if self._common is not None else None
        return frozenset({entry.sha256}) if entry is not None and entry.sha256 else contents


def _meet(
    a: Mapping[str, frozenset[str]], b: Mapping[str, frozenset[str]]
) -> dict[str, frozenset[str]]:
    return {path: a[path] & b[path] for path in a.keys() & b.keys() if a[path] & b[path]}
