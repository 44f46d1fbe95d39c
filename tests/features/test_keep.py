"""``keep=``: every column beside the essentials survives an import (contract IMP-1)."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from tests.dataset.kit import cells, last_event, parts, refused, tree
from tests.features.kit import by_sequence, fresh, ids, new, put, write_jsonl, write_xlsx
from usr_nb import SchemaError, ValidationError, load_registry

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
ODD = [
    " LLR (nats)",
    "Größe",
    "a/b",
    "a_b",
    "x",
    " x",
    "1st",
    "_y",
    "k__own",
    "other__z",
    "...",
    "",
]
# Legal names stay; of the others only legal letters are left, and none is taken twice.
FIELDS = ["LLR_nats", "Gr_e", "a_b_2", "a_b", "x", "x_2", "1st", "_y", "own", "other_z", "column",
          "column_2"]  # fmt: skip


def test_IMP_1_odd_column_names_are_kept_under_legal_ones(tmp_path) -> None:
    ds = new(fresh(tmp_path))
    row = {"sequence": "ACGT"} | {name: f"v{i}" for i, name in enumerate(ODD)}
    assert ds.import_rows(pa.table({k: [v] for k, v in row.items()}), keep="k") == 1
    assert ds.schema().names[7:] == [f"k__{f}" for f in FIELDS]
    assert [cells(ds, f"k__{f}") for f in FIELDS] == [[f"v{i}"] for i in range(len(ODD))]
    assert ds.validate().findings == []
    # The next file of that form lands in the same columns.
    ds.import_rows(pa.table({k: [v] for k, v in (row | {"sequence": "TTTT"}).items()}), keep="k")
    assert len(ds.schema().names) == 7 + len(ODD)
    assert cells(ds, "k__x") == ["v4", "v4"]


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=8), max_size=8,
                unique=True))  # fmt: skip
def test_IMP_1_fields_are_legal_different_and_stable(names) -> None:
    from usr_nb.contract.names import check_column
    from usr_nb.dataset.keeping import _fields

    found = _fields(names)
    assert len(set(found)) == len(names) == len(found)
    assert all(check_column("k", f"k__{f}") for f in found)
    assert found == _fields(names)
    assert _fields(found) == found


@pytest.mark.parametrize("fmt", ["csv", "tsv", "csv.gz", "jsonl", "xlsx", "parquet"])
def test_IMP_1_every_other_column_of_a_file_survives(tmp_path, fmt) -> None:
    import gzip

    root = fresh(tmp_path)
    path = root / f"a.{fmt}"
    rows = [("ACGT", "a b", "1"), ("TTTT", None, "2"), ("GGGG", 'q"x,\t', None)]
    if fmt == "jsonl":
        write_jsonl(path, [dict(zip(("sequence", "Note ", "n"), r, strict=True)) for r in rows])
    elif fmt == "xlsx":
        write_xlsx(path, [("sequence", "Note ", "n"), *rows])
    elif fmt == "parquet":
        table = pa.table(
            [list(c) for c in zip(*rows, strict=True)], names=["sequence", "Note ", "n"]
        )
        pq.write_table(table, path)
    else:
        frame = pd.DataFrame(rows, columns=["sequence", "Note ", "n"])
        text = frame.to_csv(sep="\t" if fmt == "tsv" else ",", index=False).encode()
        path.write_bytes(gzip.compress(text) if fmt.endswith("gz") else text)
    ds = new(root)
    plain = new(root, name="plain").__class__.open(root, "plain").import_file(path)
    assert plain.ignored_columns == ["Note ", "n"]
    done = ds.import_file(path, keep="k")
    assert (done.added, done.ignored_columns) == (3, [])
    assert cells(ds, "k__Note") == ["a b", None, 'q"x,\t']
    assert cells(ds, "k__n") == ["1", "2", None]
    event = last_event(ds, "import_rows")
    assert event["args"]["keep"] == "k"
    assert event["metrics"] == {"rows_written": 3, "rows_skipped": 0, "columns_kept": 2}
    assert "--keep k" in ds.meta_path.read_text()


def test_IMP_1_typed_tables_register_their_types(tmp_path) -> None:
    root = fresh(tmp_path)
    table = pa.table(
        {
            "sequence": ["ACGT", "TTTT"],
            "i": pa.array([1, None], pa.int32()),
            "l": pa.array([[1.0, None], None], pa.list_(pa.float32())),
            "v": pa.array([[1.0, 2.0], None], pa.list_(pa.float64(), 2)),
            "r": pa.array(
                [{"a": 1, "b": "x"}, None], pa.struct([("a", pa.int8()), ("b", pa.string())])
            ),
            "t": pa.array([NOON, None], pa.timestamp("ms", tz="UTC")),
            "h": pa.array(np.array([1.5, 2.5], np.float16)),
            "d": pa.array(["x", "y"]).dictionary_encode(),
            "nothing": pa.nulls(2),
        }
    )  # fmt: skip
    ds = new(root)
    ds.import_rows(table, keep="k")
    types = {c.name: c.type for c in load_registry(root)["k"].columns}
    assert types == {
        "k__i": "int32", "k__l": "list<float32>", "k__v": "fixed_size_list<float64>[2]",
        "k__r": "struct<a:int8,b:string>", "k__t": "timestamp[ms, UTC]", "k__h": "float16",
        "k__d": "string", "k__nothing": "string",
    }  # fmt: skip
    for name in table.schema.names[1:]:
        assert cells(ds, f"k__{name}") == table.column(name).to_pylist(), name
    for other in (pl.DataFrame({"sequence": ["GGGG"], "i": [7]}),
                  pd.DataFrame({"sequence": ["CCCC"], "i": [8]}),
                  [{"sequence": "AAAA", "i": 9}]):  # fmt: skip
        ds.import_rows(other, keep="k")
    assert cells(ds, "k__i")[2:] == [7, 8, 9]


def test_IMP_1_registered_types_drive_the_casting_of_kept_columns(tmp_path) -> None:
    root = fresh(tmp_path, k="n:int64,v:list<float64>,when:timestamp[us, UTC],s:string,ok:bool")
    path = root / "a.csv"
    path.write_text(
        'sequence,n,v,when,s,ok\nACGT,12.0,"[1, 2.5]",2026-03-01T12:00:00Z,NA,yes\nTTTT,,,,,\n'
    )
    ds = new(root)
    ds.import_file(path, keep="k")
    assert cells(ds, "k__n") == [12, None]
    assert cells(ds, "k__v") == [[1.0, 2.5], None]
    assert cells(ds, "k__when") == [NOON, None]
    assert cells(ds, "k__s") == ["NA", None]
    assert cells(ds, "k__ok") == [True, None]


def test_IMP_1_keeping_extends_a_namespace_and_leaves_its_old_overlays(tmp_path) -> None:
    root = fresh(tmp_path, k="old:float64")
    ds = new(root, ["ACGT"])
    put(ds, "k", {ids(["ACGT"])[0]: {"k__old": 1.5}})
    before = parts(ds, "k")
    entry = load_registry(root)["k"]
    ds.import_rows([{"sequence": "TTTT", "fresh": 7, "old": 2.5}], keep="k")
    assert [c.name for c in load_registry(root)["k"].columns] == ["k__old", "k__fresh"]
    assert load_registry(root)["k"].owner == entry.owner
    assert by_sequence(ds, "k__old") == {"ACGT": 1.5, "TTTT": 2.5}
    assert by_sequence(ds, "k__fresh") == {"ACGT": None, "TTTT": 7}
    assert set(before) < set(parts(ds, "k"))
    assert ds.validate(registry_mode="either").errors == []


BAD = {
    "a cell that does not fit": ([{"sequence": "TTTT", "x": "1", "new": 1},
                                  {"sequence": "CCCC", "x": "abc", "new": 2}], "row 2"),
    "a wrong letter": ([{"sequence": "TTXT", "x": "1", "new": 1}], "position 3"),
    "a missing sequence": ([{"sequence": "", "x": "1", "new": 1}], "row 1"),
    "an id that is there": ([{"sequence": "ACGT", "x": "1", "new": 1}], "already"),
    "a repeated row": ([{"sequence": "TTTT", "new": 1}] * 2, "rows 1, 2"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_IMP_1_a_refused_import_keeps_and_registers_nothing(tmp_path, case) -> None:
    root = fresh(tmp_path, k="x:float64")
    ds = new(root, ["ACGT"])
    rows, match = BAD[case]
    with refused(root, ValidationError, match=match):
        ds.import_rows(rows, keep="k")


def test_IMP_1_an_error_in_a_kept_cell_counts_rows_of_the_input(tmp_path) -> None:
    root = fresh(tmp_path, k="x:float64")
    ds = new(root, ["ACGT"])
    rows = [{"sequence": "ACGT", "x": "bad but skipped"}, {"sequence": "TTTT", "x": "1"},
            {"sequence": "CCCC", "x": "two"}]  # fmt: skip
    with refused(root, SchemaError, match=r"k__x', row 3: 'two'"):
        ds.import_rows(rows, keep="k", on_conflict="ignore")
    rows[2]["x"] = "2"
    assert ds.import_rows(rows, keep="k", on_conflict="ignore") == 2
    assert by_sequence(ds, "k__x") == {"ACGT": None, "TTTT": 1.0, "CCCC": 2.0}


def test_IMP_1_columns_that_no_type_holds_are_refused(tmp_path) -> None:
    root = fresh(tmp_path)
    ds = new(root)
    table = pa.table({"sequence": ["ACGT"], "m": pa.array([b"x"], pa.binary())})
    with refused(root, SchemaError, match="cannot be kept as 'k__m'"):
        ds.import_rows(table, keep="k")
    assert ds.import_rows(table) == 1


@pytest.mark.parametrize("name", ["usr", "usr_state", "Bad", "a__b", ""])
def test_REG_4_keep_needs_a_legal_namespace(tmp_path, name) -> None:
    root = fresh(tmp_path)
    ds = new(root, ["ACGT"])
    with refused(root, ValidationError):
        ds.import_rows([{"sequence": "TTTT", "n": 1}], keep=name)


def test_OVL_3_keep_refuses_a_namespace_of_another_key(tmp_path) -> None:
    root = fresh(tmp_path, k="x:float64")
    ds = new(root, ["ACGT"])
    put(ds, "k", {"ACGT": {"k__x": 1.0}}, key="sequence")
    with refused(root, SchemaError, match="keyed by 'sequence'"):
        ds.import_rows([{"sequence": "TTTT", "x": 1.0, "other": 3}], keep="k")


def test_IMP_1_ignored_columns_are_named_and_nothing_is_written_for_them(tmp_path) -> None:
    root = fresh(tmp_path)
    ds = new(root)
    done = ds.add_sequences(pa.table({"sequence": ["ACGT"], "B": [1], "a": [2], "source": ["s"]}),
                            bio_type="dna", alphabet="dna_4")  # fmt: skip
    assert done.ignored_columns == ["B", "a"]
    assert done.ids == ids(["ACGT"])
    assert cells(ds, "source") == ["s"]
    assert not any("_derived" in p for p in tree(ds.dir))
