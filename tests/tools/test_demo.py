"""The demo root: what is in it, that building it again changes nothing, and that it resumes."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from usr_nb import Dataset, list_datasets, load_columns, load_registry, register_namespace
from usr_nb.errors import NamespaceError, PathNotFound, ValidationError
from usr_nb.tools import demo, places
from usr_nb.tools.demo import LIBRARY, QUICKSTART, build_demo
from usr_nb.tools.sos import COLUMN_WORDS

MATERIAL = Path(__file__).resolve().parents[2] / "demo_material"
TRUTH = json.loads((MATERIAL / "demo_library_truth.json").read_text())


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    root = tmp_path_factory.mktemp("demo") / "root"
    lines: list[str] = []
    assert build_demo(root, say=lines.append) == root.resolve()
    return root, lines


@pytest.fixture
def copy(built, tmp_path):
    return Path(shutil.copytree(built[0], tmp_path / "copy"))


def content(root: Path) -> dict[str, str]:
    """Digests of every file, by path; locks hold the last process and never matter."""
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.name != ".usr.lock"
    }


def frame(root: Path, name: str, columns: list[str]) -> pd.DataFrame:
    batches = list(Dataset.open(root, name).scan(columns))
    return pa.Table.from_batches(batches).to_pandas()


def test_both_datasets_are_there_and_valid(built):
    root, _ = built
    assert list_datasets(root) == [QUICKSTART, LIBRARY]
    for name, rows in ((QUICKSTART, 36), (LIBRARY, 20_000)):
        ds = Dataset.open(root, name)
        assert ds.info().rows == rows
        assert ds.validate(strict=False)


def test_the_quickstart_holds_what_its_files_say(built):
    found = frame(
        built[0], QUICKSTART,
        ["sequence", "quickstart__X_value", "quickstart__intensity_log2_offset_delta"],
    )  # fmt: skip
    sequences = pd.read_csv(MATERIAL / "demo_sequences.csv")
    assert found["sequence"].tolist() == sequences["sequence"].tolist()
    one = pd.read_csv(MATERIAL / "demo_attachment_one.csv").set_index("sequence")["X_value"]
    for row in found.itertuples():
        assert list(row.quickstart__X_value) == json.loads(one[row.sequence])
    two = pd.read_csv(MATERIAL / "demo_y_sfxi.csv").set_index("sequence")
    expected = two["intensity_log2_offset_delta"].reindex(found["sequence"]).to_numpy()
    pd.testing.assert_series_equal(
        found["quickstart__intensity_log2_offset_delta"], pd.Series(expected), check_names=False
    )
    base = Dataset.open(built[0], QUICKSTART).schema(include_overlays=False).names
    assert "quickstart__X_value" in base


def test_the_library_holds_what_the_truth_file_says(built):
    library = pd.read_csv(MATERIAL / "demo_library.csv.gz")
    found = frame(
        built[0], LIBRARY, ["id", "sequence", "meta__batch", "sim_evo2__mean_logprob"]
    )  # fmt: skip
    assert found["sequence"].tolist() == library["sequence"].tolist()
    assert found["meta__batch"].tolist() == library["batch"].tolist()
    unscored = found.loc[found["sim_evo2__mean_logprob"].isna(), "id"]
    assert sorted(unscored) == TRUTH["evo2"]["missing"]["ids"]
    overlays = {o.namespace: o for o in Dataset.open(built[0], LIBRARY).list_overlays()}
    assert overlays["sim_evo2"].parts == TRUTH["evo2"]["parts"]


def test_every_part_says_who_wrote_it(built):
    events = Dataset.open(built[0], LIBRARY).events()
    runs = Counter(
        (e["actor"]["tool"], e["actor"]["run_id"])
        for e in events
        if e["action"] == "write_overlay_part"
    )
    assert runs == {
        ("densegen", "design-sos-1"): 1, ("bench", "order-sos-1"): 1,
        ("evo2-sim", "sim-job-8812"): 20, ("evo2-sim", TRUTH["evo2"]["rescored"]["run_id"]): 1,
        ("assay-sim", "sim-run-31"): 1, ("assay-sim", "sim-run-32"): 1,
        ("embed-sim", "sim-job-8840"): 1,
    }  # fmt: skip


def test_simulated_namespaces_say_so(built):
    for name, entry in load_registry(built[0]).items():
        if name.startswith("sim_"):
            assert "simulated" in entry.description.lower()


def test_columns_have_units_and_labels(built):
    root, _ = built
    told = load_columns(root)
    assert set(told) == set(COLUMN_WORDS)
    assert told["sim_evo2__mean_logprob"].title("x") == "Evo2 score, simulated (nats per nt)"
    known = {column.name for entry in load_registry(root).values() for column in entry.columns}
    assert set(told) <= known


def test_each_step_and_its_result_are_shown(built):
    _, lines = built
    steps = [line.split()[2] for line in lines if line.startswith("  $ usr")]
    assert steps[:6] == ["namespace", "init", "import", "attach", "attach", "materialize"]
    text = "\n".join(lines)
    for result in ("imported 36 records", "to 24 of 36", "imported 20,000 records", "20 parts"):
        assert result in text


def test_building_again_changes_no_file(copy):
    before = content(copy)
    lines: list[str] = []
    build_demo(copy, say=lines.append)
    assert content(copy) == before
    assert "there already" in "\n".join(lines)


def test_what_the_user_did_stays(copy):
    ds = Dataset.open(copy, LIBRARY)
    ids = ds.head(3)["id"].tolist()
    ds.tombstone(ids[:1])
    mine = pa.table({"id": ids[1:], "sim_evo2__mean_logprob": [-9.0, None]})
    ds.write_overlay_part("sim_evo2", mine)
    ds.remove_overlay("sim_embed")
    small = Dataset.open(copy, QUICKSTART)
    small.add_sequences(["ACGTACGTAC"], bio_type="dna", alphabet="dna_4")
    register_namespace(copy, namespace="mine", columns="mine__x:float64")
    before = content(copy)
    build_demo(copy)
    assert content(copy) == before
    # Nor is a part written again whose values were moved into the base.
    with ds.maintenance(reason="test"):
        ds.materialize(["meta"], keep_overlays=False)
    before = content(copy)
    build_demo(copy)
    assert content(copy) == before


class StopHereError(Exception):
    pass


@pytest.mark.parametrize("calls", [1, 4, 9, 22, 26])
def test_an_interrupted_build_goes_on_where_it_stopped(built, tmp_path, monkeypatch, calls):
    root = tmp_path / "root"
    left = iter(range(calls))

    def cut(name):
        whole = getattr(Dataset, name)

        def short(self, *args, **kwargs):
            if next(left, None) is None:
                raise StopHereError
            return whole(self, *args, **kwargs)

        monkeypatch.setattr(Dataset, name, short)

    for name in ("init", "import_csv", "attach", "materialize", "write_overlay_part"):
        cut(name)
    with pytest.raises(StopHereError):
        build_demo(root)
    monkeypatch.undo()
    build_demo(root)
    for name in (QUICKSTART, LIBRARY):
        mine, other = Dataset.open(root, name), Dataset.open(built[0], name)
        drop = ["created_at"]
        assert (
            pa.Table.from_batches(mine.scan())
            .drop_columns(drop)
            .equals(pa.Table.from_batches(other.scan()).drop_columns(drop))
        )
        assert [e["action"] for e in mine.events()] == [e["action"] for e in other.events()]
        assert [o.parts for o in mine.list_overlays()] == [o.parts for o in other.list_overlays()]


def test_a_part_whose_event_was_lost_is_not_written_twice(copy):
    ds = Dataset.open(copy, LIBRARY)
    lines = ds.events_path.read_bytes().splitlines(keepends=True)
    ds.events_path.write_bytes(b"".join(lines[:-1]))
    parts = sorted(path.name for path in ds.dir.rglob("part-*.parquet"))
    build_demo(copy)
    assert sorted(path.name for path in ds.dir.rglob("part-*.parquet")) == parts


# ------------------------------------------------------------------ refusals


def test_a_folder_with_other_files_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(ValidationError, match=r"thesis\.txt"):
        build_demo(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]
    with pytest.raises(ValidationError, match="not a folder"):
        build_demo(tmp_path / "thesis.txt")


def test_an_empty_folder_and_a_hidden_file_are_fine(tmp_path, monkeypatch):
    (tmp_path / ".gitignore").write_text("*\n")
    monkeypatch.setattr(demo, "_build_library", lambda step: None)
    build_demo(tmp_path)
    assert list_datasets(tmp_path) == [QUICKSTART]


def test_another_type_of_the_same_column_is_refused_before_anything(tmp_path):
    register_namespace(tmp_path, namespace="quickstart", columns="quickstart__X_value:string")
    with pytest.raises(NamespaceError, match="registered as string"):
        build_demo(tmp_path)
    assert list_datasets(tmp_path) == []


def test_more_columns_of_a_namespace_are_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(demo, "_build_library", lambda step: None)
    register_namespace(
        tmp_path, namespace="quickstart", columns="quickstart__mine:bool", owner="me"
    )
    build_demo(tmp_path)
    entry = load_registry(tmp_path)["quickstart"]
    assert entry.owner == "me"
    assert entry.column_names[0] == "quickstart__mine"
    assert len(entry.column_names) == 3


def test_missing_material_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(places, "_PACKAGE", tmp_path / "usr_nb")
    with pytest.raises(PathNotFound, match=r"demo_sequences\.csv"):
        places.demo_file("demo_sequences.csv")
    packed = tmp_path / "usr_nb" / "_demo_material"
    packed.mkdir(parents=True)
    (tmp_path / "demo_material").mkdir()
    for folder in (packed, tmp_path / "demo_material"):
        (folder / "demo_sequences.csv").write_text("sequence\n")
    assert places.demo_file("demo_sequences.csv") == packed / "demo_sequences.csv"
