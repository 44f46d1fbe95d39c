"""The untidy demo files: committed as the script makes them, and counted by hand."""

from __future__ import annotations

import csv
import gzip
import importlib.util
import io
import json
import statistics
import zipfile

import openpyxl
import pandas as pd
import pytest

from tests.dataset.kit import cells, last_event, table
from tests.features.kit import DEMO, fresh
from usr_nb import Dataset, ValidationError, compute_id
from usr_nb.errors import DuplicateIDError

PLAIN = {" Sequence ": "sequence", "LLR (nats)": "llr", "Note ": "note"}


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("make_messy", DEMO / "make_messy.py")
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def library():
    with gzip.open(DEMO / "demo_library.csv.gz", "rt") as lines:
        return list(csv.DictReader(lines))


@pytest.fixture(scope="module")
def sheet():
    """The sheet as any spreadsheet program would read it: header, then 500 rows."""
    rows = openpyxl.load_workbook(DEMO / "messy.xlsx").active.iter_rows(values_only=True)
    return list(rows)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return fresh(
        tmp_path_factory.mktemp("demo"),
        m="llr:float64,note:string,n:int32",
        bar="barcode:list<string>,counts:float64,n:int64",
    )


@pytest.fixture(scope="module")
def library_ds(root):
    """The demo library, its names kept."""
    ds = Dataset.open(root, "sos")
    ds.init()
    ds.import_file(DEMO / "demo_library.csv.gz", keep="lib")
    return ds


def copy_of(ds: Dataset, name: str) -> Dataset:
    """A dataset of the same records and kept columns, for a test that writes."""
    other = Dataset.open(ds.root, name)
    other.init()
    other.import_file(DEMO / "demo_library.csv.gz", keep="lib")
    return other


def test_IMP_1_demo_files_are_those_of_the_script(script) -> None:
    for name, content in script.build().items():
        there = (DEMO / name).read_bytes()
        if not name.endswith(".xlsx"):
            assert there == content, name
            continue
        with (
            zipfile.ZipFile(io.BytesIO(content)) as made,
            zipfile.ZipFile(DEMO / name) as committed,
        ):
            assert made.namelist() == committed.namelist()
            assert all(made.read(n) == committed.read(n) for n in made.namelist())


def test_IMP_1_messy_xlsx_holds_what_the_story_says(sheet, library) -> None:
    header, *rows = sheet
    assert header == (" Sequence ", "Design", "LLR (nats)", "Note ")
    assert len(rows) == 500
    letters = [r[0].strip().upper() for r in rows]
    ours = {r["sequence"].upper() for r in library}
    assert sum(s not in ours for s in letters) == 9
    assert len(letters) - len(set(letters)) == 12
    assert sum(r[0] == r[0].lower() for r in rows) >= 300
    assert [r[3] for r in rows if r[3] is not None] == ['=HYPERLINK("http://x","y")']
    assert sum(r[2] is None for r in rows) == 7
    # Without case every known sequence stands for one design.
    truth = json.loads((DEMO / "demo_library_truth.json").read_text())
    pairs = {i for pair in truth["planted"]["casefold_pairs"]["ids"] for i in pair}
    named = {r["sequence"].upper(): compute_id("dna", r["sequence"]) for r in library}
    assert not pairs & {named[s] for s in set(letters) & ours}


def test_IMP_1_messy_xlsx_formula_is_text_and_reports_ignored_columns(root, sheet) -> None:
    ds = Dataset.open(root, "plain")
    ds.init()
    with pytest.raises(ValidationError, match="no column 'sequence'"):
        ds.import_file(DEMO / "messy.xlsx")
    frame = pd.read_excel(DEMO / "messy.xlsx", engine="openpyxl").rename(columns=PLAIN)
    told = ds.import_report(frame, on_conflict="ignore")
    letters = [r[0].strip() for r in sheet[1:]]
    assert (told.rows, told.would_add, told.would_skip) == (500, len(set(letters)),
                                                           500 - len(set(letters)))  # fmt: skip
    assert told.ignored_columns == ["Design", "llr", "note"]
    assert told.lower == sum(s == s.lower() for s in letters)
    assert told.mixed == sum(s not in (s.lower(), s.upper()) for s in letters)
    assert told.duplicates + told.casefold_duplicates == 12
    done = ds.import_rows(frame, on_conflict="ignore", keep="messy")
    assert done == told.would_add
    notes = [v for v in cells(ds, "messy__note") if v is not None]
    assert notes == ['=HYPERLINK("http://x","y")']


def scores(sheet) -> dict[str, list[float | None]]:
    found: dict[str, list[float | None]] = {}
    for sequence, _, llr, _ in sheet[1:]:
        found.setdefault(sequence.strip().upper(), []).append(llr)
    return found


def test_ATT_8_messy_xlsx_needs_case_folding_and_an_aggregate(library_ds, sheet) -> None:
    frame = pd.read_excel(DEMO / "messy.xlsx").rename(columns=PLAIN).drop(columns="Design")
    # The library's own case-fold pairs share a key; a sheet that names one of them is ambiguous.
    twin = pd.DataFrame({"sequence": [_a_pair(library_ds).lower()], "llr": [1.0]})
    with pytest.raises(ValidationError, match="fit several records"):
        library_ds.attach(twin, "m", key="sequence_ci", key_col="sequence")
    with pytest.raises(DuplicateIDError, match="12 keys stand in more than one row") as twice:
        library_ds.attach(frame, "m", key="sequence_ci", key_col="sequence")
    first = twice.value.groups[0]
    letters = [r[0].strip().upper() for r in sheet[1:]]
    assert [letters[r - 1] for r in first["rows"]] == [first["id"]] * 2
    how = {"key": "sequence_ci", "key_col": "sequence"}
    with pytest.raises(ValidationError, match=r"9 of 488 keys are not in the dataset"):
        library_ds.attach(frame, "m", aggregate="mean", columns=["llr"], **how)
    with pytest.raises(ValidationError) as exact:
        library_ds.attach(frame, "m", key="sequence", aggregate="first")
    assert "differ in case" in str(exact.value)


def _a_pair(ds: Dataset) -> str:
    truth = json.loads((DEMO / "demo_library_truth.json").read_text())
    one = truth["planted"]["casefold_pairs"]["ids"][0][0]
    return str(ds.get(one, columns=["sequence"])["sequence"][0])


@pytest.mark.parametrize("how", ["mean", "median", "first"])
def test_ATT_8_messy_xlsx_attached_equals_the_sheet_by_hand(library_ds, sheet, how) -> None:
    ds = copy_of(library_ds, f"messy_{how}")
    frame = pd.read_excel(DEMO / "messy.xlsx").rename(columns=PLAIN)
    matched = ds.attach(frame, "m", key="sequence_ci", key_col="sequence", columns=["llr"],
                        allow_missing=True, aggregate=how)  # fmt: skip
    assert matched == 491
    metrics = last_event(ds, "attach")["metrics"]
    assert [metrics[f"rows_{k}"] for k in ("incoming", "matched", "missing")] == [500, 491, 9]
    fold = {
        "mean": lambda vs: statistics.fmean(vs) if vs else None,
        "median": lambda vs: statistics.median(vs) if vs else None,
    }
    wanted = {}
    for letters, values in scores(sheet).items():
        known = [v for v in values if v is not None]
        wanted[letters] = (values[0] if how == "first" else fold[how](known), len(values))
    got = table(ds, columns=["sequence", "m__llr", "m__n"])
    seen = 0
    for sequence, llr, n in zip(*(c.to_pylist() for c in got.columns), strict=True):
        value, number = wanted.get(sequence.upper(), (None, None))
        assert (llr, n) == (pytest.approx(value) if value is not None else None, number)
        seen += n is not None
    assert seen == 479


def test_ATT_8_barcode_table_by_kept_name(library_ds) -> None:
    ds = copy_of(library_ds, "barcoded")
    rows = list(csv.DictReader(io.StringIO((DEMO / "barcodes.csv").read_text())))
    mine: dict[str, list[dict[str, str]]] = {}
    for row in rows:
        mine.setdefault(row["name"], []).append(row)
    assert len(mine) == 200
    assert len({r["barcode"] for r in rows}) == len(rows)
    with pytest.raises(DuplicateIDError):
        ds.attach(DEMO / "barcodes.csv", "bar", match="lib__name", key_col="name",
                  columns=["counts"])  # fmt: skip
    done = ds.attach(DEMO / "barcodes.csv", "bar", match="lib__name", key_col="name",
                     columns=["counts"], aggregate="mean")  # fmt: skip
    assert done == len(rows)
    ds.attach(DEMO / "barcodes.csv", "bar", match="lib__name", key_col="name",
              columns=["barcode"], aggregate="list", allow_overwrite=True)  # fmt: skip
    got = table(ds, columns=["lib__name", "bar__counts", "bar__n", "bar__barcode"])
    found = {r["lib__name"]: r for r in got.to_pylist() if r["bar__n"] is not None}
    assert found.keys() == mine.keys()
    for name, lines in mine.items():
        counts = [int(r["counts"]) for r in lines if r["counts"]]
        assert found[name]["bar__n"] == len(lines)
        assert found[name]["bar__barcode"] == [r["barcode"] for r in lines]
        mean = pytest.approx(statistics.fmean(counts)) if counts else None
        assert found[name]["bar__counts"] == mean


def test_IMP_1_controls_fasta_collects_both_names(root, tmp_path) -> None:
    ds = Dataset.open(root, "controls")
    ds.init()
    with pytest.raises(DuplicateIDError, match="rows 1, 2"):
        ds.import_file(DEMO / "controls.fasta", keep="ctrl")
    done = ds.import_file(DEMO / "controls.fasta", keep="ctrl", on_conflict="ignore")
    assert (done.added, done.skipped) == (8, 1)
    named = dict(zip(cells(ds, "sequence"), cells(ds, "ctrl__names"), strict=True))
    assert named["CTGATAGCTAGCTCAGTCCTAGGGATTATGCTAGC"] == ["J23112", "J23103"]
    assert named["TTGACAGCTAGCTCAGTCCTAGGTATAATGCTAGC"] == ["J23119"]
    rfp = {h.split()[0]: h.split()[1] for h in cells(ds, "ctrl__header")}
    assert rfp["J23100"] == "RFP=2547"
    ds.export("fasta", tmp_path / "again.fasta")
    assert (tmp_path / "again.fasta").read_bytes() == (DEMO / "controls.fasta").read_bytes()
