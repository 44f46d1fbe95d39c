"""The plan of a sync: what one direction would do, from values alone (contract SYN-3, SYN-4)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Literal

from usr_nb.contract.names import STATE_NS
from usr_nb.contract.times import to_snapshot_stamp, to_text
from usr_nb.errors import ConflictError, SequencesError, some
from usr_nb.storage.layout import ARTIFACTS, EVENTS, META, RECORDS
from usr_nb.storage.view import namespace_of_path
from usr_nb.sync.base_plan import BaseDecision, decide_base
from usr_nb.sync.classes import DELETABLE, STATE, TOMBSTONES, classify
from usr_nb.sync.facts import Facts
from usr_nb.sync.history import build_history
from usr_nb.sync.lines import missing_lines
from usr_nb.sync.model import (
    Common,
    Conflict,
    Direction,
    Entry,
    FileClass,
    Inventory,
    Plan,
    Prefer,
    Step,
)
from usr_nb.sync.notes_merge import merge_notes, without_own_notes
from usr_nb.sync.overlay_plan import Overlays, plan_overlays, stays, two_contents
from usr_nb.sync.question import Question, same_content
from usr_nb.sync.registry_merge import merge_registry, read_registry, used_namespaces
from usr_nb.sync.rows import (
    RowKind,
    RowTimes,
    encode_rows,
    merge_rows,
)

_ROW_FILES: Mapping[RowKind, str] = {"tombstones": TOMBSTONES, "state": STATE}
_ROW_ACTIONS: Mapping[RowKind, frozenset[str]] = {
    "tombstones": frozenset({"restore"}),
    "state": frozenset({"state_set", "state_clear"}),
}


def make_plan(
    direction: Direction,
    sender: Inventory,
    receiver: Inventory,
    common: Common | None,
    facts: Facts,
    *,
    remote: str,
    stamp: datetime,
    prefer: Prefer | None = None,
    delete: bool = False,
    primary_only: bool = False,
    skip_snapshots: bool = False,
) -> Plan:
    """Say what one direction would do to the receiver.

    Parameters
    ----------
    direction : {"pull", "push"}
        A pull receives here, a push receives at the remote.
    sender, receiver : Inventory
        What both have now.
    common : Common or None
        What both had when they last met.
    facts : Facts
        What :func:`usr_nb.sync.gather.gather` found in the files.
    remote : str
        Name of the remote, for file names and sentences.
    stamp : datetime
        The instant of this sync, for file names.
    prefer : {"local", "remote"}, optional
        Who counts where both changed what cannot be united; the loser is kept.
    delete : bool
        Take away at the receiver what the sender does not have.
    primary_only : bool
        Look at ``records.parquet`` only.
    skip_snapshots : bool
        Leave out snapshots and archived overlay files.

    Returns
    -------
    Plan
        With conflicts nothing may be applied.

    Raises
    ------
    ConflictError
        If `delete` would take away more than half of the receiver's files.

    Examples
    --------
    >>> from datetime import UTC
    >>> here = Inventory("/a", exists=True, files={"x.txt": Entry("x.txt", 1, "0" * 64)})
    >>> there = Inventory("h:/a", exists=True, files={"y.txt": Entry("y.txt", 2, "1" * 64)})
    >>> at = datetime(2026, 1, 1, tzinfo=UTC)
    >>> plan = make_plan("pull", there, here, None, Facts(), remote="h", stamp=at)
    >>> [(s.kind, s.path) for s in plan.steps]
    [('add', 'y.txt')]
    """
    classes = _classes(sender, receiver, primary_only=primary_only, skip_snapshots=skip_snapshots)
    history = build_history(
        facts.sender_log, facts.receiver_log, sender=sender, receiver=receiver, common=common
    )
    q = Question(
        direction, sender, receiver, common, facts, history, remote,
        to_snapshot_stamp(stamp), prefer, classes,
    )  # fmt: skip
    base = decide_base(q)
    overlays = plan_overlays(q, base)
    draft = _Draft(q, overlays)
    draft.steps = [*base.steps, *overlays.steps]
    draft.conflicts = [*base.conflicts, *overlays.conflicts]
    draft.remarks = [*overlays.remarks]
    for kind in _ROW_FILES:
        draft.row_file(kind, base)
    for path, file_class in sorted(classes.items()):
        if file_class in ("archived", "frozen", "snapshot"):
            draft.immutable(path)
        elif file_class == "other":
            draft.other(path)
    draft.notes()
    draft.events()
    registry = draft.registry()
    draft.skipped()
    deleted = draft.delete() if delete else []
    return Plan(
        direction=direction,
        steps=tuple(replace(s, why=q.named(s.why)) for s in (*deleted, *draft.steps)),
        conflicts=tuple(draft.conflicts),
        registry=registry,
        remarks=tuple(draft.remarks),
        common=_next_common(q, stamp, primary_only=primary_only),
        slot=receiver.slot,
        artifacts=_artifacts(q, base, overlays, deleted),
    )


def _classes(
    sender: Inventory, receiver: Inventory, *, primary_only: bool, skip_snapshots: bool
) -> dict[str, FileClass]:
    found: dict[str, FileClass] = {}
    for path in {*sender.files, *receiver.files}:
        file_class = classify(path)
        left_out = (primary_only and file_class != "base") or (
            skip_snapshots and file_class in ("snapshot", "archived")
        )
        if file_class is not None and not left_out:
            found[path] = file_class
    return found


class _Draft:
    """The plan in the making."""

    def __init__(self, q: Question, overlays: Overlays) -> None:
        self.q = q
        self.covered = overlays.covered
        self.steps: list[Step] = []
        self.conflicts: list[Conflict] = []
        self.remarks: list[str] = []

    # By class ---------------------------------------------------------------------------------

    def immutable(self, path: str) -> None:
        """Unite by name; a name with two contents is an error that no flag decides."""
        s, r, c = self.q.entries(path)
        if s is None:
            if c is not None:
                self.remarks.append(stays(self.q, path))
        elif r is None:
            if path not in self.covered:
                self.steps.append(Step("add", path, self.q.classes[path], source=s))
        elif not same_content(s, r):
            self.conflicts.append(two_contents(self.q, path))

    def other(self, path: str) -> None:
        """Carry what one side changed; what both changed is kept beside."""
        s, r, c = self.q.entries(path)
        if s is None:
            if c is not None:
                self.remarks.append(stays(self.q, path))
        elif r is None:
            self.steps.append(Step("add", path, "other", source=s))
        elif same_content(s, r) or same_content(s, c):
            pass
        elif same_content(r, c):
            why = "only the sender changed it"
            self.steps.append(Step("replace", path, "other", source=s, was=r, why=why))
        elif self.q.winner == "sender":
            kept = self.q.beside(path, r, "kept")
            self.steps.append(Step("save", kept, "other", source=r, why="the file that lost"))
            self.steps.append(
                Step("replace", path, "other", source=s, was=r, why="chosen by --prefer")
            )
        elif self.q.winner is None:
            self.keep_beside(path, s, "other")

    def keep_beside(self, path: str, entry: Entry, file_class: FileClass) -> None:
        """Keep the sender's file under another name, unless it is there already."""
        to = self.q.beside(path, entry)
        if to not in self.q.receiver.files:
            why = f"{path}: both sides changed it"
            self.steps.append(Step("beside", to, file_class, source=entry, why=why))

    def row_file(self, kind: RowKind, base: BaseDecision) -> None:
        """Merge tombstones or state row by row."""
        q, path = self.q, _ROW_FILES[kind]
        if path not in q.classes:
            return
        s, r, c = q.entries(path)
        if same_content(s, r) or (s is None and c is None):
            return
        facts = q.facts.rows.get(kind)
        if facts is None:
            self.conflicts.append(Conflict(path, kind, f"{path} was not compared", ()))
            return
        removals = base.removals
        if (s is None or r is None) and not _retired_by_base(q, base, path):
            # Nothing tells that the rows went with their records: the file is merely missing.
            removals = "none"
            if s is None:
                self.remarks.append(stays(q, path))
                return
        times = _row_times(q, kind)
        rows = merge_rows(
            kind, facts.sender, facts.receiver, facts.common, times=times, removals=removals
        )
        if list(rows.items()) == list(facts.receiver.rows.items()) or (
            rows == facts.receiver.rows and r is not None
        ):
            return
        changed = sum(facts.receiver.rows.get(i) != row for i, row in rows.items())
        if not rows and r is not None:
            why = "the rows that it hid were removed"
            self.steps.append(Step("retire", path, kind, was=r, why=why))
        elif rows == facts.sender.rows and s is not None:
            step: Literal["add", "replace"] = "add" if r is None else "replace"
            self.steps.append(Step(step, path, kind, source=s, was=r, rows=changed))
        elif rows:
            content = encode_rows(kind, rows, sender=facts.sender, receiver=facts.receiver)
            self.steps.append(Step("merge", path, kind, content=content, was=r, rows=changed))

    def notes(self) -> None:
        """Append missing notes; text that both changed is kept beside."""
        s, r, _ = self.q.entries(META)
        theirs, ours = self.q.facts.sender_notes, self.q.facts.receiver_notes
        if META not in self.q.classes or s is None or same_content(s, r):
            return
        if theirs is None or (r is not None and ours is None):
            self.conflicts.append(Conflict(META, "notes", f"{META} was not compared", ()))
            return
        if r is None or ours is None:
            content = without_own_notes(theirs)
            self.steps.append(
                Step("add", META, "notes", source=s)
                if content == theirs
                else Step("merge", META, "notes", content=content)
            )
            return
        past = self.q.common.copies.get(META) if self.q.common is not None else None
        found = merge_notes(theirs, ours, past)
        if found.other_name is not None:
            whose = self.q.name("sender")
            what = f"{META} of {whose} is of dataset '{found.other_name}', not of this one"
            self.conflicts.append(Conflict(META, "notes", what, ()))
        elif found.content is not None:
            if found.content != ours:
                why = "only the sender changed the text"
                self.steps.append(
                    Step("merge", META, "notes", content=found.content, was=r, why=why)
                )
            return
        if found.append:
            self.steps.append(Step("append", META, "notes", content=found.append, was=r))
        if found.beside:
            self.keep_beside(META, s, "other")

    def events(self) -> None:
        """Append the lines that the receiver lacks."""
        if EVENTS not in self.q.classes:
            return
        lines = missing_lines(self.q.facts.sender_log, self.q.facts.receiver_log)
        if lines:
            content = b"".join(line.raw for line in lines)
            was = self.q.receiver.files.get(EVENTS)
            self.steps.append(
                Step("append", EVENTS, "events", content=content, was=was, rows=len(lines))
            )

    # The whole --------------------------------------------------------------------------------

    def registry(self) -> Mapping[str, Mapping[str, object]]:
        """Return what the receiver's registry lacks; differing definitions are conflicts."""
        q = self.q
        if q.sender.registry is None:
            return {}
        used = set(used_namespaces(_overlay_paths(q), _base_columns(q)))
        if q.receiver.registry is None:
            used.add(STATE_NS)
        try:
            theirs = read_registry(q.sender.registry, where=q.name("sender"))
            ours = read_registry(q.receiver.registry, where=q.name("receiver"))
        except SequencesError as error:
            self.conflicts.append(Conflict("registry.yaml", "registry", error.message, ()))
            return {}
        outcome = merge_registry(theirs, ours, used)
        for ns, what in outcome.conflicts.items():
            text = f"namespace '{ns}' is defined in two ways: {q.named(what)}"
            self.conflicts.append(Conflict("registry.yaml", "registry", text, ()))
        self.remarks += map(q.named, outcome.remarks)
        return outcome.entries

    def skipped(self) -> None:
        """Name what no sync carries."""
        for role in ("sender", "receiver"):
            side = self.q.sender if role == "sender" else self.q.receiver
            if side.skipped:
                whom = self.q.name("sender" if role == "sender" else "receiver")
                self.remarks.append(f"not carried, at {whom}: {some(side.skipped)}")

    def delete(self) -> list[Step]:
        """Return the steps of ``--delete``, or refuse if they would take away most of the files."""
        q = self.q
        touched = {s.path for s in self.steps}
        gone = [
            e
            for p, e in sorted(q.receiver.files.items())
            if q.classes.get(p) in DELETABLE and p not in q.sender.files and p not in touched
        ]
        if 2 * len(gone) > len(q.receiver.files):
            raise ConflictError(
                f"--delete would take away {len(gone):,} of {len(q.receiver.files):,} files of "
                f"{q.name('receiver')}: {some(e.path for e in gone)}",
                hint="Check that this is the right remote; without --delete they stay.",
            )
        self.remarks = [r for r in self.remarks if not r.endswith("(--delete removes it)")]
        return [
            Step("delete", e.path, q.classes[e.path], to=_deleted_to(q, e.path), was=e,
                 why=f"{q.name('sender')} does not have it")
            for e in gone
        ]  # fmt: skip


def _deleted_to(q: Question, path: str) -> str:
    if namespace_of_path(path) is not None:
        return q.archive(path)
    return f"{ARTIFACTS}/sync-deleted-{q.stamp}/{path}"


def _retired_by_base(q: Question, base: BaseDecision, path: str) -> bool:
    ops = q.history.by_identity("base")
    return any(path in ops[i].retired for i in base.contained if i in ops)


def _row_times(q: Question, kind: RowKind) -> RowTimes:
    return RowTimes(*(_newest_alone(q, kind, sender=side) for side in (True, False)))


def _newest_alone(q: Question, kind: RowKind, *, sender: bool) -> datetime | None:
    mine, other = q.history.logs["sender"], q.history.identities("receiver")
    if not sender:
        mine, other = q.history.logs["receiver"], q.history.identities("sender")
    times = (o.at for o in mine if o.action in _ROW_ACTIONS[kind] and o.identity not in other)
    return max((t for t in times if t is not None), default=None)


def _overlay_paths(q: Question) -> Iterable[str]:
    """Return overlay files of the sender; with a materialize also those that are in its base."""
    yield from (p for p in q.sender.files if q.classes.get(p) in ("part", "single", "state"))
    if q.facts.sender_base_columns is None and RECORDS in q.sender.files:
        log = q.history.logs["sender"]
        if any(o.action == "materialize" for o in log):
            for op in log:
                yield from op.files
                yield from op.retired


def _base_columns(q: Question) -> tuple[str, ...]:
    if q.facts.sender_base_columns is not None:
        return q.facts.sender_base_columns
    return q.facts.base.sender_columns if q.facts.base is not None else ()


def _next_common(q: Question, stamp: datetime, *, primary_only: bool) -> Common:
    """Return the sender's manifest, with the copies that the next comparison needs."""
    place = q.sender.place if q.direction == "pull" else q.receiver.place
    at = to_text(stamp)
    past = q.common
    files = {
        p: Entry(p, e.size, e.sha256)
        for p, e in q.sender.files.items()
        if classify(p) is not None and (not primary_only or p == RECORDS)
    }
    base = files.get(RECORDS)
    rows = q.history.base_rows(base.sha256) if base is not None else None
    if rows is None and q.facts.base is not None:
        rows = q.facts.base.sender_rows
    if past is None:
        return Common(place, at, files, _copies(q, files, None), rows)
    if rows is None and same_content(base, past.files.get(RECORDS)):
        rows = past.base_rows
    if primary_only:
        files = {**past.files, **files}
    return Common(place, at, files, _copies(q, files, past), rows)


def _copies(q: Question, files: Mapping[str, Entry], past: Common | None) -> dict[str, bytes]:
    old = past.copies if past is not None else {}
    kept = {
        p: data
        for p, data in old.items()
        if p in files and past is not None and same_content(files[p], past.files.get(p))
    }
    return {**kept, **{p: data for p, data in q.facts.copies.items() if p in files}}


def _artifacts(
    q: Question, base: BaseDecision, overlays: Overlays, deleted: list[Step]
) -> dict[str, object]:
    """Return what the event of this sync tells of choices, for the next ones."""
    ops = q.history.by_identity("base")
    carried = q.history.identities("receiver")
    if EVENTS in q.classes:
        carried |= q.history.identities("sender")
    unapplied = sorted(
        o.operation_id
        for i, o in ops.items()
        if i in carried and i not in base.contained and (o.retired or o.dropped_rows)
    )
    told: dict[str, object] = {
        "declined": [list(v) for v in sorted(overlays.declined)],
        "unapplied": unapplied,
        "deleted": [s.path for s in deleted],
    }
    return {k: v for k, v in told.items() if v}
