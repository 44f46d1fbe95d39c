"""RCV-1: files appear whole or not at all; refusals of the disk are typed and leave nothing."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from tests.storage.kit import ERRNOS, Killed, watched_door
from usr_nb.errors import StorageError
from usr_nb.storage import digest, door


def write(path: Path, data: bytes = b"new") -> None:
    with door.new_file(path) as sink:
        sink.write(data)


def overwrite(path: Path, data: bytes = b"new") -> None:
    with door.replaced_file(path) as sink:
        sink.write(data)


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def test_RCV_1_a_new_file_appears_whole(tmp_path):
    path = tmp_path / "x"
    with door.new_file(path) as sink:
        sink.write(b"ab")
        sink.write(memoryview(b"cd"))
        assert not path.exists()
        assert door.temp_owner(names(tmp_path)[0]) == door.owner_tag()
    assert path.read_bytes() == b"abcd"
    assert sink.size == 4
    assert sink.sha256 == door.file_sha256(path)
    assert names(tmp_path) == ["x"]


@pytest.mark.parametrize(("run", "step"), [(write, "link"), (overwrite, "replace")])
def test_RCV_1_content_is_synced_before_and_the_folder_after(tmp_path, run, step):
    with watched_door() as seen:
        run(tmp_path / "x")
    calls = [c for c, _ in seen.calls]
    assert calls.index("write") < calls.index("fsync") < calls.index(step)
    assert "fsync" in calls[calls.index(step) :], "the folder's names are synced too"
    assert calls.count(step) == 1


def test_RCV_1_a_taken_name_is_an_error_and_nothing_changes(tmp_path):
    (tmp_path / "x").write_bytes(b"old")
    with pytest.raises(FileExistsError):
        write(tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == b"old"
    assert names(tmp_path) == ["x"]


def test_RCV_1_an_error_while_writing_leaves_nothing(tmp_path):
    def half() -> None:
        with door.new_file(tmp_path / "x") as sink:
            sink.write(b"half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        half()
    assert names(tmp_path) == []


@pytest.mark.parametrize("code", ERRNOS)
@pytest.mark.parametrize("run", [write, overwrite])
def test_RCV_1_a_refusal_at_any_call_is_typed_and_leaves_the_state_before(tmp_path, run, code):
    with watched_door() as seen:
        run(tmp_path / "count")
    for at, (call, _) in enumerate(seen.calls):
        folder = tmp_path / str(at)
        folder.mkdir()
        if run is overwrite:
            (folder / "x").write_bytes(b"old")
        with watched_door(at, code):
            try:
                run(folder / "x")
                acknowledged = True
            except StorageError as error:
                acknowledged = False
                assert str(folder) in error.message  # noqa: PT017
                assert error.hint  # noqa: PT017
        left = [n for n in names(folder) if n != "x"]
        assert not left or call == "unlink", f"{call} left {left}"
        replaced = run is overwrite and at > [c for c, _ in seen.calls].index("replace")
        if acknowledged or replaced:
            assert (folder / "x").read_bytes() == b"new"
        elif run is overwrite:
            assert (folder / "x").read_bytes() == b"old"
        else:
            assert not (folder / "x").exists()
            run(folder / "x")
            assert (folder / "x").read_bytes() == b"new", "a second try succeeds"


def test_RCV_1_killed_at_any_call_shows_nothing_or_the_whole_file(tmp_path):
    with watched_door() as seen:
        write(tmp_path / "count")
    for at in range(len(seen.calls)):
        path = tmp_path / str(at) / "x"
        path.parent.mkdir()
        with watched_door(at, Killed), pytest.raises(Killed):
            write(path)
        assert not path.exists() or path.read_bytes() == b"new"
        assert all(door.temp_owner(n) for n in names(path.parent) if n != "x"), (
            "litter has an owner"
        )


def test_RCV_1_a_failed_fsync_is_not_tried_again(tmp_path):
    with watched_door() as seen:
        write(tmp_path / "count")
    at = [c for c, _ in seen.calls].index("fsync")
    with watched_door(at, errno.EIO) as seen, pytest.raises(StorageError, match="sync"):
        write(tmp_path / "x")
    assert [c for c, _ in seen.calls].count("fsync") == 1


@pytest.mark.parametrize(
    ("code", "says"),
    [(errno.ENOSPC, "full"), (errno.EDQUOT, "quota"), (errno.EROFS, "read-only"),
     (errno.EACCES, "permission"), (errno.EIO, "fault")],
)  # fmt: skip
def test_RCV_1_hints_tell_what_to_do(tmp_path, code, says):
    with watched_door(0, code), pytest.raises(StorageError) as e:
        write(tmp_path / "x")
    assert says in e.value.hint


def test_RCV_1_short_writes_are_continued(tmp_path, monkeypatch):
    real = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: real(fd, data[:3]))
    write(tmp_path / "x", b"0123456789")
    assert (tmp_path / "x").read_bytes() == b"0123456789"


def test_RCV_1_folders_are_made_and_synced(tmp_path):
    with watched_door() as seen:
        door.make_dirs(tmp_path / "a/b/c")
    assert [c for c, _ in seen.calls] == ["mkdir", "fsync"] * 3
    assert (tmp_path / "a/b/c").is_dir()
    (tmp_path / "file").write_text("")
    for wrong in ("file", "file/x"):
        with pytest.raises(StorageError, match="file"):
            door.make_dirs(tmp_path / wrong)


def test_RCV_1_scratch_is_gone_afterwards(tmp_path):
    with door.scratch(tmp_path / "s") as sink:
        sink.write(b"x")
        assert len(names(tmp_path / "s")) == 1
    assert names(tmp_path / "s") == []


def test_EVT_5_append_is_one_write_and_closes_off_a_torn_line(tmp_path):
    log = tmp_path / "log"
    with watched_door() as seen:
        door.append(log, b"one\n")
    assert [c for c, _ in seen.calls].count("write") == 1
    with log.open("ab") as f:
        f.write(b"torn")
    with watched_door() as seen:
        door.append(log, b"two\n")
    assert [c for c, _ in seen.calls] == ["open", "write", "fsync"]
    assert log.read_bytes() == b"one\ntorn\ntwo\n"


def test_EVT_1_append_uses_o_append(tmp_path, monkeypatch):
    flags = []
    real = os.open
    monkeypatch.setattr(os, "open", lambda p, f, *a, **k: flags.append(f) or real(p, f, *a, **k))
    door.append(tmp_path / "log", b"x\n")
    assert flags[0] & os.O_APPEND
    assert not flags[0] & os.O_TRUNC


@pytest.mark.parametrize("code", ERRNOS)
def test_EVT_5_a_refused_append_is_typed(tmp_path, code):
    (tmp_path / "log").write_bytes(b"one\n")
    for at in range(3):
        with watched_door(at, code), pytest.raises(StorageError, match="append"):
            door.append(tmp_path / "log", b"two\n")


def test_EVT_5_a_line_cut_by_a_full_disk_is_an_error(tmp_path, monkeypatch):
    real = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: real(fd, data[:2]))
    with pytest.raises(StorageError):
        door.append(tmp_path / "log", b"whole\n")
    monkeypatch.undo()
    door.append(tmp_path / "log", b"next\n")
    assert (tmp_path / "log").read_bytes() == b"wh\nnext\n"


def test_RCV_1_owners(monkeypatch):
    mine = door.owner_tag()
    host, boot, pid, start = mine.split("-")
    assert not door.owner_is_dead(mine)
    assert door.owner_is_dead(f"{host}-{boot}-{pid}-{int(start) + 1}"), "the number was used again"
    assert not door.owner_is_dead(f"{host}-otherboot-{pid}-{start}"), "another machine, maybe"
    assert door.owner_is_dead(f"{host}-{boot}-{_dead_pid()}-{start}")
    for doubt in ("", "x", f"elsewhere-{boot}-1-1", f"{host}-{boot}-x-1", f"{mine}-more"):
        assert not door.owner_is_dead(doubt)
    assert door.process_is_gone(door.host_name(), _dead_pid())
    assert not door.process_is_gone(door.host_name(), os.getpid())
    assert not door.process_is_gone("elsewhere", _dead_pid())


def test_RCV_2_a_container_is_not_taken_for_its_machine(monkeypatch):
    """Its process numbers are its own: one that is unknown outside may be a living writer."""
    here = door.owner_tag()
    real = os.stat

    class InContainer:
        st_ino = 0xF0000123

    def stat(path, *args, **options):
        return InContainer() if path == "/proc/self/ns/pid" else real(path, *args, **options)

    monkeypatch.setattr(os, "stat", stat)
    door._boot_id.cache_clear()
    try:
        inside = door.owner_tag()
        host, boot, _, start = inside.split("-")
        assert boot != here.split("-")[1]
        assert door.owner_is_dead(f"{host}-{boot}-{_dead_pid()}-{start}")
        assert not door.owner_is_dead(f"{here.rpartition('-')[0]}1-{start}"), "of the machine"
    finally:
        monkeypatch.undo()
        door._boot_id.cache_clear()
    assert not door.owner_is_dead(f"{host}-{boot}-{_dead_pid()}-{start}"), "of the container"


def test_RCV_2_an_export_removes_temporary_files_of_a_day_ago(tmp_path):
    old, new, mine = (tmp_path / f".tmp-other-boot-1-1-0000000{n}" for n in range(3))
    for path in (old, new, mine):
        path.write_bytes(b"x")
    os.utime(old, (1, time.time() - door.LITTER_S - 60))
    with door.replaced_file(tmp_path / "out") as sink:
        sink.write(b"y")
    assert names(tmp_path) == sorted([new.name, mine.name, "out"])


def _dead_pid() -> int:
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    return done.pid


@pytest.mark.parametrize(
    "name", ["x", ".tmp-", ".tmp-x", ".tmp-a-b-1-2-xyz", "part.tmp-a-b-1-2-00000000"]
)
def test_RCV_1_only_exact_temporary_names_have_an_owner(name):
    assert door.temp_owner(name) is None


def test_LAY_1_links_are_not_regular_files(tmp_path):
    (tmp_path / "f").write_text("")
    (tmp_path / "l").symlink_to("f")
    assert door.is_regular(tmp_path / "f")
    assert not door.is_regular(tmp_path / "l")
    assert not door.is_regular(tmp_path)
    assert not door.is_regular(tmp_path / "gone")
    assert stat.S_ISLNK((tmp_path / "l").lstat().st_mode)


@given(
    data=st.binary(min_size=1, max_size=300), end=st.integers(0, 300), more=st.binary(max_size=99)
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_RCV_1_a_head_is_copied_and_hashed_once_for_both_files(
    tmp_path, monkeypatch, data, end, more
):
    monkeypatch.setattr(door, "_BLOCK", 40)
    monkeypatch.setattr(digest, "LONG", 20)  # By a thread or not.
    end = min(end, len(data))
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(data)
    target.unlink(missing_ok=True)
    with source.open("rb") as file:
        sink = door.Sink(target)
        assert sink.copy_head(source, file.fileno(), end) == hashlib.sha256(data).hexdigest()
        sink.write(bytearray(more))
        sink.seal()
    assert target.read_bytes() == data[:end] + more
    assert sink.sha256 == hashlib.sha256(data[:end] + more).hexdigest()
