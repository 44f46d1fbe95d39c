"""The dry run of an import: counted by hand, and nothing written (contract IMP-1)."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from tests.dataset.kit import nothing_changes, tree
from tests.features.kit import fresh, ids, new
from usr_nb import ValidationError
from usr_nb.dataset import spill


def test_IMP_1_report_counts_by_hand(tmp_path) -> None:
    root = fresh(tmp_path)
    path = root / "a.csv"
    path.write_text(
        "sequence,name,score\n"
        "ACGT,a,1\n"       # upper
        "acgt,b,2\n"       # lower; case-fold repeat of row 1
        "ACgt,c,3\n"       # mixed; case-fold repeat
        " ACGT ,d,4\n"     # repeats row 1 after trimming
        "TTTT,e,5\n"       # in the dataset already
        "NNNN,f,6\n"
    )  # fmt: skip
    ds = new(root, ["TTTT", "GGGG"])
    with nothing_changes(root):
        told = ds.import_report(path, on_conflict="ignore", default_alphabet="dna_5")
    assert told.rows == 6
    assert told.refused is None
    assert (told.would_add, told.would_skip) == (4, 2)
    assert (told.upper, told.lower, told.mixed) == (4, 1, 1)
    assert (told.with_u, told.with_t, told.with_stop, told.with_n) == (0, 5, 0, 1)
    assert (told.duplicates, told.casefold_duplicates, told.existing) == (1, 2, 1)
    assert (told.min_length, told.max_length) == (4, 4)
    assert told.ignored_columns == ["name", "score"]
    assert told.letters == {"A": 3, "C": 3, "G": 2, "T": 6, "N": 4, "a": 1, "c": 1, "g": 2, "t": 2}
    done = ds.import_file(path, on_conflict="ignore", default_alphabet="dna_5")
    assert (done.added, done.skipped) == (told.would_add, told.would_skip)


REFUSED = {
    "duplicates": (["ACGT", "ACGT"], {}, "rows 1, 2"),
    "existing": (["TTTT"], {}, "already"),
    "missing": (["ACGT", None, ""], {}, "2 rows with a missing sequence"),
    "letter": (["ACGU"], {}, "position 4"),
    "stop": (["MKV*"], {"default_bio_type": "protein", "default_alphabet": "protein_20"}, "strip"),
    "alphabet": (["ACGT"], {"default_alphabet": "rna_4"}, "rna_4"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_IMP_1_report_says_why_it_would_be_refused(tmp_path, case) -> None:
    root = fresh(tmp_path)
    ds = new(root, ["TTTT"])
    rows, how, match = REFUSED[case]
    with nothing_changes(root):
        told = ds.import_report(rows, **how)
    assert match in (told.refused or "")
    assert (told.would_add, told.would_skip) == (0, 0)
    defaults = {"bio_type": how.get("default_bio_type", "dna"),
                "alphabet": how.get("default_alphabet", "dna_4")}  # fmt: skip
    with pytest.raises(ValidationError) as caught:
        ds.add_sequences(rows, **defaults)
    assert str(caught.value).replace("\n", " ") == told.refused


def test_IMP_1_report_sees_stops_and_rna_in_what_would_be_refused(tmp_path) -> None:
    ds = new(fresh(tmp_path))
    told = ds.import_report(["MKV*", "mkv", "MKV"], default_bio_type="protein",
                            default_alphabet="protein_20", strip_stop=True)  # fmt: skip
    assert told.with_stop == 1
    # Without its stop the first row is the third.
    assert (told.duplicates, told.casefold_duplicates) == (1, 1)
    assert "rows 1, 3" in (told.refused or "")
    told = ds.import_report(["ACGU", "ACGT"])
    assert (told.with_u, told.with_t) == (1, 1)


def test_IMP_1_report_tells_kinds_apart_and_leaves_missing_rows_out(tmp_path) -> None:
    ds = new(fresh(tmp_path))
    table = pa.table({"sequence": ["ACG", "ACG", None, ""], "bio_type": ["dna", "protein"] * 2,
                      "alphabet": ["dna_4", "protein_20"] * 2})  # fmt: skip
    told = ds.import_report(table)
    assert (told.rows, told.duplicates, told.min_length) == (4, 0, 3)
    assert ds.import_report(table.slice(0, 2)).would_add == 2


def test_IMP_1_report_writes_nothing_even_when_it_spills(tmp_path, monkeypatch) -> None:
    root = fresh(tmp_path)
    ds = new(root, ["TTTT"])
    monkeypatch.setattr(spill, "IN_MEMORY_ROWS", 2)
    before = tree(root)
    told = ds.import_report(["AAAA", "CCCC", "GGGG", "TTTT"], on_conflict="ignore")
    assert (told.would_add, told.would_skip, told.existing) == (3, 1, 1)
    assert tree(root) == before
    assert ds.events()[-1]["action"] != "import_report"


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(["A", "a", "AC", "Ac", "ac", " AC", "GT", "N", "Ca"]), max_size=9))
def test_IMP_1_report_foretells_the_import(tmp_path_factory, rows) -> None:
    root = fresh(tmp_path_factory.mktemp("r"))
    ds = new(root, ["GT", "A"], alphabet="dna_5")
    table = pa.table({"sequence": pa.array(rows, pa.string())})
    told = ds.import_report(table, default_alphabet="dna_5", on_conflict="ignore")
    norm = [r.strip() for r in rows]
    assert told.duplicates == len(norm) - len(set(norm))
    assert told.casefold_duplicates == len(set(norm)) - len({n.upper() for n in norm})
    assert told.existing == sum(n in ("GT", "A") for n in norm)
    assert sum(told.letters.values()) == sum(map(len, norm))
    done = ds.add_sequences(table, bio_type="dna", alphabet="dna_5", on_conflict="ignore")
    assert (done.added, done.skipped) == (told.would_add, told.would_skip)
    assert set(ids(norm)) <= set(ds.head(99)["id"])
