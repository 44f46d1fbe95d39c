"""LAY: where the files lie, ids, notes."""

from __future__ import annotations

import re

import pytest

from tests.dataset.kit import IDS, files, new_dataset, nothing_changes, refused, table
from usr_nb import Dataset, DatasetNotFound, ValidationError, list_datasets


def test_LAY_1_a_dataset_holds_these_files_and_no_other(ds) -> None:
    ds.write_overlay_part("m", [{"id": IDS[0], "n": 1.0}])
    ds.tombstone(IDS[1])
    ds.set_state(IDS[2], masked=True)
    ds.snapshot("before")
    found = files(ds)
    patterns = [
        r"records\.parquet",
        r"meta\.md",
        r"\.events\.log",
        r"_registry/registry\.[0-9a-f]{64}\.yaml",
        r"_derived/m/part-\d{8}T\d{12}Z-[0-9a-f]{32}\.parquet",
        r"_derived/usr\.parquet",
        r"_derived/usr_state\.parquet",
        r"_snapshots/records-\d{8}T\d{12}-before\.parquet",
    ]
    for name in found:
        assert sum(bool(re.fullmatch(p, name)) for p in patterns) == 1, name
    assert len(found) == len(patterns)
    assert (ds.dir / ".usr.lock").is_file()


def test_LAY_1_foreign_files_are_never_touched(ds) -> None:
    foreign = {
        "_artifacts/other/x.bin": b"\0\1", "notes.txt": b"mine", "_derived/README.md": b"#",
        "_derived/m/part-x.tmp": b"?", "_snapshots/mine.parquet": b"no parquet",
    }  # fmt: skip
    for name, data in foreign.items():
        (ds.dir / name).parent.mkdir(parents=True, exist_ok=True)
        (ds.dir / name).write_bytes(data)
    ds.write_overlay_part("m", [{"id": IDS[0], "n": 1.0}])
    ds.tombstone(IDS[1])
    with ds.maintenance(reason="test"):
        ds.materialize(keep_overlays=False, drop_deleted=True)
    ds.write_overlay_part("m", [{"id": IDS[0], "n": 2.0}])
    ds.remove_overlay("m")
    for name, data in foreign.items():
        assert (ds.dir / name).read_bytes() == data, name
    assert table(ds).num_rows == 5


@pytest.mark.parametrize(
    "name",
    ["", "/abs", "../up", "a/../b", "a/b/c", "a//b", ".hidden", "a b", "a\\b", "x\n", "é", "-x",
     "a/-x", "a.parquet", "a.csv", "n/a.jsonl", "archived/x", "archived", "a\0b", "~x", "x/"],
)  # fmt: skip
def test_LAY_3_hostile_ids_are_refused_and_make_nothing(root, name) -> None:
    with nothing_changes(root), pytest.raises((ValidationError, DatasetNotFound)):
        Dataset.open(root, name).init()
    assert list_datasets(root) == []


def test_LAY_3_a_dataset_may_not_lie_inside_a_dataset(root) -> None:
    new_dataset(root, "alone", [])
    with refused(root, ValidationError, "inside"):
        Dataset.open(root, "alone/inner").init()
    new_dataset(root, "ns/one", [])
    with refused(root, ValidationError, "namespace"):
        Dataset.open(root, "ns").init()


def test_LAY_3_archived_names_the_canonical_place(root) -> None:
    with pytest.raises(ValidationError, match="archived") as caught:
        Dataset.open(root, "archived/x")
    assert "_archive/<namespace>/<dataset>" in str(caught.value)


def test_LAY_4_open_is_literal_or_by_unique_last_part(root) -> None:
    new_dataset(root, "a/one", ["A"])
    assert Dataset.open(root, "one").name == "a/one"
    new_dataset(root, "b/one", ["A"])
    with pytest.raises(DatasetNotFound, match="ambiguous") as caught:
        Dataset.open(root, "one")
    assert "a/one, b/one" in str(caught.value)
    new = Dataset.open(root, "fresh")
    assert new.name == "fresh"
    with pytest.raises(DatasetNotFound, match="fresh"):
        new.head()
    with pytest.raises(DatasetNotFound) as caught:
        Dataset.open(root, "a/onee").head()
    assert "Did you mean 'a/one'?" in str(caught.value)


def test_LAY_6_a_path_outside_the_root_is_read_by_its_meta(root, tmp_path) -> None:
    ds = new_dataset(root, "a/one")
    away = tmp_path / "elsewhere" / "a" / "one"
    away.parent.mkdir(parents=True)
    ds.dir.rename(away)
    other = Dataset.open(root, away)
    assert other.name == "a/one"
    assert list(other.head(99)["id"]) == IDS
    away.rename(away.parent / "two")
    with pytest.raises(ValidationError, match="does not agree"):
        Dataset.open(root, away.parent / "two")


def test_LAY_7_notes_have_their_head_one_line_and_a_fence_per_mutation(root) -> None:
    ds = Dataset.open(root, "ns/notes")
    ds.init(source="the source", notes="hello")
    ds.add_sequences(["ACGT"], bio_type="dna", alphabet="dna_4")
    lines = ds.meta_path.read_text().splitlines()
    assert lines[0] == "name: ns/notes"
    assert re.fullmatch(r"created_at: \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", lines[1])
    assert lines[2:6] == ["source: the source", "notes: hello", "schema: USR v1", ""]
    assert re.fullmatch(r"### Updates \(\d{4}-\d\d-\d\d\)", lines[6])
    notes = ds.meta_path.read_text().partition("\n### Updates")[2].splitlines()[1:]
    assert len(notes) == 8
    for start in (0, 4):
        assert re.fullmatch(r"- \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z: .+", notes[start])
        assert notes[start + 1] == "```bash"
        assert notes[start + 2].startswith("usr ")
        assert notes[start + 3] == "```"


def test_LAY_7_what_users_write_into_the_notes_stays(ds) -> None:
    mine = "name: ns/demo\nmy own words ```\n\nno newline at the end"
    ds.meta_path.write_text(mine)
    ds.tombstone(IDS[0])
    with ds.maintenance(reason="test"):
        ds.materialize(drop_deleted=True)
    assert ds.meta_path.read_text().startswith(mine)


def test_LAY_7_pipelines_write_no_notes(ds) -> None:
    before = ds.meta_path.read_bytes()
    ds.write_overlay_part("m", [{"id": IDS[0], "n": 1.0}])
    ds.log_event("my_tool.done", args={"x": 1})
    assert ds.meta_path.read_bytes() == before
    ds.write_overlay("k", [{"id": IDS[0], "x": 1.0}])
    assert ds.meta_path.read_bytes() != before


def test_LAY_7_notes_are_redacted_as_events_are(ds, tmp_path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"id,n\n{IDS[0]},1\n")
    ds.attach(path, "m", note="a note")
    ds.append_meta_note("by hand", "tool --password hunter2 --author me\ntool --api-key='x y' -n 3")
    text = ds.meta_path.read_text()
    assert ": a note\n" in text
    assert "tool --password ***REDACTED*** --author me\ntool --api-key=***REDACTED*** -n 3" in text
    for secret in ("hunter2", "x y"):
        assert secret not in text


def test_LAY_7_a_fence_in_a_note_cannot_end_its_block(ds) -> None:
    ds.append_meta_note("title\n- forged: line", "echo\n```\n- forged")
    tail = ds.meta_path.read_text().splitlines()[-6:]
    assert tail[0].endswith(": title - forged: line")
    assert tail[1] == "```bash"
    assert tail.count("```") == 1
    assert tail[-1] == "```"


def test_LAY_8_timestamps_are_utc_with_microseconds(ds) -> None:
    import json

    pattern = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z"
    for line in ds.events_path.read_text().splitlines():
        assert re.fullmatch(pattern, json.loads(line)["timestamp_utc"])
    assert re.fullmatch(pattern, ds.info().created_at)
    assert re.fullmatch(pattern, ds.info().updated)
