"""FASTA in and out."""

from __future__ import annotations

import gzip

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from usr_nb.errors import SchemaError, ValidationError
from usr_nb.readers import fasta, open_rows
from usr_nb.readers.fasta import format_fasta


def again(path):
    """Read the file and write it as its facts say."""
    rows = open_rows(path)
    heads, seqs = [], []
    for batch in rows:
        heads += batch.column("header").to_pylist()
        seqs += batch.column("sequence").to_pylist()
    facts = rows.extra
    out = b"".join(format_fasta(heads, seqs, width=facts["line_width"], newline=facts["newline"]))
    return (out if facts["final_newline"] else out.removesuffix(facts["newline"].encode())), facts


def test_IMP_1_columns_of_a_record(write, table):
    path = write("a.fa", ">sp|P1|X  two  words\tand tab\nACgt\nNN\n>\nTT\n>é ü\nGG\n>d\n")
    assert table(path) == {
        "sequence": ["ACgtNN", "TT", "GG", ""],
        "name": ["sp|P1|X", "", "é", "d"],
        "description": [" two  words\tand tab", "", "ü", ""],
        "header": ["sp|P1|X  two  words\tand tab", "", "é ü", "d"],
    }


@pytest.mark.parametrize("suffix", ["fa", "fasta", "fna", "faa", "FA"])
def test_IMP_1_suffixes_and_gzip(write, table, suffix):
    packed = gzip.compress(b">a\nAC\n")
    assert table(write(f"x.{suffix}.gz", packed), columns=["sequence"]) == {"sequence": ["AC"]}


def test_IMP_1_blank_lines_crlf_and_bom(write, table):
    path = write("a.fa", "\ufeff\r\n\n>a\r\nAC\r\n\r\nGT\r\n  \r\n>b\r\nTT")
    assert table(path, columns=["header", "sequence"]) == {
        "header": ["a", "b"],
        "sequence": ["ACGT", "TT"],
    }


@pytest.mark.parametrize("content", ["", "\n \n"])
def test_IMP_1_file_without_records_has_no_rows(write, table, content):
    assert table(write("a.fa", content), columns=["sequence"]) == {"sequence": []}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("\n\nACGT\n>a\nAC\n", "line 3 comes before the first record: 'ACGT'"),
        ("; comment\n>a\nAC\n", "line 1 comes before"),
        (">a\nAC\n>b\n;x\nGG\n", r"line 4 \(record 2\) is a comment"),
        (b">a\nAC\n>\xff\nGG\n", "record 2: the header is not UTF-8"),
        (b">a\nAC\n>b\n\xff\xfe\n", "record 2: the sequence is not UTF-8"),
        (">a\rACGT\r>b\rGG\r", "record 1: a carriage return inside the header"),
    ],
)
def test_IMP_1_errors_name_the_place(write, content, message):
    with pytest.raises(SchemaError, match=message) as e:
        list(open_rows(write("a.fa", content)))
    assert e.value.message.startswith(str(e.value.message.split(": ")[0]))
    assert e.value.hint


def test_IMP_5_records_across_chunks(write, table, monkeypatch):
    monkeypatch.setattr(fasta, "_CHUNK", 16)
    records = [(f"r{i} x", "ACGT" * (i % 30)) for i in range(200)]
    path = write("a.fa", b"".join(format_fasta(*zip(*records, strict=True), width=7)))
    found = table(path, batch_rows=33)
    assert list(zip(found["header"], found["sequence"], strict=True)) == records
    assert [b.num_rows for b in open_rows(path, batch_rows=33)] == [33] * 6 + [2]


def test_IMP_5_endless_record_is_refused(write, monkeypatch):
    monkeypatch.setattr(fasta, "_LONGEST_RECORD", 100)
    monkeypatch.setattr(fasta, "_CHUNK", 50)
    monkeypatch.setattr(fasta, "_PEEK", 50)
    with pytest.raises(SchemaError, match="record 2 is longer"):
        list(open_rows(write("a.fa", ">a\nA\n>b\n" + "ACGT\n" * 100)))


@pytest.mark.parametrize(
    ("content", "width", "newline", "final"),
    [
        (b">a\nACGTACGT\n>b\nA\n", None, "\n", True),
        (b">a\nA\n>b\nACGT\nACGT\nA\n>c\nACGT\n>d\n", 4, "\n", True),
        (b">a\r\nACGT\r\nAC\r\n", 4, "\r\n", True),
        (b">a\nACGT\n>b\nGG", None, "\n", False),
    ],
)
def test_IMP_1_same_file_again(write, content, width, newline, final):
    out, facts = again(write("a.fa", content))
    assert out == content
    assert facts == {"line_width": width, "newline": newline, "final_newline": final, "exact": True}


@pytest.mark.parametrize(
    "content",
    [
        b">a\nAC\n\n>b\nGG\n",
        b">a\nACGT\nACG\n>b\nAC\nGT\n",
        b">a\nACGTA\n>b\nACGT\nA\n",
        b">a\r\nAC\n>b\r\nGG\r\n",
        b">a\nAC\nGTA\n",
        b"\n>a\nAC\n",
    ],
)
def test_IMP_1_facts_admit_when_the_file_would_differ(write, content):
    out, facts = again(write("a.fa", content))
    assert not facts["exact"]
    assert out != content


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=12)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    records=st.lists(st.tuples(TEXT, st.text("ACGTacgtN*-", max_size=30)), min_size=1, max_size=8),
    width=st.none() | st.integers(1, 12),
    newline=st.sampled_from(["\n", "\r\n"]),
    chunk=st.integers(1, 40),
)
def test_IMP_1_any_records_give_the_same_file_again(write, records, width, newline, chunk):
    heads, seqs = zip(*records, strict=True)
    content = b"".join(format_fasta(heads, seqs, width=width, newline=newline))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fasta, "_CHUNK", chunk)
        out, facts = again(write("p.fa", content))
    assert out == content
    assert facts["exact"]


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from([b">", b"a", b" ", b"AC", b"\n", b"\r\n", b"GGG"]), max_size=25))
def test_IMP_1_exact_is_said_exactly_when_true(write, parts):
    content = b"".join(parts)
    path = write("p.fa", content)
    try:
        out, facts = again(path)
    except SchemaError:
        return
    if facts["exact"]:
        assert out == content


@pytest.mark.parametrize("pair", [("a\n>b", "AC"), ("a", "AC\n>b"), ("a\r", "AC")])
def test_IMP_1_line_ends_cannot_forge_records(pair):
    with pytest.raises(ValidationError, match=r"record 1: the .* holds a line end"):
        list(format_fasta([pair[0]], [pair[1]]))


def test_IMP_1_writer_refuses_bad_arguments():
    with pytest.raises(ValidationError, match="width"):
        list(format_fasta(["a"], ["A"], width=0))
    with pytest.raises(ValidationError, match="differ in number after record 1"):
        list(format_fasta(["a", "b"], ["A"]))
