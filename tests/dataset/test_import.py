"""IMP: what is imported, what is refused, and that a refusal imports nothing."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.dataset.kit import (
    IDS,
    SEQUENCES,
    base,
    cells,
    count_events,
    files,
    last_event,
    new_dataset,
    refused,
)
from usr_nb import (
    AlphabetError,
    DuplicateIDError,
    NamespaceError,
    PathNotFound,
    SchemaError,
    ValidationError,
    compute_id,
    load_registry,
)

NEW = ["AAAA", "CCCC", "GGGG"]


def write_all(folder):
    """The same three sequences in every form a file can have."""
    (folder / "a.csv").write_text("sequence,extra\nAAAA,1\n CCCC ,2\nGGGG,3\n")
    (folder / "a.tsv").write_text("extra\tsequence\n1\tAAAA\n2\tCCCC\n3\tGGGG\n")
    lines = [json.dumps({"sequence": s, "extra": i}) for i, s in enumerate(NEW)]
    (folder / "a.jsonl").write_text("\n".join(lines))
    pq.write_table(pa.table({"sequence": NEW, "extra": [1, 2, 3]}), folder / "a.parquet")
    (folder / "a.fa").write_text(">one x\nAA\nAA\n>two\nCCCC\n>three\nGGGG\n")
    for suffix in ("csv", "jsonl", "fa"):
        packed = gzip.compress((folder / f"a.{suffix}").read_bytes())
        (folder / f"a.{suffix}.gz").write_bytes(packed)
    pd.DataFrame({"sequence": NEW, "extra": [1, 2, 3]}).to_excel(folder / "a.xlsx", index=False)
    return folder


FILES = [
    "a.csv",
    "a.tsv",
    "a.jsonl",
    "a.parquet",
    "a.fa",
    "a.csv.gz",
    "a.jsonl.gz",
    "a.fa.gz",
    "a.xlsx",
]


@pytest.mark.parametrize("name", FILES)
def test_IMP_1_every_file_form_gives_the_same_rows(root, tmp_path, name) -> None:
    ds = new_dataset(root, "ns/one", [])
    path = write_all(tmp_path) / name
    result = ds.import_file(path)
    assert result.added == 3
    assert cells(ds, "sequence") == NEW
    assert cells(ds, "source") == [str(path)] * 3
    if "fa" not in name:
        assert result.ignored_columns == ["extra"]


TABLES = {
    "strings": lambda: NEW,
    "dicts": lambda: [{"sequence": s, "extra": 1} for s in NEW],
    "pandas": lambda: pd.DataFrame({"sequence": NEW}),
    "polars": lambda: pl.DataFrame({"sequence": NEW}),
    "arrow": lambda: pa.table({"sequence": pa.array(NEW, pa.large_string())}),
    "reader": lambda: pa.table({"sequence": NEW}).to_reader(max_chunksize=1),
    "category": lambda: pd.DataFrame({"sequence": pd.Categorical(NEW)}),
    "generator": lambda: ({"sequence": s} for s in NEW),
}


@pytest.mark.parametrize("kind", TABLES)
def test_IMP_1_every_table_in_memory_gives_the_same_rows(root, kind) -> None:
    ds = new_dataset(root, "ns/one", [])
    assert ds.import_rows(TABLES[kind]()) == 3
    assert cells(ds, "sequence") == NEW
    assert cells(ds, "source") == [""] * 3


def test_IMP_1_unknown_formats_and_missing_files_are_errors(ds, root, tmp_path) -> None:
    (tmp_path / "a.docx").write_text("x")
    with refused(root, ValidationError, "not known"):
        ds.import_file(tmp_path / "a.docx")
    with refused(root, ValidationError, "not known"):
        ds.import_file(tmp_path / "a.docx", fmt="word")
    with refused(root, PathNotFound):
        ds.import_file(tmp_path / "none.csv")
    with refused(root, SchemaError, "sequence"):
        ds.import_rows([{"sequense": "AC"}])


def test_IMP_1_an_import_writes_the_base_the_log_and_the_notes_only(ds, tmp_path) -> None:
    before = files(ds)
    ds.import_csv(write_all(tmp_path) / "a.csv")
    assert files(ds) == before


def test_IMP_1_keep_stores_all_other_columns_and_registers_them(root, tmp_path) -> None:
    ds = new_dataset(root, "ns/one", [])
    path = tmp_path / "a.csv"
    path.write_text('sequence,Well No,score,m__x\nAAAA,A1,0.5,"[1]"\nCCCC,,,\n')
    result = ds.import_file(path, keep="lab")
    assert (result.added, result.ignored_columns) == (2, [])
    names = load_registry(root)["lab"].column_names
    assert len(names) == 3
    assert cells(ds, "lab__Well_No") == ["A1", None]
    assert cells(ds, "lab__score") in ([0.5, None], ["0.5", None])
    again = tmp_path / "b.csv"
    again.write_text("sequence,score,more\nGGGG,1.5,z\n")
    ds.import_csv(again, keep="lab")
    assert cells(ds, "lab__more") == [None, None, "z"]
    assert set(load_registry(root)["lab"].column_names) == {*names, "lab__more"}
    # The registry grew between the two imports: the full hash differs, the contract holds.
    assert ds.validate(strict=True, registry_mode="namespace-current").errors == []


def test_IMP_1_keep_of_a_refused_import_registers_nothing(ds, root) -> None:
    with refused(root, AlphabetError):
        ds.import_rows([{"sequence": "AAXA", "c": 1}], keep="lab")
    with refused(root, DuplicateIDError):
        ds.import_rows([{"sequence": SEQUENCES[0], "c": 1}], keep="lab")
    assert "lab" not in load_registry(root)


FASTA = {
    "plain": ">one first thing\nACGTACGTAC\nGTACG\n>two\nTTTTTTTTTT\nCC\n",
    "tabs": ">a\tb\tc  d\nACGT\n>\nGGGG\n>  spaced\nTTTT\n>x|y|z;=%41\nCCAA\n",
    "case": ">lower\nacgtACGT\n>upper\nACGTACGT\n",
    "repeats": ">n1 d1\nACGT\n>n2\nGGGG\n>n3 same as n1\nACGT\n>n1 d1\nACGT\n",
    "unicode": ">naïve ünï\nACGT\n",
}


@pytest.mark.parametrize("kind", FASTA)
@pytest.mark.parametrize("suffix", [".fa", ".fasta.gz"])
def test_IMP_1_fasta_there_and_back_is_the_same_file(root, tmp_path, kind, suffix) -> None:
    text = FASTA[kind].encode()
    path = tmp_path / f"in{suffix}"
    path.write_bytes(gzip.compress(text) if suffix.endswith("gz") else text)
    ds = new_dataset(root, f"ns/{kind}", [])
    ds.import_fasta(path, keep="fa", on_conflict="ignore")
    out = tmp_path / "out.fa"
    ds.export("fasta", out)
    assert out.read_bytes() == text
    if kind == "repeats":
        assert cells(ds, "fa__names") == [["n1", "n3", "n1"], ["n2"]]
        assert cells(ds, "fa__name") == ["n1", "n2"]
        assert cells(ds, "fa__description") == ["d1", None] or cells(ds, "fa__description") == [
            "d1", "",
        ]  # fmt: skip


def test_IMP_1_a_dry_run_reports_and_writes_nothing(ds, root, tmp_path) -> None:
    rows = ["ACGT", "acgt", "ACGT", "AcNU", SEQUENCES[0], "MK*"]
    path = tmp_path / "a.csv"
    path.write_text("sequence,x,y\n" + "".join(f"{r},1,2\n" for r in rows))
    with refused(root, AlphabetError):
        ds.import_file(path)
    before = count_events(ds)
    report = ds.import_report(path)
    assert count_events(ds) == before
    assert report.rows == 6
    assert (report.upper, report.lower, report.mixed) == (4, 1, 1)
    assert (report.with_u, report.with_stop, report.with_n) == (1, 1, 1)
    assert report.with_t == 4
    assert (report.duplicates, report.casefold_duplicates) == (1, 1)
    assert report.ignored_columns == ["x", "y"]
    assert report.letters["*"] == 1
    assert report.letters["a"] == 1
    assert report.refused is not None
    assert (report.would_add, report.would_skip) == (0, 0)
    good = ds.import_report(["AAAA", "AAAA", SEQUENCES[0]], on_conflict="ignore")
    assert good.refused is None
    assert (good.would_add, good.would_skip, good.existing) == (1, 2, 1)


@pytest.mark.parametrize("column", ["sequence", "bio_type", "alphabet", "id"])
@pytest.mark.parametrize("blank", ["", None, "  ", "\u00a0"])
def test_IMP_2_missing_cells_name_how_many_and_the_first_five_rows(ds, root, column, blank) -> None:
    full = {"bio_type": "dna", "alphabet": "dna_4"}
    rows = []
    for i in range(20):
        seq = "ACGT" + format(i, "05b").replace("0", "A").replace("1", "C")
        row = {"sequence": seq, "id": compute_id("dna", seq), **full}
        if i % 2:
            row[column] = blank
        rows.append(row)
    with refused(root, ValidationError) as caught:
        ds.import_rows(rows)
    message = caught.value.message
    assert "10 rows" in message
    assert column in message
    assert "2, 4, 6, 8, 10" in message
    assert "12" not in message.replace("10 rows", "")


def test_IMP_2_row_numbers_count_over_batches(ds, root, tmp_path) -> None:
    path = tmp_path / "big.parquet"
    rows = [f"{'ACGT'[i % 4]}{i:b}".replace("0", "A").replace("1", "C") for i in range(70_000)]
    rows[69_998] = None
    rows[69_999] = " "
    pq.write_table(pa.table({"sequence": rows}), path)
    with refused(root, ValidationError, "69999, 70000"):
        ds.import_file(path)


@pytest.mark.parametrize(
    "case",
    [
        ("dna", "dna_4", "ACNGT", "N", "dna_5"),
        ("dna", "dna_4", "acnt", "n", "dna_5"),
        ("rna", "rna_4", "ACNGU", "N", "rna_5"),
        ("dna", "dna_4", "ACUG", "U", "rna"),
        ("rna", "rna_4", "ACTG", "T", "dna"),
        ("protein", "protein_20", "MKL*", "*", "--strip-stop"),
        ("protein", "protein_20", "MKX", "X", "protein_21"),
        ("dna", "dna_4", "AC-GT", "-", "Gaps"),
        ("dna", "dna_4", "AC\nGT", "\\n", ""),
        ("dna", "dna_4", "ACГT", "Г", ""),
    ],
)
def test_IMP_2_wrong_letters_name_row_letter_and_a_hint(ds, root, case) -> None:
    kind, alphabet, sequence, letter, hint = case
    rows = [{"dna": "ACG", "rna": "ACG", "protein": "MK"}[kind], sequence]
    with refused(root, AlphabetError) as caught:
        ds.add_sequences(rows, bio_type=kind, alphabet=alphabet)
    assert "Row 2" in caught.value.message
    assert f"'{letter}'" in caught.value.message
    assert hint in (caught.value.hint or "")


def test_IMP_2_strip_stop_removes_trailing_stops_only(root) -> None:
    ds = new_dataset(root, "p/one", [])
    ds.import_rows(["MKL*", "MKV"], "protein", "protein_20", strip_stop=True)
    assert cells(ds, "sequence") == ["MKL", "MKV"]
    assert cells(ds, "id") == [compute_id("protein", "MKL"), compute_id("protein", "MKV")]
    with refused(root, AlphabetError):
        ds.import_rows(["M*L"], "protein", "protein_20", strip_stop=True)
    with refused(root, ValidationError, "missing sequence"):
        ds.import_rows(["*"], "protein", "protein_20", strip_stop=True)


def test_IMP_2_a_supplied_id_must_be_the_computed_one(ds, root) -> None:
    good = {"sequence": "AAAA", "id": compute_id("dna", "AAAA")}
    with refused(root, ValidationError, "row 2"):
        ds.import_rows([good, {"sequence": "CCCC", "id": "0" * 40}])
    with refused(root, ValidationError, "row 1"):
        ds.import_rows([{"sequence": "AAAA", "id": good["id"].upper()}])
    assert ds.import_rows([good]) == 1


def test_IMP_3_created_at_argument_then_column_then_now(ds) -> None:
    start = datetime.now(UTC)
    fixed = datetime(2020, 2, 3, 4, 5, 6, 7, tzinfo=UTC)
    ds.add_sequences([{"sequence": "A", "created_at": "2001-01-01"}], bio_type="dna",
                     alphabet="dna_4", created_at=fixed)  # fmt: skip
    ds.add_sequences(["C"], bio_type="dna", alphabet="dna_4", created_at="2020-02-03T04:05:06Z")
    ds.import_rows(
        [
            {"sequence": "AA", "created_at": "2001-01-01"},
            {"sequence": "AC", "created_at": "2001-01-01T12:00:00+02:00"},
            {"sequence": "AG", "created_at": None},
        ]
    )
    naive = pd.DataFrame({"sequence": ["AT"], "created_at": [pd.Timestamp("2002-03-04 05:06")]})
    ds.import_rows(naive)
    found = cells(ds, "created_at")[len(SEQUENCES) :]
    assert found[0] == fixed
    assert found[1] == datetime(2020, 2, 3, 4, 5, 6, tzinfo=UTC)
    assert found[2] == datetime(2001, 1, 1, tzinfo=UTC)
    assert found[3] == datetime(2001, 1, 1, 10, tzinfo=UTC)
    assert start <= found[4] <= datetime.now(UTC)
    assert found[5] == datetime(2002, 3, 4, 5, 6, tzinfo=UTC)


def test_IMP_3_a_time_that_cannot_be_read_names_its_row(ds, root) -> None:
    rows = [
        {"sequence": "AA", "created_at": "2001-01-01"},
        {"sequence": "AC", "created_at": "soon"},
    ]
    with refused(root, ValidationError, "Row 2"):
        ds.import_rows(rows)
    with refused(root, ValidationError, "created_at"):
        ds.add_sequences(["AA"], bio_type="dna", alphabet="dna_4", created_at="soon")


def test_IMP_3_source_argument_then_row_then_file(ds, tmp_path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('sequence,source\nAA,row\nAC,\nAG,""\n')
    ds.import_csv(path)
    path.write_text("sequence,source\nAT,row\n")
    ds.import_csv(path, source="argument")
    ds.import_rows([{"sequence": "CA", "source": "row"}, {"sequence": "CC", "source": None}])
    ds.import_rows(["CG"], source="")
    assert cells(ds, "source")[len(SEQUENCES) :] == [
        "row", str(path), "", "argument", "row", "", "",
    ]  # fmt: skip


def test_IMP_4_duplicates_in_the_input_come_in_groups(ds, root) -> None:
    rows = ["AA", "CC", " AA ", "GG", "AA", "CC"]
    with refused(root, DuplicateIDError) as caught:
        ds.import_rows(rows)
    assert caught.value.groups == [
        {"id": compute_id("dna", "AA"), "count": 3, "rows": [1, 3, 5], "sequence": "AA"},
        {"id": compute_id("dna", "CC"), "count": 2, "rows": [2, 6], "sequence": "CC"},
    ]
    assert "ignore" in caught.value.hint
    many = [s for s in ("AA", "AC", "AG", "AT", "CA", "CC", "CG") for _ in range(2)]
    with refused(root, DuplicateIDError) as caught:
        ds.import_rows(many)
    assert len(caught.value.groups) == 5


def test_IMP_4_existing_ids_are_an_error_or_skipped(ds, root) -> None:
    rows = ["AA", SEQUENCES[2], "CC", SEQUENCES[0], "AA"]
    with refused(root, DuplicateIDError) as caught:
        ds.import_rows(rows[:4])
    assert [g["rows"] for g in caught.value.groups] == [[2], [4]]
    result = ds.add_sequences(rows, bio_type="dna", alphabet="dna_4", on_conflict="ignore")
    assert (result.added, result.skipped) == (2, 3)
    assert result.ids == [compute_id("dna", r) for r in rows]
    assert cells(ds, "sequence") == [*SEQUENCES, "AA", "CC"]
    event = last_event(ds, "import_rows")
    assert event["metrics"]["rows_written"] == 2
    assert event["metrics"]["rows_skipped"] == 3


def test_IMP_4_ignore_folds_to_the_first_row(root) -> None:
    ds = new_dataset(root, "ns/one", [])
    rows = [{"sequence": "AA", "source": "first"}, {"sequence": "AA ", "source": "second"}]
    assert ds.import_rows(rows, on_conflict="ignore") == 1
    assert cells(ds, "source") == ["first"]


def test_IMP_4_case_makes_another_id(ds) -> None:
    assert ds.import_rows(["acgtacgtaa"]) == 1


def test_IMP_4_a_tombstoned_id_hints_at_restore(ds, root) -> None:
    ds.tombstone(IDS[3])
    with refused(root, DuplicateIDError) as caught:
        ds.import_rows([SEQUENCES[3]])
    assert "restore" in caught.value.hint
    with refused(root, DuplicateIDError) as caught:
        ds.import_rows([SEQUENCES[0]])
    assert "restore" not in caught.value.hint
    assert ds.import_rows([SEQUENCES[3], "AA"], on_conflict="ignore") == 1
    assert IDS[3] not in cells(ds, "id")


def test_IMP_4_all_or_nothing_with_the_mistake_in_the_last_row(ds, root) -> None:
    for bad in ("AX", "", SEQUENCES[0], "AAAC"):
        with refused(root, ValidationError):
            ds.import_rows(["AAAC", "AAAG", bad])


def test_IMP_4_nothing_to_do_writes_nothing(ds, root) -> None:
    from tests.dataset.kit import nothing_changes

    with nothing_changes(root):
        assert ds.import_rows(pa.table({"sequence": pa.array([], pa.string())})) == 0
        assert ds.import_rows([SEQUENCES[0]], on_conflict="ignore") == 0


def test_IMP_4_unknown_policies_are_refused(ds, root) -> None:
    with refused(root, ValidationError):
        ds.import_rows(["AA"], on_conflict="replace")


def test_IMP_6_text_files_know_one_null(root, tmp_path) -> None:
    ds = new_dataset(root, "ns/one", ["AA", "CC", "GG", "TT"])
    path = tmp_path / "a.csv"
    path.write_text('sequence,s,n\nAA,NA,nan\nCC,none,\nGG,"",1\nTT,,NaN\n')
    ds.attach(path, "m", key="sequence")
    assert cells(ds, "m__s") == ["NA", "none", "", None]
    found = cells(ds, "m__n")
    assert found[1:3] == [None, 1.0]
    assert np.isnan(found[0])
    assert np.isnan(found[3])


def test_IMP_6_pandas_nan_is_null_and_arrow_nan_is_nan(ds) -> None:
    ds.write_overlay_part("m", pd.DataFrame({"id": IDS[:2], "n": [np.nan, 1.0], "s": [None, "x"]}))
    assert cells(ds, "m__n")[:2] == [None, 1.0]
    ds.write_overlay_part("m", pa.table({"id": IDS[:1], "n": [float("nan")]}))
    assert np.isnan(cells(ds, "m__n")[0])


def test_IMP_5_a_large_import_spills_and_leaves_no_file(root) -> None:
    ds = new_dataset(root, "ns/big", [])
    letters = np.frombuffer(b"ACGT", np.uint8)
    at = np.arange(200_000)
    codes = np.stack([(at >> (2 * k)) & 3 for k in range(9)], axis=1)
    flat = letters[codes].tobytes().decode()
    rows = [flat[i : i + 9] for i in range(0, len(flat), 9)]
    assert ds.import_rows(pa.table({"sequence": rows}), on_conflict="ignore") == 200_000
    left = [p.name for p in (ds.dir / "_txn").iterdir()]
    assert not [n for n in left if n.startswith(".tmp-") or n[:1].isdigit()]
    assert ds.info().rows == 200_000
    assert base(ds).slice(199_999).column("sequence").to_pylist() == [rows[-1]]


def test_REG_1_without_a_registry_the_error_says_what_makes_one(tmp_path) -> None:
    from usr_nb import Dataset

    with pytest.raises(NamespaceError) as caught:
        Dataset.open(tmp_path, "ns/one").init()
    assert "usr namespace register" in str(caught.value)
    assert list(tmp_path.rglob("*")) == []
