"""A push's last step: files go to a staging folder at the remote, are verified and committed there.

It mirrors :mod:`usr_nb.sync.receive`: the commit point is the same link of an intent onto the next
slot, made there by one ``sh`` script.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from usr_nb.contract.essentials import META_REGISTRY_HASH
from usr_nb.contract.events import Fingerprint
from usr_nb.contract.registry import Registry
from usr_nb.contract.times import to_text, utc_now
from usr_nb.errors import RemoteUnavailableError, StalePlanError, TransferError, VerificationError
from usr_nb.storage import door
from usr_nb.storage.intents import Append, Install, Intent, Retire, new_operation_id
from usr_nb.storage.layout import EVENTS, RECORDS, REGISTRY_FILE, TXN
from usr_nb.storage.parquet import file_metadata, open_parquet
from usr_nb.storage.slots import fill_in
from usr_nb.sync import commit_scripts, scripts, telling
from usr_nb.sync.base import write_union
from usr_nb.sync.look import Here, Look, fingerprint_there, moved, there_folder, transfer
from usr_nb.sync.model import Entry, Plan, Step, SyncReceipt
from usr_nb.sync.notes_merge import parse_notes
from usr_nb.sync.registry_merge import read_registry
from usr_nb.sync.ssh import Session

#: Where content that is made here lies among what is sent.
_MADE = "made"
Words = Callable[[Fingerprint, str | None], telling.Wording]


@dataclass
class _Load:
    """What a push sends: the intent, and where each staged file comes from.

    Attributes
    ----------
    sources : dict of str to str
        Staged name → path below the incoming folder.
    copies : dict of str to str
        Staged name → file of the receiver to be copied there.
    own : list of Entry
        Files of this copy to send.
    made : dict of str to Path
        Path below the incoming folder → file made here.
    """

    intent: Intent
    sources: dict[str, str] = field(default_factory=dict)
    copies: dict[str, str] = field(default_factory=dict)
    own: list[Entry] = field(default_factory=list)
    made: dict[str, Path] = field(default_factory=dict)


def deliver(
    session: Session,
    here: Here,
    found: Look,
    words: Words,
    *,
    grow: Callable[[Registry], Registry],
) -> SyncReceipt:
    """Apply the push of a look: transfer, verify there, commit there.

    Raises
    ------
    StalePlanError
        If the remote, or a file that is sent, has changed since the look. Nothing was installed.
    VerificationError
        If what arrived is not what was sent.
    RemoteUnavailableError, TransferError
        If the connection failed; a repeated push goes on from what is there.
    """
    plan = found.push
    folder = there_folder(session, here)
    _settle(session, here, found)
    base = scripts.folder_at(session.remote.base_dir)
    incoming = _incoming(here, found)
    session.run(commit_scripts.prepare_script(base, here.name, incoming), stage="preparing")
    if plan.registry:
        _grow_registry(session, found, grow)
    with door.temporary_folder() as work:
        load, fingerprint, stamp = _load(session, here, found, work)
        _send(session, here, load, work, f"{folder}/{incoming}")
        _tell(load.intent, plan, found, words(fingerprint, stamp))
        _stage(session, here, load, incoming, can_hash="sha256sum" in found.there.tools)
        _install(session, folder, found, load, incoming)
    return telling.receipt(plan, load.intent.operation_id)


def finish(session: Session, here: Here, found: Look) -> None:
    """Finish a push that was cut after its commit, and take away what it sent.

    Raises
    ------
    RemoteUnavailableError, TransferError
        If the connection failed.
    """
    _settle(session, here, found)
    script = commit_scripts.clear_script(there_folder(session, here), _incoming(here, found))
    session.run(script, stage="clearing")


def _incoming(here: Here, found: Look) -> str:
    """Name one staging folder for each pair of copies, so that a cut transfer is taken up again."""
    mark = hashlib.sha256(f"{here.dir.absolute()}>{found.there.place}".encode()).hexdigest()[:16]
    return f"{TXN}/incoming-{mark}"


def _settle(session: Session, here: Here, found: Look) -> None:
    """Finish what a dead writer left at the remote; the plan was made with it in mind."""
    there = found.there
    if there.registry_pending is not None:
        base = scripts.folder_at(session.remote.base_dir)
        session.run(commit_scripts.settle_script(base, there.registry_pending), stage="settling")
    if there.pending is not None:
        folder = there_folder(session, here)
        session.run(commit_scripts.settle_script(folder, there.pending), stage="settling")


def _grow_registry(session: Session, found: Look, grow: Callable[[Registry], Registry]) -> None:
    old = found.there.registry
    text = grow(read_registry(old, where=session.remote.name)).as_yaml().encode()
    install = Install(REGISTRY_FILE, "f0", len(text), hashlib.sha256(text).hexdigest())
    intent = _intent()
    intent.install.append(install)
    script = commit_scripts.registry_script(
        scripts.folder_at(session.remote.base_dir), intent, slot=found.there.registry_slot,
        content=text, old_sha256=None if old is None else hashlib.sha256(old).hexdigest(),
    )  # fmt: skip
    session.run(script, stage="registering")


def _intent() -> Intent:
    # No plain owner tag: the remote may have our short name, and take our process for dead.
    return Intent(new_operation_id(), "push", to_text(utc_now()), f"push-{door.owner_tag()}")


# What is sent -----------------------------------------------------------------------------------


def _load(
    session: Session, here: Here, found: Look, work: Path
) -> tuple[_Load, Fingerprint, str | None]:
    load = _Load(_intent())
    base: Path | None = None
    for step in found.push.steps:
        if step.kind in ("add", "replace", "beside") and step.source is not None:
            path = here.dir / step.source.at
            _take(load, step, step.source, path)
            base = path if step.path == RECORDS else base
        elif step.kind == "save" and step.source is not None:
            name = _staged(load, step.path, step.source.size, str(step.source.sha256))
            load.copies[name] = step.source.path
        elif step.kind in ("retire", "delete") and step.was is not None:
            gone = step.was
            retire = Retire(step.path, step.to, gone.inode, gone.size, gone.mtime_ns)
            load.intent.retire.append(retire)
        elif step.kind == "append" and step.file_class == "notes":
            load.intent.notes += parse_notes(step.content or b"")
        else:
            made = _make(session, here, load, step, work)
            base = made if step.path == RECORDS else base
    fingerprint, stamp = _size_of(base)
    return load, fingerprint or fingerprint_there(found) or Fingerprint(0, 0, 0), stamp


def _staged(load: _Load, path: str, size: int, sha256: str) -> str:
    name = f"f{len(load.intent.install)}"
    load.intent.install.append(Install(path, name, size, sha256))
    return name


def _take(load: _Load, step: Step, source: Entry, path: Path) -> None:
    try:
        sha256 = source.sha256 or door.file_sha256(path)
    except FileNotFoundError:
        raise moved(source.path) from None
    name = _staged(load, step.path, source.size, sha256)
    load.sources[name] = source.at
    load.own.append(source)


def _make(session: Session, here: Here, load: _Load, step: Step, work: Path) -> Path:
    """Write content that no side has yet; returns where."""
    number = len(load.made)
    path = work / _MADE / f"{number}"
    door.make_dirs(path.parent)
    sink = door.Sink(path)
    try:
        if step.content is not None:
            sink.write(step.content)
        elif step.was is not None and step.source is not None:
            theirs = work / "theirs"
            door.make_dirs(theirs)
            transfer(session, here, [step.was], theirs)
            write_union(sink, receiver=theirs / step.was.at, sender=here.dir / step.source.at)
    finally:
        sink.drop()
    if step.kind == "append":
        name = f"a{len(load.intent.append)}"
        load.intent.append.append(Append(EVENTS, name, sink.size, sink.sha256))
    else:
        name = _staged(load, step.path, sink.size, sink.sha256)
    load.sources[name] = f"{_MADE}/{number}"
    load.made[f"{_MADE}/{number}"] = path
    return path


def _size_of(base: Path | None) -> tuple[Fingerprint | None, str | None]:
    if base is None:
        return None, None
    with open_parquet(base) as file:
        stamp = file_metadata(file).get(META_REGISTRY_HASH)
        rows, cols = file.metadata.num_rows, len(file.schema_arrow.names)
    size = base.stat().st_size
    return Fingerprint(rows, cols, size), stamp.decode("ascii", "replace") if stamp else None


def _send(session: Session, here: Here, load: _Load, work: Path, into: str) -> None:
    if load.own:
        size = sum(e.size for e in load.own)
        session.send(here.dir, [e.at for e in load.own], into, size=size, basis="../..")
    if load.made:
        session.send(work, list(load.made), into)


def _tell(intent: Intent, plan: Plan, found: Look, words: telling.Wording) -> None:
    kept = telling.kept_digests(plan, found.there)
    intent.events.append(telling.event(plan, words, kept))
    intent.notes.append(telling.note(plan, words, at=intent.created_at))
    fill_in(intent)


# There ------------------------------------------------------------------------------------------


def _stage(session: Session, here: Here, load: _Load, incoming: str, *, can_hash: bool) -> None:
    """Link what arrived into the operation's folder and compare digests."""
    intent = load.intent
    script = commit_scripts.stage_script(
        there_folder(session, here),
        intent,
        incoming=incoming,
        sources=load.sources,
        copies=load.copies,
    )
    size = sum(i.size for i in intent.install)
    out = session.run(script, timeout_s=300 + size / (10 << 20), stage="verifying")
    if not can_hash:
        return
    arrived = scripts.parse_digests(out)
    staged: list[Install | Append] = [*intent.install, *intent.append]
    for item in staged:
        if arrived.get(item.staged) == item.sha256:
            continue
        source = load.sources.get(item.staged, "")
        if source in {e.at for e in load.own} and _sha256(here.dir / source) != item.sha256:
            raise moved(source)
        raise VerificationError(
            f"{item.path} arrived at {session.remote.name} with other content",
            hint="Nothing was installed. Push again; if it stays so, check the disk there.",
        )


def _sha256(path: Path) -> str | None:
    try:
        return door.file_sha256(path)
    except FileNotFoundError:
        return None


def _install(session: Session, folder: str, found: Look, load: _Load, incoming: str) -> None:
    plan, intent = found.push, load.intent
    was: Mapping[str, Entry | None] = {
        s.path: s.was for s in plan.steps if s.kind not in ("append", "save")
    }
    was = {**was, **{s.source.path: s.source for s in plan.steps
                     if s.kind == "save" and s.source is not None}}  # fmt: skip
    script = commit_scripts.install_script(
        folder, intent, slot=found.there.slot, was=was, incoming=incoming
    )
    try:
        session.run(script, timeout_s=None, stage="installing")
    except (TransferError, RemoteUnavailableError) as error:
        # The answer was lost; what it was about may have been done.
        ask = commit_scripts.committed_script(folder, intent.operation_id)
        try:
            state = session.run(ask, stage="asking").split()
        except (TransferError, RemoteUnavailableError, StalePlanError):
            raise error from None
        if state == [b"no"]:
            raise
        session.run(commit_scripts.settle_script(folder, intent), stage="settling")
        session.run(commit_scripts.clear_script(folder, incoming), stage="clearing")
