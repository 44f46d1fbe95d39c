"""Mistakes put into the protocol on purpose: the harness has to find every one of them."""

from __future__ import annotations

import contextlib
import inspect
import textwrap
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from tests.crash.looks import Reading
from tests.crash.ops import BY_NAME, Operation
from tests.crash.plan import SAMPLE, cut_power, errors_everywhere, kill_everywhere
from tests.crash.turns import Turns, part_during_compaction
from tests.crash.verdict import Case
from usr_nb import SequencesError
from usr_nb.dataset import compaction, context
from usr_nb.overlay import parts
from usr_nb.storage import door, slots, tidy, view

Finder = Callable[[Path], Counter[str]]


@contextlib.contextmanager
def changed(owner: Any, name: str, *edits: tuple[str, str]) -> Iterator[None]:
    """Replace text in the source of a function or method, while the context lasts.

    Every `find` must stand in the source exactly once, so a mistake that no longer fits the code
    is an error and not a mistake that was not found.
    """
    real = inspect.getattr_static(owner, name)
    function = inspect.unwrap(getattr(owner, name))
    source = textwrap.dedent(inspect.getsource(function))
    for find, replace in edits:
        assert source.count(find) == 1, f"{name}: {find!r} stands {source.count(find)} times"
        source = source.replace(find, replace)
    module = inspect.getmodule(function)
    assert isinstance(module, ModuleType)
    # In the module's own namespace, so that the function sees what the others see.
    exec(compile(source, f"<mistake in {name}>", "exec"), module.__dict__)
    made = module.__dict__[name]
    if isinstance(owner, ModuleType):
        setattr(owner, name, made)
    else:
        del module.__dict__[name]
        setattr(owner, name, made)
    try:
        yield
    finally:
        setattr(owner, name, real)


@contextlib.contextmanager
def instead(owner: Any, name: str, value: Any) -> Iterator[None]:
    """Put another value in a name's place, while the context lasts."""
    real = inspect.getattr_static(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, real)


class FoundError(Exception):
    """One problem is enough."""


class _First(Counter[str]):
    """Counts to one."""

    def __setitem__(self, what: str, count: int) -> None:
        super().__setitem__(what, count)
        raise FoundError


# Who finds it -----------------------------------------------------------------------------------


def _case(folder: Path, name: str, run: Callable[[Case], Any]) -> Counter[str]:
    operation: Operation = BY_NAME[name]
    found = _First()
    try:
        case = Case(operation, folder, problems=found)
        run(case)
    except FoundError:
        pass
    except SequencesError as error:
        return Counter({f"{name}: it does not even work: {error}": 1})
    return found


def killing(name: str) -> Finder:
    return lambda folder: _case(folder, name, lambda c: kill_everywhere(c, SAMPLE))


def cutting(name: str) -> Finder:
    return lambda folder: _case(folder, name, lambda c: cut_power(c, SAMPLE))


def failing(name: str) -> Finder:
    return lambda folder: _case(folder, name, lambda c: errors_everywhere(c, SAMPLE))


def taking_turns(first: str, second: str) -> Finder:
    def find(folder: Path) -> Counter[str]:
        turns = Turns(folder)
        for at in range(turns.count(first)):
            turns.run(first, second, at)
        return turns.problems

    return find


def reading(name: str) -> Finder:
    def find(folder: Path) -> Counter[str]:
        found = Reading(folder)
        wanted = [found.after(), found.after(name)]
        for at in range(found.count()):
            found.run({at: name}, wanted)
        return Counter(found.problems)

    return find


def compacting(folder: Path) -> Counter[str]:
    return Counter(part_during_compaction(folder, single_file=False))


# The mistakes -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Mistake:
    """One change of the protocol, and the part of the harness that must notice it."""

    name: str
    made: Callable[[], contextlib.AbstractContextManager[None]]
    found_by: Finder


def _not(*_: Any, **__: Any) -> None:
    return None


@contextlib.contextmanager
def _pruned_too_early() -> Iterator[None]:
    guard = "if highest_slot(self.layout) > self.slot + 1 and intent_path.exists():"
    with changed(slots.Stage, "publish", (guard, "if False:")), instead(slots, "KEEP_SLOTS", 1):
        yield


@contextlib.contextmanager
def _looked_once() -> Iterator[None]:
    look = ("if slots.highest_slot(layout) == number:", "if True:")
    with changed(view, "open_view", look), instead(context, "open_view", view.open_view):
        yield


LINK = "door.link(intent_path, target)"
RENAME = """if target.exists():
            raise FileExistsError
        door.rename(intent_path, target)"""
TELL = f"[eventlog.append_event(self.layout.events, e) for e in self.intent.events]; {LINK}"
RETIRE = f"[_retire(self.layout, self.intent, g) for g in self.intent.retire]; {LINK}"
INSTALL = (
    "[door.rename(self.folder / i.staged, self.layout.dir / i.path)"
    f" for i in self.intent.install if i.path == 'records.parquet']; {LINK}"
)
WRITE = """    try:
        sink.write(self.intent.encode())
        sink.seal()
    finally:
        sink.drop()
"""
LOOK = "    if highest_slot("
WRITE_LATER = f"    sink.write(self.intent.encode())\n    sink.seal()\n{LOOK}"
SYNC = "    try:\n        door.fsync_dir(self.layout.txn)\n"
NEWEST = "created_at=parts.new_part_time(infos),"
MOVE = "door.rename(folder / item.staged, target)"
COPY = """with door.replaced_file(target) as sink:
                    door.copy_into(sink, folder / item.staged)"""
DROPS = "    for path in intent.drop:\n"
ALL_PARTS = f"""    for g in intent.retire[:1]:
        for p in (layout.dir / g.path).parent.glob('part-*'):
            if f'{{p.parent.name}}/{{p.name}}' not in str(intent.install):
                door.unlink(p)
{DROPS}"""


def publishing(*edits: tuple[str, str]) -> Callable[[], contextlib.AbstractContextManager[None]]:
    return lambda: changed(slots.Stage, "publish", *edits)


@contextlib.contextmanager
def _stamped_newest() -> Iterator[None]:
    compaction.parts = parts
    with changed(compaction, "stage_compact", ("created_at=oldest,", NEWEST)):
        yield
    del compaction.parts


def instead_of(
    owner: Any, name: str, value: Any
) -> Callable[[], contextlib.AbstractContextManager[None]]:
    return lambda: instead(owner, name, value)


MISTAKES: tuple[Mistake, ...] = (
    Mistake(
        "a file is not synced before it gets its name",
        instead_of(door.Sink, "seal", door.Sink.drop),
        cutting("import-append"),
    ),
    Mistake(
        "a part is linked before it is synced",
        lambda: changed(door, "new_file", ("        sink.seal()\n", "")),
        cutting("part"),
    ),
    Mistake("folders are never synced", instead_of(door, "fsync_dir", _not), cutting("tombstone")),
    Mistake(
        "the slot is not synced before success is told",
        publishing((SYNC, "    try:\n        pass\n")),
        cutting("tombstone"),
    ),
    Mistake("the event is told before the commit", publishing((LINK, TELL)), killing("tombstone")),
    Mistake(
        "files are retired before the commit",
        publishing((LINK, RETIRE)),
        killing("remove-overlay"),
    ),
    Mistake(
        "a file is replaced before the commit",
        publishing((LINK, INSTALL)),
        killing("import-append"),
    ),
    Mistake(
        "the slot is compared and then renamed to, not linked",
        publishing((LINK, RENAME)),
        taking_turns("tombstone", "tombstone"),
    ),
    Mistake(
        "staging is discarded when it is published",
        lambda: changed(slots, "_finish", ("    try:\n", "    stage.discard()\n    try:\n")),
        killing("import-append"),
    ),
    Mistake(
        "the intent is written after it is linked",
        publishing((WRITE, ""), (LOOK, WRITE_LATER)),
        killing("import-append"),
    ),
    Mistake(
        "a commit that was cut short is not finished by the next",
        instead_of(slots, "settle", slots.highest_slot),
        killing("import-append"),
    ),
    Mistake(
        "readers do not know of a commit that is not installed",
        instead_of(view.slots, "pending", lambda lay: (slots.highest_slot(lay), None)),
        killing("import-append"),
    ),
    Mistake(
        "nobody completes the log",
        instead_of(tidy, "complete_log", lambda *_, **__: 0),
        killing("part"),
    ),
    Mistake(
        "who finishes a commit of another does not tell of it",
        instead_of(slots.eventlog, "append_missing", lambda *_: 0),
        killing("tombstone"),
    ),
    Mistake(
        "tidying up does not ask whether the owner lives",
        instead_of(door, "owner_is_dead", lambda tag: True),
        taking_turns("part", "tombstone"),
    ),
    Mistake(
        "slots are taken away too early",
        _pruned_too_early,
        taking_turns("tombstone", "tombstones"),
    ),
    Mistake(
        "a name is retired without a look at which file it is",
        instead_of(slots, "is_listed", lambda path, gone: path.exists()),
        taking_turns("remove-overlay", "new-k"),
    ),
    Mistake(
        "files are installed by copying them, not by renaming",
        lambda: changed(slots, "roll_forward", (MOVE, COPY)),
        taking_turns("tombstone", "tombstones"),
    ),
    Mistake(
        "a reader does not look whether a commit came in between",
        _looked_once,
        reading("materialize-drop"),
    ),
    Mistake(
        "a reader does not look for a part among the retired",
        instead_of(view, "RETIRED", "nowhere"),
        reading("materialize-drop"),
    ),
    Mistake("a compaction is stamped as the newest part", _stamped_newest, compacting),
    Mistake(
        "all parts are retired, not those that were read",
        lambda: changed(slots, "roll_forward", (DROPS, ALL_PARTS)),
        compacting,
    ),
    Mistake(
        "an error leaves the staged files lying about",
        instead_of(slots.Stage, "discard", _not),
        failing("tombstone"),
    ),
)
