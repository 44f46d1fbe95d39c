"""Dedupe: one row per key, the right one, and honest about what goes (contract MNT-1, VAL)."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from tests.dataset.kit import base, cells, files, last_event, nothing_changes, refused
from tests.features.kit import by_sequence, fresh, ids, new, put
from tests.overlay.kit import Part, later, part_name
from usr_nb import ValidationError

NS = {"m": "x:float64,l:list<int64>", "c": "y:string"}
SEQS = ["ACGT", "acgt", "TTTT", "AcGT", "tttt", "GGGG"]
KEYS = ["id", "sequence", "sequence_norm", "sequence_ci"]


@pytest.fixture
def root(tmp_path):
    return fresh(tmp_path, **NS)


@pytest.fixture
def ds(root):
    return new(root, SEQS)


def dedupe(ds, **how):
    with ds.maintenance(reason="tidy"):
        return ds.dedupe(**how)


def repeat_rows(ds, at: list[int]) -> None:
    """Another tool's base: some rows stand in it again, at the end."""
    table = pq.read_table(ds.records_path)
    again = pa.concat_tables([table, table.take(at)])
    pq.write_table(again.replace_schema_metadata(table.schema.metadata), ds.records_path)


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("keep", ["keep-first", "keep-last"])
def test_MNT_1_every_key_and_both_keeps(ds, key, keep) -> None:
    repeat_rows(ds, [2, 0, 2])  # Base: 0 1 2 3 4 5 2' 0' 2''
    sources = [f"row{i}" for i in range(9)]
    table = pq.read_table(ds.records_path)
    meta = table.schema.metadata
    at = table.schema.get_field_index("source")
    table = table.set_column(at, table.schema.field(at), pa.array(sources))
    pq.write_table(table.replace_schema_metadata(meta), ds.records_path)
    groups: dict[str, list[int]] = {}
    for i, s in enumerate(cells(ds, "sequence")):
        groups.setdefault(s.upper() if key == "sequence_ci" else s, []).append(i)
    wanted = sorted(g[0] if keep == "keep-first" else g[-1] for g in groups.values())
    with nothing_changes(ds.root):
        preview = ds.dedupe(key=key, keep=keep, dry_run=True)
    done = dedupe(ds, key=key, keep=keep)
    assert cells(ds, "source") == [f"row{i}" for i in wanted]
    assert (done.rows_before, done.rows_dropped) == (9, 9 - len(wanted))
    assert done.groups == sum(len(g) > 1 for g in groups.values())
    assert (preview.rows_dropped, preview.groups, preview.examples, preview.values_lost) == (
        done.rows_dropped, done.groups, done.examples, done.values_lost)  # fmt: skip
    assert (preview.dry_run, done.dry_run) == (True, False)
    assert preview.snapshot is None
    # Nothing is left to do.
    assert dedupe(ds, key=key, keep=keep).rows_dropped == 0


def test_MNT_1_default_key_is_sequence_and_first_is_kept(ds) -> None:
    repeat_rows(ds, [0])
    done = dedupe(ds)
    event = last_event(ds, "dedupe")
    assert event["args"] == {"key": "sequence", "keep": "keep-first"}
    assert event["metrics"] == {"rows": 6, "rows_dropped": 1, "groups": 1, "values_lost": 0}
    assert event["maintenance"] == {"reason": "tidy"}
    assert event["artifacts"]["snapshot"] == done.snapshot
    # The id is still there, so none is gone for good.
    assert done.dropped_ids is None
    assert pq.read_metadata(ds.dir / done.snapshot).num_rows == 7
    assert done.snapshot.endswith("-auto.parquet")
    assert "--key sequence --keep keep-first --yes" in ds.meta_path.read_text()


def test_MNT_1_nothing_to_do_writes_nothing(ds) -> None:
    with nothing_changes(ds.root):
        assert dedupe(ds).rows_dropped == 0


def test_MNT_1_a_live_row_is_kept_before_a_tombstoned_one(ds) -> None:
    ds.tombstone(ids(["ACGT", "tttt"]))
    done = dedupe(ds, key="sequence_ci")
    assert cells(ds, "sequence") == ["acgt", "TTTT", "GGGG"]
    assert done.rows_dropped == 3
    # The tombstones of rows that are gone are gone as well.
    assert not (ds.dir / "_derived/usr.parquet").exists()
    assert ds.info().rows_deleted == 0
    assert ds.validate().errors == []


def test_MNT_1_a_tombstone_of_the_kept_row_stays(ds) -> None:
    ds.tombstone(ids(["ACGT", "acgt", "AcGT"]), reason="bad")
    dedupe(ds, key="sequence_ci", keep="keep-last")
    assert cells(ds, "sequence", include_deleted=True) == ["AcGT", "tttt", "GGGG"]
    assert cells(ds, "sequence") == ["tttt", "GGGG"]
    assert pq.read_table(ds.dir / "_derived/usr.parquet").column("id").to_pylist() == ids(["AcGT"])


def test_MNT_1_overlays_of_survivors_stay_right_and_lost_values_are_counted(ds) -> None:
    put(ds, "m", {i: {"m__x": float(n), "m__l": [n] if n % 2 else None}
                  for n, i in enumerate(ids(SEQS))})  # fmt: skip
    put(ds, "m", {ids(SEQS)[3]: {"m__x": None}})
    ds.set_state(ids(["tttt"]), qc_status="fail", masked=True)
    done = dedupe(ds, key="sequence_ci")
    assert by_sequence(ds, "m__x") == {"ACGT": 0.0, "TTTT": 2.0, "GGGG": 5.0}
    assert by_sequence(ds, "m__l") == {"ACGT": None, "TTTT": None, "GGGG": [5]}
    # Dropped: acgt (x and l), AcGT (l; its x was unset), tttt (x; and two state fields).
    assert done.values_lost == {"m": 4, "usr_state": 2}
    assert last_event(ds, "dedupe")["metrics"]["values_lost"] == 6
    assert ds.validate().errors == []


def test_MNT_1_values_by_letters_in_any_case_are_not_lost(ds) -> None:
    part = Part(part_name(later(1), 1), "sequence_ci", later(1), ["c__y"],
                [("ACGT", {"c__y": "shared"}), ("TTTT", {"c__y": "too"})])  # fmt: skip
    part.write(ds.dir, "c", {"c__y": pa.string()})
    exact = Part(part_name(later(1), 1), "sequence", later(1), ["m__x"],
                 [("acgt", {"m__x": 1.0}), ("ACGT", {"m__x": 2.0})])  # fmt: skip
    exact.write(ds.dir, "m", {"m__x": pa.float64()})
    done = dedupe(ds, key="sequence_ci")
    assert done.values_lost == {"m": 1}
    assert by_sequence(ds, "c__y") == {"ACGT": "shared", "TTTT": "too", "GGGG": None}
    assert by_sequence(ds, "m__x") == {"ACGT": 2.0, "TTTT": None, "GGGG": None}


def test_MNT_1_values_in_the_base_of_a_dropped_row_are_reported(ds) -> None:
    put(ds, "m", {i: {"m__x": 1.0} for i in ids(SEQS[:3])})
    with ds.maintenance(reason="t"):
        ds.materialize(keep_overlays=False)
    put(ds, "m", {ids(SEQS)[1]: {"m__x": None}})
    # acgt's base value was unset by the overlay: nothing of it showed.
    assert dedupe(ds, key="sequence_ci", keep="keep-last").values_lost == {"m": 2}


def test_VAL_dropped_ids_are_listed_in_an_artifact(ds) -> None:
    done = dedupe(ds, key="sequence_ci")
    assert done.dropped_ids in files(ds)
    assert done.dropped_ids.startswith("_artifacts/dropped-")
    listed = pq.read_table(ds.dir / done.dropped_ids).column("id").to_pylist()
    assert sorted(listed) == sorted(ids(["acgt", "AcGT", "tttt"]))
    assert last_event(ds, "dedupe")["artifacts"]["dropped_ids"] == done.dropped_ids
    assert done.examples[0] == {"key": "ACGT", "kept": ids(["ACGT"])[0],
                                "dropped": ids(["acgt", "AcGT"])}  # fmt: skip
    # Orphan keys that this explains are no finding.
    assert {f.severity for f in ds.validate(strict=True).findings} <= {"note"}


def valued(ds):
    """Values and state on a row, which then is dropped."""
    put(ds, "m", {ids(["acgt"])[0]: {"m__x": 7.0, "m__l": [7]}, ids(["ACGT"])[0]: {"m__x": 1.0}})
    ds.set_state(ids(["acgt"]), split="test", lineage=["p"])
    dedupe(ds, key="sequence_ci")


@pytest.mark.parametrize("keep", [None, "k"])
def test_VAL_importing_a_dropped_id_again_does_not_revive_its_values(ds, keep) -> None:
    valued(ds)
    ds.import_rows([{"sequence": "acgt", "x": 3.0}], keep=keep)
    assert by_sequence(ds, "m__x")["acgt"] is None
    assert by_sequence(ds, "m__l")["acgt"] is None
    assert by_sequence(ds, "m__x")["ACGT"] == 1.0
    state = ds.get_state(ids(["acgt"]))[0]
    assert (state["split"], state["lineage"]) == (None, None)
    assert ds.validate().errors == []


def test_VAL_what_an_import_keeps_itself_shows_over_the_silence(ds) -> None:
    valued(ds)
    ds.import_rows([{"sequence": "acgt", "x": 3.0}], keep="m")
    assert by_sequence(ds, "m__x")["acgt"] == 3.0
    assert by_sequence(ds, "m__l")["acgt"] is None


def test_VAL_keep_values_revives_them(ds) -> None:
    valued(ds)
    ds.import_rows(["acgt"], keep_values=True)
    assert by_sequence(ds, "m__x")["acgt"] == 7.0
    assert by_sequence(ds, "m__l")["acgt"] == [7]
    assert ds.get_state(ids(["acgt"]))[0]["split"] == "test"
    assert last_event(ds, "import_rows")["args"]["keep_values"] is True


def test_VAL_rows_dropped_by_materialize_do_not_revive_either(ds) -> None:
    put(ds, "m", {ids(["GGGG"])[0]: {"m__x": 7.0}})
    ds.tombstone(ids(["GGGG"]))
    with ds.maintenance(reason="t"):
        ds.materialize(drop_deleted=True)
    ds.import_rows(["GGGG"])
    assert by_sequence(ds, "m__x")["GGGG"] is None
    # New values are values.
    put(ds, "m", {ids(["GGGG"])[0]: {"m__x": 8.0}})
    assert by_sequence(ds, "m__x")["GGGG"] == 8.0


def test_MNT_1_refusals(ds, root) -> None:
    with refused(root, ValidationError, match="maintenance section"):
        ds.dedupe()
    with refused(root, ValidationError, match="key 'sequences' is not known"):
        dedupe(ds, key="sequences")
    with refused(root, ValidationError, match="keep 'first' is not known"):
        dedupe(ds, keep="first")
    ds.add_sequences(["ACGN"], bio_type="dna", alphabet="dna_5")
    with refused(root, ValidationError, match="dna_5"):
        dedupe(ds, key="sequence_ci")
    assert dedupe(ds, key="sequence").rows_dropped == 0


def test_MNT_1_equal_letters_of_different_kinds_are_not_duplicates(tmp_path) -> None:
    ds = new(fresh(tmp_path), ["ACG"])
    ds.add_sequences(["ACG"], bio_type="protein", alphabet="protein_20")
    assert dedupe(ds, key="sequence").rows_dropped == 0


@settings(max_examples=14, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.sampled_from(["A", "a", "AC", "aC", "ac", "GT", "gt"]), unique=True, min_size=1),
    st.sets(st.integers(0, 6)), st.sampled_from(["keep-first", "keep-last"]),
    st.sets(st.integers(0, 6)),
)  # fmt: skip
def test_MNT_1_any_rows_against_a_dict(tmp_path_factory, seqs, dead, keep, valued) -> None:
    ds = new(fresh(tmp_path_factory.mktemp("any"), **NS), seqs)
    dead = {d for d in dead if d < len(seqs)}
    cells_of = {v: float(v) for v in valued if v < len(seqs)}
    if cells_of:
        put(ds, "m", {ids(seqs)[v]: {"m__x": x} for v, x in cells_of.items()})
    if dead:
        ds.tombstone([ids(seqs)[d] for d in sorted(dead)])
    groups: dict[str, list[int]] = {}
    for i, s in enumerate(seqs):
        groups.setdefault(s.upper(), []).append(i)
    kept = set()
    for rows in groups.values():
        pool = [r for r in rows if r not in dead] or rows
        kept.add(pool[0] if keep == "keep-first" else pool[-1])
    lost = sum(v not in kept for v in cells_of)
    done = dedupe(ds, key="sequence_ci", keep=keep)
    assert cells(ds, "sequence", include_deleted=True) == [seqs[i] for i in sorted(kept)]
    assert cells(ds, "sequence") == [seqs[i] for i in sorted(kept - dead)]
    assert done.values_lost == ({"m": lost} if lost else {})
    if cells_of:
        got = cells(ds, "m__x", include_deleted=True)
        assert got == [cells_of.get(i) for i in sorted(kept)]
    gone = [s for i, s in enumerate(seqs) if i not in kept]
    if gone:
        ds.add_sequences(gone, bio_type="dna", alphabet="dna_4")
    if cells_of:
        now = by_sequence(ds, "m__x", include_deleted=True)
        assert {seqs.index(s): x for s, x in now.items() if x is not None} == {
            i: x for i, x in cells_of.items() if i in kept
        }
    assert base(ds).num_rows == len(seqs)
    assert ds.validate().errors == []
