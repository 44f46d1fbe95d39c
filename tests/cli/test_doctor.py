"""`usr doctor`: which folder, which exit code, what is printed where."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import run, watching
from usr_nb import Dataset

FINDING = ["severity", "kind", "path", "message", "hint", "repairable", "repaired"]


def tear(ds: Dataset) -> None:
    with ds.events_path.open("ab") as f:
        f.write(b'{"half')


def cut(ds: Dataset) -> None:
    ds.records_path.write_bytes(ds.records_path.read_bytes()[:-20])


def test_CLI_1_doctor_without_dataset_is_about_the_root_and_every_dataset(root: Path) -> None:
    result = run("doctor")
    assert result.code == 0
    starts = [line.partition(":")[0] for line in result.out.splitlines()]
    assert starts == ["(root)", "densegen/demo", "lab/other"]
    data = run("doctor", "--format", "json").data
    assert data["dataset"] == "(root)"
    assert [d["dataset"] for d in data["datasets"]] == ["densegen/demo", "lab/other"]
    assert data["ok"] is True


def test_LAY_5_doctor_inside_a_dataset_is_about_that(
    demo: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(demo.dir / "_derived")
    assert run("doctor", "--format", "json").data["dataset"] == "densegen/demo"


def test_CLI_1_an_error_is_exit_code_1_and_repair_says_what_is_left(
    root: Path, demo: Dataset
) -> None:
    tear(demo)
    result = run("doctor", "demo")
    assert result.code == 0, "a warning is no failure"
    assert "usr doctor --repair" in result.out
    cut(demo)
    result = run("doctor")
    assert result.code == 1
    assert result.err.startswith("ERROR: 2 errors found; the first: records.parquet\nHint: ")
    assert "unreadable" in result.out
    with watching(root) as change:
        result = run("doctor", "demo", "--repair", "--format", "json")
    assert change.altered == {"densegen/demo/.events.log"}
    assert not change.added | change.removed
    assert result.code == 1
    assert [list(f) for f in result.data["findings"]] == [FINDING] * 4
    assert [(f["kind"], f["repaired"]) for f in result.data["findings"]] == [
        ("unreadable", False), ("altered", False), ("torn-line", False), ("torn-tail", True)
    ]  # fmt: skip
    assert (result.data["errors"], result.data["repaired"]) == (2, 1)


def test_CLI_2_json_and_csv_are_all_that_is_on_standard_output(demo: Dataset) -> None:
    tear(demo)
    for fmt in ("json", "csv"):
        result = run("doctor", "demo", "--format", fmt)
        assert "1 warning" in result.err
        assert "1 warning" not in result.out
    rows = run("doctor", "demo", "--format", "csv").out.splitlines()
    assert rows[0] == "dataset,severity,kind,path,message,hint,repair"
    assert len(rows) == 2


def test_CLI_1_a_root_that_is_none_is_a_typed_error(tmp_path: Path) -> None:
    result = run("doctor", "--root", tmp_path / "nothing")
    assert result.code == 4
    assert "is not a folder" in result.err
