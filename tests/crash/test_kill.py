"""A process is killed at any call, again while the next one recovers, or meets an error (RCV)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.crash.ops import BY_NAME, OFTEN, OPERATIONS, SELDOM, Operation
from tests.crash.plan import (
    FULL,
    SAMPLE,
    cut_power,
    errors_everywhere,
    kill_again,
    kill_everywhere,
)
from tests.crash.verdict import Case

every = pytest.mark.parametrize("operation", OPERATIONS, ids=lambda o: o.name)
often = pytest.mark.parametrize("operation", OFTEN, ids=lambda o: o.name)
seldom = pytest.mark.parametrize("operation", SELDOM, ids=lambda o: o.name)


def report(case: Case) -> str:
    shown = "\n".join(f"  {n} x {what}" for what, n in case.problems.most_common(12))
    return f"{len(case.problems)} of {case.checked} states are bad:\n{shown}"


@often
def test_RCV_2_killed_at_any_call(operation: Operation, folder: Path) -> None:
    """Before or after; acknowledged means after; told; nothing left over; valid."""
    case = Case(operation, folder)
    assert kill_everywhere(case) > len(case.calls)
    assert not case.problems, report(case)


@often
def test_RCV_2_killed_again_in_recovery(operation: Operation, folder: Path) -> None:
    case = Case(operation, folder)
    kill_again(case, SAMPLE)
    assert not case.problems, report(case)


@often
def test_RCV_2_an_error_at_any_call(operation: Operation, folder: Path) -> None:
    """EIO or ENOSPC: a typed error and the state before, or success; a retry succeeds."""
    case = Case(operation, folder)
    assert errors_everywhere(case, SAMPLE)
    assert not case.problems, report(case)


@seldom
def test_RCV_2_what_is_made_of_the_same_commits(operation: Operation, folder: Path) -> None:
    """Of verbs that are made of commits tested above, a few states of each kind."""
    case = Case(operation, folder)
    assert 3 <= kill_everywhere(case, sample=12) <= 12
    assert errors_everywhere(case, replace(SAMPLE, errors=0))
    assert cut_power(case, replace(SAMPLE, cuts=8))
    assert not case.problems, report(case)


@pytest.mark.nightly
@seldom
def test_RCV_2_killed_at_any_call_in_full(operation: Operation, folder: Path) -> None:
    case = Case(operation, folder)
    assert kill_everywhere(case) > len(case.calls)
    assert not case.problems, report(case)


@pytest.mark.parametrize("name", ["log-event", "note", "export", "archive-dataset"])
def test_RCV_2_what_cannot_be_taken_back_says_so(name: str, folder: Path) -> None:
    """A failed fsync of what is there already is told as such, and not as a failure."""
    case = Case(BY_NAME[name], folder)
    assert errors_everywhere(case, FULL)
    assert not case.problems, report(case)


@pytest.mark.nightly
@every
def test_RCV_2_killed_again_in_recovery_in_full(operation: Operation, folder: Path) -> None:
    case = Case(operation, folder)
    kill_again(case, FULL)
    assert not case.problems, report(case)


@pytest.mark.nightly
@every
def test_RCV_2_an_error_at_any_call_in_full(operation: Operation, folder: Path) -> None:
    case = Case(operation, folder)
    assert errors_everywhere(case, FULL) == 2 * len(case.attempts)
    assert not case.problems, report(case)
