"""A pull as far as this side of it changes the disk; the other side is a folder beside the root."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pyarrow as pa

from tests.crash.store import IDS, NAME, Store
from tests.sync.simulate import Pair, inventory
from usr_nb import Dataset, TransferError, register_namespace
from usr_nb.sync import api
from usr_nb.sync.look import Here, Options
from usr_nb.sync.model import Entry
from usr_nb.sync.remotes import Remote

THEIRS = "GATTACAGAT"
REMOTE = Remote("lab", host="lab.test", user="ada", base_dir="/there")


def there(store: Store, name: str = NAME) -> Dataset:
    """Return the other copy."""
    return Dataset.open(store.folder / "there", name)


def with_remote(store: Store) -> None:
    """Make a copy of the dataset, and let both go on: in rows, cells, notes, and files."""
    shutil.copytree(store.root / NAME, store.folder / "there" / NAME)
    shutil.copy(store.root / "registry.yaml", store.folder / "there")
    ours, theirs = store.ds(), there(store)
    ours.write_overlay_part("m", pa.table({"id": IDS[:1], "m__s": ["ours"]}))
    ours.import_rows(["AAAATTTTCC"])
    theirs.import_rows([THEIRS])
    theirs.write_overlay_part("m", pa.table({"id": IDS[4:5], "m__s": ["theirs"]}))
    theirs.tombstone(IDS[3], reason="theirs")
    theirs.set_state(IDS[2], split="val")
    theirs.snapshot("theirs")
    theirs.append_meta_note("theirs", "usr info")
    with theirs.maintenance("test"):
        theirs.compact_overlay("k", single_file=True)
    (theirs.dir / "_artifacts").mkdir(exist_ok=True)
    (theirs.dir / "_artifacts" / "theirs.txt").write_text("theirs")


def with_new_remote(store: Store) -> None:
    """Let the other side have a dataset, and a namespace, that this one has not."""
    root = store.folder / "there"
    register_namespace(root, namespace="far", columns="far__v:int64")
    theirs = there(store, "ns/new")
    theirs.init()
    theirs.import_rows([THEIRS])
    row = theirs.head_table(1).column("id").to_pylist()
    theirs.write_overlay_part("far", pa.table({"id": row, "far__v": [1]}))


def pull(store: Store, name: str = NAME) -> Any:
    """Pull, with the real plan and the real last step; files are copied as rsync would."""
    folder = store.root / name
    pair = Pair(folder, there(store, name).dir)
    planned = pair.plan("pull")
    found = SimpleNamespace(pull=planned, plan=lambda _: planned, here=inventory(folder))
    plan = api.SyncPlan(Here(store.root, name, folder), REMOTE, Options(), cast("Any", found))
    with _copying(there(store, name).dir):
        return plan.apply("pull", tries=1)


def _write(target: Path, data: bytes) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    try:
        while data:
            data = data[os.write(fd, data) :]
    finally:
        os.close(fd)


@contextlib.contextmanager
def _copying(source: Path) -> Iterator[None]:
    """Stand in for ssh and rsync: what is brought is written and, as by rsync, not synced."""

    def transfer(_: Any, __: Any, entries: Sequence[Entry], into: Path, **___: Any) -> None:
        try:
            for entry in entries:
                _write(into / entry.at, (source / entry.at).read_bytes())
        except OSError as error:
            raise TransferError(f"The transfer was cut: {error}") from error

    real = api.transfer, api.Session
    api.transfer, api.Session = transfer, contextlib.nullcontext
    try:
        yield
    finally:
        api.transfer, api.Session = real
