"""The places of verbs in the crash harness are true (RCV)."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.crash.disk import Disk, read_image, write_disk
from tests.crash.ops import BY_NAME, Operation, template
from tests.crash.oshook import Hook
from tests.crash.store import Store
from tests.crash.verbs import PLANS, READS, SAME_CALLS, UNDER_TEST, Act, verbs
from tests.crash.verdict import _NUMBERS


@contextmanager
def _called() -> Iterator[set[Any]]:
    """Collect the code of every function that is called."""
    seen: set[Any] = set()

    def look(frame: Any, event: str, _: Any) -> None:
        if event == "call":
            seen.add(frame.f_code)

    before = sys.getprofile()
    sys.setprofile(look)
    try:
        yield seen
    finally:
        sys.setprofile(before)


def _fresh(operation: Operation, folder: Path) -> Store:
    store = Store(folder / "work")
    write_disk(Disk.of_folder(template(folder, operation)), store.folder)
    return store


@pytest.mark.parametrize("name", sorted(set(UNDER_TEST.values())))
def test_RCV_an_operation_calls_the_verbs_that_it_stands_for(name: str, folder: Path) -> None:
    store = _fresh(BY_NAME[name], folder)
    with _called() as seen:
        BY_NAME[name].run(store)
    for verb in (v for v, n in UNDER_TEST.items() if n == name):
        assert inspect.unwrap(verbs()[verb]).__code__ in seen, verb


def _calls(operation: Operation, act: Act, folder: Path) -> list[tuple[str, str]]:
    """Return what reaches the disk, times and random numbers taken out; not how many writes."""
    store = _fresh(operation, folder)
    hook = Hook(store.folder)
    with hook.active():
        act(store)
    calls = [(k, re.sub(r"-\w+-\w+-\d+-\d+-[0-9a-f]{8}$", "", _NUMBERS.sub("#", p)))
             for k, p in hook.attempts]  # fmt: skip
    return [c for n, c in enumerate(calls) if n == 0 or c != calls[n - 1]]


@pytest.mark.parametrize("verb", SAME_CALLS)
def test_RCV_a_verb_makes_the_calls_of_one_that_is_under_test(verb: str, folder: Path) -> None:
    name, act = SAME_CALLS[verb]
    operation = BY_NAME[name]
    assert _calls(operation, act, folder) == _calls(operation, operation.run, folder)


@pytest.mark.parametrize("verb", PLANS)
def test_RCV_a_plan_makes_the_calls_of_what_is_under_test(verb: str, folder: Path) -> None:
    name, plan = PLANS[verb]
    operation = BY_NAME[name]
    did = _calls(operation, lambda s: plan(s).apply(), folder)
    assert did == _calls(operation, operation.run, folder)


@pytest.mark.parametrize("verb", [*READS, *PLANS])
def test_RCV_what_reads_changes_nothing(verb: str, folder: Path) -> None:
    """It does not even try to, so that it works in a folder that nobody may write to."""
    store = _fresh(BY_NAME["delete-filter"], folder)
    before = read_image(store.folder)
    act = READS[verb] if verb in READS else PLANS[verb][1]
    hook = Hook(store.folder)
    with hook.active():
        act(store)
    if not verb.startswith("doctor"):  # It tries what the file system can do.
        assert hook.attempts == []
    assert read_image(store.folder) == before
