"""Attach by the values of a column, and with repeated keys folded (contract ATT-8)."""

from __future__ import annotations

import math
import statistics

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from tests.dataset.kit import cells, last_event, refused
from tests.features.kit import by_sequence, fresh, ids, new, put
from tests.overlay.kit import same
from usr_nb import SchemaError, ValidationError
from usr_nb.errors import DuplicateIDError

SEQS = ["ACGT", "TTTT", "GGGG", "CCCC"]
NS = (
    "x:float64,f:float32,n:int64,i:int8,s:string,l:list<float64>,ls:list<string>,"
    "v:fixed_size_list<float64>[2]"
)
META = (
    "name:string,number:int64,names:list<string>,codes:list<int32>,score:float64,"
    "pair:fixed_size_list<string>[2]"
)


@pytest.fixture
def root(tmp_path):
    return fresh(tmp_path, m=NS, meta=META)


@pytest.fixture
def ds(root):
    ds = new(root, SEQS)
    rows = [("one", 1, ["one", "uno"], [11, 12], 0.5, ["p", "q"]),
            ("two", 2, ["two"], [21], 0.5, ["r", "s"]),
            ("both", 3, [], [], 1.5, None),
            (None, None, None, None, None, None)]  # fmt: skip
    names = ["name", "number", "names", "codes", "score", "pair"]
    put(ds, "meta", {i: dict(zip([f"meta__{n}" for n in names], row, strict=True))
                     for i, row in zip(ids(SEQS), rows, strict=True)})  # fmt: skip
    return ds


@pytest.mark.parametrize(
    ("column", "keys"),
    [("name", ["two", " one\t"]), ("number", ["2", "1"]), ("number", [2, 1]),
     ("names", ["two", "uno"]), ("codes", [21, 12]), ("codes", ["21", "11"]),
     ("pair", ["s", "p"])],
)  # fmt: skip
def test_ATT_8_match_by_text_number_and_lists_of_them(ds, column, keys) -> None:
    done = ds.attach(pa.table({"key": keys, "x": [2.0, 1.0]}), "m", match=f"meta__{column}",
                     key_col="key")  # fmt: skip
    assert done == 2
    assert cells(ds, "m__x") == [1.0, 2.0, None, None]
    part = next(p for p in ds.list_overlays() if p.namespace == "m")
    assert part.key == "id"
    args = last_event(ds, "attach")["args"]
    assert (args["match"], args["key_col"]) == (f"meta__{column}", "key")
    assert f"--match meta__{column}" in ds.meta_path.read_text()
    assert ds.validate().findings == []


def test_ATT_8_match_takes_the_column_of_that_name_by_default(ds) -> None:
    assert ds.attach(pa.table({"meta__name": ["both"], "x": [3.0]}), "m", match="meta__name") == 1
    assert cells(ds, "m__x") == [None, None, 3.0, None]


def test_ATT_8_match_sees_tombstoned_rows_and_merged_values(ds) -> None:
    put(ds, "meta", {ids(SEQS)[0]: {"meta__name": "renamed"}})
    ds.tombstone(ids(SEQS)[:1])
    assert ds.attach(pa.table({"k": ["renamed"], "x": [1.0]}), "m", match="meta__name", key_col="k")
    ds.restore(ids(SEQS)[:1])
    assert cells(ds, "m__x")[0] == 1.0


def test_ATT_8_missing_cells_name_their_rows(ds, root) -> None:
    table = pa.table({"k": ["one", None, " ", "two"], "x": [1.0] * 4})
    with refused(root, ValidationError, match=r"2 rows have no meta__name \(row 2, 3\)"):
        ds.attach(table, "m", match="meta__name", key_col="k")
    frame = pd.DataFrame({"k": ["one", math.nan], "x": [1.0, 2.0]})
    with refused(root, ValidationError, match=r"1 rows have no meta__name \(row 2\)"):
        ds.attach(frame, "m", match="meta__name", key_col="k")


def test_ATT_8_unmatched_names_are_listed_and_can_be_skipped(ds, root) -> None:
    table = pa.table({"k": ["one", "nobody", "none"], "x": [1.0, 2.0, 3.0]})
    with refused(root, ValidationError, match="2 of 3 keys are not in the dataset: nobody, none"):
        ds.attach(table, "m", match="meta__name", key_col="k")
    assert ds.attach(table, "m", match="meta__name", key_col="k", allow_missing=True) == 1
    metrics = last_event(ds, "attach")["metrics"]
    assert (metrics["rows_incoming"], metrics["rows_matched"], metrics["rows_missing"]) == (3, 1, 2)
    # The id of a record is not a name of it.
    with refused(root, ValidationError, match="1 of 1 keys"):
        ds.attach(pa.table({"k": ids(SEQS)[:1], "i": [1]}), "m", match="meta__name", key_col="k")


def test_ATT_8_a_name_of_several_records_is_ambiguous_where_it_is_used(ds, root) -> None:
    put(
        ds, "meta", {ids(SEQS)[3]: {"meta__name": "one", "meta__number": 1, "meta__names": ["uno"]}}
    )
    for column, key in (("name", "one"), ("number", "1"), ("names", "uno")):
        with refused(root, ValidationError, match=f"fit several records: {key}"):
            ds.attach(pa.table({"k": [key], "x": [1.0]}), "m", match=f"meta__{column}", key_col="k")
    assert (
        ds.attach(pa.table({"k": ["two"], "x": [1.0]}), "m", match="meta__name", key_col="k") == 1
    )


def test_ATT_8_a_name_twice_in_one_record_is_not_ambiguous(ds) -> None:
    put(ds, "meta", {ids(SEQS)[3]: {"meta__names": ["four", "four"]}})
    assert (
        ds.attach(pa.table({"k": ["four"], "x": [4.0]}), "m", match="meta__names", key_col="k") == 1
    )
    assert cells(ds, "m__x")[3] == 4.0


def test_OVL_4_two_names_of_one_record_make_one_row(ds, root) -> None:
    table = pa.table({"k": ["one", "two", "uno"], "x": [1.0, 2.0, 5.0]})
    with refused(root, DuplicateIDError, match="in rows 1, 3"):
        ds.attach(table, "m", match="meta__names", key_col="k")
    assert ds.attach(table, "m", match="meta__names", key_col="k", aggregate="mean") == 3
    assert cells(ds, "m__x") == [3.0, 2.0, None, None]
    assert cells(ds, "m__n") == [2, 1, None, None]
    assert ds.validate().findings == []


def test_ATT_8_columns_that_are_no_names_are_refused(ds, root) -> None:
    table = pa.table({"k": ["one"], "x": [1.0]})
    with refused(root, SchemaError, match="text or whole numbers"):
        ds.attach(table, "m", match="meta__score", key_col="k")
    with refused(root, SchemaError, match="'meta__nam' does not exist"):
        ds.attach(table, "m", match="meta__nam", key_col="k")
    with refused(root, SchemaError, match="no key column 'kk'"):
        ds.attach(table, "m", match="meta__name", key_col="kk")
    with refused(root, SchemaError, match="not text"):
        ds.attach(pa.table({"k": [1.5], "x": [1.0]}), "m", match="meta__number", key_col="k")


# Aggregates -------------------------------------------------------------------------------------

ROWS = [
    ("ACGT", 1.0),
    ("TTTT", None),
    ("ACGT", None),
    ("ACGT", 4.0),
    ("TTTT", None),
    ("ACGT", 10.0),
]


@pytest.mark.parametrize(("how", "one"), [("mean", 5.0), ("median", 4.0), ("first", 1.0)])
def test_ATT_8_nulls_are_left_out_and_rows_are_counted(ds, how, one) -> None:
    table = pa.table({"sequence": [s for s, _ in ROWS], "x": [v for _, v in ROWS]})
    assert ds.attach(table, "m", key="sequence", aggregate=how) == 6
    assert by_sequence(ds, "m__x") == {"ACGT": one, "TTTT": None, "GGGG": None, "CCCC": None}
    assert by_sequence(ds, "m__n") == {"ACGT": 4, "TTTT": 2, "GGGG": None, "CCCC": None}
    assert last_event(ds, "attach")["args"]["aggregate"] == how


def test_ATT_8_list_collects_the_cells_in_input_order(ds) -> None:
    table = pa.table({"sequence": [s for s, _ in ROWS], "l": [v for _, v in ROWS],
                      "ls": [None if v is None else str(v) for _, v in ROWS]})  # fmt: skip
    ds.attach(table, "m", key="sequence", aggregate="list")
    assert by_sequence(ds, "m__l")["ACGT"] == [1.0, None, 4.0, 10.0]
    assert by_sequence(ds, "m__l")["TTTT"] == [None, None]
    assert by_sequence(ds, "m__ls")["ACGT"] == ["1.0", None, "4.0", "10.0"]


def test_ATT_8_first_takes_the_first_row_even_if_its_cell_is_empty(ds) -> None:
    table = pa.table({"sequence": ["ACGT", "ACGT"], "s": [None, "x"], "v": [[1.0, 2.0], None]})
    ds.attach(table, "m", key="sequence", aggregate="first")
    assert by_sequence(ds, "m__s")["ACGT"] is None
    assert by_sequence(ds, "m__v")["ACGT"] == [1.0, 2.0]


def test_ATT_8_a_mean_is_rounded_to_the_float_but_not_to_an_integer(ds, root) -> None:
    ds.attach(pa.table({"sequence": ["ACGT"] * 2, "f": [0.1, 0.2]}), "m", key="sequence",
              aggregate="mean")  # fmt: skip
    assert by_sequence(ds, "m__f")["ACGT"] == pytest.approx(0.15, rel=1e-6)
    with refused(root, SchemaError, match="m__i"):
        ds.attach(pa.table({"sequence": ["ACGT"] * 2, "i": [1, 2]}), "m", key="sequence",
                  aggregate="mean", allow_overwrite=True)  # fmt: skip
    ds.attach(pa.table({"sequence": ["ACGT"] * 2, "i": [1, 3]}), "m", key="sequence",
              aggregate="mean", allow_overwrite=True)  # fmt: skip
    assert by_sequence(ds, "m__i")["ACGT"] == 2


def test_ATT_8_errors_of_aggregates_name_rows_and_types(ds, root) -> None:
    twice = {"sequence": ["ACGT", "TTTT", "ACGT"]}
    with refused(root, SchemaError, match="'m__x', row 3: 'high'"):
        ds.attach(
            pa.table(twice | {"x": ["1", "2", "high"]}), "m", key="sequence", aggregate="mean"
        )
    with refused(root, SchemaError, match="not as a list"):
        ds.attach(pa.table(twice | {"x": [1.0] * 3}), "m", key="sequence", aggregate="list")
    with refused(root, ValidationError, match="aggregate 'mode' is not known"):
        ds.attach(pa.table(twice | {"x": [1.0] * 3}), "m", key="sequence", aggregate="mode")
    with refused(root, ValidationError, match=r"\(row 2\)"):
        ds.attach(pa.table({"sequence": ["ACGT", ""], "x": [1.0] * 2}), "m", key="sequence",
                  aggregate="mean")  # fmt: skip


def test_ATT_8_sequence_ci_folds_case_before_it_counts(ds) -> None:
    table = pa.table({"sequence": ["acgt", " ACGT", "AcGt "], "x": [1.0, 2.0, 6.0]})
    assert ds.attach(table, "m", key="sequence_ci", aggregate="mean") == 3
    assert by_sequence(ds, "m__x")["ACGT"] == 3.0
    assert by_sequence(ds, "m__n")["ACGT"] == 3


def test_ATT_8_n_is_written_only_if_registered_and_not_over_a_column_n(ds, tmp_path) -> None:
    other = new(fresh(tmp_path, m="x:float64"), SEQS)
    table = pa.table({"sequence": ["ACGT"] * 2, "x": [1.0, 3.0]})
    other.attach(table, "m", key="sequence", aggregate="mean")
    assert other.schema().names[7:] == ["m__x"]
    ds.attach(table.append_column("n", pa.array([10, 20])), "m", key="sequence", aggregate="mean")
    assert by_sequence(ds, "m__n")["ACGT"] == 15


numbers = st.one_of(st.none(), st.integers(-9, 9).map(float))
rows = st.lists(st.tuples(st.sampled_from([*SEQS[:3], "AAAA"]), numbers), min_size=1, max_size=12)


def oracle(given_rows, how):
    groups: dict[str, list] = {}
    for s, v in given_rows:
        if s in SEQS:
            groups.setdefault(s, []).append(v)
    out = {}
    for s, values in groups.items():
        known = [v for v in values if v is not None]
        if how in ("mean", "median"):
            fold = statistics.fmean if how == "mean" else statistics.median
            out[s] = fold(known) if known else None
        else:
            out[s] = values[0] if how == "first" else values
    return out, {s: len(v) for s, v in groups.items()}


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows, st.sampled_from(["mean", "median", "first", "list"]), st.booleans())
def test_ATT_8_any_rows_fold_as_by_hand(tmp_path_factory, given_rows, how, by_name) -> None:
    ds = new(fresh(tmp_path_factory.mktemp("agg"), m=NS, meta="name:string"), SEQS)
    put(ds, "meta", {i: {"meta__name": s} for i, s in zip(ids(SEQS), SEQS, strict=True)})
    column = "l" if how == "list" else "x"
    table = pa.table({"key": [s for s, _ in given_rows],
                      column: pa.array([v for _, v in given_rows], pa.float64())})  # fmt: skip
    key = {"match": "meta__name"} if by_name else {"key": "sequence"}
    done = ds.attach(table, "m", key_col="key", aggregate=how, allow_missing=True, **key)
    values, counts = oracle(given_rows, how)
    assert done == sum(counts.values())
    names = ds.schema().names
    got = by_sequence(ds, f"m__{column}") if f"m__{column}" in names else {}
    for s in SEQS:
        assert same(got.get(s)) == same(values.get(s)), s
        assert (by_sequence(ds, "m__n")[s] if got else None) == counts.get(s)
    assert ds.validate().errors == []
