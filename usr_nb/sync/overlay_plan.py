"""Overlay files of two copies: united, but for what an operation took away on purpose.

A file goes only with evidence in a log: a compaction that lives and holds all its values, a
materialize that the resulting base contains, an overlay removed on purpose, or a choice made by a
person. A file that is merely missing on one side stays on the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from usr_nb.contract.names import TOMBSTONE_NS
from usr_nb.storage.layout import ARCHIVED, DERIVED
from usr_nb.storage.view import namespace_of_path
from usr_nb.sync.base_plan import BaseDecision
from usr_nb.sync.history import UNKNOWN, Atoms, History, Role, version_of
from usr_nb.sync.model import Conflict, Entry, Step
from usr_nb.sync.operations import Operation, Version
from usr_nb.sync.question import Question, same_content

_ROLES: tuple[Role, Role] = ("sender", "receiver")


@dataclass(frozen=True)
class Reason:
    """Why a file goes: for people, and whether it is put aside rather than dropped."""

    why: str
    archived: bool


@dataclass
class Overlays:
    """What becomes of the receiver's parts and single-file overlays."""

    steps: list[Step] = field(default_factory=list)
    conflicts: list[Conflict] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    #: Files that a person chose against; the event of the sync tells them.
    declined: set[Version] = field(default_factory=set)
    #: The sender's archived files that the receiver gets by retiring its own.
    covered: set[str] = field(default_factory=set)


Live = Mapping[Role, Mapping[Version, Entry]]


class Judge:
    """Says of each overlay file whether it goes, and why."""

    def __init__(
        self, history: History, live: Live, contained: frozenset[str], declined: frozenset[Version]
    ) -> None:
        self._history = history
        self._declined = declined
        self._contained = contained
        self._returned = history.returned("sender", live["sender"]) | history.returned(
            "receiver", live["receiver"]
        )
        #: Atom → the operation that removed it, or wrote its values into the base.
        self.removed: dict[Version, Operation] = {}
        ops = history.by_identity("removal")
        ops |= {i: o for i, o in history.by_identity("base").items() if i in contained}
        for op in ops.values():
            for version in history.inputs.get(op.identity, frozenset()):
                self.removed |= dict.fromkeys(history.atoms(version), op)
        self._outputs: dict[str, dict[Version, Atoms]] = {}
        for version in {v for role in _ROLES for v in live[role]}:
            if version in history.made_by and self._gone(version) is None:
                ns = namespace_of_path(version[0]) or ""
                self._outputs.setdefault(ns, {})[version] = history.atoms(version)

    def reason(self, version: Version) -> Reason | None:
        """Return why a file goes, or None if it stays."""
        gone = self._gone(version)
        if gone is not None:
            return gone
        if version in self._returned:
            return None
        mine = self._history.atoms(version)
        for other, atoms in self._outputs.get(namespace_of_path(version[0]) or "", {}).items():
            if other != version and mine <= atoms and self._is_above(other, version):
                return Reason(f"its values are in {other[0]}", archived=True)
        return None

    def _gone(self, version: Version) -> Reason | None:
        if version in self._declined:
            return Reason("a person chose the other side's", archived=True)
        if version in self._returned:
            return None
        ops = [self.removed.get(a) for a in self._history.atoms(version)]
        if not ops or any(o is None for o in ops):
            return None
        op = next(o for o in ops if o is not None)
        return Reason(f"{op.action} took it away", archived=op.archived)

    def only_in_a_lost_base(self, version: Version) -> bool:
        """Say whether a file was written into a base, and taken away, that the result is not."""
        return any(
            version in self._history.inputs.get(i, ())
            for i in self._history.by_identity("base").keys() - self._contained
        )

    def _is_above(self, output: Version, version: Version) -> bool:
        """Say whether an output stays of two files of which it holds all values."""
        if self._history.atoms(version) != self._history.atoms(output):
            return True
        if self._descends(output, version):
            return True
        if self._descends(version, output):
            return False
        return output < version  # Either would do; both sides choose the same.

    def _descends(self, version: Version, past: Version) -> bool:
        seen: set[Version] = set()
        todo = [version]
        while todo:
            made = self._history.made_by.get(todo.pop())
            below = self._history.inputs[made.identity] if made is not None else frozenset()
            if past in below:
                return True
            todo += [v for v in below if v not in seen]
            seen |= below
        return False


def plan_overlays(q: Question, base: BaseDecision) -> Overlays:
    """Decide about every part and every single-file overlay but tombstones and state."""
    live: dict[Role, dict[Version, Entry]] = {
        role: {
            version_of(e): e
            for e in (q.sender if role == "sender" else q.receiver).files.values()
            if q.classes.get(e.path) in ("part", "single")
        }
        for role in _ROLES
    }
    out = Overlays()
    judge = _settle_overlaps(q, live, base, out)
    singles = sorted({e.path for r in _ROLES for e in live[r].values() if _is_single(q, e.path)})
    for path in singles:
        _single(q, path, judge, out)
    for version, entry in sorted(live["sender"].items()):
        if not _is_single(q, entry.path):
            _part_of_sender(q, entry, judge.reason(version), out)
    for version, entry in sorted(live["receiver"].items()):
        if not _is_single(q, entry.path):
            _part_of_receiver(q, entry, judge.reason(version), out)
    out.remarks += _late(q, live, judge)
    return out


def _is_single(q: Question, path: str) -> bool:
    return q.classes.get(path) == "single"


# Outputs that overlap ---------------------------------------------------------------------------


def _settle_overlaps(q: Question, live: Live, base: BaseDecision, out: Overlays) -> Judge:
    """Find files that hold some values in common and others each alone; a person must choose."""
    for _ in range(len(live["sender"]) + len(live["receiver"]) + 1):
        judge = Judge(
            q.history, live, base.contained, q.history.declined() | frozenset(out.declined)
        )
        found = next(_overlaps(q, live, base, judge), None)
        if found is None or q.winner is None:
            break
        loser, role, _ = found
        if loser in out.declined:
            break
        out.declined.add(loser)
        entry = live[role][loser]
        if role == "sender":
            out.steps.append(
                Step("beside", q.archive(entry.path), "archived", source=entry,
                     why=f"{entry.path}: {q.name('receiver')} was chosen")
            )  # fmt: skip
    if q.winner is None:
        seen = set()
        for version, role, other in _overlaps(q, live, base, judge):
            if frozenset((version[0], other)) in seen:
                continue
            seen.add(frozenset((version[0], other)))
            aside = f"the other file is kept as {q.archive(version[0])}"
            what = (
                f"{version[0]} of {q.name(role)} and {other} of the other side hold values in "
                "common, and each holds some that the other has not"
            )
            out.conflicts.append(
                Conflict(version[0], q.classes[version[0]], what,
                         q.choices(sender_lost=aside, receiver_lost=aside))
            )  # fmt: skip
    return judge


def _overlaps(
    q: Question, live: Live, base: BaseDecision, judge: Judge
) -> Iterator[tuple[Version, Role, str]]:
    """Yield (the loser, or any if nobody chose, its side, the other's name)."""
    made = {
        role: {
            v: q.history.atoms(v)
            for v in sorted(live[role])
            if v in q.history.made_by and judge.reason(v) is None
        }
        for role in _ROLES
    }
    for s, s_atoms in made["sender"].items():
        for r, r_atoms in made["receiver"].items():
            apart = s not in live["receiver"] and r not in live["sender"] and s[0] != r[0]
            if apart and namespace_of_path(s[0]) == namespace_of_path(r[0]) and s_atoms & r_atoms:
                yield (r, "receiver", s[0]) if q.winner == "sender" else (s, "sender", r[0])
    for role in _ROLES:
        other: Role = "receiver" if role == "sender" else "sender"
        applied = q.history.applied(role)
        for version, atoms in made[role].items():
            ops = {judge.removed[a].identity for a in atoms if a in judge.removed}
            written = (ops & base.contained) - applied
            if written and version not in live[other] and q.winner != role:
                yield version, role, "records.parquet"


# Parts ------------------------------------------------------------------------------------------


def _part_of_sender(q: Question, entry: Entry, reason: Reason | None, out: Overlays) -> None:
    held = q.receiver.files.get(entry.path)
    if reason is not None:
        return
    if held is None:
        op = q.history.writers.get((entry.path, ""))
        rows = op.rows if op is not None else None
        out.steps.append(Step("add", entry.path, "part", source=entry, rows=rows))
    elif not same_content(entry, held):
        out.conflicts.append(two_contents(q, entry.path))


def _part_of_receiver(q: Question, entry: Entry, reason: Reason | None, out: Overlays) -> None:
    if reason is not None:
        _retire(q, entry, reason, out)
    elif entry.path not in q.sender.files and q.entries(entry.path)[2] is not None:
        out.remarks.append(stays(q, entry.path))


def _retire(q: Question, entry: Entry, reason: Reason, out: Overlays) -> None:
    to = None
    if reason.archived and namespace_of_path(entry.path) != TOMBSTONE_NS:
        to = _archived_there(q, entry) or q.archive(entry.path)
        if to in q.sender.files:
            out.covered.add(to)
    out.steps.append(
        Step("retire", entry.path, q.classes[entry.path], to=to, was=entry, why=reason.why)
    )


def _archived_there(q: Question, entry: Entry) -> str | None:
    """Return where the sender keeps the same file, so that it need not be transferred."""
    start = f"{DERIVED}/{ARCHIVED}/{namespace_of_path(entry.path)}/"
    name = entry.path.rpartition("/")[2]
    for path, kept in q.sender.files.items():
        if path.startswith(start) and path.endswith(f"/{name}") and path.count("/") == 4:
            free = path not in q.receiver.files
            if free and kept.sha256 is not None and same_content(kept, entry):
                return path
    return None


# Single files -----------------------------------------------------------------------------------


def _single(q: Question, path: str, judge: Judge, out: Overlays) -> None:
    s, r, c = q.entries(path)
    s_gone = judge.reason(version_of(s)) if s is not None else None
    r_gone = judge.reason(version_of(r)) if r is not None else None
    if s is None or s_gone is not None:
        if r is not None and r_gone is not None:
            _retire(q, r, r_gone, out)
        elif r is not None and s is None:
            asked = _unexplained(q, r, "sender", out)
            if c is not None and not asked:
                out.remarks.append(stays(q, path))
        return
    if r is None:
        if not _unexplained(q, s, "receiver", out):
            op = q.history.writers.get(version_of(s))
            rows = op.rows if op is not None else None
            out.steps.append(Step("add", path, "single", source=s, rows=rows))
        return
    if same_content(s, r):
        return
    # What only one side replaced may live nowhere else, if its base does not count.
    asks = r_gone is None and c is not None and judge.only_in_a_lost_base(version_of(c))
    if r_gone is None and same_content(s, c) and not asks:
        return
    if r_gone is not None or (same_content(r, c) and not asks):
        _replace(q, s, r, r_gone.why if r_gone is not None else "only the sender changed it", out)
    else:
        _choose(q, s, r, out)


def _replace(q: Question, s: Entry, r: Entry, why: str, out: Overlays) -> None:
    there = _archived_there(q, r) is not None
    if not there and not _kept_already(q, r):
        out.steps.append(
            Step("save", q.archive(r.path), "archived", source=r, why="what is replaced")
        )
    out.steps.append(Step("replace", s.path, "single", source=s, was=r, why=why))


def _kept_already(q: Question, entry: Entry) -> bool:
    start = f"{DERIVED}/{ARCHIVED}/{namespace_of_path(entry.path)}/"
    return entry.sha256 is not None and any(
        p.startswith(start) and e.sha256 == entry.sha256 for p, e in q.receiver.files.items()
    )


def _choose(q: Question, s: Entry, r: Entry, out: Overlays) -> None:
    aside = q.archive(s.path)
    if q.winner == "receiver":
        out.steps.append(Step("beside", aside, "archived", source=s, why="the file that lost"))
    elif q.winner == "sender":
        _replace(q, s, r, "chosen by --prefer", out)
    else:
        lost = f"the other file is kept as {aside}"
        out.conflicts.append(
            Conflict(s.path, "single", f"{s.path}: both sides wrote it anew",
                     q.choices(sender_lost=lost, receiver_lost=lost))
        )  # fmt: skip


def _unexplained(q: Question, entry: Entry, role: Role, out: Overlays) -> bool:
    """Ask where a side took a file away and nothing tells whether it was this content."""
    if version_of(entry) in q.history.writers:
        return False
    here = q.history.identities("sender"), q.history.identities("receiver")
    only = here[0] - here[1] if role == "sender" else here[1] - here[0]
    if not any((entry.path, UNKNOWN) in q.history.inputs.get(i, ()) for i in only):
        return False
    if q.winner is None:
        lost = f"it is kept as {q.archive(entry.path)}"
        what = (
            f"{entry.path}: {q.name(role)} took it away, and nothing tells if it was this content"
        )
        out.conflicts.append(
            Conflict(entry.path, "single", what, q.choices(sender_lost=lost, receiver_lost=lost))
        )
    elif q.winner == role:
        out.declined.add(version_of(entry))
        if role == "sender":
            _retire(q, entry, Reason("chosen by --prefer", archived=True), out)
        else:
            why = "the file that lost"
            out.steps.append(
                Step("beside", q.archive(entry.path), "archived", source=entry, why=why)
            )
    return role == "sender" or q.winner in (None, role)


# Words ------------------------------------------------------------------------------------------


def two_contents(q: Question, path: str) -> Conflict:
    """Build the conflict of a name that never gets other content and has two."""
    what = f"{path} has two contents, and this name must never get another one"
    return Conflict(path, q.classes[path], what, ())


def stays(q: Question, path: str) -> str:
    """Say that a file is kept although the other side lost it."""
    return f"{path}: gone at {q.name('sender')}; kept at {q.name('receiver')} (--delete removes it)"


def _late(q: Question, live: Live, judge: Judge) -> list[str]:
    """Tell of files that a compaction on the other side had not seen: they win where they speak."""
    said = []
    for role in _ROLES:
        other: Role = "receiver" if role == "sender" else "sender"
        late = [v for v in sorted(live[role]) if v not in live[other] and judge.reason(v) is None]
        for output in sorted(live[other]):
            if output not in q.history.made_by or output in live[role]:
                continue
            if judge.reason(output) is not None:
                continue
            ns = namespace_of_path(output[0])
            beside = [v for v in late if namespace_of_path(v[0]) == ns]
            if beside:
                said.append(_cells(q, beside, output, role, other))
    return said


def _cells(q: Question, late: list[Version], output: Version, role: Role, other: Role) -> str:
    start = (
        f"{len(late)} overlay files of {q.name(role)} were not seen by the compaction of "
        f"{q.name(other)} into {output[0]}: where both speak, the later file wins"
    )
    known = [q.facts.cells.get((v[0], output[0])) for v in late]
    if all(n is not None for n in known):
        return f"{start} ({sum(n for n in known if n is not None):,} cells)"
    made = q.history.made_by[output].rows
    writers = [q.history.writers.get(v) for v in late]
    rows = [w.rows if w is not None else None for w in writers]
    if made is None or any(n is None for n in rows):
        return f"{start} (the logs do not tell how many rows)"
    most = sum(min(n, made) for n in rows if n is not None)
    return f"{start} (at most {most:,} rows, by the logs; not counted cell by cell)"
