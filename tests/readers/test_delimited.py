"""csv and tsv."""

from __future__ import annotations

import csv
import gzip
import io

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from usr_nb.errors import SchemaError, SequencesError
from usr_nb.readers import delimited, open_rows


def test_IMP_6_only_empty_unquoted_cells_are_null(write, table):
    path = write("a.csv", 'sequence,x,y\nACGT,,""\nNA,none,nan\nnull,NULL,N/A\n')
    assert table(path) == {
        "sequence": ["ACGT", "NA", "null"],
        "x": [None, "none", "NULL"],
        "y": ["", "nan", "N/A"],
    }
    assert open_rows(path).is_text


def test_IMP_6_text_that_looks_like_numbers_stays_as_written(write, table):
    path = write("a.csv", "n,t\n007,1e5\n1.50,TRUE\n")
    assert table(path) == {"n": ["007", "1.50"], "t": ["1e5", "TRUE"]}


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("bom", ["", "\ufeff"])
@pytest.mark.parametrize("tail", [True, False])
def test_IMP_1_line_ends_bom_and_last_line(write, table, end, bom, tail):
    lines = ["sequence,n", '"A,C",1', '"x""y",2', ""]
    text = bom + end.join(lines)
    path = write("a.csv", text if tail else text.rstrip("\r\n"))
    assert table(path) == {"sequence": ["A,C", 'x"y'], "n": ["1", "2"]}


def test_IMP_1_tsv_and_gzip_told_by_content(write, table):
    assert table(write("a.tsv", "a\tb\n1,2\t3\n")) == {"a": ["1,2"], "b": ["3"]}
    packed = gzip.compress(b"a,b\n1,2\n")
    assert table(write("a.csv.gz", packed)) == {"a": ["1"], "b": ["2"]}
    assert table(write("b.csv", packed)) == {"a": ["1"], "b": ["2"]}


def test_IMP_1_newlines_inside_quotes(write, table):
    path = write("a.csv", '"col\nname",b\n"x\r\ny",2\n')
    assert table(path) == {"col\nname": ["x\r\ny"], "b": ["2"]}


def test_IMP_1_columns_are_kept_in_the_order_asked_for(write, table):
    path = write("a.csv", b"a,b,c\n1,\xff,3\n")
    assert table(path, columns=["c", "a"]) == {"c": ["3"], "a": ["1"]}


def test_IMP_1_no_columns_keep_the_number_of_rows(write):
    batches = list(open_rows(write("a.csv", "a,b\n1,2\n3,4\n"), columns=[]))
    assert sum(batch.num_rows for batch in batches) == 2


def test_IMP_1_missing_column_names_what_there_is(write):
    path = write("a.csv", "Sequence,n\nACGT,1\n")
    with pytest.raises(
        SchemaError, match=r"a\.csv: no column 'sequence'; it has 'Sequence', 'n'"
    ) as e:
        open_rows(path, columns=["sequence"])
    assert e.value.hint == "Did you mean 'Sequence'?"
    with pytest.raises(SchemaError) as e:
        open_rows(write("b.csv", "sequence;n\nACGT;1\n"), columns=["zzz"])
    assert "semicolons" in e.value.hint


def test_IMP_1_repeated_column_names(write):
    with pytest.raises(SchemaError, match="more than once: 'a'"):
        open_rows(write("a.csv", "a,b,a\n1,2,3\n"))


@pytest.mark.parametrize("content", ["", "\n\n", "\ufeff", "\r\n"])
def test_IMP_1_empty_file(write, content):
    with pytest.raises(SchemaError, match="no header"):
        open_rows(write("a.csv", content))


@pytest.mark.parametrize("content", ["a,b", "a,b\n", "\n\na,b\r\n\r\n"])
def test_IMP_1_header_only_has_no_rows_and_a_schema(write, content):
    rows = open_rows(write("a.csv", content))
    assert rows.schema == pa.schema([("a", pa.string()), ("b", pa.string())])
    assert sum(batch.num_rows for batch in rows) == 0


@pytest.mark.parametrize(("line", "got"), [("1", 1), ("1,2,3", 3)])
def test_IMP_1_ragged_row_is_named(write, line, got):
    content = 'a,b\n"x\ny",2\n\n' + "1,2\n" * 600_000 + line + "\n"
    with pytest.raises(SchemaError, match=rf"row 600002 has {got} cells, the header has 2"):
        list(open_rows(write("a.csv", content)))


def test_IMP_1_invalid_utf8_names_row_and_column(write):
    with pytest.raises(SchemaError, match="column 'b', row 2 is not UTF-8") as e:
        list(open_rows(write("a.csv", b"a,b\n1,2\n3,\xff\xfe\n")))
    assert "UTF-8" in e.value.hint
    with pytest.raises(SchemaError, match="header is not UTF-8"):
        open_rows(write("b.csv", "sequence,n\n".encode("utf-16")))


@pytest.mark.parametrize("body", ['1,"2\n3,4\n', '1,"', '1,2\n3,"', '1,"2""\n'])
def test_IMP_1_quote_left_open_is_an_error(write, body):
    with pytest.raises(SchemaError, match="never closed"):
        list(open_rows(write("a.csv", "a,b\n" + body)))
    with pytest.raises(SchemaError, match="never closed"):
        open_rows(write("b.csv", 'a,"b\n1,2\n'))


def test_IMP_2_blank_lines_in_one_column_are_rows_but_at_the_end(write, table):
    assert table(write("a.csv", 'a\nx\n\n""\n\ny\n\n\n')) == {"a": ["x", None, "", None, "y"]}
    assert table(write("b.csv", "a,b\n\n1,2\n\n")) == {"a": ["1"], "b": ["2"]}


def test_IMP_2_crlf_split_between_blocks_adds_no_row(write, table, monkeypatch):
    for block in (8, 9, 10, 11):
        monkeypatch.setattr(delimited, "_BLOCK", block)
        path = write("a.csv", "a\r\n" + "xyz\r\n" * 40)
        assert table(path) == {"a": ["xyz"] * 40}


def test_IMP_5_row_longer_than_a_block_is_read(write, table, monkeypatch):
    monkeypatch.setattr(delimited, "_BLOCK", 64)
    path = write("a.csv", "a,b\n" + "1,2\n" * 50 + "3," + "A" * 1000 + "\n" + "5,6\n" * 50)
    found = table(path)
    assert found["a"] == ["1"] * 50 + ["3"] + ["5"] * 50
    assert found["b"][50] == "A" * 1000


def test_IMP_5_row_beyond_all_blocks_is_refused(write, monkeypatch):
    monkeypatch.setattr(delimited, "_BLOCK", 64)
    monkeypatch.setattr(delimited, "_LARGEST_ROW", 256)
    path = write("a.csv", "a,b\n" + "1,2\n" * 64 + "3," + "A" * 300_000 + "\n")
    with pytest.raises(SchemaError, match="row 65 is longer"):
        list(open_rows(path))


def test_IMP_5_memory_of_a_large_csv_is_bounded(tmp_path):
    path = tmp_path / "a.csv"
    line = "ACGT" * 60 + ",x\n"
    path.write_text("sequence,source\n" + line * 300_000)
    before, peak, seen = pa.total_allocated_bytes(), 0, 0
    for batch in open_rows(path):
        seen += batch.num_rows
        peak = max(peak, pa.total_allocated_bytes() - before)
    assert seen == 300_000
    assert peak < 32 << 20 < path.stat().st_size


def test_IMP_1_batches_have_at_most_batch_rows(write):
    path = write("a.csv", "a,b\n" + "1,2\n" * 25)
    assert [batch.num_rows for batch in open_rows(path, batch_rows=10)] == [10, 10, 5]


@pytest.mark.parametrize("cut", [20, -6])
def test_IMP_1_damaged_gzip(write, cut):
    packed = gzip.compress("".join(f"{i},{i * 7919 % 1000}\n" for i in range(3000)).encode())
    with pytest.raises(SchemaError, match="gzip"):
        list(open_rows(write("a.csv.gz", packed[:cut])))


CELL = st.none() | st.text(
    st.characters(codec="utf-8", exclude_characters="\x00") | st.sampled_from(',"\n\r\t NA'),
    max_size=8,
)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.integers(1, 4).flatmap(
        lambda n: st.lists(st.lists(CELL, min_size=n, max_size=n), max_size=8)
    ),
    mark=st.sampled_from(",\t"),
    end=st.sampled_from(["\n", "\r\n"]),
)
def test_IMP_6_every_cell_comes_back_as_written(write, table, rows, mark, end):
    width = len(rows[0]) if rows else 2
    names = [f"c{i}" for i in range(width)]
    quoted = [['"' + c.replace('"', '""') + '"' if c is not None else "" for c in r] for r in rows]
    text = end.join([mark.join(names), *map(mark.join, quoted), ""])
    # Blank lines at the end of one column, and a row of one empty cell, are no rows.
    while width == 1 and rows and rows[-1] == [None]:
        rows = rows[:-1]
    found = table(write("p.csv", text), fmt="csv" if mark == "," else "tsv")
    assert found == {name: [row[i] for row in rows] for i, name in enumerate(names)}


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(st.text('ab,"\n', max_size=5), min_size=2, max_size=2), max_size=6))
def test_IMP_1_reads_what_pythons_csv_writes(write, table, rows):
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([["p", "q"], *rows])
    found = table(write("p.csv", out.getvalue()))
    assert found["p"] == [row[0] or None for row in rows]
    assert found["q"] == [row[1] or None for row in rows]


@settings(max_examples=200)
@given(
    st.binary(max_size=40).map(lambda b: b.translate(bytes(b',"\n\rab'[i % 6] for i in range(256))))
)
def test_IMP_1_header_splits_as_pyarrow_splits(data):
    split = delimited.split_record(data, b",", at_end=True)
    if split is None or data[:1] in (b"", b"\n", b"\r"):
        return
    from pyarrow import csv as pacsv

    try:
        names = pacsv.read_csv(
            io.BytesIO(data[: split[1]]), parse_options=pacsv.ParseOptions(newlines_in_values=True)
        ).column_names
    except pa.ArrowInvalid:
        return
    assert [cell.decode() for cell in split[0]] == names


@settings(max_examples=500)
@given(
    parts=st.lists(st.sampled_from([b'"', b",", b"\n", b"\r", b"\r\n", b"a", b'""', b'"b"'])),
    cut=st.integers(0, 40),
)
def test_IMP_1_blocks_are_cut_where_records_end(parts, cut):
    # Parsed in two pieces or in one, the rows are the same: no cut inside a quote or a line end.
    data = b"".join(parts) + b"\n"
    whole = delimited.records_end(data, b",", at_end=True)
    end = delimited.records_end(data[:cut], b",", at_end=False)
    assert end <= min(cut, whole)

    def rows(block):
        out, at = [], 0
        while at < len(block):
            split = delimited.split_record(block[at:], b",", at_end=True)
            out.append(split[0])
            at += split[1]
        return out

    assert rows(data[:end]) + rows(data[end:whole]) == rows(data[:whole])
    # What is left over is an open quote, never a row that was forgotten.
    assert whole == len(data) or delimited.split_record(data[whole:], b",", at_end=True) is None


def test_every_error_is_typed(write):
    with pytest.raises(SequencesError):
        open_rows(write("a.csv", "a" * (2 << 20)))
