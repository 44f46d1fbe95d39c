"""Registries, and the times that overlay files carry (contract REG, OVL-5)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from usr_nb.contract.names import TOMBSTONE_NS
from usr_nb.contract.registry import Registry
from usr_nb.dataset.doctor.report import Finding
from usr_nb.dataset.doctor.subject import Subject, ago, seconds_of
from usr_nb.errors import SequencesError
from usr_nb.storage import columnsfile, registryfile
from usr_nb.storage.layout import COLUMNS_FILE, REGISTRY_DIR, REGISTRY_FILE
from usr_nb.storage.parquet import file_metadata, open_parquet
from usr_nb.storage.tidy import children
from usr_nb.storage.view import namespace_of_path

#: Clocks that differ by less are as good as equal.
SKEW_S: Final = 300.0
_CREATED_AT: Final = b"usr:overlay_created_at"


def check(s: Subject) -> Iterator[Finding]:
    """Yield what is wrong with registries and with times."""
    if s.is_root:
        yield from _of_root(s)
        return
    yield from _frozen(s)
    yield from _unregistered(s)
    yield from _times(s)


def _of_root(s: Subject) -> Iterator[Finding]:
    try:
        columnsfile.load(s.root)
    except SequencesError as error:
        yield Finding("error", "bad-columns", COLUMNS_FILE, error.message, error.hint or
                      "Mend the file; it says only how columns are shown.")  # fmt: skip
    try:
        found = registryfile.load_or_none(s.root)
    except SequencesError as error:
        yield Finding("error", "bad-registry", REGISTRY_FILE, error.message, error.hint or
                      "Mend the file, or take it from _registry/ of a dataset.")  # fmt: skip
        return
    if found is None:
        yield Finding(
            "warning", "no-registry", REGISTRY_FILE,
            "there is no registry, so nothing can be changed here, only read",
            "Create one with `usr root init`.",
        )  # fmt: skip


def _frozen(s: Subject) -> Iterator[Finding]:
    good = registryfile.frozen_hashes(s.layout)
    for entry in children(s.layout.registries):
        named = entry.name.removeprefix("registry.").removesuffix(".yaml")
        if entry.name == f"registry.{named}.yaml" and named not in good:
            yield Finding(
                "error", "bad-registry", f"{REGISTRY_DIR}/{entry.name}",
                "this frozen registry does not hash to its name, so it vouches for nothing",
                "Take it from another copy. The present one is frozen anew by "
                f"`usr maintenance registry-freeze {s.name}`.",
            )  # fmt: skip


def _registry(s: Subject) -> Registry | None:
    try:
        return registryfile.load_or_none(s.root)
    except SequencesError:
        return None  # Told in the report on the root.


def _unregistered(s: Subject) -> Iterator[Finding]:
    registry = _registry(s)
    if registry is None:
        return
    spaces = {ns for p in s.trust.hashes if (ns := namespace_of_path(p)) is not None}
    for ns in sorted(spaces - {TOMBSTONE_NS}):
        if ns not in registry:
            yield Finding(
                "warning", "unregistered", f"_derived/{ns}",
                f"namespace '{ns}' has overlay files here and is not registered, so reading it "
                "is an error", f"Register it (`usr namespace register {ns} --columns ...`), or "
                f"put it away: usr maintenance overlay-remove {s.name} --namespace {ns} "
                "--mode archive",
            )  # fmt: skip


def _times(s: Subject) -> Iterator[Finding]:
    for path in s.trust.hashes:
        if namespace_of_path(path) is None or path in s.trust.bad:
            continue
        at = _created_at(s.layout.dir / path)
        if at is None:
            continue
        try:
            written = (s.layout.dir / path).stat().st_mtime
        except OSError:
            continue
        if at - s.now > SKEW_S:
            yield Finding(
                "warning", "future-time", path,
                f"its time is {ago(at - s.now)} ahead of this clock; it wins over everything "
                "that is written until then, except by usr, which then writes later times yet",
                "Set the clock that is wrong. Values are right as long as only usr writes.",
            )  # fmt: skip
        elif at - written > SKEW_S:
            yield Finding(
                "note", "ahead-of-file", path,
                f"its time is {ago(at - written)} later than the file system says it was written",
                "Compare the clocks of the machines that write here.",
            )  # fmt: skip


def _created_at(path: Path) -> float | None:
    try:
        with open_parquet(path) as file:
            text = file_metadata(file).get(_CREATED_AT, b"")
    except (SequencesError, OSError):
        return None
    return seconds_of(text.decode("utf-8", errors="replace"))
