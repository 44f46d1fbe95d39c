"""Tombstones and state of two copies, id by id."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pyarrow.parquet as pq
import pytest
from hypothesis import given, strategies as st

from usr_nb.errors import SchemaError, StorageError
from usr_nb.sync.rows import NOTHING, RowFile, RowTimes, encode_rows, merge_rows, read_row_file

T0 = datetime(2026, 1, 1, tzinfo=UTC)


def at(n: int) -> datetime:
    return T0 + timedelta(hours=n)


def gone(n: int, reason: str | None = None):
    return True, at(n), reason


BACK = (False, None, None)


def stones(n: int = 0, **rows) -> RowFile:
    return RowFile(rows, at(n))


def test_SYN_4_the_side_that_changed_a_row_decides():
    common = stones(a=gone(1), b=gone(1), c=gone(1))
    sender = stones(a=BACK, b=gone(1), c=gone(1), d=gone(3))
    receiver = stones(a=gone(1), b=BACK, c=gone(1), e=gone(2))
    merged = merge_rows("tombstones", sender, receiver, common)
    assert merged == {"a": BACK, "b": BACK, "c": gone(1), "e": gone(2), "d": gone(3)}


@pytest.mark.parametrize(("sender", "receiver", "wins"), [
    (gone(3), gone(2), "sender"), (gone(2), gone(3), "receiver"),
    (gone(5), BACK, "sender"), (gone(4), BACK, "receiver"), (BACK, gone(6), "receiver"),
])  # fmt: skip
def test_SYN_4_the_later_change_of_a_tombstone_wins(sender, receiver, wins):
    times = RowTimes(sender=at(4.5), receiver=at(4.5))
    merged = merge_rows("tombstones", stones(a=sender), stones(a=receiver), None, times=times)
    assert merged["a"] == (sender if wins == "sender" else receiver)


@pytest.mark.parametrize("swap", [False, True])
def test_DEL_1_on_a_tie_the_deletion_wins(swap):
    sides = stones(7, a=gone(7)), stones(7, a=BACK)
    merged = merge_rows("tombstones", *(sides[::-1] if swap else sides), None)
    assert merged["a"] == gone(7)


def test_SYN_4_state_is_united_column_by_column():
    common = RowFile({"a": (None, "pass", "train", None, ["p"])}, T0)
    sender = RowFile({"a": (True, "pass", "val", None, ["p"])}, at(1))
    receiver = RowFile({"a": (None, "fail", "test", None, ["p"])}, at(2))
    merged = merge_rows("state", sender, receiver, common)
    assert merged["a"] == (True, "fail", "test", None, ["p"])
    later = RowTimes(sender=at(9), receiver=at(3))
    assert merge_rows("state", sender, receiver, common, times=later)["a"][2] == "val"
    tie = RowTimes(sender=at(9), receiver=at(9))
    assert merge_rows("state", sender, receiver, common, times=tie)["a"][2] == "test"


@pytest.mark.parametrize(("removals", "left"), [
    ("sender", {"c": gone(1)}), ("receiver", {"b": gone(1)}),
    ("both", {}), ("none", {"b": gone(1), "c": gone(1)}),
])  # fmt: skip
def test_MAT_2_a_row_goes_only_with_its_record(removals, left):
    common = stones(b=gone(1), c=gone(1))
    merged = merge_rows(
        "tombstones", stones(c=gone(1)), stones(b=gone(1)), common, removals=removals
    )
    assert merged == left


def test_SYN_4_a_row_that_was_changed_does_not_go_with_its_record():
    common, receiver = stones(b=gone(1)), stones(b=gone(5))
    assert merge_rows("tombstones", NOTHING, receiver, common, removals="both") == {"b": gone(5)}


ROW = st.sampled_from([None, BACK, gone(1), gone(2), gone(3, "x"), gone(3, "y")])
ROWS = st.fixed_dictionaries(dict.fromkeys("abc", ROW)).map(
    lambda rows: stones(4, **{k: v for k, v in rows.items() if v is not None})
)


@given(ROWS, ROWS, ROWS)
def test_SYN_4_both_sides_come_to_the_same_rows(here, there, common):
    """Pull, then push with what the pull left in common: both hold the same."""
    pulled = stones(5, **merge_rows("tombstones", there, here, common))
    pushed = merge_rows("tombstones", pulled, there, there)
    assert pushed == dict(pulled.rows)
    assert set(pushed) == {*here.rows, *there.rows}


@given(ROWS, ROWS)
def test_SYN_4_without_a_common_state_the_direction_does_not_matter(here, there):
    assert merge_rows("tombstones", here, there, None) == merge_rows(
        "tombstones", there, here, None
    )


def test_SYN_4_merged_rows_are_newer_than_both_files(tmp_path):
    sender, receiver = stones(3, a=gone(1)), stones(5, b=gone(2, "why"))
    path = tmp_path / "usr.parquet"
    rows = merge_rows("tombstones", sender, receiver, None)
    path.write_bytes(encode_rows("tombstones", rows, sender=sender, receiver=receiver))
    found = read_row_file(path, "tombstones")
    assert dict(found.rows) == rows
    assert found.created_at == at(5) + timedelta(microseconds=1)
    assert pq.read_schema(path).metadata[b"usr:overlay_key"] == b"id"
    assert read_row_file(path.read_bytes(), "tombstones") == found


def test_SYN_4_a_damaged_file_is_a_typed_error(tmp_path):
    path = tmp_path / "usr.parquet"
    path.write_bytes(b"PAR1 nothing")
    with pytest.raises(StorageError, match=r"usr\.parquet"):
        read_row_file(path, "tombstones")
    path.write_bytes(encode_rows("tombstones", {"a": gone(1)}, sender=NOTHING, receiver=NOTHING))
    pq.write_table(pq.read_table(path).set_column(1, "usr__deleted", [["x"]]), path)
    with pytest.raises(SchemaError, match="column 'usr__deleted' is not bool"):
        read_row_file(path, "tombstones")
