"""LAY-3 and REG-4: names are checked by allow-list before any path is built."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, strategies as st

from usr_nb.contract.essentials import ESSENTIALS
from usr_nb.contract.names import (
    CANONICAL_ARCHIVE,
    check_column,
    check_dataset_id,
    check_namespace,
    check_relative,
    check_snapshot_name,
    is_dataset_part,
    is_part_file,
    namespace_of,
    qualify,
)
from usr_nb.errors import NamespaceError, SequencesError, ValidationError

GOOD_IDS = ["sos", "promoters/sos", "A1/b.c-d_e", "0", "x/archived", "2024.01/run-3", "a..b"]
HOSTILE_IDS = [
    "", "/", "a/", "/a", "a//b", "a/b/c", ".", "..", "../..", "a/..", "../a", "./a", "a/./b",
    "/etc/passwd", "-rf", "a/-x", "_archive/x/y", "_x", ".hidden", "a/.b",
    "a*", "a?", "a[b]", "{a,b}", "a b", " a", "a ", "a'b", 'a"b', "a`b", "a$b", "a;b", "a|b", "a&b",
    "a\nb", "a\n", "\na", "a\tb", "a\rb", "a\0b", "a\0", "a\\b", "C:\\x", "~", "~/x", "a:b",
    "a%2fb", "\u0430bc", "\uff41bc", "ab\u200b", "ab\u202e", "é", "\uff11",
    "a\uff0fb", "a\u2215b", "a\u2024b", "\u017fos",
    "x" * 300,
]  # fmt: skip


@pytest.mark.parametrize("name", GOOD_IDS)
def test_LAY_3_legal_ids_are_accepted(name):
    assert check_dataset_id(name) == name


@pytest.mark.parametrize("name", HOSTILE_IDS)
def test_LAY_3_hostile_ids_are_refused(name):
    with pytest.raises(ValidationError, match="Dataset id"):
        check_dataset_id(name)


@pytest.mark.parametrize("name", [None, 3, b"a", ["a"], object()])
def test_LAY_3_what_is_no_text_is_refused(name):
    with pytest.raises(ValidationError):
        check_dataset_id(name)


@pytest.mark.parametrize(
    "name", ["a.parquet", "ns/a.csv", "a.jsonl", "A.PARQUET", "ns/x.JsonL", "records.parquet"]
)
def test_LAY_3_ids_do_not_end_like_files(name):
    with pytest.raises(ValidationError, match="file name"):
        check_dataset_id(name)


@pytest.mark.parametrize("name", ["archived", "archived/x", "archived/x/y", "archived/../x"])
def test_LAY_3_archived_names_the_canonical_place(name):
    with pytest.raises(ValidationError, match="archived") as e:
        check_dataset_id(name)
    assert CANONICAL_ARCHIVE in str(e.value)
    assert CANONICAL_ARCHIVE == "datasets/_archive/<namespace>/<dataset>"


@given(st.text(max_size=12) | st.from_regex(r"[A-Za-z0-9._/-]{1,12}", fullmatch=True))
def test_LAY_3_accepted_is_exactly_the_rule(name):
    part = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*", re.ASCII)
    parts = name.split("/")
    legal = (
        len(parts) <= 2
        and all(part.fullmatch(p) for p in parts)
        and parts[0] != "archived"
        and not name.lower().endswith((".parquet", ".csv", ".jsonl"))
    )
    try:
        check_dataset_id(name)
        accepted = True
    except ValidationError:
        accepted = False
    assert accepted == legal
    assert is_dataset_part(name) == bool(part.fullmatch(name))


@pytest.mark.parametrize("ns", ["a", "evo2", "a_b", "dense_gen2"])
def test_REG_4_legal_namespaces(ns):
    assert check_namespace(ns) == ns


@pytest.mark.parametrize(
    "ns",
    ["", "A", "Evo2", "2a", "_a", "a__b", "a-b", "a.b", "a b", "a/b", "../a", "a\n", "á", "a\0",
     None, 3],
)  # fmt: skip
def test_REG_4_malformed_namespaces_are_refused(ns):
    with pytest.raises(NamespaceError):
        check_namespace(ns)


@pytest.mark.parametrize(("ns", "verb"), [("usr", "delete"), ("usr_state", "set_state")])
def test_REG_4_reserved_namespaces_name_the_verb(ns, verb):
    with pytest.raises(NamespaceError, match="reserved") as e:
        check_namespace(ns)
    assert verb in e.value.hint
    assert check_namespace(ns, reserved_ok=True) == ns


@given(
    st.from_regex(r"[a-z][a-z0-9]{0,5}(_[a-z0-9]{1,4})?", fullmatch=True),
    st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.\-]{0,8}", fullmatch=True),
)
def test_REG_4_columns_are_namespace_and_field(ns, field):
    full = qualify(ns, field, essentials=frozenset()) if namespace_of(field) is None else None
    if full is not None:
        assert full == f"{ns}__{field}"
        assert qualify(ns, full, essentials=frozenset()) == full
        assert check_column(ns, full) == full
        assert namespace_of(full) == ns


@pytest.mark.parametrize("column", sorted(ESSENTIALS))
def test_REG_4_essential_names_are_never_overlay_columns(column):
    with pytest.raises(NamespaceError, match="essential"):
        qualify("m", column, essentials=ESSENTIALS)


def test_REG_4_another_namespaces_prefix_is_refused():
    with pytest.raises(NamespaceError, match="belongs to namespace 'other'"):
        qualify("m", "other__x", essentials=ESSENTIALS)
    with pytest.raises(NamespaceError):
        check_column("m", "other__x")


@pytest.mark.parametrize(
    "field", ["", "a b", "a\n", "a\0", "a/b", "a,b", "a:b", "a<b", "é", '"', "-"]
)
def test_REG_4_hostile_fields_are_refused(field):
    with pytest.raises(NamespaceError):
        qualify("m", f"m__{field}", essentials=ESSENTIALS)
    with pytest.raises(NamespaceError):
        check_column("m", f"m__{field}")


def test_OVL_1_part_names():
    good = "part-20260102T030405000006Z-" + "0" * 32 + ".parquet"
    assert is_part_file(good)
    assert is_part_file("part-other-tool.parquet")
    for bad in (
        "records.parquet",
        good + "~",
        good + "\n",
        "part-.parquet",
        ".tmp-x",
        "part-a/b.parquet",
    ):
        assert not is_part_file(bad)


@pytest.mark.parametrize(
    "name", ["", "x" * 81, "a/b", "../a", "auto", "x-auto", "x.parquet", "a b", "a\n"]
)
def test_RCV_4_snapshot_names_are_refused(name):
    with pytest.raises(ValidationError):
        check_snapshot_name(name)


@given(st.text(max_size=20) | st.sampled_from(["/a", "..", "a/../b", "", ".", "a\0b", "a/b"]))
def test_LAY_3_relative_paths_stay_inside(path):
    try:
        rel = check_relative(path)
    except SequencesError:
        return
    assert not rel.is_absolute()
    assert ".." not in rel.parts
    assert rel.parts
    assert "\0" not in str(rel)
