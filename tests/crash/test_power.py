"""The power fails at any call: what was not synced is lost in any combination (RCV-1)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.crash.ops import OPERATIONS, Operation
from tests.crash.plan import FULL, SAMPLE, cut_power
from tests.crash.test_kill import often, report
from tests.crash.verdict import Case


@often
def test_RCV_1_power_cut_at_any_call(operation: Operation, folder: Path) -> None:
    case = Case(operation, folder)
    assert cut_power(case, SAMPLE)
    assert not case.problems, report(case)


@pytest.mark.nightly
@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda o: o.name)
def test_RCV_1_power_cut_at_any_call_in_full(operation: Operation, folder: Path) -> None:
    case = Case(operation, folder)
    assert cut_power(case, FULL)
    assert not case.problems, report(case)
