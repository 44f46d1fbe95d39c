"""Two writers and no lock: one has its whole turn between any two calls of the other (RCV-3)."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import pytest

from tests.crash.disk import Disk, write_disk
from tests.crash.ops import BY_NAME, template
from tests.crash.oshook import DEAD_PID, Hook
from tests.crash.store import NAME
from tests.crash.turns import FIRST, SECOND, Turns, part_during_compaction
from tests.crash.verdict import Case, no_lock, read_state, without_clock
from usr_nb import Dataset, SequencesError, StorageError
from usr_nb.dataset import context
from usr_nb.dataset.archiving import archive_dataset
from usr_nb.storage.slots import CommittedWarning


def _take(folder: Path, first: str, seconds: list[str], *, step: int) -> None:
    turns = Turns(folder)
    count = turns.count(first)
    for at in range(0, count, step):
        for second in seconds if step == 1 else [seconds[at // step % len(seconds)]]:
            turns.run(first, second, at)
    shown = "\n".join(turns.problems)
    assert not turns.problems, f"{len(turns.problems)} bad turns:\n{shown}"


@pytest.mark.parametrize("first", FIRST)
def test_RCV_3_no_acknowledged_change_is_lost_without_a_lock(first: str, folder: Path) -> None:
    _take(folder, first, list(SECOND), step=2)


@pytest.mark.nightly
@pytest.mark.parametrize("second", SECOND)
@pytest.mark.parametrize("first", FIRST)
def test_RCV_3_no_acknowledged_change_is_lost_in_full(
    first: str, second: str, folder: Path
) -> None:
    _take(folder, first, [second], step=1)


@pytest.mark.parametrize("single_file", [False, True])
def test_OVL_9_a_part_that_lands_in_a_compaction_wins(single_file: bool, folder: Path) -> None:
    assert part_during_compaction(folder, single_file=single_file) == []


MOVED = ("part", "attach", "tombstone", "import-append", "materialize-drop", "compact-parts")


@pytest.mark.parametrize("name", MOVED)
def test_RCV_2_a_dataset_that_is_moved_away_takes_all_or_nothing_along(
    name: str, folder: Path
) -> None:
    """Another puts the dataset aside between any two calls: nothing is left where it was."""
    operation = BY_NAME[name]
    case = Case(operation, folder)
    store = case.store
    # Every third call; another seed begins at another.
    for at in range(int(os.environ.get("USR_CRASH_SEED", "0")) % 3, len(case.attempts), 3):
        write_disk(case.start, store.folder)
        hook = Hook(store.folder, at=at, fault=lambda: archive_dataset(store.ds()._ctx))
        raised = None
        with no_lock(), warnings.catch_warnings():
            warnings.simplefilter("ignore", CommittedWarning)
            try:
                with hook.active(pid=DEAD_PID):
                    operation.run(store)
            except SequencesError as error:
                raised = error
        call = f"{name}, before call {at}: {' '.join(case.attempts[at])}: {raised!r}"
        if not hook.reached:
            # The recording has a few calls more: those of the lock.
            assert at > 0.8 * len(case.attempts)
            break
        assert list((store.root / NAME).rglob("*.parquet")) == [], call
        there = without_clock(read_state(store, operation))["archived"]
        before, after = (without_clock(s)["table"] for s in (case.before, case.after))
        assert there in ((before, after) if raised else (after,)), call
        Dataset.open(store.root / "_archive", NAME).validate(registry_mode="namespace-either")


def test_RCV_2_a_part_makes_no_folder_where_its_dataset_was(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Moved away before the part touches the disk, which no call of its own comes before."""
    operation = BY_NAME["part"]
    store = Case(operation, folder).store
    write_disk(Disk.of_folder(template(folder, operation)), store.folder)
    ds, real = store.ds(), context.link_part

    def late(*args: Any) -> Any:
        archive_dataset(ds._ctx)
        return real(*args)

    monkeypatch.setattr(context, "link_part", late)
    with pytest.raises(StorageError, match="was moved or removed"):
        operation.run(store)
    assert not ds.dir.exists()
