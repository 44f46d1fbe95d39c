"""Lengths, GC and the filter, against plain Python and `re` written here."""

from __future__ import annotations

import math
import re

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, strategies as st

from usr_nb.analysis.explore import (
    Criteria,
    count_line,
    filter_mask,
    gc_fraction,
    numbers,
    numeric_columns,
    sequence_lengths,
    text_columns,
)
from usr_nb.analysis.sampling import Sample
from usr_nb.errors import SchemaError, ValidationError

DNA = st.text("ACGTNacgtn", max_size=40)
CODES = {"A": "A", "C": "C", "G": "G", "T": "T", "R": "[AG]", "Y": "[CT]", "S": "[CG]",
         "W": "[AT]", "K": "[GT]", "M": "[AC]", "B": "[CGT]", "D": "[AGT]", "H": "[ACT]",
         "V": "[ACG]", "N": "[ACGTN]"}  # fmt: skip
PAIRS = dict(zip("ACGTRYSWKMBDHVN", "TGCAYRSWMKVHDBN", strict=True))


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
    assert text_columns(schema) == ["sequence", "id", "names"]


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


# ------------------------------------------------------------------ the filter


@given(st.lists(st.one_of(st.none(), DNA), max_size=15), st.text("ACGTacgt.*+", max_size=4))
def test_text_is_looked_for_as_it_stands_whatever_its_case(found, wanted):
    mask = filter_mask(table_of(found), Criteria(search=wanted))
    expected = [not wanted or (s is not None and wanted.lower() in s.lower()) for s in found]
    assert mask.tolist() == expected


@given(st.lists(DNA, max_size=15), st.sampled_from(["A+C", "^ACG", "(GG|TT)C?$", "[AC]{3}"]))
def test_regular_expressions_match_as_in_re(found, pattern):
    mask = filter_mask(table_of(found), Criteria(search=pattern, kind="regex"))
    assert mask.tolist() == [bool(re.search(pattern, s, re.IGNORECASE)) for s in found]


@given(
    st.lists(DNA, max_size=15), st.text("ACGTRYSWKMBDHVN", min_size=1, max_size=5), st.booleans()
)
def test_motifs_match_on_one_or_both_strands(found, motif, both):
    criteria = Criteria(search=motif, kind="iupac", both_strands=both)
    forward = "".join(CODES[letter] for letter in motif)
    backward = "".join(CODES[PAIRS[letter]] for letter in reversed(motif))
    patterns = [forward, backward] if both else [forward]
    expected = [any(re.search(p, s, re.IGNORECASE) for p in patterns) for s in found]
    assert filter_mask(table_of(found), criteria).tolist() == expected


def test_a_spaced_motif_with_a_count():
    found = ["TTGACA" + "A" * 17 + "TATAAT", "TTGACA" + "A" * 15 + "TATAAT"]
    criteria = Criteria(search="TTGACA N{16,18} TATAAT", kind="iupac")
    assert filter_mask(table_of(found), criteria).tolist() == [True, False]


@given(
    st.lists(DNA, max_size=15),
    st.tuples(st.integers(0, 40), st.integers(0, 40)),
    st.tuples(st.integers(0, 100), st.integers(0, 100)),
)
def test_ranges_include_both_ends(found, length, percent):
    criteria = Criteria(length=length, gc=(percent[0] / 100, percent[1] / 100))
    expected = [
        length[0] <= len(s) <= length[1] and percent[0] / 100 <= gc_by_hand(s) <= percent[1] / 100
        for s in found
    ]
    assert filter_mask(table_of(found), criteria).tolist() == expected


def test_criteria_hold_together():
    table = table_of(["ACGT", "ACGTAC", "GGGG", None])
    criteria = Criteria(search="AC", length=(5, 9), gc=(0.0, 0.6))
    assert filter_mask(table, criteria).tolist() == [False, True, False, False]
    assert filter_mask(table, Criteria()).all()


def test_any_item_of_a_list_may_match():
    names = pa.array([["alpha", "beta"], None, [], ["gamma"], [None, "BETA2"]])
    table = table_of(["A"] * 5, names=names)
    mask = filter_mask(table, Criteria(search="beta", column="names"))
    assert mask.tolist() == [True, False, False, False, True]
    sliced = filter_mask(table.slice(3), Criteria(search="beta", column="names"))
    assert sliced.tolist() == [False, True]


@pytest.mark.parametrize(
    ("criteria", "error"),
    [
        (Criteria(search="(", kind="regex"), ValidationError),
        (Criteria(search="TTX", kind="iupac"), ValidationError),
        (Criteria(search="a", column="nope"), SchemaError),
        (Criteria(search="a", column="n"), SchemaError),
    ],
)
def test_what_cannot_be_searched_is_a_typed_error(criteria, error):
    with pytest.raises(error) as caught:
        filter_mask(table_of(["ACGT"], n=[1]), criteria)
    assert caught.value.hint


def test_the_line_says_what_is_sampled():
    table = table_of(["A"] * 2000)
    mask = np.arange(2000) < 312
    assert count_line(Sample(table, 20_000, 7, "x"), mask) == (
        "2,000 of 20,000 rows, seed 7; 312 match (15.6 %)"
    )
    assert count_line(Sample(table, 2000, 7, "x"), mask) == "All 2,000 rows; 312 match (15.6 %)"
    assert count_line(Sample(table[:0], 0, 7, "x"), mask[:0]) == "All 0 rows; 0 match"
