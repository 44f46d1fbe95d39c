"""RCV-1, RCV-3: a reader sees one state, while writers go on; it never gets fewer rows."""

from __future__ import annotations

import os
import resource
import threading
import time
from pathlib import Path

import pytest

from tests.storage import kit
from tests.storage.kit import PART
from usr_nb.errors import DatasetNotFound, ViewExpired
from usr_nb.storage import slots, view
from usr_nb.storage.intents import dataset_exists
from usr_nb.storage.layout import Layout
from usr_nb.storage.view import namespace_of_path, open_view, overlay_paths


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return kit.make_dataset(tmp_path / "d")


def part_of(v: view.View, path: str) -> view.OverlayFile:
    return next(f for files in v.overlays.values() for f in files if f.path == path)


def value(v: view.View, path: str) -> int:
    with v.open(part_of(v, path)) as file:
        return file.read()["v"][0].as_py()


def test_RCV_3_all_files_of_a_view_are_of_one_commit(layout):
    """Base and overlay always carry the same number; a mixed view would show two."""
    stop = threading.Event()
    errors: list[BaseException] = []

    def write() -> None:
        n = 1
        try:
            while not stop.is_set():
                n += 1
                data = kit.parquet_bytes(n)

                def build(stage: slots.Stage, data: bytes = data, n: int = n) -> None:
                    stage.small_file("records.parquet", data)
                    stage.small_file("_derived/a.parquet", data)
                    new = f"_derived/b/part-x-{n}.parquet"
                    stage.small_file(new, data)
                    for old in overlay_paths(layout):
                        if old.startswith("_derived/b/"):
                            stage.retire(old)

                slots.commit(layout.dir, build, action="x")
        except BaseException as error:  # noqa: BLE001 - reported by the main thread
            errors.append(error)

    writer = threading.Thread(target=write)
    writer.start()
    seen = set()
    until = time.monotonic() + 2.5
    try:
        while time.monotonic() < until:
            with open_view(layout) as v:
                numbers = {v.base.read()["v"][0].as_py()}
                files = [f for fs in v.overlays.values() for f in fs]
                numbers |= {value(v, f.path) for f in files}
                assert len(files) == 2
                assert len(numbers) == 1, numbers
                seen |= numbers
    finally:
        stop.set()
        writer.join()
    assert errors == []
    assert len(seen) > 5


def retiring(layout: Layout, path: str, *, size: int | None = None) -> None:
    """Leave a commit behind that retires one file and is not carried out yet."""
    operation = slots.new_operation_id()
    (layout.txn / operation).mkdir()
    st = (layout.dir / path).stat()
    gone = slots.Retire(path, None, st.st_ino, size or st.st_size, st.st_mtime_ns)
    intent = slots.Intent(operation, "x", "t", "o", retire=[gone])
    slots.slot_path(layout, 2).write_bytes(intent.encode())


def test_RCV_3_a_part_that_is_retired_while_it_is_listed_is_not_seen(layout, monkeypatch):
    retiring(layout, PART)
    real = view.overlay_paths

    def list_then_carry_out(lay: Layout) -> list[str]:
        found = real(lay)
        slots.settle(lay)
        return found

    monkeypatch.setattr(view, "overlay_paths", list_then_carry_out)
    with open_view(layout) as v:
        assert set(v.overlays) == {"a"}


def pending(layout: Layout) -> Layout:
    """Leave a commit that is not installed: its writer died right after the commit point."""
    steps = len(_trace(layout))
    copy = kit.Template(layout.dir.parent / "t").fresh()
    for at in range(steps):
        with kit.watched_door(at, kit.Killed), pytest.raises(kit.Killed):
            kit.change_all(copy)
        if slots.highest_slot(copy) == 2:
            return copy
    raise AssertionError


def _trace(layout: Layout) -> list[tuple[str, str]]:
    other = kit.make_dataset(layout.dir.parent / "trace")
    with kit.watched_door() as seen:
        kit.change_all(other)
    return seen.calls


def test_RCV_1_a_committed_change_is_seen_before_it_is_installed(layout):
    waiting = pending(layout)
    number, intent = slots.pending(waiting)
    assert number == 2
    assert intent is not None
    assert (waiting.dir / "_derived/a.parquet").exists(), "nothing is installed or retired yet"
    assert not (waiting.dir / "_derived/c.parquet").exists()
    assert kit.state(waiting) == kit.AFTER
    with open_view(waiting) as v:
        slots.settle(waiting)
        assert value(v, "_derived/c.parquet") == 2
        assert v.base.read()["v"].to_pylist() == [2]


def test_RCV_1_a_view_outlives_the_files_it_was_made_of(layout):
    with open_view(layout) as v:
        kit.change_all(layout)
        assert v.base.read()["v"].to_pylist() == [1]
        assert value(v, "_derived/a.parquet") == 1, "held open"
        assert value(v, PART) == 1, "found among the retired"


def test_RCV_3_a_vanished_part_is_looked_up_in_the_archive(layout):
    with open_view(layout) as v:
        kept = f"_derived/_archived/b/stamp/{PART.rpartition('/')[2]}"
        slots.commit(layout.dir, lambda s: s.retire(PART, to=kept), action="x")
        assert value(v, PART) == 1


def test_RCV_3_a_part_that_is_gone_ends_the_view(layout):
    with open_view(layout) as v:
        (layout.dir / PART).unlink()
        with pytest.raises(ViewExpired, match="part-") as e:
            value(v, PART)
        assert "Read again" in e.value.hint


def test_RCV_3_three_thousand_parts_need_few_descriptors(layout):
    source = layout.dir / PART
    for n in range(3000):
        os.link(source, layout.dir / f"_derived/b/part-many-{n:05d}.parquet")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(256, soft), hard))
    try:
        with open_view(layout) as v:
            assert len(v.overlays["b"]) == 3001
            assert all(value(v, f.path) == 1 for f in v.overlays["b"][:300])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_RCV_3_closing_a_view_closes_its_files(layout):
    def descriptors() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    with open_view(layout):
        pass
    before = descriptors()
    for _ in range(5):
        with open_view(layout) as v:
            value(v, PART)
    assert descriptors() <= before


def test_RCV_3_readers_write_nothing(layout):
    before = {p: p.stat().st_mtime_ns for p in layout.dir.rglob("*")}
    with kit.watched_door() as seen:
        kit.state(layout)
    assert seen.calls == []
    assert {p: p.stat().st_mtime_ns for p in layout.dir.rglob("*")} == before


def test_RCV_3_a_dataset_that_changes_too_fast_ends_in_a_typed_error(layout, monkeypatch):
    numbers = iter(range(2, 10_000))
    monkeypatch.setattr(view.slots, "highest_slot", lambda _: next(numbers))
    with pytest.raises(ViewExpired, match="too fast"):
        open_view(layout)


@pytest.mark.parametrize("kind", ["missing", "empty", "file"])
def test_LAY_4_no_dataset_is_a_typed_error(tmp_path, kind):
    folder = tmp_path / "x"
    if kind == "empty":
        folder.mkdir()
    if kind == "file":
        folder.write_text("")
    assert not dataset_exists(Layout(folder))
    with pytest.raises(DatasetNotFound):
        open_view(Layout(folder))


def test_LAY_4_a_base_that_was_removed_by_hand_is_a_typed_error(layout):
    layout.records.unlink()
    with pytest.raises(DatasetNotFound):
        open_view(layout)


def test_LAY_4_a_root_with_slots_is_no_dataset(layout):
    assert dataset_exists(layout)
    (layout.dir / "registry.yaml").write_text("namespaces: {}")
    assert dataset_exists(layout), "a base is a base"
    layout.records.unlink()
    assert not dataset_exists(layout)


FOREIGN = ["_derived/x.csv", "_derived/X.parquet", "_derived/.tmp-x.parquet",
           "_derived/a__b.parquet",
           "_derived/b/records.parquet", "_derived/b/part-.parquet",
           "_derived/b/part-x.parquet.tmp",
           "_derived/_archived/b/part-x.parquet", "_derived/b/deep/part-x.parquet",
           "other/b.parquet",
           "_derived/B/part-x.parquet"]  # fmt: skip


@pytest.mark.parametrize("path", FOREIGN)
def test_LAY_1_files_of_others_are_ignored(layout, path):
    kit.put(layout, path, 9)
    assert kit.state(layout) == kit.BEFORE
    assert namespace_of_path(path) is None


def test_LAY_1_links_to_folders_of_parts_are_ignored(layout, tmp_path):
    kit.put(Layout(tmp_path / "other"), "_derived/z/part-x.parquet", 9)
    (layout.derived / "z").symlink_to(tmp_path / "other/_derived/z")
    assert kit.state(layout) == kit.BEFORE


def test_OVL_1_parts_and_the_single_file_exist_together(layout):
    kit.put(layout, "_derived/b.parquet", 2)
    kit.put(layout, "_derived/usr.parquet", 3)
    found = kit.state(layout)
    assert (found["_derived/b.parquet"], found[PART], found["_derived/usr.parquet"]) == (2, 1, 3)
    with open_view(layout) as v:
        assert [f.is_single for f in v.overlays["b"]] == [True, False]
        assert {f.namespace for fs in v.overlays.values() for f in fs} == {"a", "b", "usr"}


def test_RCV_2_a_pending_retirement_hides_the_file_that_was_meant(layout):
    retiring(layout, "_derived/a.parquet")
    assert kit.state(layout) == {k: v for k, v in kit.BEFORE.items() if "a.parquet" not in k}


def test_RCV_2_a_pending_retirement_of_a_replaced_file_does_not_hide_it(layout):
    retiring(layout, "_derived/a.parquet", size=7)
    assert kit.state(layout) == kit.BEFORE
