"""Following a log, and writing one's own events into it (contract EVT-4, EVT-5, GET-5)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from tests.dataset.kit import raw_events, refused
from tests.features.kit import fresh, ids, new
from usr_nb import Dataset, ValidationError
from usr_nb.events import LogReader, read_events

REPO = Path(__file__).resolve().parents[2]


def line(n: int, op: str | None = None, action: str = "did") -> bytes:
    event = {"action": action, "n": n}
    if op:
        event["artifacts"] = {"operation_id": op}
    return json.dumps(event, separators=(",", ":")).encode() + b"\n"


def append(path: Path, data: bytes) -> None:
    with path.open("ab") as f:
        f.write(data)


def numbers(events) -> list[int]:
    return [e["n"] for e in events]


@pytest.fixture
def path(tmp_path):
    return tmp_path / ".events.log"


def test_GET_5_a_torn_last_line_waits_until_it_is_complete(path) -> None:
    with LogReader(path) as reader:
        assert reader.poll() == []  # There is no file yet.
        whole = line(2)
        append(path, line(1) + whole[:7])
        assert numbers(reader.poll()) == [1]
        assert reader.offset == len(line(1))
        assert reader.poll() == []
        append(path, whole[7:-1])
        assert reader.poll() == []
        append(path, whole[-1:])
        assert numbers(reader.poll()) == [2]
        assert reader.offset == path.stat().st_size
        assert reader.poll() == []


def test_EVT_5_a_torn_fragment_stays_a_line_of_its_own(path) -> None:
    append(
        path, line(1) + b'{"action":"half\n' + b"\n" + b"not json\n" + line(2) + b"[]\n" + b"\xff\n"
    )
    with LogReader(path) as reader:
        assert numbers(reader.poll()) == [1, 2]
        assert reader.offset == path.stat().st_size
        reader.offset = 0
        assert b"".join(reader.poll_lines()) == path.read_bytes()


def test_EVT_5_lines_of_one_operation_are_folded(path) -> None:
    append(path, line(1, "op1") + line(2, "op1", "other") + line(3, "op1") + line(4) + line(4))
    append(path, line(5, "op2"))
    with LogReader(path) as reader:
        # The same operation with another action is another event; without one nothing folds.
        assert numbers(reader.poll()) == [1, 2, 4, 4, 5]
        append(path, line(6, "op2") + line(7, "op3"))
        assert numbers(reader.poll()) == [7]
    with LogReader(path, fold=False) as reader:
        assert numbers(reader.poll()) == [1, 2, 3, 4, 4, 5, 6, 7]
    assert numbers(read_events(path)) == [1, 2, 4, 4, 5, 7]


def test_GET_5_rotation_gives_the_rest_of_the_old_log_then_the_new_one(path) -> None:
    append(path, line(1))
    with LogReader(path) as reader:
        assert numbers(reader.poll()) == [1]
        append(path, line(2) + b"torn")
        path.rename(path.with_suffix(".1"))
        append(path, line(3))
        assert numbers(reader.poll()) == [2, 3]
        assert reader.offset == len(line(3))
        append(path, line(4))
        assert numbers(reader.poll()) == [4]


def test_GET_5_between_rotation_and_the_new_log_nothing_is_lost(path) -> None:
    append(path, line(1))
    with LogReader(path) as reader:
        reader.poll()
        append(path, line(2))
        path.rename(path.with_suffix(".1"))
        assert numbers(reader.poll()) == [2]
        append(path.with_suffix(".1"), line(3))
        assert numbers(reader.poll()) == [3]
        append(path, line(4))
        assert numbers(reader.poll()) == [4]


def test_GET_5_truncation_starts_over(path) -> None:
    append(path, line(1) + line(2))
    with LogReader(path) as reader:
        reader.poll()
        path.write_bytes(b"")
        assert reader.poll() == []
        assert reader.offset == 0
        append(path, line(3))
        assert numbers(reader.poll()) == [3]


def test_GET_5_an_offset_of_another_log_starts_over(path) -> None:
    append(path, line(1) + line(2))
    with LogReader(path) as reader:
        reader.poll()
        saved = reader.offset
    # The log was truncated and has grown beyond the offset, which now is inside of a line.
    path.write_bytes(line(30000) + line(40000) + line(50000))
    with LogReader(path, offset=saved) as reader:
        assert numbers(reader.poll()) == [30000, 40000, 50000]


def test_EVT_5_a_saved_offset_goes_on_where_it_stopped(path) -> None:
    append(path, line(1) + line(2) + b'{"action"')
    code = (
        "import sys; from usr_nb.events import LogReader\n"
        "r = LogReader(sys.argv[1], offset=int(sys.argv[2]))\n"
        "print([e['n'] for e in r.poll()], r.offset); r.close()"
    )

    def consumer(offset: int) -> tuple[str, int]:
        run = subprocess.run([sys.executable, "-c", code, str(path), str(offset)],
                             capture_output=True, text=True, check=True, cwd=REPO)  # fmt: skip
        got, _, at = run.stdout.strip().rpartition(" ")
        return got, int(at)

    got, offset = consumer(0)
    assert got == "[1, 2]"
    append(path, b':"did","n":3}\n' + line(4))
    got, after = consumer(offset)
    assert got == "[3, 4]"
    assert after == path.stat().st_size
    assert consumer(after) == ("[]", after)


def test_GET_5_follow_sees_what_another_process_writes(tmp_path) -> None:
    root = fresh(tmp_path)
    ds = new(root, ["ACGT"])
    code = (
        "import sys; from usr_nb import Dataset\n"
        "ds = Dataset.open(sys.argv[1], 'd')\n"
        "for i in range(8): ds.log_event('sibling.step', metrics={'i': i})\n"
        "ds.tombstone(ds.head(1)['id'][0]); ds.log_event('sibling.done')\n"
    )
    found: list[dict] = []
    deadline = time.monotonic() + 60
    with LogReader(ds.events_path) as reader:
        reader.poll()
        writer = subprocess.Popen([sys.executable, "-c", code, str(root)], cwd=REPO)
        for event in reader.follow(
            interval_s=0.02,
            stop=lambda: (
                any(e["action"] == "sibling.done" for e in found)
                or writer.poll() is not None
                or time.monotonic() > deadline
            ),
        ):
            found.append(event)  # noqa: PERF402 - `stop` looks at it meanwhile
        assert writer.wait(30) == 0
        assert reader.offset == ds.events_path.stat().st_size
    steps = [e["metrics"]["i"] for e in found if e["action"] == "sibling.step"]
    assert steps == list(range(8))
    assert [e["action"] for e in found][8:] == ["tombstone", "sibling.done"]
    assert {e["actor"]["pid"] for e in found} == {writer.pid}


def test_GET_5_follow_with_many_writers_at_once(path) -> None:
    path.touch()
    found: list[int] = []

    def write(base: int) -> None:
        for n in range(base, base + 50):
            fd = os.open(path, os.O_WRONLY | os.O_APPEND)
            os.write(fd, line(n, f"op{n}"))
            os.write(fd, line(n, f"op{n}"))
            os.close(fd)

    threads = [threading.Thread(target=write, args=(b,)) for b in (0, 100, 200)]
    with LogReader(path) as reader:
        for t in threads:
            t.start()
        events = reader.follow(
            interval_s=0.001, stop=lambda: not any(t.is_alive() for t in threads)
        )
        found = numbers(events)
    assert sorted(found) == [*range(50), *range(100, 150), *range(200, 250)]


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(0, 10**6), max_size=12), st.lists(st.integers(1, 30), max_size=40),
       st.booleans())  # fmt: skip
def test_GET_5_any_cuts_and_restarts_give_every_event_once(
    tmp_path_factory, events, cuts, reopen
) -> None:
    path = tmp_path_factory.mktemp("log") / "log"
    data = b"".join(line(n) for n in events)
    got: list[int] = []
    at = offset = 0
    reader = LogReader(path)
    for cut in [*cuts, len(data)]:
        append(path, data[at : at + cut])
        at += cut
        if reopen:
            reader.close()
            reader = LogReader(path, offset=offset)
        got += numbers(reader.poll())
        offset = reader.offset
        assert offset == 0 or data[offset - 1 : offset] == b"\n"
    reader.close()
    assert got == events


# Events of one's own ----------------------------------------------------------------------------


def test_EVT_4_a_sibling_tool_logs_redacted_events(tmp_path) -> None:
    root = fresh(tmp_path)
    ds = new(root, ["ACGT"])
    note = ds.meta_path.read_bytes()
    size = ds.events_path.stat().st_size
    with LogReader(ds.events_path, offset=size) as reader:
        ds.log_event(
            "notify_sent",
            args={"webhook_url": "https://x/1", "author": "me", "argv": ["--token", "abc", "--n=1"],
                  "deep": [{"apiKey": "k", "keyboard": "qwerty"}]},
            metrics={"session": 3, "rows": 2},
            artifacts={"report": "r.html", "auth": "x"},
            maintenance={"reason": "nightly"},
            target_path=tmp_path / "r.html",
            actor={"tool": "notify", "run_id": "run-1"},
        )  # fmt: skip
        (event,) = reader.poll()
    hidden = "***REDACTED***"
    assert event["args"] == {
        "webhook_url": hidden,
        "author": "me",
        "argv": ["--token", hidden, "--n=1"],
        "deep": [{"apiKey": hidden, "keyboard": "qwerty"}],
    }
    assert event["metrics"] == {"session": hidden, "rows": 2}
    assert event["artifacts"]["auth"] == hidden
    assert event["artifacts"]["report"] == "r.html"
    assert event["artifacts"]["target_path"] == str(tmp_path / "r.html")
    assert event["maintenance"] == {"reason": "nightly"}
    assert event["actor"]["tool"] == "notify"
    assert event["actor"]["run_id"] == "run-1"
    assert event["fingerprint"]["rows"] == 1
    assert list(event) == ["event_version", "timestamp_utc", "action", "dataset", "args", "metrics",
                           "artifacts", "maintenance", "fingerprint", "registry_hash", "actor",
                           "version"]  # fmt: skip
    raw = ds.events_path.read_bytes()[size:]
    assert raw.count(b"\n") == 1
    assert b"abc" not in raw
    assert ds.meta_path.read_bytes() == note
    assert ds.validate().errors == []


@pytest.mark.parametrize("action", ["", "Bad Action", "x" * 100, 'a"b', "a\nb"])
def test_EVT_4_actions_have_plain_names(tmp_path, action) -> None:
    root = fresh(tmp_path)
    ds = new(root, ["ACGT"])
    with refused(root, ValidationError):
        ds.log_event(action)


def test_EVT_5_two_events_of_one_tool_do_not_fold(tmp_path) -> None:
    ds = new(fresh(tmp_path), ["ACGT"])
    for _ in range(3):
        ds.log_event("step")
    assert [e["action"] for e in ds.events()].count("step") == 3
    ops = [e["artifacts"]["operation_id"] for e in raw_events(ds)]
    assert len(set(ops)) == len(ops) - 1  # init and its registry_freeze share one.
    assert ids(["ACGT"])[0] == Dataset.open(ds.root, "d").head(1)["id"][0]
