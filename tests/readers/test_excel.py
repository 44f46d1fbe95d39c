"""xlsx."""

from __future__ import annotations

import datetime as dt
import io
import sys
import zipfile

import openpyxl
import pytest

from usr_nb.errors import SchemaError, ValidationError
from usr_nb.readers import open_rows


@pytest.fixture
def book(tmp_path):
    def save(*rows):
        workbook = openpyxl.Workbook()
        for row in rows:
            workbook.active.append(row)
        workbook.create_sheet("second").append(["other"])
        path = tmp_path / "a.xlsx"
        workbook.save(path)
        return path

    return save


def repacked(path, name, change):
    """Change one entry of the zip."""
    out = io.BytesIO()
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for entry in old.namelist():
            data = old.read(entry)
            new.writestr(entry, change(data) if entry == name else data)
    path.write_bytes(out.getvalue())
    return path


def test_IMP_6_cells_are_text_and_empty_cells_null(book, table):
    path = book(
        ["sequence", "n", "d"],
        ["ACGT", 12, dt.datetime.fromisoformat("2024-01-05")],
        [None, 12.0, dt.datetime.fromisoformat("2024-01-05T10:30")],
        ["NA", 0.1, True],
    )
    assert open_rows(path).is_text
    assert table(path) == {
        "sequence": ["ACGT", None, "NA"],
        "n": ["12", "12", "0.1"],
        "d": ["2024-01-05", "2024-01-05T10:30:00", "true"],
    }


def test_IMP_1_formulas_are_text(book, table):
    bad = '=HYPERLINK("http://example.invalid","x")'
    assert table(book(["sequence"], [bad], ["=1+1"])) == {"sequence": [bad, "=1+1"]}


def test_IMP_1_blank_rows_count_but_at_the_end(book, table):
    path = book(["a", "b"], ["x", None], [None, None], [None, "y"], [None, None])
    assert table(path) == {"a": ["x", None, None], "b": [None, None, "y"]}
    assert table(path, columns=["b"], batch_rows=2) == {"b": [None, None, "y"]}


def test_IMP_1_cell_outside_of_the_header(book):
    with pytest.raises(SchemaError, match=r"row 1 has 3 cells, the header has 2: 'z'"):
        list(open_rows(book(["a", "b"], ["x", "y", "z"])))


def test_IMP_1_header_errors(book):
    with pytest.raises(SchemaError, match="no header"):
        open_rows(book([None], ["x"]))
    with pytest.raises(SchemaError, match="more than once: 'a'"):
        open_rows(book(["a", "a"]))
    with pytest.raises(SchemaError, match="no column 'sequence'"):
        open_rows(book(["a"]), columns=["sequence"])


def test_IMP_1_missing_openpyxl_says_what_to_install(book, monkeypatch):
    path = book(["a"])
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with pytest.raises(ValidationError) as e:
        open_rows(path)
    assert e.value.hint == "pip install 'usr-nb[xlsx]'"


def test_IMP_5_zip_bomb_is_refused_before_it_is_opened(book, in_time):
    path = repacked(book(["a"], ["x"]), "xl/styles.xml", lambda d: d + b" " * (40 << 20))
    assert path.stat().st_size < 1 << 20
    with pytest.raises(SchemaError, match="too much for a sheet"):
        open_rows(path)


def test_IMP_5_entities_do_not_multiply(book, in_time):
    entities = b"".join(b'<!ENTITY e%d "%s">' % (i, b"&e%d;" % (i - 1) * 10) for i in range(1, 12))
    head = b'<!DOCTYPE x [<!ENTITY e0 "lol">' + entities + b"]>"

    def change(data):
        return data.replace(b"<worksheet", head + b"<worksheet", 1).replace(b"<v>", b"<v>&e11;", 1)

    path = repacked(book(["a"], [1]), "xl/worksheets/sheet1.xml", change)
    with pytest.raises(SchemaError, match="damaged"):
        list(open_rows(path))


@pytest.mark.parametrize("number", [b"2000000", b"999999999999999"])
def test_IMP_5_forged_row_number_does_not_loop(book, number, in_time):
    path = repacked(
        book(["a"], ["x"]),
        "xl/worksheets/sheet1.xml",
        lambda d: d.replace(b'<row r="2"', b'<row r="' + number + b'"'),
    )
    with pytest.raises(SchemaError, match="beyond the limits of a sheet"):
        list(open_rows(path))


def test_IMP_5_forged_dimension_pads_nothing(book, table):
    path = repacked(
        book(["a"], ["x"]),
        "xl/worksheets/sheet1.xml",
        lambda d: d.replace(b'<dimension ref="A1:A2"', b'<dimension ref="A1:XFD1048576"'),
    )
    assert b"XFD1048576" in zipfile.ZipFile(path).read("xl/worksheets/sheet1.xml")
    assert table(path) == {"a": ["x"]}


@pytest.mark.parametrize("content", [b"", b"PK\3\4", b"ACGT" * 100])
def test_IMP_1_no_xlsx(write, content):
    with pytest.raises(SchemaError, match="damaged or not an xlsx"):
        open_rows(write("a.xlsx", content))
