"""The harness is tested too: every mistake that is put into the protocol is found."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.crash.bugs import MISTAKES, Mistake


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda m: m.name.replace(" ", "-"))
def test_RCV_a_mistake_in_the_protocol_is_found(mistake: Mistake, folder: Path) -> None:
    with mistake.made():
        found = mistake.found_by(folder)
    assert found, "the harness did not notice"


def test_RCV_at_least_ten_mistakes_are_tried() -> None:
    assert len(MISTAKES) >= 10
    assert len({m.name for m in MISTAKES}) == len(MISTAKES)
