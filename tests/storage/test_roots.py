"""LAY-2..6: which root, which dataset."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.storage import kit
from usr_nb.contract.names import CANONICAL_ARCHIVE
from usr_nb.errors import DatasetNotFound, ValidationError
from usr_nb.storage import roots
from usr_nb.storage.layout import Layout


def dataset(root: Path, name: str) -> Path:
    kit.put(Layout(root / name), "records.parquet", 1)
    (root / name / "meta.md").write_text(f"name: {name}\n")
    return root / name


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = tmp_path / "root"
    for name in ("sos", "promoters/sos2", "promoters/rpo", "other/rpo", "plain"):
        dataset(made, name)
    (made / "registry.yaml").write_text("namespaces: {}")
    return made


# Roots ---------------------------------------------------------------------------------------


def test_LAY_2_argument_then_environment_then_upwards_then_datasets(tmp_path, monkeypatch):
    deep = tmp_path / "a/b/c"
    deep.mkdir(parents=True)
    assert roots.find_root(cwd=deep) == deep / "datasets"
    (tmp_path / "a/datasets").mkdir()
    (tmp_path / "a/datasets/registry.yaml").write_text("")
    assert roots.find_root(cwd=deep) == tmp_path / "a/datasets"
    (tmp_path / "a/b/registry.yaml").write_text("")
    assert roots.find_root(cwd=deep) == tmp_path / "a/b", "the nearest"
    monkeypatch.setenv("USR_ROOT", str(tmp_path / "env"))
    assert roots.find_root(cwd=deep) == tmp_path / "env"
    assert roots.find_root("arg", cwd=deep) == deep / "arg"
    assert roots.find_root(tmp_path / "arg", cwd=deep) == tmp_path / "arg"
    monkeypatch.setenv("USR_ROOT", "")
    assert roots.find_root(cwd=deep) == tmp_path / "a/b"


def test_LAY_2_a_folder_of_that_name_is_no_registry(tmp_path):
    (tmp_path / "registry.yaml").mkdir()
    assert roots.find_root(cwd=tmp_path) == tmp_path / "datasets"


# Names ---------------------------------------------------------------------------------------


def test_LAY_4_all_datasets_are_listed_archives_are_not(root):
    dataset(root, "_archive/promoters/old")
    dataset(root, "archived/x")
    dataset(root, "promoters/archived")
    dataset(root, ".hidden")
    (root / "empty").mkdir()
    (root / "elsewhere").symlink_to(root / "sos")
    assert roots.dataset_names(root) == [
        "other/rpo", "plain", "promoters/archived", "promoters/rpo", "promoters/sos2", "sos",
    ]  # fmt: skip
    assert roots.dataset_names(root / "gone") == []


def test_LAY_4_a_root_inside_a_root_is_no_dataset(root):
    (root / "inner/_txn").mkdir(parents=True)
    (root / "inner/_txn/slot-000000000001").write_text("{}")
    (root / "inner/registry.yaml").write_text("")
    assert "inner" not in roots.dataset_names(root)


def test_LAY_4_full_ids_and_unique_last_parts_resolve(root):
    assert roots.resolve(root, "promoters/rpo").name == "promoters/rpo"
    assert roots.resolve(root, "sos2") == roots.Place(
        root, "promoters/sos2", root / "promoters/sos2"
    )
    assert roots.resolve(root, "sos").name == "sos"
    assert roots.open_or_literal(root, "sos2").name == "promoters/sos2"


def test_LAY_4_ambiguous_names_list_the_matches(root):
    for act in (roots.resolve, roots.open_or_literal):
        with pytest.raises(DatasetNotFound, match="ambiguous") as e:
            act(root, "rpo")
        assert "other/rpo" in e.value.hint
        assert "promoters/rpo" in e.value.hint


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("soss", "sos"),
        ("promoter/rpo", "promoters/rpo"),
        ("promoters/sos", "promoters/sos2"),
        ("PLAIN", "plain"),
    ],
)
def test_LAY_4_did_you_mean(root, typed, meant):
    with pytest.raises(DatasetNotFound, match="does not exist") as e:
        roots.resolve(root, typed)
    assert f"Did you mean '{meant}'?" in e.value.hint
    assert f"usr init {typed}" in e.value.hint


def test_LAY_4_open_is_literal_if_nothing_matches_or_the_folder_is_there(root):
    assert roots.open_or_literal(root, "fresh").dir == root / "fresh"
    (root / "sos2").mkdir()
    assert roots.open_or_literal(root, "sos2").name == "sos2"


def test_LAY_4_an_empty_root_says_so(tmp_path):
    with pytest.raises(DatasetNotFound) as e:
        roots.resolve(tmp_path, "x")
    assert "No dataset is there yet" in e.value.hint


@pytest.mark.parametrize(
    "name", ["../root/sos", "/etc", "a/b/c", "", ".", "so*", "archived/x", "x.csv"]
)
def test_LAY_3_hostile_names_never_reach_a_path(root, name):
    for act in (roots.resolve, roots.open_or_literal, roots.literal_place, roots.new_place):
        with pytest.raises(ValidationError):
            act(root, name)


def test_LAY_3_links_that_leave_the_root_are_refused(root, tmp_path):
    outside = dataset(tmp_path / "outside", "x")
    (root / "link").symlink_to(outside)
    (root / "space").symlink_to(tmp_path / "outside")
    for name in ("link", "space/x"):
        with pytest.raises(ValidationError, match="leaves the root"):
            roots.resolve(root, name)
    (root / "inside").symlink_to(root / "sos")
    assert roots.resolve(root, "inside").name == "inside"
    (tmp_path / "alias").symlink_to(root)
    assert roots.resolve(tmp_path / "alias", "sos").name == "sos"


def test_LAY_3_no_dataset_inside_a_dataset(root):
    for act in (roots.literal_place, roots.new_place):
        with pytest.raises(ValidationError, match="inside dataset 'sos'"):
            act(root, "sos/x")
    with pytest.raises(ValidationError, match="promoters/rpo"):
        roots.new_place(root, "promoters")
    assert roots.new_place(root, "promoters/new").dir == root / "promoters/new"


def test_LAY_3_legacy_archives_name_the_canonical_place(root, tmp_path):
    legacy = dataset(tmp_path / "x/usr/archived", "a/b")
    inside = dataset(root, "archived/a/b")
    for path in (legacy, inside, root / "sos/../archived/a/b"):
        with pytest.raises(ValidationError, match="archive") as e:
            roots.place_of_folder(path, root)
        assert CANONICAL_ARCHIVE in e.value.hint
    fine = dataset(tmp_path / "mine/archived", "a/b")
    assert roots.place_of_folder(fine, root).name == "a/b", "any other folder may be called so"


# Folders -------------------------------------------------------------------------------------


def test_LAY_6_a_dataset_outside_the_root_says_its_id_itself(root, tmp_path):
    folder = dataset(tmp_path / "away", "ns/x")
    assert roots.place_of_folder(folder, root) == roots.Place(tmp_path / "away", "ns/x", folder)
    assert roots.place_of_folder(folder, None).name == "ns/x"
    assert roots.place_of_folder(root / "sos", root) == roots.Place(root, "sos", root / "sos")


@pytest.mark.parametrize(
    "line", ["name: ns/y", "name: x/ns", "name: ../x", "name:", "title: x", ""]
)
def test_LAY_6_id_and_path_must_agree(root, tmp_path, line):
    folder = dataset(tmp_path / "away", "ns/x")
    (folder / "meta.md").write_text(line + "\n")
    with pytest.raises(ValidationError):
        roots.place_of_folder(folder, root)


def test_LAY_6_a_folder_without_a_dataset_is_a_typed_error(root, tmp_path):
    with pytest.raises(DatasetNotFound, match="holds no dataset"):
        roots.place_of_folder(tmp_path, root)
    with pytest.raises(DatasetNotFound):
        roots.place_of_folder(tmp_path / "gone", root)


def test_LAY_5_the_dataset_that_contains_the_working_directory(root, tmp_path):
    deep = root / "promoters/rpo/_derived/x"
    deep.mkdir(parents=True)
    assert roots.containing_dataset(deep, root).name == "promoters/rpo"
    assert roots.containing_dataset(root / "sos", root).name == "sos"
    assert roots.containing_dataset(root, root) is None
    assert roots.containing_dataset(root / "promoters", root) is None
    assert roots.containing_dataset(tmp_path, root) is None
    away = dataset(tmp_path / "away", "ns/x")
    assert roots.containing_dataset(away, root).name == "ns/x"


def test_LAY_6_what_is_meant_as_a_path():
    assert all(map(roots.is_path_like, ["/x", "./x", "../x", "~/x", ".", ".."]))
    assert not any(map(roots.is_path_like, ["x", "a/b", ".x", "x/.."]))
