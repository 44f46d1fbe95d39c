"""No link leads a reader or writer out of the root."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tests.cli.conftest import run
from tests.fuzz import seeds
from tests.hostile.scene import DATASET, Scene
from usr_nb import (
    Dataset,
    SequencesError,
    StorageError,
    list_datasets,
    load_registry,
    register_namespace,
)
from usr_nb.dataset.archiving import archive_dataset


def _tail(ds: Dataset) -> None:
    result = run("events", "tail", ds.name, "--format", "raw")
    if result.code:
        raise StorageError(result.err, hint="a link" if "link" in result.err else None)


#: What a dataset consists of, and what may be replaced by a link.
THINGS = ("records.parquet", "meta.md", ".events.log", "_derived", "_registry", "_snapshots",
          "_artifacts",
          "_txn", ".usr.lock", "_derived/quickstart", "_derived/usr.parquet", "part")  # fmt: skip
READS: dict[str, Callable[[Dataset, Scene], Any]] = {
    "head": lambda ds, s: ds.head(), "info": lambda ds, s: ds.info(), "scan": lambda ds,
    s: list(ds.scan()),
    "events": lambda ds, s: ds.events(), "manifest": lambda ds, s: ds.manifest(),
    "grep": lambda ds, s: ds.grep("A"),
    "validate": lambda ds, s: ds.validate(), "get_state": lambda ds, s: ds.get_state(s.ids[0]),
    "tail": lambda ds, s: _tail(ds),
    "export": lambda ds, s: ds.export("csv", s.base / "inputs" / "out.csv"),
}  # fmt: skip
WRITES: dict[str, Callable[[Dataset, Scene], Any]] = {
    "import": lambda ds, s: ds.import_rows(["ACGTACGTT"]), "snapshot": lambda ds,
    s: ds.snapshot("x"),
    "part": lambda ds, s: ds.write_overlay_part("quickstart", pa.table({"id": [s.ids[0]],
                                                                        "x": [9.0]})),
    "tombstone": lambda ds, s: ds.tombstone(s.ids[0]), "note": lambda ds,
    s: ds.append_meta_note("t", "c"),
    "state": lambda ds, s: ds.set_state(s.ids[0], masked=True), "log": lambda ds,
    s: ds.log_event("tried"),
    "attach": lambda ds, s: ds.attach(s.base / "inputs" / "more.csv", "evo2"),
    "remove": lambda ds, s: ds.remove_overlay("quickstart"), "archive": lambda ds,
    s: archive_dataset(ds._ctx),
}  # fmt: skip


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    made = Scene(tmp_path)
    made.build()
    ds = Dataset.open(made.root, DATASET)
    ds.tombstone(made.ids[2])
    ds.snapshot("mine")
    monkeypatch.chdir(tmp_path / "inputs")
    monkeypatch.setenv("USR_ROOT", str(made.root))
    return made


def outside(scene: Scene, thing: str) -> Path:
    """Move a part of the dataset to the victim and leave a link; returns where it lies."""
    if thing == "part":
        place = next((scene.dir / "_derived" / "quickstart").glob("part-*.parquet"))
    else:
        place = scene.dir / thing
    target = scene.victim / place.name.lstrip(".")
    if place.exists():
        shutil.move(place, target)
    elif thing == "_artifacts":
        target.mkdir()
    else:
        target.write_bytes(b"precious")
    place.symlink_to(target)
    return target


@pytest.mark.parametrize("thing", THINGS)
def test_LAY_3_links_out_of_the_root_are_not_followed(thing: str, scene: Scene) -> None:
    opened = Dataset.open(scene.root, DATASET)  # Before, as a notebook that goes on.
    outside(scene, thing)
    before = scene.state()
    wrong = []
    for verb, act in {**READS, **WRITES}.items():
        for make in (lambda: opened, lambda: Dataset.open(scene.root, DATASET)):
            ended = "result"
            try:
                with (ds := make()).maintenance(reason="t"):
                    act(ds, scene)
            except SequencesError as error:
                ended = "typed" if error.hint else "typed, but no hint"
            except Exception as error:  # noqa: BLE001 - whatever comes is reported
                ended = f"{type(error).__name__}: {error}"
            beside = [c for c in scene.changes(before, outside_only=True) if c.startswith("victim")]
            if beside or ended not in ("typed", "result"):
                wrong.append(f"{verb}: {ended}, changed {beside}")
            if ended == "result" and not survives(thing, verb):
                wrong.append(f"{verb}: no error")
    assert not wrong, "\n".join(wrong)


def survives(thing: str, verb: str) -> bool:
    """Say whether a verb may work all the same: it neither reads nor writes through the link."""
    if thing == "_derived/quickstart":
        # Folders of parts that are links are looked into by nobody; only these would write there.
        return verb not in ("part", "remove")
    # Only who lists overlays meets a linked file of one.
    return thing in ("part", "_derived/usr.parquet") and verb in ("events", "tail", "note")


@pytest.mark.parametrize("thing", ["registry.yaml", "_txn", ".usr.lock"])
def test_REG_7_a_root_is_not_written_through_links(thing: str, scene: Scene) -> None:
    target = scene.victim / "target"
    place = scene.root / thing
    if place.is_dir():
        shutil.move(place, target)
    else:
        place.unlink(missing_ok=True)
        target.write_bytes(seeds.REGISTRY.as_yaml().encode())
    place.symlink_to(target)
    before = scene.state()
    with pytest.raises(SequencesError, match="link"):
        register_namespace(scene.root, namespace="fresh", columns="x:int8")
    if thing != ".usr.lock":
        with pytest.raises(SequencesError, match="link"):
            load_registry(scene.root)
    assert not scene.changes(before)


def test_LAY_1_an_archive_that_is_a_link_takes_no_dataset(scene: Scene) -> None:
    (scene.root / "_archive").symlink_to(scene.victim)
    before = scene.state(outside_only=True)
    with pytest.raises(SequencesError, match="link"):
        archive_dataset(Dataset.open(scene.root, DATASET)._ctx)
    assert not scene.changes(before, outside_only=True)
    assert Dataset.open(scene.root, DATASET).info().rows == 3


def test_LAY_3_a_dataset_or_namespace_that_is_a_link_is_not_opened_by_its_id(scene: Scene) -> None:
    shutil.move(scene.dir, scene.victim / "demo")
    scene.dir.symlink_to(scene.victim / "demo")
    (scene.root / "space").symlink_to(scene.victim)
    before = scene.state()
    for name in (DATASET, "space/demo", "space/new"):
        with pytest.raises(SequencesError, match="leaves the root"):
            Dataset.open(scene.root, name).init()
        assert run("head", name).code == 2
    assert list_datasets(scene.root) == ["lab/other"]
    assert "demo" not in run("ls").out
    assert not scene.changes(before)


def test_LAY_3_links_within_the_root_are_followed(scene: Scene) -> None:
    shared = scene.root / "shared.parquet"
    shutil.move(scene.dir / "records.parquet", shared)
    (scene.dir / "records.parquet").symlink_to(shared)
    assert Dataset.open(scene.root, DATASET).info().rows == 3


def test_LAY_3_listing_a_root_does_not_read_through_a_link(scene: Scene) -> None:
    outside(scene, "records.parquet")
    assert [d["rows"] for d in run("ls", "--format", "json").data if d["dataset"] == DATASET] == [
        None
    ]


def test_RCV_2_tidying_up_removes_a_link_and_not_what_it_leads_to(scene: Scene) -> None:
    for place in (
        "_txn/20200101T000000000000Z-0123456789ab",
        "_txn/retired/20200101T000000000000Z-0123456789ab",
    ):
        link = scene.dir / place
        link.parent.mkdir(exist_ok=True)
        link.symlink_to(scene.victim)
    os.utime(scene.victim, (0, 0))
    Dataset.open(scene.root, DATASET).import_rows(["ACGTACGTTT"])
    assert (scene.victim / "keep.txt").read_text() == "mine"


def test_RCV_2_a_slot_does_not_move_files_in_through_a_link(scene: Scene) -> None:
    (scene.victim / "f0").write_bytes(b"precious")
    op = seeds.INTENT["operation_id"]
    number = max(int(p.name[5:]) for p in (scene.dir / "_txn").glob("slot-*")) + 1
    (scene.dir / "_txn" / f"slot-{number:012d}").write_bytes(seeds.compact(seeds.INTENT))
    (scene.dir / "_txn" / str(op)).symlink_to(scene.victim)
    ds = Dataset.open(scene.root, DATASET)
    assert ds.info().rows == 3
    ds.import_rows(["ACGTACGTTT"])
    assert (scene.victim / "f0").read_bytes() == b"precious"
    assert not (scene.dir / "_derived" / "m.parquet").exists()


@pytest.mark.parametrize("path", ["../../../victim/x", "/tmp/x", "_derived/../../../victim/x"])
def test_RCV_2_a_slot_that_names_a_place_outside_is_refused(path: str, scene: Scene) -> None:
    number = max(int(p.name[5:]) for p in (scene.dir / "_txn").glob("slot-*")) + 1
    for key in ("install", "retire", "drop"):
        body = {
            **seeds.INTENT,
            key: [path] if key == "drop" else [{**seeds.INTENT[key][0], "path": path}],
        }
        (scene.dir / "_txn" / f"slot-{number:012d}").write_bytes(seeds.compact(body))
        (scene.dir / "_txn" / str(body["operation_id"])).mkdir(exist_ok=True)
        before = scene.state()
        for act in (*(READS[n] for n in ("head", "info", "scan", "grep")), WRITES["import"]):
            with pytest.raises(SequencesError, match="intent"):
                act(Dataset.open(scene.root, DATASET), scene)
        changed = [c for c in scene.changes(before) if not c.endswith("out.csv")]
        assert not changed


@pytest.mark.parametrize("thing", ["records.parquet", "meta.md", "part", "_txn", ".usr.lock"])
def test_RCV_2_doctor_opens_the_dataset_and_names_the_link(thing: str, scene: Scene) -> None:
    outside(scene, thing)
    before = scene.state(outside_only=True)
    report = Dataset.open(scene.root, DATASET).doctor()
    links = [f for f in report.findings if f.kind == "symlink"]
    assert links
    assert {f.severity for f in links} == {"error"}
    assert any(thing in f.path or (thing == "part" and "part-" in f.path) for f in links)
    assert not scene.changes(before, outside_only=True)
    assert "symlink" in run("doctor", DATASET, "--format", "json").out
