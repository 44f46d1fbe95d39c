"""What each side holds: by our script at a remote, by looking here. Neither writes anything."""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import os
import shutil
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from usr_nb.contract.names import check_dataset_id
from usr_nb.contract.progress import report
from usr_nb.errors import SequencesError, StalePlanError, TransferError
from usr_nb.storage import door
from usr_nb.storage.intents import Intent, highest_slot, pending
from usr_nb.storage.layout import EVENTS, META, RECORDS, REGISTRY_FILE, TXN, Layout
from usr_nb.sync import scripts
from usr_nb.sync.classes import classify
from usr_nb.sync.model import Entry, Inventory
from usr_nb.sync.ssh import Session

TOOLS: Final = ("sha256sum", "flock", "python3")
#: Files that only grow: their digest is of the bytes that were there when they were listed.
GROWING: Final = (EVENTS, META)
_LOOKS: Final = 10
#: A digest may take long on a slow disk: seconds for each byte.
_HASH_S: Final = 1 / (10 << 20)


# A remote ---------------------------------------------------------------------------------------


def remote_inventory(session: Session, dataset: str) -> Inventory:
    """Return what a remote has of a dataset, without digests.

    Parameters
    ----------
    session : Session
    dataset : str
        The id below the remote's ``base_dir``.

    Raises
    ------
    RemoteUnavailableError
        There is no connection. Never taken for "there is no dataset".
    RemoteConfigError
        ``base_dir`` is not there.
    StalePlanError
        Writers there commit so fast that no view could be taken.
    """
    check_dataset_id(dataset)
    base = scripts.folder_at(session.remote.base_dir)
    for _ in range(_LOOKS):
        answer = session.ask(scripts.look_script(base, dataset), stage="looking")
        if answer.code == scripts.MOVING:
            continue
        if answer.code:
            raise session.refusal(answer)
        found = parse_look(answer.out, where=session.remote.name)
        if found is not None:
            host = f"{session.remote.user}@{session.remote.host}:{session.remote.port or 22}"
            return replace(found, place=host + found.place)
    raise StalePlanError(
        f"The dataset at {session.remote.name} cannot be listed: {answer.said or 'it changes'}",
        hint="Try again when its writers are done.",
    )


def hashed_remote(session: Session, inventory: Inventory, paths: Collection[str]) -> Inventory:
    """Return the inventory with digests of these paths; a vanished file raises.

    Parameters
    ----------
    session : Session
    inventory : Inventory
        Of this remote.
    paths : collection of str
        Files of the inventory; those with a digest are not looked at again.

    Raises
    ------
    StalePlanError
        If a file is gone: take a new inventory.
    """
    wanted = [e for p in sorted(paths) if (e := inventory.files[p]).sha256 is None]
    if not wanted:
        return inventory
    folder = inventory.place.partition(":")[2].lstrip("0123456789")
    limits = {e.at or e.path: e.size if e.path in GROWING else None for e in wanted}
    total = sum(e.size for e in wanted)
    out = session.run(
        scripts.hash_script(folder, limits), timeout_s=300 + total * _HASH_S, stage="checking"
    )
    digests = scripts.parse_digests(out)
    return _with_digests(inventory, {e.path: digests.get(e.at or e.path) for e in wanted})


def _with_digests(inventory: Inventory, digests: Mapping[str, str | None]) -> Inventory:
    gone = [p for p, d in digests.items() if d is None]
    if gone:
        raise StalePlanError(
            f"{gone[0]} vanished while it was being looked at", hint="Run the command again."
        )
    files = {p: replace(e, sha256=digests.get(p, e.sha256)) for p, e in inventory.files.items()}
    return replace(inventory, files=files)


def parse_look(out: bytes, *, where: str) -> Inventory | None:
    r"""Read the records of :func:`usr_nb.sync.scripts.look_script`; None: it changed meanwhile.

    Parameters
    ----------
    out : bytes
        NUL-terminated records. Hostile names in them end up in ``skipped``.
    where : str
        Name of the remote, for messages.

    Raises
    ------
    TransferError
        If it is not what the script prints.

    Examples
    --------
    >>> out = b"place /data\0target /data/x\0clock 1.5\0rootslot 000000000000\0"
    >>> parse_look(out, where="scc").exists
    False
    """
    words: dict[str, bytes] = {}
    listed: list[bytes] = []
    tools = []
    for record in out.split(b"\0")[:-1]:
        tag, _, rest = record.partition(b" ")
        if tag in (b"f", b"s", b"p", b"rootp"):
            listed.append(record)
        elif tag == b"tool":
            tools.append(rest.decode("ascii", "replace"))
        else:
            words[tag.decode("ascii", "replace")] = rest
    try:
        return _understood(words, listed, frozenset(tools))
    except (KeyError, ValueError, binascii.Error) as error:
        raise TransferError(
            f"{where} listed its files in an unknown form ({error})",
            hint="GNU find and coreutils are needed there; see `usr remotes doctor`.",
        ) from None


def _understood(
    words: Mapping[str, bytes], listed: list[bytes], tools: frozenset[str]
) -> Inventory | None:
    place = os.fsdecode(words["place"])
    base = Inventory(
        place=os.fsdecode(words.get("folder", words["target"])),
        exists=False,
        registry_slot=int(words["rootslot"]),
        registry=_registry(words),
        registry_pending=_intent(words, "rootpending", place),
        tools=tools,
        clock_s=float(words["clock"]),
    )
    if "folder" not in words:
        return base
    if words["slot"] != words["after"]:
        return None
    intent = _intent(words, "pending", place)
    files: dict[str, Entry] = {}
    skipped: list[str] = []
    staged: dict[str, Entry] = {}
    for record in listed:
        tag, inode, size, mtime, name = record.split(b" ", 4)
        path = _decoded(name)
        if tag == b"p" and intent is not None:
            at = f"{TXN}/{intent.operation_id}/{path}"
            staged[path] = Entry(path, int(size), None, int(inode), _ns(mtime), at)
        elif tag == b"s" or (tag == b"f" and _is_unsafe(path)):
            skipped.append(path if not _is_unsafe(path) else repr(path))
        elif tag == b"f" and classify(path) is not None:
            files[path] = Entry(path, int(size), None, int(inode), _ns(mtime), path)
    exists = RECORDS in files or (int(words["slot"]) > 0 and "isroot" not in words)
    return replace(
        base, exists=exists, slot=int(words["slot"]), pending=intent,
        files=_applied(files, intent, staged), skipped=tuple(sorted(skipped)),
    )  # fmt: skip


def _registry(words: Mapping[str, bytes]) -> bytes | None:
    pending_one = _intent(words, "rootpending", "")
    if pending_one is not None and "rootstaged" in words:
        path = {i.staged: i.path for i in pending_one.install}
        if path.get("f0") == REGISTRY_FILE:
            return base64.b64decode(words["rootstaged"], validate=True)
    data = words.get("registry")
    return None if data is None else base64.b64decode(data, validate=True)


def _intent(words: Mapping[str, bytes], tag: str, place: str) -> Intent | None:
    if tag not in words:
        return None
    return Intent.decode(base64.b64decode(words[tag], validate=True), Path(place) / TXN)


def _ns(text: bytes) -> int:
    """Return nanoseconds from ``%T@``, whose fraction has more digits than files have."""
    whole, _, fraction = text.partition(b".")
    ns = abs(int(whole)) * 1_000_000_000 + int(fraction[:9].ljust(9, b"0") or b"0")
    return -ns if whole.startswith(b"-") else ns


def _decoded(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")


def _is_unsafe(path: str) -> bool:
    try:
        scripts.plain_name(path)
    except SequencesError:
        return True
    return False


def _applied(
    files: dict[str, Entry], intent: Intent | None, staged: Mapping[str, Entry]
) -> dict[str, Entry]:
    """Return the files as they are once the intent is installed."""
    if intent is None:
        return files
    for gone in intent.retire:
        entry = files.get(gone.path)
        listed = (gone.inode, gone.size, gone.mtime_ns)
        if entry is not None and (entry.inode, entry.size, entry.mtime_ns) == listed:
            del files[gone.path]
            if gone.to is not None and classify(gone.to) is not None:
                files[gone.to] = replace(entry, path=gone.to)
    for item in intent.install:
        entry = staged.get(item.staged)
        if entry is not None and classify(item.path) is not None:
            files[item.path] = replace(entry, path=item.path, sha256=item.sha256)
    return files


# This side --------------------------------------------------------------------------------------


def local_inventory(folder: Path, root: Path) -> Inventory:
    """Return what this side has of a dataset, without digests.

    Parameters
    ----------
    folder : Path
        The dataset, which need not exist.
    root : Path
        Its root.

    Raises
    ------
    StalePlanError
        Writers commit so fast that no view could be taken.
    StorageError
        A folder cannot be read.
    """
    layout = Layout(folder)
    about = Inventory(
        place=str(folder.absolute()),
        exists=False,
        tools=frozenset(t for t in TOOLS if shutil.which(t)),
        clock_s=time.time(),
    )
    registry, registry_slot, registry_pending = _local_registry(root)
    about = replace(about, registry=registry, registry_slot=registry_slot,
                    registry_pending=registry_pending)  # fmt: skip
    for _ in range(_LOOKS):
        number, intent = pending(layout)
        files, skipped = _walk(folder)
        staged = _staged(layout, intent) if intent is not None else {}
        if highest_slot(layout) != number:
            continue
        is_root = (folder / REGISTRY_FILE).exists()
        return replace(
            about, exists=RECORDS in files or (number > 0 and not is_root), slot=number,
            files=_applied(files, intent, staged), skipped=tuple(skipped), pending=intent,
        )  # fmt: skip
    raise StalePlanError(f"{folder} changes too fast to be listed", hint="Try again.")


def _local_registry(root: Path) -> tuple[bytes | None, int, Intent | None]:
    layout = Layout(root)
    number, intent = pending(layout)
    places = [root / REGISTRY_FILE]
    for item in intent.install if intent is not None else ():
        if intent is not None and item.path == REGISTRY_FILE:
            places.insert(0, layout.txn / intent.operation_id / item.staged)
    for place in places:
        with (
            contextlib.suppress(FileNotFoundError, NotADirectoryError),
            door.typed(place, "read"),
        ):
            return place.read_bytes(), number, intent
    return None, number, intent


def _staged(layout: Layout, intent: Intent) -> dict[str, Entry]:
    found = {}
    for item in intent.install:
        at = layout.txn / intent.operation_id / item.staged
        with contextlib.suppress(FileNotFoundError):
            st = at.stat()
            rel = f"{TXN}/{intent.operation_id}/{item.staged}"
            found[item.staged] = Entry(
                item.path, st.st_size, item.sha256, st.st_ino, st.st_mtime_ns, rel
            )
    return found


def _walk(folder: Path) -> tuple[dict[str, Entry], list[str]]:
    files: dict[str, Entry] = {}
    skipped: list[str] = []
    for path, entry in _plain_files(folder, ""):
        if entry is None:
            skipped.append(path if not _is_unsafe(path) else repr(path))
        elif _is_unsafe(path):
            skipped.append(repr(path))
        elif classify(path) is not None:
            st = entry.stat(follow_symlinks=False)
            files[path] = Entry(path, st.st_size, None, st.st_ino, st.st_mtime_ns, path)
    return files, sorted(skipped)


def _plain_files(folder: Path, above: str) -> Iterator[tuple[str, os.DirEntry[str] | None]]:
    """Yield (relative path, entry) of plain files, (path, None) of links and the like."""
    try:
        with door.typed(folder, "list"), os.scandir(folder) as opened:
            entries = sorted(opened, key=lambda e: e.name)
    except (FileNotFoundError, NotADirectoryError):
        return
    for entry in entries:
        path = above + entry.name
        if path == TXN:
            continue
        with contextlib.suppress(FileNotFoundError):
            if entry.is_dir(follow_symlinks=False):
                yield from _plain_files(folder / entry.name, f"{path}/")
            elif entry.is_file(follow_symlinks=False):
                entry.stat(follow_symlinks=False)
                yield path, entry
            else:
                yield path, None


def hashed_local(folder: Path, inventory: Inventory, paths: Collection[str]) -> Inventory:
    """Return the inventory with digests of these paths.

    Parameters
    ----------
    folder : Path
        The dataset.
    inventory : Inventory
        Of it.
    paths : collection of str
        Files of the inventory; those with a digest are not looked at again.

    Raises
    ------
    StalePlanError
        If a file is gone or is being written: take a new inventory.
    """
    wanted = [e for p in sorted(paths) if (e := inventory.files[p]).sha256 is None]
    total = sum(e.size for e in wanted)
    done = 0
    digests: dict[str, str | None] = {}
    for entry in wanted:
        report("checking", done, total, "bytes")
        digests[entry.path] = _digest_of(folder, entry)
        done += entry.size
    report("checking", total, total, "bytes")
    return _with_digests(inventory, digests)


def _digest_of(folder: Path, entry: Entry) -> str | None:
    grows = entry.path in GROWING
    path = folder / (entry.at or entry.path)
    try:
        with door.typed(path, "read"):
            return digest_of_prefix(path, entry.size) if grows else door.file_sha256(path)
    except FileNotFoundError:
        return None


def digest_of_prefix(path: Path, size: int) -> str:
    """Return the SHA-256 of the first `size` bytes of a file.

    Examples
    --------
    >>> digest_of_prefix(Path("/dev/null"), 0)[:8]
    'e3b0c442'
    """
    digest = hashlib.sha256()
    with path.open("rb") as f:
        while size and (block := f.read(min(size, 1 << 20))):
            digest.update(block)
            size -= len(block)
    return digest.hexdigest()


def verified(folder: Path, wanted: Collection[Entry], *, on_fault: Callable[[Entry], None]) -> None:
    """Call `on_fault` for each entry whose file in a staging folder is not what it should be.

    Parameters
    ----------
    folder : Path
        Holds the files under their paths.
    wanted : collection of Entry
        With digests; without one only the size is compared.
    on_fault : callable
        May raise; may remove the file, so that it is transferred again.
    """
    total = sum(e.size for e in wanted)
    done = 0
    for entry in wanted:
        report("verifying", done, total, "bytes")
        path = folder / entry.path
        grows = entry.path in GROWING
        fine = door.is_regular(path) and (
            path.stat().st_size == entry.size or (grows and path.stat().st_size > entry.size)
        )
        if fine and entry.sha256 is not None:
            fine = digest_of_prefix(path, entry.size) == entry.sha256
        if not fine:
            on_fault(entry)
        done += entry.size
    report("verifying", total, total, "bytes")
