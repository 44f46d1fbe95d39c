"""LAY-8, OVL-5, STA-3, GET-2: times, order, record state, degenerate motifs."""

from __future__ import annotations

import itertools
import random
import re
from datetime import UTC, datetime, timedelta, timezone

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, strategies as st

from usr_nb.contract import times
from usr_nb.contract.iupac import IUPAC, motif_pattern, parse_motif, reverse_complement
from usr_nb.contract.order import next_created_at, part_key
from usr_nb.contract.records import STATE_SCHEMA, TOMBSTONE_SCHEMA, check_state
from usr_nb.errors import SchemaError, SequencesError, ValidationError

# Not to the very ends of the calendar, where a zone would lead out of it.
INSTANTS = st.datetimes(
    datetime(1, 1, 3), datetime(9999, 12, 29),  # noqa: DTZ001
    timezones=st.integers(-86_000, 86_000).map(lambda s: timezone(timedelta(seconds=s))),
)  # fmt: skip


@given(INSTANTS)
def test_LAY_8_text_and_back(at):
    text = times.to_text(at)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", text)
    assert times.parse(text) == at
    assert times.parse(text).tzinfo is UTC


@given(INSTANTS.filter(lambda t: t.year > 1000))
def test_LAY_8_stamps_are_the_same_instant_without_punctuation(at):
    bare = re.sub(r"[-:.Z]", "", times.to_text(at))
    assert times.to_part_stamp(at) == f"{bare}Z"
    assert times.to_snapshot_stamp(at) == bare


def test_LAY_8_without_a_zone_it_is_utc():
    assert times.to_text(times.parse(" 2026-01-02 03:04 ")) == "2026-01-02T03:04:00.000000Z"
    assert times.to_text(times.parse("2026-01-02T03:04:05+02:00")) == "2026-01-02T01:04:05.000000Z"


@pytest.mark.parametrize(
    "text", ["", "yesterday", "2026-13-01", "9", None, 5, "0001-01-01T00:00:00+23:00"]
)
def test_LAY_8_what_is_no_time_is_a_typed_error(text):
    with pytest.raises(SchemaError, match="here"):
        times.parse(text, where="here")


@given(st.lists(st.tuples(INSTANTS, st.text(max_size=3)), min_size=2))
def test_OVL_5_newest_by_time_then_name(parts):
    ranked = sorted(parts, key=lambda p: part_key(*p))
    for (t1, n1), (t2, n2) in itertools.pairwise(ranked):
        assert t1 < t2 or (t1 == t2 and n1 <= n2)


@given(INSTANTS, st.none() | INSTANTS)
def test_OVL_5_a_slow_clock_cannot_lose_a_write(now, newest):
    at = next_created_at(now, newest)
    assert at >= now
    if newest is not None:
        assert at > newest
        assert at in (now, newest + timedelta(microseconds=1))


def test_DEL_1_tombstone_columns():
    assert [(f.name, str(f.type)) for f in TOMBSTONE_SCHEMA] == [
        ("id", "string"), ("usr__deleted", "bool"),
        ("usr__deleted_at", "timestamp[us, tz=UTC]"), ("usr__deleted_reason", "string"),
    ]  # fmt: skip


def test_STA_3_state_columns():
    assert [n.removeprefix("usr_state__") for n in STATE_SCHEMA.names] == [
        "id", "masked", "qc_status", "split", "supersedes", "lineage",
    ]  # fmt: skip


GOOD = {"masked": [True, False], "qc_status": ["pass", "fail", "warn", "unknown"],
        "split": ["train", "val", "test", "holdout"], "supersedes": ["ab"],
        "lineage": [["a"], ("a", "b"), iter(["a"])]}  # fmt: skip
BAD = {"masked": [1, "true", "yes"], "qc_status": ["Pass", "ok", "", 3, ["pass"]],
       "split": ["Train", "dev", "validation", True], "supersedes": ["", 3, ["a"]],
       "lineage": ["a", [], iter([]), [""], ["a", None], [3], 3, {"a": 1}.values()]}  # fmt: skip


@pytest.mark.parametrize(("field", "value"), [(k, v) for k, vs in GOOD.items() for v in vs])
def test_STA_3_words_that_are_allowed(field, value):
    found = check_state({field: value, "split": None} if field != "split" else {field: value})
    assert list(found) == [field]
    if field != "lineage":
        assert found[field] == value
    else:
        assert found[field][0] == "a"
        assert isinstance(found[field], list)


@pytest.mark.parametrize(("field", "value"), [(k, v) for k, vs in BAD.items() for v in vs])
def test_STA_3_everything_else_is_refused(field, value):
    with pytest.raises(ValidationError, match=field):
        check_state({field: value})


@pytest.mark.parametrize("values", [{}, {"masked": None, "lineage": None}])
def test_STA_3_at_least_one_field(values):
    with pytest.raises(ValidationError, match="No state field"):
        check_state(values)


# Motifs, against matching base by base ------------------------------------------------------------

SETS = {"A": "A", "C": "C", "G": "G", "T": "T", "R": "AG", "Y": "CT", "S": "GC", "W": "AT",
        "K": "GT", "M": "AC",
        "B": "CGT", "D": "AGT", "H": "ACT", "V": "ACG", "N": "ACGTN"}  # fmt: skip
PAIRS = {"A": "T", "C": "G", "G": "C", "T": "A", "N": "N"}


def oracle(motif: str, sequence: str) -> bool:
    spans = range(len(sequence) - len(motif) + 1)
    return any(all(sequence[i + j] in SETS[m] for j, m in enumerate(motif)) for i in spans)


def revcomp(sequence: str) -> str:
    return "".join(PAIRS[c] for c in reversed(sequence))


def matches(pattern: str, sequence: str) -> bool:
    return pc.match_substring_regex(pa.array([sequence]), pattern)[0].as_py()


@given(
    st.text(alphabet="".join(SETS), min_size=1, max_size=4), st.text(alphabet="ACGTN", max_size=12)
)
def test_GET_2_motifs_match_what_they_stand_for(motif, sequence):
    assert matches(motif_pattern(motif), sequence) == oracle(motif, sequence)
    assert matches(motif_pattern(motif.lower()), sequence) == oracle(motif, sequence)


@given(
    st.text(alphabet="".join(SETS), min_size=1, max_size=4), st.text(alphabet="ACGTN", max_size=12)
)
def test_GET_2_both_strands(motif, sequence):
    wanted = oracle(motif, sequence) or oracle(motif, revcomp(sequence))
    assert matches(motif_pattern(motif, both_strands=True), sequence) == wanted


@pytest.mark.parametrize("code", sorted(SETS))
def test_GET_2_every_code_one_by_one(code):
    for base in "ACGTN":
        assert matches(motif_pattern(code), base) == (base in SETS[code])
    assert ("U" in IUPAC[code]) == ("T" in SETS[code]), "RNA is read like DNA"


def test_GET_2_counts():
    assert parse_motif("TTG N{16,18} R")[3:] == [("N", "{16,18}"), ("R", "")]
    pattern = motif_pattern("AN{2,3}C")
    rng = random.Random(1)
    for _ in range(300):
        s = "".join(rng.choices("ACGT", k=6))
        wanted = any(oracle("A" + "N" * n + "C", s) for n in (2, 3))
        assert matches(pattern, s) == wanted
    both = motif_pattern("AN{2}CC", both_strands=True)
    assert matches(both, "GGTTT")
    assert not matches(both, "GGTTG")


@pytest.mark.parametrize(
    "motif", ["", " ", "Z", "A*", "A.", "(A)", "A{", "A{2", "A{,3}", "A{3,2}", "A{1001}",
              "A{1,2000}",               "A{٣}", "A\0", "é", "N" * 501, "[AC]", "A|C"]
)  # fmt: skip
def test_GET_2_bad_motifs_are_typed_errors(motif):
    with pytest.raises(ValidationError):
        motif_pattern(motif)


@given(st.text(alphabet="ACGTRYN{},0123456789 \n٣é[]()*", max_size=15))
def test_GET_2_any_motif_gives_a_pattern_or_a_typed_error(motif):
    try:
        pattern = motif_pattern(motif, both_strands=True)
    except SequencesError:
        return
    matches(pattern, "ACGT")


@given(st.text(alphabet="ACGTNacgtnRYKMBDHVSWrykmbdhvsw", max_size=20))
def test_GET_2_reverse_complement_is_its_own_inverse(sequence):
    assert reverse_complement(reverse_complement(sequence)) == sequence
    if set(sequence) <= set("ACGTN"):
        assert reverse_complement(sequence) == revcomp(sequence)
    assert reverse_complement(reverse_complement("ACGUNacgun", rna=True), rna=True) == "ACGUNacgun"
