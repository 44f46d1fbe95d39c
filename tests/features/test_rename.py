"""Columns of other people's files: renamed on the way in, registered with their values."""

from __future__ import annotations

import pytest

from tests.cli.conftest import run
from tests.dataset.kit import cells, last_event, refused, tree
from tests.features.kit import by_sequence, fresh, new
from usr_nb import SchemaError, load_registry

ODD = "\ufeffSequence (5'->3'),LLR (nats)\r\nACGT,1.5\r\nTTTT,\r\n"


def test_IMP_1_a_column_is_imported_under_another_name(tmp_path) -> None:
    root = fresh(tmp_path)
    path = root / "a.csv"
    path.write_text(ODD, newline="")
    ds = new(root)
    with refused(root, SchemaError, "no column 'sequence'"):
        ds.import_file(path)
    names = {"Sequence (5'->3')": "sequence", "LLR (nats)": "llr"}
    assert ds.import_report(path, rename=names, keep="k").kept_columns == {"llr": "k__llr: string"}
    assert ds.import_file(path, rename=names, keep="k").added == 2
    assert by_sequence(ds, "k__llr") == {"ACGT": "1.5", "TTTT": None}
    assert last_event(ds, "import_rows")["args"]["rename"] == names
    assert "--rename 'LLR (nats)=llr'" in ds.meta_path.read_text()


@pytest.mark.parametrize(
    ("names", "why"),
    [({"Seq": "sequence"}, "no column 'Seq' to rename"),
     ({"LLR (nats)": "Sequence (5'->3')"}, "two columns would be called")],
)  # fmt: skip
def test_IMP_1_a_name_that_does_not_fit_is_refused(tmp_path, names, why) -> None:
    root = fresh(tmp_path)
    (root / "a.csv").write_text(ODD, newline="")
    ds = new(root)
    with refused(root, SchemaError, why):
        ds.import_file(root / "a.csv", rename=names)
    (root / "a.fa").write_text(">a\nACGT\n")
    with refused(root, SchemaError, "FASTA"):
        ds.import_file(root / "a.fa", rename={"header": "name"})


def test_IMP_1_a_dry_run_proposes_types_which_then_hold(tmp_path) -> None:
    root = fresh(tmp_path)
    path = root / "a.csv"
    path.write_text("sequence,n,x,name\nACGT,1,1.5,007\nTTTT,,NaN,a\n")
    ds = new(root)
    before = tree(root)
    told = run("import", ds.name, "--root", str(root), "--path", str(path), "--keep", "k",
               "--dry-run")  # fmt: skip
    report = ds.import_report(path, keep="k")
    assert report.proposed == "k__n:int64,k__x:float64,k__name:string"
    assert f"usr namespace register k --columns '{report.proposed}'" in told.out
    assert (report.ignored_columns, tree(root)) == ([], before)
    done = run("namespace", "register", "k", "--root", str(root), "--columns", report.proposed)
    assert done.code == 0
    assert ds.import_report(path, keep="k").proposed is None
    ds.import_file(path, keep="k")
    assert cells(ds, "k__n") == [1, None]
    assert cells(ds, "k__name") == ["007", "a"]


def test_ATT_2_attach_registers_what_is_missing(tmp_path) -> None:
    root = fresh(tmp_path)
    path = root / "a.csv"
    path.write_text(ODD, newline="")
    ds = new(root, ["ACGT", "TTTT"])
    argv = ["attach", ds.name, "--root", str(root), "--path", str(path), "--namespace", "evo2",
            "--key", "sequence", "--key-col", "Sequence (5'->3')"]  # fmt: skip
    wrong = run(*argv)
    assert (wrong.code, "--register" in wrong.err) == (2, True)
    wrong = run(*argv, "--register")
    assert (wrong.code, "--rename 'LLR (nats)=LLR_nats'" in wrong.err) == (2, True)
    assert "evo2" not in load_registry(root)
    assert run(*argv, "--register", "--rename", "LLR (nats)").code == 2
    done = run(*argv, "--register", "--rename", "LLR (nats)=llr")
    assert done.out == "attached 2 of 2 rows to evo2\n"
    assert [(c.name, c.type) for c in load_registry(root)["evo2"].columns] == [
        ("evo2__llr", "float64")
    ]
    assert by_sequence(ds, "evo2__llr") == {"ACGT": 1.5, "TTTT": None}
    assert "--rename 'LLR (nats)=llr' --register" in ds.meta_path.read_text()
    again = run(*argv, "--register", "--rename", "LLR (nats)=llr")
    assert (again.code, "--allow-overwrite" in again.err) == (2, True)
    assert [e["action"] for e in ds.events()].count("attach") == 1
