"""Motif search against a naive matcher that looks at every place and every spelling."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given, settings, strategies as st

from tests.filter.reference import hits
from usr_nb.contract.iupac import reverse_complement
from usr_nb.errors import ValidationError
from usr_nb.filter.motif import find_places, motif_search, rows_with_hit

CODES = "ACGTURYSWKMBDHVN"
sequences = st.lists(
    st.none() | st.text("ACGTNacgu", max_size=24) | st.text("ACGTx*é", max_size=12), max_size=6
)


@st.composite
def motifs(draw: st.DrawFn) -> str:
    parts = draw(st.lists(
        st.tuples(st.sampled_from("ACGTACGT" + CODES),
                  st.sampled_from(["", "", "", "{2}", "{0,2}", "{1,3}", "{0}"])),
        min_size=1, max_size=5,
    ))  # fmt: skip
    return draw(st.sampled_from(["", " "])).join(c + q for c, q in parts) + draw(
        st.sampled_from(["A", "n", "GT"])
    )


@st.composite
def anchors(draw: st.DrawFn):
    if draw(st.booleans()):
        return None
    low = draw(st.integers(0, 8))
    return low, low + draw(st.integers(1, 9))


def looked(texts, motif, **how):
    search = motif_search(motif, **how)
    found = find_places(pa.array(texts, pa.string()), search)
    rows: list[list] = [[] for _ in texts]
    for r, a, b, minus, missed in zip(
        *(v.tolist() for v in (found.row, found.start, found.end, found.minus, found.mismatches)),
        strict=True,
    ):
        rows[r].append((a, b, "-" if minus else "+", missed))
    return rows, rows_with_hit(pa.array(texts, pa.string()), search).tolist()


HOW = {
    "strand": st.sampled_from(["both", "+", "-"]), "mismatches": st.integers(0, 3),
    "start": anchors(), "circular": st.booleans(),
}  # fmt: skip


@settings(max_examples=150)
@given(sequences, motifs(), st.fixed_dictionaries(HOW))
def test_every_hit_is_found_once(texts, motif, how):
    rows, kept = looked(texts, motif, **how)
    assert rows == [hits(t or "", motif, **how) for t in texts]
    assert kept == [bool(r) for r in rows]


@pytest.mark.nightly
@settings(max_examples=5_000)
@given(sequences, motifs(), st.fixed_dictionaries(HOW))
def test_every_hit_is_found_once_over_many_cases(texts, motif, how):
    rows, kept = looked(texts, motif, **how)
    assert rows == [hits(t or "", motif, **how) for t in texts]
    assert kept == [bool(r) for r in rows]


@settings(max_examples=60)
@given(st.text("ACGT", min_size=1, max_size=30), st.text("ACGTRYN", min_size=1, max_size=5))
def test_a_strand_is_the_other_strand_of_the_reverse_complement(text, motif):
    (plus,), _ = looked([text], motif, strand="+")
    (minus,), _ = looked([reverse_complement(text)], motif, strand="-")
    n = len(text)
    assert sorted((n - b, n - a) for a, b, *_ in minus) == [(a, b) for a, b, *_ in plus]


def test_a_palindrome_on_both_strands_counts_once():
    (row,), _ = looked(["AAGAATTCTT"], "GAATTC")
    assert row == [(2, 8, "+", 0)]


def test_overlapping_hits_all_count():
    (row,), _ = looked(["AAAAA"], "AA", strand="+")
    assert [a for a, *_ in row] == [0, 1, 2, 3]


def test_a_gap_gives_a_hit_for_every_end():
    (row,), _ = looked(["TTGAAATATTAT"], "TTG N{1,4} TAT", strand="+")
    assert [(a, b) for a, b, *_ in row] == [(0, 9)]
    (row,), _ = looked(["TTTT"], "TN{0,2}T", strand="+")
    assert [(a, b) for a, b, *_ in row] == [(0, 2), (0, 3), (0, 4), (1, 3), (1, 4), (2, 4)]


def test_circular_hits_run_over_the_end_and_never_lap():
    assert looked(["GTACCCAC"], "ACGT", strand="+", circular=True)[0] == [[(6, 10, "+", 0)]]
    assert looked(["GTACCCAC"], "ACGT", strand="+")[0] == [[]]
    assert looked(["A"], "AA", strand="+", circular=True)[0] == [[]]
    assert looked(["AA"], "AA", strand="+", circular=True)[0] == [[(0, 2, "+", 0), (1, 3, "+", 0)]]


def test_the_anchor_is_the_leftmost_letter_on_either_strand():
    # TATAAT on the reverse strand of ATTATA.
    for start, found in (((2, 3), 1), ((0, 2), 0), ((3, 9), 0)):
        assert len(looked(["CCATTATACC"], "TATAAT", start=start)[0][0]) == found


def test_long_texts_are_searched_across_the_pieces():
    unit = "ACGGT" * 40_000
    text = unit[:131_069] + "TTTTTTT" + unit
    rows, _ = looked([text, text], "TTTTTTT", strand="+", mismatches=1)
    expected = [(131_069, 131_076, "+", 0)]
    assert [r for r in rows[0] if r[3] == 0] == expected == [r for r in rows[1] if r[3] == 0]


@pytest.mark.parametrize(
    ("motif", "says"),
    [
        ("", "1 to 500 letters"),
        ("TT5", "position 3"),
        ("A{0}", "may be empty"),
        ("A{0,3}", "may be empty"),
        ("N{0,600}A", "512 different lengths"),
        ("A{1000}C{1000}G{1000}", "at most 2,000 letters"),
        ("A{3,2}", "position 1"),
        ("TTÉ", "position 3"),
    ],
)
def test_a_bad_motif_says_where(motif, says):
    with pytest.raises(ValidationError, match=says):
        motif_search(motif)


def test_bad_choices_are_typed():
    with pytest.raises(ValidationError, match="strand"):
        motif_search("A", strand="x")  # type: ignore[arg-type]
    with pytest.raises(ValidationError, match="Mismatches"):
        motif_search("A", mismatches=4)
