"""What is measured: sequences, two overlays, and the places of all files of a run.

Rows are sequences of 60 nt. Overlay ``m`` has a float64 and a list of 16 float64 for every row,
shuffled; overlay ``p`` comes in 20 parts, each a float64 and a string for 7.5 % of the rows, so
that parts overlap.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

LENGTH = 60
PARTS = 20
PART_SHARE = 0.075
VECTOR = 16
SOURCE = "bench"
CHUNK = 250_000
LETTERS = np.frombuffer(b"ACGT", np.uint8)


@dataclass(frozen=True)
class Files:
    """Where a store's files lie: the base, and the overlay files, oldest first."""

    base: Path
    m: tuple[Path, ...] = ()
    p: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Inputs:
    """The files of one number of rows, made once and kept in `folder`."""

    folder: Path
    rows: int

    @property
    def sequences(self) -> Path:
        """Column ``sequence``, `rows` of it."""
        return self.folder / "sequences.parquet"

    @property
    def more(self) -> Path:
        """One hundredth as many other sequences."""
        return self.folder / "more.parquet"

    @property
    def m(self) -> Path:
        """``id, x, vec`` for all rows, shuffled."""
        return self.folder / "m.parquet"

    def p(self, number: int) -> Path:
        """``id, score, label`` of one part."""
        return self.folder / f"p-{number:02d}.parquet"

    @property
    def wanted(self) -> list[str]:
        """Ids to look up and to delete: 1,000 of them, spread over the rows."""
        return pq.read_table(self.folder / "wanted.parquet").column("id").to_pylist()


def make(folder: Path, rows: int) -> Inputs:
    """Write the input files, unless they are there."""
    inputs = Inputs(folder, rows)
    done = folder / "done"
    if done.exists():
        return inputs
    folder.mkdir(parents=True, exist_ok=True)
    ids = _sequences(inputs.sequences, rows, seed=1)
    _sequences(inputs.more, max(1, rows // 100), seed=2)
    rng = np.random.default_rng(3)
    pq.write_table(pa.table({"id": ids.take(_some(rng, rows, min(1000, rows)))}),
                   folder / "wanted.parquet")  # fmt: skip
    _write_m(inputs.m, ids, rng)
    for number in range(PARTS):
        at = _some(rng, rows, max(1, int(rows * PART_SHARE)))
        labels = [f"label-{v}" for v in rng.integers(0, 50_000, len(at)).tolist()]
        part = {"id": ids.take(at), "score": rng.random(len(at)), "label": labels}
        pq.write_table(pa.table(part), inputs.p(number), compression="zstd")
    done.touch()
    return inputs


def _some(rng: np.random.Generator, rows: int, n: int) -> pa.Array:
    return pa.array(rng.permutation(rows)[:n])


def _sequences(path: Path, rows: int, *, seed: int) -> pa.Array:
    """Write random sequences; 10 million of 4^60 never meet. Returns their ids."""
    rng = np.random.default_rng(seed)
    schema = pa.schema([("sequence", pa.string())])
    ids: list[pa.Array] = []
    with pq.ParquetWriter(path, schema, compression="zstd", use_dictionary=False) as out:
        for start in range(0, rows, CHUNK):
            n = min(CHUNK, rows - start)
            text = LETTERS[rng.integers(0, 4, (n, LENGTH), np.uint8)].tobytes()
            offsets = pa.py_buffer(np.arange(n + 1, dtype=np.int32) * LENGTH)
            column = pa.StringArray.from_buffers(n, offsets, pa.py_buffer(text))
            out.write_batch(pa.record_batch([column], schema=schema))
            found = [hashlib.sha1(b"dna|" + text[i : i + LENGTH]).hexdigest()
                     for i in range(0, len(text), LENGTH)]  # fmt: skip
            ids.append(pa.array(found, pa.string()))
    return pa.concat_arrays(ids)


def _write_m(path: Path, ids: pa.Array, rng: np.random.Generator) -> None:
    schema = pa.schema([("id", pa.string()), ("x", pa.float64()), ("vec", pa.list_(pa.float64()))])
    order = rng.permutation(len(ids))
    with pq.ParquetWriter(path, schema, compression="zstd") as out:
        for start in range(0, len(ids), CHUNK):
            at = order[start : start + CHUNK]
            offsets = pa.array(np.arange(len(at) + 1) * VECTOR, pa.int32())
            vectors = pa.ListArray.from_arrays(offsets, pa.array(rng.random(len(at) * VECTOR)))
            columns = [ids.take(pa.array(at)), pa.array(rng.random(len(at))), vectors]
            out.write_batch(pa.record_batch(columns, schema=schema))
