"""What the tests of the readers share."""

from __future__ import annotations

import time

import pyarrow as pa
import pytest

from usr_nb.readers import open_rows


@pytest.fixture
def write(tmp_path):
    """Write bytes or text under a name, give the path."""

    def writer(name, content):
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return writer


@pytest.fixture
def in_time():
    """Fail when the test takes longer than hostile input may (durability page: 2 s)."""
    start = time.perf_counter()
    yield
    assert time.perf_counter() - start < 2.0


@pytest.fixture
def table():
    """Open a source, read all of it, give one dict of columns."""

    def reader(source, **options):
        rows = open_rows(source, **options)
        batches = list(rows)
        assert all(batch.schema == rows.schema for batch in batches)
        for batch in batches:
            batch.validate(full=True)
        found = pa.Table.from_batches(batches, schema=rows.schema)
        assert rows.num_rows in (None, found.num_rows)
        return found.to_pydict()

    return reader
