"""The same seed draws the same rows, in the source's order, from datasets and from files."""

from __future__ import annotations

import random

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, strategies as st

from usr_nb import Dataset, init_root, register_namespace
from usr_nb.analysis.sampling import draw_rows, sample_dataset, sample_parquet, sample_path
from usr_nb.errors import DatasetNotFound, PathNotFound, SchemaError, ValidationError

ROWS = 300


def sequences(n: int, seed: int = 3) -> list[str]:
    rng = random.Random(seed)
    found: dict[str, None] = {}
    while len(found) < n:
        found["".join(rng.choice("ACGT") for _ in range(rng.randint(8, 40)))] = None
    return list(found)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    root = tmp_path_factory.mktemp("root")
    init_root(root)
    register_namespace(root, namespace="mock", columns="mock__score:float64")
    ds = Dataset.open(root, "lab/demo")
    ds.init()
    ds.import_rows(sequences(ROWS))
    ids = ds.head(ROWS)["id"].tolist()
    ds.write_overlay("mock", pa.table({"id": ids[:100], "mock__score": np.arange(100.0)}))
    ds.tombstone(ids[50:60])
    return ds


@given(total=st.integers(0, 500), size=st.integers(1, 600), seed=st.integers(0, 10**6))
def test_rows_drawn_are_ascending_different_and_as_many_as_asked(total, size, seed):
    rows = draw_rows(total, size, seed).tolist()
    assert rows == sorted(set(rows))
    assert len(rows) == min(total, size)
    assert all(0 <= row < total for row in rows)
    assert rows == draw_rows(total, size, seed).tolist()


def test_every_row_is_drawn_about_equally_often():
    counts = np.zeros(20)
    for seed in range(2000):
        counts[draw_rows(20, 5, seed)] += 1
    # 500 expected each; four standard deviations of a binomial are 78.
    assert np.all(np.abs(counts - 500) < 90)


@pytest.mark.parametrize(("size", "seed"), [(0, 1), (-5, 1), (10, -1)])
def test_a_sample_without_rows_or_a_negative_seed_is_refused(size, seed):
    with pytest.raises(ValidationError):
        draw_rows(100, size, seed)


def test_a_dataset_sample_holds_the_merged_live_rows(dataset):
    whole = dataset.head(ROWS)
    assert len(whole) == ROWS - 10
    sample = sample_dataset(dataset, size=80, seed=5)
    assert (sample.rows, sample.total, sample.seed) == (80, ROWS - 10, 5)
    assert sample.source == "lab/demo"
    assert not sample.is_whole
    found = sample.table.to_pandas()
    expected = whole.iloc[draw_rows(ROWS - 10, 80, 5)].reset_index(drop=True)
    assert found["id"].tolist() == expected["id"].tolist()
    assert found["sequence"].tolist() == expected["sequence"].tolist()
    np.testing.assert_array_equal(found["mock__score"], expected["mock__score"].astype(float))


def test_a_seed_decides_the_rows(dataset):
    def ids(seed):
        return sample_dataset(dataset, size=50, seed=seed).table["id"].to_pylist()

    assert ids(1) == ids(1)
    assert ids(1) != ids(2)


def test_a_large_sample_is_the_whole(dataset):
    sample = sample_dataset(dataset, size=10_000)
    assert sample.is_whole
    assert sample.table["id"].to_pylist() == dataset.head(ROWS)["id"].tolist()


def test_an_empty_dataset_has_an_empty_sample_with_its_columns(tmp_path):
    init_root(tmp_path)
    ds = Dataset.open(tmp_path, "empty")
    ds.init()
    sample = sample_dataset(ds)
    assert (sample.rows, sample.total, sample.is_whole) == (0, 0, True)
    assert sample.table.column_names == ds.schema().names


def test_a_dataset_that_is_not_there_is_named(tmp_path):
    init_root(tmp_path)
    with pytest.raises(DatasetNotFound):
        sample_dataset(Dataset.open(tmp_path, "nobody/home"))


def test_a_parquet_file_is_sampled_across_row_groups(tmp_path):
    file = tmp_path / "any.parquet"
    pq.write_table(pa.table({"n": range(1000), "note": ["x"] * 1000}), file, row_group_size=64)
    sample = sample_parquet(file, size=100, seed=9)
    assert sample.table["n"].to_pylist() == draw_rows(1000, 100, 9).tolist()
    assert (sample.total, sample.source) == (1000, str(file))


def test_a_path_means_a_file_or_the_dataset_in_a_folder(dataset):
    base = sample_path(dataset.records_path, size=10_000)
    merged = sample_path(f" {dataset.dir} ", size=10_000)
    assert "mock__score" not in base.table.column_names
    assert base.total == ROWS
    assert "mock__score" in merged.table.column_names
    assert merged.total == ROWS - 10


def test_bad_paths_are_typed_errors(tmp_path):
    torn = tmp_path / "torn.parquet"
    torn.write_bytes(b"PAR1 and no more")
    for path, error in [
        (tmp_path / "none.parquet", PathNotFound),
        (torn, SchemaError),
        (tmp_path, ValidationError),
        ("   ", ValidationError),
    ]:
        with pytest.raises((error, PathNotFound)) as caught:
            sample_path(path)
        assert caught.value.message
