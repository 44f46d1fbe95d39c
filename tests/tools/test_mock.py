"""``dev make-mock`` and ``dev add-demo-cols`` (MNT-4)."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from usr_nb import Dataset, list_datasets, register_namespace
from usr_nb.errors import (
    AlphabetError,
    AlreadyExists,
    NamespaceError,
    PathNotFound,
    SchemaError,
    ValidationError,
)
from usr_nb.tools.mock import add_demo_cols, make_mock, random_sequences

SPEC = "x_representation:list<float32>,label_vec8:list<float32>"
X, Y = "demo__x_representation", "demo__label_vec8"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    register_namespace(tmp_path, namespace="demo", columns=SPEC)
    return tmp_path


def rows(root: Path, name: str = "demo/mock") -> list[dict[str, Any]]:
    return pa.Table.from_batches(list(Dataset.open(root, name).scan())).to_pylist()


def events(ds: Dataset, action: str) -> list[dict[str, Any]]:
    return [e for e in ds.events() if e["action"] == action]


def files(folder: Path) -> list[str]:
    return sorted(
        p.relative_to(folder).as_posix()
        for p in folder.rglob("*")
        if p.is_file() and "_txn" not in p.parts and p.name != ".usr.lock"
    )


def test_MNT_4_mock_rows_have_the_two_columns(root):
    report = make_mock(root, "demo/mock", n=40, length=30, x_dim=16, y_dim=5)
    assert (report.rows, report.columns, report.archived) == (40, (X, Y), None)
    got = rows(root)
    assert len({r["sequence"] for r in got}) == 40
    assert {(len(r["sequence"]), len(r[X]), len(r[Y])) for r in got} == {(30, 16, 5)}
    assert all(0 <= v < 1 for r in got for v in r[Y])
    xs = [v for r in got for v in r[X]]
    assert statistics.mean(xs) == pytest.approx(-20, abs=0.7)
    assert statistics.stdev(xs) == pytest.approx(4, abs=0.5)
    assert Dataset.open(root, "demo/mock").validate(strict=True)


def test_MNT_4_mock_is_one_commit_with_one_true_event(root):
    make_mock(root, "demo/mock", n=4, x_dim=2)
    ds = Dataset.open(root, "demo/mock")
    assert [e["action"] for e in ds.events()] == ["init", "registry_freeze", "make_mock"]
    (event,) = events(ds, "make_mock")
    assert event["metrics"] == {"rows": 4, "rows_skipped": 0, "x_dim": 2, "y_dim": 8}
    assert event["args"]["seed"] == 7
    assert event["fingerprint"]["rows"] == 4
    installed = [f["path"].partition("/part-")[0] for f in event["artifacts"]["files"]]
    assert installed[::2] == ["records.parquet", "meta.md"]
    assert installed[1].startswith("_registry/registry.")
    assert installed[3:] == ["_derived/demo"]
    assert {e["artifacts"]["operation_id"] for e in ds.events()} == {
        event["artifacts"]["operation_id"]
    }
    assert "usr dev make-mock demo/mock --n 4" in ds.meta_path.read_text()


def test_MNT_4_the_same_seed_makes_the_same_dataset(root):
    for name, seed in (("a", 7), ("b", 7), ("c", 8)):
        make_mock(root, f"demo/{name}", n=5, x_dim=3, seed=seed)
    a, b, c = ([(r["id"], r[X], r[Y]) for r in rows(root, f"demo/{n}")] for n in ("a", "b", "c"))
    assert a == b
    assert not {i for i, _, _ in a} & {i for i, _, _ in c}
    assert a[0][1] != c[0][1]


def test_MNT_4_unregistered_namespace_is_refused_before_anything_is_written(root):
    before = files(root)
    with pytest.raises(NamespaceError, match="'other' is not registered"):
        make_mock(root, "demo/mock", namespace="other", force=True)
    register_namespace(root, namespace="half", columns="x_representation:list<float32>")
    with pytest.raises(NamespaceError, match="half__label_vec8"):
        make_mock(root, "demo/mock", namespace="half")
    with pytest.raises(NamespaceError):
        make_mock(root, "demo/mock", namespace="usr_state")
    assert files(root) == before
    assert list_datasets(root) == []


def test_MNT_4_force_archives_and_never_deletes(root):
    make_mock(root, "demo/mock", n=2, x_dim=2)
    with pytest.raises(AlreadyExists, match="demo/mock"):
        make_mock(root, "demo/mock", n=3)
    first = {f: (root / "demo/mock" / f).read_bytes() for f in files(root / "demo/mock")}
    report = make_mock(root, "demo/mock", n=3, x_dim=2, force=True)
    assert report.archived == "_archive/demo/mock"
    kept = root / report.archived
    assert {f: (kept / f).read_bytes() for f in files(kept)} == first
    assert len(rows(root)) == 3
    second = make_mock(root, "demo/mock", n=4, x_dim=2, force=True).archived
    assert second.startswith("_archive/demo/mock-")
    assert {f: (kept / f).read_bytes() for f in files(kept)} == first
    assert list_datasets(root) == ["demo/mock"]
    (event,) = events(Dataset.open(root, "demo/mock"), "make_mock")
    assert event["artifacts"]["archived"] == second


def test_MNT_4_nothing_is_archived_inside_an_archived_dataset(root):
    make_mock(root, "demo", n=1, x_dim=2)
    archived = make_mock(root, "demo", n=1, x_dim=2, force=True).archived
    assert archived == "_archive/demo"
    (root / "demo").rename(root / "elsewhere")
    make_mock(root, "demo/mock", n=1, x_dim=2)
    inner = make_mock(root, "demo/mock", n=1, x_dim=2, force=True).archived
    assert inner.startswith("_archive/demo-")
    assert inner.endswith("/mock")


def test_MNT_4_a_failure_before_writing_archives_nothing(root):
    make_mock(root, "demo/mock", n=2, x_dim=2)
    before = files(root)
    bad = root / "bad.csv"
    bad.write_text("sequence\nACGT\nACXT\n")
    with pytest.raises(AlphabetError, match="'X'"):
        make_mock(root, "demo/mock", from_csv=bad, force=True)
    bad.unlink()
    register_namespace(
        root, namespace="ints", columns="x_representation:list<int8>,label_vec8:list<int8>"
    )
    with pytest.raises(SchemaError, match="ints__x_representation"):
        make_mock(root, "demo/mock", namespace="ints", force=True)
    assert files(root) == before


def test_MNT_4_given_sequences_are_taken_and_repeats_left_out(root):
    given = root / "given.csv"
    given.write_text("name,sequence\na,ACGT\nb,acgt\nc,ACGT\nd, GGCC \n")
    report = make_mock(root, "demo/mock", from_csv=given, x_dim=2)
    assert (report.rows, report.duplicates) == (3, 1)
    assert [r["sequence"] for r in rows(root)] == ["ACGT", "acgt", "GGCC"]
    assert {r["source"] for r in rows(root)} == {str(given)}
    given.write_text("sequence\n")
    with pytest.raises(ValidationError, match="no rows"):
        make_mock(root, "demo/empty", from_csv=given)
    with pytest.raises(PathNotFound):
        make_mock(root, "demo/gone", from_csv=root / "gone.csv")
    assert list_datasets(root) == ["demo/mock"]


def test_MNT_4_values_take_the_registered_type(root):
    register_namespace(
        root,
        namespace="wide",
        columns="x_representation:fixed_size_list<float64>[3],label_vec8:list<float64>",
    )
    make_mock(root, "demo/wide", n=2, x_dim=3, namespace="wide")
    schema = Dataset.open(root, "demo/wide").schema()
    assert schema.field("wide__x_representation").type == pa.list_(pa.float64(), 3)
    make_mock(root, "demo/narrow", n=2, x_dim=3)
    wide, narrow = rows(root, "demo/wide"), rows(root, "demo/narrow")
    assert [r["wide__x_representation"] for r in wide] == [r[X] for r in narrow]


@pytest.mark.parametrize(
    "options", [{"n": 0}, {"length": 0}, {"x_dim": -1}, {"y_dim": True}, {"seed": -1}, {"n": 1.5}]
)
def test_MNT_4_options_that_make_no_sense_are_typed_errors(root, options):
    with pytest.raises(ValidationError, match=next(iter(options))):
        make_mock(root, "demo/mock", **options)


def test_MNT_4_there_are_only_so_many_short_sequences():
    assert len(set(random_sequences(256, 4, seed=1))) == 256
    with pytest.raises(ValidationError, match="only 4"):
        random_sequences(5, 1, seed=1)
    assert {len(s) for s in random_sequences(50, 11, seed=1)} == {11}


def test_MNT_4_demo_columns_for_rows_that_are_there(root):
    ds = Dataset.open(root, "demo/mine")
    ds.init()
    assert add_demo_cols(ds).rows == 0
    ds.import_rows(["ACGT", "GGCC", "TTTT"])
    hidden = rows(root, "demo/mine")[2]["id"]
    ds.tombstone(hidden)
    base = ds.records_path.read_bytes()
    before = set(files(ds.dir))
    report = add_demo_cols(ds, x_dim=4, y_dim=2)
    assert report.rows == 3
    assert ds.records_path.read_bytes() == base
    (new,) = set(files(ds.dir)) - before
    (event,) = events(ds, "add_demo_cols")
    assert event["metrics"] == {"rows": 3, "x_dim": 4, "y_dim": 2}
    assert [f["path"] for f in event["artifacts"]["files"]] == [new]
    assert [(len(r[X]), len(r[Y])) for r in rows(root, "demo/mine")] == [(4, 2), (4, 2)]
    make_mock(root, "demo/mock", n=3, x_dim=4, y_dim=2)
    assert rows(root)[0][X] == rows(root, "demo/mine")[0][X]
    assert ds.validate(strict=True)


def test_MNT_4_demo_columns_are_not_overwritten_without_leave(root):
    make_mock(root, "demo/mock", n=3, x_dim=4)
    ds = Dataset.open(root, "demo/mock")
    old = rows(root)[0][X]
    with pytest.raises(ValidationError, match="allow-overwrite"):
        add_demo_cols(ds, x_dim=4, seed=9)
    assert rows(root)[0][X] == old
    add_demo_cols(ds, x_dim=4, seed=9, allow_overwrite=True)
    assert rows(root)[0][X] != old
    with ds.maintenance("test"):
        ds.materialize(keep_overlays=False)
    with pytest.raises(ValidationError, match="allow-overwrite"):
        add_demo_cols(ds, x_dim=4)


def test_MNT_4_demo_columns_keep_the_key_and_refuse_rows_that_share_it(root):
    ds = Dataset.open(root, "demo/mine")
    ds.init()
    ds.import_rows(["ACGT", "GGCC"])
    ds.write_overlay("demo", [{"sequence_ci": "acgt", "label_vec8": [1.0]}], key="sequence_ci")
    add_demo_cols(ds, x_dim=2, allow_overwrite=True)
    assert all(r[X] for r in rows(root, "demo/mine"))
    ds.import_rows(["acgt"])
    with pytest.raises(ValidationError, match="share the sequence_ci"):
        add_demo_cols(ds, x_dim=2, allow_overwrite=True)


def test_MNT_4_demo_columns_need_a_registered_namespace(root):
    make_mock(root, "demo/mock", n=1, x_dim=2)
    ds = Dataset.open(root, "demo/mock")
    with pytest.raises(NamespaceError):
        add_demo_cols(ds, namespace="other")
    assert not events(ds, "add_demo_cols")
