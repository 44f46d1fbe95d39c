"""A million rows in bounded memory."""

from __future__ import annotations

import subprocess
import sys
import textwrap

LIMIT_MIB = 2048
SCRIPT = """
import resource, sys
import numpy as np, pyarrow as pa
from usr_nb import Dataset, register_namespace

ROWS = 1_000_000
root = sys.argv[1]
register_namespace(root, namespace="m", columns="n:float64,s:string")
ds = Dataset.open(root, "ns/big")
ds.init()

def sequences():
    letters = np.frombuffer(b"ACGT", np.uint8)
    schema = pa.schema([("sequence", pa.string())])
    def batches():
        for start in range(0, ROWS, 50_000):
            at = np.arange(start, start + 50_000)
            rng = np.random.default_rng(start)
            head = letters[np.stack([(at >> (2 * k)) & 3 for k in range(10)], axis=1)]
            text = np.concatenate([head, letters[rng.integers(0, 4, (50_000, 50))]], axis=1)
            offsets = np.arange(0, 50_000 * 60 + 1, 60, dtype=np.int32)
            column = pa.StringArray.from_buffers(
                50_000, pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(text))
            )
            yield pa.record_batch([column], schema=schema)
    return pa.RecordBatchReader.from_batches(schema, batches())

assert ds.import_rows(sequences()) == ROWS
ids = pa.chunked_array([b.column(0) for b in ds.scan(columns=["id"])])
assert len(ids) == ROWS
half = ids.take(pa.array(np.arange(0, ROWS, 2)))
values = pa.array(np.arange(0, ROWS, 2, dtype=np.float64))
del ids
assert ds.write_overlay_part("m", pa.table({"id": half, "n": values})) == ROWS // 2
del half, values
row = 0
for batch in ds.scan(columns=["sequence", "m__n"]):
    found = batch.column(1)
    at = np.arange(row, row + batch.num_rows)
    even = at % 2 == 0
    got = found.to_numpy(zero_copy_only=False)
    assert (got[even] == at[even]).all()
    assert np.isnan(got[~even]).all()
    assert found.null_count == (~even).sum()
    row += batch.num_rows
assert row == ROWS
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def test_IMP_5_a_million_rows_import_and_read_back_in_2_gib(tmp_path, repo) -> None:
    script = tmp_path / "big.py"
    script.write_text(textwrap.dedent(SCRIPT))
    out = subprocess.run(
        [sys.executable, script, tmp_path / "root"],
        capture_output=True,
        text=True,
        check=False,
        cwd=repo,
        env={"PYTHONPATH": str(repo), "PATH": "/usr/bin:/bin"},
    )
    assert out.returncode == 0, out.stderr
    peak = int(out.stdout)
    assert peak < LIMIT_MIB, f"{peak} MiB"
    print(f"peak memory: {peak} MiB")


PARTS = 400
MANY_PARTS = """
import resource, shutil, sys, uuid
import pyarrow as pa
from usr_nb import Dataset, register_namespace

root = sys.argv[1]
register_namespace(root, namespace="m", columns="n:int64")
ds = Dataset.open(root, "ns/parts")
ds.init()
ids = ds.add_sequences(["ACGTA", "CCGTA"], bio_type="dna", alphabet="dna_4").ids
ds.write_overlay_part("m", pa.table({"id": ids, "m__n": [1, 2]}))
(first,) = ds.dir.glob("_derived/m/part-*")
stamp = first.name.split("-")[1]
for n in range(int(sys.argv[2]) - 1):
    shutil.copyfile(first, first.with_name(f"part-{stamp}-{uuid.uuid4().hex}.parquet"))
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
assert ds.head(2)["m__n"].tolist() == [1, 2]
ds.validate(registry_mode="namespace-either")
assert ds.doctor().ok
with ds.maintenance("test"):
    ds.materialize(["m"])
    ds.compact_overlay("m")
assert len(list(ds.dir.glob("_derived/m/part-*"))) == 1
assert ds.head(2)["m__n"].tolist() == [1, 2]
"""


def test_RCV_3_many_parts_need_few_descriptors(tmp_path, repo) -> None:
    """As many parts as a cluster leaves behind are read by who may open 64 files."""
    out = subprocess.run(
        [sys.executable, "-c", MANY_PARTS, tmp_path / "root", str(PARTS)], capture_output=True,
        text=True, check=False, cwd=repo, env={"PYTHONPATH": str(repo), "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert out.returncode == 0, out.stderr
