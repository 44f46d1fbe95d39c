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

from tests.crash.oshook import Hook
from tests.crash.ops import BY_NAME, Operation
from tests.crash.plan import SAMPLE, cut_power, errors_everywhere, kill_again, kill_everywhere
from tests.crash.turns import SECOND, Turns, part_during_compaction
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
    exec(compile(source, f"<mistake in {name}>", "exec"), module.__dict__)  # noqa: S102
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


# Who finds it -----------------------------------------------------------------------------------


def _case(folder: Path, name: str, run: Callable[[Case], Any]) -> Counter[str]:
    operation: Operation = BY_NAME[name]
    try:
        case = Case(operation, folder)
        run(case)
    except SequencesError as error:
        return Counter({f"{name}: it does not even work: {error}": 1})
    return case.problems


def killing(name: str) -> Finder:
    return lambda folder: _case(folder, name, kill_everywhere)


def killing_twice(name: str) -> Finder:
    return lambda folder: _case(folder, name, lambda c: kill_again(c, SAMPLE))


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


LINK = "door.link(intent_path, target)"
MISTAKES: tuple[Mistake, ...] = (
    Mistake(
        "a file is not synced before it gets its name",
        lambda: instead(door.Sink, "seal", door.Sink.drop),
        cutting("import-append"),
    ),
    Mistake(
        "a part is linked before it is synced",
        lambda: changed(door, "new_file", ("        sink.seal()\n", "")),
        cutting("part"),
    ),
    Mistake(
        "folders are never synced",
        lambda: instead(door, "fsync_dir", _not),
        cutting("tombstone"),
    ),
    Mistake(
        "the slot is not synced before success is told",
        lambda: changed(
            slots.Stage, "publish",
            ("    try:\n        door.fsync_dir(self.layout.txn)\n    except", "    try:\n        pass\n    except"),
        ),
        cutting("tombstone"),
    ),
    Mistake(
        "the event is told before the commit",
        lambda: changed(
            slots.Stage, "publish",
            (LINK, "[eventlog.append_event(self.layout.events, e) for e in self.intent.events]; " + LINK),
        ),
        killing("tombstone"),
    ),
    Mistake(
        "files are retired before the commit",
        lambda: changed(
            slots.Stage, "publish",
            (LINK, "[_retire(self.layout, self.intent, g) for g in self.intent.retire]; " + LINK),
        ),
        killing("remove-overlay"),
    ),
    Mistake(
        "a file is replaced before the commit",
        lambda: changed(
            slots.Stage, "publish",
            (LINK, "[door.rename(self.folder / i.staged, self.layout.dir / i.path) "
                   "for i in self.intent.install if i.path == 'records.parquet']; " + LINK),
        ),
        killing("import-append"),
    ),
    Mistake(
        "the slot is compared and then renamed to, not linked",
        lambda: changed(
            slots.Stage, "publish",
            (LINK, "if target.exists():\n            raise FileExistsError\n        "
                   "door.rename(intent_path, target)"),
        ),
        taking_turns("tombstone", "tombstone"),
    ),
    Mistake(
        "staging is discarded when it is published",
        lambda: changed(slots, "_finish", ("    try:\n", "    stage.discard()\n    try:\n")),
        killing("import-append"),
    ),
    Mistake(
        "the intent is written after it is linked",
        lambda: changed(
            slots.Stage, "publish",
            ("    try:\n        sink.write(self.intent.encode())\n        sink.seal()\n    finally:\n        sink.drop()\n", ""),
            ("    if highest_slot(", "    sink.write(self.intent.encode())\n    sink.seal()\n    if highest_slot("),
        ),
        killing("import-append"),
    ),
    Mistake(
        "a commit that was cut short is not finished by the next",
        lambda: instead(slots, "settle", lambda layout: slots.highest_slot(layout)),
        killing("import-append"),
    ),
    Mistake(
        "readers do not know of a commit that is not installed",
        lambda: instead(view.slots, "pending", lambda lay: (slots.highest_slot(lay), None)),
        killing("import-append"),
    ),
    Mistake(
        "nobody completes the log",
        lambda: instead(tidy, "complete_log", lambda *_, **__: 0),
        killing("part"),
    ),
    Mistake(
        "a later writer tells no event when it finishes a commit",
        lambda: instead(slots.eventlog, "append_missing", lambda *_: 0),
        killing("tombstone"),
    ),
    Mistake(
        "tidying up does not ask whether the owner lives",
        lambda: instead(door, "owner_is_dead", lambda tag: True),
        taking_turns("part", "tombstone"),
    ),
    Mistake(
        "slots are taken away too early",
        _pruned_too_early,
        taking_turns("tombstone", "tombstones"),
    ),
    Mistake(
        "a name is retired without a look at which file it is",
        lambda: instead(slots, "is_listed", lambda path, gone: path.exists()),
        taking_turns("remove-overlay", "new-k"),
    ),
    Mistake(
        "a compaction is stamped as the newest part",
        lambda: changed(
            compaction, "compact_overlay",
            ("created_at=oldest,", "created_at=__import__('usr_nb.overlay.parts').overlay.parts.new_part_time(infos),"),
        ),
        compacting,
    ),
    Mistake(
        "all parts are retired, not those that were read",
        lambda: changed(
            slots, "roll_forward",
            ("    for path in intent.drop:\n",
             "    for g in intent.retire[:1]:\n"
             "        for p in (layout.dir / g.path).parent.glob('part-*'):\n"
             "            if f'{p.parent.name}/{p.name}' not in str(intent.install):\n"
             "                door.unlink(p)\n"
             "    for path in intent.drop:\n"),
        ),
        compacting,
    ),
    Mistake(
        "an error leaves the staged files lying about",
        lambda: instead(slots.Stage, "discard", _not),
        failing("tombstone"),
    ),
)  # fmt: skip

__all__ = ["MISTAKES", "SECOND", "Hook", "Mistake", "context", "killing_twice", "parts"]
