"""What the filter preview counts: a dataset at one instant, or a table in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
import pyarrow as pa

from usr_nb.analysis.instant import Instant
from usr_nb.dataset.core import Dataset
from usr_nb.errors import SchemaError
from usr_nb.filter.bind import needed
from usr_nb.filter.compute import Mask
from usr_nb.filter.engine import dataset_schema, evaluate, feature_batches, mask_of
from usr_nb.filter.feature import Feature
from usr_nb.filter.tree import Filter
from usr_nb.overlay.lookup import Int


class Subject(Protocol):
    """Rows with columns, and whether they are still what they were."""

    @property
    def name(self) -> str:
        """What it is called."""

    @property
    def rows(self) -> int:
        """All rows, tombstoned ones too."""

    @property
    def schema(self) -> pa.Schema:
        """All columns."""

    def schema_of(self, features: Sequence[Feature]) -> pa.Schema:
        """Return the columns that features are read from; an unknown one raises SchemaError."""

    def batches(self, features: Sequence[Feature]) -> Iterator[pa.RecordBatch]:
        """Yield the columns that features are read from, for all rows."""

    def evaluate(self, where: Filter) -> Mask:
        """Return which rows a filter keeps, tombstoned ones judged like all others."""

    def live(self) -> Mask | None:
        """Return which rows are not tombstoned, or None if all are live."""

    def ids(self, rows: Int) -> list[str]:
        """Return the ids of some rows."""

    def version(self) -> str:
        """Return what names its present state."""

    def opened_version(self) -> str:
        """Return what names the state that is counted."""

    def changed(self) -> bool:
        """Say whether the two differ."""

    def close(self) -> None:
        """Let files go; the next call opens the present state."""


class DatasetSubject:
    """A dataset, held open at one instant."""

    def __init__(self, ds: Dataset) -> None:
        self._instant = Instant(ds)
        self.name = ds.name
        self.version = self._instant.version
        self.opened_version = self._instant.opened_version
        self.changed = self._instant.changed
        self.close = self._instant.close

    @property
    def rows(self) -> int:
        """Rows of the base, tombstoned ones too."""
        return self._instant.merged().base_rows

    @property
    def schema(self) -> pa.Schema:
        """The columns of the merged table."""
        return self._instant.merged().schema

    def schema_of(self, features: Sequence[Feature]) -> pa.Schema:
        """Return the columns that features are read from."""
        return dataset_schema(self._instant.merged(), features)

    def batches(self, features: Sequence[Feature]) -> Iterator[pa.RecordBatch]:
        """Yield the columns that features are read from."""
        return feature_batches(features, self._instant.merged())

    def evaluate(self, where: Filter) -> Mask:
        """Return which rows a filter keeps."""
        return evaluate(where, self._instant.merged())

    def live(self) -> Mask | None:
        """Return which rows are not tombstoned."""
        return self._instant.merged().live_mask()

    def ids(self, rows: Int) -> list[str]:
        """Return the ids of some rows."""
        found: list[str] = self._instant.merged().base_keys("id").take(pa.array(rows)).to_pylist()
        return found


class TableSubject:
    """A table in memory, which never changes."""

    def __init__(self, table: pa.Table, name: str) -> None:
        self._table = table
        self.name = name
        self.rows = int(table.num_rows)
        self.schema = table.schema
        self._version = hashlib.sha256(f"{id(table)}".encode()).hexdigest()[:16]

    def schema_of(self, features: Sequence[Feature]) -> pa.Schema:  # noqa: ARG002 - all are known
        """Return all columns: the preview checks the features against them."""
        return self.schema

    def batches(self, features: Sequence[Feature]) -> Iterator[pa.RecordBatch]:
        """Yield the columns that features are read from."""
        there = [n for n in needed(features) if n in self.schema.names]
        # A batch needs a column to have rows.
        names = there or self.schema.names[:1]
        yield from self._table.select(names).to_batches()

    def evaluate(self, where: Filter) -> Mask:
        """Return which rows a filter keeps."""
        return table_mask(where, self._table)

    def live(self) -> Mask | None:
        """Return None: a table has no tombstones."""
        return None

    def ids(self, rows: Int) -> list[str]:
        """Return the ids of some rows."""
        if "id" not in self.schema.names:
            raise SchemaError(f"{self.name} has no column 'id'", hint="Ask for .rows().")
        found: list[str] = self._table.column("id").take(pa.array(rows)).to_pylist()
        return found

    def version(self) -> str:
        """Return the same text at all times."""
        return self._version

    def opened_version(self) -> str:
        """Return the same text at all times."""
        return self._version

    def changed(self) -> bool:
        """Say no."""
        return False

    def close(self) -> None:
        """Do nothing: there are no files."""


def table_mask(where: Filter, table: pa.Table) -> Mask:
    """Return which rows of a table in memory a filter keeps.

    Raises
    ------
    SchemaError
        If the filter does not fit the columns.

    Examples
    --------
    >>> from usr_nb.filter.build import F
    >>> table_mask(F["a__x"] > 2, pa.table({"a__x": [1, 5, None]})).tolist()
    [False, True, False]
    """
    names = [n for n in needed(where.features()) if n in table.column_names]
    batches = table.select(names or table.column_names[:1]).to_batches()
    # None for an empty table: the filter is checked all the same.
    found = [mask_of(where, b) for b in batches or [pa.RecordBatch.from_pylist([], table.schema)]]
    return np.concatenate(found)
