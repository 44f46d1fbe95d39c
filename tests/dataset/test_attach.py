"""ATT: one part per attach; what is matched, cast, refused and counted."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings, strategies as st

from tests.dataset.kit import (
    FIELDS,
    IDS,
    SEQUENCES,
    base,
    cells,
    files,
    footer,
    last_event,
    new_dataset,
    new_root,
    nothing_changes,
    parts,
    raw_events,
    refused,
    tree,
    values,
)
from tests.overlay.test_merge import VALUES
from usr_nb import (
    Dataset,
    DuplicateIDError,
    NamespaceError,
    SchemaError,
    ValidationError,
    register_namespace,
)

METRICS = ["rows_incoming", "rows_matched", "rows_missing"]


def counts(ds: Dataset) -> list[int]:
    return [last_event(ds, "attach")["metrics"][m] for m in METRICS]


def write_forms(folder: Path, rows: list[dict]) -> dict[str, Path]:
    frame = pd.DataFrame(rows)
    frame.to_csv(folder / "a.csv", index=False)
    (folder / "a.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    pq.write_table(pa.Table.from_pylist(rows), folder / "a.parquet")
    return {s: folder / f"a.{s}" for s in ("csv", "jsonl", "parquet")}


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_ATT_1_csv_jsonl_and_parquet_give_one_part(ds, tmp_path, form) -> None:
    rows = [{"id": i, "n": k / 2, "i": k, "s": f"t{k}"} for k, i in enumerate(IDS)]
    path = write_forms(tmp_path, rows)[form]
    before = set(files(ds))
    assert ds.attach(path, "m") == 6
    new = set(files(ds)) - before
    assert len(new) == 1
    assert set(files(ds)) >= before
    assert cells(ds, "m__n") == [0, 0.5, 1, 1.5, 2, 2.5]
    assert cells(ds, "m__i") == list(range(6))
    assert cells(ds, "m__s") == [f"t{k}" for k in range(6)]


def test_ATT_1_three_verbs_append_and_none_rewrites(ds, tmp_path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"id,n\n{IDS[0]},1\n")
    ds.attach(path, "m")
    first = {p: p.read_bytes() for p in parts(ds)}
    ds.write_overlay("m", [{"id": IDS[0], "s": "x"}])
    second = {p: p.read_bytes() for p in parts(ds)}
    ds.write_overlay_part("m", [{"id": IDS[0], "n": 2.0}])
    assert len(first) == 1
    assert len(second) == 2
    assert len(parts(ds)) == 3
    for path, data in (first | second).items():
        assert path.read_bytes() == data
    actions = [e["action"] for e in raw_events(ds)][-3:]
    assert actions == ["attach", "attach", "write_overlay_part"]


def test_ATT_1_a_part_has_the_footer_of_OVL_2(ds) -> None:
    ds.write_overlay_part("m", pl.DataFrame({"sequence": SEQUENCES, "n": 1.0}), key="sequence")
    (path,) = parts(ds)
    meta = footer(path)
    assert meta[b"usr:overlay_namespace"] == b"m"
    assert meta[b"usr:overlay_key"] == b"sequence"
    at = meta[b"usr:overlay_created_at"].decode()
    assert path.name.startswith(f"part-{at.translate({ord(c): None for c in '-:.'})}-")
    assert pq.read_schema(path).names == ["sequence", "m__n"]


def test_ATT_1_columns_and_key_col_choose(ds, tmp_path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"who,n,i,zzz\n{IDS[1]},1.5,3,q\n")
    assert ds.attach(path, "m", key_col="who", columns=["n", "m__i"]) == 1
    assert (cells(ds, "m__n")[1], cells(ds, "m__i")[1]) == (1.5, 3)
    assert pq.read_schema(parts(ds)[0]).names == ["id", "m__n", "m__i"]
    with refused(ds.root, SchemaError, "zzz|nn"):
        ds.attach(path, "m", key_col="who", columns=["nn"])
    with refused(ds.root, SchemaError, "key column"):
        ds.attach(path, "m")


@pytest.mark.parametrize(
    "column", ["k__x", "sequence", "usr__deleted", "usr_state__masked", "length"]
)
def test_ATT_2_foreign_prefixes_and_essentials_are_refused(ds, column) -> None:
    with refused(ds.root, NamespaceError, column):
        ds.write_overlay("m", [{"id": IDS[0], column: 1}])


def test_ATT_2_unregistered_columns_are_refused_with_the_closest(ds) -> None:
    with refused(ds.root, NamespaceError, "m__nn"):
        ds.write_overlay("m", [{"id": IDS[0], "nn": 1}])
    with refused(ds.root, NamespaceError, "'q' is not registered"):
        ds.write_overlay("q", [{"id": IDS[0], "x": 1}])
    with refused(ds.root, SchemaError, "two columns|twice"):
        ds.write_overlay("m", [{"id": IDS[0], "n": 1, "m__n": 2}])


def test_ATT_2_values_are_cast_to_the_registered_type(ds, tmp_path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(
        "id,i,n,b,l,r,v,t,s\n"
        f'{IDS[0]},7,1,true,"[1, 2]","{{\'p\': 1}}","[0, 1]",2026-01-01,[1]\n'
        f"{IDS[1]},,,,,,,,\n"
        f'{IDS[2]},8.0,nan,0,[],"{{""q"": ""z""}}","[5, 6]",2026-01-01T01:00:00+01:00,NA\n'
    )
    assert ds.attach(path, "m") == 3
    found = {f: cells(ds, f"m__{f}")[:3] for f in FIELDS}
    assert found["i"] == [7, None, 8]
    assert found["b"] == [True, None, False]
    assert found["l"] == [[1.0, 2.0], None, []]
    assert found["r"] == [{"p": 1, "q": None}, None, {"p": None, "q": "z"}]
    assert found["v"] == [[0.0, 1.0], None, [5.0, 6.0]]
    assert found["s"] == ["[1]", None, "NA"]
    assert found["t"][0] == found["t"][2]
    assert ds.schema().field("m__i").type == pa.int64()


def test_ATT_2_a_cell_that_does_not_fit_names_column_row_value_and_type(ds, tmp_path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"id,i\n{IDS[0]},1\n{IDS[1]},\n{IDS[2]},x7\n")
    with refused(ds.root, SchemaError) as caught:
        ds.attach(path, "m")
    for word in ("m__i", "row 3", "'x7'", "int64", "a.csv"):
        assert word in caught.value.message


@pytest.mark.parametrize(
    ("key", "blank"),
    [("id", ""), ("id", None), ("sequence", ""), ("sequence", None), ("sequence", "  ")],
)
def test_ATT_3_missing_keys_are_errors_with_rows(ds, key, blank) -> None:
    full = IDS if key == "id" else SEQUENCES
    rows = [{key: full[0], "n": 1.0}, {key: blank, "n": 2.0}, {key: full[1], "n": 3.0}]
    with refused(ds.root, ValidationError, "row 2"):
        ds.write_overlay("m", rows, key=key)
    with refused(ds.root, ValidationError, "row 2"):
        ds.write_overlay("m", pd.DataFrame(rows), key=key, allow_missing=True)


def test_ATT_3_duplicate_keys_are_errors_with_rows(ds) -> None:
    rows = [{"id": i, "n": 1.0} for i in (IDS[0], IDS[1], IDS[0])]
    with refused(ds.root, DuplicateIDError, "1, 3"):
        ds.write_overlay("m", rows)
    twice = [{"sequence": s, "n": 1.0} for s in (SEQUENCES[0], f" {SEQUENCES[0]}\n")]
    with refused(ds.root, DuplicateIDError, "1, 2"):
        ds.write_overlay_part("m", twice, key="sequence")
    orphan = [{"id": "f" * 40, "n": 1.0}] * 2
    with refused(ds.root, DuplicateIDError):
        ds.write_overlay_part("m", orphan, allow_missing=True)


def test_ATT_3_unmatched_keys_need_leave_and_are_counted(ds) -> None:
    rows = [{"id": i, "n": 1.0} for i in ("a" * 40, IDS[4], "b" * 40)]
    with refused(ds.root, ValidationError, "2 of 3") as caught:
        ds.write_overlay("m", rows)
    assert "a" * 40 in caught.value.message
    assert "--allow-missing" in caught.value.hint
    assert ds.write_overlay("m", rows, allow_missing=True) == 1
    assert counts(ds) == [3, 1, 2]
    assert pq.read_table(parts(ds)[0]).num_rows == 1


def test_ATT_3_values_need_allow_overwrite_in_overlay_and_base(ds) -> None:
    ds.write_overlay("m", [{"id": IDS[0], "n": 1.0}])
    with refused(ds.root, ValidationError, "m__n") as caught:
        ds.write_overlay("m", [{"id": IDS[1], "n": 2.0}])
    assert "--allow-overwrite" in caught.value.hint
    ds.write_overlay("m", [{"id": IDS[0], "s": "other column"}])
    with ds.maintenance(reason="test"):
        ds.materialize(keep_overlays=False)
    with refused(ds.root, ValidationError, "m__n"):
        ds.write_overlay("m", [{"id": IDS[1], "n": 2.0}])
    ds.write_overlay("m", [{"id": IDS[0], "n": 5.0}], overwrite=True)
    assert cells(ds, "m__n")[:2] == [5.0, None]


def test_ATT_3_a_blank_cell_unsets_and_is_counted(ds, tmp_path) -> None:
    ds.write_overlay("m", [{"id": i, "n": 1.0, "s": "x"} for i in IDS[:4]])
    path = tmp_path / "a.csv"
    path.write_text(f"id,n,s\n{IDS[0]},,y\n{IDS[1]},2,\n{IDS[2]},3,z\n{IDS[5]},,\n")
    ds.attach(path, "m", allow_overwrite=True)
    assert cells(ds, "m__n") == [None, 2.0, 3.0, 1.0, None, None]
    assert cells(ds, "m__s") == ["y", None, "z", "x", None, None]
    metrics = last_event(ds, "attach")["metrics"]
    assert metrics["rows_unset"] == 2
    assert metrics["rows_overwritten"] == 3


def test_ATT_3_parts_have_no_guard_and_the_last_writer_wins(ds) -> None:
    for k in range(4):
        assert ds.write_overlay_part("m", [{"id": IDS[0], "n": float(k)}]) == 1
    assert cells(ds, "m__n")[0] == 3.0
    event = last_event(ds, "write_overlay_part")["metrics"]
    assert [event[k] for k in ("rows_incoming", "rows_written", "rows_missing")] == [1, 1, 0]


@pytest.mark.parametrize("namespace", ["usr", "usr_state"])
@pytest.mark.parametrize("verb", ["write_overlay", "write_overlay_part", "attach"])
def test_ATT_3_reserved_namespaces_are_refused(ds, namespace, verb) -> None:
    rows = [{"id": IDS[0], "masked": True}]
    with refused(ds.root, NamespaceError, "reserved") as caught:
        if verb == "attach":
            ds.attach(rows, namespace)
        else:
            getattr(ds, verb)(namespace, rows)
    assert "restore" in caught.value.hint or "state" in caught.value.hint


def test_ATT_4_text_for_lists_and_structs(ds, tmp_path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f'id,l\n{IDS[0]},"[1, 2]"\n{IDS[1]},"[1, oops]"\n')
    with refused(ds.root, SchemaError, "m__l.*row 2"):
        ds.attach(path, "m")
    path.write_text(f'id,l\n{IDS[0]},"[1, 2]"\n')
    with refused(ds.root, SchemaError, "m__l.*row 1"):
        ds.attach(path, "m", parse_json=False)
    assert ds.attach(path, "m") == 1


@settings(max_examples=15)
@given(
    st.lists(
        st.fixed_dictionaries({f: st.one_of(st.none(), VALUES[f]) for f in FIELDS}), max_size=6
    )
)
def test_ATT_5_duckdb_gives_what_pyarrow_gives(rows) -> None:
    from usr_nb.contract.types import parse_type

    with tempfile.TemporaryDirectory() as tmp:
        root = new_root(Path(tmp) / "root")
        columns = {"id": pa.array(IDS[: len(rows)], pa.string())}
        columns |= {f: pa.array([r[f] for r in rows], parse_type(t)) for f, t in FIELDS.items()}
        path = Path(tmp) / "a.parquet"
        pq.write_table(pa.table(columns), path)
        one, two = new_dataset(root, "a/one"), new_dataset(root, "a/two")
        for ds, backend in ((one, "pyarrow"), (two, "duckdb")):
            matched = ds.attach(path, "m", backend=backend, parse_json=False)
            assert matched == len(rows)
        assert len(parts(one)) == len(parts(two)) == bool(rows)
        for a, b in zip(parts(one), parts(two), strict=True):
            assert pq.read_schema(a).remove_metadata() == pq.read_schema(b).remove_metadata()
        first, second = values(one), values(two)
        first.pop("created_at")
        second.pop("created_at")
        assert first == second


def test_ATT_5_duckdb_reads_parquet_without_parsing_only(ds, tmp_path) -> None:
    rows = [{"id": IDS[0], "n": 1.0}]
    forms = write_forms(tmp_path, rows)
    for source, how in ((forms["csv"], False), (forms["parquet"], True), (rows, False)):
        with refused(ds.root, ValidationError, "duckdb"):
            ds.attach(source, "m", backend="duckdb", parse_json=how)
    starred = tmp_path / "a[1].parquet"
    starred.write_bytes(forms["parquet"].read_bytes())
    (tmp_path / "a1.parquet").write_bytes(b"another file, which the pattern a[1] would find")
    assert ds.attach(starred, "m", backend="duckdb", parse_json=False) == 1
    with refused(ds.root, ValidationError, "backend"):
        ds.attach(forms["parquet"], "m", backend="spark")
    with refused(ds.root, Exception, "none.parquet"):
        ds.attach(tmp_path / "none.parquet", "m", backend="duckdb", parse_json=False)


def test_ATT_6_returns_and_records_what_matched(ds) -> None:
    rows = [{"sequence": s, "n": 1.0} for s in [*SEQUENCES[:3], "AAAAAA"]]
    assert ds.write_overlay("m", rows, key="sequence", allow_missing=True) == 3
    assert counts(ds) == [4, 3, 1]


def test_ATT_7_nothing_to_write_writes_nothing(ds, root) -> None:
    empty = pa.table({"id": pa.array([], pa.string()), "n": pa.array([], pa.float64())})
    none = pa.table({"id": IDS})
    orphans = [{"id": "f" * 40, "n": 1.0}]
    with nothing_changes(root):
        assert ds.write_overlay("m", empty) == 0
        assert ds.write_overlay_part("m", empty) == 0
        assert ds.write_overlay("m", none) == 0
        assert ds.write_overlay_part("m", none) == 0
        assert ds.write_overlay_part("m", orphans, allow_missing=True) == 0


@pytest.mark.parametrize("key", ["sequence", "sequence_norm", "sequence_ci"])
def test_OVL_3_sequence_keys_are_trimmed_and_named(root, key) -> None:
    ds = new_dataset(root, "ns/keys", ["ACGT", "ccgg"])
    given = ["\u00a0acgt\t", "CCGG "] if key == "sequence_ci" else ["\u00a0ACGT\t", "ccgg "]
    column = "sequence" if key != "sequence_norm" else key
    rows = [{column: g, "n": float(k)} for k, g in enumerate(given)]
    assert ds.write_overlay("m", rows, key=key) == 2
    assert cells(ds, "m__n") == [0.0, 1.0]
    stored = pq.read_table(parts(ds)[0])
    assert stored.schema.names == [key, "m__n"]
    assert stored.column(0).to_pylist() == [
        g.strip().upper() if key == "sequence_ci" else g.strip() for g in given
    ]
    if key != "sequence_ci":
        with refused(root, ValidationError, "not in the dataset"):
            ds.write_overlay("k", [{"sequence": "acgt", "x": 1.0}], key=key)


def test_OVL_3_sequence_keys_need_one_bio_type_and_unique_rows(root) -> None:
    ds = new_dataset(root, "ns/two", ["ACG"])
    ds.import_rows(["ACG"], "rna", "rna_4")
    with refused(root, ValidationError, "single bio_type"):
        ds.write_overlay("m", [{"sequence": "ACG", "n": 1.0}], key="sequence")
    mixed = new_dataset(root, "ns/mixed", ["ACG", "acg", "TTT"])
    with refused(root, ValidationError, "several|unique"):
        mixed.write_overlay("m", [{"sequence": "ACG", "n": 1.0}], key="sequence_ci")
    five = new_dataset(root, "ns/five", ["ACG"])
    five.import_rows(["ACN"], "dna", "dna_5")
    with refused(root, ValidationError, "dna_4"):
        five.write_overlay("m", [{"sequence": "ACG", "n": 1.0}], key="sequence_ci")


def test_OVL_3_a_later_import_never_makes_an_overlay_unreadable(root) -> None:
    ds = new_dataset(root, "ns/later", ["ACG", "TTT"])
    ds.write_overlay("m", [{"sequence": "acg", "n": 1.0}], key="sequence_ci")
    ds.import_rows(["acg"])
    ds.import_rows(["ACN"], "dna", "dna_5")
    ds.import_rows(["ACG"], "rna", "rna_4")
    assert cells(ds, "m__n")[:3] == [1.0, None, 1.0]
    assert len(cells(ds, "m__n")) == 5


def test_OVL_3_one_key_per_namespace(ds) -> None:
    ds.write_overlay("m", [{"id": IDS[0], "n": 1.0}])
    with refused(ds.root, SchemaError, "keyed by 'id'"):
        ds.write_overlay_part("m", [{"sequence": SEQUENCES[0], "n": 1.0}], key="sequence")
    with refused(ds.root, SchemaError):
        ds.write_overlay("k", [{"id": IDS[0], "x": 1.0}], key="name")


def test_OVL_5_a_slow_clock_cannot_lose_a_write(ds, monkeypatch) -> None:
    from datetime import UTC, datetime

    from usr_nb.overlay import parts as module

    times = [datetime(2030, 1, 1, tzinfo=UTC), datetime(2020, 1, 1, tzinfo=UTC),
             datetime(2020, 1, 1, tzinfo=UTC)]  # fmt: skip
    for k, at in enumerate(times):
        monkeypatch.setattr(module, "utc_now", lambda at=at: at)
        ds.write_overlay_part("m", [{"id": IDS[0], "n": float(k)}])
        assert cells(ds, "m__n")[0] == float(k)
    stamps = sorted(footer(p)[b"usr:overlay_created_at"].decode() for p in parts(ds))
    assert stamps == [f"2030-01-01T00:00:00.00000{k}Z" for k in range(3)]


def test_ATT_8_match_by_any_unique_column(ds, root) -> None:
    register_namespace(root, namespace="meta", columns="name:string,tags:list<string>")
    names = ["alpha", "beta", "gamma", "delta", "beta2", None]
    ds.write_overlay("meta", [{"id": i, "name": n, "tags": [n, f"x_{n}"] if n else None}
                              for i, n in zip(IDS, names, strict=True)])  # fmt: skip
    rows = [{"name": "gamma", "n": 3.0}, {"name": " alpha ", "n": 1.0}]
    assert ds.attach(rows, "m", match="meta__name", key_col="name") == 2
    assert cells(ds, "m__n") == [1.0, None, 3.0, None, None, None]
    assert pq.read_schema(parts(ds)[0]).names == ["id", "m__n"]
    assert footer(parts(ds)[0])[b"usr:overlay_key"] == b"id"
    with refused(root, ValidationError, "not in the dataset"):
        ds.attach([{"name": "omega", "s": "z"}], "m", match="meta__name", key_col="name")
    assert ds.attach([{"t": "x_delta", "x": 4.0}], "k", match="meta__tags", key_col="t") == 1
    assert cells(ds, "k__x")[3] == 4.0


def test_ATT_8_a_name_that_fits_several_records_is_refused(ds, root) -> None:
    register_namespace(root, namespace="meta", columns="name:string")
    ds.write_overlay("meta", [{"id": i, "name": "same"} for i in IDS[:2]])
    with refused(root, ValidationError, "same"):
        ds.attach([{"name": "same", "n": 3.0}], "m", match="meta__name", key_col="name")


def test_ATT_8_aggregate_folds_repeated_keys(root) -> None:
    register_namespace(root, namespace="rep", columns="v:float64,n:int64,w:list<float64>,s:string")
    ds = new_dataset(root, "ns/agg", ["AAAA", "CCCC", "GGGG"])
    ids = cells(ds, "id")
    measured = [(0, 1.0), (1, 5.0), (0, 2.0), (0, None), (0, 6.0), (2, None)]
    rows = [{"id": ids[k], "v": v} for k, v in measured]
    wanted = {"mean": [3.0, 5.0, None], "median": [2.0, 5.0, None], "first": [1.0, 5.0, None]}
    with refused(root, DuplicateIDError):
        ds.attach(rows, "rep")
    for how, result in wanted.items():
        matched = ds.attach(rows, "rep", aggregate=how, allow_overwrite=True)
        assert matched == 6
        assert cells(ds, "rep__v") == result, how
        assert cells(ds, "rep__n") == [4, 1, 1]
        metrics = last_event(ds, "attach")["metrics"]
        assert [metrics[m] for m in METRICS] == [6, 6, 0]
    lists = [{"id": r["id"], "w": r["v"]} for r in rows]
    ds.attach(lists, "rep", aggregate="list", allow_overwrite=True)
    assert cells(ds, "rep__w") == [[1.0, 2.0, None, 6.0], [5.0], [None]]
    with refused(root, ValidationError, "sum"):
        ds.attach(rows, "rep", aggregate="sum", allow_overwrite=True)


def test_ATT_8_a_messy_sheet_gives_hand_computed_counts(root, tmp_path) -> None:
    register_namespace(root, namespace="plate", columns="od:float64,n:int64")
    register_namespace(root, namespace="bar", columns="code:string")
    ds = new_dataset(root, "ns/messy", ["AAAA", "CCCC", "GGGG"])
    codes = ["BC01", "BC02", "BC03"]
    ds.write_overlay(
        "bar", [{"id": i, "code": c} for i, c in zip(cells(ds, "id"), codes, strict=True)]
    )
    sheet = pd.DataFrame(
        {"barcode": ["BC01", " BC01", "BC02 ", "BC99", "BC02"], "od": [0.1, 0.3, 1.0, 9.9, None]}
    )
    sheet.to_excel(tmp_path / "messy.xlsx", index=False)
    matched = ds.attach(tmp_path / "messy.xlsx", "plate", match="bar__code", key_col="barcode",
                        aggregate="mean", allow_missing=True)  # fmt: skip
    assert matched == 4
    assert cells(ds, "plate__od") == [pytest.approx(0.2), 1.0, None]
    assert cells(ds, "plate__n") == [2, 2, None]
    assert counts(ds) == [5, 4, 1]


def test_ATT_1_a_failed_attach_leaves_no_file(ds, tmp_path) -> None:
    (tmp_path / "a.csv").write_text(f"id,n\n{IDS[0]},1\n{IDS[1]}\n")
    before = tree(ds.dir)
    for bad in (tmp_path / "a.csv", tmp_path / "none.csv", tmp_path, 5, "a.xyz"):
        with pytest.raises(Exception, match=r".") as caught:
            ds.attach(bad, "m")
        assert type(caught.value).__module__ == "usr_nb.errors", caught.value
    assert tree(ds.dir) == before
    assert base(ds).num_rows == 6
