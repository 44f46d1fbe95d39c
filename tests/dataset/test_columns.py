"""columns.yaml: what people need to know of columns; no data hangs on it."""

from __future__ import annotations

import subprocess
import sys

import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import given, strategies as st

from tests.dataset.kit import IDS, raw_events, refused, registry_of, tree
from usr_nb import (
    ColumnInfo,
    NamespaceError,
    SchemaError,
    ValidationError,
    doctor,
    load_columns,
    load_registry,
    set_column,
)
from usr_nb.contract.columns import FIELDS, as_yaml, parse_columns

TEXT = st.text(st.characters(categories=["L", "N", "S", "P"]), min_size=1, max_size=30)
INFOS = st.builds(
    ColumnInfo,
    unit=st.none() | TEXT, label=st.none() | TEXT, better=st.sampled_from([None, "high", "low"]),
    format=st.sampled_from([None, ".3f", ",d", "+,.2e", ".1%", "g"]),
    model=st.none() | TEXT, reduction=st.none() | TEXT,
)  # fmt: skip


@given(st.dictionaries(st.sampled_from(["length", "m__x", "evo2__llr", "k__y"]), INFOS))
def test_what_is_written_is_what_is_read(columns) -> None:
    text = as_yaml(columns)
    assert parse_columns(yaml.safe_load(text), where="x") == columns
    assert list(yaml.safe_load(text)["columns"]) == sorted(columns)


def test_setting_keeps_the_rest_and_the_registry_and_all_data(ds, root) -> None:
    before, hashed = tree(ds.dir), registry_of(root)
    set_column(root, "m__n", unit="nats", label="Likelihood", better="high")
    set_column(root, "length", unit="nt")
    made = set_column(root, "m__n", format=".2f", label="")
    assert made == ColumnInfo(unit="nats", better="high", format=".2f")
    assert load_columns(root) == {"length": ColumnInfo(unit="nt"), "m__n": made}
    assert yaml.safe_load((root / "columns.yaml").read_text()) == {
        "columns": {"length": {"unit": "nt"},
                    "m__n": {"unit": "nats", "better": "high", "format": ".2f"}}
    }  # fmt: skip
    assert (tree(ds.dir), registry_of(root)) == (before, hashed)
    assert load_registry(root).hash == hashed
    set_column(root, "length", unit="")
    assert list(load_columns(root)) == ["m__n"]
    assert doctor(root).ok


def test_the_profile_carries_it(ds, root) -> None:
    ds.write_overlay_part("m", [{"id": IDS[0], "n": 1.0}])
    set_column(root, "m__n", unit="nats", label="LLR")
    assert ds.profile(sequences=False)["m__n"].info.title("m__n") == "LLR (nats)"
    assert ds.profile(sequences=False)["id"].info == ColumnInfo()


@pytest.mark.parametrize(("name", "how", "error", "says"), [
    ("nope", {"unit": "x"}, SchemaError, "no column of a namespace"),
    ("usr__deleted", {"unit": "x"}, SchemaError, "no column of a namespace"),
    ("Up__x", {"unit": "x"}, SchemaError | NamespaceError, "Up"),
    ("m__n", {"better": "more"}, ValidationError, "better"),
    ("m__n", {"format": "{0}"}, ValidationError, "number format"),
    ("m__n", {"format": ".999f"}, ValidationError, "number format"),
    ("m__n", {"unit": "a\nb"}, ValidationError, "unit"),
    ("m__n", {"label": "x" * 201}, ValidationError, "label"),
])  # fmt: skip
def test_bad_words_change_nothing(root, name, how, error, says) -> None:
    errors = error if isinstance(error, type) else (SchemaError, NamespaceError)
    with refused(root, errors, says):
        set_column(root, name, **how)


def test_without_a_registry_the_error_says_what_makes_one(tmp_path) -> None:
    with pytest.raises(NamespaceError, match="No registry") as caught:
        set_column(tmp_path, "length", unit="nt")
    assert "usr root init" in caught.value.hint
    assert not (tmp_path / "columns.yaml").exists()


@pytest.mark.parametrize("text", [
    "columns: [1]", "[]", "columns: {m__n: 3}", "columns: {m__n: {colour: red}}",
    "columns: {m__n: {unit: 3}}", "columns: {zz: {unit: a}}", "a: &x [1]\ncolumns: *x", "\x00",
    "columns: " + "{a: " * 60, "#" * (9 << 20),
])  # fmt: skip
def test_a_hostile_file_is_a_typed_error_that_names_it(root, text) -> None:
    (root / "columns.yaml").write_text(text)
    with pytest.raises((SchemaError, ValidationError), match=r"columns\.yaml"):
        load_columns(root)
    found = doctor(root)
    assert [f.path for f in found.errors] == ["columns.yaml"]


def test_many_processes_lose_nothing(root) -> None:
    code = (
        "import sys; from usr_nb import set_column\n"
        "for f in ('unit', 'label', 'model'):\n"
        "    set_column(sys.argv[1], f'm__{sys.argv[2]}', **{f: sys.argv[2]})\n"
    )
    running = [subprocess.Popen([sys.executable, "-c", code, str(root), n]) for n in "nis"]
    assert [p.wait() for p in running] == [0, 0, 0]
    found = load_columns(root)
    assert {n: (i.unit, i.label, i.model) for n, i in found.items()} == {
        f"m__{n}": (n, n, n) for n in "nis"
    }


def test_parquet_exports_carry_it_and_others_on_demand(ds, root, tmp_path) -> None:
    ds.write_overlay_part("m", [{"id": IDS[0], "n": 1.0}])
    set_column(root, "m__n", unit="nats", better="high")
    ds.export("parquet", tmp_path / "a.parquet")
    field = pq.read_schema(tmp_path / "a.parquet").field("m__n")
    assert (field.metadata[b"unit"], field.metadata[b"better"]) == (b"nats", b"high")
    assert pq.read_table(tmp_path / "a.parquet").num_rows == len(IDS)
    ds.export("csv", tmp_path / "a.csv", columns=["id", "m__n"])
    assert not (tmp_path / "a.csv.columns.yaml").exists()
    ds.export("csv", tmp_path / "b.csv", columns=["id", "m__n"], column_info=True)
    beside = yaml.safe_load((tmp_path / "b.csv.columns.yaml").read_text())
    assert beside == {"columns": {"m__n": {"unit": "nats", "better": "high"}}}
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
    assert len(raw_events(ds)) == len(ds.events())
    assert set(FIELDS) >= set(beside["columns"]["m__n"])
