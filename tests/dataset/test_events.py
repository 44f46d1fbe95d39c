"""EVT: one line per change with true counts, files with their digests, and no secrets."""

from __future__ import annotations

import hashlib
import json
import os
import socket

import pyarrow as pa
import pytest

from tests.dataset.kit import (
    IDS,
    SEQUENCES,
    base,
    count_events,
    last_event,
    new_dataset,
    raw_events,
    registry_of,
)
from usr_nb import Dataset, SequencesError, ValidationError

KEYS = ["event_version", "timestamp_utc", "action", "dataset", "args", "metrics", "artifacts",
        "maintenance", "fingerprint", "registry_hash", "actor", "version"]  # fmt: skip


def maintain(ds: Dataset, verb: str, *args, **how):
    with ds.maintenance(reason="test"):
        return getattr(ds, verb)(*args, **how)


ROWS = [{"id": i, "n": 1.0} for i in (*IDS[:4], "f" * 40)]
# action: (before it, the call, metrics that must be there)
ACTIONS = {
    "init": (None, lambda ds: Dataset.open(ds.root, "ns/new").init(), {}),
    "import_rows": (
        None, lambda ds: ds.import_rows(["AA", SEQUENCES[0], "AC"], on_conflict="ignore"),
        {"rows_written": 2, "rows_skipped": 1},
    ),
    "attach": (
        None, lambda ds: ds.write_overlay("m", ROWS, allow_missing=True),
        {"rows_incoming": 5, "rows_matched": 4, "rows_missing": 1},
    ),
    "write_overlay_part": (
        None, lambda ds: ds.write_overlay_part("m", ROWS, allow_missing=True),
        {"rows_incoming": 5, "rows_written": 4, "rows_missing": 1},
    ),
    "tombstone": (None, lambda ds: ds.tombstone(IDS[:3]), {"rows": 3}),
    "restore": (lambda ds: ds.tombstone(IDS[:2]), lambda ds: ds.restore(IDS[:4]), {"rows": 2}),
    "state_set": (None, lambda ds: ds.set_state(IDS[:2], split="val"), {"rows": 2}),
    "state_clear": (None, lambda ds: ds.clear_state(IDS[:4]), {"rows": 4}),
    "snapshot": (None, lambda ds: ds.snapshot(), {"rows": 6}),
    "materialize": (
        lambda ds: ds.write_overlay_part("m", ROWS[:4]), lambda ds: maintain(ds, "materialize"),
        {"rows": 6},
    ),
    "compact_overlay": (
        lambda ds: [ds.write_overlay_part("m", ROWS[:4]) for _ in range(3)],
        lambda ds: maintain(ds, "compact_overlay", "m"), {"files_before": 3, "rows": 4},
    ),
    "archive_overlay": (
        lambda ds: ds.write_overlay_part("m", ROWS[:4]),
        lambda ds: ds.remove_overlay("m", mode="archive"), {"files_retired": 1},
    ),
    "remove_overlay": (
        lambda ds: ds.write_overlay_part("m", ROWS[:4]), lambda ds: ds.remove_overlay("m"),
        {"files_retired": 1},
    ),
    "registry_freeze": (None, lambda ds: maintain(ds, "freeze_registry"), {}),
    "dedupe": (
        lambda ds: ds.import_rows([SEQUENCES[0].lower()]),
        lambda ds: maintain(ds, "dedupe", key="sequence_ci"), {"rows": 6, "rows_dropped": 1},
    ),
}  # fmt: skip


@pytest.mark.parametrize("action", ACTIONS)
def test_EVT_2_every_action_tells_its_event(ds, action) -> None:
    before, call, metrics = ACTIONS[action]
    if before is not None:
        before(ds)
    lines = count_events(ds)
    call(ds)
    told = Dataset.open(ds.root, "ns/new") if action == "init" else ds
    new = raw_events(told)[0 if action == "init" else lines :]
    mine = [e for e in new if e["action"] == action]
    assert len(mine) == 1
    assert {e["action"] for e in new} <= {action, "registry_freeze"}
    event = mine[0]
    # EVT-1: keys in this order, compact JSON.
    assert list(event) == KEYS
    line = told.events_path.read_bytes().splitlines()[0 if action == "init" else lines]
    assert line == json.dumps(json.loads(line), ensure_ascii=False, separators=(",", ":")).encode()
    assert event["event_version"] == 1
    assert event["dataset"] == {"name": told.name, "root": str(told.root)}
    assert event["metrics"] | metrics == event["metrics"]
    assert event["actor"] == {"tool": "usr", "run_id": None, "host": socket.gethostname(),
                              "pid": os.getpid()}  # fmt: skip
    assert event["registry_hash"] == registry_of(told.root)
    assert set(event["fingerprint"]) == {"rows", "cols", "size_bytes"}
    assert event["fingerprint"] == {
        "rows": base(told).num_rows,
        "cols": base(told).num_columns,
        "size_bytes": told.records_path.stat().st_size,
    }
    # Every file that the change made, with its digest.
    assert event["artifacts"]["operation_id"]
    for file in event["artifacts"]["files"]:
        data = (told.dir / file["path"]).read_bytes()
        if file["path"] != "meta.md":
            assert hashlib.sha256(data).hexdigest() == file["sha256"], file
    section = {"reason": "test"} if action in ("materialize", "compact_overlay", "dedupe") else {}
    if action != "registry_freeze":
        assert event["maintenance"] == section
    assert told.validate().errors == []


CREATED = {
    "import_rows": ["records.parquet"],
    "attach": ["_derived/m/part-"],
    "tombstone": ["_derived/usr.parquet"],
    "write_overlay_part": ["_derived/m/part-"],
    "state_set": ["_derived/usr_state.parquet"],
    "restore": ["_derived/usr.parquet"],
    "snapshot": ["_snapshots/records-"],
    "materialize": ["records.parquet"],
    "compact_overlay": ["_derived/m/part-"],
    "dedupe": ["records.parquet", "_snapshots/records-", "_artifacts/dropped-"],
}


@pytest.mark.parametrize("action", CREATED)
def test_EVT_2_artifacts_name_every_file_that_was_written(ds, action) -> None:
    before, call, _ = ACTIONS[action]
    if before is not None:
        before(ds)
    call(ds)
    named = [f["path"] for f in last_event(ds, action)["artifacts"]["files"]]
    for start in CREATED[action]:
        assert [n for n in named if n.startswith(start)], (start, named)


def test_EVT_2_args_are_as_called_and_never_rows(ds, tmp_path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"id,n\n{IDS[0]},1\n")
    ds.attach(path, "m", columns=["n"], allow_missing=True, note="why")
    args = last_event(ds, "attach")["args"]
    wanted = {"path": str(path), "namespace": "m", "key": "id", "columns": ["n"], "note": "why",
              "allow_missing": True, "allow_overwrite": False, "backend": "pyarrow"}  # fmt: skip
    assert args | wanted == args
    ds.import_rows([{"sequence": "GATTACA"}])
    ds.write_overlay_part("m", [{"id": IDS[0], "s": "a value of a cell"}])
    text = ds.events_path.read_text()
    assert "GATTACA" not in text
    assert "a value of a cell" not in text


@pytest.mark.parametrize("verb", ["import", "attach", "part", "tombstone", "state", "materialize",
                                  "compact", "snapshot", "remove", "init", "dedupe"])  # fmt: skip
def test_EVT_5_a_failed_operation_writes_no_event(ds, verb) -> None:
    ds.write_overlay_part("m", ROWS[:2])
    calls = {
        "import": lambda: ds.import_rows(["AX"]),
        "attach": lambda: ds.write_overlay("m", [{"id": IDS[0], "i": "x"}]),
        "part": lambda: ds.write_overlay_part("m", [{"id": "f" * 40, "i": 1}]),
        "tombstone": lambda: ds.tombstone("f" * 40),
        "state": lambda: ds.set_state(IDS[0], split="dev"),
        "materialize": lambda: maintain(ds, "materialize", ["zz"]),
        "compact": lambda: maintain(ds, "compact_overlay", "zz"),
        "snapshot": lambda: ds.snapshot("../x"),
        "remove": lambda: ds.remove_overlay("zz"),
        "init": ds.init,
        "dedupe": lambda: maintain(ds, "dedupe", key="name"),
    }
    before = ds.events_path.read_bytes()
    with pytest.raises(SequencesError):
        calls[verb]()
    assert ds.events_path.read_bytes() == before


def test_EVT_5_a_write_that_fails_half_way_leaves_no_event_and_no_change(
    ds, root, monkeypatch
) -> None:
    from tests.dataset.kit import tree
    from usr_nb.storage import slots

    ds.write_overlay_part("m", ROWS[:2])
    before = tree(root)

    def broken(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(slots.Stage, "publish", broken)
        for call in (lambda: ds.import_rows(["AA"]), lambda: ds.tombstone(IDS[0]),
                     lambda: maintain(ds, "materialize")):  # fmt: skip
            with pytest.raises(OSError, match="No space"):
                call()
    assert tree(root) == before
    assert ds.tombstone(IDS[0]) == 1


def test_EVT_5_a_part_that_cannot_be_linked_leaves_no_event(ds, root, monkeypatch) -> None:
    from tests.dataset.kit import tree
    from usr_nb import StorageError
    from usr_nb.dataset import context

    def broken(*_, **__):
        raise StorageError("No space left on device")

    before = tree(root)
    with monkeypatch.context() as patch:
        patch.setattr(context, "link_part", broken)
        for call in (ds.write_overlay_part, ds.write_overlay):
            with pytest.raises(StorageError, match="No space"):
                call("m", ROWS[:2])
    assert tree(root) == before
    assert ds.write_overlay_part("m", ROWS[:2]) == 2


def test_EVT_1_sha256_of_the_base_only_when_asked_for(ds, monkeypatch) -> None:
    monkeypatch.setenv("USR_EVENT_SHA256", "1")
    ds.import_rows(["AA"])
    found = last_event(ds, "import_rows")["fingerprint"]
    assert found["sha256"] == hashlib.sha256(ds.records_path.read_bytes()).hexdigest()
    monkeypatch.setenv("USR_EVENT_SHA256", "0")
    ds.import_rows(["AC"])
    assert "sha256" not in last_event(ds, "import_rows")["fingerprint"]


def test_EVT_1_lines_are_appended_and_never_rewritten(ds) -> None:
    before = ds.events_path.read_bytes()
    inode = ds.events_path.stat().st_ino
    ds.tombstone(IDS[0])
    ds.write_overlay_part("m", ROWS[:1])
    maintain(ds, "materialize", drop_deleted=True)
    assert ds.events_path.read_bytes().startswith(before)
    assert ds.events_path.stat().st_ino == inode
    assert ds.events_path.read_bytes().endswith(b"\n")


def test_EVT_1_a_line_is_at_most_one_mebibyte(ds) -> None:
    ds.log_event("big", args={"x": "y" * (2 << 20)}, metrics={"kept": 1})
    line = ds.events_path.read_bytes().splitlines(keepends=True)[-1]
    assert len(line) <= 1 << 20
    event = json.loads(line)
    assert list(event) == KEYS
    assert event["metrics"] == {"kept": 1}
    assert event["args"]["truncated"] is True


def test_EVT_3_secrets_are_replaced_in_all_four_places(ds) -> None:
    secret = "hunter2"
    ds.log_event(
        "tool.run",
        args={
            "API-Key": secret,
            "author": "me",
            "nested": [{"webhook_url": secret}],
            "authToken": secret,
            "argv": ["run", "--password", secret, f"--slack-webhook={secret}", "--tokenize", "yes"],
            "cookies": secret,
            "secretary": "ok",
            "x.session.y": secret,
            "Bearer": secret,
        },
        metrics={"credential": secret, "tokens": 5},
        artifacts={"passwd": secret},
        maintenance={"apikey": secret},
        actor={"tool": "t", "run_id": "r"},
    )
    line = ds.events_path.read_text().splitlines()[-1]
    assert secret not in line
    event = json.loads(line)
    assert event["args"]["author"] == "me"
    assert event["args"]["secretary"] == "ok"
    assert event["args"]["argv"] == [
        "run",
        "--password",
        "***REDACTED***",
        "--slack-webhook=***REDACTED***",
        "--tokenize",
        "yes",
    ]


def test_EVT_4_actor_from_argument_else_environment(ds, monkeypatch) -> None:
    monkeypatch.setenv("USR_ACTOR_TOOL", "densegen")
    monkeypatch.setenv("USR_ACTOR_RUN_ID", "run-9")
    ds.tombstone(IDS[0])
    actor = raw_events(ds)[-1]["actor"]
    assert (actor["tool"], actor["run_id"]) == ("densegen", "run-9")
    ds.tombstone(IDS[1], actor={"tool": "infer", "run_id": "r1"})
    actor = raw_events(ds)[-1]["actor"]
    assert (actor["tool"], actor["run_id"]) == ("infer", "r1")
    ds.write_overlay_part("m", ROWS[:1], actor={"tool": "infer"})
    assert raw_events(ds)[-1]["actor"]["tool"] == "infer"


def test_EVT_4_tools_append_their_own_actions(ds, tmp_path) -> None:
    ds.log_event("densegen.finished", args={"a": 1}, metrics={"b": 2.5}, artifacts={"c": "d"},
                 maintenance={"reason": "e"}, target_path=tmp_path)  # fmt: skip
    event = raw_events(ds)[-1]
    assert list(event) == KEYS
    assert (event["action"], event["args"], event["metrics"]) == (
        "densegen.finished",
        {"a": 1},
        {"b": 2.5},
    )
    assert event["artifacts"]["c"] == "d"
    assert event["artifacts"]["target_path"] == str(tmp_path)
    assert event["maintenance"] == {"reason": "e"}
    before = ds.events_path.read_bytes()
    for bad in ("", "Upper", "a b", "x\n", "é"):
        with pytest.raises(ValidationError, match="action"):
            ds.log_event(bad)
    assert ds.events_path.read_bytes() == before


def test_EVT_1_values_that_json_cannot_hold(ds) -> None:
    import datetime as dt
    from pathlib import Path

    ds.log_event(
        "odd",
        args={
            "nan": float("nan"),
            "inf": float("inf"),
            "path": Path("x"),
            "set": {2, 1},
            "at": dt.date(2026, 1, 1),
            "table": pa.table({}),
            5: None,
        },
    )
    line = ds.events_path.read_text().splitlines()[-1]
    args = json.loads(line, parse_constant=pytest.fail)["args"]
    assert args["path"] == "x"
    assert args["5"] is None


def test_EVT_5_a_repeated_line_is_folded_by_the_reader(ds) -> None:
    ds.tombstone(IDS[0])
    line = ds.events_path.read_bytes().splitlines(keepends=True)[-1]
    with ds.events_path.open("ab") as f:
        f.write(line)
    assert [e["action"] for e in raw_events(ds)].count("tombstone") == 2
    assert [e["action"] for e in ds.events()].count("tombstone") == 1


def test_EVT_5_a_torn_fragment_is_never_glued_to_the_next_event(ds) -> None:
    with ds.events_path.open("ab") as f:
        f.write(b'{"event_ver')
    ds.write_overlay_part("m", ROWS[:1])
    lines = ds.events_path.read_bytes().splitlines()
    assert lines[-2] == b'{"event_ver'
    assert json.loads(lines[-1])["action"] == "write_overlay_part"
    report = ds.validate()
    assert [f.rule for f in report.notes if "torn" in f.message] == ["EVT-5"]


def test_EVT_2_events_of_two_datasets_stay_apart(ds, root) -> None:
    other = new_dataset(root, "ns/other", [])
    before = count_events(ds)
    other.import_rows(["AA"])
    assert count_events(ds) == before
    assert {e["dataset"]["name"] for e in raw_events(other)} == {"ns/other"}
