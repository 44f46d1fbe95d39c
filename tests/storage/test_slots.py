"""RCV-1..3, EVT-5: many files change at one instant or not at all, whatever happens."""

from __future__ import annotations

import errno
import json
import os
import threading
import time
from contextlib import nullcontext
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from tests.storage import kit
from tests.storage.kit import AFTER, BEFORE, ERRNOS, PART, Killed, change_all, state, watched_door
from usr_nb.errors import ConcurrentWriteError, LockTimeout, StorageError, ValidationError
from usr_nb.storage import door, eventlog, lock, slots, tidy
from usr_nb.storage.intents import Intent, is_operation_id
from usr_nb.storage.layout import Layout


@pytest.fixture
def template(tmp_path: Path) -> kit.Template:
    return kit.Template(tmp_path)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return kit.make_dataset(tmp_path / "d")


def events(layout: Layout) -> list[str]:
    return [e["action"] for e in eventlog.read_events(layout.events)]


def assert_settled(layout: Layout, seen: dict[str, int]) -> None:
    """The next writer finishes what there is; then all of it or nothing of it is there."""
    assert seen in (BEFORE, AFTER)
    slots.settle(layout)
    assert state(layout) == seen, "settling changes nothing that a reader sees"
    done = seen == AFTER
    told = events(layout)
    assert told.count("materialize") == done
    assert set(told) <= {"init", "materialize", "recovered"}
    log = layout.events.read_bytes()
    assert [log.count(line + b"\n") for line in kit.ELSEWHERE.split(b"\n")[:-1]] == [done] * 2
    notes = layout.meta.read_text()
    assert notes.startswith("name: d\n\nmine\n")
    assert notes.count("changed all") == done
    assert (layout.dir / "_derived/_archived/a/s/a.parquet").exists() == done
    assert (layout.dir / kit.SNAPSHOT).exists() == (not done)
    assert (layout.dir / "_registry/x.yaml").exists() == done
    tidy.tidy(layout, now=time.time() + 25 * 3600)
    assert kit.litter(layout) == []
    assert not list(layout.txn.glob("retired/*/*"))
    assert state(layout) == seen
    assert events(layout) == told, "nothing is told of what was not done"
    change_all_again(layout)


def install(folder: Path, path: str, data: bytes) -> None:
    slots.commit(folder, lambda s: s.small_file(path, data), action="x")


def change_all_again(layout: Layout) -> None:
    install(layout.dir, "records.parquet", kit.parquet_bytes(9))
    assert state(layout)["records.parquet"] == 9


def test_RCV_2_a_commit_installs_retires_and_tells(layout):
    operation = change_all(layout)
    assert state(layout) == AFTER
    retired = layout.txn / "retired" / operation / PART.replace("/", "+")
    assert retired.is_file()
    assert (layout.dir / "_derived/_archived/a/s/a.parquet").is_file()
    assert not (layout.dir / kit.SNAPSHOT).exists()
    last = list(eventlog.read_events(layout.events))[-1]
    assert last["artifacts"]["operation_id"] == operation
    digests = {f["path"]: f["sha256"] for f in last["artifacts"]["files"]}
    assert set(digests) == {"records.parquet", "_derived/c.parquet", "_registry/x.yaml"}
    for path, sha256 in digests.items():
        assert door.file_sha256(layout.dir / path) == sha256
    assert kit.litter(layout) == []
    assert slots.highest_slot(layout) == 2


def test_RCV_1_the_commit_point_comes_after_all_is_on_the_disk(template):
    layout = template.fresh()
    with watched_door() as seen:
        change_all(layout)
    calls = seen.calls
    commit = next(i for i, (c, a) in enumerate(calls) if c == "link" and "slot-" in a)
    first_install = next(i for i, (c, a) in enumerate(calls) if c == "rename" and "records" in a)
    first_retire = next(i for i, (c, a) in enumerate(calls) if c == "rename" and "_archived" in a)
    told = next(i for i, (c, a) in enumerate(calls) if c == "open" and ".events.log" in a)
    before = calls[:commit]
    # The signature of the staging folder is a hint, written aside; all else is synced.
    written = {what for call, what in before if call == "write" and ".tmp-" not in what}
    assert {w.rpartition("/")[2] for w in written} == {
            "f0", "f1", "f2", "a0", "intent.json",
        }  # fmt: skip
    for path in written:
        assert before.index(("fsync", path)) > max(
            i for i, c in enumerate(before) if c == ("write", path)
        )
    staging = before[-1][1] if before[-1][0] == "fsync" else ""
    assert staging == str(layout.txn)
    assert any(call == "fsync" and is_operation_id(Path(what).name) for call, what in before)
    assert commit < first_install < first_retire < told
    assert "fsync" in [c for c, _ in calls[commit + 1 : first_install]]


def test_RCV_2_killed_at_any_call(template):
    steps = template.count(change_all)
    outcomes = []
    for at in range(steps):
        layout = template.fresh()
        with watched_door(at, Killed), pytest.raises(Killed):
            change_all(layout)
        seen = state(layout)
        outcomes.append(seen == AFTER)
        assert_settled(layout, seen)
    assert outcomes == sorted(outcomes), "once committed it stays committed"
    assert 5 < sum(outcomes) < steps


def test_RCV_2_killed_again_while_rolling_forward(template):
    steps = template.count(change_all)
    tried = 0
    for at in range(steps - 1, 0, -3):
        layout = template.fresh()
        with watched_door(at, Killed), pytest.raises(Killed):
            change_all(layout)
        if state(layout) == BEFORE:
            break
        for again in range(100):
            with watched_door(again, Killed) as watched:
                try:
                    slots.settle(layout)
                    break
                except Killed:
                    tried += 1
            assert len(watched.calls) > again
            assert state(layout) == AFTER
        assert_settled(layout, AFTER)
    assert tried > 30


def test_RCV_2_an_interrupted_commit_is_finished_and_recorded_as_recovered(template):
    steps = template.count(change_all)
    layout = template.fresh()
    with watched_door(steps - 15, Killed), pytest.raises(Killed):
        change_all(layout)
    assert state(layout) == AFTER
    assert "materialize" not in events(layout)
    change_all_again(layout)
    assert events(layout) == ["init", "materialize", "recovered"]
    recovered = list(eventlog.read_events(layout.events))[-1]
    assert recovered["args"] == {"action": "materialize"}
    slots.settle(layout)
    assert events(layout).count("recovered") == 1


@pytest.mark.parametrize("code", ERRNOS)
def test_RCV_2_the_disk_refuses_at_any_call(template, code):
    steps = template.count(change_all)
    acknowledged = 0
    for at in range(steps):
        layout = template.fresh()
        warned = failed = False
        with watched_door(at, code) as watched:
            try:
                warned = kit.quietly(change_all, layout)
            except StorageError as error:
                failed = True
                assert error.hint  # noqa: PT017
        call, what = watched.calls[at]
        seen = state(layout)
        if failed:
            # In doubt only where the fsync right after the commit point failed.
            in_doubt = call == "fsync" and seen == AFTER
            assert seen == BEFORE or in_doubt, (call, what)
            if seen == BEFORE and call not in ("unlink", "rmdir"):
                assert kit.litter(layout) == [], (call, what)
                assert events(layout) == ["init"], "a failed operation writes no event"
        else:
            acknowledged += 1
            assert seen == AFTER, (call, what)
        assert not (warned and failed)
        assert_settled(layout, seen)
    assert acknowledged > 5


def test_RCV_2_a_build_that_fails_leaves_nothing(layout):
    def build(stage: slots.Stage) -> None:
        stage.small_file("records.parquet", b"x")
        raise ValidationError("no")

    with pytest.raises(ValidationError):
        slots.commit(layout.dir, build, action="x")
    assert state(layout) == BEFORE
    assert kit.litter(layout) == []
    assert slots.highest_slot(layout) == 1


def test_RCV_2_an_empty_stage_commits_nothing(layout):
    assert slots.commit(layout.dir, lambda s: 7, action="x") == 7
    assert slots.highest_slot(layout) == 1
    assert kit.litter(layout) == []


@pytest.mark.parametrize("path", ["/etc/x", "../x", "a/../../x", "", "a\0b"])
def test_RCV_2_staged_paths_stay_in_the_dataset(layout, path):
    with pytest.raises(ValidationError):
        slots.commit(layout.dir, lambda s: s.small_file(path, b"x"), action="x")
    assert kit.litter(layout) == []


def racing(layout: Layout, times: int):
    """Return a build function before whose commit another writer commits, `times` times."""
    runs: list[int] = []

    def build(stage: slots.Stage) -> int:
        runs.append(state(layout)["records.parquet"])
        stage.small_file("_derived/c.parquet", kit.parquet_bytes(runs[-1]))
        if len(runs) <= times:
            other = kit.parquet_bytes(100 + len(runs))
            slots.commit(
                layout.dir, lambda s: s.small_file("records.parquet", other), action="other"
            )
        return len(runs)

    return build, runs


def test_RCV_3_a_loser_reads_anew_and_tries_again(layout, monkeypatch):
    monkeypatch.setattr(lock, "held", lambda *a, **k: nullcontext())
    build, runs = racing(layout, 3)
    assert slots.commit(layout.dir, build, action="x") == 4
    assert runs == [1, 101, 102, 103], "each attempt sees the state it is based on"
    assert state(layout)["_derived/c.parquet"] == 103
    assert slots.highest_slot(layout) == 5
    assert kit.litter(layout) == []


def test_RCV_3_after_many_losses_a_typed_error(layout, monkeypatch):
    monkeypatch.setattr(lock, "held", lambda *a, **k: nullcontext())
    monkeypatch.setattr(slots.time, "sleep", lambda s: None)
    build, runs = racing(layout, 1000)
    with pytest.raises(ConcurrentWriteError, match="committed first"):
        slots.commit(layout.dir, build, action="x")
    assert len(runs) == slots.ATTEMPTS
    assert "_derived/c.parquet" not in state(layout)
    assert kit.litter(layout) == []


@pytest.mark.parametrize("first", [True, False])
def test_RCV_3_a_writer_that_slept_through_64_commits_loses(tmp_path, monkeypatch, first):
    """Its slot number was pruned and is free again: it must not be taken."""
    monkeypatch.setattr(lock, "held", lambda *a, **k: nullcontext())
    folder = tmp_path / "d"
    layout = Layout(folder) if first else kit.make_dataset(folder)
    slept: list[int] = []

    def build(stage: slots.Stage) -> None:
        if not slept:
            for n in range(slots.KEEP_SLOTS + 3):
                install(folder, "records.parquet", kit.parquet_bytes(n))
        slept.append(stage.slot)
        seen = state(layout)["records.parquet"]
        stage.small_file("_derived/c.parquet", kit.parquet_bytes(seen))

    slots.commit(folder, build, action="x")
    assert len(slept) == 2, "the first attempt was withdrawn"
    last = slots.KEEP_SLOTS + 2
    found = state(layout)
    assert (found["records.parquet"], found["_derived/c.parquet"]) == (last, last)
    assert min(slots.slot_numbers(layout)) > 1
    assert kit.litter(layout) == []


@pytest.mark.parametrize("answer", [FileExistsError(), OSError(errno.EIO, "lost")])
def test_RCV_3_a_link_whose_answer_was_lost_has_succeeded(layout, monkeypatch, answer):
    real = os.link

    def lossy(source, target, **options):
        real(source, target, **options)
        if "slot-" in str(target):
            raise answer

    monkeypatch.setattr(os, "link", lossy)
    change_all(layout)
    assert state(layout) == AFTER
    assert slots.highest_slot(layout) == 2
    assert events(layout) == ["init", "materialize"]


def test_RCV_3_no_acknowledged_change_is_lost_without_flock(layout, monkeypatch):
    monkeypatch.setattr(lock, "held", lambda *a, **k: nullcontext())
    monkeypatch.setattr(slots, "ATTEMPTS", 200)
    errors: list[BaseException] = []

    def increment(stage: slots.Stage) -> None:
        stage.small_file("records.parquet", kit.parquet_bytes(state(layout)["records.parquet"] + 1))
        stage.event(kit.event("import_rows"))

    def work() -> None:
        try:
            for _ in range(8):
                slots.commit(layout.dir, increment, action="import_rows")
        except BaseException as error:  # noqa: BLE001 - reported by the main thread
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert errors == []
    assert state(layout)["records.parquet"] == 1 + 32
    assert events(layout).count("import_rows") == 32


def test_RCV_2_pruning_keeps_64_slots(layout):
    for n in range(slots.KEEP_SLOTS + 6):
        install(layout.dir, "_registry/x", str(n).encode())
    found = slots.slot_numbers(layout)
    assert slots.KEEP_SLOTS == 64
    assert found == list(range(8, 72))


def test_RCV_2_a_listed_file_that_was_replaced_meanwhile_stays(layout, monkeypatch):
    """`<ns>.parquet` can come back: only the file that was meant is taken away."""
    newer = layout.dir / "_derived/newer"
    newer.write_bytes(kit.parquet_bytes(5))

    def build(stage: slots.Stage) -> None:
        stage.retire("_derived/a.parquet")
        stage.event(kit.event("remove_overlay"))
        newer.rename(layout.dir / "_derived/a.parquet")

    with watched_door() as seen:
        slots.commit(layout.dir, build, action="remove_overlay")
    assert state(layout)["_derived/a.parquet"] == 5
    moved = [what for call, what in seen.calls if call == "rename" and "a.parquet" in what]
    assert moved == [], "it is not even gone for a moment"


def test_RCV_2_a_file_replaced_between_look_and_rename_is_given_back(layout, monkeypatch):
    newer = layout.dir / "_derived/newer"
    newer.write_bytes(kit.parquet_bytes(5))
    real = door.rename

    def late(source: Path, target: Path) -> None:
        if source.name == "a.parquet" and newer.exists():
            newer.rename(source)
        real(source, target)

    monkeypatch.setattr(door, "rename", late)
    slots.commit(layout.dir, lambda s: s.retire("_derived/a.parquet"), action="x")
    assert state(layout)["_derived/a.parquet"] == 5
    assert not list(layout.txn.glob("retired/*/*"))


def test_RCV_3_only_listed_files_are_retired(layout):
    def build(stage: slots.Stage) -> None:
        stage.retire(PART)
        kit.put(layout, kit.LATE_PART, 7)

    slots.commit(layout.dir, build, action="compact_overlay")
    assert state(layout)[kit.LATE_PART] == 7
    assert PART not in state(layout)


def test_RCV_3_what_vanishes_under_a_build_is_tried_again(layout, monkeypatch):
    monkeypatch.setattr(lock, "held", lambda *a, **k: nullcontext())
    tries: list[int] = []

    def build(stage: slots.Stage) -> None:
        if not tries:
            slots.commit(layout.dir, lambda s: s.retire(PART), action="other")
        tries.append(1)
        if len(tries) == 1:
            stage.retire(PART)
        stage.small_file("_registry/x", b"x")

    slots.commit(layout.dir, build, action="x")
    assert len(tries) == 2
    with pytest.raises(StorageError, match="vanished"):
        slots.commit(layout.dir, lambda s: s.retire("_derived/gone.parquet"), action="x")
    assert kit.litter(layout) == []


def test_RCV_2_an_intent_survives_its_text(layout):
    intent = Intent("20260101T000000000000Z-" + "a" * 12, "x", "t", "o", events=[{"a": "é"}])
    assert Intent.decode(intent.encode(), Path("slot")) == intent


def good_intent() -> dict[str, object]:
    intent = Intent("20260101T000000000000Z-" + "a" * 12, "x", "t", "o")
    return json.loads(intent.encode())


INSTALL = {"path": "a", "staged": "f0", "size": 1, "sha256": "x"}
RETIRE = {"path": "a", "to": None, "inode": 1, "size": 1, "mtime_ns": 1}


@pytest.mark.parametrize(
    "change",
    [{"operation_id": "../x"}, {"operation_id": 3}, {"txn_version": 3}, {"install": None},
     {"append": [{**INSTALL, "path": "meta.md"}]}, {"append": [{**INSTALL, "staged": "/etc/x"}]},
     {"append": 3}, {"append": [3]},
     {"install": [{**INSTALL, "path": "../x"}]}, {"install": [{**INSTALL, "staged": "/etc/x"}]},
     {"install": [{"path": "a"}]}, {"install": [{**INSTALL, "path": 3}]},
     {"retire": [{**RETIRE, "path": "/x"}]}, {"retire": [{**RETIRE, "to": "a/../../b"}]},
     {"drop": ["../records.parquet"]}, {"events": [3]}, {"events": 3}, {"notes": ["x"]},
     {"more": 1}],
    ids=str,
)  # fmt: skip
def test_RCV_2_a_hostile_slot_is_a_typed_error(layout, change):
    slots.slot_path(layout, 2).write_text(json.dumps({**good_intent(), **change}))
    for act in (slots.settle, state, lambda lay: slots.commit(lay.dir, lambda s: None, action="x")):
        with pytest.raises(StorageError, match="slot-000000000002"):
            act(layout)


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"3", b"null", b"\xff", b"[" * 100_000])
def test_RCV_2_a_damaged_slot_is_a_typed_error(layout, data):
    slots.slot_path(layout, 2).write_bytes(data)
    with pytest.raises(StorageError, match="slot-000000000002"):
        slots.settle(layout)


@pytest.mark.parametrize(
    "name", ["slot-1", "slot-00000000000x", "slot-000000000009~", "slot-" + "٠" * 12]
)
def test_LAY_1_only_exact_slot_names_count(layout, name):
    (layout.txn / name).write_text("x")
    assert slots.highest_slot(layout) == 1


@given(
    st.lists(st.sampled_from([b'{"a":1}', b'{"b":"\\r"}', b'{"c":"\r"}', b"", b"x" * 600_000])),
    st.lists(st.sampled_from([b'{"a":1}', b"torn", b'{"d":1}'])),
    st.sampled_from([b"", b'{"torn']),
)
def test_SYN_4_lines_of_another_copy_are_appended_once(tmp_path_factory, lines, there, tail):
    path = tmp_path_factory.mktemp("log") / ".events.log"
    before = b"".join(line + b"\n" for line in there) + tail
    path.write_bytes(before)
    data = b"".join(line + b"\n" for line in lines)
    missing = [line for line in lines if line not in there]
    assert eventlog.append_lines(path, data) == len(missing)
    end = b"\n" if tail and missing else b""
    assert path.read_bytes() == before + end + b"".join(line + b"\n" for line in missing)
    assert eventlog.append_lines(path, data) == 0
    assert path.read_bytes() == before + end + b"".join(line + b"\n" for line in missing)


def test_RCV_2_operation_ids_sort_by_time():
    made = [slots.new_operation_id() for _ in range(20)]
    assert [m[:22] for m in made] == sorted(m[:22] for m in made)
    assert all(map(is_operation_id, made))
    assert len(set(made)) == 20


def test_EVT_5_a_failed_append_is_a_warning_on_a_success(layout):
    layout.events.unlink()
    layout.events.mkdir()
    with pytest.warns(slots.CommittedWarning, match="is committed"):
        change_all(layout)
    assert state(layout) == AFTER
    layout.events.rmdir()
    slots.settle(layout)
    assert events(layout) == ["materialize", "recovered"]


# The lock ------------------------------------------------------------------------------------


def test_RCV_3_a_timeout_names_the_holder(layout):
    with lock.held(layout.dir, action="import_rows"):
        started = time.monotonic()
        with pytest.raises(LockTimeout) as e, lock.held(layout.dir, action="x", timeout_s=0.05):
            pass
        assert time.monotonic() - started < 5
    assert str(os.getpid()) in e.value.message
    assert "import_rows" in e.value.message
    assert door.host_name() in e.value.message
    assert "USR_LOCK_TIMEOUT" in e.value.hint
    with lock.held(layout.dir, action="x", timeout_s=0.05):
        pass


@pytest.mark.parametrize("holder", [b"", b"{", b"[]", b"\xff", None])
def test_RCV_3_a_timeout_without_a_readable_holder(layout, holder):
    with lock.held(layout.dir, action="import_rows"):
        path = layout.txn / "holder"
        path.unlink()
        if holder is not None:
            path.write_bytes(holder)
        with (
            pytest.raises(LockTimeout, match="another process"),
            lock.held(layout.dir, action="x", timeout_s=0.02),
        ):
            pass


def test_RCV_3_the_timeout_is_set_by_the_environment(monkeypatch):
    assert lock.default_timeout_s() == 60
    monkeypatch.setenv("USR_LOCK_TIMEOUT", "2.5")
    assert lock.default_timeout_s() == 2.5
    monkeypatch.setenv("USR_LOCK_TIMEOUT", "soon")
    assert lock.default_timeout_s() == 60


def test_RCV_3_a_commit_waits_for_the_lock(layout):
    done = threading.Event()

    def work() -> None:
        change_all(layout)
        done.set()

    with lock.held(layout.dir, action="x"):
        t = threading.Thread(target=work)
        t.start()
        assert not done.wait(0.3)
    assert done.wait(20)
    t.join()
