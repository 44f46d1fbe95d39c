"""A process is killed at any call, again while the next one recovers, or meets an error (RCV)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.crash.ops import BY_NAME, OPERATIONS, Operation
from tests.crash.plan import FULL, SAMPLE, errors_everywhere, kill_again, kill_everywhere
from tests.crash.verdict import Case

every = pytest.mark.parametrize("operation", OPERATIONS, ids=lambda o: o.name)


def report(case: Case) -> str:
    shown = "\n".join(f"  {n} x {what}" for what, n in case.problems.most_common(12))
    return f"{len(case.problems)} of {case.checked} states are bad:\n{shown}"


@every
def test_RCV_2_killed_at_any_call(operation: Operation, folder: Path) -> None:
    """Before or after; acknowledged means after; told; nothing left over; valid."""
    case = Case(operation, folder)
    assert kill_everywhere(case) > len(case.calls)
    assert not case.problems, report(case)


@every
def test_RCV_2_killed_again_in_recovery(operation: Operation, folder: Path) -> None:
    case = Case(operation, folder)
    kill_again(case, SAMPLE)
    assert not case.problems, report(case)


@every
def test_RCV_2_an_error_at_any_call(operation: Operation, folder: Path) -> None:
    """EIO or ENOSPC: a typed error and the state before, or success; a retry succeeds."""
    case = Case(operation, folder)
    assert errors_everywhere(case, SAMPLE)
    assert not case.problems, report(case)


@pytest.mark.parametrize("name", ["log-event", "export", "archive-dataset"])
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
