"""No verb is forgotten: each is under the crash harness, does as one that is, or writes nothing."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.cli.test_every_command import GOOD, leaves
from tests.crash.ops import BY_NAME
from tests.crash.verbs import COMMANDS, PLANS, PURE, READS, SAME_CALLS, UNDER_TEST, verbs

PLACE = "tests/crash/verbs.py"


def test_RCV_every_verb_has_its_place() -> None:
    known = [*UNDER_TEST, *SAME_CALLS, *PLANS, *READS, *PURE]
    assert [n for n, count in Counter(known).items() if count > 1] == []
    assert set(verbs()) - set(known) == set(), f"put each into a list of {PLACE}"
    assert set(known) - set(verbs()) == set(), "these are gone"


def test_RCV_every_command_has_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USR_SHOW_DEV_COMMANDS", "1")
    live = set(leaves())
    assert live - set(COMMANDS) == set(), f"put each into COMMANDS of {PLACE}"
    assert set(COMMANDS) - live == set(), "these are gone"
    assert {n for names in COMMANDS.values() for n in names} <= set(BY_NAME)
    # What a push writes lies at the remote, where tests/sync kills its scripts.
    writing = {n for n, good in GOOD.items() if good.added or good.altered or good.removed}
    writing -= {"push"}
    assert {n for n in writing if not COMMANDS[n]} == set()
