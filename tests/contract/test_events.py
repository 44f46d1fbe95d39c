"""EVT-1, EVT-3..5: one event line and what is kept out of it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from usr_nb.contract.events import (
    ACTIONS,
    MAX_LINE_BYTES,
    REDACTED,
    Actor,
    Fingerprint,
    build_event,
    decode_event,
    encode_event,
    env_actor,
    is_secret_key,
    operation_of,
    redact,
    redact_command,
)
from usr_nb.errors import ValidationError

KEYS = [
    "event_version",
    "timestamp_utc",
    "action",
    "dataset",
    "args",
    "metrics",
    "artifacts",
    "maintenance",
    "fingerprint",
    "registry_hash",
    "actor",
    "version",
]


def event(**changes):
    given = {
        "action": "attach", "at": "2026-01-02T03:04:05.000006Z", "dataset": "a/b", "root": "/r",
        "args": {}, "metrics": {"rows": 1}, "artifacts": {"operation_id": "op"}, "maintenance": {},
        "fingerprint": Fingerprint(1, 7, 10).as_plain(), "registry_hash": "h",
        "actor": Actor("usr", None, "host", 3), "version": "0.1.0",
    }  # fmt: skip
    return build_event(**{**given, **changes})


def test_EVT_1_keys_in_order_compact_one_line():
    line = encode_event(event(args={"title": "two\nlines", "u": "é\u2028"}))
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    found = json.loads(line)
    assert list(found) == KEYS
    assert found["event_version"] == 1
    assert found["dataset"] == {"name": "a/b", "root": "/r"}
    assert list(found["fingerprint"]) == ["rows", "cols", "size_bytes"]
    assert list(found["actor"]) == ["tool", "run_id", "host", "pid"]
    assert line == json.dumps(found, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"


def test_EVT_1_sha256_stands_in_the_fingerprint_only_if_asked_for():
    assert Fingerprint(1, 2, 3, "ab").as_plain()["sha256"] == "ab"
    assert "sha256" not in Fingerprint(1, 2, 3).as_plain()


@pytest.mark.parametrize("where", ["args", "metrics", "artifacts", "maintenance"])
def test_EVT_1_a_line_is_at_most_one_mebibyte(where):
    assert MAX_LINE_BYTES == 1 << 20
    big = event(**{where: {"operation_id": "op", "ids": ["x" * 40] * 50_000}})
    line = encode_event(big)
    assert len(line) <= 1 << 20
    found = json.loads(line)
    assert found[where]["truncated"] is True
    assert found[where]["operation_id"] == "op"
    assert operation_of(found) == ("op", "attach"), "other parts stay"


@settings(max_examples=20)
@given(st.integers(-300, 300))
def test_EVT_1_the_limit_is_exact(delta):
    size = (1 << 20) - len(encode_event(event(args={"a": ""}))) + delta
    line = encode_event(event(args={"a": "x" * size}))
    assert len(line) <= 1 << 20
    assert ("truncated" in json.loads(line)["args"]) == (delta > 0)


@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
    | st.binary(max_size=3) | st.datetimes() | st.just(Path("a")) | st.just("\ud800"),
    lambda c: st.lists(c, max_size=3) | st.dictionaries(st.text(max_size=5), c, max_size=3)
    | st.tuples(c) | st.frozensets(st.text(max_size=3), max_size=3), max_leaves=10))  # fmt: skip
def test_EVT_1_any_arguments_give_one_strict_json_line(value):
    line = encode_event(event(args={"v": value}))
    assert line.count(b"\n") == 1
    found = json.loads(line, parse_constant=lambda c: pytest.fail(f"{c} is not JSON"))
    assert list(found) == KEYS
    assert decode_event(line) == found


SECRET = [
    "secret", "token", "password", "passwd", "apikey", "api_key", "webhook", "auth", "credential",
    "bearer", "cookie", "session", "TOKEN", "slack_token", "X-Auth-Token", "apiKey", "APIKey",
    "my.secret", "accessToken", "HTTPAuth", "API_KEY", "api-key", "api_keys", "tokens", "secrets",
    "webhookURL", "session_id", "client.credential", "db_password_file", "authToken",
]  # fmt: skip
OPEN = [
    "author", "authors", "authority", "key", "key_col", "keys", "passed", "passwords_count"[:4],
    "tokenizer", "tokenized", "secretary", "sessional", "columns", "path", "api", "compass", "id",
    "bearing", "obsession", "unauthored", "credentialed"[:4], "cookies_"[:4],
]  # fmt: skip


@pytest.mark.parametrize("key", SECRET)
def test_EVT_3_secret_keys(key):
    assert is_secret_key(key)
    assert redact({key: "s3cr3t"}) == {key: REDACTED}


@pytest.mark.parametrize("key", OPEN)
def test_EVT_3_other_keys_are_no_secrets(key):
    assert not is_secret_key(key)
    assert redact({key: "value"}) == {key: "value"}


@pytest.mark.parametrize("part", ["args", "metrics", "artifacts", "maintenance"])
def test_EVT_3_applies_to_every_part_and_depth(part):
    body = {"a": [{"b": ({"Api-Key": ["x", {"y": "leak"}]},)}], "token": {"deep": "leak"}}
    line = encode_event(event(**{part: body}))
    assert b"leak" not in line
    assert REDACTED.encode() in line
    assert json.loads(line)[part]["token"] == REDACTED


def test_EVT_3_applies_to_the_actor():
    line = encode_event(event(actor={"tool": "x", "run_id": None, "auth_token": "leak"}))
    assert b"leak" not in line


@pytest.mark.parametrize(
    ("command", "hidden"),
    [
        (["usr", "--token", "leak", "x"], ["usr", "--token", REDACTED, "x"]),
        (["--api-key=leak", "--path=a"], [f"--api-key={REDACTED}", "--path=a"]),
        (["-password", "leak"], ["-password", REDACTED]),
        (["--token", "-leak"], ["--token", REDACTED]),
        (["--token", "--secret", "leak"], ["--token", "--secret", REDACTED]),
        (["--author", "me", "--auth", "leak"], ["--author", "me", "--auth", REDACTED]),
        (["--token=a=leak\nleak"], [f"--token={REDACTED}"]),
        (["--token"], ["--token"]),
    ],
)
def test_EVT_3_flags_in_lists(command, hidden):
    assert redact(command) == hidden
    assert redact(tuple(command)) == hidden
    assert redact({"argv": command}) == {"argv": hidden}
    assert "leak" not in redact_command(command)


def test_EVT_3_nothing_to_hide_stays_as_it_is():
    plain = {"a": 1, "b": [True, None, 2.5, "x"], "token": None}
    assert redact(plain) == plain
    assert redact({"n": float("nan"), "i": float("inf")}) == {"n": "nan", "i": "inf"}
    assert redact({"p": Path("a/b"), "t": datetime(2026, 1, 1, tzinfo=UTC)})["p"] == "a/b"


def test_EVT_2_the_actions_of_the_contract():
    wanted = [
        "init",
        "import_rows",
        "attach",
        "write_overlay_part",
        "tombstone",
        "restore",
        "state_set",
        "state_clear",
        "snapshot",
        "materialize",
        "dedupe",
        "merge_datasets",
        "compact_overlay",
        "archive_overlay",
        "remove_overlay",
        "registry_freeze",
        "pull",
        "push",
        "pull_file",
        "push_file",
        "implicit_file_pick",
        "make_mock",
        "add_demo_cols",
        "convert_legacy",
        "repair_densegen",
        "recovered",
    ]
    assert set(wanted) <= ACTIONS


@pytest.mark.parametrize("action", ["", "A", "a b", "a\n", "a" * 81, "é", "-a"])
def test_EVT_4_malformed_actions_are_refused(action):
    with pytest.raises(ValidationError):
        event(action=action)


def test_EVT_4_actor_from_argument_then_environment(monkeypatch):
    assert env_actor(None, None, "h", 1) == Actor("usr", None, "h", 1)
    monkeypatch.setenv("USR_ACTOR_TOOL", "densegen")
    monkeypatch.setenv("USR_ACTOR_RUN_ID", "r1")
    assert env_actor(None, None, "h", 1) == Actor("densegen", "r1", "h", 1)
    assert env_actor("infer", "r2", "h", 1) == Actor("infer", "r2", "h", 1)


@pytest.mark.parametrize(
    "line", [b"", b"\n", b"{", b'{"a":1}', b"[1]", b"3", b"\xff\xfe", b'"action"',
             b"[" * 100_000, b"null"]
)  # fmt: skip
def test_EVT_5_foreign_and_torn_lines_are_no_events(line):
    assert decode_event(line) is None


def test_EVT_5_operation_and_action_name_an_event():
    assert operation_of(event()) == ("op", "attach")
    assert operation_of(event(artifacts={})) is None
    for odd in (None, [], {"operation_id": 3}, {"operation_id": ""}):
        assert operation_of({"action": "x", "artifacts": odd}) is None


def test_EVT_1_a_line_that_is_too_long_still_says_what_was_installed():
    """Ten thousand parts that a compaction took away must not cost the digest of what came."""
    files = [{"path": "_derived/m/part-x.parquet", "sha256": "0" * 64}]
    retired = [f"_derived/m/part-{n:090d}.parquet" for n in range(12_000)]
    told = event(artifacts={"operation_id": "op", "files": files, "retired": retired})
    found = json.loads(encode_event(told))["artifacts"]
    size = found.pop("bytes")
    assert size > MAX_LINE_BYTES
    assert found == {"operation_id": "op", "files": files, "truncated": True}
