"""What each side holds: the script's answer and the look here agree (SYN-3, SYN-5)."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from tests.dataset.kit import IDS
from tests.sync import script_kit as kit
from tests.sync.beds import StandIn
from tests.sync.test_remotes import HOSTILE
from usr_nb import Dataset, RemoteConfigError, SequencesError, TransferError
from usr_nb.storage import slots
from usr_nb.sync import inventory, scripts
from usr_nb.sync.model import Inventory
from usr_nb.sync.ssh import Session


@pytest.fixture
def ds(standin: StandIn) -> Dataset:
    return kit.example(standin.base)


def remote_look(standin: StandIn, name: str = "ns/demo", *, hashed: bool = False) -> Inventory:
    with Session(standin.remote()) as session:
        found = inventory.remote_inventory(session, name)
        return inventory.hashed_remote(session, found, found.files) if hashed else found


def both(standin: StandIn, ds: Dataset) -> Inventory:
    """Look from both sides and compare; return the local one."""
    there = remote_look(standin, hashed=True)
    here = inventory.local_inventory(ds.dir, ds.root)
    here = inventory.hashed_local(ds.dir, here, here.files)
    assert there.place.endswith(here.place)
    same = {"place": "", "clock_s": 0.0, "tools": frozenset[str]()}
    assert replace(there, **same) == replace(here, **same)
    assert abs((there.clock_s or 0) - (here.clock_s or 0)) < 60
    assert "sha256sum" in there.tools
    return here


def test_SYN_3_both_sides_see_the_same(standin: StandIn, ds: Dataset):
    (ds.dir / "odd 'names' $(touch canary)").mkdir()
    (ds.dir / "odd 'names' $(touch canary)/é `x`.txt").write_text("x")
    (ds.dir / "new\nline").write_text("x")
    (ds.dir / os.fsdecode(b"bad\xff")).write_text("x")
    (ds.dir / "link").symlink_to("records.parquet")
    (ds.dir / "folder link").symlink_to("/etc")
    (ds.dir / "_snapshots").mkdir(exist_ok=True)
    (ds.dir / "_snapshots/records-20260101T000000000000-auto.parquet").write_bytes(b"x")
    (ds.dir / ".tmp-x").write_bytes(b"x")
    found = both(standin, ds)
    assert found.exists
    assert {"records.parquet", ".events.log", "meta.md", "notes.txt", "_derived/m.parquet",
            "odd 'names' $(touch canary)/é `x`.txt"} <= set(found.files)  # fmt: skip
    assert {"link", "folder link", "'new\\nline'", "'bad\\udcff'"} == set(found.skipped)
    assert not any(
        "auto" in p or "_txn" in p or ".tmp" in p or ".usr.lock" in p for p in found.files
    )
    assert not list(standin.home.rglob("canary"))


def test_SYN_3_committed_and_not_installed_counts(standin: StandIn, ds: Dataset):
    push = kit.usual_push(ds)
    wanted = kit.after(push, kit.files_of(ds.dir))
    push.stage()
    body = push.script().replace("at=committed\n", "at=committed\nkill -9 $$\n", 1)
    assert kit.run(body)[0] is None
    found = both(standin, ds)
    assert found.pending == push.intent
    assert found.slot == push.slot + 1
    aside = {".events.log", "meta.md"}
    # Automatic snapshots and the like are no part of a sync.
    assert {p: e.sha256 for p, e in found.files.items() if p not in aside} == {
        p: d for p, d in wanted.items() if p in found.files
    }
    assert set(push.came) <= set(found.files)
    assert not set(push.gone) & set(found.files)


def test_SYN_6_registry_that_waits_to_be_installed_counts(
    standin: StandIn, ds: Dataset, monkeypatch
):
    from usr_nb import register_namespace

    with monkeypatch.context() as m:
        m.setattr(slots, "_finish", lambda stage: None)
        register_namespace(ds.root, namespace="late", columns="late__x:int8")
    found = both(standin, ds)
    assert found.registry is not None
    assert b"late__x" in found.registry
    assert found.registry_pending is not None


def test_SYN_5_missing_folders_are_told_apart(standin: StandIn, ds: Dataset):
    found = remote_look(standin, "ns/other")
    assert (found.exists, dict(found.files)) == (False, {})
    assert found.place == f"ada@stand-in.test:22{standin.base}/ns/other"
    assert found.registry is not None
    remote = standin.remote(base_dir=f"{standin.base}/none")
    with Session(remote) as session, pytest.raises(RemoteConfigError, match="base_dir"):
        inventory.remote_inventory(session, "ns/demo")


def test_SYN_5_growing_log_is_digested_up_to_what_was_seen(standin: StandIn, ds: Dataset):
    with Session(standin.remote()) as session:
        there = inventory.remote_inventory(session, "ns/demo")
        here = inventory.local_inventory(ds.dir, ds.root)
        whole = inventory.hashed_local(ds.dir, here, [".events.log"]).files[".events.log"].sha256
        ds.tombstone(IDS[:1])
        later = inventory.hashed_remote(session, there, [".events.log"])
        assert later.files[".events.log"].sha256 == whole
        (ds.dir / "notes.txt").unlink()
        with pytest.raises(SequencesError, match="vanished"):
            inventory.hashed_remote(session, there, ["notes.txt"])
        with pytest.raises(SequencesError, match="vanished"):
            inventory.hashed_local(ds.dir, here, ["notes.txt"])


@pytest.mark.parametrize("bad", [b for b in HOSTILE if b != "a/b"])
def test_SYN_5_hostile_dataset_names_are_refused(standin: StandIn, bad: str):
    with Session(standin.remote()) as session, pytest.raises(SequencesError):
        inventory.remote_inventory(session, bad)
    assert not list(standin.home.rglob("canary"))


@pytest.mark.parametrize("name", [b for b in HOSTILE if b and "\n" not in b and "\0" not in b])
def test_SYN_5_hostile_base_dirs_are_plain_text(standin: StandIn, name: str):
    base = f"{standin.base}/{name}"
    if len(name) > 255 or name in ("..", "../x"):
        return
    Path(base, "demo").mkdir(parents=True)
    Path(base, "demo/records.parquet").write_bytes(b"x")
    remote = standin.remote(base_dir=base)
    into = standin.home / "into"
    into.mkdir()
    with Session(remote) as session:
        found = inventory.remote_inventory(session, "demo")
        assert list(found.files) == ["records.parquet"]
        hashed = inventory.hashed_remote(session, found, found.files)
        assert hashed.files["records.parquet"].sha256
        folder = scripts.folder_at(remote.base_dir, "demo")
        session.fetch(folder, ["records.parquet"], into)
        session.send(into, ["records.parquet"], folder)
    assert (into / "records.parquet").read_bytes() == b"x"
    assert not list(standin.home.rglob("canary"))


@pytest.mark.parametrize(
    "out", [b"", b"place /x\0", b"\xff\0\0", b"place /x\0target /x/y\0clock a\0rootslot 1\0",
            b"place /x\0target /x/y\0clock 1\0rootslot 0\0registry ***\0",
            b"place /x\0target /x/y\0folder /x/y\0clock 1\0rootslot 0\0slot 1\0after 1\0f 1 2\0",
            b"place /x\0target /y\0folder /y\0clock 1\0rootslot 0\0slot 1\0after 1\0f a b c d\0"],
)  # fmt: skip
def test_SYN_5_unknown_answers_are_typed_errors(out: bytes):
    with pytest.raises(TransferError):
        inventory.parse_look(out, where="lab")


def test_SYN_5_changed_slot_means_look_again():
    out = b"place /x\0target /x/y\0folder /x/y\0clock 1\0rootslot 0\0slot 1\0after 2\0"
    assert inventory.parse_look(out, where="lab") is None


def test_SYN_5_verified_finds_every_fault(tmp_path: Path):
    import hashlib

    from usr_nb.sync.model import Entry

    (tmp_path / "good").write_bytes(b"good")
    (tmp_path / "other").write_bytes(b"evil")
    (tmp_path / "short").write_bytes(b"s")
    (tmp_path / ".events.log").write_bytes(b"line\nlater\n")
    (tmp_path / "link").symlink_to("good")
    entries = [
        Entry(n, len(d), hashlib.sha256(d).hexdigest())
        for n, d in {"good": b"good", "other": b"okay", "short": b"short", ".events.log": b"line\n",
                     "missing": b"", "link": b"good"}.items()
    ]  # fmt: skip
    faults = []
    inventory.verified(tmp_path, entries, on_fault=lambda e: faults.append(e.path))
    assert faults == ["other", "short", "missing", "link"]
