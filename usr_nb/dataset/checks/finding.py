"""What a check reports, and what it looks at."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import pyarrow as pa

from usr_nb.contract.registry import Registry
from usr_nb.dataset.checks.trust import Trust
from usr_nb.dataset.dropped import dropped_ids, dropped_sequences
from usr_nb.overlay.merge import Merged
from usr_nb.storage.layout import Layout
from usr_nb.storage.view import View

Severity = Literal["error", "warning", "note"]


@dataclass(frozen=True)
class Finding:
    """One thing that was found: how bad, which rule, where, what, and what to do."""

    severity: Severity
    rule: str
    place: str
    message: str
    hint: str | None = None


@dataclass(frozen=True)
class Scope:
    """The instant that is checked."""

    layout: Layout
    view: View
    registry: Registry
    frozen: dict[str, Registry]
    mode: str
    merged: Merged
    trust: Trust

    @cached_property
    def dropped(self) -> pa.Array:
        """The ids that dedupe and drop-deleted removed for good."""
        return dropped_ids(self.layout, avoid=self.trust.avoid)

    @cached_property
    def dropped_sequences(self) -> pa.Array:
        """The sequences of those rows."""
        return dropped_sequences(self.layout, avoid=self.trust.avoid)


def accepts_hash(
    scope: Scope, namespace: str, full: str | None, contract: str | None
) -> str | None:
    """Return None if a file's registry stamps fit the mode, else why not (REG-9)."""
    against = scope.mode.removeprefix("namespace-")
    registries = [] if against == "frozen" else [scope.registry]
    registries += list(scope.frozen.values()) if against != "current" else []
    by_namespace = contract is not None and any(
        r.accepts_contract(namespace, contract) for r in registries
    )
    if scope.mode.startswith("namespace-"):
        if contract is None:
            known = any(namespace in r for r in registries)
            return None if known else f"namespace '{namespace}' is in no {against} registry"
        return None if by_namespace else f"its namespace contract is in no {against} registry"
    if full in {r.hash for r in registries}:
        return None
    if by_namespace:
        return (
            f"its registry hash is not the {against} one, but the columns of "
            f"'{namespace}' are: mode namespace-{against} passes"
        )
    return f"its registry hash {str(full)[:12]} is not known in mode {scope.mode}"
