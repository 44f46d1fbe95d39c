"""OVL-9, OVL-10: compaction equals the read, and nothing that lands meanwhile is lost."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.dataset.kit import (
    IDS,
    SEQUENCES,
    cells,
    files,
    footer,
    last_event,
    nothing_changes,
    parts,
    refused,
    tree,
    values,
)
from tests.dataset.test_materialize import fill
from usr_nb import Dataset, NamespaceError, ValidationError


def compact(ds: Dataset, namespace: str = "m", **how):
    with ds.maintenance(reason="test"):
        return ds.compact_overlay(namespace, **how)


@pytest.mark.parametrize("single", [False, True])
@pytest.mark.parametrize("materialized", [False, True])
def test_OVL_9_reading_before_and_after_gives_equal_tables(ds, single, materialized) -> None:
    fill(ds)
    if materialized:
        with ds.maintenance(reason="test"):
            ds.materialize(["m"], keep_overlays=False)
    ds.write_overlay_part("m", [{"id": IDS[0], "n": 9.0}, {"id": IDS[2], "n": None}])
    ds.write_overlay_part("m", [{"id": IDS[1], "s": "late"}])
    before = values(ds, include_deleted=True)
    old = [p.name for p in parts(ds)]
    times = [footer(p)[b"usr:overlay_created_at"] for p in parts(ds)]
    result = compact(ds, single_file=single)
    assert values(ds, include_deleted=True) == before
    assert result.files_before == len(old)
    assert result.path == ("_derived/m.parquet" if single else f"_derived/m/{parts(ds)[0].name}")
    assert len(parts(ds)) == (not single)
    meta = footer(ds.dir / result.path)
    # The smallest time of the inputs, so that what lands meanwhile wins.
    assert meta[b"usr:overlay_created_at"] == min(times)
    archived = list((ds.dir / "_derived" / "_archived" / "m").glob("*/*.parquet"))
    assert sorted(p.name for p in archived) == sorted(old)
    assert len({p.parent for p in archived}) == 1
    metrics = last_event(ds, "compact_overlay")["metrics"]
    assert metrics["files_before"] == len(old)
    assert metrics["rows"] == result.rows == pq.read_metadata(ds.dir / result.path).num_rows
    assert ds.validate(strict=True).errors == []


def test_OVL_9_cells_without_a_speaker_stay_silent(ds) -> None:
    ds.write_overlay_part("m", [{"id": i, "n": 1.0} for i in IDS[:2]])
    with ds.maintenance(reason="test"):
        ds.materialize(keep_overlays=False)
    ds.write_overlay_part("m", [{"id": IDS[0], "n": 5.0}])
    ds.write_overlay_part("m", [{"id": IDS[1], "s": "x"}])
    path = ds.dir / compact(ds).path
    held = {r["id"]: r for r in pq.read_table(path).to_pylist()}
    # Another tool sees the base's value, or null; nothing is invented.
    assert held[IDS[0]] == {"id": IDS[0], "m__n": 5.0, "m__s": None}
    assert held[IDS[1]] == {"id": IDS[1], "m__n": 1.0, "m__s": "x"}
    assert set(held) == {IDS[0], IDS[1]}
    # The silent cell follows the base: an older file that lands in the archive's place speaks.
    table = pa.table({"id": [IDS[1]], "m__n": [7.0]})
    meta = footer(path) | {b"usr:overlay_created_at": b"2001-01-01T00:00:00.000000Z"}
    meta.pop(b"usr:unspoken")
    pq.write_table(
        table.replace_schema_metadata(meta),
        path.with_name(f"part-20010101T000000000000Z-{'0' * 32}.parquet"),
    )
    assert cells(ds, "m__n")[:2] == [5.0, 7.0]


def test_OVL_9_unspoken_is_the_bitmap_of_the_format_page(ds) -> None:
    from tests.overlay.kit import bitmap

    ds.write_overlay_part("m", [{"id": i, "n": 1.0} for i in IDS[:5:2]])
    ds.write_overlay_part("m", [{"id": i, "s": "x"} for i in IDS])
    import base64
    import json
    import zlib

    path = ds.dir / compact(ds).path
    marked = json.loads(footer(path)[b"usr:unspoken"])
    assert set(marked) == {"m__n"}
    raw = zlib.decompress(base64.b64decode(marked["m__n"]))
    assert pq.read_table(path).column("id").to_pylist() == IDS
    assert raw == zlib.decompress(base64.b64decode(bitmap([k not in (0, 2, 4) for k in range(6)])))


@pytest.mark.parametrize("key", ["id", "sequence", "sequence_ci"])
def test_OVL_9_orphans_and_all_keys_survive(ds, key) -> None:
    from tests.overlay.kit import NOON, later, overlay_meta, part_name, write_parquet

    full = {"id": IDS, "sequence": SEQUENCES, "sequence_ci": [s.upper() for s in SEQUENCES]}[key]
    orphan = "f" * 40 if key == "id" else "AAAAAAA"
    for k, at in enumerate((NOON, later(1))):
        t = pa.table({key: [orphan, full[k]], "m__n": [float(k), 10.0 + k]})
        write_parquet(ds.dir / "_derived" / "m" / part_name(at, k), t, overlay_meta("m", key, at))
    before = values(ds)
    path = ds.dir / compact(ds).path
    assert values(ds) == before
    held = pq.read_table(path)
    assert held.schema.names == [key, "m__n"]
    assert held.column(key).to_pylist() == [full[0], full[1], orphan]
    assert held.column("m__n").to_pylist() == [10.0, 11.0, 1.0]


def test_OVL_9_appending_and_compacting_again_works(ds) -> None:
    for k in range(3):
        ds.write_overlay_part("m", [{"id": IDS[k], "n": float(k), "s": "x"}])
    for single in (False, False, True, True, False):
        compact(ds, single_file=single)
        assert cells(ds, "m__n")[:3] == [0.0, 1.0, 2.0]
    ds.write_overlay_part("m", [{"id": IDS[0], "n": 8.0}])
    assert cells(ds, "m__n")[:3] == [8.0, 1.0, 2.0]
    compact(ds, single_file=True)
    ds.write_overlay_part("m", [{"id": IDS[1], "n": None, "s": "y"}])
    compact(ds, single_file=True)
    assert cells(ds, "m__n")[:3] == [8.0, None, 2.0]
    assert cells(ds, "m__s")[:3] == ["x", "y", "x"]
    assert [f for f in files(ds) if f.startswith("_derived/m")] == ["_derived/m.parquet"]
    # Every retired file was kept.
    kept = list((ds.dir / "_derived" / "_archived" / "m").rglob("*.parquet"))
    assert len({p.parent for p in kept}) == 5
    assert ds.validate(strict=True).errors == []


def test_OVL_9_one_file_in_that_form_is_left_alone(ds, root) -> None:
    ds.write_overlay_part("m", [{"id": IDS[0], "n": 1.0}])
    with nothing_changes(root):
        assert compact(ds).path is None
    compact(ds, single_file=True)
    with nothing_changes(root):
        assert compact(ds, single_file=True).path is None


def test_OVL_9_no_part_name_is_given_other_content(ds) -> None:
    seen: dict[str, str] = {}
    for k in range(4):
        ds.write_overlay_part("m", [{"id": IDS[k], "n": float(k)}])
        if k % 2:
            compact(ds)
        for name, digest in tree(ds.dir / "_derived").items():
            base = name.rpartition("/")[2]
            if base.startswith("part-"):
                assert seen.setdefault(base, digest) == digest


def test_OVL_9_needs_maintenance_and_an_overlay(ds, root) -> None:
    ds.write_overlay_part("m", [{"id": IDS[0], "n": 1.0}])
    with refused(root, ValidationError, "maintenance"):
        ds.compact_overlay("m")
    with refused(root, NamespaceError, "no overlay"):
        compact(ds, "k")
    for reserved in ("usr", "usr_state"):
        with refused(root, NamespaceError):
            compact(ds, reserved)


def land_meanwhile(monkeypatch, ds: Dataset, module, name: str, rows: list[dict]) -> None:
    """Let a part land after the change has read its view and before it commits."""
    real = getattr(module, name)
    done = []

    def wrapped(*args, **kwargs):
        if not done:
            done.append(True)
            Dataset.open(ds.root, ds.name).write_overlay_part("m", rows)
        return real(*args, **kwargs)

    monkeypatch.setattr(module, name, wrapped)


LATE = [{"id": IDS[0], "n": 99.0}, {"id": IDS[1], "n": None}]


def test_OVL_10_a_part_that_lands_during_a_compaction_is_kept_and_wins(ds, monkeypatch) -> None:
    from usr_nb.dataset import compaction

    for k in range(3):
        ds.write_overlay_part("m", [{"id": i, "n": float(k)} for i in IDS[:3]])
    land_meanwhile(monkeypatch, ds, compaction, "fold", LATE)
    compact(ds)
    assert cells(ds, "m__n")[:3] == [99.0, None, 2.0]
    assert len(parts(ds)) == 2
    compact(ds)
    assert cells(ds, "m__n")[:3] == [99.0, None, 2.0]


@pytest.mark.parametrize("drop", [False, True])
def test_OVL_10_a_part_that_lands_during_a_materialization_is_kept_and_wins(
    ds, monkeypatch, drop
) -> None:
    from usr_nb.dataset import maintenance

    ds.write_overlay_part("m", [{"id": i, "n": 1.0} for i in IDS[:3]])
    land_meanwhile(monkeypatch, ds, maintenance, "write_batches", LATE)
    with ds.maintenance(reason="test"):
        ds.materialize(keep_overlays=not drop)
    assert cells(ds, "m__n")[:3] == [99.0, None, 1.0]
    assert cells(ds, "m__n", include_overlays=False)[:3] == [1.0, 1.0, 1.0]
    assert len(parts(ds)) == (1 if drop else 2)
