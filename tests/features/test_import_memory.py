"""Import in bounded memory (contract IMP-5): minutes, so by night."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest

from tests.features.kit import fresh

ROWS = 5_000_000
BATCH = 100_000
LIMIT_MIB = 1536
LENGTH = 60

CODE = """
import resource, sys
from usr_nb import Dataset
ds = Dataset.open(sys.argv[1], "d")
ds.init()
added = ds.import_file(sys.argv[2], keep=sys.argv[3] or None).added
print(added, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def batches():
    """Random promoters with a score each; 5 M of 4^60 never meet."""
    rng = np.random.default_rng(5)
    letters = np.frombuffer(b"ACGT", np.uint8)
    for _ in range(ROWS // BATCH):
        text = letters[rng.integers(0, 4, (BATCH, LENGTH), np.uint8)].tobytes()
        offsets = pa.py_buffer((np.arange(BATCH + 1, dtype=np.int32) * LENGTH).tobytes())
        sequence = pa.StringArray.from_buffers(BATCH, offsets, pa.py_buffer(text))
        yield pa.record_batch({"sequence": sequence, "score": rng.random(BATCH)})


def write(path: Path) -> None:
    schema = pa.schema([("sequence", pa.string()), ("score", pa.float64())])
    writer = pacsv.CSVWriter if path.suffix == ".csv" else pq.ParquetWriter
    with writer(path, schema) as out:
        for batch in batches():
            out.write_batch(batch)


@pytest.mark.nightly
@pytest.mark.parametrize(("fmt", "keep"), [("parquet", ""), ("csv", "k")])
def test_IMP_5_five_million_rows_import_below_1_5_GiB(tmp_path, fmt, keep) -> None:
    root = fresh(tmp_path)
    path = tmp_path / f"big.{fmt}"
    write(path)
    started = time.monotonic()
    command = [sys.executable, "-c", CODE, str(root), str(path), keep]
    run = subprocess.run(command, capture_output=True, text=True, check=False,
                         cwd=Path(__file__).resolve().parents[2])  # fmt: skip
    assert run.returncode == 0, run.stderr[-2000:]
    added, peak_mib = map(int, run.stdout.split())
    print(f"{fmt}: {added:,} rows in {time.monotonic() - started:.0f} s, peak {peak_mib} MiB")
    assert added == ROWS
    assert peak_mib < LIMIT_MIB
