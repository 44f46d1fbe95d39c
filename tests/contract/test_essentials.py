"""REC-1..3: the base schema, ids and alphabets."""

from __future__ import annotations

import hashlib

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, strategies as st

from usr_nb.contract.essentials import (
    ALPHABETS,
    ARROW_SCHEMA,
    REQUIRED_COLUMNS,
    alphabet_error,
    alphabet_hint,
    compute_id,
    first_bad_letter,
    normalize_sequence,
    validate_alphabet,
    validate_bio_type,
)
from usr_nb.contract.hashing import compute_ids, id_prefixes
from usr_nb.errors import AlphabetError, ValidationError
from usr_nb.overlay.lookup import trim

#: Everything that Python's str.strip removes; much of it other tools do not.
BLANKS = "".join(c for c in map(chr, range(0x110000)) if c.isspace())


def test_REC_1_essential_columns_and_types():
    wanted = ["id", "bio_type", "sequence", "alphabet", "length", "source", "created_at"]
    assert list(REQUIRED_COLUMNS) == wanted == ARROW_SCHEMA.names
    types = ["string"] * 4 + ["int32", "string", "timestamp[us, tz=UTC]"]
    assert [str(f.type) for f in ARROW_SCHEMA] == types
    assert not any(f.nullable for f in ARROW_SCHEMA)


@given(
    st.sampled_from(["dna", "rna", "protein"]),
    st.text(alphabet="ACGTNacgtnUWXé", max_size=30),
    st.text(alphabet=BLANKS, max_size=3),
    st.text(alphabet=BLANKS, max_size=3),
)
def test_REC_2_id_is_sha1_of_type_and_trimmed_sequence(kind, core, before, after):
    wanted = hashlib.sha1(f"{kind}|{core}".encode()).hexdigest()
    assert compute_id(kind, before + core + after) == wanted
    trimmed = normalize_sequence(before + core + after)
    assert trimmed == core
    got = compute_ids(pa.array([kind]), pa.array([trimmed]))
    assert got.to_pylist() == [wanted]


def test_REC_2_known_ids():
    assert compute_id("dna", "ACGT") == "ee93db6725ec05c3d18249d7fdba5d36a6a695cd"
    assert compute_id("dna", "acgt") != compute_id("dna", "ACGT")
    assert compute_id("rna", "ACG") != compute_id("dna", "ACG")


@pytest.mark.parametrize("blank", list("\x1c\x1d\x1e\x1f\x85\xa0\u2003\u2028\u3000\t\n\x0b\x0c\r "))
def test_REC_2_strip_is_pythons(blank):
    assert normalize_sequence(f"{blank}AC{blank}GT{blank}") == f"AC{blank}GT"
    column = pa.chunked_array([[f"{blank}AC{blank}GT{blank}", "ACGT", None]])
    assert trim(column).to_pylist() == [f"AC{blank}GT", "ACGT", None]


@pytest.mark.parametrize("kept", ["\u200b", "\ufeff", "\0", "\x1b", "\u180e", "\u2060"])
def test_REC_2_strip_takes_nothing_else(kept):
    assert normalize_sequence(kept + "AC" + kept) == kept + "AC" + kept


@given(st.lists(st.none() | st.text(max_size=6) | st.text(alphabet=BLANKS + "ab", max_size=6)))
def test_REC_2_strip_of_columns_is_pythons(cells):
    column = pa.chunked_array([pa.array(cells, pa.string())])
    assert trim(column).to_pylist() == [None if c is None else c.strip() for c in cells]


@pytest.mark.parametrize("bad", [None, 3, b"ACGT", ["A"], "\ud800"])
def test_REC_2_what_is_no_text_is_a_typed_error(bad):
    with pytest.raises(ValidationError):
        compute_id("dna", bad)


@pytest.mark.parametrize("kind", ["DNA", "dna ", "", "peptide", None, 3, ["dna"]])
def test_REC_3_bio_types_are_exact(kind):
    with pytest.raises(ValidationError, match="is not one of dna, rna, protein"):
        validate_bio_type(kind)
    with pytest.raises(ValidationError):
        compute_id(kind, "ACGT")


@pytest.mark.parametrize("name", ["DNA_4", "dna", "dna_6", "", None, ["dna_4"], {}])
def test_REC_3_unknown_alphabets(name):
    with pytest.raises(ValidationError, match="is not one of"):
        validate_alphabet(name)


@pytest.mark.parametrize("kind", ["dna", "rna", "protein"])
@pytest.mark.parametrize("name", list(ALPHABETS))
def test_REC_3_an_alphabet_belongs_to_its_bio_type(name, kind):
    if name.startswith(kind):
        assert validate_alphabet(name, kind) == name
    else:
        with pytest.raises(ValidationError, match="does not belong") as e:
            validate_alphabet(name, kind)
        assert f"{kind}_" in e.value.hint


LETTERS = {
    "dna_4": "ACGT", "dna_5": "ACGTN", "rna_4": "ACGU", "rna_5": "ACGUN",
    "protein_20": "ARNDCQEGHILKMFPSTWYV", "protein_21": "ARNDCQEGHILKMFPSTWYVX",
}  # fmt: skip


@pytest.mark.parametrize("name", list(LETTERS))
def test_REC_3_letters_of_each_alphabet_in_either_case(name):
    assert list(ALPHABETS) == list(LETTERS)
    for code in range(0x250):
        letter = chr(code)
        legal = letter in LETTERS[name] or letter in LETTERS[name].lower()
        assert (first_bad_letter(f"{LETTERS[name]}{letter}", name) is None) == legal, letter


@given(st.text(alphabet="ACGTacgtNnUu-* ", max_size=40), st.sampled_from(list(LETTERS)))
@example("acgn", "dna_4")
def test_REC_3_first_bad_letter_is_the_first(sequence, name):
    found = first_bad_letter(sequence, name)
    legal = LETTERS[name] + LETTERS[name].lower()
    wrong = [i for i, c in enumerate(sequence) if c not in legal]
    assert found == ((wrong[0], sequence[wrong[0]]) if wrong else None)


@pytest.mark.parametrize(
    ("letter", "name", "says"),
    [("N", "dna_4", "dna_5"), ("n", "rna_4", "rna_5"), ("U", "dna_4", "rna_4"),
     ("t", "rna_5", "dna_4"), ("-", "dna_5", "Gaps"),
     ("*", "protein_20", "--strip-stop"), ("X", "protein_20", "protein_21")],
)  # fmt: skip
def test_IMP_2_hints_for_wrong_letters(letter, name, says):
    assert says in alphabet_hint(letter, name)
    error = alphabet_error(7, 3, letter, name, 2)
    assert isinstance(error, AlphabetError)
    assert "Row 7" in error.message
    assert repr(letter) in error.message
    assert "position 4" in error.message, "positions are 1-based for people"
    assert says in error.hint


def test_IMP_2_no_hint_where_none_fits():
    assert alphabet_hint("Z", "dna_4") is None


IDS = st.binary(min_size=20, max_size=20).map(bytes.hex)


@given(st.lists(IDS | st.none() | st.text(max_size=45) | IDS.map(str.upper), max_size=20))
def test_REC_2_id_prefixes_are_equal_for_equal_ids(ids):
    for array in (
        pa.array(ids, pa.string()),
        pa.array(ids, pa.large_string()),
        pa.array([None, "x", *ids], pa.string())[2:],
    ):
        got = id_prefixes(array)
        assert got.dtype == np.uint64
        assert len(got) == len(ids)
        for value, number in zip(ids, got.tolist(), strict=True):
            assert number == id_prefixes(pa.array([value], pa.string()))[0]


@given(st.lists(IDS, min_size=1, max_size=20))
def test_REC_2_id_prefixes_are_the_first_eight_bytes(ids):
    wanted = [int.from_bytes(bytes.fromhex(i)[:8], "big") for i in ids]
    assert id_prefixes(pa.array(ids)).tolist() == wanted
    sliced = pa.array(["f" * 40, *ids, "0" * 40])[1:-1]
    assert id_prefixes(sliced).tolist() == wanted
