"""``legacy convert``: entries in memory here, real ``.pt`` files in test_legacy_files (MNT-4)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, strategies as st

from usr_nb import Dataset, list_datasets, load_registry, register_namespace
from usr_nb.errors import (
    AlphabetError,
    AlreadyExists,
    PathNotFound,
    SchemaError,
    SequencesError,
    ValidationError,
)
from usr_nb.tools import legacy
from usr_nb.tools.densegen import repair
from usr_nb.tools.densegen.survey import COUNTS_AS_FIELDS
from usr_nb.tools.legacy_cells import CONVERTED, LOGITS, Reader, densegen_cells

FULL: dict[str, Any] = {
    "sequence": "ACGTACGTAC",
    "meta_compression_ratio": 1.5,
    "diverse_solution": True,
    "meta_gap_fill": True,
    "meta_gap_fill_details": {"fill_gap": 7, "fill_end": "5prime", "fill_gc_range": (0.4, 0.6)},
    "plan": "sigma70_high",
    "sequence_length": 10,
    "solver": "CBC",
    "meta_tfbs_parts": ["LexA:CTGT", "cpxR:ACGT", "cpxR:TTTT"],
    "meta_tfbs_parts_in_array": ["cpxR:ACGT"],
    "meta_sequence_visual": "--> ACGT",
    "fixed_elements": {"promoter_constraints": [{"name": "sigma70"}, {"name": "other"}]},
    "evo2_logits_mean_pooled": np.arange(512, dtype=np.float32).reshape(1, 512),
}


@pytest.fixture
def pt(tmp_path, monkeypatch):
    """Write `.pt` files whose content comes from memory; returns a function name → content."""
    held: dict[Path, object] = {}
    monkeypatch.setattr(legacy, "load_pt", lambda path: held[path])

    def write(name: str, content: object) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"stand-in")
        held[path] = content
        return path

    return write


def rows(root: Path, name: str = "densegen/old") -> list[dict[str, Any]]:
    return pa.Table.from_batches(list(Dataset.open(root, name).scan())).to_pylist()


def files(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def test_MNT_4_every_key_becomes_its_column(tmp_path, pt):
    path = pt("run.pt", [FULL])
    root = tmp_path / "root"
    report = legacy.convert(root, "densegen/old", [path], expected_length=10)
    (row,) = rows(root)
    assert (row["sequence"], row["bio_type"], row["alphabet"]) == ("ACGTACGTAC", "dna", "dna_4")
    assert row["source"] == str(path)
    got = {n.removeprefix("densegen__"): v for n, v in row.items() if n.startswith("densegen__")}
    assert got == {
        "compression_ratio": 1.5, "diverse": True, "gap_fill_used": True, "gap_fill_bases": 7.0,
        "gap_fill_end": "5prime", "gap_fill_gc_min": 0.4, "gap_fill_gc_max": 0.6,
        "plan": "sigma70_high", "sequence_length": 10, "solver": "CBC",
        "tfbs_parts": ["LexA:CTGT", "cpxR:ACGT", "cpxR:TTTT"], "used_tfbs": ["cpxR:ACGT"],
        "used_tf_list": ["cpxr"], "used_tf_counts": [{"tf": "cpxr", "count": 1}],
        "visual": "--> ACGT", "promoter_constraint": "sigma70",
    }  # fmt: skip
    assert row[LOGITS] == [float(i) for i in range(512)]
    assert LOGITS == "infer__evo2_7b__60bp_dual_promoter_cpxR_LexA__logits_mean"
    schema = Dataset.open(root, "densegen/old").schema()
    assert schema.field(LOGITS).type == pa.list_(pa.float64())
    types = {n: str(schema.field(f"densegen__{n}").type) for n in ("gap_fill_bases", "diverse")}
    assert types == {"gap_fill_bases": "double", "diverse": "bool"}
    assert set(report.columns) == {n for n in row if "__" in n}
    assert Dataset.open(root, "densegen/old").validate(strict=True)


def test_MNT_4_an_entry_with_nothing_but_its_sequence_has_nulls(tmp_path, pt):
    legacy.convert(
        tmp_path, "densegen/old", [pt("a.pt", [{"sequence": "ACGT"}])], expected_length=4
    )
    (row,) = rows(tmp_path)
    assert {v for n, v in row.items() if n.startswith("densegen__")} == {None}
    assert LOGITS not in row
    assert "infer" not in load_registry(tmp_path)


def test_MNT_4_parts_in_the_array_stand_in_for_missing_parts():
    cells = densegen_cells({"meta_tfbs_parts_in_array": ["a:CC"]}, plan=None, where="x")
    assert cells["densegen__tfbs_parts"] == cells["densegen__used_tfbs"] == ["a:CC"]
    cells = densegen_cells({"meta_tfbs_parts": ["a:CC", "B:GG"]}, plan="p", where="x")
    assert cells["densegen__used_tfbs"] is None
    assert cells["densegen__used_tf_list"] == ["a", "b"]
    assert cells["densegen__plan"] == "p"


def test_MNT_4_the_first_of_equal_sequences_wins_and_lengths_are_counted(tmp_path, pt):
    one = pt("in/b.pt", [{"sequence": "acgtACGT", "solver": "second"}, {"sequence": "ACG"}])
    two = pt("in/a.pt", [{"sequence": " ACGTACGT ", "solver": "first"}, {"sequence": "GGGGCCCC"}])
    pt("in/notes.txt", None)
    three = pt("c.pt", [{"sequence": "GGGGCCCC", "solver": "third"}, {"sequence": "AAAATTTT"}])
    report = legacy.convert(
        tmp_path / "root", "densegen/old", [tmp_path / "in", three], expected_length=8
    )
    assert (report.files, report.entries, report.rows) == (3, 6, 3)
    assert (report.skipped_length, report.duplicates) == (1, 2)
    got = rows(tmp_path / "root")
    assert [(r["sequence"], r["source"]) for r in got] == [
        ("ACGTACGT", str(two)), ("GGGGCCCC", str(two)), ("AAAATTTT", str(three)),
    ]  # fmt: skip
    assert got[0]["densegen__solver"] == "first"
    assert one.is_file()


def test_MNT_4_convert_is_one_commit_with_one_true_event(tmp_path, pt):
    entries = [FULL, {"sequence": "A"}, {"sequence": "acgtacgtac"}]
    path = pt("a.pt", entries)
    legacy.convert(tmp_path, "densegen/old", [path], expected_length=10, plan="sigma70_low")
    ds = Dataset.open(tmp_path, "densegen/old")
    assert [e["action"] for e in ds.events()] == ["init", "registry_freeze", "convert_legacy"]
    event = ds.events()[-1]
    assert event["metrics"] == {
        "files": 1, "entries": 3, "rows_written": 1, "rows_skipped_length": 1,
        "rows_skipped_duplicate": 1,
    }  # fmt: skip
    assert event["args"] == {
        "paths": [str(path)], "expected_length": 10, "plan": "sigma70_low", "force": False,
        "profile_60bp": True,
    }  # fmt: skip
    written = [f["path"].partition("/part-")[0] for f in event["artifacts"]["files"]]
    assert written[::2] == ["records.parquet", "meta.md", "_derived/infer"]
    assert written[1].startswith("_registry/registry.")
    assert written[3] == "_derived/densegen"
    assert rows(tmp_path)[0]["densegen__plan"] == "sigma70_low"


def test_MNT_4_without_the_profile_there_are_no_logits(tmp_path, pt):
    report = legacy.convert(
        tmp_path, "densegen/old", [pt("a.pt", [FULL])], expected_length=10, profile_60bp=False
    )
    assert LOGITS not in rows(tmp_path)[0]
    assert "infer" not in load_registry(tmp_path)
    assert not any(c.startswith("infer") for c in report.registered)


def test_MNT_4_namespaces_are_registered_if_absent_and_never_cut(tmp_path, pt):
    register_namespace(
        tmp_path, namespace="densegen", columns=f"mine:int8,used_tf_counts:{COUNTS_AS_FIELDS}",
        owner="me",
    )  # fmt: skip
    report = legacy.convert(tmp_path, "densegen/old", [pt("a.pt", [FULL])], expected_length=10)
    entry = load_registry(tmp_path)["densegen"]
    assert entry.column_names[:2] == ("densegen__mine", "densegen__used_tf_counts")
    assert entry.owner == "me"
    assert "densegen__used_tf_counts" not in report.registered
    assert "densegen__used_tfbs_detail" in report.registered
    assert rows(tmp_path)[0]["densegen__used_tf_counts"] == {"cpxr": 1, "lexa": 0}


def test_MNT_4_a_converted_dataset_can_be_repaired(tmp_path, pt):
    legacy.convert(tmp_path, "densegen/old", [pt("a.pt", [FULL])], expected_length=10)
    ds = Dataset.open(tmp_path, "densegen/old")
    assert repair(ds, min_tfbs_len=4).touched == 1
    assert rows(tmp_path)[0]["densegen__used_tfbs"] == ["cpxr:ACGT"]
    assert repair(ds, min_tfbs_len=4).touched == 0


def test_MNT_4_force_archives_the_old_dataset(tmp_path, pt):
    path = pt("a.pt", [FULL])
    legacy.convert(tmp_path, "densegen/old", [path], expected_length=10)
    with pytest.raises(AlreadyExists, match="densegen/old"):
        legacy.convert(tmp_path, "densegen/old", [path], expected_length=10)
    other = pt("b.pt", [{"sequence": "GGGG"}])
    report = legacy.convert(tmp_path, "densegen/old", [other], expected_length=4, force=True)
    assert report.archived == "_archive/densegen/old"
    assert (tmp_path / report.archived / "records.parquet").is_file()
    assert [r["sequence"] for r in rows(tmp_path)] == ["GGGG"]


BAD = [
    ({"sequence": "ACGN"}, AlphabetError, "letter 'N' at position 4"),
    ({"sequence": None}, ValidationError, "entry 2"),
    ("ACGT", ValidationError, "entry 2"),
    ({"meta_compression_ratio": "x"}, SchemaError, "meta_compression_ratio"),
    ({"meta_compression_ratio": True}, SchemaError, "meta_compression_ratio"),
    ({"meta_compression_ratio": 10**400}, SchemaError, "meta_compression_ratio"),
    ({"diverse_solution": 1}, SchemaError, "diverse_solution"),
    ({"sequence_length": 2**63}, SchemaError, "sequence_length"),
    ({"sequence_length": float("nan")}, SchemaError, "sequence_length"),
    ({"solver": b"CBC"}, SchemaError, "solver"),
    ({"solver": "\ud800"}, SchemaError, "solver"),
    ({"meta_tfbs_parts": "a:CC"}, SchemaError, "meta_tfbs_parts"),
    ({"meta_tfbs_parts": ["a:CC", None]}, SchemaError, "meta_tfbs_parts"),
    ({"meta_gap_fill_details": [1]}, SchemaError, "meta_gap_fill_details"),
    ({"meta_gap_fill_details": {"fill_gc_range": [1]}}, SchemaError, "fill_gc_range"),
    ({"fixed_elements": {"promoter_constraints": {}}}, SchemaError, "promoter_constraints"),
    ({"fixed_elements": {"promoter_constraints": [3]}}, SchemaError, "promoter_constraints.0"),
    ({"evo2_logits_mean_pooled": [1.0] * 511}, SchemaError, "512"),
    ({"evo2_logits_mean_pooled": np.zeros((2, 512))}, SchemaError, "512"),
    ({"evo2_logits_mean_pooled": [[1.0], 2]}, SchemaError, "512"),
    ({"evo2_logits_mean_pooled": "x"}, SchemaError, "512"),
]


@pytest.mark.parametrize(("body", "error", "message"), BAD)
def test_MNT_4_a_bad_entry_is_named_and_nothing_is_written(tmp_path, pt, body, error, message):
    whole = {"sequence": "ACGT", **body} if isinstance(body, dict) else body
    path = pt("in/a.pt", [{"sequence": "GGCC"}, whole])
    root = tmp_path / "root"
    with pytest.raises(error, match=message) as told:
        legacy.convert(root, "densegen/old", [path], expected_length=4)
    assert "a.pt, entry 2" in str(told.value)
    assert not root.exists()


def test_MNT_4_a_failure_leaves_the_old_dataset_in_place(tmp_path, pt):
    legacy.convert(tmp_path, "densegen/old", [pt("a.pt", [FULL])], expected_length=10)
    before = rows(tmp_path)
    for content in ([{"sequence": "AXAX"}], {"sequence": "ACGT"}, [], [{"sequence": "A"}]):
        with pytest.raises(ValidationError):
            legacy.convert(
                tmp_path, "densegen/old", [pt("b.pt", content)], expected_length=4, force=True
            )
    assert rows(tmp_path) == before
    assert not (tmp_path / "_archive").exists()


def test_MNT_4_values_that_do_not_fit_the_registered_type_stop_before_archiving(tmp_path, pt):
    register_namespace(tmp_path, namespace="densegen", columns="compression_ratio:int64")
    ds = Dataset.open(tmp_path, "densegen/old")
    ds.init()
    with pytest.raises(SchemaError, match="densegen__compression_ratio"):
        legacy.convert(
            tmp_path, "densegen/old", [pt("a.pt", [FULL])], expected_length=10, force=True
        )
    assert list_datasets(tmp_path) == ["densegen/old"]
    assert not (tmp_path / "_archive").exists()


def test_MNT_4_counts_of_an_unknown_form_are_refused(tmp_path, pt):
    register_namespace(tmp_path, namespace="densegen", columns="used_tf_counts:int64")
    with pytest.raises(SchemaError, match="used_tf_counts"):
        legacy.convert(tmp_path, "densegen/old", [pt("a.pt", [FULL])], expected_length=10)
    assert list_datasets(tmp_path) == []


def test_MNT_4_paths_are_checked_first(tmp_path, pt):
    (tmp_path / "empty").mkdir()
    for path, error in (
        (tmp_path / "gone.pt", PathNotFound),
        (tmp_path / "empty", PathNotFound),
        (pt("a.csv", []), ValidationError),
    ):
        with pytest.raises(error, match=path.name):
            legacy.convert(tmp_path / "root", "densegen/old", [path])
    with pytest.raises(ValidationError, match="No file"):
        legacy.convert(tmp_path / "root", "densegen/old", [])
    assert not (tmp_path / "root").exists()


@pytest.mark.parametrize("options", [{"expected_length": 0}, {"plan": " "}])
def test_MNT_4_options_of_convert_are_checked(tmp_path, pt, options):
    with pytest.raises(ValidationError, match=next(iter(options))):
        legacy.convert(tmp_path / "root", "densegen/old", [pt("a.pt", [FULL])], **options)


def test_MNT_4_one_file_named_twice_is_read_once(tmp_path, pt):
    path = pt("in/a.pt", [])
    assert legacy.pt_files([path, tmp_path / "in", path]) == [path]


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4) | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)
keys = [k for k in FULL if k != "sequence"]


@given(st.dictionaries(st.sampled_from(keys), values))
def test_MNT_4_any_entry_is_read_or_refused_with_a_typed_error(body):
    told = ""
    try:
        cells = densegen_cells(body, plan=None, where="x.pt, entry 1")
        Reader(body, "x.pt, entry 1").logits()
    except SequencesError as error:
        told = str(error)
    assert "x.pt, entry 1" in told or set(CONVERTED) == set(cells)
