"""A process may end, or give up a file, in the middle of reading."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from usr_nb.readers import open_rows

ROWS = 200_000
# The iterator is still referenced, and unfinished, when the interpreter shuts down.
SCRIPT = """
import sys
from usr_nb.readers import open_rows
rows = iter(open_rows(sys.argv[1], batch_rows=100))
next(rows)
sys.exit(7)
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("large")
    seq = "ACGT" * 15
    (folder / "a.csv").write_text("sequence,n\n" + f"{seq},1\n" * ROWS)
    (folder / "a.tsv").write_text("sequence\tn\n" + f"{seq}\t1\n" * ROWS)
    (folder / "a.fa").write_text(f">x y\n{seq}\n" * ROWS)
    (folder / "a.jsonl").write_text((json.dumps({"sequence": seq, "n": 1}) + "\n") * 20_000)
    pq.write_table(pa.table({"sequence": [seq] * ROWS}), folder / "a.parquet", row_group_size=5000)
    return folder


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.fa", "a.jsonl", "a.parquet"])
def test_IMP_5_process_that_ends_while_reading_keeps_its_exit_code(files, name):
    root = Path(__file__).parents[2]
    for _ in range(3):
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, str(files / name)],
            cwd=root,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (done.returncode, done.stderr) == (7, "")


@pytest.mark.parametrize("name", ["a.csv", "a.fa", "a.jsonl", "a.parquet"])
def test_IMP_5_given_up_iterators_leave_no_open_file(files, name):
    rows = open_rows(files / name, batch_rows=100)
    batches = iter(rows)
    next(batches)
    batches.close()
    assert sum(batch.num_rows for batch in rows) >= 20_000
