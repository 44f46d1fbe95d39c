"""A process is killed at any call, again while the next one recovers, or meets an error (RCV).

And the power fails at any call: what was not synced is lost in any combination. What the ordinary
suite looks at is what ``python -m tests.crash.figures`` counts.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.crash.ops import BY_NAME, OPERATIONS, Operation
from tests.crash.plan import (
    FULL,
    SAMPLE,
    Size,
    cut_power,
    errors_everywhere,
    kill_again,
    kill_everywhere,
)
from tests.crash.verdict import Case

# Of the module: what is done to one operation is done in a row, on one recording.
every = pytest.mark.parametrize("operation", OPERATIONS, ids=lambda o: o.name, scope="module")


@pytest.fixture(scope="module")
def case(operation: Operation, folder: Path) -> Case:
    return Case(operation, folder)


def report(case: Case) -> str:
    shown = "\n".join(f"  {n} x {what}" for what, n in case.problems.most_common(12))
    return f"{len(case.problems)} of {case.checked} states are bad:\n{shown}"


def looked_at(case: Case, part: Callable[[Case, Size], int], size: Size) -> int:
    """Return the number of states, none of which is bad."""
    case.problems.clear()
    count = part(case, size)
    assert not case.problems, report(case)
    return count


@every
def test_RCV_2_killed_at_any_call(case: Case) -> None:
    """Before or after; acknowledged means after; told; nothing left over; valid."""
    count = looked_at(case, kill_everywhere, SAMPLE)
    assert count == SAMPLE.kills or SAMPLE.kills > count > len(case.calls)


@every
def test_RCV_2_killed_again_in_recovery(case: Case) -> None:
    looked_at(case, kill_again, SAMPLE)


@every
def test_RCV_2_an_error_at_any_call(case: Case) -> None:
    """EIO or ENOSPC: a typed error and the state before, or success; a retry succeeds."""
    assert looked_at(case, errors_everywhere, SAMPLE)


@every
def test_RCV_1_power_cut_at_any_call(case: Case) -> None:
    assert looked_at(case, cut_power, SAMPLE)


@pytest.mark.parametrize("name", ["log-event", "note", "export", "archive-dataset"])
def test_RCV_2_what_cannot_be_taken_back_says_so(name: str, folder: Path) -> None:
    """A failed fsync of what is there already is told as such, and not as a failure."""
    assert looked_at(Case(BY_NAME[name], folder), errors_everywhere, FULL)


@pytest.mark.nightly
@every
def test_RCV_2_killed_at_any_call_in_full(case: Case) -> None:
    assert looked_at(case, kill_everywhere, FULL) > len(case.calls)


@pytest.mark.nightly
@every
def test_RCV_2_killed_again_in_recovery_in_full(case: Case) -> None:
    looked_at(case, kill_again, FULL)


@pytest.mark.nightly
@every
def test_RCV_2_an_error_at_any_call_in_full(case: Case) -> None:
    assert looked_at(case, errors_everywhere, FULL) == 2 * len(case.attempts)


@pytest.mark.nightly
@every
def test_RCV_1_power_cut_at_any_call_in_full(case: Case) -> None:
    assert looked_at(case, cut_power, FULL)
