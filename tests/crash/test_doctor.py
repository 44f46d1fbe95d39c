"""After a kill `doctor(repair=True)` does all that the next writer would have done (RCV-2)."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.crash import verdict
from tests.crash.disk import after_kill
from tests.crash.ops import BY_NAME, OPERATIONS, Operation
from tests.crash.plan import seeded
from tests.crash.store import NAME, Store
from tests.crash.test_kill import report
from tests.crash.verdict import DAY, Case, later
from usr_nb import doctor
from usr_nb.storage.intents import dataset_exists

#: An export lies beside the root, where nobody looks but the next export; what is in the archive
#: has no later writer, and no doctor.
TREATED = [o for o in OPERATIONS if o.name not in ("export", "archive-dataset", "remotes-add")]
SAMPLE = ("import-append", "init", "part", "attach", "materialize-drop", "compact-single",
          "register-first")  # fmt: skip


def treat(store: Store, operation: Operation, *, seconds: float) -> None:
    """Let a doctor repair every root, after this time."""
    with later(seconds), warnings.catch_warnings():
        warnings.simplefilter("error")
        for root in (store.root, store.fresh):
            if root.is_dir():
                found = doctor(root, repair=True, test_files=False)
                left = [f for d in found.all() for f in [*d.errors, *d.warnings]
                        if f.kind != "no-registry"]  # fmt: skip
                assert not left, left
                assert not [f for d in found.all() for f in d.findings if f.repairable
                            and not f.repaired]  # fmt: skip
        for name in {operation.dataset, NAME}:
            ds = store.ds(name)
            if not dataset_exists(ds._ctx.layout) and ds.dir.exists():
                operation.run(store)  # What was begun and not committed can be begun anew.


@contextmanager
def doctor_for_writer() -> Iterator[None]:
    real = verdict.next_writer
    verdict.next_writer = treat
    try:
        yield
    finally:
        verdict.next_writer = real


def killed_and_treated(operation: Operation, folder: Path, count: int | None) -> Case:
    case = Case(operation, folder)
    states = list(after_kill(case.start, case.calls))
    chosen = range(len(states))
    if count is not None:
        chosen = sorted(seeded(operation, "doctor").sample(chosen, min(count, len(states))))
    with doctor_for_writer():
        for n in chosen:
            where, disk = states[n]
            case.check(disk, where=where, acknowledged=n == len(states) - 1, seconds=DAY)
    assert case.checked == len(chosen)
    return case


@pytest.mark.parametrize("name", SAMPLE)
def test_RCV_2_a_doctor_does_what_the_next_writer_does(name: str, folder: Path) -> None:
    case = killed_and_treated(BY_NAME[name], folder, 8)
    assert not case.problems, report(case)


@pytest.mark.nightly
@pytest.mark.parametrize("operation", TREATED, ids=lambda o: o.name)
def test_RCV_2_a_doctor_does_what_the_next_writer_does_in_full(
    operation: Operation, folder: Path
) -> None:
    case = killed_and_treated(operation, folder, None)
    assert not case.problems, report(case)
