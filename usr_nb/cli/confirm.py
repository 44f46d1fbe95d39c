"""Questions before a change (MAT-3, CLI-5)."""

from __future__ import annotations

from pathlib import Path

from usr_nb.cli import say, words
from usr_nb.dataset.dedupe import DedupeResult
from usr_nb.dataset.registration import init_root
from usr_nb.errors import ValidationError
from usr_nb.storage.layout import REGISTRY_FILE


def registry(root: Path) -> None:
    """Offer to make a registry where there is none and somebody can be asked.

    Raises
    ------
    UserAbort
        The offer was declined.
    """
    if (root / REGISTRY_FILE).is_file() or not say.interactive():
        return
    say.confirm(f"There is no registry at {root}. Create one?")
    init_root(root)


def materialize(
    *, drop_overlays: bool, archive_overlays: bool, drop_deleted: bool, yes: bool
) -> None:
    """Ask before the base is rewritten, or refuse what needs a person's word.

    Raises
    ------
    ValidationError
        The options exclude each other, or nobody can be asked and ``--yes`` is missing.
    UserAbort
        The answer was no.
    """
    if drop_overlays and archive_overlays:
        raise ValidationError(
            "--drop-overlays and --archive-overlays exclude each other", hint="Choose one of them."
        )
    if yes:
        return
    lost = [w for w, on in (("overlays", drop_overlays), ("deleted records", drop_deleted)) if on]
    if say.interactive():
        extra = f" and remove {' and '.join(lost)} for good" if lost else ""
        say.confirm(f"Rewrite the base table{extra}?")
    elif lost:
        raise ValidationError(
            f"This removes {' and '.join(lost)} for good, and nobody can be asked",
            hint="Say --yes if that is meant. Nothing was changed.",
        )


def dedupe(plan: DedupeResult, *, yes: bool) -> None:
    """Ask before rows go; where nobody can be asked it is done: a snapshot is taken first.

    Raises
    ------
    UserAbort
        The answer was no.
    """
    if not yes and say.interactive():
        say.note(f"This {words.deduped(plan)}.")
        say.confirm("Go on?")
