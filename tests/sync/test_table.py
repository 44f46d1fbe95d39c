"""Each divergence of the table, in both directions, over a real sshd and the command line."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from tests.sync.meet import (
    Bed,
    check_receiver,
    equal_copies,
    files_of,
    fine,
    shape,
    shapes,
    values,
)
from tests.sync.table import ARCHIVED, ROWS, Row
from usr_nb.sync import remotes

pytestmark = [pytest.mark.needs("rsync", "sshd")]
DIRECTIONS = ("pull", "push")
CALM = [r for r in ROWS if not r.conflict]
TROUBLED = [r for r in ROWS if r.conflict]


def diverge(bed: Bed, row: Row) -> tuple[dict[str, dict[str, Any]], Counter[str]]:
    """Do the work of both sides; returns the values and files that both began with."""
    start, begun = values(bed.here), shapes(bed.files("here"))
    for work, ds in ((row.local, bed.here), (row.remote, bed.there)):
        if work is not None:
            work(ds)
    return start, begun


def expected(start: dict[str, dict[str, Any]], ends: Any) -> dict[str, dict[str, Any]]:
    found = {s: dict(v) for s, v in start.items()}
    for sequence, change in ends.items():
        if change is None:
            found.pop(sequence, None)
        else:
            both = {**found.get(sequence, {}), **change}
            found[sequence] = {c: v for c, v in both.items() if v is not None}
    return found


def receive(bed: Bed, direction: str, *flags: str, passed_on: str = "") -> Counter[str]:
    """Sync, and see that no byte of the receiver is lost and none of the sender is changed."""
    sides = ("there", "here") if direction == "pull" else ("here", "there")
    sender, receiver = (bed.files(s) for s in sides)
    bed.sync(direction, *flags)
    assert bed.files(sides[0]) == sender, "the sender's files are not touched"
    return check_receiver(receiver, sender, bed.side(sides[1]).dir, passed_on=passed_on)


def settled(bed: Bed, direction: str) -> None:
    """See that another sync of either direction moves nothing and writes nothing."""
    if bed.diff()["state"] != "same":
        # What the second receiver put aside is new to the first.
        assert set(receive(bed, direction)) <= {f"+ {ARCHIVED}", "~ .events.log", "~ meta.md"}
    assert bed.diff()["state"] == "same"
    before = bed.whole()
    for either in DIRECTIONS:
        assert bed.sync(either)["operation_id"] is None
    assert bed.whole() == before


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("row", CALM, ids=lambda r: r.name)
def test_SYN_4_what_both_sides_did_is_kept(row: Row, direction: str, over_sshd: Bed) -> None:
    bed = over_sshd
    start, begun = diverge(bed, row)
    assert bed.diff()["state"] == row.state
    receive(bed, direction, passed_on=row.passed_on)
    receiver = bed.here if direction == "pull" else bed.there
    if row.state == "diverged" or (row.state == "behind") == (direction == "pull"):
        assert values(receiver) == expected(start, row.ends)
    fine(receiver)
    receive(bed, "push" if direction == "pull" else "pull", passed_on=row.passed_on)
    for ds in (bed.here, bed.there):
        fine(ds)
        assert values(ds) == expected(start, row.ends)
        more = {s: shapes(files_of(ds.dir))[s] - begun[s] for s in row.files}
        assert more == dict(row.files)
    if row.equal:
        equal_copies(bed)
        settled(bed, direction)


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("row", TROUBLED, ids=lambda r: r.name)
def test_SYN_4_a_conflict_writes_nothing(row: Row, direction: str, over_sshd: Bed) -> None:
    bed = over_sshd
    diverge(bed, row)
    assert bed.diff()["state"] == "diverged"
    before = bed.whole()
    stopped = bed.usr(direction, "-y")
    assert stopped.code == 2
    assert row.conflict in stopped.err
    assert bed.whole() == before
    for winner in () if row.chosen else ("local", "remote"):
        assert bed.usr(direction, "-y", "--prefer", winner).code == 2, "nobody can choose this"
        assert bed.whole() == before


@pytest.mark.parametrize("winner", ["local", "remote"])
@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("row", [r for r in TROUBLED if r.chosen], ids=lambda r: r.name)
def test_SYN_4_the_loser_of_a_choice_is_kept(
    row: Row, direction: str, winner: str, over_sshd: Bed
) -> None:
    bed = over_sshd
    start, _ = diverge(bed, row)
    name = remotes.get(bed.remote.name).name
    loser = (bed.there if winner == "local" else bed.here).dir
    lost = files_of(loser)["records.parquet"] if "_snapshots" in row.loser else None
    receive(bed, direction, "--prefer", winner)
    receiver = bed.here if direction == "pull" else bed.there
    assert values(receiver) == expected(start, row.chosen[winner])
    fine(receiver)
    wanted = row.loser.format(f"{direction}-{name}")
    kept = {p: b for p, b in files_of(receiver.dir).items() if shape(p) == wanted}
    assert kept
    assert lost is None or list(kept.values()) == [lost]
    # The other direction asks no more: the choice was made.
    receive(bed, "push" if direction == "pull" else "pull")
    assert values(bed.here) == values(bed.there) == expected(start, row.chosen[winner])
    for ds in (bed.here, bed.there):
        fine(ds)
    settled(bed, direction)
