"""MAT and RCV-4: values before and after, what is kept, what is taken away, snapshots."""

from __future__ import annotations

import itertools
import math
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.dataset.kit import (
    FIELDS,
    IDS,
    SEQUENCES,
    base,
    cells,
    count_events,
    files,
    last_event,
    nothing_changes,
    parts,
    refused,
    table,
    values,
)
from usr_nb import Dataset, NamespaceError, ValidationError
from usr_nb.contract.types import parse_type

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
FULL = {
    "n": [1.5, math.nan, None, -0.0, math.inf, 2.0],
    "i": [1, None, 2**62, -1, 0, 5],
    "s": ["", "x", None, "NA", "ü", "[1]"],
    "b": [True, None, False, True, None, False],
    "l": [[1.0, None], [], None, [math.nan], [2.0], [0.0]],
    "r": [{"p": 1, "q": None}, None, {"p": None, "q": "z"}, {"p": None, "q": None}, None, None],
    "v": [[0.0, 1.0], None, [math.nan, 2.0], [3.0, 4.0], None, [5.0, 6.0]],
    "t": [NOON, None, NOON, NOON, None, NOON],
}


def fill(ds: Dataset) -> None:
    """Every kind of column, in two parts, with state and tombstones."""
    for some in (list(FIELDS)[:4], list(FIELDS)[4:]):
        columns = {"id": pa.array(IDS)}
        columns |= {f"m__{f}": pa.array(FULL[f], parse_type(FIELDS[f])) for f in some}
        ds.write_overlay_part("m", pa.table(columns))
    ds.write_overlay_part("k", [{"sequence": SEQUENCES[1], "x": 2.5}], key="sequence")
    ds.set_state(IDS[:2], qc_status="fail", lineage=["a"])
    ds.tombstone([IDS[0], IDS[3]], reason="bad")


OPTIONS = [
    dict(
        zip(
            ("keep_overlays", "archive_overlays", "drop_deleted", "snapshot_before"), o, strict=True
        )
    )
    for o in itertools.product((True, False), repeat=4)
    if not (o[1] and not o[0])
]


@pytest.mark.parametrize("namespaces", [None, ["m"], ["k", "usr_state"]])
@pytest.mark.parametrize("options", OPTIONS, ids=lambda o: "-".join(k for k, v in o.items() if v))
def test_MAT_1_values_equal_the_read_before_for_every_type_and_option(
    ds, namespaces, options
) -> None:
    fill(ds)
    shown, everything = values(ds), values(ds, include_deleted=True)
    old_base = ds.records_path.read_bytes()
    before = set(files(ds))
    with ds.maintenance(reason="test"):
        result = ds.materialize(namespaces, **options)
    chosen = namespaces or ["k", "m", "usr_state"]
    gone = [0, 3] if options["drop_deleted"] else []
    live = [i for i in range(6) if i not in gone]
    # MAT-1: the same values, row for row.
    after = values(ds)
    assert {k: after[k] for k in sorted(after)} == {k: shown[k] for k in sorted(shown)}
    after = values(ds, include_deleted=True)
    for name, column in everything.items():
        assert after[name] == [column[i] for i in live], name
    held = [c for c in shown if c.split("__")[0] in chosen]
    assert sorted(base(ds).schema.names[7:]) == sorted(held)
    plain = values(ds, include_overlays=False, include_deleted=True)
    for c in held:
        assert plain[c] == [everything[c][i] for i in live], c
    # MAT-2: what happened to the files.
    overlays = {f for f in before if f.startswith("_derived/") and "usr.parquet" not in f}
    mine = {f for f in overlays if f.split("/")[1].split(".")[0] in chosen}
    now = set(files(ds))
    archived = {f for f in now if f.startswith("_derived/_archived/")}
    if options["archive_overlays"]:
        assert not mine & now
        assert {f.rpartition("/")[2] for f in archived} == {f.rpartition("/")[2] for f in mine}
    elif not options["keep_overlays"]:
        assert not mine & now
        assert not archived
    else:
        assert mine <= now
    assert overlays - mine <= now
    assert sorted(result.retired) == sorted(mine if mine - now else [])
    assert ("_derived/usr.parquet" in now) == (not options["drop_deleted"])
    # MAT-3: the snapshot is of the prior base.
    snapshots = [f for f in now if f.startswith("_snapshots/")]
    wanted = options["snapshot_before"] or options["drop_deleted"]
    assert len(snapshots) == wanted
    for f in snapshots:
        assert (ds.dir / f).read_bytes() == old_base
        assert f.endswith("-auto.parquet") == (not options["snapshot_before"])
    metrics = last_event(ds, "materialize")["metrics"]
    assert metrics["rows"] == result.rows == len(live)
    assert metrics["rows_dropped"] == result.dropped_rows == len(gone)
    report = ds.validate()
    assert report.errors == []
    assert report.warnings == []


def test_MAT_1_outside_maintenance_it_raises(ds, root) -> None:
    fill(ds)
    with refused(root, ValidationError, "maintenance"):
        ds.materialize()
    with pytest.raises(ValidationError, match="reason"), ds.maintenance(reason=" "):
        pass
    with (
        ds.maintenance(reason="test"),
        pytest.raises(ValidationError, match="already"),
        ds.maintenance(reason="inner"),
    ):
        pass
    with pytest.raises(ValidationError, match="maintenance"):
        ds.materialize()


def test_MAT_1_the_section_stands_in_the_event(ds) -> None:
    fill(ds)
    with ds.maintenance(reason="tidy up", actor={"tool": "janitor", "run_id": "7"}):
        ds.materialize()
    event = last_event(ds, "materialize")
    assert event["maintenance"]["reason"] == "tidy up"
    assert (event["actor"]["tool"], event["actor"]["run_id"]) == ("janitor", "7")
    ds.snapshot()
    assert last_event(ds, "snapshot")["maintenance"] == {}


def test_MAT_1_a_null_unsets_a_materialized_value(ds) -> None:
    ds.write_overlay_part("m", [{"id": IDS[0], "n": 1.0}, {"id": IDS[1], "n": 2.0}])
    with ds.maintenance(reason="test"):
        ds.materialize(keep_overlays=False)
    ds.write_overlay_part("m", pa.table({"id": IDS[:1], "n": pa.array([None], pa.float64())}))
    assert cells(ds, "m__n")[:2] == [None, 2.0]
    with ds.maintenance(reason="test"):
        ds.materialize(keep_overlays=False)
    assert cells(ds, "m__n", include_overlays=False)[:2] == [None, 2.0]


def test_MAT_1_tombstones_are_never_materialized(ds, root) -> None:
    fill(ds)
    with ds.maintenance(reason="test"):
        ds.materialize()
    assert not [n for n in base(ds).schema.names if n.startswith("usr__")]
    with refused(root, NamespaceError), ds.maintenance(reason="test"):
        ds.materialize(["usr"])
    with refused(root, NamespaceError, "no overlay"), ds.maintenance(reason="test"):
        ds.materialize(["m", "mm"])


def test_MAT_2_drop_and_archive_together_is_an_error(ds, root) -> None:
    fill(ds)
    with refused(root, ValidationError, "not both"), ds.maintenance(reason="test"):
        ds.materialize(keep_overlays=False, archive_overlays=True)


def test_MAT_2_drop_deleted_removes_rows_and_their_tombstones(ds) -> None:
    fill(ds)
    with ds.maintenance(reason="test"):
        ds.materialize(drop_deleted=True)
    assert base(ds).column("id").to_pylist() == [IDS[i] for i in (1, 2, 4, 5)]
    info = ds.info()
    assert (info.rows, info.rows_live, info.rows_deleted) == (4, 4, 0)
    artifact = last_event(ds, "materialize")["artifacts"]["dropped_ids"]
    assert sorted(pq.read_table(ds.dir / artifact).column("id").to_pylist()) == sorted(
        [IDS[0], IDS[3]]
    )
    ds.import_rows([SEQUENCES[0]])
    assert cells(ds, "id")[-1] == IDS[0]


def test_MAT_2_restored_rows_stay_and_their_tombstone_is_kept(ds) -> None:
    ds.tombstone(IDS[:2])
    ds.restore(IDS[1])
    with ds.maintenance(reason="test"):
        ds.materialize(drop_deleted=True)
    assert cells(ds, "id") == IDS[1:]
    held = pq.read_table(ds.dir / "_derived" / "usr.parquet")
    assert held.column("id").to_pylist() == [IDS[1]]


def test_MAT_1_nothing_to_materialize_writes_nothing(ds, root) -> None:
    with nothing_changes(root), ds.maintenance(reason="test"):
        ds.materialize()
        ds.materialize(drop_deleted=True)


def test_VAL_reimporting_a_dropped_id_does_not_revive_its_values(ds) -> None:
    fill(ds)
    with ds.maintenance(reason="test"):
        ds.materialize(drop_deleted=True)
    ds.import_rows([SEQUENCES[0]])
    fresh = table(ds).to_pylist()[-1]
    assert fresh["id"] == IDS[0]
    assert {v for k, v in fresh.items() if "__" in k} == {None}
    assert ds.get_state(IDS[0])[0]["qc_status"] is None
    ds.import_rows([SEQUENCES[3]], keep_values=True)
    assert cells(ds, "m__i")[-1] == FULL["i"][3]
    assert ds.validate(strict=True).errors == []


def test_VAL_an_ignored_conflict_silences_nobody(ds) -> None:
    fill(ds)
    with ds.maintenance(reason="test"):
        ds.materialize(drop_deleted=True)
    ds.import_rows([SEQUENCES[0]], keep_values=True)
    before = values(ds)
    ds.import_rows([SEQUENCES[0], "AA"], on_conflict="ignore")
    assert {k: v[:-1] for k, v in values(ds).items()} == before


# Snapshots -------------------------------------------------------------------------------------


def test_RCV_4_snapshots_of_the_user_are_copies_and_never_pruned(ds) -> None:
    taken = [ds.snapshot() for _ in range(7)]
    named = ds.snapshot("before-run.2")
    assert named.name.endswith("-before-run.2.parquet")
    for _ in range(7):
        ds.tombstone(cells(ds, "id")[0])
        with ds.maintenance(reason="test"):
            ds.materialize(drop_deleted=True) if ds.info().rows_deleted else None
        ds.import_rows([f"AAAC{'ACGT'[_ % 4]}{'ACGT'[_ // 4]}"])
    for path in [*taken, named]:
        assert path.is_file()
        assert pq.read_metadata(path).num_rows == 6
        assert path.stat().st_nlink == 1
    autos = sorted(p.name for p in ds.snapshot_dir.glob("*-auto.parquet"))
    assert len(autos) == 5
    events = [f for e in ds.events() if e["action"] == "materialize"
              for f in [e["artifacts"]["snapshot"].rpartition("/")[2]]]  # fmt: skip
    assert autos == sorted(events)[-5:]


@pytest.mark.parametrize(
    "name", ["auto", "x-auto", "../x", "a/b", "", "x.parquet", "a b", "é", ".x"]
)
def test_RCV_4_snapshot_names(ds, root, name) -> None:
    with refused(root, ValidationError):
        ds.snapshot(name)


def test_RCV_4_a_snapshot_is_the_base_byte_for_byte(ds) -> None:
    path = ds.snapshot()
    assert path.read_bytes() == ds.records_path.read_bytes()
    before = count_events(ds)
    ds.import_rows(["AA"])
    assert count_events(ds) == before + 1
    assert pq.read_metadata(path).num_rows == 6
    assert (
        last_event(ds, "snapshot")["artifacts"]["snapshot"] == path.relative_to(ds.dir).as_posix()
    )


# Removing overlays -----------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["delete", "archive", "error"])
def test_MNT_3_remove_overlay(ds, root, mode) -> None:
    fill(ds)
    names = [p.name for p in parts(ds)]
    removed = ds.remove_overlay("m", mode=mode)
    assert sorted(removed) == sorted(f"_derived/m/{n}" for n in names)
    assert not parts(ds)
    kept = [p.name for p in (ds.dir / "_derived" / "_archived").rglob("*.parquet")]
    assert sorted(kept) == (sorted(names) if mode == "archive" else [])
    action = "archive_overlay" if mode == "archive" else "remove_overlay"
    assert last_event(ds, action)["metrics"]["files_retired"] == 2
    assert not [c for c in ds.schema().names if c.startswith("m__")]
    with refused(root, NamespaceError, "no overlay"):
        ds.remove_overlay("m")
    with nothing_changes(root):
        assert ds.remove_overlay("m", missing_ok=True) == []
    with refused(root, ValidationError, "mode"):
        ds.remove_overlay("k", mode="burn")


def test_MNT_3_removing_an_overlay_keeps_what_was_materialized(ds) -> None:
    ds.write_overlay_part("m", [{"id": IDS[0], "n": 1.0}])
    with ds.maintenance(reason="test"):
        ds.materialize()
    ds.write_overlay_part("m", [{"id": IDS[0], "n": 2.0}])
    ds.remove_overlay("m")
    assert cells(ds, "m__n")[0] == 1.0
