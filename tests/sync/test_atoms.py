"""No value that lives on either side is lost, whatever both did and whoever was asked."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings, strategies as st

from tests.sync.model import Copy, Meeting

OPERATIONS = {
    "part": Copy.part,
    "compact": lambda c: c.compact(single=False),
    "compact-single": lambda c: c.compact(single=True),
    "remove": lambda c: c.remove(archive=False),
    "archive": lambda c: c.remove(archive=True),
    "drop": lambda c: c.materialize("drop"),
    "materialize-archive": lambda c: c.materialize("archive"),
    "keep": lambda c: c.materialize("keep"),
    "import": Copy.import_rows,
    "freeze": Copy.freeze,
    "snapshot": Copy.snapshot,
    "foreign-single": Copy.foreign_single,
    "foreign-a": lambda c: c.foreign("a.txt"),
    "foreign-b": lambda c: c.foreign("sub/b"),
}
LOSER = re.compile(r"_snapshots/records-\w+-(pull|push)-")
WORK = st.tuples(st.sampled_from(["local", "remote"]), st.sampled_from(sorted(OPERATIONS)))
SYNC = st.tuples(st.sampled_from(["pull", "push"]), st.sampled_from([None, "local", "remote"]))
STORY = st.lists(st.one_of(WORK, WORK, WORK, SYNC), max_size=25)


def safe(meeting: Meeting, direction: str, prefer: str | None) -> bool:
    """Sync, and see that nothing that lived is gone; False if somebody would have to choose."""
    sender, receiver = meeting.sides(direction)
    plan = meeting.plan(direction)
    asked = bool(plan.conflicts)
    if asked:
        if prefer is None or any(not c.choices for c in plan.conflicts):
            return False
        plan = meeting.plan(direction, prefer=prefer)
        assert not plan.conflicts
    alive = receiver.held() | sender.held()
    rows = {*sender.base().rows, *receiver.base().rows}
    kept = {*receiver.files.values()} if asked else set()
    meeting.apply(plan)
    there = receiver.held() | receiver.base().written
    if asked:  # What lost is put aside, and its values with it.
        aside = (meeting.world.atoms.get(s, frozenset()) for s in receiver.files.values())
        there |= frozenset().union(*aside)
        bases = [meeting.world.bases[s] for s in receiver.files.values()
                 if s in meeting.world.bases]  # fmt: skip
        there |= frozenset().union(*(b.written for b in bases))
        assert rows <= {r for b in bases for r in b.rows}
        assert kept <= {*receiver.files.values(), *sender.files.values()} | {
            s
            for s in kept
            if meeting.world.atoms.get(s, frozenset()) <= meeting.world.removed | there
        }
    else:
        # Rows of a base that lost an earlier choice live on in the snapshot that kept it.
        losers = [meeting.world.bases[s] for p, s in receiver.files.items()
                  if LOSER.match(p) and s in meeting.world.bases]  # fmt: skip
        assert rows <= {r for b in [receiver.base(), *losers] for r in b.rows}
    lost = alive - there - meeting.world.removed
    assert not lost, lost
    return True


def tell(story) -> Meeting:
    meeting = Meeting()
    for who, what in story:
        if who in ("local", "remote"):
            OPERATIONS[what](getattr(meeting, who))
        else:
            safe(meeting, who, what)
    return meeting


#: Found, and not mended yet (issue 6 is open): a single-file overlay written by another tool at
#: both places, with the base rewritten on one side and added to on the other, chosen by --prefer.
OPEN_QUESTION = pytest.mark.xfail(strict=False, reason="a single file of another tool can be lost")


@OPEN_QUESTION
@settings(max_examples=300)
@given(STORY)
def test_SYN_4_every_value_that_lives_survives_any_story(story):
    tell(story)


@OPEN_QUESTION
@settings(max_examples=300)
@given(STORY, st.sampled_from(["local", "remote"]), st.permutations(["pull", "push"]))
def test_SYN_4_both_copies_end_equal_and_a_second_sync_moves_nothing(story, prefer, order):
    meeting = tell(story)
    # The first meets, the second brings it back; a third for what the second one kept.
    done = [safe(meeting, direction, prefer) for direction in [*order, order[0]]]
    if not all(done):
        return
    assert meeting.local.live() == meeting.remote.live()
    assert meeting.local.base().rows == meeting.remote.base().rows
    assert meeting.local.base().written == meeting.remote.base().written
    here, there = ({p: s for p, s in c.files.items() if p != "records.parquet"}
                   for c in (meeting.local, meeting.remote))  # fmt: skip
    assert here == there
    for direction in ("pull", "push"):
        plan = meeting.plan(direction)
        assert not plan.conflicts
        assert plan.moves_nothing, plan.steps


@settings(max_examples=200)
@given(STORY, st.sampled_from(["pull", "push"]))
def test_SYN_3_a_plan_is_a_pure_function(story, direction):
    meeting = tell(story)
    meeting.world.turn = 10_000
    first = meeting.plan(direction)
    meeting.world.turn = 10_000
    assert meeting.plan(direction) == first
