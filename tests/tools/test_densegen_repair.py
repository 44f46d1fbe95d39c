"""``densegen repair``: what it writes, what it leaves alone (MNT-4)."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import given, settings, strategies as st

from tests.tools.test_densegen_sites import entries, oracle, plans
from usr_nb import Dataset, register_namespace
from usr_nb.contract.registry import parse_columns_spec
from usr_nb.dataset.dropped import dropped_ids
from usr_nb.errors import NamespaceError, SchemaError, StalePlanError, ValidationError
from usr_nb.storage.layout import Layout
from usr_nb.tools.densegen import RepairGroup, repair
from usr_nb.tools.densegen.survey import COUNTS_AS_FIELDS, TYPES

SPEC = ",".join(f"{n}:{t}" for n, t in TYPES.items())
FIELDS = SPEC.replace(TYPES["densegen__used_tf_counts"], COUNTS_AS_FIELDS)
LISTS = ["densegen__tfbs_parts", "densegen__used_tfbs", "densegen__used_tf_list"]


def make(root: Path, rows: list[dict[str, Any]], *, spec: str = SPEC, key: str = "id") -> Dataset:
    """A dataset of these rows; keys other than sequence, created_at go to the overlay."""
    register_namespace(root, namespace="densegen", columns=spec)
    ds = Dataset.open(root, "densegen/demo")
    ds.init()
    essential = ("sequence", "created_at")
    ids = ds.add_sequences(
        [{k: r[k] for k in essential if k in r} for r in rows], bio_type="dna", alphabet="dna_4"
    ).ids
    names = dict.fromkeys(["plan", "tfbs_parts", *(k for r in rows for k in r)])
    names = [n for n in names if n not in essential]
    types = {c.name: c.arrow_type for c in parse_columns_spec(spec, "densegen")}
    cells = {f"densegen__{n}": [r.get(n) for r in rows] for n in names}
    table = pa.table(
        {key: ids if key == "id" else [r["sequence"] for r in rows]}
        | {n: pa.array(v, types[n]) for n, v in cells.items()}
    )
    ds.write_overlay_part("densegen", table, key=key)
    return ds


def read(ds: Dataset, **options: Any) -> list[dict[str, Any]]:
    batches = list(ds.scan(**options))
    return pa.Table.from_batches(batches).to_pylist() if batches else []


def repairs(ds: Dataset) -> list[dict[str, Any]]:
    return [e for e in ds.events() if e["action"] == "repair_densegen"]


def files(ds: Dataset) -> dict[str, bytes]:
    return {
        p.relative_to(ds.dir).as_posix(): p.read_bytes()
        for p in sorted(ds.dir.rglob("*"))
        if p.is_file() and p.name != ".usr.lock" and "_txn" not in p.parts
    }


# The seam between finder and dataset -----------------------------------------------------------

row = st.fixed_dictionaries(
    {
        "sequence": st.text("ACGTacgt", min_size=8, max_size=24)
        | st.sampled_from(["ccTTGACAccTATAATTATAAT", "ACCGCGaaaaTATAATGG", "GCAGGTacgtTATAAT"]),
        "plan": plans,
        "tfbs_parts": st.none() | st.lists(entries, max_size=5),
    },
    optional={"used_tfbs": st.none() | st.lists(entries, max_size=3)},
)


@settings(max_examples=20)
@given(
    st.lists(row, min_size=1, max_size=5, unique_by=lambda r: r["sequence"]),
    st.integers(2, 5),
    st.booleans(),
)
def test_MNT_4_repair_writes_what_the_oracle_says_and_is_idempotent(rows, shortest, in_base):
    with tempfile.TemporaryDirectory() as root:
        ds = make(Path(root), rows)
        if in_base:
            with ds.maintenance("test"):
                ds.materialize(keep_overlays=False)
        first = repair(ds, min_tfbs_len=shortest)
        after = read(ds)
        for before, now in zip(rows, after, strict=True):
            parts = before["tfbs_parts"]
            known = before.get("used_tfbs") if parts is None else parts
            used, detail = oracle(now["sequence"], before["plan"], known or [], shortest)
            found = [
                (d["offset"], d["tf"], d["orientation"], d["tfbs"])
                for d in now["densegen__used_tfbs_detail"]
            ]
            assert found == detail
            assert now["densegen__used_tfbs"] == used
            factors = sorted({u.partition(":")[0] for u in used})
            assert now["densegen__used_tf_list"] == factors
            assert now["densegen__used_tf_counts"] == [
                {"tf": f, "count": sum(u.startswith(f"{f}:") for u in used)} for f in factors
            ]
            assert (now["densegen__tfbs_parts"] is None) == (parts is None)
            assert now["densegen__plan"] == before["plan"]
            for name in LISTS[:2]:
                assert all(len(p.partition(":")[2]) > 1 for p in now[name] or ())
        assert first.touched > 0
        assert ds.validate(strict=True)
        again = repair(ds, min_tfbs_len=shortest)
        assert (again.touched, again.changes, again.part) == (0, {}, None)
        assert (again.single_base, again.missing_detail) == (0, 0)
        assert read(ds) == after
        assert len(repairs(ds)) == 1


ROWS = [
    {"sequence": "ccTTGACAccTATAATgg", "plan": "sigma70_high",
     "tfbs_parts": ["LexA:GTCAAGG", "cpxr:C", "cpxR:tataatgg"]},
    {"sequence": "AAAACCGCGAAAAAAAAA", "plan": None, "tfbs_parts": ["lexA:GGGGGG"]},
    {"sequence": "ACACACACACACACGTGT", "plan": "sigma70_low", "tfbs_parts": ["lexA:ACACACAC"]},
]  # fmt: skip


def test_MNT_4_one_part_and_one_event_with_true_numbers(tmp_path):
    ds = make(tmp_path, ROWS)
    base = ds.records_path.read_bytes()
    before = set(files(ds))
    report = repair(ds, min_tfbs_len=6)
    assert (report.rows, report.with_parts, report.single_base) == (3, 3, 1)
    assert (report.missing_used_tfbs, report.missing_detail) == (3, 3)
    assert (report.nothing_found, report.single_tf, report.touched) == (1, 1, 3)
    assert report.changes["densegen__tfbs_parts"] == 3  # letters normalized, one part gone
    assert ds.records_path.read_bytes() == base, "only row drops rewrite the base"
    assert set(files(ds)) - before == {report.part}
    (event,) = repairs(ds)
    assert event["metrics"] == {
        "rows": 3, "touched": 3, "min_tfbs_len": 6, "rows_dropped": 0, "values_lost": 0,
    }  # fmt: skip
    assert event["args"]["min_tfbs_len"] == 6
    assert [f["path"] for f in event["artifacts"]["files"]] == [report.part]
    footer = pq.read_schema(ds.dir / report.part).metadata
    assert footer[b"usr:operation_id"].decode() == event["artifacts"]["operation_id"]
    assert "usr densegen repair densegen/demo --min-tfbs-len 6" in ds.meta_path.read_text()
    got = read(ds)
    assert got[0]["densegen__used_tfbs"] == ["lexa:GTCAAGG", "cpxr:TATAATGG"]
    assert got[1]["densegen__used_tfbs_detail"] == [
        {"offset": 3, "orientation": "fwd", "tf": "sigma70_mid_upstream", "tfbs": "ACCGCG"}
    ]
    assert ds.validate(strict=True)


def test_MNT_4_only_rows_and_columns_that_change_are_written(tmp_path):
    ds = make(tmp_path, ROWS)
    repair(ds)
    new = ds.add_sequences(["GGGGGGGGTATAATGG"], bio_type="dna", alphabet="dna_4").ids
    report = repair(ds)
    part = pq.read_table(ds.dir / report.part)
    assert part.column("id").to_pylist() == new
    assert "densegen__tfbs_parts" not in part.schema.names
    assert report.touched == 1


def test_MNT_4_dry_run_changes_no_byte_and_shows_three_rows(tmp_path):
    rows = [*ROWS, {"sequence": "GTGTGTGTGTGTGTGT", "plan": None, "tfbs_parts": ["a:GTGTGT"]}]
    ds = make(tmp_path, rows)
    before = files(ds)
    report = repair(ds, dry_run=True, dedupe="ask", drop_missing_used_tfbs=True)
    assert files(ds) == before
    assert report.dry_run
    assert report.part is None
    assert (report.touched, report.drops) == (3, {"missing_used_tfbs": 1})
    assert len(report.examples) == 3
    change = report.examples[0]["changes"]["densegen__used_tf_list"]
    assert change == {"before": None, "after": ["cpxr", "lexa"]}
    assert report.examples[1]["drop"] == "missing_used_tfbs"


def test_MNT_4_counts_keep_the_form_that_the_column_has(tmp_path):
    ds = make(tmp_path, ROWS, spec=FIELDS)
    repair(ds)
    counts = [r["densegen__used_tf_counts"] for r in read(ds)]
    assert counts == [{"cpxr": 1, "lexa": 1}, {"cpxr": 0, "lexa": 0}, {"cpxr": 0, "lexa": 1}]
    assert repair(ds).touched == 0
    assert ds.validate(strict=True)


def test_MNT_4_counts_of_another_form_than_registered_are_refused_before_writing(tmp_path):
    rows = [ROWS[0] | {"used_tf_counts": {"cpxr": 1, "lexa": 2}}]
    ds = make(tmp_path, rows, spec=FIELDS)
    with ds.maintenance("test"):
        ds.materialize(keep_overlays=False)
    kept = yaml.safe_load((tmp_path / "registry.yaml").read_text())
    column = kept["namespaces"]["densegen"]["columns"][-1]
    column["type"] = TYPES[column["name"]]
    (tmp_path / "registry.yaml").write_text(yaml.safe_dump(kept))
    before = files(ds)
    with pytest.raises(SchemaError, match="used_tf_counts"):
        repair(ds)
    assert files(ds) == before


def test_MNT_4_the_key_of_the_namespace_is_kept(tmp_path):
    ds = make(tmp_path, ROWS, key="sequence")
    report = repair(ds)
    assert pq.read_schema(ds.dir / report.part).names[0] == "sequence"
    assert repair(ds).touched == 0
    assert ds.validate(strict=True)


def test_MNT_4_used_sites_without_parts_are_not_lost(tmp_path):
    ds = make(tmp_path, [ROWS[0] | {"tfbs_parts": None, "used_tfbs": ["lexA:GTCAAGG"]}])
    repair(ds)
    (got,) = read(ds)
    assert got["densegen__used_tfbs"] == ["lexa:GTCAAGG"]
    assert got["densegen__tfbs_parts"] is None


def test_MNT_4_an_unknown_plan_gets_no_hexamers_and_is_counted(tmp_path):
    ds = make(tmp_path, [ROWS[0] | {"plan": "my_plan"}])
    assert repair(ds).unknown_plan == 1
    assert {d["tf"] for d in read(ds)[0]["densegen__used_tfbs_detail"]} == {"cpxr", "lexa"}


def test_MNT_4_needs_plan_parts_and_registered_columns(tmp_path):
    register_namespace(tmp_path, namespace="densegen", columns="plan:string")
    ds = Dataset.open(tmp_path, "densegen/demo")
    ds.init()
    ids = ds.add_sequences(["ACGT"], bio_type="dna", alphabet="dna_4").ids
    with pytest.raises(SchemaError, match="densegen__plan"):
        repair(ds)
    ds.write_overlay_part("densegen", [{"id": ids[0], "plan": "sigma70_mid"}])
    with pytest.raises(SchemaError, match="densegen__tfbs_parts"):
        repair(ds)
    spec = "plan:string,tfbs_parts:list<string>"
    register_namespace(tmp_path, namespace="densegen", columns=spec, overwrite=True)
    ds.write_overlay_part("densegen", [{"id": ids[0], "tfbs_parts": ["a:ACGTAC"]}])
    with pytest.raises(NamespaceError, match="used_tfbs"):
        repair(ds)
    assert not repairs(ds)


@pytest.mark.parametrize("length", [1, 0, -3, True, 2.5])
def test_MNT_4_a_length_that_would_keep_the_fault_is_refused(tmp_path, length):
    ds = make(tmp_path, ROWS)
    with pytest.raises(ValidationError, match="min_tfbs_len"):
        repair(ds, min_tfbs_len=length)


def test_MNT_4_an_unknown_dedupe_has_a_hint(tmp_path):
    with pytest.raises(ValidationError, match="keep-first"):
        repair(make(tmp_path, ROWS), dedupe="keep-firs")


# Dropping rows ---------------------------------------------------------------------------------

TWINS = [
    {"sequence": "acacacacacacgtgt", "created_at": "2026-01-02", "tfbs_parts": ["a:ACACACAC"]},
    {"sequence": "ACACACACACACGTGT", "created_at": "2026-01-01", "tfbs_parts": ["a:ACACACAC"]},
    {"sequence": "ACACACACACACGTGt", "created_at": "2026-01-02", "tfbs_parts": ["b:ACACACAC"]},
    {"sequence": "TTTTTTTTTTTTTTTT", "created_at": "2026-01-01",
     "tfbs_parts": ["a:TTTTTT", "b:TTTTTTT"]},
]  # fmt: skip


def ordered(ds: Dataset) -> list[str]:
    rows = [r for r in read(ds) if r["sequence"].upper() == TWINS[1]["sequence"]]
    return [r["sequence"] for r in sorted(rows, key=lambda r: (r["created_at"], r["id"]))]


@pytest.mark.parametrize(("keep", "place"), [("keep-first", 0), ("keep-last", -1)])
def test_MNT_4_dedupe_goes_by_time_then_id(tmp_path, keep, place):
    ds = make(tmp_path, TWINS)
    expected = ordered(ds)[place]
    report = repair(ds, dedupe=keep)
    assert (report.groups, report.drops, report.rows_dropped) == (1, {"duplicate": 2}, 2)
    left = [r["sequence"] for r in read(ds)]
    assert left == [s for s in (t["sequence"] for t in TWINS) if s in (expected, "T" * 16)]
    assert repair(ds, dedupe=keep).rows_dropped == 0
    assert ds.validate(strict=True)


def test_MNT_4_dropped_rows_leave_snapshot_list_and_no_tombstone(tmp_path):
    ds = make(tmp_path, ROWS)
    ids = [r["id"] for r in read(ds)]
    base = ds.records_path.read_bytes()
    report = repair(ds, drop_missing_used_tfbs=True)
    assert report.drops == {"missing_used_tfbs": 1}
    assert (ds.dir / report.snapshot).read_bytes() == base
    assert report.snapshot.endswith("-auto.parquet")
    assert dropped_ids(Layout(ds.dir)).to_pylist() == [ids[1]]
    assert [r["id"] for r in read(ds)] == [ids[0], ids[2]]
    assert report.touched == 2
    assert report.values_lost == {"densegen": 1}  # the parts; its plan was null
    (event,) = repairs(ds)
    assert event["metrics"]["rows"] == 2
    assert event["metrics"]["rows_dropped"] == 1
    assert event["artifacts"]["dropped_ids"] == report.dropped_ids
    assert {"records.parquet", report.part, report.snapshot, report.dropped_ids} <= {
        f["path"] for f in event["artifacts"]["files"]
    }
    assert event["fingerprint"]["rows"] == 2
    assert ds.validate(strict=True)


def test_MNT_4_rows_of_a_single_factor_are_dropped_on_request(tmp_path):
    ds = make(tmp_path, TWINS)
    report = repair(ds, drop_single_tf=True)
    assert report.drops == {"single_tf": 3}
    assert [r["sequence"] for r in read(ds)] == ["T" * 16]


def test_MNT_4_tombstoned_rows_are_mended_and_never_dropped(tmp_path):
    ds = make(tmp_path, TWINS)
    hidden = read(ds)[1]["id"]
    ds.tombstone(hidden)
    report = repair(ds, dedupe="keep-first", drop_single_tf=True)
    assert report.rows_dropped == 2
    rows = read(ds, include_deleted=True)
    kept = next(r for r in rows if r["id"] == hidden)
    assert kept["usr__deleted"]
    assert kept["densegen__used_tfbs"] == ["a:ACACACAC"]


def test_MNT_4_essentials_only_means_every_derived_column(tmp_path):
    ds = make(tmp_path, ROWS[:1])
    register_namespace(tmp_path, namespace="m", columns="x:float64,v:list<int64>,t:string")
    bare = ["ACCGCGTATAATGG", "GGGGGGGGGGGG", "CCCCCCCCCCCC"]
    ids = ds.add_sequences(bare, bio_type="dna", alphabet="dna_4").ids
    ds.write_overlay_part(
        "m", [{"id": ids[1], "x": 0.0, "v": None, "t": None},
              {"id": ids[2], "x": None, "v": [], "t": ""}])  # fmt: skip
    repair(ds)  # writes the hexamers of the default plan into the first bare row
    assert repair(ds, dry_run=True).id_seq_only == 2
    report = repair(ds, drop_id_seq_only=True)
    assert report.drops == {"id_seq_only": 2}
    assert [r["sequence"] for r in read(ds)] == [ROWS[0]["sequence"], bare[1]]


@pytest.mark.parametrize(("choice", "left"), [(1, [0]), (2, [1]), (0, []), ("s", [0, 1, 2])])
def test_MNT_4_ask_keeps_what_was_chosen(tmp_path, choice, left):
    ds = make(tmp_path, TWINS)
    order = ordered(ds)
    asked: list[RepairGroup] = []

    def choose(group: RepairGroup):
        asked.append(group)
        return choice

    report = repair(ds, dedupe="ask", choose=choose)
    assert [r.sequence for r in asked[0].rows] == order
    assert asked[0].sequence == TWINS[1]["sequence"]
    assert len(asked) == 1
    assert ordered(ds) == [order[i] for i in left]
    assert report.rows_dropped == 3 - len(left)


@pytest.mark.parametrize("choice", [4, -1, "x", None, True, 1.0])
def test_MNT_4_a_choice_that_is_none_is_refused(tmp_path, choice):
    ds = make(tmp_path, TWINS)
    before = files(ds)
    with pytest.raises(ValidationError, match="not a choice"):
        repair(ds, dedupe="ask", choose=lambda _: choice)
    assert files(ds) == before


def test_MNT_4_ask_needs_someone_to_ask(tmp_path):
    with pytest.raises(ValidationError, match="ask"):
        repair(make(tmp_path, TWINS), dedupe="ask")


def test_MNT_4_rows_that_come_while_one_is_asked_stop_the_repair(tmp_path):
    ds = make(tmp_path, TWINS)

    def choose(_: RepairGroup):
        ds.add_sequences(["AcACACACACACGTGT"], bio_type="dna", alphabet="dna_4")
        return 1

    with pytest.raises(StalePlanError):
        repair(ds, dedupe="ask", choose=choose)
    assert len(read(ds)) == 5
    assert not repairs(ds)


def test_MNT_4_twins_under_a_case_folding_key_are_deduped_and_mended_at_once(tmp_path):
    rows = [TWINS[0] | {"tfbs_parts": ["a:ACACACAC"]}, TWINS[3]]
    ds = make(tmp_path, rows, key="sequence_ci")
    ds.add_sequences(["ACACACACACACGTGT"], bio_type="dna", alphabet="dna_4")
    report = repair(ds, dedupe="keep-last")
    assert report.drops == {"duplicate": 1}
    assert repair(ds).touched == 0
    assert all(r["densegen__used_tfbs"] for r in read(ds))
    assert ds.validate(strict=True)
