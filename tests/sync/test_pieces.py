"""The small pure parts of sync: classes of files, lines, notes, common state, registries."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, strategies as st

from usr_nb.contract.registry import Column, NamespaceEntry, Registry
from usr_nb.sync.classes import classify
from usr_nb.sync.common import decode_common, encode_common
from usr_nb.sync.lines import missing_lines, read_log
from usr_nb.sync.model import Common, Entry
from usr_nb.sync.notes_merge import merge_notes, parse_notes, without_own_notes
from usr_nb.sync.registry_merge import merge_registry, used_namespaces

STAMP = "20260102T030405000006"
CLASSES = {
    "records.parquet": "base",
    "_derived/evo2/part-20260102T030405000006Z-00.parquet": "part",
    "_derived/usr/part-1.parquet": "part",
    "_derived/evo2.parquet": "single",
    "_derived/usr.parquet": "tombstones",
    "_derived/usr_state.parquet": "state",
    f"_derived/_archived/evo2/{STAMP}/part-1.parquet": "archived",
    f"_registry/registry.{'0' * 64}.yaml": "frozen",
    f"_snapshots/records-{STAMP}.parquet": "snapshot",
    f"_snapshots/records-{STAMP}-before-x.parquet": "snapshot",
    ".events.log": "events",
    "meta.md": "notes",
    "_artifacts/dropped-1.parquet": "other",
    "_derived/notes.txt": "other",
    "_derived/Bad.parquet": "other",
    "_registry/registry.x.yaml": "other",
    "plots/a b.png": "other",
    "-rf": "other",
}
NOT_CARRIED = [
    ".usr.lock", "_txn/slot-000000000001", "_txn/remotes/hpc/common.json", "_txn",
    "_derived/evo2/.tmp-host-1", ".tmp-x/a", f"_snapshots/records-{STAMP}-auto.parquet",
    f"_artifacts/sync-deleted-{STAMP}/a.txt", "../x", "/etc/passwd", "a//b", "a/./b", "",
    "a\nb", "a\0b", ".nfs0001", "a/\udcff",
]  # fmt: skip


@pytest.mark.parametrize(("path", "file_class"), CLASSES.items())
def test_SYN_3_every_file_has_its_class(path, file_class):
    assert classify(path) == file_class


@pytest.mark.parametrize("path", NOT_CARRIED)
def test_SYN_3_locks_staging_and_temporary_files_are_not_carried(path):
    assert classify(path) is None


# Lines --------------------------------------------------------------------------------------------


def line(action: str, op: str | None = None, **more) -> bytes:
    body = {"operation_id": op} if op else {}
    return json.dumps({"action": action, "artifacts": body, **more}).encode() + b"\n"


def missing(sender: bytes, receiver: bytes) -> bytes:
    return b"".join(x.raw for x in missing_lines(read_log(sender), read_log(receiver)))


def test_SYN_4_lines_are_told_apart_by_operation_and_action():
    there = line("import_rows", "a") + line("registry_freeze", "a") + line("attach", "b", x=1)
    here = line("attach", "b", x=2) + line("import_rows", "a")
    assert missing(there, here) == line("registry_freeze", "a")


def test_SYN_4_lines_without_an_operation_are_told_apart_by_content():
    assert missing(b' {"action":"x"} \n' + line("y"), b'{"action":"x"}\n') == line("y")


def test_SYN_3_lines_of_syncs_fragments_and_torn_lines_never_travel():
    there = line("pull", "a") + line("push_file") + b"torn{\n\n" + line("init", "b")
    assert missing(there + b'{"action":"cut', b"") == line("init", "b")


THERE = [line("a", "1"), line("b"), b"x\n", line("push"), line("c", "2")]
HERE = [line("a", "1"), line("b"), line("d"), line("pull", "9")]


@given(st.lists(st.sampled_from(THERE)), st.lists(st.sampled_from(HERE)))
def test_SYN_4_appended_lines_keep_the_senders_order_and_come_once(there, here):
    sender, receiver = b"".join(there), b"".join(here)
    new = missing(sender, receiver)
    assert missing(sender, receiver + new) == b""
    kept = [x for x in there if x in new.splitlines(keepends=True)]
    assert list(dict.fromkeys(kept)) == new.splitlines(keepends=True)


# Notes --------------------------------------------------------------------------------------------


def note(n: int, title: str) -> bytes:
    return f"- 2026-01-02T03:04:0{n}.000000Z: {title}\n```bash\nusr x {n}\n```\n".encode()


HEAD = b"name: a/b\ncreated_at: 1\nsource: \nnotes: \nschema: USR v1\n\n### Updates (2026-01-02)\n"


def test_SYN_4_missing_notes_are_appended_and_syncs_own_are_not():
    there = HEAD + note(1, "init") + note(2, "pulled from hpc: x") + note(3, "attached")
    here = HEAD + note(1, "init") + note(4, "received by push from x: y")
    out = merge_notes(there, here, None)
    assert (out.append, out.content, out.beside) == (note(3, "attached"), None, False)
    assert [n["title"] for n in parse_notes(out.append)] == ["attached"]


def test_SYN_4_text_that_only_the_sender_changed_comes_and_our_notes_stay():
    past = HEAD + note(1, "init")
    there = HEAD.replace(b"notes: ", b"notes: good data") + note(1, "init") + note(2, "pushed to x")
    here = past + note(3, "attached") + note(4, "pulled from hpc: x")
    out = merge_notes(there, here, past)
    assert out.content is not None
    assert b"good data" in out.content
    assert b"pushed to" not in out.content
    assert out.content.endswith(note(3, "attached") + note(4, "pulled from hpc: x"))


def test_SYN_4_text_that_only_the_receiver_changed_stays():
    past = HEAD + note(1, "init")
    here = past + b"\nMy thoughts.\n"
    out = merge_notes(past + note(2, "import"), here, past)
    assert (out.content, out.beside, out.append) == (None, False, note(2, "import"))


def test_SYN_4_text_that_both_changed_is_kept_beside():
    out = merge_notes(HEAD + b"theirs\n" + note(1, "a"), HEAD + b"ours\n", HEAD)
    assert (out.beside, out.content, out.append) == (True, None, note(1, "a"))


def test_SYN_4_without_a_common_state_only_new_text_is_kept_beside():
    other_head = HEAD.replace(b"created_at: 1", b"created_at: 2")
    assert not merge_notes(other_head, HEAD + b"ours\n", None).beside
    assert merge_notes(HEAD + b"theirs\n", HEAD, None).beside


def test_SYN_4_a_note_that_was_taken_out_here_stays_out():
    past = HEAD + note(1, "init") + note(2, "oops")
    assert merge_notes(past + note(3, "more"), HEAD + note(1, "init"), past).append == note(
        3, "more"
    )


def test_LAY_6_another_datasets_notes_are_refused():
    assert merge_notes(HEAD.replace(b"a/b", b"c"), HEAD, None).other_name == "c"


@given(st.binary(max_size=200), st.binary(max_size=200), st.none() | st.binary(max_size=200))
def test_SYN_4_any_bytes_are_notes(sender, receiver, common):
    merge_notes(sender, receiver, common)
    assert without_own_notes(sender) == sender or b"```" in sender


# Common state -------------------------------------------------------------------------------------


def test_SYN_4_what_is_common_survives_being_written():
    copy = b"name: x\n"
    sha = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
    files = {
        "records.parquet": Entry("records.parquet", 5, sha),
        "meta.md": Entry("meta.md", 8, None),
    }
    common = Common("h:/x", "2026-01-02T03:04:05.000006Z", files, {"meta.md": copy}, 7)
    data = encode_common(common, direction="push", operation_id="op")
    assert decode_common(data, {"meta.md": copy}) == common
    assert json.loads(data)["direction"] == "push"


def test_SYN_4_a_copy_that_is_not_the_one_of_the_manifest_does_not_count():
    files = {
        "meta.md": Entry(
            "meta.md", 4, "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
        )
    }
    data = encode_common(Common("h:/x", "", files), direction="pull", operation_id=None)
    assert decode_common(data, {"meta.md": b"test"}).copies == {"meta.md": b"test"}
    assert decode_common(data, {"meta.md": b"tess"}).copies == {}


@pytest.mark.parametrize("data", [
    None, b"", b"{", b"[]", b'{"version":2}', b'{"version":1,"place":"x","at":"y","files":{"a":3}}',
    b'{"version":1,"place":"x","at":"y","files":{"../a":{"size":1,"sha256":null}}}',
    b'{"version":1,"place":"x","at":"y","files":{"a":{"size":-1,"sha256":null}}}',
    b'{"version":1,"place":"x","at":"y","files":{"a":{"size":1,"sha256":"zz"}}}',
    b'{"version":1,"place":1,"at":"y","files":{}}', b"[" * 100_000,
])  # fmt: skip
def test_SYN_4_a_damaged_common_state_counts_as_none(data):
    assert decode_common(data, {}) is None


# Registry -----------------------------------------------------------------------------------------


def entry(*columns: str, owner: str | None = None) -> NamespaceEntry:
    return NamespaceEntry(owner, None, tuple(Column(*c.split(":")) for c in columns))


def test_SYN_6_used_namespaces_are_added():
    there = Registry({"a": entry("a__x:float64"), "b": entry("b__x:float64")})
    out = merge_registry(there, Registry(), ["a"])
    assert list(out.entries) == ["a"]
    assert not out.conflicts


def test_SYN_6_the_longer_of_two_definitions_counts_and_words_do_not():
    short, long = (
        entry("a__x:float64", owner="me"),
        entry("a__x:float64", "a__y:string", owner="you"),
    )
    grown = merge_registry(Registry({"a": long}), Registry({"a": short}), ["a"])
    assert grown.entries["a"] == {**long.as_plain(), "owner": "me"}
    assert merge_registry(Registry({"a": short}), Registry({"a": long}), ["a"]).entries == {}
    other = merge_registry(
        Registry({"a": entry("a__x:float64", owner="z")}), Registry({"a": short}), ["a"]
    )
    assert (other.entries, other.conflicts, len(other.remarks)) == ({}, {}, 1)


@pytest.mark.parametrize("other", [
    ["a__x:string"], ["a__y:string", "a__x:float64"], ["a__x:float64", "a__z:string"],
])  # fmt: skip
def test_SYN_6_differing_definitions_are_a_conflict(other):
    ours = Registry({"a": entry("a__x:float64", "a__y:string")})
    out = merge_registry(Registry({"a": entry(*other)}), ours, ["a"])
    assert list(out.conflicts) == ["a"]
    assert not out.entries


def test_SYN_6_base_columns_use_their_namespace_too():
    used = used_namespaces(["_derived/usr.parquet", "_derived/usr_state.parquet"], ["id", "b__x"])
    assert used == {"usr_state", "b"}
