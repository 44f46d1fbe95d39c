"""Every rule of the contract, on every file: a report of findings (contract VAL)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal, get_args

from usr_nb.dataset.checks import base, files, log, overlay, state, trust
from usr_nb.dataset.checks.finding import Finding, Scope, Severity
from usr_nb.dataset.context import Context
from usr_nb.errors import StorageError, ValidationError
from usr_nb.overlay.merge import Merged
from usr_nb.storage import registryfile
from usr_nb.storage.layout import RECORDS
from usr_nb.storage.view import View

RegistryMode = Literal[
    "current", "frozen", "either", "namespace-current", "namespace-frozen", "namespace-either"
]
REGISTRY_MODES: Final[tuple[str, ...]] = get_args(RegistryMode)

_CHECKS: Final[tuple[Callable[[Scope], Iterator[Finding]], ...]] = (
    base.check,
    overlay.check,
    state.check,
    files.check,
    log.check,
)


#: How many findings a notebook shows.
_SHOWN: Final = 10


@dataclass(frozen=True, repr=False)
class Report:
    """All findings of one validation.

    Attributes
    ----------
    dataset : str
        The dataset id.
    rows : int
        Rows of the base that were checked.
    findings : list of Finding
        Each with ``severity`` (``error``, ``warning``, ``note``), ``rule``, ``place`` and
        ``message``.
    """

    dataset: str
    rows: int
    findings: list[Finding] = field(default_factory=list)

    def __repr__(self) -> str:
        """Return the counts, then the first findings, one per line."""
        counts = [(self.errors, "error"), (self.warnings, "warning"), (self.notes, "note")]
        told = ", ".join(f"{len(f)} {noun}{'' if len(f) == 1 else 's'}" for f, noun in counts)
        lines = [f"{f.severity} {f.rule} {f.place}: {f.message}" for f in self.findings[:_SHOWN]]
        more = len(self.findings) - len(lines)
        lines += [f"and {more:,} more"] if more else []
        return "\n".join(
            [f"<Report on {self.dataset}: {self.rows:,} rows checked: {told}>", *lines]
        )

    def of(self, severity: Severity) -> list[Finding]:
        """Return the findings of one severity."""
        return [f for f in self.findings if f.severity == severity]

    @property
    def errors(self) -> list[Finding]:
        """Findings that break the contract."""
        return self.of("error")

    @property
    def warnings(self) -> list[Finding]:
        """Findings that are errors under ``strict``."""
        return self.of("warning")

    @property
    def notes(self) -> list[Finding]:
        """Findings that are never errors."""
        return self.of("note")

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain values."""
        counts = {
            "errors": len(self.errors), "warnings": len(self.warnings), "notes": len(self.notes)
        }  # fmt: skip
        findings = [asdict(f) for f in self.findings]
        return {"dataset": self.dataset, "rows": self.rows, **counts, "findings": findings}


def validate(ctx: Context, *, strict: bool, registry_mode: RegistryMode) -> Report:
    """Check the dataset; see :meth:`Dataset.validate`."""
    if registry_mode not in REGISTRY_MODES:
        raise ValidationError(
            f"registry_mode {str(registry_mode)[:40]!r} is not known",
            hint=f"Use one of {', '.join(REGISTRY_MODES)}.",
        )
    report = _report(ctx, registry_mode)
    failing = report.errors + (report.warnings if strict else [])
    if failing:
        first = failing[0]
        more = f" (+{len(failing) - 1} more findings)" if len(failing) > 1 else ""
        raise ValidationError(
            f"Dataset '{ctx.name}' is not valid: {first.place}: {first.message}{more}",
            hint=first.hint or "See all findings with `usr validate --format json`.",
            report=report,
        )
    return report


def _report(ctx: Context, mode: RegistryMode) -> Report:
    seen = trust.examine(ctx.layout, trust.files_read(ctx.layout), trust.snapshot_files(ctx.layout))
    if seen.bad_base:
        # Without a readable base there is nothing to check the rest against.
        return Report(ctx.name, 0, list(files.contents(seen)))
    try:
        with ctx.view(avoid=seen.avoid) as view:
            _leave_out_late_ones(view, seen)
            merged = Merged(view, ctx.reading_registry(), include_deleted=True)
            scope = Scope(
                layout=ctx.layout,
                view=view,
                registry=merged.registry,
                frozen=registryfile.frozen_hashes(ctx.layout),
                mode=mode,
                merged=merged,
                trust=seen,
            )
            findings = [f for check in _CHECKS for f in check(scope)]
            return Report(ctx.name, merged.base_rows, findings)
    except StorageError as error:
        return Report(ctx.name, 0, [Finding("error", "VAL", RECORDS, error.message, error.hint)])


def _leave_out_late_ones(view: View, seen: trust.Trust) -> None:
    """Take out of the view what came after the files were examined, if it is not to be opened."""
    late = [f.path for fs in view.overlays.values() for f in fs if f.at == view.layout.dir / f.path]
    gone = set(trust.more(seen, late))
    if gone:
        kept = {ns: tuple(f for f in fs if f.path not in gone) for ns, fs in view.overlays.items()}
        view.overlays = {ns: fs for ns, fs in kept.items() if fs}
