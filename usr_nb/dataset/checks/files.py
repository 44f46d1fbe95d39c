"""Names and digests of files: layout, notes, snapshots, frozen registries (LAY, REG-8, VAL)."""

from __future__ import annotations

from collections.abc import Iterator

from usr_nb.dataset.checks.finding import Finding, Scope
from usr_nb.dataset.checks.trust import Trust
from usr_nb.storage import door, notes
from usr_nb.storage.layout import (
    ARTIFACTS,
    DERIVED,
    EVENTS,
    LOCK,
    META,
    RECORDS,
    REGISTRY_DIR,
    SNAPSHOTS,
    TXN,
)
from usr_nb.storage.view import overlay_paths

_KNOWN = {RECORDS, META, EVENTS, LOCK, DERIVED, REGISTRY_DIR, SNAPSHOTS, TXN, ARTIFACTS}


def check(scope: Scope) -> Iterator[Finding]:
    """Yield foreign files, broken notes and registries, and files that changed behind the log."""
    yield from _foreign(scope)
    if notes.read_name(scope.layout.meta) is None:
        yield Finding("warning", "LAY-7", META, "it does not begin with `name: <dataset id>`")
    yield from _registries(scope)
    yield from contents(scope.trust)


def _foreign(scope: Scope) -> Iterator[Finding]:
    for entry in sorted(scope.layout.dir.iterdir()):
        if entry.name not in _KNOWN and door.temp_owner(entry.name) is None:
            yield Finding("note", "LAY-1", entry.name, "a file of others; it is left alone")
    known = set(overlay_paths(scope.layout))
    if scope.layout.derived.is_dir():
        for entry in sorted(scope.layout.derived.rglob("*")):
            rel = entry.relative_to(scope.layout.dir)
            foreign = rel.parts[1] != "_archived" and rel.as_posix() not in known
            if foreign and entry.is_file() and door.temp_owner(entry.name) is None:
                yield Finding("note", "LAY-1", rel.as_posix(), "no overlay file by its name")


def _registries(scope: Scope) -> Iterator[Finding]:
    folder = scope.layout.registries
    for entry in sorted(folder.iterdir()) if folder.is_dir() else ():
        named = entry.name.removeprefix("registry.").removesuffix(".yaml")
        if entry.name == f"registry.{named}.yaml" and named not in scope.frozen:
            yield Finding("error", "REG-8", f"{REGISTRY_DIR}/{entry.name}",
                          "its content does not hash to its name")  # fmt: skip


def contents(trust: Trust) -> Iterator[Finding]:
    """Yield files that cannot be read, and files that are not what the last event made of them.

    A footer has no checksum of its own; the digest in the event is what covers it.
    """
    for path, found in trust.bad.items():
        yield Finding("error", "VAL", path, found.message, found.hint)
    altered = set(trust.altered())
    for path in trust.hashes:
        if path.startswith(f"{TXN}/"):
            continue  # Waiting to be installed; its slot tells of it.
        if not trust.recorded.tells(path):
            yield Finding("note", "VAL", path, "no event tells its digest")
        elif path in altered:
            yield Finding("error", "VAL", path, "its content is not what the event log says",
                          "Restore it from a snapshot or another copy.")  # fmt: skip
