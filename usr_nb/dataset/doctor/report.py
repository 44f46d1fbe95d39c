"""What an examination found: findings, what was looked at, and whether all is well."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal

Severity = Literal["error", "warning", "note"]
Kind = Literal[
    # litter
    "temp-file", "staging", "retired", "holder", "begun", "locked",
    # interrupted operations
    "interrupted", "bad-slot", "slot-gap",
    # the log
    "no-log", "torn-line", "torn-tail", "long-line", "missing-event",
    # files
    "no-records", "altered", "unreadable", "missing-file", "foreign", "misnamed", "symlink",
    "wrong-name", "many-parts",
    # registries and times
    "no-registry", "bad-registry", "bad-columns", "unregistered", "future-time", "ahead-of-file",
    # the file system
    "read-only", "link", "exclusive-create", "rename", "append", "flock", "sync", "free-space",
    "clock", "network",
]  # fmt: skip
#: The name of a root's own report.
ROOT: Final = "(root)"


@dataclass(frozen=True)
class Finding:
    """One thing that was found.

    Attributes
    ----------
    severity : {"error", "warning", "note"}
        An error: something is lost, unreadable, or half done. A warning: it will be, or somebody
        may have meant something else. A note: nothing need be done.
    kind : str
        Which of the kinds of ``docs/reliability.md``.
    path : str
        Where, relative to the folder of the report; ``.`` is the folder itself.
    message : str
        What it is, and who did it when, as far as is known.
    hint : str
        What to do next.
    repairable : bool
        Whether ``repair`` can mend it without losing anything.
    repaired : bool
        Whether it was mended: it was there before the repair, and is not any more.
    """

    severity: Severity
    kind: Kind
    path: str
    message: str
    hint: str = ""
    repairable: bool = False
    repaired: bool = False


@dataclass(frozen=True)
class Checkup:
    """The report on one dataset, or on a root with one report per dataset in it.

    Attributes
    ----------
    dataset : str
        The dataset id, or ``(root)``.
    path : str
        The folder.
    findings : tuple of Finding
        The worst first; those that were repaired last.
    checked : mapping of str to int
        What was looked at: ``files``, ``parsed`` (by a process of its own), ``slots``, ``lines``,
        ``parts``, ``tests`` of the file system.
    datasets : tuple of Checkup
        Of a root: the reports on its datasets.
    """

    dataset: str
    path: str
    findings: tuple[Finding, ...]
    checked: Mapping[str, int] = field(default_factory=dict)
    datasets: tuple[Checkup, ...] = ()

    def of(self, severity: Severity) -> list[Finding]:
        """Return the findings of one severity that are still there."""
        return [f for f in self.findings if f.severity == severity and not f.repaired]

    @property
    def errors(self) -> list[Finding]:
        """Errors that are still there."""
        return self.of("error")

    @property
    def warnings(self) -> list[Finding]:
        """Warnings that are still there."""
        return self.of("warning")

    @property
    def notes(self) -> list[Finding]:
        """Notes that are still there."""
        return self.of("note")

    @property
    def repaired(self) -> list[Finding]:
        """What the repair has mended."""
        return [f for f in self.findings if f.repaired]

    @property
    def ok(self) -> bool:
        """Whether no error is left, here or in any dataset of the root."""
        return not self.errors and all(d.ok for d in self.datasets)

    def all(self) -> Iterator[Checkup]:
        """Yield this report, then those on the datasets."""
        yield self
        yield from self.datasets

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain values."""
        plain: dict[str, Any] = {
            "dataset": self.dataset,
            "path": self.path,
            "ok": self.ok,
            "errors": len(self.errors),
            "warnings": len(self.warnings),
            "notes": len(self.notes),
            "repaired": len(self.repaired),
            "checked": dict(self.checked),
            "findings": [asdict(f) for f in self.findings],
        }
        if self.dataset == ROOT:
            plain["datasets"] = [d.as_dict() for d in self.datasets]
        return plain


_ORDER: Final = {"error": 0, "warning": 1, "note": 2}


def ranked(findings: list[Finding]) -> tuple[Finding, ...]:
    """Return findings the worst first, those that were repaired last."""
    return tuple(sorted(findings, key=lambda f: (f.repaired, _ORDER[f.severity])))
