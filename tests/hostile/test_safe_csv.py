"""``export --safe-csv``: no cell that a spreadsheet would run."""

from __future__ import annotations

import csv
import gzip
import io
import re
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings, strategies as st

from tests.cli.conftest import run
from tests.hostile.scene import DATASET, Scene
from usr_nb import Dataset, ValidationError
from usr_nb.dataset.export import write_csv
from usr_nb.dataset.safecsv import harmless

NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
LEADING = st.sampled_from(["=", "+", "-", "@", "\t", "\r", "\n", "\0", "'", "", " ", "1", "＝"])
CELLS = st.one_of(
    st.none(),
    st.builds("{}{}".format, LEADING, st.text(max_size=12)),
    st.builds("{}{}".format, st.sampled_from(["+", "-", ""]), st.floats(allow_nan=False).map(repr)),
    st.from_regex(NUMBER, fullmatch=True),
)


def runs(cell: str) -> bool:
    """Say whether a spreadsheet may take a cell for a formula."""
    return cell[:1] in tuple("=+-@\t\r\n\0") and cell != "" and not NUMBER.fullmatch(cell)


@settings(max_examples=300)
@given(st.lists(CELLS, max_size=8))
def test_CLI_1_safe_cells_are_text_and_all_others_stay(cells: list[str | None]) -> None:
    found = harmless(pa.array(cells, pa.string())).to_pylist()
    for before, after in zip(cells, found, strict=True):
        if before is None or not runs(before):
            assert after == before
        else:
            assert after == "'" + before
        assert after is None or not runs(after)


@settings(max_examples=100)
@given(st.lists(CELLS, min_size=1, max_size=6), st.text(min_size=1, max_size=8))
def test_CLI_1_a_safe_file_read_back_holds_the_apostrophes(
    cells: list[str | None], head: str
) -> None:
    schema = pa.schema([("id", pa.int64()), (head, pa.string()), ("x", pa.float64())])
    n = len(cells)
    batch = pa.record_batch([pa.array(range(n)), pa.array(cells, pa.string()), [-1.5] * n], schema)
    sink = pa.BufferOutputStream()
    write_csv(sink, schema, [batch], safe=True)
    text = sink.getvalue().to_pybytes().decode()
    first = next(csv.reader(io.StringIO(text, newline="")))
    assert first == ["id", *harmless(pa.array([head])).to_pylist(), "x"]
    for cell in cells:
        if cell is not None and runs(cell) and not set(cell) & set('\r\n"'):
            assert "'" + cell in text
    assert "-1.5" in text


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    made = Scene(tmp_path)
    made.build()
    monkeypatch.chdir(tmp_path / "inputs")
    monkeypatch.setenv("USR_ROOT", str(made.root))
    return made


@pytest.mark.parametrize("name", ["out.csv", "out.csv.gz"])
def test_CLI_6_library_and_command_write_the_same_safe_file(name: str, scene: Scene) -> None:
    ds = Dataset.open(scene.root, DATASET)
    ds.export("csv", scene.base / "inputs" / ("a" + name), safe_csv=True)
    assert run("export", DATASET, "--fmt", "csv", "--out", "b" + name, "--safe-csv").code == 0
    files = [(scene.base / "inputs" / (x + name)).read_bytes() for x in "ab"]
    assert files[0] == files[1]
    text = (gzip.decompress(files[0]) if name.endswith("gz") else files[0]).decode()
    column = [row["quickstart__s"] for row in csv.DictReader(text.splitlines())]
    assert column == ["a", "", "'=1+1"]
    plain = scene.base / "inputs" / "plain.csv"
    ds.export("csv", plain)
    assert "=1+1" in plain.read_text()
    assert "'=1+1" not in plain.read_text()


@pytest.mark.parametrize("fmt", ["jsonl", "parquet", "fasta"])
def test_CLI_1_safe_csv_is_for_csv(fmt: str, scene: Scene) -> None:
    before = scene.state()
    with pytest.raises(ValidationError, match="safe_csv is for csv"):
        Dataset.open(scene.root, DATASET).export(fmt, "out", safe_csv=True)
    assert not scene.changes(before)
