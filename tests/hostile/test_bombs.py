"""Small files that ask for much, and files that are not what they are called."""

from __future__ import annotations

import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.fuzz import seeds
from tests.fuzz.worker import peak, reset_peak
from tests.hostile.scene import DATASET, Scene
from usr_nb import Dataset, SchemaError, SequencesError, StorageError, load_registry
from usr_nb.readers import open_rows
from usr_nb.storage import parquet
from usr_nb.storage.eventlog import read_events
from usr_nb.storage.registryfile import load_yaml


@pytest.fixture(scope="module")
def bomb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Parquet file of 300 kB whose one cell has 320 million letters."""
    path = tmp_path_factory.mktemp("bomb") / "bomb.parquet"
    cell = pa.array([pa.scalar("A" * (320 << 20))])
    table = pa.table({"id": cell, "sequence": cell})
    pq.write_table(table.select(["id"]).append_column("sequence", cell), path, compression="zstd",
                   use_dictionary=False, write_statistics=False)  # fmt: skip
    assert path.stat().st_size < 1 << 20
    return path


def quick_and_small(act, match: str) -> None:
    base, clock = reset_peak(), time.process_time()
    with pytest.raises(SequencesError, match=match):
        act()
    assert peak() - base < 100 << 20
    assert time.process_time() - clock < 2


def test_IMP_5_a_parquet_bomb_is_refused_by_its_footer(bomb: Path, tmp_path: Path) -> None:
    quick_and_small(lambda: open_rows(bomb), "would expand")
    scene = Scene(tmp_path)
    scene.build()
    ds = Dataset.open(scene.root, DATASET)
    quick_and_small(lambda: ds.import_file(bomb), "would expand")
    quick_and_small(lambda: ds.attach(bomb, "evo2", backend="duckdb", parse_json=False), "expand")
    part = scene.dir / "_derived" / "quickstart" / f"part-20260101T000000000000Z-{'0' * 32}.parquet"
    part.write_bytes(bomb.read_bytes())
    quick_and_small(ds.head, "would expand")
    ds.records_path.write_bytes(bomb.read_bytes())
    quick_and_small(ds.info, "would expand")


def test_honest_files_compress_well_and_are_read(tmp_path: Path) -> None:
    path = tmp_path / "zeros.parquet"
    table = pa.table({"sequence": ["ACGT"] * 300_000, "v": [[0.0] * 16] * 300_000})
    pq.write_table(table, path, compression="zstd")
    assert sum(b.num_rows for b in open_rows(path)) == 300_000


def test_row_counts_of_a_footer_must_agree() -> None:
    class Group:
        def __init__(self, rows: int) -> None:
            self.num_rows = rows
            self.total_byte_size = 10

    class Footer:
        def __init__(self, rows: int, groups: list[int]) -> None:
            self.num_rows = rows
            self.num_row_groups = len(groups)
            self.groups = groups

        def row_group(self, at: int) -> Group:
            return Group(self.groups[at])

    parquet.check_footer(Footer(5, [2, 3]), 100)
    for rows, groups in ((6, [2, 3]), (1, [2, -1]), (2**62, [])):
        with pytest.raises(ValueError, match="row groups hold"):
            parquet.check_footer(Footer(rows, groups), 100)


def test_columns_of_a_damaged_base_are_named(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.build()
    ds = Dataset.open(scene.root, DATASET)
    whole = pq.read_table(ds.records_path)
    pq.write_table(whole.drop_columns(["sequence"]), ds.records_path)
    with pytest.raises(SchemaError, match="'sequence' is not there"):
        ds.grep("A")
    binary = whole.set_column(0, "id", whole["id"].cast(pa.binary()))
    pq.write_table(binary, ds.records_path)
    with pytest.raises(SchemaError, match="'id' is binary, not string"):
        ds.get("0" * 40)


@pytest.mark.parametrize("checksums", [True, False])
def test_OVL_8_text_that_is_no_utf8_is_an_error_that_names_the_file(
    checksums: bool, tmp_path: Path
) -> None:
    scene = Scene(tmp_path)
    scene.build()
    ds = Dataset.open(scene.root, DATASET)
    table = pq.read_table(ds.records_path)
    raw = pa.StringArray.from_buffers(3, *pa.array([b"\xff", b"a", b"b"]).buffers()[1:], None)
    bad = table.set_column(5, "source", raw)
    pq.write_table(bad.replace_schema_metadata(table.schema.metadata), ds.records_path,
                   write_page_checksum=checksums, write_statistics=False)  # fmt: skip
    with pytest.raises(StorageError, match=r"records\.parquet"):
        ds.head()
    with pytest.raises(StorageError, match=r"records\.parquet"):
        list(ds.scan())


@pytest.mark.parametrize("text", [
    "a: &a [x, x]\nb: [*a, *a]", "&a [*a]", "{? &a x : *a}", "<<: &x {a: 1}\nb: *x",
    "!!python/object/apply:os.system ['id']", "!!python/name:os.system", "[" * 5000,
    "a: " * 200, "- " * 400_000, "a: b\n" * 400_000, "{a: " * 100_000,
    "\ud83d".encode("utf-8", "surrogatepass").decode("latin1"), "%YAML 9.9\n--- a", "\0",
])  # fmt: skip
def test_REG_2_yaml_bombs_tags_and_depth_are_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "registry.yaml").write_text(text, encoding="utf-8")
    quick_and_small(lambda: load_registry(tmp_path), "registry.yaml")
    assert not hasattr(load_yaml(b"a: 1", where="x"), "nope")


def test_REG_2_a_registry_has_no_aliases(tmp_path: Path) -> None:
    plain = seeds.REGISTRY.as_yaml()
    (tmp_path / "registry.yaml").write_text(plain)
    assert "m" in load_registry(tmp_path)
    linked = plain.replace("owner: me", "owner: &me me").replace("made up", "*me")
    assert linked != plain
    (tmp_path / "registry.yaml").write_text(linked)
    quick_and_small(lambda: load_registry(tmp_path), "aliases are not allowed")


def test_REG_2_a_registry_has_a_largest_size(tmp_path: Path) -> None:
    (tmp_path / "registry.yaml").write_bytes(seeds.REGISTRY.as_yaml().encode() + b"#" * (9 << 20))
    quick_and_small(lambda: load_registry(tmp_path), "larger than 8 MiB")


def test_GET_2_patterns_are_linear_and_bounded(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.build()
    ds = Dataset.open(scene.root, DATASET)
    ds.import_rows(["A" * 200_000])
    clock = time.process_time()
    # Backtracking would take longer than the universe has.
    assert len(ds.grep("(A+)+$", limit=5)) >= 1
    assert len(ds.grep("(A|A)*B", limit=5)) == 0
    assert time.process_time() - clock < 2
    for pattern in ("A" * 10_001, "(A{1000}){1000}", "((A{100}){100}){100}", "(?=A)", r"(A)\1"):
        quick_and_small(lambda p=pattern: ds.grep(p), "attern")


def test_EVT_5_a_log_of_blank_lines_is_passed_over_quickly(tmp_path: Path) -> None:
    path = tmp_path / ".events.log"
    path.write_bytes(b"\n" * 1_000_000 + b'{"action":"init"}\n')
    clock = time.process_time()
    assert [e["action"] for e in read_events(path)] == ["init"]
    assert time.process_time() - clock < 1.5


@pytest.mark.parametrize("cell", [b",", b'"",', b"x" * 200 + b","])
def test_IMP_5_a_header_of_a_megabyte_is_refused_quickly(cell: bytes, tmp_path: Path) -> None:
    path = tmp_path / "wide.csv"
    path.write_bytes(cell * (5_000_000 // len(cell)) + b"\n")
    quick_and_small(lambda: open_rows(path), "wide.csv")
