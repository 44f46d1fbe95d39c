"""What two plans say, for people and as JSON (contract SYN-3)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal

from usr_nb.contract.times import to_text
from usr_nb.storage.layout import META, RECORDS
from usr_nb.storage.view import namespace_of_path
from usr_nb.sync.classes import classify
from usr_nb.sync.facts import Facts
from usr_nb.sync.history import History, build_history
from usr_nb.sync.lines import Line
from usr_nb.sync.model import Entry, Inventory, Plan, Step, VerifyMode

State = Literal["same", "ahead", "behind", "diverged", "only_here", "only_there"]
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_CLASS_WORDS: Final = {
    "base": "base table", "part": "parts", "single": "single-file overlays",
    "tombstones": "tombstones", "state": "record state", "archived": "archived overlay files",
    "frozen": "frozen registries", "snapshot": "snapshots", "events": "events",
    "notes": "notes", "other": "files of other tools",
}  # fmt: skip


def state_of(pull: Plan, push: Plan, *, local: Inventory, remote: Inventory) -> State:
    """Say how two copies stand to each other.

    ``behind``: a pull would move something; ``ahead``: a push would; ``diverged``: both would, or
    somebody must choose.
    """
    if not remote.exists:
        return "only_here"
    if not local.exists:
        return "only_there"
    if pull.conflicts or push.conflicts:
        return "diverged"
    if pull.moves_nothing:
        return "same" if push.moves_nothing else "ahead"
    return "behind" if push.moves_nothing else "diverged"


def plan_lines(plan: Plan) -> list[str]:
    """Return what a plan would do, one sentence per kind of change; conflicts first.

    Parameters
    ----------
    plan : Plan

    Examples
    --------
    >>> from usr_nb.sync.model import Common
    >>> step = Step("add", "_derived/evo2/part-1.parquet", "part", rows=7)
    >>> plan = Plan("pull", (step,), (), {}, (), Common("h:/x", "", {}), 0)
    >>> plan_lines(plan)
    ['1 part only there (7 evo2 rows)']
    """
    there = "there" if plan.direction == "pull" else "here"
    lines = []
    for conflict in plan.conflicts:
        lines.append(f"CONFLICT {conflict.what}")
        lines += [f"  {choice}" for choice in conflict.choices]
    grouped: dict[tuple[str, str], list[Step]] = {}
    for step in plan.steps:
        grouped.setdefault((step.kind, step.file_class), []).append(step)
    lines += [_sentence(kind, steps, there) for (kind, _), steps in grouped.items()]
    lines += [f"namespace '{ns}' is added to the registry" for ns in sorted(plan.registry)]
    return lines


def _sentence(kind: str, steps: list[Step], there: str) -> str:
    what = _counted(steps)
    first = steps[0]
    if kind == "append":
        return f"{what} only {there}"
    if kind == "add":
        return f"{what} only {there}{_rows(steps)}"
    if kind == "replace":
        return f"{what} replaced{_rows(steps)}{_why(steps)}"
    if kind == "merge":
        return f"{what} united{_rows(steps)}{_why(steps)}"
    if kind == "retire":
        where = "put aside" if first.to is not None else "taken away"
        return f"{what} {where}{_why(steps)}"
    if kind == "delete":
        return f"DELETE {what}: {', '.join(s.path for s in steps)}"
    verb = "of the other side kept as" if kind == "beside" else "kept as"
    return f"{what} {verb} {', '.join(s.path for s in steps)}{_why(steps)}"


def _counted(steps: list[Step]) -> str:
    first, n = steps[0], len(steps)
    word = _CLASS_WORDS[first.file_class]
    if first.kind == "append":
        body = first.content or b""
        n = body.count(b"\n") if first.file_class == "events" else body.count(b"```bash")
    elif first.file_class in ("base", "tombstones", "state", "notes"):
        return word
    if n != 1:
        return f"{n:,} {word}"
    one = "files of other tools", "single-file overlays", "frozen registries"
    singular = dict(zip(one, ("file of another tool", "single-file overlay", "frozen registry"),
                        strict=True))  # fmt: skip
    return f"1 {singular.get(word, word.removesuffix('s'))}"


def _rows(steps: list[Step]) -> str:
    if any(s.rows is None for s in steps):
        return ""
    if steps[0].file_class not in ("part", "single"):
        total = sum(s.rows or 0 for s in steps)
        return f" ({total:+,} row{'' if abs(total) == 1 else 's'})" if total else ""
    by_ns: dict[str, int] = {}
    for s in steps:
        ns = namespace_of_path(s.path) or "?"
        by_ns[ns] = by_ns.get(ns, 0) + (s.rows or 0)
    counted = (f"{n:,} {ns} row{'' if n == 1 else 's'}" for ns, n in sorted(by_ns.items()))
    return f" ({', '.join(counted)})"


def _why(steps: list[Step]) -> str:
    said = sorted({s.why for s in steps if s.why})
    return f": {said[0]}" if len(said) == 1 else ""


def diff_dict(
    *,
    dataset: str,
    pull: Plan,
    push: Plan,
    local: Inventory,
    remote: Inventory,
    local_log: tuple[Line, ...] = (),
    remote_log: tuple[Line, ...] = (),
    verify_mode: VerifyMode = "auto",
    verify_notes: tuple[str, ...] = (),
) -> dict[str, Any]:
    """Return the JSON of ``usr diff``.

    Parameters
    ----------
    dataset : str
        The dataset id.
    pull, push : Plan
        What each direction would do.
    local, remote : Inventory
        Both copies.
    local_log, remote_log : tuple of Line
        Both event logs.
    verify_mode, verify_notes
        How files were compared, and what to say of it.

    Returns
    -------
    dict
        The keys of SYN-3, then ``state``, ``ahead``, ``behind``, ``conflicts``, ``remarks``.
        ``primary_*`` are ``{size_bytes, sha256, rows, cols}`` or None, ``snapshots`` is
        ``{local, remote, only_local, only_remote}``; times are UTC text.
    """
    state = state_of(pull, push, local=local, remote=remote)
    behind, ahead = plan_lines(pull), plan_lines(push)
    changes = [f"pull: {x}" for x in behind] + [f"push: {x}" for x in ahead]
    history = build_history(remote_log, local_log, sender=remote, receiver=local, common=None)
    return {
        "dataset": dataset,
        "primary_local": _primary(local, history),
        "primary_remote": _primary(remote, history),
        "meta_local_mtime": _mtime(local.files.get(META)),
        "meta_remote_mtime": _mtime(remote.files.get(META)),
        "events_local_lines": _lines(local_log),
        "events_remote_lines": _lines(remote_log),
        "snapshots": _snapshots(local, remote),
        "has_change": state != "same",
        "changes": changes,
        "verify_mode": verify_mode,
        "verify_notes": list(verify_notes),
        "state": state,
        "ahead": ahead,
        "behind": behind,
        "conflicts": _conflicts(pull, push),
        "remarks": list(dict.fromkeys([*pull.remarks, *push.remarks])),
    }


def panel_dict(plan: Plan) -> dict[str, Any]:
    """Return what one direction would do as JSON-able values, for a panel.

    Returns
    -------
    dict
        ``moves``: whether anything would be written; ``lines``: the sentences of
        :func:`plan_lines`; ``classes``: for each kind of change of each class of files ``{kind,
        file_class, files, bytes, rows}`` (``rows`` None where no log tells, ``bytes`` those that
        travel); ``conflicts``: ``{path, file_class, what, choices: [{prefer, says}]}``, without
        choices where nobody can choose; ``namespaces``: to be added to the registry; ``remarks``.

    Examples
    --------
    >>> from usr_nb.sync.model import Common
    >>> step = Step("add", "a.txt", "other", source=Entry("a.txt", 5, None))
    >>> plan = Plan("pull", (step,), (), {}, (), Common("h:/x", "", {}), 0)
    >>> panel_dict(plan)["classes"]
    [{'kind': 'add', 'file_class': 'other', 'files': 1, 'bytes': 5, 'rows': None}]
    """
    grouped: dict[tuple[str, str], list[Step]] = {}
    for step in plan.steps:
        grouped.setdefault((step.kind, step.file_class), []).append(step)
    return {
        "moves": not plan.moves_nothing,
        "lines": plan_lines(plan),
        "classes": [
            {
                "kind": kind,
                "file_class": file_class,
                "files": len(steps),
                "bytes": sum(s.source.size for s in steps if s.source and s.kind != "save"),
                "rows": None if any(s.rows is None for s in steps)
                else sum(s.rows or 0 for s in steps),
            }
            for (kind, file_class), steps in grouped.items()
        ],
        "conflicts": [
            {"path": c.path, "file_class": c.file_class, "what": c.what,
             "choices": [_choice(text) for text in c.choices]}
            for c in plan.conflicts
        ],
        "namespaces": sorted(plan.registry),
        "remarks": list(plan.remarks),
    }  # fmt: skip


def _choice(text: str) -> dict[str, str]:
    flag, _, says = text.partition(": ")
    return {"prefer": flag.rpartition(" ")[2], "says": says}


def logs_of(facts: Facts, *, direction: Literal["pull", "push"]) -> tuple[tuple[Line, ...], ...]:
    """Return (local log, remote log) of the facts of one direction."""
    sides = facts.receiver_log, facts.sender_log
    return sides if direction == "pull" else (sides[1], sides[0])


def _primary(side: Inventory, history: History) -> dict[str, Any] | None:
    entry = side.files.get(RECORDS)
    if entry is None:
        return None
    op = history.base_writer(entry.sha256)
    return {
        "size_bytes": entry.size,
        "sha256": entry.sha256,
        "rows": op.base_rows if op is not None else None,
        "cols": op.base_cols if op is not None else None,
    }


def _mtime(entry: Entry | None) -> str | None:
    if entry is None:
        return None
    return to_text(_EPOCH + timedelta(microseconds=entry.mtime_ns // 1000))


def _lines(log: tuple[Line, ...]) -> int:
    """Count the lines that travel: those of syncs themselves are no change."""
    return sum(line.travels for line in log)


def _snapshots(local: Inventory, remote: Inventory) -> dict[str, Any]:
    here, there = ({p for p in side.files if classify(p) == "snapshot"} for side in (local, remote))
    return {
        "local": len(here),
        "remote": len(there),
        "only_local": sorted(here - there),
        "only_remote": sorted(there - here),
    }


def _conflicts(pull: Plan, push: Plan) -> list[Mapping[str, Any]]:
    found: dict[tuple[str, str], Mapping[str, Any]] = {}
    for plan in (pull, push):
        for c in plan.conflicts:
            found.setdefault(
                (c.path, c.what),
                {"path": c.path, "what": c.what, "choices": list(c.choices)},
            )
    return list(found.values())
