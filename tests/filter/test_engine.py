"""The engine against the plain reading of the tree, over every type of column."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings, strategies as st

from tests.filter import strategies as some
from tests.filter.reference import keeps
from usr_nb.errors import SchemaError, ValidationError
from usr_nb.filter.build import F
from usr_nb.filter.engine import mask_of
from usr_nb.filter.feature import Feature
from usr_nb.filter.tree import Filter, IsNull, Range, negation

DAY = datetime(2026, 1, 31, tzinfo=UTC)


@st.composite
def cases(draw: st.DrawFn):
    where = draw(some.filters)
    batch, rows = draw(some.tables(some.columns_of(where)))
    return where, batch, rows


@settings(max_examples=150)
@given(cases())
def test_the_engine_keeps_what_the_tree_says(case):
    where, batch, rows = case
    assert mask_of(where, batch).tolist() == [keeps(where, r, batch.schema) for r in rows]


@pytest.mark.nightly
@settings(max_examples=6_000)
@given(cases())
def test_the_engine_keeps_what_the_tree_says_over_many_cases(case):
    where, batch, rows = case
    assert mask_of(where, batch).tolist() == [keeps(where, r, batch.schema) for r in rows]


@settings(max_examples=30)
@given(cases())
def test_a_filter_and_its_negation_split_the_rows(case):
    where, batch, _ = case
    assert mask_of(negation(where), batch).tolist() == (~mask_of(where, batch)).tolist()


@settings(max_examples=15)
@given(st.data())
def test_every_kind_of_column_is_reached(data):
    # One column at a time, so that no type is left out by chance.
    for name, dtype in some.COLUMNS.items():
        where = IsNull(Feature(name))
        batch, rows = data.draw(some.tables([name], most=3))
        assert batch.schema.field(name).type == dtype
        assert mask_of(where, batch).tolist() == [r[name] is None for r in rows]


def one(dtype: pa.DataType, values: list, where: Filter) -> list[bool]:
    return mask_of(where, pa.RecordBatch.from_arrays([pa.array(values, dtype)], ["a__x"])).tolist()


X = F["a__x"]


def test_null_nan_and_outside_are_three_things():
    values = [1.0, 9.0, float("nan"), None, float("inf")]
    assert one(pa.float64(), values, X < 5) == [True, False, False, False, False]
    assert one(pa.float64(), values, ~(X < 5)) == [False, True, True, True, True]
    assert one(pa.float64(), values, X.outside(0, 5)) == [False, True, False, False, True]
    assert one(pa.int8(), [1, 9, None], X.outside(0, 5)) == [False, True, False]
    assert one(pa.float64(), values, X.is_nan()) == [False, False, True, False, False]
    assert one(pa.float64(), values, X.is_null()) == [False, False, False, True, False]
    assert one(pa.float64(), values, X.not_null()) == [True, True, True, False, True]
    assert one(pa.float64(), values, X != 1) == [False, True, True, True, True]


def test_whole_numbers_are_compared_exactly():
    big = 2**53
    assert one(pa.int64(), [big, big + 1], float(big) < X) == [False, True]
    assert one(pa.uint64(), [2**64 - 1, 0], X > -1) == [True, True]
    assert one(pa.uint64(), [2**64 - 1, 0], X >= 2**63) == [True, False]
    assert one(pa.int8(), [127, -128], X < 1000) == [True, True]
    assert one(pa.int8(), [2, 3], X > 2.5) == [False, True]
    assert one(pa.int8(), [2, 3], X.isin([2.5, 3])) == [False, True]


@pytest.mark.parametrize("dtype", [pa.int8(), pa.uint64(), pa.float16(), pa.float64()])
def test_each_end_is_open_or_closed(dtype):
    values = [1, 2, 3, 4, None]
    for closed, inside in (
        ("both", [2, 3]), ("left", [2]), ("right", [3]), ("neither", []),
    ):  # fmt: skip
        found = one(dtype, values, X.between(2, 3, closed=closed))
        assert [v for v, f in zip(values, found, strict=True) if f] == inside
        out = one(dtype, values, X.outside(2, 3, closed=closed))
        assert out == [v is not None and v not in inside for v in values]
    assert one(dtype, values, X < 3) == [True, True, False, False, False]
    assert one(dtype, values, X <= 3) == [True, True, True, False, False]
    assert one(dtype, values, X > 3) == [False, False, False, True, False]
    assert one(dtype, values, X >= 3) == [False, False, True, True, False]


def test_a_number_is_rounded_to_the_type_of_its_column():
    assert one(pa.float32(), [0.1, 0.2], X == 0.1) == [True, False]
    assert one(pa.float32(), [0.1, 0.2], X <= 0.1) == [True, False]
    assert one(pa.float32(), [float("inf"), 1.0], X < 1e300) == [False, True]


def test_times_are_compared_without_loss():
    at = pa.array([DAY, None]).cast(pa.timestamp("ns"))
    batch = pa.RecordBatch.from_arrays([at], ["a__x"])
    assert mask_of(F["a__x"] == DAY, batch).tolist() == [True, False]
    assert mask_of(F["a__x"] < datetime(9999, 1, 1, tzinfo=UTC), batch).tolist() == [True, False]
    assert mask_of(F["a__x"] < datetime(1, 1, 1, tzinfo=UTC), batch).tolist() == [False, False]


def test_gc_leaves_n_out_and_is_null_for_proteins():
    batch = pa.RecordBatch.from_pydict({
        "sequence": ["GGAA", "gcNN", "NN", "GGGG", "GCAU"],
        "bio_type": ["dna", "dna", "dna", "protein", "rna"],
    })  # fmt: skip
    assert mask_of(F.gc == 0.5, batch).tolist() == [True, False, False, False, True]
    assert mask_of(F.gc == 1, batch).tolist() == [False, True, False, False, False]
    assert mask_of(F.gc.is_null(), batch).tolist() == [False, False, True, True, False]


@pytest.mark.parametrize("letters", [3, 65_535, 65_536, 200_000])
def test_gc_of_long_sequences_is_exact(letters):
    batch = pa.RecordBatch.from_pydict({"sequence": ["G" * letters, "A" * letters + "C"]})
    assert mask_of(F.gc == 1, batch).tolist() == [True, False]
    assert mask_of(F.gc == 1 / (letters + 1), batch).tolist() == [False, True]


def test_state_that_was_never_set_is_not_masked():
    batch = pa.RecordBatch.from_pydict({"length": [1, 2]})
    assert mask_of(F.masked == False, batch).tolist() == [True, True]  # noqa: E712
    assert mask_of(F.qc_status.is_null(), batch).tolist() == [True, True]
    assert mask_of(F.qc_status != "fail", batch).tolist() == [True, True]


TYPED = pa.schema([
    ("a__text", pa.string()), ("a__num", pa.float32()), ("a__int", pa.int8()),
    ("a__flag", pa.bool_()), ("a__vec", pa.list_(pa.float32(), 3)), ("a__when", pa.timestamp("s")),
    ("a__inner", pa.struct([("p", pa.int8())])), ("a__words", pa.list_(pa.string())),
])  # fmt: skip


@pytest.mark.parametrize(
    ("where", "says"),
    [
        (F["a__text"] > 3, "a__text is string"),
        (F["a__text"] == 3, "a__text is string"),
        (F["a__num"] == "3", "a__num is float32"),
        (F["a__num"].contains("3"), "a__num is float32"),
        (F["a__num"] == True, "a__num is float32"),  # noqa: E712
        (F["a__int"].is_nan(), "a__int is int8"),
        (F["a__flag"] > 0, "a__flag is bool"),
        (F["a__vec"] > 0, r"a__vec is fixed_size_list<float32>\[3\]"),
        (F["a__vec"].field("p") > 0, "a__vec is fixed_size_list"),
        (F["a__when"] > 3, r"a__when is timestamp\[s\]"),
        (F["a__num"] > DAY, "a__num is float32"),
        (F["a__inner"].field("q") > 3, "a__inner has no field 'q'"),
        (F["a__inner"][0] > 3, "a__inner is struct"),
        (F["a__words"].mean() > 3, "a__words is list<string>"),
        (F["a__nums"] > 3, "'a__nums' does not exist(.|\n)*Did you mean 'a__num'"),
        (F.motif("ACGT"), "'sequence' does not exist"),
        (F.gc > 0.5, "'sequence' does not exist"),
    ],
)
def test_a_test_that_does_not_fit_names_column_and_type(where, says):
    with pytest.raises(SchemaError, match=says):
        mask_of(where, empty())


def empty() -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.array([], f.type) for f in TYPED], schema=TYPED)


def test_the_same_answer_for_every_slice():
    rng = np.random.default_rng(3)
    lists = [rng.normal(size=rng.integers(0, 4)).tolist() for _ in range(50)]
    whole = pa.RecordBatch.from_arrays([pa.array(lists, pa.list_(pa.float64()))], ["a__x"])
    where = F["a__x"].max() > 0.5
    full = mask_of(where, whole).tolist()
    for cut in (0, 1, 7, 49, 50):
        assert mask_of(where, whole.slice(cut)).tolist() == full[cut:]


def test_vectors_of_a_slice_are_its_own():
    vectors = [[1.0, 2.0], [3.0, 4.0], None, [5.0, 6.0]]
    whole = pa.RecordBatch.from_arrays([pa.array(vectors, pa.list_(pa.float32(), 2))], ["a__x"])
    assert mask_of(X[1] == 4, whole.slice(1)).tolist() == [True, False, False]
    assert mask_of(X.mean() == 5.5, whole.slice(1)).tolist() == [False, False, True]


def test_an_empty_range_and_a_range_of_text_are_refused():
    with pytest.raises(ValidationError, match="empty"):
        F.gc.between(0.6, 0.4)
    with pytest.raises(ValidationError, match="numbers or times"):
        Range(Feature("source"), "a", "b")
    with pytest.raises(ValidationError, match="one kind"):
        F.gc.isin([1, "a"])
