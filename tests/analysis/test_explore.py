"""Lengths and GC, against plain Python written here."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, strategies as st

from usr_nb.analysis.explore import (
    count_line,
    gc_fraction,
    numbers,
    numeric_columns,
    sequence_lengths,
)
from usr_nb.analysis.sampling import Sample
from usr_nb.errors import SchemaError

DNA = st.text("ACGTNacgtn", max_size=40)


def gc_by_hand(sequence: str) -> float:
    letters = sequence.upper()
    known = sum(letters.count(letter) for letter in "ACGTU")
    return (letters.count("G") + letters.count("C")) / known if known else math.nan


def table_of(found: list[str | None], **more) -> pa.Table:
    return pa.table({"sequence": pa.array(found, pa.string()), **more})


@given(st.lists(st.one_of(st.none(), DNA, st.text("ACGUacgu", max_size=20)), max_size=20))
def test_gc_and_length_equal_counting_by_hand(found):
    table = table_of(found)
    expected = [math.nan if s is None else gc_by_hand(s) for s in found]
    np.testing.assert_array_equal(gc_fraction(table), expected)
    lengths = [math.nan if s is None else len(s) for s in found]
    np.testing.assert_array_equal(sequence_lengths(table), lengths)


def test_only_nucleotides_have_a_gc_content():
    found = ["GGCC", "GCAG", "GGCU"]
    told = table_of(found, bio_type=["dna", "protein", "rna"])
    np.testing.assert_array_equal(gc_fraction(told), [1.0, math.nan, 0.75])
    # Without a bio_type the letters decide.
    np.testing.assert_array_equal(gc_fraction(table_of(["GGCC", "GCMK"])), [1.0, math.nan])


def test_columns_are_told_apart_by_type():
    schema = pa.schema([
        ("id", pa.string()), ("n", pa.int32()), ("x", pa.float16()), ("ok", pa.bool_()),
        ("vec", pa.list_(pa.float32(), 4)), ("names", pa.list_(pa.string())),
        ("at", pa.timestamp("us", "UTC")), ("sequence", pa.string()), ("u", pa.uint64()),
    ])  # fmt: skip
    assert numeric_columns(schema) == ["n", "x", "u"]


def test_numbers_are_floats_with_nan_for_null():
    table = pa.table({"n": pa.array([1, None, 2**60], pa.int64()), "s": ["a", "b", "c"]})
    np.testing.assert_array_equal(numbers(table, "n"), [1.0, math.nan, float(2**60)])
    with pytest.raises(SchemaError, match="not a number"):
        numbers(table, "s")
    with pytest.raises(SchemaError, match="no column"):
        numbers(table, "nn")


def test_without_sequences_lengths_and_gc_are_typed_errors():
    with pytest.raises(SchemaError, match="sequence"):
        sequence_lengths(pa.table({"n": [1]}))
    with pytest.raises(SchemaError, match="not text"):
        gc_fraction(pa.table({"sequence": [1]}))


def test_the_line_says_what_is_sampled():
    table = table_of(["A"] * 2000)
    mask = np.arange(2000) < 312
    assert count_line(Sample(table, 20_000, 7, "x"), mask) == (
        "2,000 of 20,000 rows, seed 7; 312 match (15.6 %)"
    )
    assert count_line(Sample(table, 2000, 7, "x"), mask) == "All 2,000 rows; 312 match (15.6 %)"
    assert count_line(Sample(table[:0], 0, 7, "x"), mask[:0]) == "All 0 rows; 0 match"
