"""Whatever the bytes, every parser gives rows or a typed error, quickly and in little memory."""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import re
import resource
import sys
import time
from pathlib import Path

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from usr_nb.errors import SequencesError
from usr_nb.readers import open_rows

# tests/conftest.py clears USR_* before this is read; HYPOTHESIS_PROFILE=nightly does get through.
EXAMPLES = int(os.environ.get("USR_FUZZ_EXAMPLES") or max(200, settings().max_examples))
SECONDS, BYTES = 2.0, 500 << 20

TOKENS = [
    b'"', b",", b"\n", b"\r", b"\t", b"{", b"[", b"]", b"}", b":", b">", b";", b"\0", b"\xff",
    b"\xef\xbb\xbf", b"\\u", b"\\ud800", b"NaN", b"1e999", b"9" * 25, b"[" * 60, b'{"a":', b"null",
    b"\x1f\x8b", b"PAR1", b"PK\3\4", b"A" * 300,
]  # fmt: skip


def parquet_bytes(**options):
    table = pa.table(
        {
            "sequence": ["ACGT" * 5, "TTTT", None, "G"] * 20,
            "n": list(range(80)),
            "v": [[1.0, 2.0], None, [], [3.0]] * 20,
            "s": [{"a": 1, "b": "x"}] * 80,
            "d": pa.array(["x", "y"] * 40).dictionary_encode(),
        }
    )
    out = io.BytesIO()
    pq.write_table(table, out, **options)
    return out.getvalue()


def xlsx_bytes():
    book = openpyxl.Workbook()
    for row in (["sequence", "n", "d"], ["ACGT", 1, 2.5], ["=1+1", None, "x"]):
        book.active.append(row)
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


CSV = b'a,b,c\n1,"x\ny",3\n4,,""\n'
JSONL = b'{"a":1,"b":[1,2.5],"c":{"d":"x"}}\n{"a":2.5,"b":null}\n{"b":[],"a":-1,"c":{}}\n'
FASTA = b">a b\nACGT\nAC\n>c\r\nTT\n\n>d\n"
SEEDS = {
    "csv": [b"", CSV, gzip.compress(CSV * 3)],
    "tsv": [b"", CSV.replace(b",", b"\t")],
    "jsonl": [b"", JSONL, gzip.compress(JSONL * 3)],
    "fasta": [b"", FASTA, gzip.compress(FASTA * 3)],
    "parquet": [
        parquet_bytes(compression="zstd", write_page_checksum=True),
        parquet_bytes(compression="none", use_dictionary=False),
        parquet_bytes(data_page_version="2.0", row_group_size=20),
    ],
    "xlsx": [xlsx_bytes()],
}


@st.composite
def damaged(draw, fmt):
    data = bytearray(draw(st.sampled_from(SEEDS[fmt])))
    for _ in range(draw(st.integers(0, 8))):
        # Counted from either end: footers and headers are where parsers believe the bytes.
        at = draw(st.integers(0, len(data)))
        at = len(data) - at if draw(st.booleans()) else at
        match draw(st.sampled_from(["flip", "set", "insert", "delete", "cut", "repeat"])):
            case "flip" if at < len(data):
                data[at] ^= 1 << draw(st.integers(0, 7))
            case "set" if at < len(data):
                data[at] = draw(st.integers(0, 255))
            case "insert":
                data[at:at] = draw(st.sampled_from(TOKENS))
            case "delete":
                del data[at : at + draw(st.integers(1, 12))]
            case "cut":
                data = data[:at] if draw(st.integers(0, 4)) == 0 else data
            case "repeat":
                data[at:at] = data[at : at + 20] * draw(st.integers(1, 3))
    return bytes(data)


def reset_peak():
    """Make the kernel measure the peak afresh; where it cannot, the peak so far is the base."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return peak_bytes()


def peak_bytes():
    """Peak of resident memory. It counts Arrow and zlib too, which tracemalloc does not see."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(re.search(r"VmHWM:\s+(\d+) kB", status.read_text())[1]) << 10
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak << 10


@pytest.mark.parametrize("fmt", list(SEEDS))
def test_IMP_1_fuzzed_bytes_give_rows_or_typed_errors(fmt, tmp_path):
    path = tmp_path / "fuzzed"

    @settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
    @given(damaged(fmt))
    def check(data):
        path.write_bytes(data)
        before, start, error = reset_peak(), time.perf_counter(), None
        try:
            for batch in open_rows(path, fmt=fmt):
                batch.validate(full=True)
                batch.to_pylist()
        except SequencesError as caught:
            error = caught
        assert time.perf_counter() - start < SECONDS
        assert peak_bytes() - before < BYTES
        if error is not None:
            assert error.hint
            assert str(path) in error.message

    check()


def test_IMP_5_the_memory_check_sees_native_memory():
    before = reset_peak()
    buffer = pa.allocate_buffer(200 << 20)
    memoryview(buffer).cast("B")[:: 4 << 10] = b"x" * (200 << 8)
    del buffer
    assert peak_bytes() - before > 150 << 20
