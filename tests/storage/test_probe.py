"""VAL: a file that nobody vouches for is read by a child; what befalls the child is a finding."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from usr_nb.errors import StorageError
from usr_nb.storage import probe
from usr_nb.storage.probe import Prober


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    path = tmp_path / "sound.parquet"
    pq.write_table(
        pa.table({"id": [str(n) * 40 for n in range(5000)]}), path, write_page_checksum=True
    )
    return path


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    """A file whose reader waits for ever."""
    path = tmp_path / "pipe.parquet"
    os.mkfifo(path)
    return path


def test_VAL_a_sound_file_is_sound_and_one_child_reads_many(sound) -> None:
    with Prober() as prober:
        assert prober.probe(sound).is_sound
        child = prober._child
        assert prober.probe(sound).outcome == "sound"
        assert prober._child is child
    assert child.returncode == -signal.SIGKILL


@pytest.mark.parametrize("damage", ["empty", "text", "cut", "page", "footer", "utf8"])
def test_VAL_a_damaged_file_is_unreadable(sound, damage) -> None:
    data = bytearray(sound.read_bytes())
    if damage == "page":
        data[len(data) // 3] ^= 1
    if damage == "footer":
        data[-8:-4] = (1 << 30).to_bytes(4, "little")
    bad = {"empty": b"", "text": b"id\n1\n", "cut": data[:-20]}.get(damage, data)
    sound.write_bytes(bytes(bad))
    if damage == "utf8":
        broken = pa.Array.from_buffers(
            pa.string(), 1, [None, pa.py_buffer(b"\0\0\0\0\2\0\0\0"), pa.py_buffer(b"\xff\xfe")]
        )
        pq.write_table(pa.table({"id": broken}), sound)
    with Prober() as prober:
        found = prober.probe(sound)
    assert found.outcome == "unreadable"
    assert "not a readable Parquet file: " in found.message
    assert found.hint


def test_VAL_a_file_that_hangs_its_reader_does_not_hang_us(pipe, sound) -> None:
    began = time.monotonic()
    with Prober(limit_s=0.5) as prober:
        assert prober.probe(sound).is_sound
        found = prober.probe(pipe)
        assert (found.outcome, found.message) == ("hung", "reading it takes longer than 0 s")
        assert time.monotonic() - began < 30
        assert prober.probe(sound).is_sound, "the next file has a child of its own"


def test_VAL_a_file_that_ends_its_reader_does_not_end_us(pipe, sound) -> None:
    with Prober(limit_s=60) as prober:
        assert prober.probe(sound).is_sound
        pid = prober._child.pid
        threading.Timer(0.3, os.kill, [pid, signal.SIGSEGV]).start()
        found = prober.probe(pipe)
        assert found.outcome == "crashed"
        assert found.message == "reading it ends the process (SIGSEGV)"
        assert prober.probe(sound).is_sound
        os.kill(prober._child.pid, signal.SIGKILL)
        prober._child.wait()
        assert prober.probe(sound).is_sound, "a child that died while it had nothing to do"


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not limit memory so")
def test_VAL_a_file_that_asks_for_all_memory_is_told(tmp_path, sound) -> None:
    path = tmp_path / "zeros.parquet"
    row = pa.array([[0.0] * 5_000_000], pa.list_(pa.float64()))
    pq.write_table(pa.table({"x": row}), path, use_dictionary=False, compression="zstd")
    assert path.stat().st_size < 1 << 20
    with Prober(limit_bytes=20 << 20) as prober:
        found = prober.probe(path)
        assert found.outcome == "memory"
        assert "asks for more than" in found.message
        assert prober.probe(sound).is_sound
    with Prober() as prober:
        assert prober.probe(path).is_sound, "which is no reason to refuse it where there is room"


def test_VAL_a_missing_file_is_told_as_such(tmp_path) -> None:
    with Prober() as prober, pytest.raises(FileNotFoundError):
        prober.probe(tmp_path / "no.parquet")


def test_VAL_no_child_is_a_typed_error_and_no_verdict_on_the_file(sound, monkeypatch) -> None:
    for executable in ("/no/such/python", "/bin/false"):
        monkeypatch.setattr(sys, "executable", executable)
        with Prober() as prober, pytest.raises(StorageError, match="cannot be started"):
            prober.probe(sound)


def test_VAL_the_child_runs_nothing_that_lies_in_the_working_folder(
    sound, tmp_path, monkeypatch
) -> None:
    (tmp_path / "json.py").write_text("open('ran', 'w')")
    (tmp_path / "pyarrow.py").write_text("open('ran', 'w')")
    monkeypatch.chdir(tmp_path)
    with Prober() as prober:
        assert prober.probe(Path("sound.parquet")).is_sound
    assert not (tmp_path / "ran").exists()


def test_VAL_the_child_ends_with_whoever_asked_and_limits_itself(sound) -> None:
    asked = {"path": str(sound), "seconds": 5, "memory": 512 << 20}
    done = subprocess.run(
        [sys.executable, "-m", "usr_nb.storage.probe"], input=json.dumps(asked) + "\n",
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    answers = [json.loads(x)["outcome"] for x in done.stdout.splitlines()]
    assert answers == ["ready", "sound"]


def test_VAL_the_child_imports_little() -> None:
    code = "import sys, usr_nb.storage.probe; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"pandas", "typer", "rich", "duckdb", "usr_nb.dataset"} & set(done.stdout.split())


def test_VAL_larger_files_have_more_time() -> None:
    assert probe.LIMIT_S <= 5
    assert (1 << 30) / probe.BYTES_PER_S > 60
