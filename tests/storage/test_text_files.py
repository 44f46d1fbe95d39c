"""EVT-5, LAY-7: the event log and the notes are appended to and never rewritten."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from tests.storage import kit
from usr_nb.errors import ValidationError
from usr_nb.storage import door, eventlog, notes


def told(n: int, operation: str | None = None, action: str = "x") -> dict[str, object]:
    artifacts = {} if operation is None else {"operation_id": operation}
    return {**kit.event(action, n=n), "artifacts": artifacts}


def numbers(path: Path, *, fold: bool = True) -> list[int]:
    return [e["args"]["n"] for e in eventlog.read_events(path, fold=fold)]


def test_EVT_5_a_second_line_of_an_operation_is_folded(tmp_path):
    log = tmp_path / "log"
    for e in (told(1, "a"), told(2, "b"), told(3, "a"), told(4), told(5), told(6, "a", "y")):
        eventlog.append_event(log, e)
    assert numbers(log) == [1, 2, 4, 5, 6]
    assert numbers(log, fold=False) == [1, 2, 3, 4, 5, 6]


def test_EVT_5_missing_events_are_appended_once(tmp_path):
    log = tmp_path / "log"
    assert eventlog.append_missing(log, []) == 0
    assert not log.exists()
    events = [told(1, "a"), told(2, "b"), told(3, "a", "y")]
    eventlog.append_event(log, events[1])
    assert eventlog.append_missing(log, events) == 2
    assert numbers(log) == [2, 1, 3]
    assert eventlog.append_missing(log, events) == 0
    assert eventlog.logged_operations(log) == {"a", "b"}


@given(cut=st.integers(1, 60))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_EVT_5_a_torn_fragment_stays_a_line_of_its_own(tmp_path, cut):
    log = tmp_path / "log"
    log.unlink(missing_ok=True)
    eventlog.append_event(log, told(1, "a"))
    whole = log.read_bytes()
    log.write_bytes(whole + whole.replace(b'"a"', b'"b"')[:cut])
    assert numbers(log) == [1], "not shown until complete"
    assert eventlog.logged_operations(log) == {"a"}
    assert eventlog.append_missing(log, [told(1, "a"), told(2, "b"), told(3, "c")]) == 2
    assert numbers(log) == [1, 2, 3]
    assert log.read_bytes().startswith(whole + whole.replace(b'"a"', b'"b"')[:cut] + b"\n")


def test_EVT_5_foreign_lines_are_passed_over(tmp_path):
    log = tmp_path / "log"
    log.write_bytes(b'hello\n\n[1]\n\xff\xfe\n{"a":1}\n')
    eventlog.append_event(log, told(1, "a"))
    assert numbers(log) == [1]


def test_EVT_1_offsets_stay_valid(tmp_path):
    log = tmp_path / "log"
    for n in range(5):
        eventlog.append_event(log, told(n, f"o{n}"))
    offsets = [o for o, _ in eventlog.read_lines(log)]
    before = log.read_bytes()
    eventlog.append_event(log, told(5, "o5"))
    assert log.read_bytes().startswith(before)
    rest = [
        eventlog.decode_event(line)["args"]["n"]
        for _, line in eventlog.read_lines(log, start=offsets[2])
    ]
    assert rest == [3, 4, 5]
    assert list(eventlog.read_lines(tmp_path / "gone")) == []


def test_EVT_1_lines_of_many_writers_are_never_mixed(tmp_path):
    log = tmp_path / "log"

    def work(k: int) -> None:
        for n in range(25):
            eventlog.append_event(log, kit.event("x", n=[k, n], text="y" * 5000))

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    found = [tuple(e["args"]["n"]) for e in eventlog.read_events(log)]
    assert sorted(found) == [(k, n) for k in range(4) for n in range(25)]
    assert len(log.read_bytes().splitlines()) == 100
    for k in range(4):
        assert [n for j, n in found if j == k] == list(range(25))


def test_EVT_1_one_write_per_line(tmp_path, monkeypatch):
    writes: list[bytes] = []
    real = os.write
    monkeypatch.setattr(door.os, "write", lambda fd, d: writes.append(bytes(d)) or real(fd, d))
    eventlog.append_event(tmp_path / "log", told(1, "a"))
    assert writes == [(tmp_path / "log").read_bytes()]


# Notes ---------------------------------------------------------------------------------------

NOTE = {"at": "2026-01-02T03:04:05.000006Z", "title": "attached", "command": "usr attach x"}


def test_LAY_7_the_first_lines_of_the_notes():
    text = notes.initial_text(
        name="a/b", created_at="2026-01-02T03:04:05.000006Z", source="lab\nx", notes=" two\n lines "
    )
    assert text.splitlines() == [
        "name: a/b", "created_at: 2026-01-02T03:04:05.000006Z", "source: lab x",
        "notes: two lines", "schema: USR v1", "", "### Updates (2026-01-02)",
    ]  # fmt: skip


def test_LAY_7_an_update_is_a_line_and_a_fenced_block(tmp_path):
    meta = tmp_path / "meta.md"
    notes.append_note(meta, NOTE)
    assert meta.read_text() == (
        "- 2026-01-02T03:04:05.000006Z: attached\n```bash\nusr attach x\n```\n"
    )


@given(st.binary(max_size=60))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_LAY_7_what_the_user_wrote_is_never_touched(tmp_path, mine):
    meta = tmp_path / "meta.md"
    meta.write_bytes(mine)
    notes.append_note(meta, NOTE)
    notes.append_note(meta, NOTE, check=True)
    notes.append_note(meta, {**NOTE, "title": "again"})
    data = meta.read_bytes()
    assert data.startswith(mine)
    rest = data[len(mine) :]
    assert rest.lstrip(b"\n").startswith(b"- 2026-01-02"), "an update begins a line of its own"
    assert data.count(b": attached\n") == 1
    assert data.count(b": again\n") == 1


def test_LAY_7_a_note_cannot_break_out_of_its_block(tmp_path):
    meta = tmp_path / "meta.md"
    notes.append_note(meta, {**NOTE, "title": "a\n# b", "command": "x\n```\n# evil"})
    lines = meta.read_text().splitlines()
    assert lines[0].endswith(": a # b")
    assert [i for i, x in enumerate(lines) if x.startswith("```")] == [1, len(lines) - 1]


@pytest.mark.parametrize(
    ("text", "name"),
    [(b"name: a/b\nx", "a/b"), (b"name:a\r\n", "a"), (b"title: x\nname: y\n", None), (b"", None),
     (b"name", None), (b"name:\n", ""), (b"\xff\xfe", None), (b"name: x" + b"y" * 9000, None)],
)  # fmt: skip
def test_LAY_6_the_id_is_read_from_the_first_line(tmp_path, text, name):
    meta = tmp_path / "meta.md"
    meta.write_bytes(text)
    found = notes.read_name(meta)
    assert found == name or (name is None and len(text) > 9000)
    if not name and len(text) < 9000:
        with pytest.raises(ValidationError, match="name: <dataset id>"):
            notes.require_name(meta)
    assert notes.read_name(tmp_path / "gone") is None
