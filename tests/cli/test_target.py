"""Which dataset or file is meant: LAY-2 to LAY-6, CLI-3."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.cli.conftest import run, watching
from usr_nb import Dataset


def rows_of(*argv: object) -> int:
    result = run(*argv)
    assert result.code == 0, result.err
    return int(result.data["rows"])


def test_LAY_2_root_before_and_after_the_command(root: Path, tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert rows_of("--root", root, "info", "demo", "--format", "json") == 36
    assert rows_of("info", "demo", "--format", "json", "--root", root) == 36
    # The one nearer to the command wins.
    assert rows_of("--root", tmp_path, "info", "demo", "--format", "json", "--root", root) == 36


def test_LAY_2_root_of_nested_commands(root: Path, tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "evo2" in run("--root", root, "namespace", "list").out
    assert "evo2" in run("namespace", "list", "--root", root).out


def test_LAY_2_environment_and_search_upwards(root: Path, tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run("info", "demo").code == 1
    monkeypatch.setenv("USR_ROOT", str(root))
    assert rows_of("info", "demo", "--format", "json") == 36
    monkeypatch.delenv("USR_ROOT")
    monkeypatch.chdir(root / "lab")
    assert rows_of("info", "demo", "--format", "json") == 36
    (root.parent / "deep" / "er").mkdir(parents=True)
    monkeypatch.chdir(root.parent / "deep" / "er")
    assert rows_of("info", "demo", "--format", "json") == 36


@pytest.mark.parametrize("command", ["info", "head", "cols", "validate"])
@pytest.mark.parametrize("target", ["archived/x", "datasets/archived/x", "./datasets/archived/x"])
def test_LAY_3_archived_is_a_hard_error_that_names_the_place(root: Path, command: str, target: str):
    (root / "archived").mkdir()
    shutil.copytree(root / "lab" / "other", root / "archived" / "x")
    result = run(command, target)
    assert result.code == 2
    assert "archive" in result.err or "two parts" in result.err
    if not target.startswith("datasets/"):
        assert "datasets/_archive/<namespace>/<dataset>" in result.err


def test_LAY_4_the_last_part_alone_if_it_is_unique(root: Path):
    assert rows_of("info", "other", "--format", "json") == 2
    Dataset.open(root, "second/other").init()
    result = run("info", "other")
    assert result.code == 1
    assert "ambiguous" in result.err
    assert "lab/other, second/other" in result.err


def test_LAY_4_init_takes_the_id_literally(root: Path):
    assert run("init", "demo").code == 0
    assert (root / "demo" / "records.parquet").is_file()


def test_LAY_4_did_you_mean(root: Path):
    result = run("head", "densegn/demo")
    assert (result.code, "Did you mean 'densegen/demo'?" in result.err) == (1, True)


def test_LAY_5_the_dataset_around_the_working_folder(root: Path, monkeypatch):
    monkeypatch.chdir(root / "densegen" / "demo" / "_derived")
    assert rows_of("info", "--format", "json") == 36
    out = root.parent / "out.csv"
    assert run("export", "--fmt", "csv", "--out", out).code == 0
    assert len(out.read_text().splitlines()) == 37
    assert run("cell", "--row", "0", "--col", "length").out == "60\n"
    assert "quickstart__X_value" in run("cols").out


def test_LAY_5_at_the_root_a_pipe_gets_an_error(root: Path):
    result = run("info")
    assert result.code == 1
    assert "No dataset was named" in result.err
    assert "densegen/demo, lab/other" in result.err


def test_LAY_5_at_the_root_a_terminal_gets_a_picker(root: Path):
    result = run("info", "--format", "json", answers="x\n9\n2\n")
    assert result.code == 0, result.err
    assert result.data["name"] == "lab/other"
    assert "1  densegen/demo\n  2  lab/other" in result.err
    assert "'9' is not a number from 1 to 2" in result.err


def test_LAY_5_choosing_nothing_is_an_abort(root: Path):
    result = run("info", answers="\n")
    assert (result.code, result.out) == (130, "")


def test_LAY_5_an_empty_root(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = run("info")
    assert (result.code, "usr init" in result.err) == (1, True)
    listed = run("ls")
    assert (listed.code, "No dataset below" in listed.err) == (0, True)


def test_LAY_6_a_path_outside_the_root(root: Path, tmp_path: Path):
    away = tmp_path / "elsewhere" / "densegen" / "demo"
    shutil.copytree(root / "densegen" / "demo", away)
    (root / "densegen" / "demo" / "meta.md").write_text("changed\n")
    for command in (["info"], ["head"], ["cols"], ["validate"], ["schema"], ["describe"],
                    ["events", "tail"], ["grep", "--pattern", "A"]):  # fmt: skip
        result = run(*command, away)
        assert result.code == 0, (command, result.err)
    assert run("info", away, "--format", "json").data["path"] == str(away)


def test_LAY_6_the_name_must_agree_with_the_path(root: Path, tmp_path: Path):
    away = tmp_path / "elsewhere" / "lab" / "renamed"
    shutil.copytree(root / "densegen" / "demo", away)
    result = run("info", away)
    assert (result.code, "does not agree with the path" in result.err) == (2, True)


def test_LAY_6_relative_paths_and_home(root: Path, monkeypatch):
    assert rows_of("info", "./datasets/densegen/demo", "--format", "json") == 36
    assert rows_of("info", "datasets/densegen/demo", "--format", "json") == 36
    monkeypatch.setenv("HOME", str(root.parent))
    assert rows_of("info", "~/datasets/densegen/demo", "--format", "json") == 36
    missing = run("info", "./datasets/nothing")
    assert (missing.code, "does not exist" in missing.err) == (4, True)
    file = run("info", "./datasets/densegen/demo/records.parquet")
    assert (file.code, "Give the dataset's folder" in file.err) == (1, True)


# Files and folders ------------------------------------------------------------------------------


@pytest.fixture
def runs(root: Path) -> Path:
    folder = root.parent / "runs"
    folder.mkdir()
    pq.write_table(pa.table({"a": [1, 2, 3], "b": ["x", None, ""]}), folder / "one.parquet")
    pq.write_table(pa.table({"c": [[0.5] * 600]}), folder / "two.parquet")
    return folder


def test_CLI_3_a_file_is_shown_as_it_is(runs: Path):
    assert run("head", "runs/one.parquet").out == 'a  b\n1  x\n2  –\n3  ""\n'
    assert run("cols", "runs/one.parquet", "--format", "json").data == [
        {"name": "a", "type": "int64"}, {"name": "b", "type": "string"},
    ]  # fmt: skip
    assert run("cell", "runs/one.parquet", "--row", "2", "--col", "a").out == "3\n"
    assert run("head", runs / "two.parquet").out == "c\nvec[600] [0.5, 0.5, 0.5, ..]\n"


def test_CLI_3_several_files_in_a_pipe_are_an_error_that_lists_them(runs: Path):
    result = run("head", "runs")
    assert result.code == 4
    assert "one.parquet, two.parquet" in result.err
    assert run("head", "runs", "--glob", "o*.parquet").code == 0
    assert "matches x*" in run("cols", "runs", "--glob", "x*").err


def test_CLI_3_several_files_on_a_terminal_are_picked_from(runs: Path):
    result = run("cols", "./runs", answers="2\n")
    assert result.code == 0
    assert "c     list<float64>" in result.out
    assert "1  one.parquet\n  2  two.parquet" in result.err


def test_CLI_3_the_folder_here(runs: Path, monkeypatch):
    monkeypatch.chdir(runs)
    assert run("cols", ".", "--glob", "one*").out.startswith("name  type\na ")
    assert run("cols", answers="1\n").out.startswith("name  type\na ")


def test_CLI_3_picking_inside_a_dataset_is_an_event(root: Path, demo: Dataset):
    run("snapshot", "densegen/demo")
    before = len(demo.events())
    result = run("head", root / "densegen" / "demo" / "_snapshots")
    assert result.code == 0, result.err
    event = demo.events()[-1]
    assert len(demo.events()) == before + 1
    assert event["action"] == "implicit_file_pick"
    assert event["args"]["path"].startswith("_snapshots/records-")
    # Naming the file picks nothing.
    path = next((root / "densegen" / "demo" / "_snapshots").iterdir())
    assert run("head", path).code == 0
    assert len(demo.events()) == before + 1


def test_CLI_3_a_dataset_folder_is_the_dataset_and_no_pick(root: Path):
    with watching(root) as change:
        result = run("cols", "./datasets/densegen/demo")
    assert "quickstart__X_value" in result.out
    assert not change


def test_CLI_3_a_glob_asks_for_files_of_a_dataset(demo: Dataset, root: Path):
    result = run("cols", "demo", "--glob", "records.parquet")
    assert result.code == 0
    assert "quickstart" not in result.out
    assert demo.events()[-1]["action"] == "implicit_file_pick"


@pytest.mark.parametrize("content", [b"", b"PAR1", b"not parquet at all" * 10])
def test_CLI_1_a_damaged_file_is_a_typed_error(runs: Path, content: bytes):
    (runs / "bad.parquet").write_bytes(content)
    for argv in (["head", "runs/bad.parquet"], ["cols", "runs/bad.parquet"],
                 ["cell", "runs/bad.parquet", "--col", "a"]):  # fmt: skip
        result = run(*argv)
        assert (result.code, result.out) == (2, "")
        assert result.err.startswith("ERROR: ")
        assert "defect" not in result.err


def test_missing_file_names_its_neighbour(runs: Path):
    result = run("head", "runs/onne.parquet")
    assert (result.code, "Did you mean 'one.parquet'?" in result.err) == (4, True)


def test_rows_and_columns_of_files_that_are_not_there(runs: Path):
    result = run("cell", "runs/one.parquet", "--row", "3", "--col", "a")
    assert (result.code, "rows 0 to 2" in result.err) == (4, True)
    result = run("head", "runs/one.parquet", "--columns", "aa")
    assert (result.code, "no column 'aa'" in result.err) == (2, True)


def test_json_of_a_file(runs: Path):
    result = run("head", "runs/one.parquet", "--format", "json", "-n", "2")
    assert json.loads(result.out)["data"] == [{"a": 1, "b": "x"}, {"a": 2, "b": None}]


@pytest.mark.parametrize("named", [True, False])
def test_CLI_3_a_records_file_without_notes_is_a_file(runs: Path, demo: Dataset, named: bool):
    """A folder outside the root that holds a copied records.parquet is no dataset."""
    lone = runs / "lone"
    lone.mkdir()
    (lone / "records.parquet").write_bytes(demo.records_path.read_bytes())
    os.chdir(lone)
    for argv in (["head"], ["cols"], ["cell", "--col", "sequence"]):
        result = run(*argv, *(["."] if named else []), "--root", demo.root)
        assert result.code == 0, result.err
        assert "file: " in result.err
    assert run("info", "--root", demo.root).code == 1
