"""Draw rows from a dataset or a Parquet file: the same seed, the same rows."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from usr_nb.dataset.core import Dataset
from usr_nb.errors import ValidationError
from usr_nb.readers import open_rows
from usr_nb.storage.layout import RECORDS, user_path


@dataclass(frozen=True)
class Sample:
    """Some rows of a source, in its order.

    Attributes
    ----------
    table : pyarrow.Table
        The rows, with every column of the source.
    total : int
        Rows of the source; tombstoned records are not counted.
    seed : int
        What decided which rows.
    source : str
        A dataset id or a path.
    """

    table: pa.Table
    total: int
    seed: int
    source: str

    @property
    def rows(self) -> int:
        """Rows of the sample."""
        return int(self.table.num_rows)

    @property
    def is_whole(self) -> bool:
        """Whether it holds every row of the source."""
        return self.rows == self.total


def draw_rows(total: int, size: int, seed: int) -> npt.NDArray[np.int64]:
    """Draw row numbers without repeats.

    Parameters
    ----------
    total : int
        Rows there are.
    size : int
        Rows wanted, at least 1; all if there are no more.
    seed : int
        Same seed, same rows; not negative.

    Returns
    -------
    numpy.ndarray of int64
        0-based row numbers, ascending.

    Raises
    ------
    ValidationError
        The size or the seed is too small.

    Examples
    --------
    >>> draw_rows(5, 10, seed=1).tolist()
    [0, 1, 2, 3, 4]
    >>> len(draw_rows(100, 10, seed=1))
    10
    """
    if size < 1:
        raise ValidationError(f"A sample has at least 1 row, not {size}")
    if seed < 0:
        raise ValidationError(f"A seed is not negative: {seed}")
    if size >= total:
        return np.arange(total, dtype=np.int64)
    drawn = np.random.default_rng(seed).choice(total, size, replace=False)
    return np.sort(drawn).astype(np.int64)


def sample_dataset(ds: Dataset, *, size: int = 2_000, seed: int = 7) -> Sample:
    """Draw live records of a dataset, overlays merged.

    The whole dataset is read once in batches; only the rows drawn are kept. Nothing is written.

    Parameters
    ----------
    ds : Dataset
        The dataset.
    size : int
        Rows wanted; all if there are no more.
    seed : int
        Same data and seed, same rows.

    Raises
    ------
    DatasetNotFound
        There is no such dataset.

    Examples
    --------
    >>> import tempfile
    >>> from usr_nb import Dataset, init_root
    >>> root = tempfile.mkdtemp()
    >>> _ = init_root(root)
    >>> ds = Dataset.open(root, "demo")
    >>> ds.init()
    >>> ds.import_rows(["ACGT", "GGCC", "TTAA"])
    3
    >>> sample_dataset(ds, size=2).rows
    2
    """
    total = ds.info().rows_live
    table = _take(ds.scan(), draw_rows(total, size, seed), ds.schema())
    return Sample(table, total, seed, ds.name)


def sample_parquet(path: str | os.PathLike[str], *, size: int = 2_000, seed: int = 7) -> Sample:
    """Draw rows of any Parquet file; overlays beside it are not read.

    Raises
    ------
    PathNotFound, SchemaError
        There is no such file, or it is damaged or no Parquet.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import pyarrow.parquet as pq
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "a.parquet"
    >>> pq.write_table(pa.table({"sequence": ["ACGT", "GGCC"]}), file)
    >>> sample_parquet(file, size=1).rows
    1
    """
    file = user_path(path)
    rows = open_rows(file, fmt="parquet")
    total = rows.num_rows or 0
    table = _take(rows, draw_rows(total, size, seed), rows.schema)
    return Sample(table, total, seed, str(file))


def sample_path(path: str | os.PathLike[str], *, size: int = 2_000, seed: int = 7) -> Sample:
    """Draw rows of a Parquet file, or of the dataset whose folder is named.

    Raises
    ------
    ValidationError
        The path is blank.
    DatasetNotFound, PathNotFound, SchemaError
        There is neither.

    Examples
    --------
    >>> sample_path(" ")
    Traceback (most recent call last):
    ...
    usr_nb.errors.ValidationError: No path is given
    Hint: Name a .parquet file, or the folder of a dataset.
    """
    found = dataset_at(path)
    if found is not None:
        return sample_dataset(found, size=size, seed=seed)
    return sample_parquet(os.fspath(path).strip(), size=size, seed=seed)


def dataset_at(path: str | os.PathLike[str]) -> Dataset | None:
    """Return the dataset whose folder is named, or None if it is no folder of a dataset.

    Raises
    ------
    ValidationError
        The path is blank.

    Examples
    --------
    >>> dataset_at(" ")
    Traceback (most recent call last):
    ...
    usr_nb.errors.ValidationError: No path is given
    Hint: Name a .parquet file, or the folder of a dataset.
    """
    text = os.fspath(path).strip()
    if not text:
        raise ValidationError(
            "No path is given", hint="Name a .parquet file, or the folder of a dataset."
        )
    file = user_path(text)
    return Dataset.open(file.parent, file) if (file / RECORDS).is_file() else None


def _take(
    batches: Iterable[pa.RecordBatch], rows: npt.NDArray[np.int64], schema: pa.Schema
) -> pa.Table:
    kept, start = [], 0
    for batch in batches:
        low, high = np.searchsorted(rows, [start, start + batch.num_rows])
        if high > low:
            kept.append(batch.take(pa.array(rows[low:high] - start)))
        start += batch.num_rows
    return pa.Table.from_batches(kept, schema=schema) if kept else schema.empty_table()
